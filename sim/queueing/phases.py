"""Waits that are a random number of exponential phases, as when n jobs of one queue go first.

Everything here is a sum of positive terms (uniformisation), so nothing cancels: the tail is right
to about 1e-12 however long the queue.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.queueing.distribution import TimeDistribution

Floats = npt.NDArray[np.float64]


def poisson_window(mean: float) -> tuple[int, Floats]:
    """The Poisson probabilities that matter: the first count, and theirs from it on."""
    spread = 9 * math.sqrt(mean) + 25
    first, last = max(0, int(mean - spread)), int(mean + spread)
    if mean == 0.0:
        return 0, np.ones(1)
    counts = np.arange(first + 1, last + 1)
    start = first * math.log(mean) - mean - math.lgamma(first + 1)
    logs = np.concatenate([[0.0], np.cumsum(math.log(mean) - np.log(counts))]) + start
    weights = np.exp(logs)
    return first, weights / weights.sum()


@dataclass(frozen=True)
class PhasedWait(TimeDistribution):
    """The wait of a job that must sit out skipped + k + 1 departures with probability weights[k].

    Attributes:
        weights: chance of each number of phases; what is missing to 1 does not wait.
        phase_per_s: rate at which phases pass, cμ with all servers busy, 1/s.
        skipped: phases that everybody who waits sits out besides.
    """

    weights: tuple[float, ...]
    phase_per_s: float
    skipped: int = 0

    @property
    def mean_s(self) -> float:
        """Mean over all jobs, those that do not wait included, s."""
        phases = math.fsum((self.skipped + k + 1) * w for k, w in enumerate(self.weights))
        return phases / self.phase_per_s

    def more_than(self, first: int, size: int) -> Floats:
        """P(more than k phases) for k = first … first + size - 1."""
        still = np.append(np.cumsum(np.array(self.weights)[::-1])[::-1], 0.0)
        place = first + np.arange(size) - self.skipped
        return still[np.clip(place, 0, still.size - 1)]

    def _exceeds(self, time_s: float) -> float:
        first, chance = poisson_window(self.phase_per_s * time_s)
        return float(self.more_than(first, chance.size) @ chance)


def wait_of(
    found: npt.NDArray[np.int64], chance: Floats, servers: int, phase_per_s: float
) -> PhasedWait:
    """The wait of a job that finds `found` jobs (a run of whole numbers) with these chances.

    Args:
        found: numbers of jobs that an arrival finds, a run of whole numbers.
        chance: of each, summing to at most 1.
        servers: identical parallel servers, >= 1.
        phase_per_s: rate at which each phase of the wait ends, 1/s, > 0.
    Returns: the wait's distribution: an Erlang of as many phases as jobs must leave first.
    Source: [shortle2018, §3.3]; memoryless service.

    >>> wait = wait_of(np.array([1]), np.array([0.5]), 1, 2.0)  # half wait for one phase of 0.5 s
    >>> wait.mean_s
    0.25
    """
    queued = found >= servers
    if not queued.any():
        return PhasedWait((), phase_per_s)
    skipped = int(found[queued][0]) - servers
    return PhasedWait(tuple(chance[queued].tolist()), phase_per_s, skipped)


@dataclass(frozen=True)
class PhasedSojourn(TimeDistribution):
    """A `PhasedWait` and, after it, an independent exponential service.

    Attributes:
        wait: the wait before service.
        servers: c; one server works at phase_per_s / c.
    """

    wait: PhasedWait
    servers: int

    @property
    def mean_s(self) -> float:
        """Mean wait plus mean service, s."""
        return self.wait.mean_s + self.servers / self.wait.phase_per_s

    def _exceeds(self, time_s: float) -> float:
        # A chain that steps at phase_per_s: one phase of the wait a step, then service, which
        # ends at a step with probability 1/c.
        first, chance = poisson_window(self.wait.phase_per_s * time_s)
        serving = self._in_service(first + chance.size)[first:]
        return float((self.wait.more_than(first, chance.size) + serving) @ chance)

    def _in_service(self, steps: int) -> Floats:
        """P(in service after k steps): s(k+1) = s(k) (1 - 1/c) + P(exactly k+1 phases)."""
        stay = 1 - 1 / self.servers
        inflow = np.zeros(steps)
        inflow[0] = max(0.0, 1 - math.fsum(self.wait.weights))
        start = self.wait.skipped + 1
        arriving = np.array(self.wait.weights)[: max(0, steps - start)]
        inflow[start : start + arriving.size] = arriving
        # The recursion as a convolution by doubling: log2(steps) vector passes, all positive.
        serving, shift, factor = inflow, 1, stay
        while shift < steps and factor > 0:
            moved = np.zeros(steps)
            moved[shift:] = serving[: steps - shift] * factor
            serving = serving + moved
            shift, factor = 2 * shift, factor * factor
        return serving


@dataclass(frozen=True)
class NormalTime(TimeDistribution):
    """A sum of so many phases that it is normal: relative error of a quantile about 1 / phases.

    Attributes:
        mean: mean, s.
        deviation_s: standard deviation, s, far below the mean.
    """

    mean: float
    deviation_s: float

    @property
    def mean_s(self) -> float:
        """Mean, s."""
        return self.mean

    def _exceeds(self, time_s: float) -> float:
        return 0.5 * math.erfc((time_s - self.mean) / (self.deviation_s * math.sqrt(2)))
