"""The availability of a scenario as an artefact, as an objective of the verdict and as HTML."""

from collections.abc import Iterator
from typing import ClassVar

from headroom.artefacts import Artefact, Estimate, ObjectiveResult, ObjectiveStatus, Record
from headroom.proportion import wilson
from headroom.sections import Html, paragraph, table
from headroom.wording import cents, digits, span
from sim.availability import MINUTES_PER_MONTH, Availability, availability
from sim.cost import PriceBook
from sim.scenario import Scenario

MONTHS, SEED = 2000, 1


class TierMinutes(Record):
    """A tier by itself: minutes a month away, and what its provider's agreement promises."""

    name: str
    component: str
    ends_service: bool
    minutes: Estimate
    promised_fraction: float | None
    promise: str  # service, configuration, date and source; empty where nothing is promised


class WeakPointRecord(Record):
    """A part whose loss alone ends or degrades the service, and what removing it costs."""

    name: str
    ends_service: bool
    remedy: str | None
    saved_min: float | None
    usd_per_month: float | None
    note: str


class AvailabilityArtefact(Artefact):
    """Simulated months of a topology; a model on assumed ranges, never a measurement."""

    FILE: ClassVar[str] = "availability.json"

    seed: int
    months: int
    zones: int
    api_needed: int
    target_fraction: float
    uptime: Estimate  # mean over months; ends: 95 % of single months
    uptime_mean: Estimate  # the mean with the interval of the simulation
    closed_form_fraction: float
    months_within_budget: Estimate
    budget_min: float
    lost_min: Estimate
    degraded_min: Estimate
    promised_fraction: float
    tiers: tuple[TierMinutes, ...]
    weak_points: tuple[WeakPointRecord, ...]
    ranges: dict[str, Estimate]  # of the figures behind it; value: the middle


def available(
    scenario: Scenario, book: PriceBook, *, api_needed: int = 1, months: int = MONTHS
) -> AvailabilityArtefact:
    """Simulate months of a scenario; `api_needed` servers of the API carry its demand."""
    found = availability(scenario, book, seed=SEED, months=months, api_needed=api_needed)
    return availability_artefact(scenario, found)


def availability_artefact(scenario: Scenario, found: Availability) -> AvailabilityArtefact:
    """An availability in the form in which a run stores it."""
    mean = found.mean

    def lost(fraction: float) -> float:
        return max(0.0, (1.0 - fraction) * MINUTES_PER_MONTH)

    return AvailabilityArtefact(
        seed=found.seed,
        months=found.months,
        zones=scenario.reliability.zones,
        api_needed=found.api_needed,
        target_fraction=found.target_fraction,
        uptime=Estimate(value=mean.estimate, low=found.low, high=found.high),
        uptime_mean=Estimate(value=mean.estimate, low=mean.low, high=mean.high),
        closed_form_fraction=found.screened_fraction,
        months_within_budget=wilson(round(found.months_within_budget * found.months), found.months),
        budget_min=found.budget_min,
        lost_min=Estimate(value=lost(mean.estimate), low=lost(found.high), high=lost(found.low)),
        degraded_min=Estimate(
            value=found.degraded_min.estimate,
            low=max(0.0, found.degraded_min.low),
            high=found.degraded_min.high,
        ),
        promised_fraction=found.promised_fraction,
        tiers=tuple(_tiers(found)),
        weak_points=tuple(WeakPointRecord(**vars(point)) for point in found.weak_points),
        ranges={
            name: Estimate(
                value=(value["low"] * value["high"]) ** 0.5, low=value["low"], high=value["high"]
            )
            for name, value in scenario.reliability.model_dump().items()
            if isinstance(value, dict)
        },
    )


def _tiers(found: Availability) -> Iterator[TierMinutes]:
    for outcome in found.tiers:
        tier, promise = outcome.tier, outcome.tier.promise
        yield TierMinutes(
            name=tier.name,
            component=tier.component,
            ends_service=tier.ends_service,
            minutes=Estimate(value=outcome.minutes, low=outcome.low_min, high=outcome.high_min),
            promised_fraction=promise.uptime_fraction if promise else None,
            promise=(
                f"{promise.provider} {promise.service}, {promise.configuration}, "
                f"{promise.as_of}: {promise.source}"
                if promise
                else ""
            ),
        )


def objective(scenario: Scenario, found: AvailabilityArtefact | None) -> ObjectiveResult:
    """The availability objective: judged by the model, and said to be; untested without one."""
    target = scenario.objectives.availability_fraction
    status: ObjectiveStatus = "UNTESTED"
    note = f"allows {(1 - target) * MINUTES_PER_MONTH:.0f} minutes a month; not modelled here"
    if found is not None:
        status = "PASS" if found.uptime.value >= target else "FAIL"
        note = (
            f"by the model, on assumed failure rates: {digits(found.lost_min.value)} minutes a "
            f"month lost of {digits(found.budget_min)} allowed; "
            f"{found.months_within_budget.value:.0%} of {found.months:,} simulated months keep it"
        )
    return ObjectiveResult(
        name="availability",
        target=f"≥ {target * 100:.4g} %",
        measured=None,
        modelled=found.uptime if found else None,
        unit="uptime",
        status=status,
        note=note,
    )


def action(found: AvailabilityArtefact) -> str | None:
    """The remedy that saves most, as a sentence; None where there is none."""
    ending = [point for point in found.weak_points if point.ends_service and point.saved_min]
    if not ending:
        return None
    best = max(ending, key=lambda point: point.saved_min or 0.0)
    price = "at no price in the bill" if not best.usd_per_month else _price(best)
    return (
        f"Remove a single point of failure: {best.remedy} instead of {best.name} saves "
        f"{digits(best.saved_min or 0.0)} minutes a month, {price}"
        f"{f' ({best.note})' if best.note else ''}."
    )


def _price(point: WeakPointRecord) -> str:
    return "price unknown" if point.usd_per_month is None else f"{cents(point.usd_per_month)} more"


def summary(found: AvailabilityArtefact) -> Html:
    """The answer in sentences: minutes against the budget, promises, what is assumed."""
    mean = found.uptime_mean
    return paragraph(
        f"A model on assumed failure rates, not a measurement. {digits(found.lost_min.value)} "
        f"minutes a month are lost in the mean "
        f"({span(found.lost_min.low, found.lost_min.high, 'min')} in 95 % of months), where the "
        f"objective of {found.target_fraction * 100:.4g} % allows {digits(found.budget_min)}; "
        f"{found.months_within_budget.value:.0%} of {found.months:,} simulated months keep it. "
        f"Mean availability {mean.value * 100:.3f} % ({mean.low * 100:.3f}–{mean.high * 100:.3f}), "
        f"by the closed form {found.closed_form_fraction * 100:.3f} %. "
        f"Another {digits(found.degraded_min.value)} minutes a month pass without cache or search "
        f"engine: slower and coarser, not down. The providers' agreements for the parts that a "
        f"request needs compose to {found.promised_fraction * 100:.3f} %. Servers of one's own "
        f"stand in {found.zones} zone{'s' if found.zones > 1 else ''}; "
        f"{found.api_needed} API server{'s are' if found.api_needed > 1 else ' is'} needed. "
        f"Seed {found.seed}."
    )


def tier_table(found: AvailabilityArtefact) -> Html:
    """Minutes a month of each tier by itself, beside what its provider promises."""
    return table(
        ("Tier", "Its loss", "Minutes a month", "95 % of futures", "Promised", "Agreement"),
        [
            (
                tier.name,
                "ends the service" if tier.ends_service else "degrades it",
                digits(tier.minutes.value),
                span(tier.minutes.low, tier.minutes.high, "min"),
                "–" if tier.promised_fraction is None else f"{tier.promised_fraction * 100:.4g} %",
                tier.promise or "none: servers of one's own",
            )
            for tier in found.tiers
        ],
        numeric=(2, 3, 4),
    )


def weak_point_table(found: AvailabilityArtefact) -> Html:
    """Single points of failure with what removing each saves and costs."""
    return table(
        ("Single point of failure", "Its loss", "Remedy", "Saves, min a month", "Costs a month"),
        [
            (
                point.name,
                "ends the service" if point.ends_service else "degrades it",
                f"{point.remedy or 'none here'}{f': {point.note}' if point.note else ''}",
                "–" if point.saved_min is None else digits(point.saved_min),
                "–"
                if point.remedy is None
                else "unknown"
                if point.usd_per_month is None
                else cents(point.usd_per_month),
            )
            for point in found.weak_points
        ],
        numeric=(3, 4),
    )


def assumption_table(found: AvailabilityArtefact) -> Html:
    """The ranges behind it, read as 5 % and 95 % quantiles."""
    return table(
        ("Figure (unit in its name)", "5 %", "Middle", "95 %"),
        [
            (name.replace("_", " "), digits(r.low), digits(r.value), digits(r.high))
            for name, r in found.ranges.items()
        ],
        numeric=(1, 2, 3),
    )
