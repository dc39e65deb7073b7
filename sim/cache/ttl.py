"""A key that lives for a fixed time after it was filled, or until somebody clears it.

Requests for the key are Poisson with rate λ. A request that finds the key is a hit; one that does
not fills it, at once, and the key then stays for the TTL T. Hits do not renew it. Clears
(invalidations) are Poisson with rate μ and remove the key if it is there.

The life of a key is a renewal process: absent for Exp(λ), then resident for R = min(T, Exp(μ)).
Everything here follows from that. What it leaves out: the time a fill takes (see `stampede`),
eviction for want of memory (see `che`), and requests that are not Poisson.

Sources: [jung2003] for the renewal argument without clears, [fofack2014] for random residence
times; the transient is the renewal function of the same process [ross2014, §7.1].

Assumes: requests for a key are Poisson and independent of other keys; fills take no time; clears
    are Poisson; memory suffices.
Lies when: requests come in trains (a hit follows a hit: the real ratio is higher); a fill is slow
    beside the time between requests (see stampede); memory is short (see che); many keys are
    cleared at once, which the ratio of one key does not show but the spread between runs does.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import require

_EXACT_TTLS = 32
"""TTLs after a cold start up to which expected misses are exact; later ones by periodicity."""

_DENSE = 5.0
"""Mean hits a fill above which a cold start is still felt as a rhythm after `_EXACT_TTLS`."""

_LARGEST = 1e12
_SHORTEST_TTL_S = 1e-9
_RAREST_PER_S = 1e-100  # a key asked for more rarely than this is never asked for

_log_factorial = np.vectorize(lambda k: math.lgamma(k + 1.0), otypes=[np.float64])


def _checked(name: str, values: ArrayLike, *, low: float = 0.0) -> NDArray[np.float64]:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.asarray(math.nan)
    good = (array >= low) & (array <= _LARGEST)
    if not np.all(good):
        found = values if array.ndim == 0 else float(array[~good].flat[0])
        require(False, f"ttl.{name}", found, f"numbers from {low:g} to {_LARGEST:g}")
    return array


def _rates(requests_per_s: ArrayLike) -> NDArray[np.float64]:
    rates = _checked("requests_per_s", requests_per_s)
    require(bool(np.all(rates > 0)), "ttl.requests_per_s", 0.0, "rates > 0")
    return np.maximum(rates, _RAREST_PER_S)


def _ttls(ttl_s: ArrayLike) -> NDArray[np.float64]:
    return _checked("ttl_s", ttl_s, low=_SHORTEST_TTL_S)


def mean_residence_s(ttl_s: ArrayLike, clears_per_s: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Mean time that a key stays once filled: E[min(T, Exp(μ))] = (1 - exp(-μT)) / μ.

    Args:
        ttl_s: time to live T, s, 10^-9 … 10^12.
        clears_per_s: rate μ of clears, 1/s, ≥ 0.
    Returns: s, array of the arguments' common shape.
    Raises: InvalidScenario outside those domains.

    >>> mean_residence_s(300.0).item(), round(mean_residence_s(300.0, 0.01).item(), 3)
    (300.0, 95.021)
    """
    ttl, clears = _ttls(ttl_s), _checked("clears_per_s", clears_per_s)
    exponent = clears * ttl
    safe = np.where(exponent > 1e-12, exponent, 1.0)
    return np.asarray(ttl * np.where(exponent > 1e-12, -np.expm1(-safe) / safe, 1.0))


def residence_variance_s2(ttl_s: ArrayLike, clears_per_s: ArrayLike = 0.0) -> NDArray[np.float64]:
    """Variance of the time that a key stays once filled, min(T, Exp(μ)).

    Args and raises: as `mean_residence_s`. Returns: s².

    >>> residence_variance_s2(300.0).item()  # always exactly the TTL
    0.0
    >>> round(residence_variance_s2(1e6, 0.1).item(), 6)  # practically Exp(0.1)
    100.0
    """
    ttl, clears = _ttls(ttl_s), _checked("clears_per_s", clears_per_s)
    x = clears * ttl
    safe = np.where(x > 1e-3, x, 1.0)
    exact = (1.0 - 2.0 * safe * np.exp(-safe) - np.exp(-2.0 * safe)) / safe**2
    series = x / 3.0 - x**2 / 3.0  # of `exact` about 0, where that cancels
    return np.asarray(ttl**2 * np.where(x > 1e-3, exact, series))


def hit_fraction(
    requests_per_s: ArrayLike, ttl_s: ArrayLike, clears_per_s: ArrayLike = 0.0
) -> NDArray[np.float64]:
    """Long-run hit ratio of one key (or of an array of keys) in a warm TTL cache.

    One fill serves λ E[R] hits on average, so the ratio is λE[R] / (1 + λE[R]).

    Args:
        requests_per_s: Poisson rate λ of requests for the key, 1/s, > 0.
        ttl_s: time to live T since the fill, s, 10^-9 … 10^12.
        clears_per_s: Poisson rate μ at which the key is invalidated, 1/s, ≥ 0.
    Returns: hits / requests in 0..1, array of the arguments' common shape. By PASTA it is also the
        share of time in which the key is there. Fill time is taken as 0.
    Raises: InvalidScenario outside those domains, or for a number above 10^12.
    Source: [jung2003, eq. 3] without clears; with them the same renewal argument [fofack2014].

    >>> round(hit_fraction(0.01, 300.0).item(), 6)  # 3 hits a fill: 3 / 4
    0.75
    >>> round(hit_fraction(0.01, 1e9, 0.01).item(), 6)  # as likely cleared as asked for
    0.5
    """
    rate = _rates(requests_per_s)
    hits = rate * mean_residence_s(ttl_s, clears_per_s)
    return np.asarray(hits / (1.0 + hits))


def _gamma_tails(
    orders: int, x: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """P(Poisson(x) ≥ n) and P(Poisson(x) ≥ n + 1) for n = `orders` ≥ 1, to 1e-15 absolute."""
    positive = np.maximum(x, 1e-300)
    log_x = np.log(positive)
    k = np.arange(1, orders + 1, dtype=np.float64)
    shape = (orders,) + (1,) * x.ndim
    log_masses = k.reshape(shape) * log_x - positive - _log_factorial(k).reshape(shape)
    masses = np.exp(log_masses)
    at_least_one = -np.expm1(-positive)
    at_least_n = at_least_one - masses[:-1].sum(axis=0)
    return at_least_n, at_least_n - masses[-1]


def expected_misses(
    requests_per_s: ArrayLike,
    ttl_s: ArrayLike,
    time_s: ArrayLike,
    clears_per_s: ArrayLike = 0.0,
) -> NDArray[np.float64]:
    """Expected misses of a key in [0, time_s] from a cold start (absent at 0).

    The n-th fill without clears falls at Erlang(n, λ) + (n-1)T, so the expected number is
    Σₙ P(Poisson(λ(t-(n-1)T)) ≥ n). A clear is a cold start anew; averaging over the age of the
    last one gives, with β = λ+μ, tₙ = t-(n-1)T and P the regularised incomplete gamma function,
    Σₙ e^{-μ(n-1)T} (λ/β)ⁿ [(1+μtₙ) P(n, βtₙ) - μ(n/β) P(n+1, βtₙ)]. Beyond 32 TTLs whole mean
    cycles are split off first; the error of that is below 5e-4 of the key's requests (a test pins
    it).

    Args:
        requests_per_s: Poisson rate λ of requests for the key, 1/s, > 0.
        ttl_s: time to live T since the fill, s, 10^-9 … 10^12.
        time_s: end of the interval, s, ≥ 0.
        clears_per_s: Poisson rate μ at which the key is invalidated, 1/s, ≥ 0.
    Returns: a mean number of misses (= fills), array of the arguments' common shape.
    Raises: InvalidScenario outside those domains, or for a number above 10^12.
    Source: renewal function of a sum of Erlang and fixed times [ross2014, §7.1].

    >>> round(expected_misses(1.0, 10.0, 5.0).item(), 6)  # within one TTL: 1 - exp(-5)
    0.993262
    """
    rate, ttl, time, clears = np.broadcast_arrays(
        _rates(requests_per_s),
        _ttls(ttl_s),
        _checked("time_s", time_s),
        _checked("clears_per_s", clears_per_s),
    )
    residence = mean_residence_s(ttl, clears)
    cycle = residence + 1.0 / rate
    late = time > _EXACT_TTLS * ttl
    whole = np.where(late, np.ceil((time - _EXACT_TTLS * ttl) / cycle), 0.0)
    dense = rate * residence >= _DENSE
    start = np.where(late & ~dense, 0.0, np.maximum(time - whole * cycle, 0.0))
    misses = whole + _early_misses(rate, ttl, start, clears)
    spread = residence_variance_s2(ttl, clears) + 1.0 / rate**2
    settled = (time - 1.0 / rate) / cycle + (spread / cycle**2 + 1.0) / 2.0
    return np.asarray(np.where(late & ~dense, settled, misses))


def _early_misses(
    rate: NDArray[np.float64],
    ttl: NDArray[np.float64],
    time: NDArray[np.float64],
    clears: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The sum of `expected_misses`, term by term."""
    both = rate + clears
    log_share = np.log(rate / both)
    total = np.zeros(rate.shape)
    steps = int(np.max(time / ttl, initial=0.0)) + 1
    for n in range(1, steps + 1):
        left = time - (n - 1) * ttl
        on = left > 0
        at, where = left[on], both[on]
        reached, passed = _gamma_tails(n, where * at)
        weight = np.exp(n * log_share[on] - clears[on] * (n - 1) * ttl[on])
        cleared = clears[on]
        total[on] += weight * ((1.0 + cleared * at) * reached - cleared * n / where * passed)
    return total


def hit_fraction_in_window(
    requests_per_s: ArrayLike,
    ttl_s: ArrayLike,
    window_s: tuple[float, float],
    clears_per_s: ArrayLike = 0.0,
) -> NDArray[np.float64]:
    """Expected hits over expected requests of a key in a window after a cold start.

    Args:
        requests_per_s: Poisson rate λ of requests for the key, 1/s, > 0.
        ttl_s: time to live T since the fill, s, 10^-9 … 10^12.
        window_s: (t0, t1), s since the cache was empty, 0 ≤ t0 < t1.
        clears_per_s: Poisson rate μ at which the key is invalidated, 1/s, ≥ 0.
    Returns: ratio in 0..1, array of the arguments' common shape.
    Raises: InvalidScenario outside those domains, or for a number above 10^12.
    Source: difference of `expected_misses` at the two ends.

    >>> round(hit_fraction_in_window(1.0, 10.0, (0.0, 5.0)).item(), 4)  # (5 - (1-e^-5)) / 5
    0.8013
    """
    begin, end = window_s
    _checked("window_s", (begin, end))
    require(begin < end, "ttl.window_s", window_s, "0 ≤ start < end")
    rate = _rates(requests_per_s)
    until_end = expected_misses(rate, ttl_s, end, clears_per_s)
    before = expected_misses(rate, ttl_s, begin, clears_per_s)
    return np.asarray(np.clip(1.0 - (until_end - before) / (rate * (end - begin)), 0.0, 1.0))
