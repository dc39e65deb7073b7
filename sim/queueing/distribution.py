"""Response-time distributions: what share of jobs takes longer than t, and its inverse.

A model that can say more than a mean returns one of these. They hold numbers, not closures, so
they compare, pickle and travel to another process.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.errors import InvalidScenario, NotConverged, Problem, require
from sim.queueing.domain import LARGEST


class TimeDistribution(ABC):
    """A random time ≥ 0, in s, known by the share of jobs that exceed each value."""

    @property
    @abstractmethod
    def mean_s(self) -> float:
        """Mean of the time, s."""

    @abstractmethod
    def _exceeds(self, time_s: float) -> float:
        """P(T > time_s) for a checked time_s ≥ 0."""

    def exceeds_fraction(self, time_s: float) -> float:
        """Share of jobs whose time is longer than `time_s`.

        Args:
            time_s: any number ≥ 0, s.
        Returns: P(T > time_s), in 0..1.
        Raises: InvalidScenario outside that domain.
        Source: definition.

        >>> ExponentialWait(delayed_fraction=0.5, decay_per_s=1.0).exceeds_fraction(0.0)
        0.5
        """
        require(0 <= time_s <= LARGEST, "time_s", time_s, "a number from 0 to 1e15")
        return min(1.0, max(0.0, self._exceeds(float(time_s))))

    def quantile_s(self, fraction: float) -> float:
        """The time that `fraction` of the jobs do not exceed: quantile_s(0.95) is the p95.

        Args:
            fraction: in 0..0.999999.
        Returns: the smallest t with P(T ≤ t) ≥ fraction, s, to a relative 1e-10.
        Raises: InvalidScenario outside that domain.
        Source: bisection on the tail, which never rises.

        >>> wait = ExponentialWait(delayed_fraction=0.5, decay_per_s=1.0)
        >>> wait.quantile_s(0.5)  # half of the jobs do not wait at all
        0.0
        >>> round(wait.quantile_s(0.75), 6)  # 0.5 e^-t = 0.25 at t = ln 2
        0.693147
        """
        require(0 <= fraction <= 0.999999, "fraction", fraction, "a number from 0 to 0.999999")
        target = 1.0 - float(fraction)
        if self._exceeds(0.0) <= target:
            return 0.0
        low, high = 0.0, self.mean_s or 1.0
        for _ in range(200):
            if self._exceeds(high) <= target:
                break
            low, high = high, 2 * high
        else:
            raise NotConverged("quantile_s", self._exceeds(high), target, 200)
        for _ in range(200):
            middle = 0.5 * (low + high)
            if high - low <= 1e-11 * high or not low < middle < high:
                break
            if self._exceeds(middle) <= target:
                high = middle
            else:
                low = middle
        return high


@dataclass(frozen=True)
class ExponentialWait(TimeDistribution):
    """0 for most, exponential for the `delayed_fraction`: the wait in M/M/c.

    Attributes:
        delayed_fraction: share of jobs that wait at all, 0..1.
        decay_per_s: rate at which the tail decays, 1/s.
    """

    delayed_fraction: float
    decay_per_s: float

    @property
    def mean_s(self) -> float:
        """Mean over all jobs, those that do not wait included, s."""
        return self.delayed_fraction / self.decay_per_s

    def tail_transform(self, s: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex128]:
        """Laplace transform of P(T > t) at complex s, in s."""
        return self.delayed_fraction / (self.decay_per_s + s)

    def _exceeds(self, time_s: float) -> float:
        return self.delayed_fraction * math.exp(-self.decay_per_s * time_s)


NO_WAIT = ExponentialWait(delayed_fraction=0.0, decay_per_s=1.0)


@dataclass(frozen=True)
class WaitPlusExponential(TimeDistribution):
    """An `ExponentialWait` and, after it, an independent exponential service: M/M/c's sojourn.

    Attributes:
        wait: the wait before service.
        service_per_s: service rate μ of one server, 1/s.
    """

    wait: ExponentialWait
    service_per_s: float

    @property
    def mean_s(self) -> float:
        """Mean wait plus mean service, s."""
        return self.wait.mean_s + 1 / self.service_per_s

    def _exceeds(self, time_s: float) -> float:
        decay, service = self.wait.decay_per_s, self.service_per_s
        # (e^-αt - e^-μt)/(μ - α) as t e^-min·t (1 - e^-x)/x with x = |μ-α| t: no cancellation.
        x = abs(service - decay) * time_s
        ramp = -math.expm1(-x) / x if x > 0 else 1.0
        both = time_s * math.exp(-min(decay, service) * time_s) * ramp
        return math.exp(-service * time_s) + self.wait.delayed_fraction * service * both


@dataclass(frozen=True)
class Shifted(TimeDistribution):
    """Another time plus a constant, such as a wait plus a service that always takes as long.

    Attributes:
        base: the random part.
        shift_s: the constant, s, ≥ 0.
    """

    base: TimeDistribution
    shift_s: float

    @property
    def mean_s(self) -> float:
        """Mean of the random part plus the constant, s."""
        return self.base.mean_s + self.shift_s

    def _exceeds(self, time_s: float) -> float:
        return 1.0 if time_s < self.shift_s else self.base._exceeds(time_s - self.shift_s)

    def quantile_s(self, fraction: float) -> float:
        """As TimeDistribution.quantile_s; exact at the jump that the constant makes.

        Args:
            fraction: in 0..0.999999.
        Returns: the quantile, s.
        Raises: InvalidScenario outside that domain.
        Source: quantiles move with a shift.

        >>> Shifted(ExponentialWait(0.0, 1.0), 2.0).quantile_s(0.95)
        2.0
        """
        return self.shift_s + self.base.quantile_s(fraction)


@dataclass(frozen=True)
class MixedTime(TimeDistribution):
    """One of several times, chosen at random: the sojourn over several kinds of jobs.

    Attributes:
        parts: the time of each kind.
        weights: share of each kind, summing to 1.
    """

    parts: tuple[TimeDistribution, ...]
    weights: tuple[float, ...]

    @property
    def mean_s(self) -> float:
        """Mean over all kinds, s."""
        return sum(w * part.mean_s for w, part in zip(self.weights, self.parts, strict=True))

    def _exceeds(self, time_s: float) -> float:
        return sum(
            w * part._exceeds(time_s) for w, part in zip(self.weights, self.parts, strict=True)
        )


@dataclass(frozen=True)
class MeanOnly(TimeDistribution):
    """A time of which theory gives the mean and no more.

    Attributes:
        mean: the mean, s.
        model: the model that gave it, for the error.
    """

    mean: float
    model: str

    @property
    def mean_s(self) -> float:
        """The mean, s."""
        return self.mean

    def _exceeds(self, time_s: float) -> float:
        raise InvalidScenario(
            Problem(
                "distribution",
                self.model,
                "a model with a known distribution; for this one theory gives the mean only: "
                "simulate it",
            )
        )
