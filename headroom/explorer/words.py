"""The explorer in words: the verdict first, then one card a figure beside its baseline."""

from typing import Any

from headroom.artefacts import Estimate
from headroom.explorer.figures import Figures, Judged
from headroom.explorer.named import words
from headroom.explorer.pictures import Seen, figure_of, lost
from headroom.plan_records import Figure
from headroom.wording import amount, digits
from sim.plan.objectives import at_most
from sim.scenario import Scenario

NAMES = {
    "p95_s": "p95 at the daily peak",
    "concurrent_users": "p95 with all concurrent users",
    "error_fraction": "errors at the daily peak",
    "hit_ratio_fraction": "cache hit ratio",
    "availability": "availability",
}
UNITS = {
    "p95_s": "s",
    "concurrent_users": "s",
    "error_fraction": "fraction",
    "hit_ratio_fraction": "fraction",
    "availability": "uptime",
}


def verdict(scenario: Scenario, now: Seen) -> str:
    """The answer in a sentence, with its range, what binds, the price and what is missed."""
    figures, growth = now.figures, now.refined.growth
    peak = amount(figures.peak_per_s.value or 0.0, "req/s")
    allowed = amount(scenario.objectives.p95_s, "s")
    busiest = max(figures.spare, key=lambda tier: -(figures.spare[tier].value or 0.0))
    room = figures.spare[busiest].value or 0.0
    text = (
        f"At the daily peak of {peak} p95 is {words(figures.p95_s, 's')} of {allowed} allowed"
        if figures.p95_s.value is not None
        else f"The daily peak of {peak} overloads {figures.bound_by}"
    )
    if room >= 0:
        text += f"; the busiest tier is {figures.bound_by}, {digits((1 - room) * 100)} % busy"
    if growth is not None:
        text += f"; {_room(growth)}"
    text += f"; {amount(figures.bill.total_usd.value, 'usd')} a month"
    missed = [_missed(each) for each in figures.objectives if not each.holds]
    return f"{text}. " + (f"Missed: {', '.join(missed)}." if missed else "Every objective holds.")


def _room(growth: Figure) -> str:
    if growth.value is None or growth.value >= 1:
        return f"it carries {words(growth, '×')} the users"
    return f"it carries no more than {words(growth, '×')} the users"


def _missed(each: Judged) -> str:
    unit, sign = UNITS[each.name], "≤" if at_most(each.name) else "≥"
    reached = "overloaded" if each.reached.value is None else amount(each.reached.value, unit)
    return f"{NAMES[each.name]} {reached} (objective {sign} {amount(each.target, unit)})"


def chances(figures: Figures) -> str:
    """How sure that is: the share of the futures in which objectives hold."""
    each = ", ".join(f"{NAMES[o.name]} {_percent(o.chance)}" for o in figures.objectives)
    return f"All objectives hold in {_percent(figures.all_hold)} of the futures: {each}."


def _percent(share: float) -> str:
    """A share of the futures, in whole per cent, none called all or nothing that is not.

    >>> _percent(1.0), _percent(0.998), _percent(0.002)
    ('100 %', '> 99 %', '< 1 %')
    """
    if 0.99 < share < 1.0:
        return "> 99 %"
    return "< 1 %" if 0.0 < share < 0.01 else f"{share * 100:.0f} %"


def cards(scenario: Scenario, now: Seen, before: Seen | None) -> list[dict[str, Any]]:
    """The figures that matter, each with its range, its source and the baseline's."""
    own, old = now.figures, None if before is None else before.figures
    bound = f"headroom of {own.bound_by}"
    book = f"book {scenario.prices.book}"
    return [
        _card("p95", "p95 at the daily peak", "s", own.p95_s, old.p95_s if old else None,
              source="formulas"),
        _engine(now, before),
        _card("hit-ratio", "cache hit ratio", "fraction", own.hit_ratio.get("all"),
              old.hit_ratio.get("all") if old else None, source="formulas, long run"),
        _card("headroom", bound, "fraction", _tightest(own), _tightest(old) if old else None,
              source="at the daily peak"),
        _card("bill", "a month", "usd", figure_of(own.bill.total_usd),
              figure_of(old.bill.total_usd) if old else None, source=book),
        _minutes(now, before),
        _capacity(now, before),
    ]  # fmt: skip


def _card(
    name: str, label: str, unit: str, now: Figure | None, old: Figure | None, *, source: str
) -> dict[str, Any]:
    value, _, rest = ("–", "", "") if now is None else words(now, unit).partition(" (")
    was = "" if old is None or old == now else f"baseline {words(old, unit).partition(' (')[0]}"
    return {
        "name": name,
        "label": label,
        "value": value,
        "range": rest.removesuffix(")"),
        "was": was,
        "source": source,
        "pending": now is None,
    }


def _engine(now: Seen, old: Seen | None) -> dict[str, Any]:
    def at_peak(seen: Seen | None) -> Figure | None:
        point = None if seen is None else seen.refined.at_peak
        found: Estimate | None = None if point is None else point.metrics.get("p95_s")
        return None if found is None else figure_of(found)

    source = "compiled engine"
    title = "p95 at the peak, simulated"
    return _card("engine", title, "s", at_peak(now), at_peak(old), source=source)


def _capacity(now: Seen, old: Seen | None) -> dict[str, Any]:
    def found(seen: Seen | None) -> Figure | None:
        capacity = None if seen is None else seen.refined.capacity
        return None if capacity is None else figure_of(capacity.load_per_s)

    source = "compiled engine"
    own = now.refined.capacity
    label = "highest load" if own is None else f"highest load, bound by {own.bound_by}"
    return _card("capacity", label, "req/s", found(now), found(old), source=source)


def _minutes(now: Seen, old: Seen | None) -> dict[str, Any]:
    simulated = now.refined.availability is not None

    def found(seen: Seen | None) -> Figure | None:
        if seen is None:
            return None
        months = seen.refined.availability
        if simulated:
            return None if months is None else figure_of(months.lost_min)
        return lost(seen.figures.availability)

    source = "simulated months" if simulated else "formula"
    return _card("availability", "lost a month", "min", found(now), found(old), source=source)


def _tightest(figures: Figures) -> Figure:
    return min(figures.spare.values(), key=lambda each: each.value or 0.0)
