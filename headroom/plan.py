"""From a scenario and a calibration to a plan, and the plan as an artefact."""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from importlib.resources import files

import numpy as np

from headroom.artefacts import Calibration, Estimate, Machine, Run, now
from headroom.plan_records import (
    BreakingRecord,
    CheckedRecord,
    DoubledRecord,
    Figure,
    InputRecord,
    MissRecord,
    PlanArtefact,
    PlannedRecord,
    UsersRecord,
)
from headroom.variants import variant
from sim.calibrate import RequestClass
from sim.cost import bill, price_book
from sim.cost.age import stale_prices
from sim.plan import (
    Candidate,
    Choice,
    Judgement,
    MeasuredDemands,
    Plan,
    Question,
    Spread,
    label,
    plan,
)
from sim.scenario import Scenario
from sim.scenario_file import dump_yaml

Say = Callable[[str], None]
EXAMPLE = "example_calibration.json"
# An example's demands stand for a service that was not measured: between half and twice of them.
EXAMPLE_RANGE = (0.5, 2.0)


def measured_in(run: Run) -> MeasuredDemands:
    """The demands of a run's own calibration, on the machine that it was made on."""
    return _measured(run.read(Calibration), run.read(Machine), assumed=False)


def example_demands() -> MeasuredDemands:
    """Demands of the shipped calibration, as an assumption with wide intervals."""
    package = files("headroom")
    calibration = Calibration.model_validate_json(package.joinpath(EXAMPLE).read_bytes())
    machine = Machine.model_validate_json(package.joinpath("example_machine.json").read_bytes())
    return _measured(calibration, machine, assumed=True)


def demands_for(run: Run | None) -> MeasuredDemands:
    """A run's calibration where there is one, else the example's."""
    if run is not None and run.has(Calibration):
        return measured_in(run)
    return example_demands()


def _measured(calibration: Calibration, machine: Machine, *, assumed: bool) -> MeasuredDemands:
    cpu_s: dict[tuple[str, str], dict[str, float]] = {}
    total: dict[str, float] = {}
    half: dict[str, float] = {}
    for demand in calibration.demands:
        found = cpu_s.setdefault((demand.operation, demand.outcome), {})
        found[demand.component] = demand.cpu_s.value
        total[demand.component] = total.get(demand.component, 0.0) + demand.cpu_s.value
        spread = (demand.cpu_s.high - demand.cpu_s.low) / 2
        half[demand.component] = half.get(demand.component, 0.0) + spread
    facts = machine.facts
    where = f"{facts.get('cores')} cores of {facts.get('cpu_model')}"
    when = f"{calibration.started_at:%Y-%m-%d}"
    return MeasuredDemands(
        classes=tuple(
            RequestClass(
                operation=single.operation,
                outcome=single.outcome,
                cpu_s=cpu_s[single.operation, single.outcome],
                latency_s=np.array(single.latency_s),
            )
            for single in calibration.singles
        ),
        spread={
            name: EXAMPLE_RANGE if assumed else _factors(half[name] / total[name])
            for name in ("nginx", "api", "api_threads", "redis", "mongo", "elasticsearch")
            if total.get(name)
        },
        measured_on=f"the example's, {where}, {when}" if assumed else f"{where}, {when}",
        assumed=assumed,
        index_lag_s=calibration.index_lag_s,
    )


def _factors(relative_half_width: float) -> tuple[float, float]:
    spread = min(relative_half_width, 0.9)
    return 1 - spread, 1 + spread


def planned(
    scenario: Scenario,
    measured: MeasuredDemands,
    say: Say,
    *,
    dask_address: str | None = None,
    check: bool = True,
) -> PlanArtefact:
    """Plan a scenario, for its users and for twice as many.

    Raises: InvalidScenario for an unknown type, a missing price, an operation not measured.
    """
    book = price_book(scenario.prices.book)

    def progress(done: int, total: int) -> None:
        if done == total or done * 4 // total != (done - 1) * 4 // total:
            say(f"{done:,} of {total:,} screened")

    found = plan(
        scenario, measured, book, progress=progress, dask_address=dask_address, check=check
    )
    doubled = None
    if found.choice is not None:
        factor = {"plan.growth_factor": scenario.plan.growth_factor * 2}
        if "plan.growth_factor" in scenario.uncertainty:
            ends = scenario.uncertainty["plan.growth_factor"]
            interval = {"low": ends.low * 2, "high": ends.high * 2}
            others = scenario.model_dump(mode="json")["uncertainty"]
            factor["uncertainty"] = others | {"plan.growth_factor": interval}
        say("the same for twice the users")
        doubled = _doubled(plan(variant(scenario, factor), measured, book, check=False))
    return plan_artefact(found, doubled)


def _doubled(found: Plan) -> DoubledRecord | None:
    if found.choice is None or found.answer is None:
        return None
    judged = found.choice.judgements[found.answer]
    return DoubledRecord(
        architecture=str(judged.candidate),
        usd_per_month=_estimate(judged.usd_per_month),
        feasible=found.choice.chosen is not None,
    )


def plan_artefact(found: Plan, doubled: DoubledRecord | None = None) -> PlanArtefact:
    """A plan in the form in which a run stores it."""
    scenario, choice = found.question.scenario, found.choice
    return PlanArtefact(
        scenario_sha256=hashlib.sha256(dump_yaml(scenario).encode()).hexdigest(),
        scenario=scenario.name,
        demands=found.question.measured.measured_on,
        demands_assumed=found.question.measured.assumed,
        book=found.question.book.name,
        seed=scenario.plan.seed,
        futures=scenario.plan.futures,
        confidence_fraction=scenario.plan.confidence_fraction,
        survive=scenario.plan.survive,
        targets=found.targets,
        candidates=() if choice is None else _candidates(choice),
        not_sold=found.space.not_sold,
        chosen=None if choice is None else choice.chosen,
        reasons=found.reasons,
        unattainable=() if choice is None else choice.unattainable,
        fallback=None if choice is None else choice.fallback,
        own=found.space.own,
        least_regret=None if choice is None else choice.least_regret,
        frontier=() if choice is None else choice.frontier,
        relaxed={} if choice is None else choice.relaxed,
        checked=tuple(
            CheckedRecord(
                place=each.place,
                load_per_s=each.load_per_s,
                screen_p95_s=_finite(each.screen_p95_s),
                kernel_p95_s=Estimate(value=each.kernel_p95_s, low=each.low_s, high=each.high_s)
                if math.isfinite(each.kernel_p95_s)
                else None,
                target_s=each.target_s,
                disagree=each.disagree,
            )
            for each in found.checked
        ),
        users={place: UsersRecord(**asdict(users)) for place, users in found.users.items()},
        breaks={
            place: tuple(
                BreakingRecord(
                    what=each.what,
                    load_per_s=each.load_per_s,
                    registered_users=each.registered_users,
                    growth=each.growth,
                )
                for each in breaks
            )
            for place, breaks in found.breaks.items()
        },
        doubled=doubled,
        inputs=tuple(
            InputRecord(
                name=each.name,
                label=label(each.name),
                low=each.low,
                centre=each.centre,
                high=each.high,
                stated=each.stated,
                basis=each.basis,
            )
            for each in found.question.inputs
        ),
        unmoved=found.unmoved,
        stale=old_prices(
            found.question,
            [found.space.candidates[p] for p in (found.answer, found.space.own) if p is not None],
        ),
    )


def old_prices(question: Question, candidates: Iterable[Candidate]) -> tuple[str, ...]:
    """Prices behind the bills of some architectures that are too old, or of unknown date."""
    scenario = question.scenario
    found: dict[str, None] = {}
    for candidate in candidates:
        lines = bill(candidate.applied_to(scenario), question.book).lines
        for price in stale_prices(lines, now().date(), scenario.prices.oldest_months):
            found[str(price)] = None
    return tuple(found)


def _candidates(choice: Choice) -> tuple[PlannedRecord, ...]:
    best = choice.chosen
    cheapest = None if best is None else choice.judgements[best].usd_per_month.value
    return tuple(_record(each, cheapest) for each in choice.judgements)


def _record(each: Judgement, cheapest_usd: float | None) -> PlannedRecord:
    cost = each.usd_per_month.value
    dearer = None if each.miss is not None or cheapest_usd is None else cost - cheapest_usd
    return PlannedRecord(
        architecture=str(each.candidate),
        **asdict(each.candidate),
        usd_per_month=_estimate(each.usd_per_month),
        figures={name: _figure(spread) for name, spread in each.figures.items()},
        probability=each.probability,
        each=each.each,
        miss=None
        if each.miss is None
        else MissRecord(
            objective=each.miss.objective,
            target=each.miss.target,
            reached=_finite(each.miss.reached),
            by=_finite(each.miss.by),
            probability=each.miss.probability,
        ),
        dearer_usd=dearer,
        regret_usd=each.regret_usd,
        mean_regret_usd=each.mean_regret_usd,
    )


def _estimate(spread: Spread) -> Estimate:
    return Estimate(value=spread.value, low=spread.low, high=spread.high)


def _figure(spread: Spread) -> Figure:
    return Figure(value=_finite(spread.value), low=_finite(spread.low), high=_finite(spread.high))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def options_of(changes: Mapping[str, object | None]) -> dict[str, object]:
    """Changes of a scenario from options of the command line, those not given left out."""
    return {path: value for path, value in changes.items() if value is not None}
