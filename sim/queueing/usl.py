"""The Universal Scalability Law: throughput against concurrency, by contention and coherence.

Assumes: throughput X(N) = γN / (1 + α(N-1) + βN(N-1)): a share α of the work is serial, and each
    pair of workers spends β on agreeing with each other.
Lies when: another limit cuts in inside the range (a pool, a rate limit, a second bottleneck); it is
    used far beyond the largest N measured; N counts clients rather than workers that really run.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.errors import require
from sim.queueing.domain import positive, positives

Floats = npt.NDArray[np.float64]
_SUBSETS = tuple(itertools.product([False, True], repeat=2))


@dataclass(frozen=True)
class UniversalScalability:
    """A fitted Universal Scalability Law.

    Attributes:
        single_per_s: γ, throughput of one worker, requests/s.
        contention_fraction: α, 0..1 as a rule.
        coherence_fraction: β, 0 where throughput never falls.
        worst_error_fraction: largest relative error at the points fitted.
    """

    single_per_s: float
    contention_fraction: float
    coherence_fraction: float
    worst_error_fraction: float

    def throughput_per_s(self, concurrency: float) -> float:
        """Throughput with `concurrency` workers.

        Args:
            concurrency: N, > 0.
        Returns: X(N), requests/s.
        Raises: InvalidScenario outside that domain.
        Source: [gunther2007, §4.5].

        >>> UniversalScalability(100.0, 0.0, 0.0, 0.0).throughput_per_s(5)
        500.0
        """
        n = positive("concurrency", concurrency)
        alpha, beta = self.contention_fraction, self.coherence_fraction
        return self.single_per_s * n / (1 + alpha * (n - 1) + beta * n * (n - 1))

    @property
    def peak_concurrency(self) -> float:
        """The N of the largest throughput, √((1-α)/β); infinite where β is 0."""
        if self.coherence_fraction == 0:
            return math.inf
        inside = (1 - self.contention_fraction) / self.coherence_fraction
        return max(1.0, math.sqrt(max(0.0, inside)))


def fit_usl(
    concurrency: Sequence[float], throughput_per_s: Sequence[float]
) -> UniversalScalability:
    """Fit the law to measured points, by least squares on throughput.

    Args:
        concurrency: N of each point, > 0; at least three different ones.
        throughput_per_s: X of each point, requests/s, > 0.
    Returns: the law, with γ > 0 and α, β >= 0.
    Raises: InvalidScenario outside those domains or for lists of different lengths.
    Source: [gunther2007, §5.5]; Levenberg–Marquardt from the linear fit of N/X.

    >>> law = fit_usl([1, 2, 4], [100.0, 200.0, 400.0])
    >>> round(law.single_per_s, 6), round(law.contention_fraction, 6)
    (100.0, 0.0)
    """
    n = np.array(positives("concurrency", concurrency))
    require(float(n.max()) <= 1e9, "concurrency", list(concurrency), "numbers up to 1e9")
    x = np.array(positives("throughput_per_s", throughput_per_s))
    require(n.size == x.size, "throughput_per_s", x.size, f"as many values as N: {n.size}")
    require(np.unique(n).size >= 3, "concurrency", list(concurrency), "three different values")
    scale = float(x.max())
    start = _linear_fit(n, x / scale)
    # Without bounds, with each subset of the parameters held at 0: the best with none negative is
    # the bounded optimum. γ alone always succeeds.
    descents = [_descend(n, x / scale, start, free) for free in _SUBSETS]
    found = [law for law in descents if law is not None and law.min() >= 0]
    gamma, alpha, beta = min(found, key=lambda law: _squares(n, x / scale, law))
    fitted = gamma * scale * n / (1 + alpha * (n - 1) + beta * n * (n - 1))
    worst = float(np.max(np.abs(fitted / x - 1)))
    return UniversalScalability(float(gamma * scale), float(alpha), float(beta), worst)


def _linear_fit(n: Floats, x: Floats) -> Floats:
    """A start: N/X is linear in the parameters; weights make errors relative."""
    columns = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1) * (x / n)[:, None]
    coefficients = np.linalg.lstsq(columns, np.ones_like(n), rcond=None)[0]
    base = max(coefficients[0], 1e-3 * float(np.min(n / x)))
    ratios = np.maximum(coefficients[1:], 0) / base
    return np.array([1 / base, *ratios])


def _squares(n: Floats, x: Floats, law: Floats) -> float:
    error = law[0] * n / (1 + law[1] * (n - 1) + law[2] * n * (n - 1)) - x
    return float(error @ error)


def _descend(n: Floats, x: Floats, start: Floats, free: tuple[bool, ...]) -> Floats | None:
    """Levenberg–Marquardt over γ and those of α, β that are free; None where it gets lost."""
    active = np.array([True, *free])
    law = np.where(active, start, 0.0)
    damping = 1e-3
    for _ in range(500):
        below = 1 + law[1] * (n - 1) + law[2] * n * (n - 1)
        model = law[0] * n / below
        slopes = np.stack([n / below, -model * (n - 1) / below, -model * n * (n - 1) / below], 1)
        slopes = slopes[:, active]
        curvature = slopes.T @ slopes
        curvature += damping * np.diag(np.diag(curvature))
        step = np.zeros(3)
        step[active] = np.linalg.lstsq(curvature, slopes.T @ (x - model), rcond=None)[0]
        tried = law + step
        positive_below = np.all(1 + tried[1] * (n - 1) + tried[2] * n * (n - 1) > 1e-9)
        if positive_below and _squares(n, x, tried) <= _squares(n, x, law):
            settled = np.all(np.abs(step) <= 1e-10 * np.abs(law) + 1e-16)
            law, damping = tried, max(damping / 5, 1e-12)
            if settled:
                return law
        else:
            damping *= 4
            if damping > 1e12:
                return law  # rounding stops every step: a minimum
    return None
