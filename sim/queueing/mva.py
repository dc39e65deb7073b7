"""Closed multi-class networks by mean value analysis, exact and approximate.

Assumes: a fixed population of each class, whose members think, then visit stations in turn;
    queueing stations are single servers with processor sharing, or first come first served with
    equal service for all classes; the rest is delay. Think times and shared service may have any
    distribution.
Lies when: a station has several servers (use M/M/c//N for one station; here split demand and delay
    by Seidmann: demand D/c queues, D (c-1)/c is delay); first-come stations serve classes at
    different speeds; users hold a connection or a lock while at another station. Means only.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.errors import NotConverged, require
from sim.queueing.domain import count, non_negative

Floats = npt.NDArray[np.float64]
_MOST_LATTICE_POINTS = 5_000_000
_MOST_USERS = 10**15
_ROUNDS = 10_000


@dataclass(frozen=True)
class ClosedNetwork:
    """The steady state of a closed network.

    Attributes:
        throughput_per_s: requests/s of each class.
        response_s: mean response time of each class, think time excluded, s.
        residence_s: residence_s[class][station], mean time of a request at each station, s.
        queue: queue[class][station], mean number of that class present there.
        utilisation_fraction: of each station, over all classes.
    """

    throughput_per_s: tuple[float, ...]
    response_s: tuple[float, ...]
    residence_s: tuple[tuple[float, ...], ...]
    queue: tuple[tuple[float, ...], ...]
    utilisation_fraction: tuple[float, ...]


def _inputs(
    demands_s: Sequence[Sequence[float]], users: Sequence[int], think_s: Sequence[float]
) -> tuple[Floats, tuple[int, ...], Floats]:
    """Demands by class and station, populations and think times, checked."""
    classes = len(users)
    require(classes >= 1, "users", list(users), "at least one class")
    require(len(demands_s) == classes, "demands_s", len(demands_s), f"{classes} rows")
    require(len(think_s) == classes, "think_s", len(think_s), f"{classes} think times")
    stations = len(demands_s[0])
    require(stations >= 1, "demands_s[0]", list(demands_s[0]), "at least one station")
    demands = np.zeros((classes, stations))
    for at, row in enumerate(demands_s):
        require(len(row) == stations, f"demands_s[{at}]", list(row), f"{stations} demands")
        for k, demand in enumerate(row):
            demands[at, k] = non_negative(f"demands_s[{at}][{k}]", demand)
        require(demands[at].any(), f"demands_s[{at}]", list(row), "a demand above 0")
    population = tuple(
        count(f"users[{at}]", number, _MOST_USERS, least=0) for at, number in enumerate(users)
    )
    require(any(population), "users", list(users), "at least one user")
    think = np.array([non_negative(f"think_s[{at}]", z) for at, z in enumerate(think_s)])
    return demands, population, think


def _network(throughput: Floats, residence: Floats, demands: Floats) -> ClosedNetwork:
    queue = throughput[:, None] * residence
    return ClosedNetwork(
        throughput_per_s=tuple(throughput.tolist()),
        response_s=tuple(residence.sum(axis=1).tolist()),
        residence_s=tuple(map(tuple, residence.tolist())),
        queue=tuple(map(tuple, queue.tolist())),
        utilisation_fraction=tuple(np.minimum(1.0, throughput @ demands).tolist()),
    )


def mva_exact(
    demands_s: Sequence[Sequence[float]], users: Sequence[int], think_s: Sequence[float]
) -> ClosedNetwork:
    """Exact mean value analysis.

    Args:
        demands_s: demands_s[class][station], mean demand of a request there, s, >= 0.
        users: population of each class, >= 0; the product of all (N + 1) at most 5·10^6.
        think_s: mean think time of each class, s, >= 0.
    Returns: the steady state; a class without users has throughput 0.
    Raises: InvalidScenario outside those domains; for larger populations use mva_linearizer.
    Source: [reiser1980]; [lazowska1984, §6.4 and §7.4].

    >>> one = mva_exact([[1.0, 1.0]], [2], [0.0])  # two balanced stations, N = 2: X = 2/3
    >>> round(one.throughput_per_s[0], 6)
    0.666667
    """
    demands, population, think = _inputs(demands_s, users, think_s)
    points = math.prod(number + 1 for number in population)
    require(
        points <= _MOST_LATTICE_POINTS,
        "users",
        list(users),
        f"populations whose product of (N+1) is at most {_MOST_LATTICE_POINTS} (else linearizer)",
    )
    classes, stations = demands.shape
    strides = [math.prod(n + 1 for n in population[at + 1 :]) for at in range(classes)]
    totals = np.zeros((points, stations))  # queue length over all classes at each population
    throughput, residence = np.zeros(classes), np.zeros((classes, stations))
    for point, vector in enumerate(itertools.product(*(range(n + 1) for n in population))):
        here = np.zeros(stations)
        for at in range(classes):
            if vector[at]:
                residence[at] = demands[at] * (1 + totals[point - strides[at]])
                throughput[at] = vector[at] / (think[at] + residence[at].sum())
                here += throughput[at] * residence[at]
        totals[point] = here
    empty = np.array(population) == 0
    throughput[empty], residence[empty] = 0.0, demands[empty]
    return _network(throughput, residence, demands)


def mva_schweitzer(
    demands_s: Sequence[Sequence[float]], users: Sequence[int], think_s: Sequence[float]
) -> ClosedNetwork:
    """Approximate mean value analysis by Schweitzer and Bard: cost independent of the population.

    Args:
        demands_s: demands_s[class][station], s, >= 0.
        users: population of each class, 0..1e15.
        think_s: mean think time of each class, s, >= 0.
    Returns: the approximate steady state; queues are off by up to about a quarter near the knee
        with few users, throughput by a few per cent; exact for one user and in the limit of many.
    Raises: InvalidScenario outside those domains; NotConverged after 10^4 rounds.
    Source: [schweitzer1979]; [lazowska1984, §7.4.2].

    >>> round(mva_schweitzer([[1.0, 1.0]], [1], [0.0]).throughput_per_s[0], 6)
    0.5
    """
    demands, population, think = _inputs(demands_s, users, think_s)
    return _network(*_core(demands, np.array(population, float), think, None)[:2], demands)


def mva_linearizer(
    demands_s: Sequence[Sequence[float]], users: Sequence[int], think_s: Sequence[float]
) -> ClosedNetwork:
    """Approximate mean value analysis by Linearizer: within about 1 % of exact.

    Args:
        demands_s: demands_s[class][station], s, >= 0.
        users: population of each class, 0..1e15.
        think_s: mean think time of each class, s, >= 0.
    Returns: the approximate steady state.
    Raises: InvalidScenario outside those domains; NotConverged after 10^4 rounds.
    Source: [chandy1982], three outer rounds as published.

    >>> round(mva_linearizer([[1.0, 1.0]], [1], [0.0]).throughput_per_s[0], 6)
    0.5
    """
    demands, population, think = _inputs(demands_s, users, think_s)
    classes, stations = demands.shape
    numbers = np.array(population, float)
    # shift[c, k, j]: how the share of class c at station k moves when a user of class j is removed.
    shift = np.zeros((classes, stations, classes))
    for _ in range(3):
        share = _core(demands, numbers, think, shift)[2]
        moved = np.zeros_like(shift)
        for j in range(classes):
            fewer = numbers - np.eye(classes)[j]
            if numbers[j] >= 1 and fewer.any():
                others = fewer > 0  # a class that is gone has no shares to compare
                reduced = _core(demands, fewer, think, shift)[2]
                moved[others, :, j] = (reduced - share)[others]
        shift = moved
    throughput, residence, _ = _core(demands, numbers, think, shift)
    return _network(throughput, residence, demands)


def _core(
    demands: Floats, numbers: Floats, think: Floats, shift: Floats | None
) -> tuple[Floats, Floats, Floats]:
    """Throughput, residence and queue shares at a population, by iterating on the queues."""
    classes = demands.shape[0]
    present = numbers > 0
    share = np.where(demands > 0, 1.0, 0.0)
    share *= present[:, None] / share.sum(axis=1, keepdims=True)
    residence, throughput = demands.copy(), np.zeros(classes)
    change = math.inf
    for _ in range(_ROUNDS):
        for j in np.flatnonzero(present):
            fewer = numbers.copy()
            fewer[j] -= 1
            moved = share if shift is None else share + shift[:, :, j]
            seen = np.maximum(fewer @ moved, 0.0)
            residence[j] = demands[j] * (1 + seen)
            throughput[j] = numbers[j] / (think[j] + residence[j].sum())
        fresh = np.where(
            present[:, None], throughput[:, None] * residence / np.maximum(numbers, 1)[:, None], 0
        )
        change = float(np.max(np.abs(fresh - share)))
        share = fresh
        if change <= 1e-13:
            return throughput, residence, share
    if change <= 1e-9:
        return throughput, residence, share
    raise NotConverged("approximate MVA", change, 1e-13, _ROUNDS)
