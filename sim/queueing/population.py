"""M/M/c//N: N users who think, ask, wait for the answer, and think again (the repairman model).

Assumes: each user has one request out at a time; think and service times are exponential (think
    times may in fact be anything: only their mean counts); c servers, one queue.
Lies when: users do not wait for an answer before the next request, as browsers do not (open models
    then); slow answers make users leave for good; N is the number registered rather than active.
"""

import math

import numpy as np

from sim.queueing.birth_death import steady_state
from sim.queueing.distribution import TimeDistribution
from sim.queueing.domain import count, positive, servers_count
from sim.queueing.phases import NormalTime, PhasedSojourn, PhasedWait, wait_of
from sim.queueing.station import Station

_MOST_USERS = 10**15
_MANY_PHASES = 1_000_000


def mmc_population(users: int, think_s: float, service_s: float, servers: int) -> Station:
    """The steady state of c servers asked by a closed population, with its distributions.

    Args:
        users: N, 1..1e15.
        think_s: mean time between an answer and the same user's next request, s, > 0.
        service_s: mean of the exponential service time, s, > 0.
        servers: c, 1..1_000_000.
    Returns: a Station; think time is in none of its times. Where more than 10^6 requests queue,
        distributions are normal approximations, within 1e-5 of the true quantile.
    Raises: InvalidScenario outside those domains; NotConverged where the number present varies
        over more than 6·10^6 states.
    Source: [shortle2018, §3.8]; an arrival sees the system as N - 1 users leave it [lavenberg1980].

    >>> round(mmc_population(2, 1.0, 1.0, 1).throughput_per_s, 6)  # 1 - p0, p = (1, 2, 2)/5
    0.8
    """
    n_users = count("users", users, _MOST_USERS)
    think = positive("think_s", think_s)
    service = positive("service_s", service_s)
    c = servers_count(servers)
    states, chance = _present(n_users, think, service, c)
    found, seen = (
        _present(n_users - 1, think, service, c) if n_users > 1 else (states[:1] * 0, np.ones(1))
    )
    working = float(np.minimum(states, c) @ chance)
    wait = wait_of(found, seen, c, c / service)
    throughput = working / service
    return Station(
        model="M/M/c//N",
        arrivals_per_s=throughput,
        throughput_per_s=throughput,
        servers=c,
        utilisation_fraction=min(1.0, working / c),
        delayed_fraction=min(1.0, math.fsum(wait.weights)),
        lost_fraction=0.0,
        mean_queue_wait_s=wait.mean_s,
        mean_sojourn_s=wait.mean_s + service,
        jobs_waiting=float(np.maximum(states - c, 0) @ chance),
        jobs_present=float(states @ chance),
        queue_wait=_normal(wait, 0.0) if wait.skipped > _MANY_PHASES else wait,
        sojourn=_normal(wait, service) if wait.skipped > _MANY_PHASES else PhasedSojourn(wait, c),
    )


def _present(
    users: int, think_s: float, service_s: float, servers: int
) -> tuple[
    np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.float64]]
]:
    """Number of requests present, and the chance of each."""
    busy_share = service_s / (service_s + think_s)
    if users * busy_share < servers:
        likely = int(users * busy_share)
    else:  # saturated: c/s requests a second leave c·think/s users thinking
        likely = max(0, users - int(min(servers / service_s * think_s, users)))
    first, chance = steady_state(
        lambda n: (users - n) / think_s,
        lambda n: np.minimum(n, servers) / service_s,
        users,
        likely,
    )
    return first + np.arange(chance.size), chance


def _normal(wait: PhasedWait, service_s: float) -> TimeDistribution:
    """The wait, and an exponential service after it, by mean and variance."""
    phases = np.arange(len(wait.weights)) + 0.0
    weights = np.array(wait.weights)
    middle = float(phases @ weights)
    variance = float((phases - middle) ** 2 @ weights) + wait.mean_s * wait.phase_per_s
    spread = math.hypot(math.sqrt(variance) / wait.phase_per_s, service_s)
    return NormalTime(wait.mean_s + service_s, spread)
