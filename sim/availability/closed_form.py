"""The availability of a whole topology in closed form: fast enough to screen thousands of designs.

The month's simulation (`sim.availability.month`) has the same parts and the same figures; a test
holds both to the same mean.

Assumes: parts fail independently given the state of their zones; steady state.
Lies when: a failure spreads, or the repair of one part stops another (a restart storm).
"""

from collections.abc import Iterable
from itertools import product

import numpy as np

from sim.availability.futures import ReliabilityFutures, middle_future
from sim.availability.replica_set import no_primary
from sim.availability.structure import Array, alternating, k_of_n, series
from sim.availability.tiers import Tier, tiers_of
from sim.cost.pricebook import HOURS_PER_MONTH
from sim.scenario import Scenario


def availability_of(
    scenario: Scenario, *, api_needed: int = 1, futures: ReliabilityFutures | None = None
) -> Array:
    """Share of time in which every operation is served, in the long run.

    The loss of the cache or of the search engine degrades the service and is not counted here.

    Args:
        scenario: topology, and `reliability` for the zones and the ranges.
        api_needed: API servers that the demand takes, >= 1.
        futures: figures to use, as `drawn_futures` gives them, the same for all designs that are
            compared; None takes the middle of each range.
    Returns: availability 0..1, one value a future (shape () for the middle).
    Raises: InvalidScenario for api_needed below 1.
    Source: [trivedi2002, §1.9 and §1.10], parts in series given the state of the zones.

    >>> from sim.scenario_file import parse_scenario
    >>> text = '''
    ... name: one
    ... question: "?"
    ... workload: {registered_users: 1000, daily_active_fraction: 0.1, requests_per_session: 5,
    ...            mix: {list: 1.0}}
    ... topology: {load_balancer: {instance_type: t3.medium}, api: {replicas: REPLICAS},
    ...            cache: null, database: {members: 1}, search: {engine: mongo_text}}
    ... objectives: {p95_s: 0.2, availability_fraction: 0.999, error_fraction: 0.001}
    ... experiment: {loads_per_s: [1, 2, 3, 4]}
    ... '''
    >>> one, two = (availability_of(parse_scenario(text.replace("REPLICAS", n))) for n in "12")
    >>> bool(one < two)
    True
    """
    figures = futures or middle_future(scenario.reliability)
    ending = [tier for tier in tiers_of(scenario, api_needed) if tier.ends_service]
    return np.asarray(1.0 - together(ending, scenario.reliability.zones, figures))


def together(tiers: Iterable[Tier], zones: int, futures: ReliabilityFutures) -> Array:
    """Unavailability of tiers that are all needed; those in zones go down with them, jointly."""
    every = list(tiers)
    zoned = [tier for tier in every if tier.zoned]
    apart = [away for tier in every for away in _unzoned(tier, zones, futures)]
    if not zoned:
        return series(apart) if apart else np.zeros(np.shape(futures.server_away_h))
    zone_down = alternating(futures.zone_failures_per_h, futures.zone_away_h)
    mixed = np.zeros(np.shape(zone_down))
    for up in product((True, False), repeat=zones):
        lost = up.count(False)
        chance = zone_down**lost * (1.0 - zone_down) ** (zones - lost)
        away = [members_away(tier, left(tier.members, up), futures) for tier in zoned]
        mixed = mixed + chance * series(away)
    return series([*apart, mixed])


def left(members: int, zones_up: tuple[bool, ...]) -> int:
    """Members in the zones that are up, when member i stands in zone i mod zones.

    >>> left(3, (True, False)), left(3, (False, True))  # zone 0 holds members 0 and 2
    (2, 1)
    """
    return sum(zones_up[index % len(zones_up)] for index in range(members))


def members_away(tier: Tier, members: int, futures: ReliabilityFutures) -> Array:
    """Unavailability by the members' own failures when `members` of them are in running zones."""
    beta = futures.common_cause_fraction if tier.members > 1 else np.zeros(())
    own_failures = futures.server_failures_per_h * (1.0 - beta)
    if members < tier.needed:
        return np.ones(np.shape(own_failures))
    if tier.elects:
        return no_primary(
            members, tier.needed, own_failures, futures.server_away_h, election_s(tier, futures)
        )
    return k_of_n(tier.needed, members, alternating(own_failures, futures.server_away_h))


def election_s(tier: Tier, futures: ReliabilityFutures) -> Array:
    """Mean time from a lost primary to the next one, s."""
    return np.asarray(tier.election_timeout_s + futures.election_beyond_timeout_s)


def _unzoned(tier: Tier, zones: int, futures: ReliabilityFutures) -> list[Array]:
    """What takes a tier down whatever its zones do."""
    found = []
    if tier.promise is not None:
        ratio = futures.provider_to_sla_ratio[tier.component]
        found.append(np.minimum(ratio * tier.promise.allowed_unavailability, 1.0))
    if tier.members > 1:
        shared = futures.server_failures_per_h * futures.common_cause_fraction
        found.append(alternating(shared, futures.server_away_h))
    if tier.members and not tier.zoned:
        found.append(members_away(tier, tier.members, futures))
    if tier.zoned and tier.elects:  # the primary's own zone goes: the others elect
        found.append(alternating(futures.zone_failures_per_h, election_s(tier, futures) / 3600.0))
    found.append(planned_away(tier, futures))
    return found


def planned_away(tier: Tier, futures: ReliabilityFutures) -> Array:
    """Share of time lost to planned work.

    None where a spare stands in; an election without its timeout where the primary steps down; all
    of the work's time where the only member is worked on.
    """
    if tier.members == 0 or (tier.has_spare and not tier.elects):
        return np.zeros(np.shape(futures.planned_s))
    each_s = futures.election_beyond_timeout_s if tier.elects else futures.planned_s
    return alternating(futures.planned_per_month / HOURS_PER_MONTH, each_s / 3600.0)
