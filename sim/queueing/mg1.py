"""M/G/1: Poisson arrivals, any service time, one server, first come first served.

Assumes: arrivals are Poisson; service times are independent of each other and of the queue; one
    server, such as one event loop that never yields inside a request.
Lies when: the server interleaves jobs (use M/G/1-PS); service slows down under load, because
    caches or cores are shared; a few operations are much longer and come in batches; the service
    time is heavy-tailed beyond any gamma, when even the mean converges slowly.
"""

import itertools
import math
from dataclasses import dataclass

from sim.queueing.distribution import ExponentialWait, MixedTime, Shifted, TimeDistribution
from sim.queueing.domain import positive, stable
from sim.queueing.inversion import Complexes, TransformedTime
from sim.queueing.service import Deterministic, Mixture, ServiceTime
from sim.queueing.station import Station


@dataclass(frozen=True)
class PollaczekKhinchineWait(TransformedTime):
    """The queue wait of M/G/1, by its transform (1-ρ) / (1 - ρ R(s)), R the residual life.

    Attributes:
        arrivals_per_s: λ, jobs/s.
        service: the service time.
    """

    arrivals_per_s: float
    service: ServiceTime

    @property
    def _load(self) -> float:
        return self.arrivals_per_s * self.service.mean_s

    @property
    def mean_s(self) -> float:
        """λ E[S²] / (2 (1-ρ)), s."""
        residual_s = self.service.mean_s * (1 + self.service.scv) / 2
        return self._load * residual_s / (1 - self._load)

    @property
    def _positive_fraction(self) -> float:
        return self._load

    def tail_transform(self, s: Complexes) -> Complexes:
        """Laplace transform of P(T > t) at complex s, in s."""
        busy = self._load * self.service.residual_deficit(s)
        return busy / (s * (1 - self._load + busy))


@dataclass(frozen=True)
class ConstantServiceWait(PollaczekKhinchineWait):
    """The queue wait of M/D/1: by counting in the first 64 services, then as in M/G/1.

    The distribution has a kink at each of the first multiples of the service time, where the
    inverted transform would settle too slowly; later ones are smooth.
    """

    def _exceeds(self, time_s: float) -> float:
        services = int(time_s / self.service.mean_s) + 1
        if services > 64:
            return super()._exceeds(time_s)
        at_most = self._left_behind_at_most(services)
        mean = self.arrivals_per_s * (services * self.service.mean_s - time_s)
        term, total = math.exp(-mean), 0.0
        for arrived in range(services):
            total += at_most[services - 1 - arrived] * term
            term *= mean / (arrived + 1)
        return 1 - total

    def _left_behind_at_most(self, size: int) -> list[float]:
        """P(at most m jobs queue, one more in service), m = 0…size-1, for [franx2001, eq. 7]."""
        arrivals = [math.exp(-self._load)]
        for number in range(1, size + 2):
            arrivals.append(arrivals[-1] * self._load / number)
        present = [1 - self._load]
        for number in range(size):
            inflow = present[0] * arrivals[number] + sum(
                present[k] * arrivals[number + 1 - k] for k in range(1, number + 1)
            )
            present.append((present[number] - inflow) / arrivals[0])
        return list(itertools.accumulate(present))[1:]


@dataclass(frozen=True)
class WaitPlusService(TransformedTime):
    """A wait plus an independent service: the sojourn of M/G/1, and of M/G/c as approximated.

    Attributes:
        wait: the wait, whose transform is known.
        service: the service time that follows it, without atoms.
    """

    wait: PollaczekKhinchineWait | ExponentialWait
    service: ServiceTime

    @property
    def mean_s(self) -> float:
        """Mean wait plus mean service, s."""
        return self.wait.mean_s + self.service.mean_s

    @property
    def _positive_fraction(self) -> float:
        return 1.0

    def tail_transform(self, s: Complexes) -> Complexes:
        """Laplace transform of P(T > t) at complex s, in s."""
        # 1 - W S = (1 - W) S + (1 - S), the wait's tail transform being (1 - W) / s.
        shorter = self.service.one_minus_transform(s)
        return self.wait.tail_transform(s) * (1 - shorter) + shorter / s


def _sojourn(wait: PollaczekKhinchineWait, service: ServiceTime) -> TimeDistribution:
    """Wait plus service; a constant service is a shift, so that its jump stays exact."""
    if isinstance(service, Deterministic):
        return Shifted(wait, service.time_s)
    if isinstance(service, Mixture):
        return MixedTime(tuple(_sojourn(wait, part) for part in service.parts), service.weights)
    return WaitPlusService(wait, service)


def mg1(arrivals_per_s: float, service: ServiceTime) -> Station:
    """The steady state of M/G/1, with the distributions of wait and sojourn.

    Args:
        arrivals_per_s: Poisson arrival rate λ, jobs/s, > 0.
        service: the service time, from sim.queueing.service.
    Returns: a Station; sojourn is queue wait plus service. Quantiles come from the inverted
        transform, absolute error of the probability about 1e-8.
    Raises: InvalidScenario outside those domains; UnstableStation if λ E[S] >= 1; quantiles raise
        NotConverged where the inversion does not settle.
    Source: [shortle2018, §6.1], Pollaczek–Khinchine mean and transform.

    >>> from sim.queueing.service import service_time
    >>> round(mg1(5.0, service_time(0.1, 0.0)).mean_queue_wait_s, 6)  # M/D/1: ρ D / (2 (1-ρ))
    0.05
    """
    rate = positive("arrivals_per_s", arrivals_per_s)
    utilisation = stable("M/G/1", rate * service.mean_s)
    shape = ConstantServiceWait if isinstance(service, Deterministic) else PollaczekKhinchineWait
    wait = shape(rate, service)
    return Station(
        model="M/G/1",
        arrivals_per_s=rate,
        throughput_per_s=rate,
        servers=1,
        utilisation_fraction=utilisation,
        delayed_fraction=utilisation,
        lost_fraction=0.0,
        mean_queue_wait_s=wait.mean_s,
        mean_sojourn_s=wait.mean_s + service.mean_s,
        jobs_waiting=rate * wait.mean_s,
        jobs_present=rate * wait.mean_s + utilisation,
        queue_wait=wait,
        sojourn=_sojourn(wait, service),
    )
