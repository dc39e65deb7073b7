"""A plan as tables: the answer, what was rejected and why, what is uncertain."""

from collections.abc import Sequence

from headroom.artefacts import Estimate
from headroom.plan_records import CheckedRecord, Figure, MissRecord, PlanArtefact
from headroom.wording import amount, digits, dollars, span, with_range

Row = tuple[str, ...]

OBJECTIVE_NAMES = {
    "p95_s": "p95 at the daily peak",
    "concurrent_users": "p95 with all concurrent users",
    "error_fraction": "error rate",
    "hit_ratio_fraction": "hit ratio",
    "availability": "availability",
    "all together": "all objectives together",
}
_UNITS = {"p95_s": "s", "concurrent_users": "s"}
PLAN_COLUMNS = ("no.", "USD a month", "p95 at peak", "availability", "holds in")
MOST_REJECTED = 12


def answer_rows(plan: PlanArtefact) -> list[Row]:
    """The chosen architecture beside the design itself, the least regret, and those relaxed."""
    named: dict[int, list[str]] = {}
    for name, place in (
        ("chosen", plan.chosen),
        ("meets what can be met", plan.fallback),
        ("the design as it stands", plan.own),
        ("least regret", plan.least_regret),
        *((f"without {OBJECTIVE_NAMES[name]}", place) for name, place in plan.relaxed.items()),
    ):
        if place is not None:
            named.setdefault(place, []).append(name)
    return [(", ".join(names), *candidate_row(plan, place)) for place, names in named.items()]


def candidate_row(plan: PlanArtefact, place: int) -> Row:
    """A candidate's figures in the order of PLAN_COLUMNS."""
    candidate = plan.candidates[place]
    return (
        str(place),
        with_range(candidate.usd_per_month, "usd"),
        figure_text("p95_s", candidate.figures["p95_s"]),
        figure_text("availability", candidate.figures["availability"]),
        share(candidate.probability),
    )


def share(probability: float) -> str:
    """A share of the futures.

    >>> share(0.914), share(0.0), share(0.9996)
    ('91.4 %', '0 %', '100 %')
    """
    return f"{round(probability * 100, 1):g} %"


def objective_amount(name: str, value: float | None) -> str:
    """A value of an objective with its unit; "overloaded" for None.

    >>> objective_amount("p95_s", 0.2), objective_amount("availability", 0.99912)
    ('200 ms', '99.912 %')
    """
    if value is None:
        return "overloaded"
    if name == "availability":
        return f"{value * 100:.3f} %"
    return amount(value, _UNITS.get(name, "fraction"))


def figure_text(name: str, figure: Figure) -> str:
    """A figure with its range over the futures."""
    value = objective_amount(name, figure.value)
    if figure.value is None or figure.low is None or figure.high is None:
        return value
    if name == "availability":
        low, high = (objective_amount(name, end) for end in (figure.low, figure.high))
        return value if low == high else f"{value} ({low.removesuffix(' %')}–{high})"
    estimate = Estimate(value=figure.value, low=figure.low, high=figure.high)
    return with_range(estimate, _UNITS.get(name, "fraction"))


def miss_text(miss: MissRecord) -> str:
    """Why a candidate was rejected, in words."""
    name = OBJECTIVE_NAMES[miss.objective]
    target = objective_amount(miss.objective, miss.target)
    if miss.reached is None or miss.by is None:
        return f"{name}: a tier is overloaded; holds in {share(miss.probability)}"
    reached = objective_amount(miss.objective, miss.reached)
    gap = f"{digits(miss.by * 100)} points"
    if miss.objective in _UNITS:
        gap = amount(miss.by, "s")
    return f"{name}: {reached} for {target}, off by {gap}; holds in {share(miss.probability)}"


def rejected(plan: PlanArtefact, most: int = MOST_REJECTED) -> list[int]:
    """Places of others: the cheapest that miss an objective, and the next dearer."""
    ordered = sorted(
        range(len(plan.candidates)), key=lambda i: plan.candidates[i].usd_per_month.value
    )
    missing = [i for i in ordered if plan.candidates[i].miss is not None]
    dearer = [i for i in ordered if plan.candidates[i].dearer_usd]
    fewer = min(len(dearer), most // 3)
    return missing[: most - fewer] + dearer[:fewer]


def rejected_rows(plan: PlanArtefact, most: int = MOST_REJECTED) -> list[Row]:
    """Why others were not chosen."""
    rows: list[Row] = []
    for place in rejected(plan, most):
        candidate = plan.candidates[place]
        dearer = f"dearer by {dollars(candidate.dearer_usd or 0.0)}"
        why = dearer if candidate.miss is None else miss_text(candidate.miss)
        rows.append((str(place), dollars(candidate.usd_per_month.value), why))
    return rows


def legend_rows(plan: PlanArtefact) -> list[Row]:
    """What the numbers in the tables stand for."""
    named = [plan.chosen, plan.fallback, plan.own, plan.least_regret, *plan.relaxed.values()]
    shown = {p for p in named if p is not None} | set(plan.frontier) | set(rejected(plan))
    return [(str(place), plan.candidates[place].architecture) for place in sorted(shown)]


def frontier_rows(plan: PlanArtefact) -> list[Row]:
    """The frontier of cost, p95 and availability, cheapest first, with what the kernel says."""
    by_place = {each.place: each for each in plan.checked}
    return [
        (
            *candidate_row(plan, place),
            checked_text(by_place[place]) if place in by_place else "not simulated",
        )
        for place in plan.frontier
    ]


def checked_text(each: CheckedRecord) -> str:
    """The screen's p95 beside the kernel's, and whether they agree."""
    if each.kernel_p95_s is None or each.screen_p95_s is None:
        verdict = "DISAGREE" if each.disagree else "both overloaded"
        return f"{verdict} at {digits(each.load_per_s)} req/s"
    both = f"{amount(each.screen_p95_s, 's')} / {with_range(each.kernel_p95_s, 's')}"
    return f"{both}{' DISAGREE' if each.disagree else ''}"


def breaking_rows(plan: PlanArtefact, place: int) -> list[Row]:
    """What breaks first and next on one architecture."""
    return [
        (
            each.what,
            f"{digits(each.load_per_s)} req/s",
            f"{each.registered_users:,.0f}",
            f"× {digits(each.growth)}",
        )
        for each in plan.breaks.get(place, ())
    ]


def input_rows(plan: PlanArtefact) -> list[Row]:
    """What is uncertain, by how much, and who says so."""
    return [
        (
            each.label,
            "list price" if each.name.startswith("price.") else digits(each.centre),
            "its range"
            if each.name.startswith("price.")
            else span(each.low, each.high, "").strip(),
            each.basis,
        )
        for each in plan.inputs
    ]


def sentences(plan: PlanArtefact) -> list[str]:
    """The answer in words, first."""
    found = []
    wanted = share(plan.confidence_fraction)
    if plan.chosen is not None:
        best = plan.candidates[plan.chosen]
        found.append(
            f"Buy {best.architecture}: {with_range(best.usd_per_month, 'usd')} a month; all "
            f"objectives hold in {share(best.probability)} of the futures, wanted is {wanted}."
        )
    else:
        found.append(f"No feasible plan with a probability of {wanted}.")
        found += [f"Because {reason}." for reason in plan.reasons]
        if plan.fallback is not None:
            best = plan.candidates[plan.fallback]
            given_up = ", ".join(OBJECTIVE_NAMES[name] for name in plan.unattainable)
            found.append(
                f"What meets all the rest (not: {given_up}) for least: {best.architecture}, "
                f"{with_range(best.usd_per_month, 'usd')} a month."
            )
    answer = plan.answer
    if answer is not None and answer in plan.users:
        users = plan.users[answer]
        found.append(
            f"It holds {users.registered:,.0f} registered users at their daily peak, or "
            f"{users.concurrent:,.0f} concurrent ones, with a probability of {wanted}."
        )
    if plan.doubled is not None:
        found.append(
            f"Twice the users: {plan.doubled.architecture}, "
            f"{with_range(plan.doubled.usd_per_month, 'usd')} a month."
        )
    apart = sum(each.disagree for each in plan.checked)
    if plan.checked:
        found.append(
            f"Screen and engine disagree on {apart} of {len(plan.checked)} architectures."
            if apart
            else f"Screen and engine agree on all {len(plan.checked)} architectures simulated."
        )
    if plan.demands_assumed:
        found.append(assumption(plan.demands))
    if plan.unmoved:
        found.append(f"Not moved by a plan, though uncertain: {', '.join(plan.unmoved)}.")
    if plan.stale:
        found.append(stale_text(plan.stale))
    return found


def stale_text(stale: Sequence[str]) -> str:
    """Which prices are old or undated, in a sentence."""
    return f"Old prices, or of unknown date: {'; '.join(stale)}."


def assumption(demands: str) -> str:
    """What a plan rests on that nobody measured for it."""
    return (
        f"ASSUMPTION: service demands are not this service's but {demands}, taken between half "
        "and twice; calibrate and pass --run."
    )
