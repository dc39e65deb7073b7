"""Native cells, said before they are offered: open load, and the closed one that saturates."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headroom.fidelity.artefacts import Constants
from headroom.fidelity.baselines import baselines
from headroom.fidelity.native_design import MEASURED_S, WARMUP_S, System, trace_at
from headroom.fidelity.native_model import Costs, Key, as_demands, costs_at, model_of
from headroom.fidelity.native_records import MachineState, NativeCosts, Plain
from headroom.fidelity.predicted import latencies
from headroom.fidelity.topologies import Topology
from sim.calibrate import RequestClass, demands
from sim.kernel import simulate
from sim.model import CacheOutcome, SimulatedRun
from sim.workload import Trace

OFFERED_FACTOR = 2.0  # a closed load's trace is due so much faster than it can be kept up with
STEPS = 3  # of the fixed point between hit ratio and throughput
FIRST_GUESS_PER_S = 300.0


@dataclass(frozen=True)
class Said:
    """What the model says of a cell, and the costs it was said with."""

    metrics: dict[str, float]
    costs: Costs


def said_of_open(
    found: NativeCosts,
    system: System,
    load_per_s: float,
    seed: int,
    *,
    state: MachineState | None = None,
    scale: float = 1.0,
) -> Said:
    """The very requests of a cell at a load; with a state, given what the run told of itself.

    `scale` is that of all costs, for the machine's speed has changed since they were measured.
    """
    trace = trace_at(system, load_per_s, seed)
    costs = costs_at(found, load_per_s, _even_shares(found, system), scale)
    run = simulate(model_of(found, system, load_per_s, costs, state=state), trace, seed=seed)
    # Once is enough: the hit ratio hardly depends on the costs.
    costs = costs_at(found, load_per_s, shares_of(trace, run), scale)
    run = simulate(model_of(found, system, load_per_s, costs, state=state), trace, seed=seed)
    judged = trace.arrival_s >= WARMUP_S
    answered = judged & run.is_ok
    metrics = {"throughput_per_s": float(answered.sum()) / MEASURED_S}
    return Said(metrics | latencies(run.sojourn_s[answered]), costs)


def said_of_closed(found: NativeCosts, system: System, seed: int, scale: float = 1.0) -> Said:
    """The throughput when the next request is sent as soon as one of many is answered."""
    load_per_s = FIRST_GUESS_PER_S
    shares = _even_shares(found, system)
    for _ in range(STEPS):
        costs = costs_at(found, math.inf, shares, scale)
        model = model_of(found, system, load_per_s, costs, is_closed=True)
        trace = trace_at(system, load_per_s * OFFERED_FACTOR, seed)
        run = simulate(model, trace, seed=seed)
        shares = shares_of(trace, run)
        load_per_s = throughput_per_s(trace.arrival_s + run.sojourn_s)
    return Said({"maximum_per_s": load_per_s}, costs)


def throughput_per_s(done_s: NDArray[np.float64]) -> float:
    """Answers a second in the measured part of a cell."""
    inside = (done_s >= WARMUP_S) & (done_s <= WARMUP_S + MEASURED_S)
    return float(inside.sum()) / MEASURED_S


def shares_of(trace: Trace, run: SimulatedRun) -> dict[Key, float]:
    """Of all requests, those of each class; who waits for another's read costs as a hit does."""
    names = np.array(trace.operations)[trace.operation]
    outcomes = np.select(
        [run.cache_outcome == CacheOutcome.NONE, run.cache_outcome == CacheOutcome.MISS],
        ["none", "miss"],
        "hit",
    )
    keys, counts = np.unique(np.stack([names, outcomes]), axis=1, return_counts=True)
    pairs = zip(keys[0].tolist(), keys[1].tolist(), counts.tolist(), strict=True)
    return {(str(name), str(outcome)): count / len(trace) for name, outcome, count in pairs}


def _even_shares(found: NativeCosts, system: System) -> dict[Key, float]:
    """Before anything was simulated: half of the look-ups hit."""
    mix = {operation.value: share for operation, share in system.scenario.workload.mix.items()}
    return {
        (each.operation, each.outcome): mix[each.operation]
        * (1.0 if each.outcome == "none" else 0.5)
        for each in found.classes
    }


def plainer(
    found: NativeCosts, system: System, load_per_s: float, costs: Costs
) -> tuple[Plain, ...]:
    """The same cell by plainer models: each part by itself, the formulas' hit ratios."""
    classes = [
        RequestClass(
            each.operation,
            each.outcome,
            costs.cpu_s[each.operation, each.outcome],
            np.full(5, each.latency_s),
        )
        for each in found.classes
    ]
    plain = demands(classes, host_cores=found.cores)
    visits = {
        key: tuple(replace(visit, cv=1.0) for visit in each) for key, each in plain.visits.items()
    }
    topology = Topology(
        system.name,
        "native",
        system.scenario,
        as_demands(replace(plain, visits=visits), found.cores),
        (),
    )
    delay_s = sum(costs.shares.get(key, 0.0) * value for key, value in plain.delay_s.items())
    constants = Constants(
        outside_s=max(0.0, delay_s + found.outside_s),
        visit_s=0.0,
        requests=1,
        overhead_fraction=0.0,
        needed_scale=1.0,
        overruns_fraction=0.0,
    )
    return tuple(
        Plain(model=name, mean_s=_finite(told["mean_s"]), p95_s=_finite(told["p95_s"]))
        for name, told in baselines(topology, load_per_s, constants).items()
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
