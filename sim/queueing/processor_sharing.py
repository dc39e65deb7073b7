"""M/G/1-PS: one server shared equally by all jobs present, as cores are by an operating system.

Assumes: Poisson arrivals; any service time; n jobs present each get 1/n of the server, in slices so
    short that they do not show.
Lies when: slices are long beside the jobs; memory, locks or caches make many jobs at once slower
    than their sum; the server has several cores and fewer jobs than cores (a job cannot use two).
"""

import math
from dataclasses import dataclass

import numpy as np

from sim.errors import NotConverged
from sim.queueing.distribution import NO_WAIT, MeanOnly, TimeDistribution
from sim.queueing.domain import non_negative, positive, stable
from sim.queueing.inversion import Complexes, TransformedTime
from sim.queueing.service import Gamma, ServiceTime
from sim.queueing.station import Station

_MOST_TERMS = 8000


@dataclass(frozen=True)
class SharedSojourn(TransformedTime):
    """The sojourn of M/M/1-PS, by its transform as a geometric series.

    Attributes:
        arrivals_per_s: λ, jobs/s.
        service_per_s: μ, jobs/s.
    """

    arrivals_per_s: float
    service_per_s: float

    @property
    def mean_s(self) -> float:
        """1 / (μ - λ), s."""
        return 1 / self.service_per_s / (1 - self.arrivals_per_s / self.service_per_s)

    @property
    def _positive_fraction(self) -> float:
        return 1.0

    def tail_transform(self, s: Complexes) -> Complexes:
        """Laplace transform of P(T > t) at complex s, in s."""
        # A job of size x has E[e^-sT] = K e^-ax / (1 - q e^-bx) in the notation below; integrated
        # over exponential x term by term: K Σ q^k μ / (μ + a + k b).
        lam, mu = self.arrivals_per_s, self.service_per_s
        rho = lam / mu
        total = lam + mu + s
        root = np.sqrt(total * total - 4 * lam * mu)
        r = 2 * mu / (total + root)  # the smaller root of λ r² - (λ+μ+s) r + μ = 0
        k = (1 - rho) * (1 - rho * r * r) / (1 - rho * r) ** 2
        q = rho * (1 - r) ** 2 / (1 - rho * r) ** 2
        a, b = lam * (1 - r) + s, mu / r - lam * r
        terms = _terms(float(np.abs(q).max()))
        transform = np.zeros_like(s)
        power = np.ones_like(s)
        for order in range(terms):
            transform += power * mu / (mu + a + order * b)
            power *= q
        return (1 - k * transform) / s


def _terms(ratio: float) -> int:
    """Terms of a geometric series that count; too many mean that ρ is too close to 1."""
    terms = math.ceil(math.log(1e-17) / math.log(max(ratio, 1e-17))) + 1 if ratio < 1 else math.inf
    if terms > _MOST_TERMS:
        raise NotConverged("M/M/1-PS series", terms, _MOST_TERMS, _MOST_TERMS)
    return int(terms)


def conditional_sojourn_s(service_demand_s: float, utilisation_fraction: float) -> float:
    """Mean sojourn of a job that needs `service_demand_s` of the server, in M/G/1-PS.

    Args:
        service_demand_s: x, the job's own need, s, >= 0.
        utilisation_fraction: ρ of the server, 0..1, below 1.
    Returns: x / (1-ρ), s: every job is slowed by the same factor, long or short.
    Raises: InvalidScenario outside those domains; UnstableStation if ρ >= 1.
    Source: [kleinrock1976, §4.4].

    >>> conditional_sojourn_s(0.3, 0.5)
    0.6
    """
    need = non_negative("service_demand_s", service_demand_s)
    busy = non_negative("utilisation_fraction", utilisation_fraction)
    return need / (1 - stable("M/G/1-PS", busy))


def mg1_ps(arrivals_per_s: float, service: ServiceTime) -> Station:
    """The steady state of M/G/1-PS.

    Args:
        arrivals_per_s: Poisson arrival rate λ, jobs/s, > 0.
        service: the service time on an otherwise empty server.
    Returns: a Station; nobody queues, so the queue wait is 0 and all delay is in the sojourn. Means
        hold for any service time; the sojourn has quantiles for exponential service only.
    Raises: InvalidScenario outside those domains; UnstableStation if λ E[S] >= 1; quantiles raise
        NotConverged where the inversion does not settle or 1-ρ is below about 0.005.
    Source: [kleinrock1976, §4.4] mean and insensitivity; [coffman1970] transform for M/M/1-PS.

    >>> from sim.queueing.service import service_time
    >>> round(mg1_ps(8.0, service_time(0.1, 4.0)).mean_sojourn_s, 6)  # 0.1 / (1 - 0.8)
    0.5
    """
    rate = positive("arrivals_per_s", arrivals_per_s)
    utilisation = stable("M/G/1-PS", rate * service.mean_s)
    mean = service.mean_s / (1 - utilisation)
    sojourn: TimeDistribution = MeanOnly(mean, "M/G/1-PS")
    if isinstance(service, Gamma) and service.scv == 1.0:
        sojourn = SharedSojourn(rate, 1 / service.mean_s)
    return Station(
        model="M/G/1-PS",
        arrivals_per_s=rate,
        throughput_per_s=rate,
        servers=1,
        utilisation_fraction=utilisation,
        delayed_fraction=0.0,
        lost_fraction=0.0,
        mean_queue_wait_s=0.0,
        mean_sojourn_s=mean,
        jobs_waiting=0.0,
        jobs_present=utilisation / (1 - utilisation),
        queue_wait=NO_WAIT,
        sojourn=sojourn,
    )
