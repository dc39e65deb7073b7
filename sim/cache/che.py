"""LRU by Che's approximation: a key stays in the cache for a time T_C after its last use.

The characteristic time T_C is the same for all keys: the time in which as many different keys are
asked for as the cache holds. Independent Poisson requests are assumed (the IRM); the
approximation is good to a thousandth for caches of more than a few hundred items.

Assumes: independent Poisson requests with fixed rates (the IRM); a cache of more than a few hundred
    items of one size; exact LRU.
Lies when: popularity moves while a key stays (news, a launch: the real ratio is higher); sizes
    differ much; the cache holds a few dozen items. Measured: see docs/accuracy.md.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.cache.ttl import _RAREST_PER_S
from sim.errors import require


def characteristic_time_s(
    requests_per_s: ArrayLike, capacity: float, members: ArrayLike = 1.0
) -> float:
    """Time T_C in which `capacity` different keys are asked for: Σ (1 - exp(-λT_C)) = capacity.

    Args:
        requests_per_s: Poisson rate of each key, or of one member of each class of keys, 1/s, > 0.
        capacity: items that fit, > 0, less than the number of keys.
        members: number of keys in each class.
    Returns: s, relative error below 1e-12.
    Raises: InvalidScenario outside those domains.
    Source: [che2002, eq. 6]; why it is so good: [fricker2012].

    >>> round(characteristic_time_s([1.0, 1.0], 1.0), 6)  # 2 (1 - exp(-T)) = 1: ln 2
    0.693147
    """
    rates, members_ = _checked(requests_per_s, members)
    items = float(members_.sum())
    require(0 < capacity < items, "cache.capacity", capacity, f"more than 0, less than {items:g}")
    # At T = capacity / Σλ at most `capacity` keys are seen; doubling then brackets the root.
    low = high = capacity / float(members_ @ rates)
    while _seen(rates, members_, high) < capacity:
        low, high = high, high * 2.0
    while high - low > 1e-13 * high:
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        low, high = (middle, high) if _seen(rates, members_, middle) < capacity else (low, middle)
    return high


def lru_hit_fractions(
    requests_per_s: ArrayLike, capacity: float, members: ArrayLike = 1.0
) -> NDArray[np.float64]:
    """Hit ratio of each key in a warm LRU cache: 1 - exp(-λT_C); 1 for all when all fit.

    Args:
        requests_per_s: Poisson rate of each key, or of one member of each class of keys, 1/s, > 0.
        capacity: items that fit, > 0.
        members: number of keys in each class.
    Returns: ratios in 0..1. The cache's own ratio is their mean weighted by requests
        (`lru_hit_fraction`).
    Raises: InvalidScenario outside those domains.
    Source: [che2002, eq. 5].

    >>> lru_hit_fractions([1.0, 1.0], 1.0).round(6).tolist()
    [0.5, 0.5]
    """
    rates, members_ = _checked(requests_per_s, members)
    if capacity >= members_.sum():
        return np.ones(rates.shape)
    return -np.expm1(-rates * characteristic_time_s(rates, capacity, members_))


def lru_hit_fraction(requests_per_s: ArrayLike, capacity: float, members: ArrayLike = 1.0) -> float:
    """Hit ratio of a warm LRU cache over all requests.

    Args:
        requests_per_s: Poisson rate of each key, or of one member of each class of keys, 1/s, >
            0.
        capacity: items that fit, > 0.
        members: number of keys in each class.
    Returns: hits over requests, 0..1.
    Raises: InvalidScenario outside those domains.
    Source: [che2002, eq. 5], weighted by requests.

    >>> round(lru_hit_fraction([1.0, 1.0], 1.0), 6)
    0.5
    """
    rates, members_ = _checked(requests_per_s, members)
    hits = lru_hit_fractions(rates, capacity, members_)
    return float((members_ * rates) @ hits / (members_ @ rates))


def _seen(rates: NDArray[np.float64], members: NDArray[np.float64], time_s: float) -> float:
    return float(members @ -np.expm1(-rates * time_s))


def _checked(
    requests_per_s: ArrayLike, members: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rates = np.atleast_1d(np.asarray(requests_per_s, dtype=np.float64))
    good = bool(np.all((rates > 0) & (rates <= 1e12))) and rates.size > 0
    require(good, "cache.requests_per_s", "an array", "rates > 0, at most 1e12, at least one")
    counts = np.broadcast_to(np.asarray(members, dtype=np.float64), rates.shape)
    good = bool(np.all((counts >= 1) & (counts <= 1e12)))
    require(good, "cache.members", "an array", "numbers of keys, 1 … 1e12")
    return np.maximum(rates, _RAREST_PER_S), counts
