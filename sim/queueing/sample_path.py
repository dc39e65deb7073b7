"""The queue itself, job by job: the independent check on every formula of this package.

Assumes: jobs are served in order of arrival by the first of c servers to be free.
Lies when: never about the times it is given; about a real system as soon as the order of service
    differs.
"""

import numba
import numpy as np
import numpy.typing as npt

from sim.errors import require
from sim.queueing.domain import servers_count

Floats = npt.NDArray[np.float64]


def fcfs_waits_s(arrivals_s: Floats, services_s: Floats, servers: int) -> Floats:
    """Queue wait of each job of a first-come-first-served station that starts empty.

    Args:
        arrivals_s: arrival time of each job, s, finite, never falling.
        services_s: its service time, s, finite, >= 0.
        servers: c, 1..1_000_000.
    Returns: the wait of each job before its service starts, s.
    Raises: InvalidScenario outside those domains or for arrays of different lengths.
    Source: [kiefer1955], the recursion on the times at which servers become free.

    >>> fcfs_waits_s(np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0, 1.0]), 1).tolist()
    [0.0, 2.0, 2.0]
    """
    arrivals = np.ascontiguousarray(arrivals_s, dtype=np.float64)
    services = np.ascontiguousarray(services_s, dtype=np.float64)
    c = servers_count(servers)
    good = arrivals.ndim == 1 and bool(
        np.isfinite(arrivals).all() and (np.diff(arrivals) >= 0).all()
    )
    require(good, "arrivals_s", f"{arrivals.shape} values", "finite times that never fall")
    good = services.shape == arrivals.shape and bool(
        np.isfinite(services).all() and (services >= 0).all()
    )
    require(good, "services_s", f"{services.shape} values", "a finite time >= 0 for each arrival")
    waits: Floats = _kiefer_wolfowitz(arrivals, services, c)
    return waits


@numba.njit(cache=True)
def _kiefer_wolfowitz(arrivals, services, servers):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """A binary heap of the times at which the servers become free."""
    free = np.zeros(servers)
    free[:] = -np.inf
    waits = np.empty(arrivals.size)
    for job in range(arrivals.size):
        start = max(arrivals[job], free[0])
        waits[job] = start - arrivals[job]
        ends = start + services[job]
        place = 0
        while True:
            child = 2 * place + 1
            if child >= servers:
                break
            if child + 1 < servers and free[child + 1] < free[child]:
                child += 1
            if free[child] >= ends:
                break
            free[place] = free[child]
            place = child
        free[place] = ends
    return waits
