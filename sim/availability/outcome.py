"""The availability of a scenario as an answer: minutes a month, budget, weak points, prices."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim.availability.closed_form import availability_of, together
from sim.availability.month import Months, simulated_months
from sim.availability.sla import promised_together
from sim.availability.tiers import Tier, tiers_of
from sim.cost.bill import bill
from sim.cost.pricebook import HOURS_PER_MONTH, PriceBook
from sim.errors import InvalidScenario
from sim.queueing.domain import count
from sim.replicate.intervals import Interval, mean_interval
from sim.scenario import BillComponent, Scenario

MINUTES_PER_MONTH = HOURS_PER_MONTH * 60.0


@dataclass(frozen=True)
class TierOutcome:
    """One tier: minutes a month it is away, by the closed form, and what its provider promises."""

    tier: Tier
    minutes: float
    low_min: float
    high_min: float


@dataclass(frozen=True)
class WeakPoint:
    """A part whose loss alone ends (or degrades) the service.

    Attributes:
        name: the part.
        ends_service: False where its loss only degrades the answers.
        remedy: what removes it; None where the topology has no way.
        saved_min: minutes a month that the remedy saves in the long run.
        usd_per_month: what the remedy adds to the bill; None where the book has no price or the
            bill no line for it.
        note: what the price leaves out.
    """

    name: str
    ends_service: bool
    remedy: str | None
    saved_min: float | None
    usd_per_month: float | None
    note: str = ""


@dataclass(frozen=True)
class Availability:
    """What `availability` found.

    Attributes:
        target_fraction: the scenario's objective.
        mean: long-run availability 0..1 with the 95 % interval of the simulated mean.
        low, high: 2.5 % and 97.5 % quantiles over single months, the uncertain figures included.
        screened_fraction: mean of the closed form over the same figures.
        months_within_budget: share of months that keep the objective.
        degraded_min: minutes a month without cache or search engine, mean with interval.
        promised_fraction: what the providers' agreements add up to for the parts they cover.
        tiers: each tier by itself.
        weak_points: those whose loss ends the service first, by the minutes that a remedy saves.
        api_needed: API servers that the demand was taken to need.
        months: simulated months; `seed` repeats them.
    """

    target_fraction: float
    mean: Interval
    low: float
    high: float
    screened_fraction: float
    months_within_budget: float
    degraded_min: Interval
    promised_fraction: float
    tiers: tuple[TierOutcome, ...]
    weak_points: tuple[WeakPoint, ...]
    api_needed: int
    months: int
    seed: int

    @property
    def budget_min(self) -> float:
        """Minutes a month of 730 h that the objective allows to lose."""
        return (1.0 - self.target_fraction) * MINUTES_PER_MONTH


def availability(
    scenario: Scenario, book: PriceBook, *, seed: int = 1, months: int = 2000, api_needed: int = 1
) -> Availability:
    """Simulate months of a scenario's topology and name its weak points with their price.

    Args:
        scenario: topology, `reliability`, objective and prices.
        book: the price book, for what a remedy adds to the bill.
        seed: of all draws, 0..2^63-1; the same seed gives the same answer.
        months: simulated months, 2..10⁶.
        api_needed: API servers that the demand takes, >= 1.
    Returns: the answer; the loss of the cache or the search engine counts as degraded, not down.
    Raises: InvalidScenario outside those domains.
    Source: `simulated_months` for the spread, `availability_of` for the mean.

    >>> from sim.cost import price_book
    >>> from sim.example import shop
    >>> found = availability(shop(), price_book("2026-07"), months=50)
    >>> round(found.budget_min)  # 1 % of 730 h
    438
    >>> found.mean.low <= found.mean.estimate <= found.mean.high
    True
    """
    root = np.random.SeedSequence(count("seed", seed, 2**63 - 1, least=0))
    found = simulated_months(scenario, months, root, api_needed=api_needed)
    uptime = 1.0 - found.down_min / MINUTES_PER_MONTH
    target = scenario.objectives.availability_fraction
    tiers = tiers_of(scenario, api_needed)
    screened = availability_of(scenario, api_needed=api_needed, futures=found.futures)
    return Availability(
        target_fraction=target,
        mean=mean_interval(uptime).within(0.0, 1.0),
        low=float(np.quantile(uptime, 0.025)),
        high=float(np.quantile(uptime, 0.975)),
        screened_fraction=float(np.mean(screened)),
        months_within_budget=float(np.mean(uptime >= target)),
        degraded_min=mean_interval(found.degraded_min).within(0.0, MINUTES_PER_MONTH),
        promised_fraction=promised_together(
            tier.promise for tier in tiers if tier.promise is not None and tier.ends_service
        ),
        tiers=tuple(_tier_outcomes(scenario, tiers, found)),
        weak_points=weak_points(scenario, book, found, api_needed),
        api_needed=api_needed,
        months=months,
        seed=seed,
    )


def _tier_outcomes(
    scenario: Scenario, tiers: tuple[Tier, ...], months: Months
) -> Iterator[TierOutcome]:
    for tier in tiers:
        away = together([tier], scenario.reliability.zones, months.futures) * MINUTES_PER_MONTH
        low, high = np.quantile(away, (0.025, 0.975))
        yield TierOutcome(tier, float(np.mean(away)), float(low), float(high))


def weak_points(
    scenario: Scenario, book: PriceBook, months: Months, api_needed: int
) -> tuple[WeakPoint, ...]:
    """Single points of failure, each with its remedy, what that saves and what it costs."""
    tiers = tiers_of(scenario, api_needed)
    found = []
    for tier in tiers:
        if tier.members == 0 and tier.ends_service:
            note = "its provider's agreement is all there is to hold it to"
            found.append(WeakPoint(tier.name, True, None, None, None, note))
        elif not tier.has_spare or (tier.promise is not None and not tier.ends_service):
            found += _remedied(scenario, book, months, tier)
    if scenario.reliability.zones == 1 and any(tier.zoned for tier in tiers):
        found.append(_spread(scenario, book, months, api_needed))
    return tuple(sorted(found, key=lambda point: (not point.ends_service, -(point.saved_min or 0))))


def _remedied(
    scenario: Scenario, book: PriceBook, months: Months, tier: Tier
) -> Iterator[WeakPoint]:
    topology = scenario.topology
    cache, search = topology.cache, topology.search
    part: dict[str, Any] = {}
    if tier.component is BillComponent.COMPUTE:
        more = tier.needed + 1
        part, text = {"api": topology.api.model_copy(update={"replicas": more})}, f"{more} servers"
    elif tier.component is BillComponent.LOAD_BALANCER:
        managed = topology.load_balancer.model_copy(update={"instance_type": None})
        part, text = {"load_balancer": managed}, "a managed load balancer"
    elif tier.component is BillComponent.DATABASE:
        three = topology.database.model_copy(update={"members": 3})
        part, text = {"database": three}, "a replica set of 3"
    elif tier.component is BillComponent.CACHE and cache is not None and cache.nodes == 1:
        part, text = {"cache": cache.model_copy(update={"nodes": 2})}, "2 nodes in two zones"
    elif tier.component is BillComponent.SEARCH and search.nodes < 3:
        part, text = {"search": search.model_copy(update={"nodes": 3})}, "3 nodes"
    else:
        return
    changed = scenario.model_copy(update={"topology": topology.model_copy(update=part)})
    before, after = (
        np.mean(
            together(
                [t for t in tiers_of(s, tier.needed or 1) if t.component is tier.component],
                scenario.reliability.zones,
                months.futures,
            )
        )
        for s in (scenario, changed)
    )
    yield WeakPoint(
        name=tier.name,
        ends_service=tier.ends_service,
        remedy=text,
        saved_min=float(before - after) * MINUTES_PER_MONTH,
        usd_per_month=_difference_usd(scenario, changed, book),
    )


def _spread(scenario: Scenario, book: PriceBook, months: Months, api_needed: int) -> WeakPoint:
    """All in one zone: the same servers over three."""
    three = scenario.reliability.model_copy(update={"zones": 3})
    changed = scenario.model_copy(update={"reliability": three})
    before, after = (
        np.mean(availability_of(s, api_needed=api_needed, futures=months.futures))
        for s in (scenario, changed)
    )
    return WeakPoint(
        name="the zone in which all servers of one's own stand",
        ends_service=True,
        remedy="the same servers over 3 zones",
        saved_min=float(after - before) * MINUTES_PER_MONTH,
        usd_per_month=_difference_usd(scenario, changed, book),
        note="traffic between zones is not in the bill",
    )


def _difference_usd(before: Scenario, after: Scenario, book: PriceBook) -> float | None:
    try:
        return bill(after, book).total_usd - bill(before, book).total_usd
    except InvalidScenario:
        return None  # the book has no price for one of the two
