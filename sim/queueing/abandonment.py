"""M/M/c+M (Erlang A): jobs that wait longer than their patience leave the queue unserved.

Assumes: Poisson arrivals, exponential service, c servers, one queue; each job has its own
    exponential patience, which runs while it queues and not while it is served.
Lies when: patience is a fixed timeout (everybody leaves at the same age: fewer leave early, more
    all at once); those who leave come back as retries; the server does not notice that the client
    has gone and serves it all the same, as most HTTP servers do.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.queueing.birth_death import steady_state
from sim.queueing.distribution import TimeDistribution
from sim.queueing.domain import positive, servers_count
from sim.queueing.station import Station

Floats = npt.NDArray[np.float64]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_PANELS = 24
_REACH = 60.0  # e^-60 of the peak is left out


@dataclass(frozen=True)
class OfferedWait:
    """How long a job of endless patience would wait: its density e^h(x) above 0.

    Attributes:
        arrivals_per_s: λ.
        service_per_s: c μ, all servers busy.
        leaving_per_s: θ, 1 / mean patience.
        delayed_fraction: P(V > 0).
    """

    arrivals_per_s: float
    service_per_s: float
    leaving_per_s: float
    delayed_fraction: float

    def log_density(self, time_s: Floats) -> Floats:
        """h(x) = λ ∫ e^-θu du - cμx, up to a constant; concave."""
        patient = -np.expm1(-self.leaving_per_s * time_s) / self.leaving_per_s
        return self.arrivals_per_s * patient - self.service_per_s * time_s

    def _peak_s(self) -> float:
        ratio = self.arrivals_per_s / self.service_per_s
        return max(0.0, math.log(ratio) / self.leaving_per_s)

    def range_s(self) -> tuple[float, float, float]:
        """Where the density counts, and its largest logarithm."""
        peak = self._peak_s()
        top = float(self.log_density(np.array(peak)))

        def edge(inside: float, outside: float) -> float:
            for _ in range(80):
                middle = 0.5 * (inside + outside)
                if float(self.log_density(np.array(middle))) > top - _REACH:
                    inside = middle
                else:
                    outside = middle
            return outside

        far = peak + 1 / self.service_per_s
        while float(self.log_density(np.array(far))) > top - _REACH:
            far = peak + 2 * (far - peak)
        return edge(peak, 0.0) if peak > 0 else 0.0, edge(peak, far), top

    def points(self, start_s: float, end_s: float) -> tuple[Floats, Floats]:
        """Gauss–Legendre nodes and weights over a range, cut into panels."""
        # e^-θx may fade long before the density does; it gets panels of its own size.
        fading = min(end_s - start_s, _REACH / self.leaving_per_s)
        edges = np.unique(
            np.append(
                np.linspace(start_s, end_s, _PANELS + 1),
                np.linspace(start_s, start_s + fading, _PANELS + 1),
            )
        )
        half = np.diff(edges) / 2
        nodes = ((edges[:-1] + half)[:, None] + half[:, None] * _NODES).ravel()
        return nodes, (half[:, None] * _WEIGHTS).ravel()


@dataclass(frozen=True)
class ImpatientTime(TimeDistribution):
    """A time in M/M/c+M: the queue wait, or the sojourn where `service_s` is not 0.

    Attributes:
        offered: the wait of an endlessly patient job.
        service_s: mean service of those served, or 0 for the wait alone, s.
        served_only: whether jobs that leave unserved are left out.
    """

    offered: OfferedWait
    service_s: float
    served_only: bool

    def _scale(self) -> tuple[float, float, float, float]:
        """Range of V, log peak, and the factor that turns e^h into a density."""
        start, end, top = self.offered.range_s()
        nodes, weights = self.offered.points(start, end)
        mass = float(weights @ np.exp(self.offered.log_density(nodes) - top))
        return start, end, top, self.offered.delayed_fraction / mass

    def served_fraction(self) -> float:
        """Share of all jobs whose patience outlasts the offered wait."""
        start, end, top, factor = self._scale()
        nodes, weights = self.offered.points(start, end)
        patient = -self.offered.leaving_per_s * nodes
        kept = float(weights @ np.exp(self.offered.log_density(nodes) - top + patient))
        return 1 - self.offered.delayed_fraction + factor * kept

    @property
    def mean_s(self) -> float:
        """Mean over the jobs counted, s."""
        start, end, top, factor = self._scale()
        nodes, weights = self.offered.points(start, end)
        theta = self.offered.leaving_per_s
        density = factor * weights * np.exp(self.offered.log_density(nodes) - top)
        served = self.served_fraction()
        if self.served_only:
            return float(density @ (nodes * np.exp(-theta * nodes))) / served + self.service_s
        waits = float(density @ (-np.expm1(-theta * nodes) / theta))  # E[min(V, patience)]
        return waits + served * self.service_s

    def _exceeds(self, time_s: float) -> float:
        start, end, top, factor = self._scale()
        theta, mu = self.offered.leaving_per_s, 1 / self.service_s if self.service_s else math.inf
        later = self._integral(
            max(start, time_s), end, top, factor, theta if self.served_only else 0
        )
        tail = later if self.served_only else later * math.exp(-theta * time_s)
        if self.service_s:
            at_once = (1 - self.offered.delayed_fraction) * math.exp(-mu * time_s)
            tail += at_once + self._still_served(start, min(end, time_s), top, factor, time_s)
        return tail / self.served_fraction() if self.served_only else tail

    def _integral(self, start: float, end: float, top: float, factor: float, rate: float) -> float:
        """∫ of V's density times e^(-rate x)."""
        if start >= end:
            return 0.0
        nodes, weights = self.offered.points(start, end)
        return factor * float(
            weights @ np.exp(self.offered.log_density(nodes) - top - rate * nodes)
        )

    def _still_served(
        self, start: float, end: float, top: float, factor: float, time_s: float
    ) -> float:
        """P(began service after a wait, and still in it at `time_s`)."""
        if start >= end:
            return 0.0
        # Only waits that ended within the last 60 services can matter.
        begin = max(start, time_s - _REACH * self.service_s)
        if begin >= end:
            return 0.0
        nodes, weights = self.offered.points(begin, end)
        exponent = self.offered.log_density(nodes) - top - self.offered.leaving_per_s * nodes
        return factor * float(weights @ np.exp(exponent - (time_s - nodes) / self.service_s))


@dataclass(frozen=True)
class ImpatientStation(Station):
    """The steady state of M/M/c+M; the inherited times count all jobs, those who leave included.

    Attributes:
        served_queue_wait: wait of the jobs that are served.
        served_sojourn: sojourn of the jobs that are served.
    """

    served_queue_wait: TimeDistribution
    served_sojourn: TimeDistribution


def mmc_abandonment(
    arrivals_per_s: float, service_s: float, servers: int, patience_s: float
) -> ImpatientStation:
    """The steady state of M/M/c+M, stable at any load, with its distributions.

    Args:
        arrivals_per_s: Poisson rate λ offered, jobs/s, > 0; may exceed what can be served.
        service_s: mean of the exponential service time, s, > 0.
        servers: c, 1..1_000_000.
        patience_s: mean of the exponential patience 1/θ, s, > 0.
    Returns: an ImpatientStation; lost_fraction is the share that leaves unserved.
    Raises: InvalidScenario outside those domains; NotConverged where more than 6·10^6 queue
        lengths count.
    Source: [mandelbaum2007, §4], offered wait after [baccelli1981].

    >>> station = mmc_abandonment(1.0, 1.0, 1, 1.0)  # M/M/1+M with θ = μ: an M/M/∞ of mean 1
    >>> round(station.jobs_present, 6), round(station.delayed_fraction, 6)  # 1, 1 - e^-1
    (1.0, 0.632121)
    """
    rate = positive("arrivals_per_s", arrivals_per_s)
    service = positive("service_s", service_s)
    c = servers_count(servers)
    patience = positive("patience_s", patience_s)
    excess = max(0.0, rate - c / service) * patience  # where drift balances
    likely = int(min(c + excess, 1e18)) if excess > 0 else int(min(rate * service, c))
    first, chance = steady_state(
        lambda n: 0 * n + rate,
        lambda n: np.minimum(n, c) / service + np.maximum(n - c, 0) / patience,
        None,
        likely,
    )
    states = first + np.arange(chance.size)
    working = float(np.minimum(states, c) @ chance)
    waiting = float(np.maximum(states - c, 0) @ chance)
    delayed = min(1.0, float(chance[states >= c].sum()))
    lost = waiting / patience / rate
    if lost > 0.5:  # the other of two equal expressions keeps its digits
        lost = max(0.0, 1 - working / service / rate)
    offered = OfferedWait(rate, c / service, 1 / patience, delayed)
    return ImpatientStation(
        model="M/M/c+M",
        arrivals_per_s=rate,
        throughput_per_s=working / service,
        servers=c,
        utilisation_fraction=min(1.0, working / c),
        delayed_fraction=delayed,
        lost_fraction=lost,
        mean_queue_wait_s=waiting / rate,
        mean_sojourn_s=(waiting + working) / rate,
        jobs_waiting=waiting,
        jobs_present=float(states @ chance),
        queue_wait=ImpatientTime(offered, 0.0, served_only=False),
        sojourn=ImpatientTime(offered, service, served_only=False),
        served_queue_wait=ImpatientTime(offered, 0.0, served_only=True),
        served_sojourn=ImpatientTime(offered, service, served_only=True),
    )
