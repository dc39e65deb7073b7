"""The scenario's cache replayed on one request trace: what each request of it finds.

Same keys and clears as `families` (see there who clears what), but no averages: given the trace
that the live stack is sent, this says request by request which ones a TTL cache answers.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.cache.trace import dense_ids, ttl_hits_with_clears
from sim.errors import require
from sim.scenario import FAMILY_OF, Cache, CachePolicy, Catalogue, Family, Operation
from sim.workload.trace import Trace

_SMALL = 2**22  # ids below this need no renumbering


@dataclass(frozen=True)
class Counts:
    """Lookups of one family and how many of them were hits."""

    hits: int
    lookups: int

    @property
    def fraction(self) -> float:
        """Hits / lookups; 0 if there were none."""
        return self.hits / self.lookups if self.lookups else 0.0


def replay(trace: Trace, catalogue: Catalogue, cache: Cache | None) -> NDArray[np.bool_]:
    """True for each request of `trace` that the cache answers, from a cold start.

    Args:
        trace: requests in order of arrival.
        catalogue: the one the trace was made for.
        cache: TTLs and policies; None answers nothing.
    Returns: bool[n]. Requests of operations that are not cached are False. Memory is taken to
        suffice, and a fill to take no time (see `stampede`).
    Source: the definition; `families` gives its expectation.

    >>> from sim.scenario import CachePolicy
    >>> ask = Trace(np.array([0.0, 1.0, 9.0]), ("search",), np.zeros(3, dtype=np.int16),
    ...     np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64))
    >>> cache = Cache(families={Family.SEARCH: CachePolicy(ttl_s=5.0)})
    >>> replay(ask, Catalogue(), cache).tolist()
    [False, True, False]
    """
    hit = np.zeros(len(trace), dtype=np.bool_)
    for family, policy in (cache.families if cache else {}).items():
        names = [operation for operation, of in FAMILY_OF.items() if of is family]
        lookups = np.flatnonzero(trace.is_operation(*names))
        if lookups.size:
            hit[lookups] = _family_hits(trace, lookups, catalogue, family, policy)
    return hit


def replayed_hit_ratios(
    trace: Trace,
    catalogue: Catalogue,
    cache: Cache | None,
    window_s: tuple[float, float] | None = None,
) -> dict[Family, Counts]:
    """Hits and lookups of each family in a window of the replayed trace.

    Args:
        trace, catalogue, cache: as for `replay`; the cache is cold at time 0 of the trace.
        window_s: count requests that arrive in [t0, t1), s; None: all.
    Returns: counts for every cached family.
    Raises: InvalidScenario for a window that ends before it begins.
    Source: counts of `replay`.

    >>> from sim.example import shop
    >>> s = shop()
    >>> zero = np.zeros(3, np.int64)
    >>> times = np.array([0.0, 1.0, 301.0])  # the entry lives for 300 s
    >>> trace = Trace(times, (Operation.LIST,), zero.astype(np.int16), zero, zero)
    >>> replayed_hit_ratios(trace, s.workload.catalogue, s.topology.cache)[Family.LISTING]
    Counts(hits=1, lookups=3)
    """
    begin, end = window_s or (-np.inf, np.inf)
    require(begin < end, "window_s", window_s, "start < end")
    hit = replay(trace, catalogue, cache)
    counted = (trace.arrival_s >= begin) & (trace.arrival_s < end)
    counts = {}
    for family in cache.families if cache else {}:
        names = [operation for operation, of in FAMILY_OF.items() if of is family]
        chosen = counted & trace.is_operation(*names)
        counts[family] = Counts(int(hit[chosen].sum()), int(chosen.sum()))
    return counts


def _family_hits(
    trace: Trace,
    lookups: NDArray[np.intp],
    catalogue: Catalogue,
    family: Family,
    policy: CachePolicy,
) -> NDArray[np.bool_]:
    key = trace.key[lookups]
    clear_time_s, clear_group = _clears(trace, catalogue, family, policy)
    if family is Family.LISTING:
        group = key // catalogue.pages_per_category
        # Offset pages and cursor pages have a copy each: even and odd ids.
        cursor = trace.is_operation(Operation.LIST_CURSOR)[lookups]
        key = 2 * key + cursor
    elif family is Family.SEARCH:
        group = np.zeros_like(key)
    else:
        group = key
    ids, groups, clear_group = _renumbered(key, group, clear_group)
    group_of_key = np.zeros(int(ids.max()) + 1, dtype=np.int64)
    group_of_key[ids] = groups
    return ttl_hits_with_clears(
        trace.arrival_s[lookups],
        ids,
        policy.ttl_s,
        group_of_key=group_of_key,
        clear_time_s=clear_time_s,
        clear_group=clear_group,
    )


def _clears(
    trace: Trace, catalogue: Catalogue, family: Family, policy: CachePolicy
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Times and groups of the events that clear keys of the family, in order of time."""
    times, groups = [], []
    if policy.cleared_by_product_update:
        update = trace.is_operation(Operation.PRODUCT_UPDATE)
        times.append(trace.arrival_s[update])
        everything = 0 if family is Family.LISTING else -1
        groups.append(np.full(times[0].size, everything, dtype=np.int64))
        if family is Family.LISTING:
            times.append(times[0])
            groups.append(1 + trace.key[update] % catalogue.categories)
    if family is Family.FAVOURITES:
        added = trace.is_operation(Operation.FAVOURITE_ADD)
        times.append(trace.arrival_s[added])
        groups.append(trace.user[added])
    if not times:
        return np.empty(0), np.empty(0, dtype=np.int64)
    time_s, group = np.concatenate(times), np.concatenate(groups)
    order = np.argsort(time_s, kind="stable")
    return time_s[order], group[order]


def _renumbered(
    key: NDArray[np.int64], group: NDArray[np.int64], clear_group: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Keys and groups as dense ids, where they are not small enough already."""
    if max(int(key.max()), int(group.max()), int(clear_group.max(initial=0))) < _SMALL:
        return key, group, clear_group
    # With -1 in front, whose meaning stays, it gets number 0 and the others count from 1.
    every = dense_ids(np.concatenate([[-1], group, clear_group])).astype(np.int64) - 1
    groups, clears = every[1 : group.size + 1], every[group.size + 1 :]
    return dense_ids(key).astype(np.int64), groups, clears
