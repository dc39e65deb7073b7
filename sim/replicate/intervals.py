"""Confidence intervals for means and quantiles, from independent values or from one long run.

Assumes: the values given to mean_interval, quantile_interval and paired_difference are independent
    (one a replication, each from its own stream) and free of warm-up; batches of
    batch_means_interval are long beside the time the system takes to forget.
Lies when: values come from one run of a queue, where neighbours are alike: then mean_interval is
    far too narrow (use batch means or replications); a replication is so short that its quantile
    is biased, which no number of replications repairs; there are fewer than about ten values of
    a very skewed kind.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sim.errors import require
from sim.queueing.domain import count, open_fraction
from sim.replicate.student import binomial_below, t_quantile

Values = npt.ArrayLike


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval, in the unit of the values.

    Attributes:
        estimate: the point estimate.
        low: lower end.
        high: upper end.
        confidence_fraction: nominal coverage, 0..1.
        values: number of independent values behind it.
    """

    estimate: float
    low: float
    high: float
    confidence_fraction: float
    values: int

    @property
    def halfwidth(self) -> float:
        """Half of high - low."""
        return (self.high - self.low) / 2

    @property
    def relative_halfwidth(self) -> float:
        """Half-width over |estimate|; infinite where the estimate is 0 and the width is not."""
        if self.halfwidth == 0:
            return 0.0
        return self.halfwidth / abs(self.estimate) if self.estimate else math.inf

    def holds(self, value: float) -> bool:
        """Whether `value` lies within the interval, ends included."""
        return self.low <= value <= self.high

    def within(self, least: float, most: float) -> "Interval":
        """The interval cut off at what the quantity can be, such as a share at 0 and 1.

        >>> Interval(0.99, 0.97, 1.01, 0.95, 5).within(0.0, 1.0).high
        1.0
        """
        return replace(self, low=max(self.low, least), high=min(self.high, most))


def finite_values(path: str, values: Values, least: int) -> npt.NDArray[np.float64]:
    """`values` as a flat float array of at least `least` finite numbers; else InvalidScenario."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty((0, 0))
    good = array.ndim == 1 and array.size >= least and bool(np.isfinite(array).all())
    require(good, path, _short(values), f"a list of at least {least} finite numbers")
    return array


def _short(values: object) -> str:
    text = repr(values)
    return text if len(text) <= 60 else text[:57] + "…"


def mean_interval(values: Values, confidence_fraction: float = 0.95) -> Interval:
    """Student's interval for the mean of independent values.

    Args:
        values: one value a replication, at least 2, any unit.
        confidence_fraction: nominal coverage, strictly between 0 and 1.
    Returns: mean and interval, in the unit of the values.
    Raises: InvalidScenario outside those domains.
    Source: [law2015, §4.5].

    >>> mean_interval([1.0, 2.0, 3.0]).estimate
    2.0
    >>> round(mean_interval([1.0, 2.0, 3.0]).halfwidth, 3)  # t(2) = 4.303 × 1/√3
    2.484
    """
    array = finite_values("values", values, 2)
    level = open_fraction("confidence_fraction", confidence_fraction)
    n = array.size
    scale = float(np.abs(array).max()) or 1.0  # so that squares cannot overflow
    spread = float(np.std(array / scale, ddof=1)) * scale
    mean = float(np.mean(array / scale)) * scale
    half = t_quantile(0.5 + level / 2, n - 1) * spread / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, level, n)


def paired_difference(first: Values, second: Values, confidence_fraction: float = 0.95) -> Interval:
    """Interval for the mean of first - second, alternatives that shared their random numbers.

    Args:
        first: one value a replication under one alternative, at least 2.
        second: the same replications, in the same order, under the other.
        confidence_fraction: nominal coverage, strictly between 0 and 1.
    Returns: mean difference and interval; it excludes 0 where the alternatives differ.
    Raises: InvalidScenario outside those domains or if the lists differ in length.
    Source: [law2015, §10.2 and §11.2], paired t with common random numbers.

    >>> paired_difference([3.0, 5.0], [2.0, 4.0]).low  # each pair differs by 1: no doubt left
    1.0
    """
    left = finite_values("first", first, 2)
    right = finite_values("second", second, 2)
    count("len(second)", right.size, left.size, least=left.size)
    return mean_interval(left - right, confidence_fraction)


def quantile_interval(
    values: Values, fraction: float, confidence_fraction: float = 0.95
) -> Interval:
    """Distribution-free interval for a quantile of independent values.

    Args:
        values: independent values, any unit; enough of them that the interval exists, such as
            59 for a one-sided and 93 for this two-sided 95 % interval of the p95.
        fraction: which quantile, strictly between 0 and 1.
        confidence_fraction: nominal coverage, strictly between 0 and 1.
    Returns: the sample quantile and two order statistics that enclose the true one with at least
        the nominal coverage.
    Raises: InvalidScenario outside those domains or with too few values.
    Source: [conover1999, §3.2], binomial ranks with the error split evenly.

    >>> interval = quantile_interval(list(range(1, 101)), 0.5)
    >>> (interval.low, interval.high)  # ranks 40 and 61 for n = 100
    (40.0, 61.0)
    """
    p = open_fraction("fraction", fraction)
    level = open_fraction("confidence_fraction", confidence_fraction)
    array = np.sort(finite_values("values", values, 1))
    n, error = array.size, (1 - level) / 2
    enough = p**n <= error and (1 - p) ** n <= error
    least = math.ceil(math.log(error) / math.log(max(p, 1 - p)))
    require(enough, "len(values)", n, f"at least {least} values for this quantile and confidence")
    low = _largest(lambda rank: binomial_below(rank, n, p) <= error, 0, n)
    high = _largest(lambda rank: 1 - binomial_below(rank, n, p) > error, 0, n) + 1
    estimate = array[min(n - 1, max(0, math.ceil(n * p) - 1))]
    return Interval(float(estimate), float(array[low - 1]), float(array[high - 1]), level, n)


def _largest(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The largest whole number in low..high for which `holds`, true up to some point only."""
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _batches(series: Values, batches: int) -> npt.NDArray[np.float64]:
    parts = count("batches", batches, 10_000, least=2)
    array = finite_values("series", series, 10 * parts)
    size = array.size // parts
    # What does not fill a batch is dropped at the start, where it is most like warm-up.
    return array[array.size - parts * size :].reshape(parts, size)


def batch_means_interval(
    series: Values, batches: int = 20, confidence_fraction: float = 0.95
) -> Interval:
    """Interval for the mean of one long run, by batches long enough to be nearly independent.

    Args:
        series: observations in the order of time, warm-up removed, at least 10 a batch.
        batches: 2..10_000; 20 is usual, more make batches short and the interval too narrow.
        confidence_fraction: nominal coverage, strictly between 0 and 1.
    Returns: mean and interval, in the unit of the observations.
    Raises: InvalidScenario outside those domains.
    Source: [law2015, §9.5.3].

    >>> batch_means_interval([1.0] * 10 + [3.0] * 10, batches=2).estimate
    2.0
    """
    return mean_interval(_batches(series, batches).mean(axis=1), confidence_fraction)


def batch_quantile_interval(
    series: Values, fraction: float, batches: int = 20, confidence_fraction: float = 0.95
) -> Interval:
    """Interval for a quantile of one long run, from the quantiles of its batches.

    Args:
        series: observations in the order of time, warm-up removed, at least 10 a batch, and enough
            that each batch holds many values beyond the quantile.
        fraction: which quantile, strictly between 0 and 1.
        batches: 2..10_000.
        confidence_fraction: nominal coverage, strictly between 0 and 1.
    Returns: the quantile of the whole run, with the batches' half-width around it.
    Raises: InvalidScenario outside those domains.
    Source: [law2015, §9.5.3], [chen2006].

    >>> batch_quantile_interval(list(range(1, 21)), 0.5, batches=2).estimate
    10.5
    """
    p = open_fraction("fraction", fraction)
    parts = _batches(series, batches)
    spread = mean_interval(np.quantile(parts, p, axis=1), confidence_fraction).halfwidth
    middle = float(np.quantile(parts, p))
    return Interval(middle, middle - spread, middle + spread, confidence_fraction, batches)
