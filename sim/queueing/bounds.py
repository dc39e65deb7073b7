"""Asymptotic and balanced-job bounds, the saturation point and the knee: what no tuning can beat.

Assumes: each request needs a fixed mean demand at each station; queueing stations are single
    servers (divide a demand by c for a rough c-server one); demands do not change with load.
Lies when: demands grow with load (contention, cache misses after scaling) or shrink with it
    (batching); requests overlap their own work across stations, when a sum of demands is too long.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim.queueing.domain import count, non_negative, positives, servers_count
from sim.queueing.mmc import mmc

MOST_USERS = 10**15


@dataclass(frozen=True)
class ClosedBounds:
    """Limits on a closed system of `users` that think and ask.

    Attributes:
        users: N.
        throughput_low_per_s: no arrangement of the work gives less, requests/s.
        throughput_high_per_s: none gives more, requests/s.
        balanced_high_per_s: tighter upper limit, valid for exponential product-form systems.
        response_low_s: no response time is shorter, s.
        response_high_s: none is longer, s.
        saturation_users: N* where the two asymptotes cross: beyond it somebody always queues.
        bottleneck: place of the largest demand in the list of demands.
    """

    users: int
    throughput_low_per_s: float
    throughput_high_per_s: float
    balanced_high_per_s: float
    response_low_s: float
    response_high_s: float
    saturation_users: float
    bottleneck: int


def closed_bounds(demands_s: Sequence[float], users: int, think_s: float = 0.0) -> ClosedBounds:
    """Asymptotic bounds of a closed system, and its saturation point.

    Args:
        demands_s: mean service demand D_i of one request at each queueing station, s, > 0.
        users: N, 1..1e15.
        think_s: mean time between a response and the same user's next request, s, >= 0.
    Returns: limits; response times exclude think time.
    Raises: InvalidScenario outside those domains.
    Source: [lazowska1984, §5.2–5.4], tables 5.1 and 5.2.

    >>> limits = closed_bounds([0.3, 0.2], users=10, think_s=1.0)
    >>> round(limits.throughput_high_per_s, 4)  # min(1/0.3, 10/1.5)
    3.3333
    >>> round(limits.saturation_users, 6)  # (0.5 + 1) / 0.3
    5.0
    """
    demands = positives("demands_s", demands_s)
    population = count("users", users, MOST_USERS)
    think = non_negative("think_s", think_s)
    total, largest = math.fsum(demands), max(demands)
    average = total / len(demands)
    high = min(1 / largest, population / (total + think))
    balanced = population / (total + think + (population - 1) * average / (1 + think / total))
    return ClosedBounds(
        users=population,
        throughput_low_per_s=population / (population * total + think),
        throughput_high_per_s=high,
        balanced_high_per_s=min(1 / largest, balanced),
        response_low_s=max(total, population * largest - think),
        response_high_s=population * total,
        saturation_users=(total + think) / largest,
        bottleneck=demands.index(largest),
    )


def open_capacity_per_s(demands_s: Sequence[float], servers: Sequence[int]) -> float:
    """The arrival rate at which the first station of an open system saturates.

    Args:
        demands_s: mean demand D_i of one request at each station, s, > 0.
        servers: servers c_i at each, 1..1_000_000.
    Returns: min c_i / D_i, requests/s; every rate below it is stable.
    Raises: InvalidScenario outside those domains or if the lists differ in length.
    Source: [lazowska1984, §5.2], utilisation law.

    >>> open_capacity_per_s([0.02, 0.005], [4, 1])  # min(200, 200)
    200.0
    """
    demands = positives("demands_s", demands_s)
    counts = [servers_count(c) for c in servers]
    count("len(servers)", len(counts), len(demands), least=len(demands))
    return min(c / demand for c, demand in zip(counts, demands, strict=True))


def knee_utilisation_fraction(servers: int) -> float:
    """The utilisation at which an M/M/c station has its knee.

    The knee is where a line from the origin touches the curve of sojourn over utilisation: there
    throughput divided by sojourn ("power") is largest; past it time is lost faster than
    throughput is won.

    Args:
        servers: c, 1..10_000.
    Returns: ρ at the knee, 0.5 for one server and rising to 1 with c.
    Raises: InvalidScenario outside that domain.
    Source: [kleinrock1979], power; [millsap2010], table of knees; golden-section search, 1e-9.

    >>> round(knee_utilisation_fraction(1), 6)  # ρ (1-ρ) is largest at a half
    0.5
    """
    channels = count("servers", servers, 10_000)

    def stretch(utilisation: float) -> float:
        return mmc(utilisation * channels, 1.0, channels).mean_sojourn_s / utilisation

    golden = (math.sqrt(5) - 1) / 2
    low, high = 0.25, 1 - 1e-9
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = stretch(left), stretch(right)
    while high - low > 1e-9:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = stretch(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = stretch(right)
    return (low + high) / 2
