"""What a killed API server, a dead Redis and an emptied cache will do to users: said beforehand.

- *A killed API server.* The balancer learns of it by failing: after MAX_FAILS tries that are
  refused it leaves the server alone for FAIL_TIMEOUT_S, then tries once more. A read that meets the
  dead server is tried at another, and is late by that; only a write that was under way there fails.
  The balancer's turns (smooth weighted round robin) are played through from each of its states.
- *Redis down.* Look-ups fail at once, and each server leaves Redis alone for a while before it asks
  again. Nothing fails: all is read from the database. Each server's breaker is played through from
  the kill on (`breakers`), with the times in which Redis started before.
- *An emptied cache.* The model is given the very requests, and the instant at which all keys go.

Assumes: requests at even distances; who is dead refuses at once.
Lies when: a machine vanishes with its address (timeouts instead of refusals).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headroom.artefacts import Estimate
from headroom.fidelity.parts.breakers import Usual, away
from headroom.fidelity.topologies import topology
from sim.kernel import simulate
from sim.model import CacheOutcome, CacheRestart, stack_model
from sim.scenario import Family, Operation, Scenario
from sim.workload import Trace, open_trace

MAX_FAILS, FAIL_TIMEOUT_S = 3, 5.0  # of the balancer (stack.infra.nginx)
RETURNS_AFTER_S = 2.0  # Redis is started again so long after it was killed
REPLICAS = 3
LOAD_PER_S = 60.0
LENGTH_S = 11.0
READS = {"list": 0.5, "favourites": 0.3, "detail": 0.2}
WRITES = {"list": 0.45, "favourites": 0.25, "detail": 0.20, "favourite_add": 0.10}
TTL_S = 60.0  # longer than a run: what is missing is missing by the flush
AFTER_FLUSH_S = 3.0  # in which misses are counted
EDGE = 2  # requests
SEEN_WITHIN_S = 0.01  # how well the return of Redis is seen: it is looked for every 5 ms
DRAWS = 20_000
COVERED = (0.05, 0.95)


@dataclass(frozen=True)
class PartForecast:
    """What one kill will do.

    Args:
        outage_s: of a server: from its death until the balancer leaves it alone; of Redis: from
            its return until all servers ask it again (below 0: all did at once, and the last
            request past it came before); of the cache: 0, nobody goes without answer.
        failed: requests without a good answer.
        slowed: requests that took a longer way: tried twice, read from the database, or missed.
    """

    outage_s: Estimate
    failed: Estimate
    slowed: Estimate


def scenario_of(part: str) -> Scenario:
    """The stack whose part dies: three servers, cache, replica set, native time."""
    base = topology("three-replicas", scale=1.0).scenario
    mix = WRITES if part == "api" else READS
    workload = base.workload.model_copy(
        update={"mix": {Operation(operation): share for operation, share in mix.items()}}
    )
    assert base.topology.cache is not None
    families = {
        family: policy.model_copy(update={"ttl_s": TTL_S})
        for family, policy in base.topology.cache.families.items()
        if family is not Family.SEARCH
    }
    cache = base.topology.cache.model_copy(update={"families": families})
    shape = base.topology.model_copy(update={"cache": cache})
    return base.model_copy(
        update={"name": f"failover-{part}", "workload": workload, "topology": shape}
    )


def even_trace(scenario: Scenario, seed: int) -> Trace:
    """The scenario's requests, at even distances: so a gap is told to a request."""
    trace = open_trace(scenario.workload, LOAD_PER_S, LENGTH_S, np.random.default_rng(seed))
    return replace(trace, arrival_s=np.arange(len(trace)) / LOAD_PER_S)


def forecast(
    part: str, scenario: Scenario, trace: Trace, at_s: float, seed: int, *, usual: Usual
) -> PartForecast:
    """What happens to these requests when the part goes at that time.

    Args:
        usual: what was seen of the stack before.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(50,)))
    if part == "api":
        return _of_server(trace, at_s, usual.latency_s, rng)
    if part == "redis":
        return _of_redis(trace, at_s, usual, rng)
    return _of_cache(scenario, trace, at_s, seed)


def tries_until_left_alone(
    replicas: int, state: int, dead: int = 0, max_fails: int = MAX_FAILS
) -> list[int]:
    """Which of the requests that follow a death meet the dead server, until it is left alone.

    Smooth weighted round robin of equal servers, one of which is dead; another is tried for a
    request that was refused. Counted from 0.

    Args:
        replicas: servers, at least 2.
        state: requests since the start, when all lived: where the turns stand.
        dead: which of them, in the order of the balancer's configuration.
        max_fails: refusals after which it is left alone.
    """
    weights = [0] * replicas

    def turn(alive: list[int]) -> int:
        for server in alive:
            weights[server] += 1
        chosen = max(alive, key=lambda server: weights[server])  # ties: the first
        weights[chosen] -= len(alive)
        return chosen

    everybody = list(range(replicas))
    others = [server for server in everybody if server != dead]
    for _ in range(state):
        turn(everybody)
    met: list[int] = []
    number = 0
    while len(met) < max_fails:
        if turn(everybody) == dead:
            met.append(number)
            turn(others)
        number += 1
    return met


def _of_server(
    trace: Trace, at_s: float, latency_s: float, rng: np.random.Generator
) -> PartForecast:
    """The dead one may be any of the servers, the turns at any place, the instant at any gap."""
    gap_s = 1 / LOAD_PER_S
    met = np.array(
        [
            tries_until_left_alone(REPLICAS, state, dead)
            for state in range(REPLICAS)
            for dead in range(REPLICAS)
        ]
    )
    # What was under way at the dead one has failed there too, and counts.
    under_way = LOAD_PER_S / REPLICAS * latency_s
    left = MAX_FAILS - np.minimum(rng.poisson(under_way, DRAWS), MAX_FAILS)
    drawn = met[rng.integers(len(met), size=DRAWS), np.maximum(left, 1) - 1]
    outages_s = (drawn * gap_s + rng.uniform(0, gap_s, DRAWS)) * (left > 0)
    probes = max(0.0, (float(trace.arrival_s[-1]) - at_s) / FAIL_TIMEOUT_S)
    slowed = Estimate(
        value=MAX_FAILS + probes, low=MAX_FAILS, high=MAX_FAILS + math.floor(probes) + 1
    )
    lost = under_way * float(trace.is_operation("favourite_add").mean())  # a write is not repeated
    failed = Estimate(
        value=lost, low=0.0, high=float(np.quantile(rng.poisson(lost, DRAWS), COVERED[1]))
    )
    return PartForecast(_spread(outages_s), failed, slowed)


def _of_redis(trace: Trace, at_s: float, usual: Usual, rng: np.random.Generator) -> PartForecast:
    found = away(
        trace.arrival_s,
        trace.is_operation("list", "favourites"),
        at_s,
        RETURNS_AFTER_S,
        usual,
        replicas=REPLICAS,
        rng=rng,
    )
    nobody = Estimate(value=0.0, low=0.0, high=0.0)
    past = _spread(found.past.astype(np.float64))
    # Look-ups of the very instants of the kill and of the return may go either way.
    past = Estimate(value=past.value, low=past.low - EDGE, high=past.high + EDGE)
    outage = _spread(found.outage_s)
    outage = Estimate(
        value=outage.value, low=outage.low - SEEN_WITHIN_S, high=outage.high + SEEN_WITHIN_S
    )
    return PartForecast(outage, nobody, past)


def _of_cache(scenario: Scenario, trace: Trace, at_s: float, seed: int) -> PartForecast:
    """Misses of the seconds after the flush, by the model of the cache; exact but for its edges."""
    base = topology("three-replicas", scale=1.0).demands
    visits = {
        key: value
        for key, value in base.visits.items()
        if Operation(key[0]) in scenario.workload.mix
    }
    model = stack_model(scenario, replace(base, visits=visits))
    flushed = replace(model, disruptions=(CacheRestart(at_s, at_s + 1e-3),))
    run = simulate(flushed, trace, seed=seed)
    missed = is_missed(run.cache_outcome) & in_window(trace.arrival_s, at_s)
    count = float(missed.sum())
    # Keys that are asked for while they are being read, or at the very instant, may go either way.
    edge = max(EDGE, 0.05 * count)
    nothing = Estimate(value=0.0, low=0.0, high=0.0)
    return PartForecast(
        nothing, nothing, Estimate(value=count, low=count - edge, high=count + edge)
    )


def is_missed(outcome: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Those that did not find their answer, those who waited for another's read among them."""
    return np.asarray(np.isin(outcome, (CacheOutcome.MISS, CacheOutcome.COALESCED)))


def in_window(arrival_s: NDArray[np.float64], at_s: float) -> NDArray[np.bool_]:
    """The seconds after the flush."""
    return np.asarray((arrival_s >= at_s) & (arrival_s < at_s + AFTER_FLUSH_S))


def _spread(values: NDArray[np.float64]) -> Estimate:
    low, high = np.quantile(values, COVERED)
    return Estimate(value=float(values.mean()), low=float(low), high=float(high))
