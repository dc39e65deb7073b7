"""Months of a topology, simulated: how many minutes each loses, not the mean alone.

Each month draws its own figures from the ranges of the scenario, then every server, zone and
provider fails and returns by itself; members of a replica set elect. The parts and their figures
are those of `sim.availability.closed_form`.

Assumes: exponential times between failures and until the return; the month begins in the steady
    state; a replica set that has a majority at its beginning has a primary.
Lies when: failures come in clusters (a bad release rolled out twice), or a failure is not noticed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sim.availability.closed_form import election_s
from sim.availability.futures import ReliabilityFutures, drawn_futures
from sim.availability.structure import Array
from sim.availability.tiers import Tier, tiers_of
from sim.cost.pricebook import HOURS_PER_MONTH
from sim.queueing.domain import count
from sim.scenario import Scenario

Outage = tuple[float, float]  # from, to; hours since the beginning of the month


@dataclass(frozen=True)
class Months:
    """Simulated months of 730 h.

    Attributes:
        futures: the figures of each month, as drawn from the ranges.
        down_min: minutes of each month in which some operation is not served.
        degraded_min: minutes in which all are served, but without cache or search engine.
        by_tier_min: minutes of each month in which a tier is away, by its name; tiers overlap.
    """

    futures: ReliabilityFutures
    down_min: Array
    degraded_min: Array
    by_tier_min: dict[str, Array]


def simulated_months(
    scenario: Scenario, months: int, seed: np.random.SeedSequence, *, api_needed: int = 1
) -> Months:
    """Independent months of a topology; each with figures of its own.

    Args:
        scenario: topology and `reliability`.
        months: how many, 2..10⁶.
        seed: the same seed gives the same months.
        api_needed: API servers that the demand takes, >= 1.
    Returns: minutes lost in each month.
    Raises: InvalidScenario outside those domains.
    Source: independent replications, as in [law2015, §9.4]; the closed form is checked against
        them.

    >>> from sim.example import shop
    >>> months = simulated_months(shop(), 2, np.random.SeedSequence(1))
    >>> months.down_min.shape, bool((months.down_min <= 730 * 60).all())
    ((2,), True)
    """
    wanted = count("months", months, 10**6, least=2)
    tiers = tiers_of(scenario, api_needed)
    of_figures, *of_months = seed.spawn(wanted + 1)
    futures = drawn_futures(scenario.reliability, wanted, np.random.default_rng(of_figures))
    down, degraded = np.zeros(wanted), np.zeros(wanted)
    by_tier = {tier.name: np.zeros(wanted) for tier in tiers}
    for index, stream in enumerate(of_months):
        rng = np.random.default_rng(stream)
        figures = futures.at(index)
        zones = _outages(
            rng, scenario.reliability.zones, figures.zone_failures_per_h, figures.zone_away_h
        )
        ending: list[Outage] = []
        degrading: list[Outage] = []
        for tier in tiers:
            lost = _tier_outages(rng, tier, zones, figures)
            by_tier[tier.name][index] = _minutes(lost)
            (ending if tier.ends_service else degrading).extend(lost)
        down[index] = _minutes(ending)
        degraded[index] = _minutes([*ending, *degrading]) - down[index]
    return Months(futures, down, degraded, by_tier)


def _minutes(outages: Iterable[Outage]) -> float:
    """Length of the union of outages, min."""
    total, until = 0.0, 0.0
    for start, end in sorted(outages):
        if end > until:
            total += end - max(start, until)
            until = end
    return total * 60.0


def _outages(
    rng: np.random.Generator, parts: int, failures_per_h: Array, away_h: Array
) -> list[list[Outage]]:
    """Outages of parts alike within the month, each beginning in its steady state."""
    if parts == 0 or failures_per_h <= 0:
        return [[] for _ in range(parts)]
    between, away = 1.0 / float(failures_per_h), float(away_h)
    is_down = rng.random(parts) < away / (between + away)
    first = np.where(is_down, rng.exponential(away, parts), rng.exponential(between, parts))
    found: list[list[Outage]] = []
    for starts_down, change in zip(is_down, first, strict=True):
        own: list[Outage] = []
        clock = float(change)
        if starts_down:
            own.append((0.0, min(clock, HOURS_PER_MONTH)))
            clock += float(rng.exponential(between))
        while clock < HOURS_PER_MONTH:
            end = clock + float(rng.exponential(away))
            own.append((clock, min(end, HOURS_PER_MONTH)))
            clock = end + float(rng.exponential(between))
        found.append(own)
    return found


def _tier_outages(
    rng: np.random.Generator, tier: Tier, zones: Sequence[list[Outage]], figures: ReliabilityFutures
) -> list[Outage]:
    """When a tier is away, whatever the cause; outages may overlap."""
    found: list[Outage] = []
    if tier.promise is not None:
        ratio = float(figures.provider_to_sla_ratio[tier.component])
        lost = min(ratio * tier.promise.allowed_unavailability, 0.999)
        per_h = np.asarray(lost / (1.0 - lost) / float(figures.provider_away_h))
        found += _outages(rng, 1, per_h, figures.provider_away_h)[0]
    if tier.members:
        beta = float(figures.common_cause_fraction) if tier.members > 1 else 0.0
        failures = figures.server_failures_per_h
        shared = _outages(rng, 1, failures * beta, figures.server_away_h)[0]
        found += shared
        own = _outages(rng, tier.members, failures * (1.0 - beta), figures.server_away_h)
        if tier.zoned:
            own = [[*outages, *zones[i % len(zones)]] for i, outages in enumerate(own)]
        if tier.elects:
            found += _without_primary(rng, tier, own, float(election_s(tier, figures)) / 3600.0)
        else:
            found += _too_few(own, tier.needed)
    if tier.members and (tier.elects or not tier.has_spare):
        each_s = figures.election_beyond_timeout_s if tier.elects else figures.planned_s
        per_h = figures.planned_per_month / HOURS_PER_MONTH
        found += _outages(rng, 1, per_h, each_s / 3600.0)[0]
    return found


def _changes(members: Sequence[list[Outage]]) -> list[tuple[float, int, int]]:
    """(time, member, +1 at the beginning and -1 at the end of one of its outages), in order."""
    return sorted(
        change
        for member, outages in enumerate(members)
        for start, end in outages
        for change in ((start, member, 1), (end, member, -1))
    )


def _too_few(members: Sequence[list[Outage]], needed: int) -> list[Outage]:
    """When fewer than `needed` members are up."""
    causes, up = [0] * len(members), len(members)
    found: list[Outage] = []
    began: float | None = None
    for time, member, step in _changes(members):
        was_up = causes[member] == 0
        causes[member] += step
        up += int(causes[member] == 0) - int(was_up)
        if up < needed and began is None:
            began = time
        elif up >= needed and began is not None:
            found.append((began, time))
            began = None
    return found if began is None else [*found, (began, HOURS_PER_MONTH)]


def _without_primary(
    rng: np.random.Generator, tier: Tier, members: Sequence[list[Outage]], election_h: float
) -> list[Outage]:
    """When a replica set has no primary: no majority, or an election under way."""
    causes = [0] * len(members)
    primary: int | None = 0
    lost_at, elected_at = 0.0, float("inf")  # the latter while an election is under way
    found: list[Outage] = []
    for time, member, step in [*_changes(members), (HOURS_PER_MONTH, 0, 0)]:
        if primary is None and elected_at <= time:
            primary = causes.index(0)
            found.append((lost_at, elected_at))
        causes[member] += step
        enough = causes.count(0) >= tier.needed
        if primary is not None and (causes[primary] or not enough):
            primary, lost_at, elected_at = None, time, float("inf")
        if primary is None and not enough:
            elected_at = float("inf")
        elif primary is None and elected_at == float("inf"):
            elected_at = time + float(rng.exponential(election_h))
    return found if primary is not None else [*found, (lost_at, HOURS_PER_MONTH)]
