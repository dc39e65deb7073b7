"""Small compiled simulators, written apart from the formulas that they check."""

import heapq

import numba
import numpy as np


def replicated(simulate, seed, replications=30):
    """One number (or tuple) a replication, each from its own stream."""
    return [
        simulate(np.random.default_rng(child))
        for child in np.random.SeedSequence(seed).spawn(replications)
    ]


@numba.njit
def limited_waits(arrivals, services, servers, capacity):
    """Waits in a FCFS station with room for `capacity` jobs; -1 for a job turned away."""
    free = np.zeros(servers)
    leaving = np.zeros(capacity)  # departure times of the last `capacity` admitted jobs
    waits = np.empty(arrivals.size)
    for job in range(arrivals.size):
        now = arrivals[job]
        slot = np.argmin(leaving)
        if leaving[slot] > now:
            waits[job] = -1.0
            continue
        server = np.argmin(free)
        start = max(now, free[server])
        free[server] = start + services[job]
        leaving[slot] = free[server]
        waits[job] = start - now
    return waits


@numba.njit
def impatient_waits(arrivals, services, patience, servers):
    """Wait of each job, and whether it was served."""
    free = np.zeros(servers)
    waits = np.empty(arrivals.size)
    served = np.empty(arrivals.size, dtype=np.bool_)
    for job in range(arrivals.size):
        server = np.argmin(free)
        offered = max(0.0, free[server] - arrivals[job])
        served[job] = offered <= patience[job]
        waits[job] = min(offered, patience[job])
        if served[job]:
            free[server] = arrivals[job] + offered + services[job]
    return waits, served


@numba.njit
def shared_sojourns(arrivals, services):
    """Sojourn of each job in a processor-sharing server, in order of arrival."""
    jobs = arrivals.size
    sojourns = np.full(jobs, -1.0)
    left = np.empty(jobs)
    who = np.empty(jobs, dtype=np.int64)
    present, following, now = 0, 0, 0.0
    while following < jobs or present > 0:
        shortest = -1
        for place in range(present):
            if shortest < 0 or left[place] < left[shortest]:
                shortest = place
        ends = now + left[shortest] * present if present > 0 else np.inf
        comes = arrivals[following] if following < jobs else np.inf
        until = min(ends, comes)
        for place in range(present):
            left[place] -= (until - now) / present
        now = until
        if comes <= ends:
            left[present], who[present] = services[following], following
            present += 1
            following += 1
        else:
            sojourns[who[shortest]] = now - arrivals[who[shortest]]
            present -= 1
            left[shortest], who[shortest] = left[present], who[present]
    return sojourns


def population_sojourns(rng, requests, users, think_s, servers):
    """Sojourns of `requests` requests of a closed population at a FCFS station; service 1 s."""
    asks = [(time, user) for user, time in enumerate(rng.exponential(think_s, users))]
    heapq.heapify(asks)
    free = [0.0] * servers
    sojourns = np.empty(requests)
    for request in range(requests):
        now, user = heapq.heappop(asks)
        ends = max(now, heapq.heappop(free)) + rng.exponential()
        heapq.heappush(free, ends)
        sojourns[request] = ends - now
        heapq.heappush(asks, (ends + rng.exponential(think_s), user))
    return sojourns, now


@numba.njit
def two_station_throughput(demand, users, think, draws, jumps):
    """Completions a second of a closed chain think → 1 → 2 → think, two classes, PS stations.

    A Markov chain on how many of each class are where; demand[class, station] are mean times.
    """
    at = np.zeros((2, 2))
    thinking = users.copy()
    now = 0.0
    done = np.zeros(2)
    for step in range(draws.size):
        rates = np.zeros(6)
        for c in range(2):
            rates[c] = thinking[c] / think[c]
            for k in range(2):
                total = at[0, k] + at[1, k]
                if at[c, k] > 0:
                    rates[2 + 2 * c + k] = at[c, k] / total / demand[c, k]
        whole = rates.sum()
        now += draws[step] / whole
        pick = jumps[step] * whole
        event = 0
        while event < 5 and pick >= rates[event]:
            pick -= rates[event]
            event += 1
        if event < 2:
            thinking[event] -= 1
            at[event, 0] += 1
        else:
            c, k = (event - 2) // 2, (event - 2) % 2
            at[c, k] -= 1
            if k == 0:
                at[c, 1] += 1
            else:
                thinking[c] += 1
                done[c] += 1
    return done / now
