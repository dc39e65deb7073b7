"""One cell, predicted before it is offered: trace-driven, and distributional beside it."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headroom.dilation import delays_s, dilated, dilated_demands, held_visits, with_tabulated_jobs
from headroom.fidelity.artefacts import Constants, PredictedFidelity
from headroom.fidelity.cells import Cell
from headroom.fidelity.closed import asked_in, played, users_for
from headroom.fidelity.jobs import job_figures
from headroom.fidelity.topologies import Topology
from headroom.metrics import QUANTILES
from headroom.predict import hit_ratios_of
from sim.draws import uniform_each
from sim.kernel import simulate
from sim.model import Client, SimulatedRun, StackModel, stack_model
from sim.workload import Trace, UserTrace, open_trace

REPLICATIONS = 60  # behind the distributional intervals
COVERED = (0.05, 0.95)
PRIMARY = "mongo-1"  # of a replica set that was never disturbed
TRACE_STREAM, SPREAD_STREAM = 30, 31


def model_of(topology: Topology, constants: Constants | None = None) -> StackModel:
    """The topology's model in dilated time; without constants nothing takes time but the holds."""
    scenario = dilated(topology.scenario)
    scale = topology.scenario.time.scale
    bare = with_tabulated_jobs(stack_model(scenario, dilated_demands(topology.demands, scale)))
    if constants is None:
        return bare
    delay_s = {
        key: constants.outside_s + count * constants.visit_s
        for key, count in held_visits(bare).items()
    }
    demands = dilated_demands(topology.demands, scale, delay_s)
    return with_tabulated_jobs(stack_model(scenario, demands))


def trace_of(cell: Cell, topology: Topology) -> Trace:
    """The requests of a cell, in dilated time: a pure function of its arguments."""
    return _trace(cell, topology, (TRACE_STREAM,))


def _trace(cell: Cell, topology: Topology, stream: tuple[int, ...]) -> Trace:
    rng = np.random.default_rng(np.random.SeedSequence(cell.seed, spawn_key=stream))
    trace = open_trace(topology.scenario.workload, cell.load_per_s, cell.duration_s, rng)
    return between_beats(trace, topology.demands.beat_s * topology.scenario.time.scale)


def between_beats(trace: Trace, beat_s: float) -> Trace:
    """The same requests, each moved to the middle of its beat; those of one beat a tenth apart.

    Without a beat the trace stays as it is.
    """
    if not beat_s:
        return trace
    beat = np.floor(trace.arrival_s / beat_s)
    before = np.arange(beat.size) - np.searchsorted(beat, beat)  # who came in the same beat
    return replace(trace, arrival_s=(beat + 0.5 + np.minimum(before, 2) / 10) * beat_s)


@dataclass(frozen=True)
class Simulated:
    """What the model says of every single request of a cell."""

    trace: Trace
    run: SimulatedRun
    metrics: dict[str, float]


def simulated(topology: Topology, cell: Cell, model: StackModel) -> Simulated:
    """The very requests of a cell, with the very demands that the gates will hold them for."""
    return _simulated(topology, cell, model, (TRACE_STREAM,), cell.seed)


def _simulated(
    topology: Topology, cell: Cell, model: StackModel, stream: tuple[int, ...], seed: int
) -> Simulated:
    if cell.users:
        bare = replace(model, routes=model_of(topology).routes)
        asked = asked_in(cell, topology, stream, seed)
        trace, run = played(bare, asked, delays_s(model), seed)
    else:
        trace = _trace(cell, topology, stream)
        run = simulate(model, trace, seed=seed)
    return Simulated(trace, run, metrics_of(run, trace, cell))


def asked_of(cell: Cell, topology: Topology) -> UserTrace:
    """What the closed users of a cell ask for, in dilated time: a function of its arguments."""
    return asked_in(cell, topology, (TRACE_STREAM,), cell.seed)


def predicted(topology: Topology, cell: Cell, constants: Constants) -> PredictedFidelity:
    """The blind prediction of a cell; nothing of the cell has been offered yet."""
    model = model_of(topology, constants)
    exact = simulated(topology, cell, model)
    spread: dict[str, list[float]] = {}
    for number in range(REPLICATIONS):
        other = _simulated(topology, cell, model, (SPREAD_STREAM, number), cell.seed + 1 + number)
        for name, value in other.metrics.items():
            spread.setdefault(name, []).append(value)
    ranges = {name: between(np.array(values)) for name, values in spread.items()}
    return PredictedFidelity(
        topology=topology.name,
        cell=cell.name,
        scale=topology.scenario.time.scale,
        seed=cell.seed,
        load_per_s=cell.load_per_s,
        metrics=exact.metrics,
        low={name: float(low) for name, (low, _) in ranges.items()},
        high={name: float(high) for name, (_, high) in ranges.items()},
        constants=constants,
    )


def between(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """The range in which one more draw like these lies with the stated probability.

    Among n draws it has n + 1 places, all equally likely.
    """
    return np.asarray(np.quantile(drawn, COVERED, axis=0, method="weibull"))


def metrics_of(run: SimulatedRun, trace: Trace, cell: Cell) -> dict[str, float]:
    """The figures of a simulated cell, named and defined as those of a measured one.

    Latencies, rates and hit ratios are those of the requests that arrive after the warm-up;
    utilisations are over the whole cell, in which the gates count them.
    """
    judged = trace.arrival_s >= cell.warmup_s
    answered = judged & run.is_ok
    window_s = last_s(trace.arrival_s) - cell.warmup_s
    metrics = {
        "throughput_per_s": float(answered.sum()) / window_s,
        "error_fraction": 1.0 - float(answered.sum()) / max(1, int(judged.sum())),
        "attempts_per_request": float(run.attempts[judged].mean()),
    }
    metrics |= latencies(run.sojourn_s[answered]) | job_figures(run.job_s[judged])
    # What a look-up of somebody who gave up found is told to nobody.
    metrics |= hit_ratios_of(run, trace, answered)
    busy: dict[str, list[float]] = {}
    for station in run.stations:
        busy.setdefault(alike(station.name), []).append(station.utilisation)
    return metrics | {f"utilisation.{name}": float(np.mean(u)) for name, u in busy.items()}


def last_s(arrival_s: NDArray[np.float64]) -> float:
    """When the last request came; of closed users those that were never sent are NaN."""
    return float(np.nanmax(arrival_s))


def alike(machine: str) -> str:
    """What a machine is one of: those of one name are alike, and their mean is compared.

    The numbering of API servers is the balancer's own; which secondary is asked first depends on
    what was read before the cell.
    """
    kind = machine.rstrip("0123456789").rstrip("-")
    if kind == "mongo":
        return machine if machine == PRIMARY else "mongo-secondaries"
    return kind


def retry_wait_s(topology: Topology, cell: Cell, requests: int) -> NDArray[np.float64] | None:
    """What each request waits before each retry, as its model draws it; None without retries."""
    client = model_of(topology).client
    if not client.retries:
        return None
    waits_s = [
        min(client.backoff_cap_s, client.backoff_s * 2.0 ** (retry - 1))
        * (uniform_each(cell.seed, "retry", np.arange(requests), 0, retry) if client.jitter else 1)
        for retry in range(1, client.retries + 1)
    ]
    return np.column_stack([np.broadcast_to(wait_s, requests) for wait_s in waits_s])


def latencies(sojourn_s: NDArray[np.float64]) -> dict[str, float]:
    """Mean and quantiles; none without requests."""
    if not sojourn_s.size:
        return {}
    found = {name: float(np.quantile(sojourn_s, share)) for name, share in QUANTILES.items()}
    return {"mean_s": float(sojourn_s.mean())} | found


def load_for(topology: Topology, cell: Cell, target: float) -> float:
    """The load, requests per dilated second, at which the busiest machine is `target` utilised.

    By the bare model and over the cell's own length; hit ratios move with the load, so a few steps
    of regula falsi are taken.
    """
    # Whoever gives up leaves work undone: what is offered is what patient callers ask for.
    model = replace(model_of(topology), client=Client())
    load_per_s = 1.0
    for _ in range(12):
        found = simulated(topology, replace(cell, load_per_s=load_per_s), model)
        busiest = max(_offered(model, found).values())
        load_per_s *= target / busiest
    return load_per_s


def at_load(topology: Topology, cell: Cell, target: float) -> Cell:
    """The cell with the load, or the closed users, that utilise the busiest machine so much."""
    cell = replace(cell, load_per_s=load_for(topology, cell, target))
    if not topology.is_closed:
        return cell
    model = model_of(topology)
    found = simulated(topology, cell, model)
    slots = {station.name: station.slots for station in model.stations}
    work_s = {
        load.name: (
            load.utilisation * slots[load.name] * found.run.end_s / len(found.trace),
            slots[load.name],
        )
        for load in found.run.stations
    }
    think_s = dilated(topology.scenario).workload.think_time_s
    return replace(cell, users=users_for(cell.load_per_s, think_s, work_s))


def _offered(model: StackModel, found: Simulated) -> dict[str, float]:
    """Busy share of each machine over the time in which requests arrive."""
    slots = {station.name: station.slots for station in model.stations}
    window_s = float(found.trace.arrival_s[-1])
    work = {load.name: load.utilisation * found.run.end_s for load in found.run.stations}
    assert slots.keys() == work.keys()
    groups: dict[str, list[float]] = {}
    for name, busy_s in work.items():
        groups.setdefault("api" if name.startswith("api") else name, []).append(busy_s / window_s)
    return {name: float(np.mean(values)) for name, values in groups.items()}
