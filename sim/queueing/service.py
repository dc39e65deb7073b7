"""Service-time distributions by mean and variability, with the transforms the models need.

The squared coefficient of variation (scv = variance / mean²) says it all for means: 0 is a
constant, 1 an exponential, 1/k an Erlang of k stages, above 1 a long tail.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.errors import require
from sim.queueing.domain import positive, positives
from sim.queueing.inversion import Complexes


class ServiceTime(ABC):
    """A service time, s: its moments, its transform and draws from it."""

    @property
    @abstractmethod
    def mean_s(self) -> float:
        """Mean, s."""

    @property
    @abstractmethod
    def scv(self) -> float:
        """Squared coefficient of variation, variance / mean²."""

    @abstractmethod
    def one_minus_transform(self, s: Complexes) -> Complexes:
        """1 - E[e^-sS], computed so that it keeps its digits at small s."""

    @abstractmethod
    def draws_s(self, rng: np.random.Generator, size: int) -> npt.NDArray[np.float64]:
        """`size` independent service times, s."""

    @abstractmethod
    def residual_deficit(self, s: Complexes) -> Complexes:
        """1 - E[e^-sR] for the residual life R, what an arrival finds left of a job in service."""


def _gamma_deficit(service: "Deterministic | Gamma", s: Complexes) -> Complexes:
    """1 - (1 - E[e^-sS]) / (s E[S]), by its series where that difference would lose its digits."""
    y = s * service.mean_s
    small = np.abs(y) * max(1.0, service.scv) < 0.05
    deficit = np.empty_like(y)
    term = np.ones_like(y[small])
    total = np.zeros_like(term)
    for order in range(1, 13):
        term = term * -y[small] * (1 + order * service.scv) / (order + 1)
        total -= term
    deficit[small] = total
    deficit[~small] = 1 - service.one_minus_transform(s[~small]) / y[~small]
    return deficit


@dataclass(frozen=True)
class Deterministic(ServiceTime):
    """Always the same time.

    Attributes:
        time_s: the service time, s, 1e-15..1e15.
    """

    time_s: float

    def __post_init__(self) -> None:
        positive("service.time_s", self.time_s)

    @property
    def mean_s(self) -> float:
        """Mean, s."""
        return self.time_s

    @property
    def scv(self) -> float:
        """0."""
        return 0.0

    def one_minus_transform(self, s: Complexes) -> Complexes:
        """1 - e^-sD."""
        return -np.expm1(-s * self.time_s)

    def residual_deficit(self, s: Complexes) -> Complexes:
        """1 - (1 - e^-sD) / (sD)."""
        return _gamma_deficit(self, s)

    def draws_s(self, rng: np.random.Generator, size: int) -> npt.NDArray[np.float64]:
        """`size` times the constant; takes nothing from `rng`."""
        return np.full(size, self.time_s)


@dataclass(frozen=True)
class Gamma(ServiceTime):
    """Gamma-distributed: exponential at scv 1, Erlang-k at 1/k, long-tailed above 1.

    Attributes:
        mean: mean, s, 1e-15..1e15.
        variability: scv, 0.001..100.
    """

    mean: float
    variability: float = 1.0

    def __post_init__(self) -> None:
        positive("service.mean", self.mean)
        require(
            0.001 <= positive("service.variability", self.variability) <= 100,
            "service.variability",
            self.variability,
            "a number from 0.001 to 100 (0 is Deterministic)",
        )

    @property
    def mean_s(self) -> float:
        """Mean, s."""
        return self.mean

    @property
    def scv(self) -> float:
        """Squared coefficient of variation."""
        return self.variability

    def one_minus_transform(self, s: Complexes) -> Complexes:
        """1 - (1 + scv·mean·s)^(-1/scv)."""
        x = self.variability * self.mean * s
        # NumPy's complex log1p loses the digits of a small real part.
        size = 0.5 * np.log1p(x.real * (2 + x.real) + x.imag**2)
        return -np.expm1(-(size + 1j * np.arctan2(x.imag, 1 + x.real)) / self.variability)

    def residual_deficit(self, s: Complexes) -> Complexes:
        """1 - (1 - (1 + scv·mean·s)^(-1/scv)) / (mean·s)."""
        return _gamma_deficit(self, s)

    def draws_s(self, rng: np.random.Generator, size: int) -> npt.NDArray[np.float64]:
        """`size` gamma variates, s."""
        return rng.gamma(1 / self.variability, self.mean * self.variability, size)


@dataclass(frozen=True)
class Mixture(ServiceTime):
    """Kinds of jobs: kind i comes with probability weights[i] and takes parts[i].

    Attributes:
        parts: the service time of each kind.
        weights: share of each kind, > 0, summing to 1.
    """

    parts: tuple[ServiceTime, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        weights = positives("service.weights", self.weights)
        fits = len(weights) == len(self.parts) and abs(sum(weights) - 1) <= 1e-9
        require(fits, "service.weights", self.weights, "one a part, summing to 1")

    @property
    def mean_s(self) -> float:
        """Mean over all kinds, s."""
        return sum(w * part.mean_s for w, part in zip(self.weights, self.parts, strict=True))

    @property
    def scv(self) -> float:
        """Squared coefficient of variation over all kinds."""
        second = sum(
            w * part.mean_s**2 * (1 + part.scv)
            for w, part in zip(self.weights, self.parts, strict=True)
        )
        return second / self.mean_s**2 - 1

    def one_minus_transform(self, s: Complexes) -> Complexes:
        """The weighted sum over the kinds."""
        total = np.zeros_like(s)
        for weight, part in zip(self.weights, self.parts, strict=True):
            total += weight * part.one_minus_transform(s)
        return total

    def residual_deficit(self, s: Complexes) -> Complexes:
        """The sum over the kinds, each weighted by its share of the work."""
        total = np.zeros_like(s)
        for weight, part in zip(self.weights, self.parts, strict=True):
            total += weight * part.mean_s / self.mean_s * part.residual_deficit(s)
        return total

    def draws_s(self, rng: np.random.Generator, size: int) -> npt.NDArray[np.float64]:
        """`size` times, the kind of each drawn first."""
        kinds = rng.choice(len(self.parts), size=size, p=np.array(self.weights))
        times = np.empty(size)
        for kind, part in enumerate(self.parts):
            chosen = kinds == kind
            times[chosen] = part.draws_s(rng, int(chosen.sum()))
        return times


def service_time(mean_s: float, scv: float) -> ServiceTime:
    """The service time with this mean and variability: a constant at scv 0, else a gamma.

    Args:
        mean_s: mean, s, > 0.
        scv: squared coefficient of variation, 0 or 0.001..100.
    Returns: a Deterministic or a Gamma.
    Raises: InvalidScenario outside those domains.
    Source: two-moment matching: a gamma of shape 1 / scv has that variability.

    >>> service_time(0.1, 0.0)
    Deterministic(time_s=0.1)
    >>> service_time(0.1, 0.5).scv  # Erlang of 2 stages
    0.5
    """
    return Deterministic(mean_s) if scv == 0 else Gamma(mean_s, scv)
