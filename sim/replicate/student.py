"""Quantiles of Student's t and binomial tails, from the regularised incomplete beta function."""

import math
from statistics import NormalDist

from sim.errors import NotConverged
from sim.queueing.domain import count, open_fraction


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b), for a, b > 0 and x in 0..1."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(b, a, 1 - x)
    log_front = a * math.log(x) + b * math.log1p(-x)
    log_front += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log_front) * _continued_fraction(a, b, x) / a


def _continued_fraction(a: float, b: float, x: float) -> float:
    """Lentz's evaluation; converges in about sqrt(max(a, b)) rounds below the mean."""
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 100_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + numerator * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + numerator / c
            c = c if abs(c) > tiny else tiny
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            return value
    raise NotConverged("incomplete beta", abs(c * d - 1), 1e-15, 100_000)


def t_quantile(fraction: float, degrees: int) -> float:
    """The value that Student's t stays below with probability `fraction`.

    Args:
        fraction: strictly between 0 and 1.
        degrees: degrees of freedom, 1..10^9.
    Returns: the quantile, without unit; relative error about 1e-10.
    Raises: InvalidScenario outside those domains.
    Source: [abramowitz1964, §26.7]: P(|T| > t) = I_{n/(n+t²)}(n/2, 1/2).

    >>> round(t_quantile(0.975, 10), 3)  # every t table
    2.228
    """
    wanted = open_fraction("fraction", fraction)
    n = count("degrees", degrees, 10**9)
    if wanted == 0.5:
        return 0.0
    if n > 100_000:
        return NormalDist().inv_cdf(wanted)
    tail = 2 * min(wanted, 1 - wanted)
    low, high = 0.0, 1.0
    while incomplete_beta(n / 2, 0.5, n / (n + high * high)) > tail:
        low, high = high, 2 * high
    while high - low > 1e-13 * high:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            break
        if incomplete_beta(n / 2, 0.5, n / (n + middle * middle)) > tail:
            low = middle
        else:
            high = middle
    return math.copysign(high, wanted - 0.5)


def binomial_below(successes: int, trials: int, fraction: float) -> float:
    """P(X < successes) for X binomial(trials, fraction).

    Args:
        successes: 0..trials+1.
        trials: n, 1..10^9.
        fraction: success probability, strictly between 0 and 1.
    Returns: the probability, 0..1.
    Raises: InvalidScenario outside those domains.
    Source: [abramowitz1964, §26.5].

    >>> binomial_below(1, 2, 0.5)  # no success in two tosses
    0.25
    """
    n = count("trials", trials, 10**9)
    k = count("successes", successes, n + 1, least=0)
    p = open_fraction("fraction", fraction)
    if k == 0:
        return 0.0
    return 1.0 if k > n else 1 - incomplete_beta(k, n - k + 1, p)
