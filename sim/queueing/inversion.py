"""From a Laplace transform back to a probability: the Euler algorithm of Abate and Whitt.

Assumes: the tail P(T > t) is continuous at t and smooth near it.
Lies when: T has an atom or a kink at t itself; the terms are doubled until two results agree, and
    where they never do it raises NotConverged rather than return the nearest guess.
"""

import math
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim.errors import NotConverged, require
from sim.queueing.distribution import TimeDistribution

Complexes = npt.NDArray[np.complex128]
Transform = Callable[[Complexes], Complexes]

_DECAY = 20.0  # discretisation error e^-20 = 2e-9; round-off e^10 × 1e-16 = 2e-12
_BINOMIAL_TERMS = 11
_WEIGHTS = np.array([math.comb(_BINOMIAL_TERMS, k) for k in range(_BINOMIAL_TERMS + 1)]) / 2**11
_AGREEMENT = 2e-8
_MOST_TERMS = 1 << 15


def invert(transform: Transform, time_s: float) -> float:
    """The value at `time_s` of the function whose Laplace transform is given.

    Args:
        transform: f̂(s) for an array of complex s with positive real part, vectorised.
        time_s: t > 0, s.
    Returns: f(t), absolute error about 1e-8 for |f| ≤ 1 (twice the agreement asked for).
    Raises: InvalidScenario for another t; NotConverged if 32768 terms do not settle it.
    Source: [abate1995, §3], Euler summation of the Fourier series.

    >>> round(invert(lambda s: 1 / (s + 1), 2.0), 6)  # e^-2
    0.135335
    """
    require(0 < time_s < math.inf, "time_s", time_s, "a number above 0")
    terms, before = 24, math.inf
    while terms <= _MOST_TERMS:
        now = _euler(transform, time_s, terms)
        if abs(now - before) <= _AGREEMENT:
            return now
        before, last = now, before
        terms *= 2
    raise NotConverged("Laplace inversion", abs(before - last), _AGREEMENT, _MOST_TERMS)


def _euler(transform: Transform, time_s: float, terms: int) -> float:
    order = np.arange(terms + _BINOMIAL_TERMS + 1)
    points: Complexes = ((_DECAY + 2j * math.pi * order) / (2 * time_s)).astype(np.complex128)
    values = np.real(transform(points)) * np.where(order % 2 == 0, 1.0, -1.0)
    values[0] *= 0.5
    sums = np.cumsum(values)[terms:]
    return float(math.exp(_DECAY / 2) / time_s * (sums @ _WEIGHTS))


class TransformedTime(TimeDistribution):
    """A time known by the Laplace transform of its tail, ∫ e^-st P(T > t) dt."""

    @abstractmethod
    def tail_transform(self, s: Complexes) -> Complexes:
        """The transform of the tail at each s."""

    @property
    @abstractmethod
    def _positive_fraction(self) -> float:
        """P(T > 0)."""

    def _exceeds(self, time_s: float) -> float:
        if time_s == 0.0:
            return self._positive_fraction
        return invert(self.tail_transform, time_s)
