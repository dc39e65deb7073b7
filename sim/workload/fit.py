"""A workload's parameters from what was observed: popularity and burstiness, with intervals."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import require
from sim.workload.popularity import LARGEST_TABLE, Zipf

_FEWEST_LOOKUPS = 100
_CLEAR_COUNT = 10  # ranks asked for less often are in no trustworthy order
_MOST_RANKS = 20_000
_MOST_UNSEEN = 100  # items a request sample can tell of, as a multiple of those seen
_FEWEST_CLEAR_RANKS = 10
_STEEPEST = 5.0


@dataclass(frozen=True)
class ZipfFit:
    """A Zipf law fitted to counts.

    Args:
        exponent: estimate, bias removed.
        low, high: its 95 % interval; 0 to 5 if fewer than 10 items were asked for 10 times.
        items: estimated number of items, those never asked for included, at most 100 times those
            seen.
        distance: largest gap between the observed and the fitted share of the top ranks
            (Kolmogorov–Smirnov).
        fits: share of bootstrap samples of the fitted law that lie at least as far from it; below
            0.05 the popularity is hardly a Zipf law.
        lookups: observations used.
    """

    exponent: float
    low: float
    high: float
    items: int
    distance: float
    fits: float
    lookups: int


def fit_zipf(
    counts: ArrayLike,
    rng: np.random.Generator,
    *,
    distinct: float | None = None,
    samples: int = 100,
) -> ZipfFit:
    """Fit a Zipf law to how often each item was asked for.

    The exponent is the maximum-likelihood one given the ranks asked for at least 10 times (sorting
    by chance makes rarer ranks look steeper than they are). A parametric bootstrap over the
    whole procedure, sorting included, gives its bias, which is taken off, and the interval. The
    number of items is the one for which as many different items would have been seen.

    Args:
        counts: requests per item, whole numbers ≥ 1, in any order, at least 2 items and 100
            requests.
        rng: source of the bootstrap.
        distinct: number of different items seen, at most 10^15,
            if `counts` lists only the most popular ones.
        samples: bootstrap samples, 20 … 10,000.
    Returns: the fit.
    Raises: InvalidScenario outside those domains.
    Source: [clauset2009, §3] for MLE, KS distance and bootstrap; the item count solves
        E[distinct] = Σ (1 - (1-p)ᴺ).

    >>> law = Zipf(1000, 0.9)
    >>> counts = np.bincount(law.ranks(100_000, np.random.default_rng(1)))
    >>> fit = fit_zipf(counts[counts > 0], np.random.default_rng(2))
    >>> fit.low < 0.9 < fit.high
    True
    """
    observed = _sorted_counts(counts)
    require(20 <= samples <= 10_000, "fit.samples", samples, "20 … 10,000")
    known = distinct is None or 0 <= distinct <= 1e15
    require(known, "fit.distinct", distinct, "a number of items, at most 1e15")
    lookups = int(observed.sum())
    raw = _conditional_exponent(observed)
    seen = max(float(distinct or 0.0), float(observed.size))
    estimates = np.empty(samples)
    shift = 0.0
    for _ in range(2):  # the second round draws from the law whose bias is already removed
        law = _law(np.clip(raw - shift, 0.0, _STEEPEST), seen, lookups)
        probability, members = law.classes(2**15)
        estimates = np.array(
            [
                _conditional_exponent(_sample(probability, members, lookups, rng))
                for _ in range(samples)
            ]
        )
        shift = float(estimates.mean()) - law.exponent
    exponent = float(np.clip(raw - shift, 0.0, _STEEPEST))
    spread = 1.96 * float(estimates.std(ddof=1)) * math.sqrt(1.0 + 1.0 / samples)
    law = _law(exponent, seen, lookups)
    probability, members = law.classes(2**15)
    distance = _distance(observed, probability, members)
    distances = [
        _distance(_sample(probability, members, lookups, rng), probability, members)
        for _ in range(samples)
    ]
    # Too few ranks in a trustworthy order: the estimate stands, but anything is possible.
    vague = np.count_nonzero(observed >= _CLEAR_COUNT) < _FEWEST_CLEAR_RANKS
    return ZipfFit(
        exponent=exponent,
        low=0.0 if vague else max(0.0, exponent - spread),
        high=_STEEPEST if vague else exponent + spread,
        items=law.items,
        distance=distance,
        fits=float(np.mean(np.array(distances) >= distance)),
        lookups=lookups,
    )


def index_of_dispersion(counts_per_s: ArrayLike, seconds: int = 60) -> float:
    """Variance over mean of requests per second, slow changes removed.

    Args:
        counts_per_s: requests in each of consecutive seconds, ≥ 0.
        seconds: variance is taken within blocks of this length, ≥ 2, so that a rate that moves
            over minutes does not count as burstiness. Left-over seconds are not used.
    Returns: 1 for Poisson arrivals, up to sampling error √(2/n) for n seconds. 1 if there is no
        full block or no request.
    Raises: InvalidScenario outside those domains.
    Source: index of dispersion for counts [gusella1991].

    >>> index_of_dispersion([0, 4, 0, 4], seconds=2)  # variance 8, mean 2
    4.0
    """
    counts = np.asarray(counts_per_s, dtype=np.float64)
    require(seconds >= 2, "fit.seconds", seconds, "at least 2")
    good = counts.ndim == 1 and bool(np.all((counts >= 0) & (counts < 1e12)))
    require(good, "fit.counts_per_s", "an array", "counts ≥ 0")
    blocks = counts[: counts.size // seconds * seconds].reshape(-1, seconds)
    total = float(blocks.sum())
    if total == 0:
        return 1.0
    return float(blocks.var(axis=1, ddof=1).sum() * seconds / total)


def _sorted_counts(counts: ArrayLike) -> NDArray[np.float64]:
    observed = np.sort(np.asarray(counts, dtype=np.float64).ravel())[::-1]
    good = observed.size >= 2 and bool(np.all((observed >= 1) & (observed <= 1e15)))
    require(good, "fit.counts", f"{observed.size} counts", "at least 2 counts, each ≥ 1")
    require(
        bool(observed.sum() >= _FEWEST_LOOKUPS),
        "fit.counts",
        float(observed.sum()),
        f"at least {_FEWEST_LOOKUPS} requests in all",
    )
    return observed


def _conditional_exponent(counts: NDArray[np.float64]) -> float:
    """MLE of the exponent from falling counts, given that a request fell on their clear ranks."""
    clear = int(np.count_nonzero(counts >= _CLEAR_COUNT))
    ranks = min(max(clear, 2), counts.size, _MOST_RANKS)
    log_rank = np.log(np.arange(1, ranks + 1))
    top = counts[:ranks]
    target = float(top @ log_rank / top.sum())
    low, high = 0.0, _STEEPEST
    for _ in range(50):  # the mean of log rank falls as the exponent rises
        middle = 0.5 * (low + high)
        weights = np.exp(-middle * log_rank)
        low, high = (middle, high) if weights @ log_rank / weights.sum() > target else (low, middle)
    return 0.5 * (low + high)


def _law(exponent: float, distinct: float, lookups: int) -> Zipf:
    """The Zipf law with as many items as make `distinct` of them turn up in `lookups` requests."""

    def turned_up(items: int) -> float:
        probability, members = Zipf(items, exponent).classes()
        return float(members @ -np.expm1(lookups * np.log1p(-np.minimum(probability, 1 - 1e-12))))

    low = max(2, math.floor(distinct))
    high = low
    while turned_up(high) < distinct and high < _MOST_UNSEEN * distinct:
        low, high = high, high * 2
    while high - low > max(1, low // 1000):
        middle = (low + high) // 2
        low, high = (middle, high) if turned_up(middle) < distinct else (low, middle)
    return Zipf(high, float(exponent))


def _sample(
    probability: NDArray[np.float64],
    members: NDArray[np.float64],
    lookups: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Falling counts of one sample of the law, as far as its single ranks go."""
    single = probability[: min(int(np.count_nonzero(members == 1)), LARGEST_TABLE)]
    counts = rng.poisson(single * lookups)
    counts = np.sort(counts[counts > 0])[::-1].astype(np.float64)
    return np.asarray(counts if counts.size >= 2 else np.ones(2), dtype=np.float64)


def _distance(
    counts: NDArray[np.float64], probability: NDArray[np.float64], members: NDArray[np.float64]
) -> float:
    """Largest gap of the cumulative shares over the clear ranks."""
    single = int(np.count_nonzero(members == 1))
    clear = int(np.count_nonzero(counts >= _CLEAR_COUNT))
    ranks = min(max(clear, 2), counts.size, single, _MOST_RANKS)
    seen = np.cumsum(counts[:ranks]) / counts[:ranks].sum()
    expected = np.cumsum(probability[:ranks]) / probability[:ranks].sum()
    return float(np.max(np.abs(seen - expected)))
