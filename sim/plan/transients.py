"""Disturbed minutes of an architecture by the compiled engine, beside the same minutes undisturbed.

A replication is one future: its load, its demands. The cache is warmed, then the disturbance comes,
and the requests of the window after it are judged; the undisturbed run has the same requests and
the same draws.

Assumes: the cache is warm before; one disturbance at a time; the load does not react to it.
Lies when: clients retry more, or leave, than the scenario says; two things fail together.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.kernel import simulate
from sim.model import CacheRestart, Crash, Disruption, Drain, StackModel
from sim.plan.demand import TIERS
from sim.plan.inputs import speed_of
from sim.plan.screen import Planner
from sim.plan.space import NO_CACHE, Candidate
from sim.plan.verify import model_of, slots_of, warmup_s
from sim.scenario import Scenario
from sim.workload import Trace
from sim.workload.trace import poisson_arrivals_s, requests_at

Floats = NDArray[np.float64]
Disturb = Callable[[StackModel, float, float], tuple[Disruption, ...]]

REPLICATIONS = 24
WINDOW_REQUESTS = 5_000
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 60.0, 600.0
MOST_REQUESTS = 400_000  # of one run, however high a future's load
# Assumption: how long a balancer goes on sending to a dead server. nginx stops after the first
# failed connection, cloud balancers after two or three failed health checks of some seconds each.
DETECT_S = 5.0


@dataclass(frozen=True)
class Minutes:
    """p95 and errors of the judged window, one value a replication; infinite without an answer."""

    p95_s: Floats
    error_fraction: Floats


def disturbed(
    planner: Planner, candidate: Candidate, disturb: Disturb, load_factor: float = 1.0
) -> tuple[Minutes, Minutes]:
    """The window without and with a disturbance, in the first futures of a planner.

    Args:
        planner: its futures give loads and demands; as many replications as it has, 24 at most.
        candidate: the architecture.
        disturb: called with the model, the begin and the length of the window, s.
        load_factor: load of the disturbed window over the peak of its future.
    """
    count = min(REPLICATIONS, planner.futures.count)
    seed = planner.scenario.plan.seed % 2**32
    design = candidate.applied_to(planner.scenario)
    stretch = planner.stretch(candidate)
    still, shaken = [], []
    for index in range(count):
        load = float(planner.peak_load_per_s[index])
        begin_s, window_s = span_of(design, load * max(load_factor, 1.0), load)
        model = _model(planner, candidate, stretch[:, index])
        span_s = (begin_s, window_s)
        before = trace_of(design, load, span_s, 1.0, seed=seed, number=index)
        after = before
        if load_factor != 1.0:
            after = trace_of(design, load, span_s, load_factor, seed=seed, number=index)
        hit = replace(model, disruptions=disturb(model, begin_s, window_s))
        still.append(_window(model, before, begin_s, seed + index))
        shaken.append(_window(hit, after, begin_s, seed + index))
    return _minutes(still), _minutes(shaken)


def span_of(design: Scenario, busiest_per_s: float, load_per_s: float) -> tuple[float, float]:
    """When the window begins and how long it is, s."""
    begin_s = warmup_s(design, load_per_s)
    window_s = min(max(WINDOW_REQUESTS / load_per_s, SHORTEST_WINDOW_S), LONGEST_WINDOW_S)
    return begin_s, min(window_s, MOST_REQUESTS / busiest_per_s)


def trace_of(
    design: Scenario,
    load_per_s: float,
    span_s: tuple[float, float],
    factor: float,
    *,
    seed: int,
    number: int,
) -> Trace:
    """Requests that warm the cache, then those of the window at `factor` times the load.

    Args:
        design: workload and catalogue.
        load_per_s: before the window.
        span_s: when the window begins and how long it is.
        factor: on the load, in the window.
        seed, number: name the draws.
    """
    begin_s, window_s = span_s
    warm, window, asked = (
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(23, number, part)))
        for part in range(3)
    )
    first = poisson_arrivals_s(load_per_s, begin_s, warm)
    then = begin_s + poisson_arrivals_s(load_per_s * factor, window_s, window)
    return requests_at(
        np.concatenate([first, then]), design.workload.asked_by_all_of_a_day(), asked
    )


def _model(planner: Planner, candidate: Candidate, stretch: Floats) -> StackModel:
    """The model whose demands are those of one future."""
    scenario = planner.scenario
    types = {"api": candidate.api_type, "api_threads": candidate.api_type}
    types |= {"redis": candidate.cache_type, "mongo": candidate.database_type}
    types["elasticsearch"] = candidate.search_type or NO_CACHE
    factors = {}
    for tier, factor in zip(TIERS, stretch, strict=True):
        sku = types.get(tier, NO_CACHE)
        own = 1.0 if sku == NO_CACHE else speed_of(scenario, sku)
        # `model_of` applies the type's speed and the scenario's factor itself.
        factors[tier] = float(factor) * own / scenario.plan.demand_factor
    return model_of(scenario, candidate, planner.measured, slots_of(planner, candidate), factors)


def _window(model: StackModel, trace: Trace, begin_s: float, seed: int) -> tuple[float, float]:
    run = simulate(model, trace, seed=seed)
    judged = trace.arrival_s >= begin_s
    answered = judged & run.is_ok
    if not judged.any():
        return 0.0, 0.0
    p95_s = float(np.quantile(run.sojourn_s[answered], 0.95)) if answered.any() else np.inf
    return p95_s, 1.0 - float(answered.sum()) / float(judged.sum())


def _minutes(found: list[tuple[float, float]]) -> Minutes:
    table = np.array(found)
    return Minutes(table[:, 0], table[:, 1])


def _members(model: StackModel, kind: str) -> list[str]:
    return [s.name for s in model.stations if s.name.rsplit("-", 1)[0] == kind]


def cold_cache(_model: StackModel, begin_s: float, _window_s: float) -> tuple[Disruption, ...]:
    """The cache restarts empty and serves at once."""
    return (CacheRestart(begin_s, begin_s),)


def lost_cache(_model: StackModel, begin_s: float, _window_s: float) -> tuple[Disruption, ...]:
    """The cache is gone: every lookup misses."""
    return (CacheRestart(begin_s, np.inf),)


def lost_replica(model: StackModel, begin_s: float, _window_s: float) -> tuple[Disruption, ...]:
    """The first API server dies, its password threads with it."""
    return _dead(model, begin_s, {"api": 1, "api_threads": 1})


def lost_primary(model: StackModel, begin_s: float, _window_s: float) -> tuple[Disruption, ...]:
    """The primary dies; the others elect."""
    return _dead(model, begin_s, {"mongo": 1})


def lost_zone(zones: int, cache_nodes: int) -> Disturb:
    """The zone that holds the first of every zones' worth of instances, the primary included."""

    def disturb(model: StackModel, begin_s: float, window_s: float) -> tuple[Disruption, ...]:
        kinds = ("api", "api_threads", "mongo", "elasticsearch")
        lost = {kind: -(-len(_members(model, kind)) // zones) for kind in kinds}
        gone = lost_cache(model, begin_s, window_s) if cache_nodes == 1 and model.families else ()
        return (*_dead(model, begin_s, lost), *gone)

    return disturb


def deploy(model: StackModel, begin_s: float, window_s: float) -> tuple[Disruption, ...]:
    """Every API server is taken out once, one after the other, over the window.

    A lone server cannot be drained: it is down for a tenth of the window.
    """
    members = _members(model, "api")
    if len(members) == 1:
        until_s = begin_s + window_s / 10
        return tuple(
            Crash(name, begin_s, until_s)
            for kind in ("api", "api_threads")
            for name in _members(model, kind)
        )
    each_s = window_s / len(members)
    return tuple(
        Drain(name, begin_s + each_s * i, begin_s + each_s * (i + 1))
        for kind in ("api", "api_threads")
        for i, name in enumerate(_members(model, kind))
    )


def undisturbed(_model: StackModel, _begin_s: float, _window_s: float) -> tuple[Disruption, ...]:
    """Nothing breaks; for changes of the load alone."""
    return ()


def _dead(model: StackModel, begin_s: float, lost: dict[str, int]) -> tuple[Disruption, ...]:
    balanced = {member for group in model.groups for member in group.members}
    return tuple(
        Crash(name, begin_s, detect_s=DETECT_S if name in balanced else 0.0)
        for kind, count in lost.items()
        for name in _members(model, kind)[:count]
    )
