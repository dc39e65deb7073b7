"""Stampedes: how many fills of one key run at once when it has expired.

While the first fill of an expired key is under way, for D seconds, every further request misses
too. Requests for the key are Poisson with rate λ; fills take the same time for all.

Assumes: Poisson requests for the key; all fills take the same time, however many run at once.
Lies when: fills slow each other down, which is what makes a stampede dangerous: then the engine
    with coalescing off shows more; waiters give up before the fill ends.
"""

import math

import numpy as np

from sim.errors import require


def fills_per_expiry(
    requests_per_s: float, fill_s: float, processes: int = 1, *, coalesced: bool = False
) -> float:
    """Expected fills of a key each time it is missing: 1 and its duplicates.

    Without coalescing every request in the D seconds fills: 1 + λD. With coalescing within a
    process (single flight) each of N processes fills at most once: the first one, and each other
    one that gets a request in that time, 1 + (N-1)(1 - exp(-λD/N)). A lock shared by all
    processes is the case N = 1.

    Args:
        requests_per_s: rate λ of requests for this key, 1/s, 0 … 10^12.
        fill_s: time D of a fill, s, 0 … 10^6. It ends the stampede for everybody.
        processes: N, over which requests are spread evenly, ≥ 1.
        coalesced: whether a process lets requests wait for its own running fill.
    Returns: a mean number ≥ 1.
    Raises: InvalidScenario outside those domains.
    Source: Poisson counts in the fill time; the same count as [vattani2015, §2].

    >>> fills_per_expiry(100.0, 0.05)
    6.0
    >>> round(fills_per_expiry(100.0, 0.05, processes=3, coalesced=True), 4)  # 1 + 2(1 - e^(-5/3))
    2.6222
    """
    _check(requests_per_s, fill_s, processes)
    if not coalesced:
        return 1.0 + requests_per_s * fill_s
    return 1.0 - (processes - 1) * math.expm1(-requests_per_s * fill_s / processes)


def hit_fraction_with_fill_time(requests_per_s: float, ttl_s: float, fill_s: float) -> float:
    """Long-run hit ratio of one key whose fills take time; requests meanwhile are misses.

    A cycle is a wait of 1/λ, a fill of D with λD further misses, and a TTL of λT hits.

    Args:
        requests_per_s: Poisson rate λ, 1/s, > 0.
        ttl_s: time to live T since the end of the first fill, s, > 0.
        fill_s: time D of a fill, s, 0 … 10^6.
    Returns: λT / (1 + λD + λT). Coalesced waiters count as misses here, as the service counts.
    Raises: InvalidScenario outside those domains.
    Source: renewal reward, as `ttl.hit_fraction`, to which it falls back for D = 0.

    >>> hit_fraction_with_fill_time(1.0, 8.0, 1.0)
    0.8
    """
    _check(requests_per_s, fill_s, 1)
    require(requests_per_s > 0, "stampede.requests_per_s", requests_per_s, "a number > 0")
    require(math.isfinite(ttl_s) and ttl_s > 0, "stampede.ttl_s", ttl_s, "a number > 0")
    hits = requests_per_s * ttl_s
    return hits / (1.0 + requests_per_s * fill_s + hits)


def _check(requests_per_s: float, fill_s: float, processes: int) -> None:
    good = np.isfinite(requests_per_s) and 0 <= requests_per_s <= 1e12
    require(bool(good), "stampede.requests_per_s", requests_per_s, "a number from 0 to 1e12")
    good = np.isfinite(fill_s) and 0 <= fill_s <= 1e6
    require(bool(good), "stampede.fill_s", fill_s, "a number of seconds from 0 to 1e6")
    require(processes >= 1, "stampede.processes", processes, "at least 1")
