"""Fork–join: a request asks K stations at once and is done when the last has answered.

Assumes: requests are Poisson and each sends one task to each of K like M/M/1 stations; tasks are
    independent and exponential.
Lies when: only some of the stations are asked; the stations share a machine; task times of one
    request go together (a large answer is large everywhere), when the lower bound is the better
    guess; K exceeds 32 in the approximation, whose error is then unknown.
"""

import math
from dataclasses import dataclass

from sim.queueing.distribution import TimeDistribution
from sim.queueing.domain import count, positive, stable


@dataclass(frozen=True)
class LargestOf(TimeDistribution):
    """The largest of `copies` independent exponential times.

    Attributes:
        copies: K.
        rate_per_s: rate of each, 1/s.
    """

    copies: int
    rate_per_s: float

    @property
    def mean_s(self) -> float:
        """H_K / rate, s."""
        return harmonic(self.copies) / self.rate_per_s

    def _exceeds(self, time_s: float) -> float:
        if time_s == 0.0:
            return 1.0
        one = math.exp(-self.rate_per_s * time_s)
        return -math.expm1(self.copies * math.log1p(-one)) if one < 1 else 1.0


@dataclass(frozen=True)
class ForkJoin:
    """What is known of the response time of a fork–join.

    Attributes:
        tasks: K.
        utilisation_fraction: ρ of each station.
        mean_s: approximate mean response; exact for K = 1 and 2.
        mean_low_s: no less than this, s.
        mean_high_s: no more than this, s.
        low: a time stochastically below the response: that of any one task.
        high: a time stochastically above it: the largest of K independent ones.
    """

    tasks: int
    utilisation_fraction: float
    mean_s: float
    mean_low_s: float
    mean_high_s: float
    low: LargestOf
    high: LargestOf


def harmonic(number: int) -> float:
    """H_K = 1 + 1/2 + … + 1/K, for K >= 1.

    Args:
        number: K, a whole number >= 1.
    Returns: the sum; beyond K = 1000 by its asymptotic series, to 1e-14.
    Raises: nothing; callers check K.
    Source: [abramowitz1964, §6.3.18].

    >>> harmonic(2)
    1.5
    """
    if number <= 1000:
        return math.fsum(1 / k for k in range(1, number + 1))
    inverse = 1 / number
    return math.log(number) + 0.57721566490153286 + inverse / 2 - inverse * inverse / 12


def fork_join(arrivals_per_s: float, service_s: float, tasks: int) -> ForkJoin:
    """Bounds and an approximation for K parallel M/M/1 stations that a request waits for.

    Args:
        arrivals_per_s: Poisson rate of requests λ, 1/s, > 0; every station gets a task of each.
        service_s: mean of the exponential time of one task, s, > 0.
        tasks: K, 1..1_000_000.
    Returns: bounds on mean and distribution; the mean by Nelson–Tantawi, within 5 % of simulation
        for K ≤ 32 as published.
    Raises: InvalidScenario outside those domains; UnstableStation if λ/μ >= 1.
    Source: [nelson1988]: K = 2 exact (after Flatto and Hahn), scaling approximation above; upper
        bound by association of the tasks' times.

    >>> two = fork_join(0.5, 1.0, 2)  # (12 - ρ)/8 of M/M/1's 2 s
    >>> two.mean_s
    2.875
    >>> two.mean_high_s  # H_2 = 3/2 of it
    3.0
    """
    rate = positive("arrivals_per_s", arrivals_per_s)
    service = positive("service_s", service_s)
    k = count("tasks", tasks, 1_000_000)
    rho = stable("fork-join", rate * service)
    one = service / (1 - rho)
    two = (12 - rho) / 8 * one
    if k == 1:
        mean = one
    else:
        share = harmonic(k) / harmonic(2)
        mean = (share + (1 - share) * 4 * rho / 11) * two
    spread = service * harmonic(k)  # an empty system: the largest of K tasks
    return ForkJoin(
        tasks=k,
        utilisation_fraction=rho,
        mean_s=mean,
        mean_low_s=max(one, spread),
        mean_high_s=harmonic(k) * one,
        low=LargestOf(1, 1 / one),
        high=LargestOf(k, 1 / one),
    )
