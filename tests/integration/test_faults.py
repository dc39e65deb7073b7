"""Faults are switched on and off in a running stack, and only in one that takes them."""

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from numpy.random import default_rng

from headroom.arguments import scenario_at
from headroom.artefacts import Run, Summary
from headroom.diff import run_diff
from headroom.live import catalogue_of, credentials_of, pids_of, running_stack
from headroom.measure import measured_cell
from headroom.traces import Cell, write_trace
from headroom.variants import variant
from sim.workload import open_trace
from stack.errors import FaultsOff
from stack.load.run import run_load
from stack.local import RunningStack, StackInfo
from stack.local.faults import slow_queries

pytestmark = pytest.mark.alone

SLOW_S = 1.0
LATER_S = 2.0  # no query of this stack takes so long by itself


@pytest.fixture(scope="module")
def faulty() -> Iterator[StackInfo]:
    """The baseline: one API process, one mongod, no cache, and faults."""
    scenario = scenario_at("assignment")
    with running_stack(scenario, lambda _: None, name="faulty", faults=True) as info:
        yield info


def database_s(info: StackInfo) -> float:
    """How long the database took for one page, as the service tells."""
    with urllib.request.urlopen(f"{info.base_url}/api/v1/products?page=1", timeout=30) as answer:
        told = re.search(r"db;dur=([\d.]+)", answer.headers["Server-Timing"])
    assert told is not None
    return float(told[1]) / 1e3


def test_slow_queries_are_slow_until_they_are_switched_off(faulty: StackInfo) -> None:
    assert database_s(faulty) < LATER_S
    slow_queries(faulty, LATER_S)
    assert database_s(faulty) >= LATER_S
    slow_queries(faulty, 0.0)
    assert database_s(faulty) < LATER_S
    with pytest.raises(ValueError, match="allowed: 0 to 60 s"):
        slow_queries(faulty, 61.0)


def offered(info: StackInfo, folder: Path) -> Run:
    """A run of one load, as `measure` leaves it.

    Taken as valid whatever else the machine does: what is added is far more than its noise.
    """
    scenario = variant(scenario_at("assignment"), {"experiment.warmup_s": 1.0})
    cell = Cell("20-per-s", 20.0, scenario.experiment.warmup_s, scenario.experiment.warmup_s + 6.0)
    run = Run.create(folder, scenario)
    trace = open_trace(scenario.workload, cell.load_per_s, cell.duration_s, default_rng(3))
    out = run.folder / "load" / f"{cell.name}-0.parquet"
    result = run_load(
        write_trace(run, cell.name, trace),
        str(info.base_url),
        out,
        catalogue=catalogue_of(scenario),
        credentials=credentials_of(info),
        run_id=run.folder.name[-64:],
        warmup_s=cell.warmup_s,
        pids_by_part=pids_of(info),
    )
    found = measured_cell(cell, 0, result, out)
    conditions = found.conditions.model_copy(update={"valid": True})
    cells = (found.model_copy(update={"conditions": conditions}),)
    run.write(
        Summary(
            scenario_sha256=run.scenario_sha256,
            prediction_sha256="",
            prediction_at=found.started_at,
            cells=cells,
        )
    )
    return run


def test_the_difference_to_a_run_with_slow_queries_names_latency_and_database(
    faulty: StackInfo, tmp_path: Path
) -> None:
    before = offered(faulty, tmp_path)
    slow_queries(faulty, SLOW_S)
    try:
        after = offered(faulty, tmp_path)
    finally:
        slow_queries(faulty, 0.0)
    found = run_diff(before, after)
    assert {"mean_s", "p95_s"} <= {change.metric for change in found.significant}
    assert found.sentence.startswith("p95 latency +")
    assert found.lanes[0].component == "database (MongoDB)"
    assert found.lanes[0].change_s >= SLOW_S / 2  # not every operation asks the database
    assert found.lanes[0].of_change_fraction > 0.5


def test_a_stack_that_was_not_started_for_faults_takes_none(live_stack: RunningStack) -> None:
    with pytest.raises(FaultsOff, match="headroom up --faults"):
        slow_queries(live_stack.info, 1.0)
