"""What the load does to a bill: CPU credits along the day, each line at multiples of the load."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from headroom.artefacts import Artefact, Estimate, Record, Run
from headroom.demands import speed_ratio
from headroom.plan import demands_for, example_demands
from headroom.sections import Html, paragraph, table
from headroom.wording import amount, cents, digits, with_range
from sim.cost import (
    CreditDay,
    GrowthPoint,
    PriceBook,
    api_credit_day,
    bill_growth,
    burstable,
)
from sim.cost.burst import credit_lines
from sim.errors import InvalidScenario
from sim.plan import MeasuredDemands
from sim.scenario import FAMILY_OF, BillComponent, Scenario

POINTS = 240  # of a balance that is stored and drawn
CPU_COMPONENTS = ("api", "api_threads")


class CreditsRecord(Record):
    """CPU credits of one API server along the scenario's demand."""

    instance_type: str
    mode: str
    cpu_s: Estimate  # of the API for one request, on that type
    measured_on: str
    assumed: bool
    baseline_fraction: float
    earned_per_day: float
    spent_per_day: float
    dry_from_h: float | None
    dry_fraction: float
    withheld_fraction: float  # of the credits wanted, in standard mode
    surcharge_usd: Estimate  # a month, all servers
    dry_at_cpu_s: float | None  # CPU time of a request from which credits run dry; None: never
    hours: tuple[float, ...]
    balance: tuple[float, ...]


class GrowthRecord(Record):
    """The bill at a multiple of the load."""

    multiple: float
    load_per_s: float
    replicas: int
    usd: dict[str, float]  # by component
    total_usd: Estimate
    usd_per_million_requests: Estimate


class LoadCost(Artefact):
    """Credits and growth of a scenario's bill."""

    FILE: ClassVar[str] = "load_cost.json"

    credits: CreditsRecord | None  # None for types without credits
    growth: tuple[GrowthRecord, ...]


def api_cpu_of(
    scenario: Scenario, measured: MeasuredDemands, hit_ratio: Mapping[str, float] | None = None
) -> Estimate:
    """CPU time of the API for a request of the mix, moved to the scenario's instance type.

    The range holds the calibration's own and that of the CPU scores. Without hit ratios (by
    family) every look-up is taken to miss, and the low end to hit.
    """
    by_class = {
        (each.operation, each.outcome): sum(each.cpu_s.get(name, 0.0) for name in CPU_COMPONENTS)
        for each in measured.for_scenario(scenario)
    }
    ends = {"low": 0.0, "value": 0.0, "high": 0.0}
    for operation, share in scenario.workload.mix.items():
        own = {outcome: cpu for (name, outcome), cpu in by_class.items() if name == operation}
        family = FAMILY_OF.get(operation)
        ratio = (hit_ratio or {}).get(family.value) if family else None
        if "hit" not in own or "miss" not in own:
            low = value = high = max(own.values())
        elif ratio is None:
            low, value, high = min(own.values()), own["miss"], max(own.values())
        else:
            low = value = high = ratio * own["hit"] + (1 - ratio) * own["miss"]
        for end, cpu in (("low", low), ("value", value), ("high", high)):
            ends[end] += share * cpu
    fewest, most = measured.spread.get("api", (1.0, 1.0))
    speed = speed_ratio(scenario)
    return Estimate(
        value=ends["value"] / speed.value,
        low=ends["low"] * fewest / speed.high,
        high=ends["high"] * most / speed.low,
    )


def api_demand_of(run: Run, hit_ratio: Mapping[str, float]) -> tuple[Estimate, MeasuredDemands]:
    """The API's CPU time for a request and whose demands it comes from.

    The example's, as an assumption, where the run's calibration lacks a kind of request.
    """
    scenario, measured = run.scenario, demands_for(run)
    try:
        return api_cpu_of(scenario, measured, hit_ratio), measured
    except InvalidScenario:
        measured = example_demands()
        return api_cpu_of(scenario, measured, hit_ratio), measured


def triple(cpu_s: Estimate) -> tuple[float, float, float]:
    """Low end, value and high end, as the bill takes them."""
    return cpu_s.low, cpu_s.value, cpu_s.high


def load_cost(
    scenario: Scenario, book: PriceBook, cpu_s: Estimate, measured_on: str, *, assumed: bool
) -> LoadCost:
    """Credits and growth of a scenario, for an API that takes `cpu_s` a request.

    `measured_on` says in words where that comes from, `assumed` that it is not the scenario's own.
    """
    points = bill_growth(scenario, book, api_cpu_s=triple(cpu_s))
    return LoadCost(
        credits=_credits(scenario, book, cpu_s, measured_on, assumed=assumed),
        growth=tuple(_growth(point) for point in points),
    )


def _growth(point: GrowthPoint) -> GrowthRecord:
    bill = point.bill
    total = Estimate(value=bill.total_usd, low=bill.low_usd, high=bill.high_usd)
    each = {end: bill.per_million_requests_usd(usd) for end, usd in total.model_dump().items()}
    present = {line.component for line in bill.lines}
    return GrowthRecord(
        multiple=point.multiple,
        load_per_s=point.load_per_s,
        replicas=point.replicas,
        usd={part.value: point.usd(part) for part in BillComponent if part in present},
        total_usd=total,
        usd_per_million_requests=Estimate(**each),
    )


def _credits(
    scenario: Scenario, book: PriceBook, cpu_s: Estimate, measured_on: str, *, assumed: bool
) -> CreditsRecord | None:
    day = api_credit_day(scenario, cpu_s.value)
    if day is None:
        return None
    replicas = scenario.topology.api.replicas
    lines = credit_lines(scenario, book, triple(cpu_s), replicas)
    surcharge = Estimate.exact(0.0)
    if lines:
        (line,) = lines
        surcharge = Estimate(value=line.usd_per_month, low=line.low_usd, high=line.high_usd)
    days = float(day.hours[-1]) / 24.0
    shown = np.unique(np.linspace(0, day.hours.size - 1, POINTS).astype(int))
    wanted = day.spent + day.withheld
    return CreditsRecord(
        instance_type=day.sku,
        mode=day.mode,
        cpu_s=cpu_s,
        measured_on=measured_on,
        assumed=assumed,
        baseline_fraction=burstable(day.sku).baseline_fraction,
        earned_per_day=day.earned / days,
        spent_per_day=day.spent / days,
        dry_from_h=day.dry_from_h,
        dry_fraction=day.dry_fraction,
        withheld_fraction=day.withheld / wanted if wanted > 0 else 0.0,
        surcharge_usd=surcharge,
        dry_at_cpu_s=_dry_at(scenario),
        hours=tuple(float(hour) for hour in day.hours[shown]),
        balance=tuple(float(credits) for credits in day.balance[shown]),
    )


def _dry_at(scenario: Scenario) -> float | None:
    """CPU time of a request from which a server's credits run dry some time."""

    def day_at(cpu_s: float) -> CreditDay:
        day = api_credit_day(scenario, cpu_s)
        assert day is not None  # the caller has a type with credits
        return day

    low, high = 1e-6, 100.0
    if day_at(high).dry_from_h is None:
        return None
    while high / low > 1.005:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if day_at(middle).dry_from_h is not None else (middle, high)
    return high


def credits_summary(found: CreditsRecord | None) -> Html:
    """When credits run dry and what that costs, in sentences."""
    if found is None:
        return paragraph("The API's instance type has no CPU credits: nothing to run dry.")
    dry = (
        "its credits never run dry"
        if found.dry_from_h is None
        else f"it runs dry for the first time at hour {digits(found.dry_from_h)}, "
        f"{found.dry_fraction:.1%} of the time"
    )
    effect = (
        f"surcharge of all servers {with_range(found.surcharge_usd, 'usd')} a month"
        if found.mode == "unlimited"
        else f"{found.withheld_fraction:.1%} of the CPU time wanted is withheld"
    )
    limit = (
        "No CPU time of a request would make them run dry"
        if found.dry_at_cpu_s is None
        else f"They would from {amount(found.dry_at_cpu_s, 's')} of CPU a request on"
    )
    source = "an assumption: demands of " if found.assumed else "calibrated on "
    return paragraph(
        f"One {found.instance_type} earns {digits(found.earned_per_day)} credits a day and spends "
        f"{digits(found.spent_per_day)} at {with_range(found.cpu_s, 's')} of CPU a request "
        f"({source}{found.measured_on}, moved by CPU score): {dry}. {limit}. "
        f"Mode {found.mode}: {effect}. Baseline {found.baseline_fraction:.0%} of each vCPU."
    )


def growth_table(found: LoadCost) -> Html:
    """Each part of the bill at multiples of the load."""
    components = list(found.growth[0].usd)
    return table(
        (
            "Load",
            "Mean, req/s",
            "API servers",
            *(name.replace("_", " ") for name in components),
            "Total a month",
            "A million requests",
        ),
        [
            (
                f"× {digits(point.multiple)}",
                digits(point.load_per_s),
                str(point.replicas),
                *(cents(point.usd.get(name, 0.0)) for name in components),
                with_range(point.total_usd, "usd"),
                with_range(point.usd_per_million_requests, "usd"),
            )
            for point in found.growth
        ],
        numeric=range(1, 5 + len(components)),
    )
