"""Caches replayed request by request, compiled: the independent check of every formula here.

Keys are dense ids, whole numbers from 0, so that a key's state is one array element; `dense_ids`
makes them from anything else. All simulators return one bool for each lookup: was it a hit?
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from sim.cache.prefetch import prefetch
from sim.errors import require

_F = TypeVar("_F", bound=Callable[..., Any])
# numpy's error model: no check for zero divisors, which would keep loops from being vectorised.
_compiled = cast("Callable[[_F], _F]", numba.njit(cache=True, nogil=True, error_model="numpy"))

_NEVER = -1e300
_AHEAD = 24  # lookups between asking memory for an element and needing it
LARGEST_ID = 2**28


def dense_ids(keys: NDArray[Any]) -> NDArray[np.int32]:
    """Number the distinct values of `keys` from 0.

    >>> dense_ids(np.array([700, 3, 700])).tolist()
    [1, 0, 1]
    """
    return np.unique(keys, return_inverse=True)[1].astype(np.int32)


def lru_hits(keys: NDArray[np.integer[Any]], capacity: int) -> NDArray[np.bool_]:
    """Replay lookups through a cache that drops the least recently used key when it is full.

    The trace itself is the recency queue: a pointer walks along it and drops a key when it meets
    that key's latest use. So each lookup costs two random accesses to 4 bytes, and no list.

    Args:
        keys: dense ids in order of lookup, each in [0, 2^28); fewer than 2^31 of them.
        capacity: keys that fit, ≥ 1.
    Returns: True where the lookup was a hit. The cache starts empty; a miss fills it.
    Raises: InvalidScenario outside those domains.
    Source: the definition; equality with a list-based LRU is tested.

    >>> lru_hits(np.array([0, 1, 0, 2, 1]), capacity=2).tolist()  # 2 drops 1, used less recently
    [False, False, True, False, False]
    """
    items = _items(keys)
    require(capacity >= 1, "cache.capacity", capacity, "at least 1 item")
    hit = np.zeros(keys.size, dtype=np.bool_)
    _lru(keys, np.full(items, -1, dtype=np.int32), min(capacity, items), hit)
    return hit


@_compiled
def _lru(
    keys: NDArray[np.integer[Any]],
    latest: NDArray[np.int32],
    capacity: int,
    hit: NDArray[np.bool_],
) -> None:
    oldest = 0  # uses before this place in the trace are dropped or superseded
    resident = 0
    last = keys.size - 1
    for i in range(keys.size):
        prefetch(latest, np.int64(keys[min(i + _AHEAD, last)]))
        key = keys[i]
        seen = latest[key]
        latest[key] = i
        if seen >= oldest:
            hit[i] = True
            continue
        resident += 1
        if resident > capacity:
            while latest[keys[oldest]] != oldest:
                oldest += 1
                prefetch(latest, np.int64(keys[min(oldest + _AHEAD, last)]))
            oldest += 1
            resident -= 1


def ttl_hits(
    time_s: NDArray[np.float64],
    keys: NDArray[np.integer[Any]],
    ttl_s: float,
) -> NDArray[np.bool_]:
    """Replay lookups through a cache whose keys live for `ttl_s` after their fill.

    Args:
        time_s: time of each lookup, s, ascending.
        keys: dense ids, each in [0, 2^28), as many as times.
        ttl_s: time to live since the fill (a hit does not renew it), s, > 0.
    Returns: True where the lookup was a hit. The cache starts empty; a fill takes no time.
    Raises: InvalidScenario outside those domains.
    Source: the definition.

    >>> ttl_hits(np.array([0.0, 1.0, 2.5]), np.array([0, 0, 0]), ttl_s=2.0).tolist()
    [False, True, False]
    """
    items = _checked_times(time_s, keys, ttl_s)
    hit = np.zeros(keys.size, dtype=np.bool_)
    _ttl(time_s, keys, np.full(items, _NEVER), ttl_s, hit)
    return hit


@_compiled
def _ttl(
    time_s: NDArray[np.float64],
    keys: NDArray[np.integer[Any]],
    expiry_s: NDArray[np.float64],
    ttl_s: float,
    hit: NDArray[np.bool_],
) -> None:
    last = keys.size - 1
    for i in range(keys.size):
        prefetch(expiry_s, np.int64(keys[min(i + _AHEAD, last)]))
        key, now = keys[i], time_s[i]
        if expiry_s[key] > now:
            hit[i] = True
        else:
            expiry_s[key] = now + ttl_s


def ttl_hits_with_clears(
    time_s: NDArray[np.float64],
    keys: NDArray[np.integer[Any]],
    ttl_s: float,
    *,
    group_of_key: NDArray[np.integer[Any]],
    clear_time_s: NDArray[np.float64],
    clear_group: NDArray[np.integer[Any]],
) -> NDArray[np.bool_]:
    """`ttl_hits` where events clear all keys of a group.

    Args:
        time_s, keys, ttl_s: as for `ttl_hits`.
        group_of_key: group of each id, in [0, 2^28).
        clear_time_s: times of the clears, s, ascending; a clear comes before a lookup of the same
            instant.
        clear_group: the group that each clear empties; -1 empties all.
    Returns: True where the lookup was a hit.
    Raises: InvalidScenario outside those domains.
    Source: the definition.

    >>> ids, first = np.array([0, 0]), np.array([0])
    >>> clears = {"clear_time_s": np.array([0.5]), "clear_group": first}
    >>> ttl_hits_with_clears(np.array([0.0, 1.0]), ids, 9.0, group_of_key=first, **clears).tolist()
    [False, False]
    """
    items = _checked_times(time_s, keys, ttl_s)
    require(group_of_key.size >= items, "trace.group_of_key", group_of_key.size, f"{items} groups")
    require(clear_time_s.size == clear_group.size, "trace.clears", clear_group.size, "equal sizes")
    groups = max(_items(group_of_key), _items(clear_group + 1))
    hit = np.zeros(keys.size, dtype=np.bool_)
    filled, cleared = np.full(items, _NEVER), np.full(groups, _NEVER / 2)
    _ttl_with_clears(
        time_s, keys, ttl_s, group_of_key, clear_time_s, clear_group, filled, cleared, hit
    )
    return hit


@_compiled
def _ttl_with_clears(  # noqa: PLR0917 - numba takes arguments by position
    time_s: NDArray[np.float64],
    keys: NDArray[np.integer[Any]],
    ttl_s: float,
    group_of_key: NDArray[np.integer[Any]],
    clear_time_s: NDArray[np.float64],
    clear_group: NDArray[np.integer[Any]],
    filled_s: NDArray[np.float64],
    cleared_s: NDArray[np.float64],
    hit: NDArray[np.bool_],
) -> None:
    upcoming = 0
    all_cleared_s = _NEVER / 2
    for i in range(keys.size):
        key, now = keys[i], time_s[i]
        while upcoming < clear_time_s.size and clear_time_s[upcoming] <= now:
            if clear_group[upcoming] < 0:
                all_cleared_s = clear_time_s[upcoming]
            else:
                cleared_s[clear_group[upcoming]] = clear_time_s[upcoming]
            upcoming += 1
        fresh = filled_s[key] + ttl_s > now
        if fresh and filled_s[key] >= max(cleared_s[group_of_key[key]], all_cleared_s):
            hit[i] = True
        else:
            filled_s[key] = now


def sampled_lru_hits(
    keys: NDArray[np.integer[Any]],
    capacity: int,
    rng: np.random.Generator,
    samples: int = 5,
) -> NDArray[np.bool_]:
    """Replay lookups through Redis's approximated LRU (`allkeys-lru`).

    To make room, `samples` random keys enter a pool of the 16 longest idle candidates seen so far,
    and the longest idle one that is still there is dropped; as in Redis, a candidate keeps the
    idle time of the moment it was sampled. Unlike in Redis, the clock is exact (not in
    seconds) and samples are independent (not neighbours in the hash table).

    Args:
        keys: dense ids in order of lookup, each in [0, 2^28); fewer than 2^31 of them.
        capacity: keys that fit, ≥ 1.
        rng: source of the samples.
        samples: `maxmemory-samples`, 1 … 64.
    Returns: True where the lookup was a hit. The cache starts empty.
    Raises: InvalidScenario outside those domains.
    Source: [redis, evict.c: evictionPoolPopulate, performEvictions].

    >>> sampled_lru_hits(np.array([0, 0, 1, 0]), 1, np.random.default_rng(1)).tolist()
    [False, True, False, False]
    """
    items = _items(keys)
    require(capacity >= 1, "cache.capacity", capacity, "at least 1 item")
    require(1 <= samples <= 64, "cache.samples", samples, "1 … 64")
    hit = np.zeros(keys.size, dtype=np.bool_)
    capacity = min(capacity, items)
    latest, place = np.zeros(items, dtype=np.int32), np.full(items, -1, dtype=np.int32)
    resident = np.empty(capacity, dtype=np.int32)
    _sampled_lru(keys, latest, place, resident, samples, rng, hit)
    return hit


@_compiled
def _sampled_lru(  # noqa: PLR0917 - numba takes arguments by position
    keys: NDArray[np.integer[Any]],
    latest: NDArray[np.int32],
    place: NDArray[np.int32],
    resident: NDArray[np.int32],
    samples: int,
    rng: np.random.Generator,
    hit: NDArray[np.bool_],
) -> None:
    pool_key, pool_idle = np.full(16, -1, np.int64), np.zeros(16, np.int64)
    count = 0
    for i in range(keys.size):
        key = keys[i]
        latest[key], seen = i, place[key] >= 0
        if seen:
            hit[i] = True
            continue
        free = count
        if count == resident.size:
            victim = -1
            while victim < 0:
                for _ in range(samples):
                    candidate = resident[int(rng.random() * count)]
                    _offer(pool_key, pool_idle, candidate, i - latest[candidate])
                victim = _taken(pool_key, place)
            free, place[victim] = place[victim], -1
        else:
            count += 1
        resident[free], place[key] = key, free


@_compiled
def _offer(pool_key: NDArray[np.int64], pool_idle: NDArray[np.int64], key: int, idle: int) -> None:
    """Put a candidate into the pool, which is ordered by idle time, longest last."""
    last = pool_key.size - 1
    k = 0
    while k <= last and pool_key[k] >= 0 and pool_idle[k] < idle:
        k += 1
    if k == 0 and pool_key[last] >= 0:
        return
    if pool_key[last] < 0:
        for j in range(last, k, -1):
            pool_key[j], pool_idle[j] = pool_key[j - 1], pool_idle[j - 1]
    else:
        k -= 1
        for j in range(k):
            pool_key[j], pool_idle[j] = pool_key[j + 1], pool_idle[j + 1]
    pool_key[k], pool_idle[k] = key, idle


@_compiled
def _taken(pool_key: NDArray[np.int64], place: NDArray[np.int32]) -> int:
    """Remove and return the longest idle key of the pool that is still resident, or -1."""
    for k in range(pool_key.size - 1, -1, -1):
        key = pool_key[k]
        if key >= 0:
            pool_key[k] = -1
            if place[key] >= 0:
                return int(key)
    return -1


def _items(keys: NDArray[np.integer[Any]]) -> int:
    """One more than the largest id; checks that ids are dense enough to index an array."""
    require(
        keys.ndim == 1 and np.issubdtype(keys.dtype, np.integer) and keys.size < 2**31,
        "trace.keys",
        f"{keys.dtype} array of shape {keys.shape}",
        "a one-dimensional array of whole numbers, shorter than 2^31",
    )
    if keys.size == 0:
        return 0
    low, high = int(keys.min()), int(keys.max())
    require(low >= 0 and high < LARGEST_ID, "trace.keys", (low, high), "ids in [0, 2^28)")
    return high + 1


def _checked_times(
    time_s: NDArray[np.float64], keys: NDArray[np.integer[Any]], ttl_s: float
) -> int:
    require(0 < ttl_s < 1e100, "cache.ttl_s", ttl_s, "a number > 0")
    require(time_s.shape == keys.shape, "trace.time_s", time_s.shape, f"shape {keys.shape}")
    require(bool(np.isfinite(time_s).all()), "trace.time_s", "NaN or infinity", "finite times")
    require(bool(np.all(np.diff(time_s) >= 0)), "trace.time_s", "a step back", "ascending times")
    return _items(keys)
