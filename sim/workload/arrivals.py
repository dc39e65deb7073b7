"""Arrival times for a demand curve: Poisson, or burstier by a stated index of dispersion.

Assumes: within a step the rate is constant; arrivals are Poisson, or come in batches whose size
    gives the index of dispersion.
Lies when: clients are few and wait for answers (closed users then); bursts last longer than the
    seconds over which the index was measured.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sim.errors import require
from sim.scenario import Workload
from sim.workload.demand import Demand, demand_of
from sim.workload.trace import LARGEST_TRACE, Trace, requests_at

BURST_S = 1.0
"""Length of the intervals over which a bursty rate keeps its random level."""


def arrivals_s(
    demand: Demand,
    duration_s: float,
    rng: np.random.Generator,
    start_s: float = 0.0,
    index_of_dispersion: float = 1.0,
) -> NDArray[np.float64]:
    """Arrival times in [0, duration_s) under a demand curve, from `start_s` of the curve.

    With index of dispersion I = 1: a non-homogeneous Poisson process, by inversion of the
    expected number of requests. With I > 1: the rate of each second is multiplied by a gamma
    variable of mean 1, so that a second with m expected requests gets a negative binomial number
    of variance m·I. Counts over a whole number of seconds then have variance/mean I at every load
    (to which a moving demand adds its own); within a second it falls to 1 + (I-1)·w for w s.

    Args:
        demand: the curve.
        duration_s: length of the trace, s, > 0; at most 2 * 10^8 expected requests, and 10^8
            seconds if I > 1.
        rng: source of randomness.
        start_s: where on the curve the trace begins, s, ≥ 0.
        index_of_dispersion: I, variance over mean of counts per second, 1 … 1000.
    Returns: ascending times, s from the start of the trace.
    Raises: InvalidScenario outside those domains.
    Source: inversion [cinlar1975, §4.7]; the gamma-mixed Poisson count [johnson2005, §5.3].

    >>> evening = Demand(60.0, np.array([0.0, 2.0]), 10.0)  # a silent minute, then 20/s
    >>> times = arrivals_s(evening, 120.0, np.random.default_rng(1))
    >>> float(times.min()) > 60.0, 1000 < times.size < 1400
    (True, True)
    """
    _check(demand, duration_s, start_s, index_of_dispersion)
    if demand.mean_load_per_s == 0:
        return np.empty(0)
    begin = float(demand.expected_requests(start_s))
    end = float(demand.expected_requests(start_s + duration_s))
    if index_of_dispersion == 1.0:
        count = int(rng.poisson(end - begin))
        sums = np.cumsum(rng.standard_exponential(count + 1))
        counted = begin + sums[:-1] / sums[-1] * (end - begin)
    else:
        edges = np.minimum(np.arange(math.ceil(duration_s / BURST_S) + 1) * BURST_S, duration_s)
        sums = demand.expected_requests(start_s + edges)
        excess = index_of_dispersion - 1.0
        # Sums of a curve may fall by a rounding error; a gamma's shape may not.
        means = np.maximum(np.diff(sums), 0.0)
        counts = rng.poisson(rng.gamma(means / excess) * excess)
        place = np.repeat(np.arange(counts.size), counts)
        counted = sums[place] + rng.random(place.size) * means[place]
        counted.sort()
    times = demand.time_of(counted) - start_s
    return np.asarray(np.clip(times, 0.0, np.nextafter(duration_s, 0.0)))


def _check(demand: Demand, duration_s: float, start_s: float, index_of_dispersion: float) -> None:
    good = math.isfinite(duration_s) and duration_s > 0
    require(good, "arrivals.duration_s", duration_s, "a number > 0")
    good = math.isfinite(start_s) and 0 <= start_s <= 1e12
    require(good, "arrivals.start_s", start_s, "a number from 0 to 1e12")
    good = math.isfinite(index_of_dispersion) and 1 <= index_of_dispersion <= 1000
    require(good, "arrivals.index_of_dispersion", index_of_dispersion, "a number from 1 to 1000")
    expected = demand.mean_load_per_s * duration_s
    require(
        expected <= LARGEST_TRACE and demand.peak_load_per_s * demand.step_s <= 10 * LARGEST_TRACE,
        "arrivals.duration_s × load",
        expected,
        f"at most {LARGEST_TRACE:.0e} requests in one trace",
    )
    good = index_of_dispersion == 1.0 or duration_s <= 1e8
    require(good, "arrivals.duration_s", duration_s, "at most 1e8 s of bursty arrivals")


def demand_trace(
    workload: Workload,
    duration_s: float,
    rng: np.random.Generator,
    start_s: float = 0.0,
) -> Trace:
    """Requests as a workload's own users send them: its daily total, profile and burstiness.

    Args:
        workload: who comes and what they ask for.
        duration_s: length, s, > 0; at most 2 * 10^8 expected requests.
        rng: source of randomness, as in `open_trace`.
        start_s: s after midnight of the first day at which the trace begins, ≥ 0.
    Returns: the trace, at the workload's real load; `Demand.scaled_to` and `arrivals_s` with
        `requests_at` make others.
    Raises: InvalidScenario outside those domains.
    Source: `demand_of`, `arrivals_s` and `requests_at`.

    >>> from sim.example import shop
    >>> trace = demand_trace(shop().workload, 3600.0, np.random.default_rng(1))
    >>> bool((trace.arrival_s < 3600).all()), len(trace) > 0
    (True, True)
    """
    arrivals, rest = rng.spawn(2)
    times = arrivals_s(
        demand_of(workload),
        duration_s,
        arrivals,
        start_s,
        workload.profile.index_of_dispersion,
    )
    return requests_at(times, workload, rest)
