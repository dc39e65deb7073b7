"""M/M/c/K: room for K jobs, those in service included; who finds it full is turned away.

Assumes: Poisson arrivals, exponential service, c servers, at most K jobs in the station; a job
    turned away is gone.
Lies when: those turned away come back (retries make the real arrival rate higher than the one
    given: put it in); the limit is shared with other stations, as one connection pool is; service
    or arrivals are more variable than Poisson and exponential (more is lost than it says).
"""

import numpy as np

from sim.queueing.birth_death import steady_state
from sim.queueing.domain import count, positive, servers_count
from sim.queueing.phases import PhasedSojourn, wait_of
from sim.queueing.station import Station


def mmck(arrivals_per_s: float, service_s: float, servers: int, capacity: int) -> Station:
    """The steady state of M/M/c/K; stable at any load, because it turns jobs away.

    Args:
        arrivals_per_s: Poisson rate λ offered, jobs/s, > 0; may exceed what the station can serve.
        service_s: mean of the exponential service time, s, > 0.
        servers: c, 1..1_000_000.
        capacity: K, jobs in service and queue together, c..2_000_000.
    Returns: a Station; waits and sojourns are those of admitted jobs, lost_fraction those turned
        away.
    Raises: InvalidScenario outside those domains.
    Source: [shortle2018, §3.5].

    >>> station = mmck(1.0, 1.0, 1, 1)  # a = 1, no queue: half of the arrivals find it busy
    >>> station.lost_fraction, station.mean_sojourn_s
    (0.5, 1.0)
    """
    rate = positive("arrivals_per_s", arrivals_per_s)
    service = positive("service_s", service_s)
    c = servers_count(servers)
    room = count("capacity", capacity, 2_000_000, least=c)
    load = rate * service
    peak = room if load >= c else min(room, int(load))
    first, chance = steady_state(
        lambda n: np.where(n < room, rate, 0.0),
        lambda n: np.minimum(n, c) / service,
        room,
        peak,
    )
    states = first + np.arange(chance.size)
    lost = float(chance[-1]) if states[-1] == room else 0.0
    working = float(np.minimum(states, c) @ chance)
    # Poisson arrivals see the steady state; far beyond saturation K - 1 is all that is left of it.
    found, seen = states[states < room], chance[states < room]
    if found.size == 0:
        found, seen = np.array([room - 1]), np.ones(1)
    wait = wait_of(found, seen / seen.sum(), c, c / service)
    return Station(
        model="M/M/c/K",
        arrivals_per_s=rate,
        throughput_per_s=working / service,
        servers=c,
        utilisation_fraction=min(1.0, working / c),
        delayed_fraction=min(1.0, sum(wait.weights)),
        lost_fraction=lost,
        mean_queue_wait_s=wait.mean_s,
        mean_sojourn_s=wait.mean_s + service,
        jobs_waiting=float(np.maximum(states - c, 0) @ chance),
        jobs_present=float(states @ chance),
        queue_wait=wait,
        sojourn=PhasedSojourn(wait, c),
    )
