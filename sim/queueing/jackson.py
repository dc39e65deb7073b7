"""Open Jackson networks: jobs come, wander from station to station at random, and leave.

Assumes: Poisson arrivals from outside; exponential service at every station, independent of the
    station before; routing by fixed probabilities; queues without limit.
Lies when: a request's service times go together (a large answer is slow everywhere); a station
    holds a connection of the one before while it works; departures are batched. Means are exact
    under the assumptions; the end-to-end distribution treats visits as independent, which is exact
    only along paths without overtaking or return, and otherwise errs in the tail.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.errors import UnstableStation, require
from sim.queueing.domain import non_negative, positive, servers_count
from sim.queueing.inversion import Complexes, TransformedTime
from sim.queueing.mmc import mmc
from sim.queueing.station import Station

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NetworkSojourn(TransformedTime):
    """Time from entering an open network to leaving it, visits taken as independent.

    Attributes:
        mean: mean, s.
        entry: chance of entering at each station.
        routing: chance of going from each station to each.
        visits: (delayed_fraction, decay_per_s, service_per_s) of a visit to each station.
    """

    mean: float
    entry: tuple[float, ...]
    routing: tuple[tuple[float, ...], ...]
    visits: tuple[tuple[float, float, float], ...]

    @property
    def mean_s(self) -> float:
        """Mean, s."""
        return self.mean

    @property
    def _positive_fraction(self) -> float:
        return 1.0

    def tail_transform(self, s: Complexes) -> Complexes:
        """Laplace transform of P(T > t) at complex s, in s."""
        delayed, decay, service = np.array(self.visits).T
        s_column = s[:, None]
        # 1 - visit's transform, without cancellation at small s: a wait tail, then a service.
        missing = s_column * (delayed / (decay + s_column) * service + 1) / (service + s_column)
        visit = 1 - missing
        routing = np.array(self.routing)
        size = routing.shape[0]
        # u = 1 - E[e^-sT | here] solves u = missing + visit · P u.
        system = np.eye(size) - visit[:, :, None] * routing[None, :, :]
        u: Complexes = np.linalg.solve(system, missing[:, :, None])[:, :, 0]
        tail: Complexes = (u @ np.array(self.entry)) / s
        return tail


@dataclass(frozen=True)
class OpenNetwork:
    """The steady state of an open Jackson network.

    Attributes:
        stations: each station, as an M/M/c with the arrival rate that reaches it.
        visits: mean visits of one job to each station.
        mean_sojourn_s: mean time from entering the network to leaving it, s.
        jobs_present: mean number in the whole network.
        bottleneck: place of the station with the highest utilisation.
        sojourn: distribution of the time in the network.
    """

    stations: tuple[Station, ...]
    visits: tuple[float, ...]
    mean_sojourn_s: float
    jobs_present: float
    bottleneck: int
    sojourn: NetworkSojourn


def traffic_per_s(
    arrivals_per_s: Sequence[float], routing: Sequence[Sequence[float]]
) -> tuple[float, ...]:
    """The rate at which jobs reach each station, returns included.

    Args:
        arrivals_per_s: rate from outside at each station, jobs/s, >= 0, not all 0.
        routing: routing[i][j], chance that a job leaving station i goes to j; rows sum to at most
            1, the rest leaves the network.
    Returns: λ_j, jobs/s, the solution of λ = γ + λP.
    Raises: InvalidScenario outside those domains, or where jobs can never leave.
    Source: [shortle2018, §5.2], traffic equations.

    >>> [round(rate, 6) for rate in traffic_per_s([1.0, 0.0], [[0.0, 1.0], [0.5, 0.0]])]
    [2.0, 2.0]
    """
    outside = np.array(
        [non_negative(f"arrivals_per_s[{at}]", rate) for at, rate in enumerate(arrivals_per_s)]
    )
    size = outside.size
    require(
        size >= 1 and bool(outside.any()), "arrivals_per_s", list(arrivals_per_s), "a rate above 0"
    )
    require(len(routing) == size, "routing", len(routing), f"{size} rows")
    matrix = np.zeros((size, size))
    for at, row in enumerate(routing):
        good = len(row) == size and all(0 <= chance <= 1 for chance in row)
        good = good and math.fsum(row) <= 1 + 1e-9
        require(good, f"routing[{at}]", list(row), f"{size} chances that sum to at most 1")
        matrix[at] = row
    # Who cannot leave makes I - P singular: spread the chance to leave backwards to find them.
    leaves = matrix.sum(axis=1) < 1 - 1e-12
    for _ in range(size):
        leaves |= (matrix[:, leaves] > 0).any(axis=1)
    stuck = np.flatnonzero(~leaves).tolist()
    require(not stuck, "routing", stuck, "a way out of the network from every station")
    solution = np.linalg.solve(np.eye(size) - matrix.T, outside)
    return tuple(float(rate) for rate in solution)


def open_network(
    arrivals_per_s: Sequence[float],
    routing: Sequence[Sequence[float]],
    service_s: Sequence[float],
    servers: Sequence[int],
) -> OpenNetwork:
    """The steady state of an open Jackson network of M/M/c stations.

    Args:
        arrivals_per_s: rate from outside at each station, jobs/s, >= 0, not all 0.
        routing: routing[i][j] as in traffic_per_s.
        service_s: mean service time of one visit to each station, s, > 0.
        servers: servers at each station, 1..1_000_000.
    Returns: every station and the whole; network time between stations is not included.
    Raises: InvalidScenario outside those domains or for a station nobody reaches; UnstableStation
        naming "station i" where λ_i/μ_i >= c_i.
    Source: [shortle2018, §5.2], product form: stations behave as independent M/M/c.

    >>> network = open_network([1.0, 0.0], [[0.0, 1.0], [0.0, 0.0]], [0.5, 0.25], [1, 1])
    >>> round(network.mean_sojourn_s, 6)  # 1/(2-1) + 1/(4-1)
    1.333333
    """
    rates = traffic_per_s(arrivals_per_s, routing)
    size = len(rates)
    require(len(service_s) == size, "service_s", len(service_s), f"{size} service times")
    require(len(servers) == size, "servers", len(servers), f"{size} numbers of servers")
    stations = []
    for at, rate in enumerate(rates):
        require(rate > 0, f"arrivals_per_s[{at}]", rate, "a station that some job reaches")
        service, c = positive(f"service_s[{at}]", service_s[at]), servers_count(servers[at])
        if rate * service / c >= 1:
            raise UnstableStation(f"station {at}", rate * service / c)
        stations.append(mmc(rate, service, c))
    total = math.fsum(arrivals_per_s)
    jobs = math.fsum(station.jobs_present for station in stations)
    sojourn = NetworkSojourn(
        mean=jobs / total,
        entry=tuple(rate / total for rate in arrivals_per_s),
        routing=tuple(tuple(float(chance) for chance in row) for row in routing),
        visits=tuple(_visit(station) for station in stations),
    )
    busiest = max(range(size), key=lambda at: stations[at].utilisation_fraction)
    return OpenNetwork(
        stations=tuple(stations),
        visits=tuple(rate / total for rate in rates),
        mean_sojourn_s=jobs / total,
        jobs_present=jobs,
        bottleneck=busiest,
        sojourn=sojourn,
    )


def _visit(station: Station) -> tuple[float, float, float]:
    """Delayed fraction, decay of the wait and service rate, as M/M/c has them."""
    service_s = station.mean_sojourn_s - station.mean_queue_wait_s
    decay = station.servers / service_s * (1 - station.utilisation_fraction)
    return station.delayed_fraction, decay, 1 / service_s
