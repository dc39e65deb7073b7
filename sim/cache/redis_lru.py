"""Redis's sampled LRU as a mean field: a key is dropped the sooner the longer it has been idle.

To drop the longest idle of K random keys takes a key that is idle for longer than a share G of
the others with density K·G^(K-1). With E drops a second among C keys, a key of idle time a faces
the hazard (E·K/C)·G(a)^(K-1). G, the survival S and E follow from one another; K = 1 is random
eviction, K → ∞ is LRU with Che's characteristic time.

Assumes: as Che's approximation; `allkeys-lru` with the samples stated; idle times exact to the
    request.
Lies when: popularity moves; many keys share one idle second of Redis's clock; expired keys make
    room by themselves. Against the simulator it is off by at most 0.2 points, which a test holds.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.cache.che import characteristic_time_s, lru_hit_fractions
from sim.errors import require

_GRID = 1500


def effective_samples(samples: int) -> float:
    """Independent samples that do as much as `samples` with Redis's pool of 16 candidates.

    Fitted by bench/caches.py for 3 … 10 samples; with it `sampled_lru_hit_fraction` is within
    0.2 pp of the simulator for Zipf 0.6–1.2 and caches of 1–50 % of 10^4 items (a test pins it).
    """
    require(1 <= samples <= 64, "cache.samples", samples, "1 … 64")
    return POOL_GAIN * samples


POOL_GAIN = 1.5


def sampled_lru_hit_fraction(
    requests_per_s: ArrayLike, capacity: float, samples: int = 5, members: ArrayLike = 1.0
) -> float:
    """Hit ratio over all requests of a warm Redis with `allkeys-lru`.

    Args:
        requests_per_s: Poisson rate of each key, or of one member of each class of keys, 1/s, > 0.
        capacity: items that fit, > 0 (see `sizing.redis_items`).
        samples: `maxmemory-samples`, 1 … 64.
        members: number of keys in each class.
    Returns: ratio in 0..1, a little below `che.lru_hit_fraction`.
    Raises: InvalidScenario outside those domains.
    Source: mean field of K-random sampling, cf. [yang2021]; the pool of [redis, evict.c] enters
        as `effective_samples`.

    >>> round(sampled_lru_hit_fraction([1.0, 1.0], 1.0), 2)
    0.5
    """
    rates = np.atleast_1d(np.asarray(requests_per_s, dtype=np.float64))
    lru_hit_fractions(rates, capacity, members)  # checks the domain
    counts = np.broadcast_to(np.asarray(members, dtype=np.float64), rates.shape)
    if capacity >= counts.sum():
        return 1.0
    hits = _hits(rates, counts, capacity, effective_samples(samples))
    return float((counts * rates) @ hits / (counts @ rates))


def _hits(
    rates: NDArray[np.float64], members: NDArray[np.float64], capacity: float, k: float
) -> NDArray[np.float64]:
    # Ages from far below the characteristic time to far above it.
    scale = characteristic_time_s(rates, capacity, members)
    ages = np.concatenate([[0.0], scale * np.geomspace(1e-6, 1e4, _GRID)])
    absent = np.exp(-np.outer(rates, ages))  # no request for so long
    young = members @ (1.0 - absent) / capacity
    low, high = 0.0, float(members @ rates)
    for _ in range(60):
        drops = 0.5 * (low + high)
        survival, filled = _survival(ages, young, drops / capacity, k)
        low, high = (drops, high) if filled > 1.0 else (low, drops)
    middle = 0.5 * (survival[1:] + survival[:-1])
    return np.asarray((absent[:, :-1] - absent[:, 1:]) @ middle)


def _survival(
    ages: NDArray[np.float64], young: NDArray[np.float64], drops: float, k: float
) -> tuple[NDArray[np.float64], float]:
    """Survival at each age, and the number of residents it implies over the capacity."""
    survival = np.ones(ages.size)
    share = 0.0
    steps, gains = np.diff(ages), np.diff(young)
    for j in range(steps.size):
        now = survival[j]
        ahead = min(share + now * gains[j] / 2.0, 4.0)
        then = now * np.exp(-drops * k * steps[j] * ahead ** (k - 1.0))
        survival[j + 1] = then
        share += 0.5 * (now + then) * gains[j]
    return survival, share
