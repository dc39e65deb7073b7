"""The seeded requests of a run: what is offered, in which order, shared by load and models."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headroom.artefacts import Run, replacing
from sim.errors import require
from sim.scenario import Scenario
from sim.workload import Trace, open_trace

CALIBRATION_STREAM, CELL_STREAM, ORDER_STREAM = 0, 1, 2  # children of the experiment's seed


@dataclass(frozen=True)
class Cell:
    """One load of the experiment: its name, its rate and the window in which it is judged."""

    name: str
    load_per_s: float
    warmup_s: float
    duration_s: float  # warm-up included


def cells_of(scenario: Scenario) -> tuple[Cell, ...]:
    """The cells of a scenario's experiment, lowest load first."""
    experiment = scenario.experiment
    return tuple(
        Cell(f"{load:g}-per-s", load, experiment.warmup_s, experiment.warmup_s + experiment.cell_s)
        for load in sorted(set(experiment.loads_per_s))
    )


def offered_order(scenario: Scenario) -> tuple[tuple[Cell, int], ...]:
    """(cell, repeat) in the order they are offered: interleaved by repeat, shuffled within.

    A drift of the machine then falls on all loads alike instead of on the last ones.
    """
    rng = _rng(scenario, ORDER_STREAM)
    cells = cells_of(scenario)
    return tuple(
        (cells[index], repeat)
        for repeat in range(scenario.experiment.repeats)
        for index in rng.permutation(len(cells))
    )


def trace_of(scenario: Scenario, cell: Cell) -> Trace:
    """The requests of a cell: a pure function of scenario and cell, alike in all its repeats."""
    _require_open(scenario)
    index = [other.name for other in cells_of(scenario)].index(cell.name)
    return open_trace(
        scenario.workload, cell.load_per_s, cell.duration_s, _rng(scenario, CELL_STREAM, index)
    )


def calibration_trace(scenario: Scenario, load_per_s: float, duration_s: float) -> Trace:
    """Requests at low load for the calibration; from another stream than any cell's."""
    _require_open(scenario)
    return open_trace(scenario.workload, load_per_s, duration_s, _rng(scenario, CALIBRATION_STREAM))


def _require_open(scenario: Scenario) -> None:
    allowed = "`open`: closed users are offered in dilated time, by `headroom fidelity run`"
    kind = scenario.workload.kind
    require(kind == "open", "workload.kind", kind, allowed)


def calibration_rng(scenario: Scenario) -> np.random.Generator:
    """Randomness of the calibration's single requests."""
    return _rng(scenario, CALIBRATION_STREAM, 1)


def _rng(scenario: Scenario, *stream: int) -> np.random.Generator:
    seed = np.random.SeedSequence(scenario.experiment.seed, spawn_key=stream)
    return np.random.default_rng(seed)


def write_trace(run: Run, name: str, trace: Trace) -> Path:
    """Store a trace as `traces/<name>.parquet`, the form that the load generator reads."""
    names = np.array(trace.operations)
    table = pa.table(
        {
            "request_id": pa.array(np.arange(len(trace)), pa.int64()),
            "intended_s": pa.array(trace.arrival_s, pa.float64()),
            "operation": pa.array(names[trace.operation].tolist(), pa.string()),
            "key": pa.array(trace.key, pa.int64()),
            "user": pa.array(trace.user, pa.int64()),
        }
    )
    path = run.folder / "traces" / f"{name}.parquet"
    with replacing(path) as temporary:
        pq.write_table(table, temporary)
    return path
