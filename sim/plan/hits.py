"""Hit ratios of a plan's caches as functions of the load, tabulated once per cache option.

Assumes: as `sim.cache.families`; where memory is short all entries live to the same age.
Lies when: LRU keeps the popular longer than that (the real ratio is higher: this is a lower bound);
    keys of one family crowd out another's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sim.cache.families import KeyClasses, key_classes
from sim.cache.sizing import redis_item_bytes
from sim.cache.ttl import hit_fraction
from sim.scenario import FAMILY_OF, Cache, Family, Scenario

Floats = NDArray[np.float64]

KEY_BYTES = 40
USABLE_FRACTION = 0.75  # of a node's memory: what ElastiCache leaves to data by default
GRID = 25
_HALVINGS = 40


@dataclass(frozen=True)
class HitTable:
    """Long-run hit ratio of each family over a grid of loads, people growing with none of it.

    Args:
        families: in the order of the rows.
        load_per_s: the grid, ascending.
        fraction: [family, load].
        asked: share of all requests that ask each family.
        people: that ask in a day, for whom the table was made.
        bytes: at most, that the entries need to stay for their TTL.
    """

    families: tuple[Family, ...]
    load_per_s: Floats
    fraction: Floats
    asked: Floats
    people: float
    bytes: float = 0.0

    def at(self, load_per_s: Floats, people: Floats, shift: Floats) -> Floats:
        """Hit ratios [family, …] at loads asked by so many people, each moved by `shift`.

        A user's favourites are found again as often as that user asks: by load per person.
        """
        at = np.log(self.load_per_s)
        found = np.empty((len(self.families), *load_per_s.shape))
        for row, family in enumerate(self.families):
            load = load_per_s
            if family is Family.FAVOURITES:
                load = load_per_s * self.people / people
            found[row] = np.interp(np.log(load), at, self.fraction[row])
        return np.clip(found + shift, 0.0, 1.0) if len(self.families) else found

    def overall(self, fractions: Floats) -> Floats:
        """Hits over lookups of all families, for fractions as `at` gives them."""
        if not self.asked.sum():
            return np.zeros(fractions.shape[1:])
        return np.asarray(np.einsum("f,f...->...", self.asked / self.asked.sum(), fractions))


def hit_table(
    scenario: Scenario, memory_gib: float, lowest_per_s: float, highest_per_s: float
) -> HitTable:
    """Tabulate the hit ratios of the scenario's cache over a range of loads.

    Args:
        scenario: workload and cache policies; without a cache the table has no rows.
        memory_gib: of one node, may be infinite; all nodes hold the same. Where the entries that
            live within their TTL need more than the usable part, all leave after the age at which
            they just fit, a lower bound on what LRU reaches.
        lowest_per_s, highest_per_s: loads that the table must cover, > 0.
    """
    workload = scenario.workload.model_dump_json()
    cache = scenario.topology.cache
    families = "" if cache is None else cache.model_dump_json(include={"families"})
    items = scenario.plan.items.model_dump_json()
    asked = _Asked(f"{workload}{families}{items}", scenario)
    return _tabulated(asked, memory_gib, lowest_per_s, highest_per_s)


@dataclass(frozen=True)
class _Asked:
    """A scenario, equal to another where their tables are."""

    key: str
    scenario: Scenario = field(compare=False)


@lru_cache(maxsize=64)
def _tabulated(
    question: _Asked, memory_gib: float, lowest_per_s: float, highest_per_s: float
) -> HitTable:
    scenario = question.scenario
    grid = np.geomspace(lowest_per_s / 1.01, highest_per_s * 1.01, GRID)
    cache = scenario.topology.cache
    workload = scenario.workload.asked_by_all_of_a_day()
    people = workload.active_users_per_day
    if cache is None:
        return HitTable((), grid, np.empty((0, GRID)), np.empty(0), people)
    asked = {
        family: sum(workload.mix.get(o, 0.0) for o, of in FAMILY_OF.items() if of is family)
        for family in cache.families
    }
    families = tuple(cache.families)
    fraction, needed = np.zeros((len(families), GRID)), 0.0
    room = memory_gib * USABLE_FRACTION * 2**30
    sizes = item_bytes(scenario)
    for column, load in enumerate(grid):
        keys = {
            family: key_classes(workload, family, policy, float(load))
            for family, policy in cache.families.items()
            if asked[family] > 0
        }
        hits, wanted = _fitting(cache, keys, sizes, room)
        needed = max(needed, wanted)
        for row, family in enumerate(families):
            if family in keys:
                fraction[row, column] = _ratio(keys[family], hits[family])
    shares = np.array([asked[family] for family in families])
    for shared in (grid, fraction, shares):
        shared.setflags(write=False)
    return HitTable(families, grid, fraction, shares, people, needed)


def item_bytes(scenario: Scenario) -> dict[Family, float]:
    """Bytes of one entry in Redis, by family."""
    sizes = scenario.plan.items
    return {
        Family.LISTING: redis_item_bytes(KEY_BYTES, sizes.listing_bytes),
        Family.SEARCH: redis_item_bytes(KEY_BYTES, sizes.search_bytes),
        Family.FAVOURITES: redis_item_bytes(KEY_BYTES, sizes.favourites_bytes),
    }


def _ratio(keys: KeyClasses, hits: Floats) -> float:
    weight = keys.members * keys.requests_per_s
    return float(weight @ hits) / float(weight.sum())


def _fitting(
    cache: Cache, keys: Mapping[Family, KeyClasses], sizes: Mapping[Family, float], room: float
) -> tuple[dict[Family, Floats], float]:
    """Hit ratio of each key, cut to the age at which all entries fit; what they need uncut."""
    ttls = {family: cache.families[family].ttl_s for family in keys}

    def hits(most_s: float) -> dict[Family, Floats]:
        return {
            family: hit_fraction(each.requests_per_s, min(ttls[family], most_s), each.clears_per_s)
            for family, each in keys.items()
        }

    def resident(found: Mapping[Family, Floats]) -> float:
        # By PASTA a key's hit ratio is the share of time in which it is there.
        return sum(sizes[family] * float(keys[family].members @ found[family]) for family in keys)

    longest = max(ttls.values(), default=1.0)
    found = hits(longest)
    needed = resident(found)
    if needed <= room:
        return found, needed
    low, high = 1e-6, longest
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if resident(hits(middle)) <= room else (low, middle)
    return hits(low), needed
