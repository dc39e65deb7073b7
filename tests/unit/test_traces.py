"""What is offered: the same seed gives the same requests, and calibration sees others."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from headroom.artefacts import Run
from headroom.traces import (
    calibration_trace,
    cells_of,
    offered_order,
    trace_of,
    write_trace,
)
from sim.scenario import Scenario
from sim.scenario_file import load_scenario
from sim.workload import Trace


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    path = Path(__file__).parents[2] / "scenarios" / "laptop.yaml"
    return load_scenario(path)


def with_experiment(scenario: Scenario, **fields: object) -> Scenario:
    experiment = scenario.experiment.model_copy(update=fields)
    return scenario.model_copy(update={"experiment": experiment})


def same(one: Trace, other: Trace) -> bool:
    names = ("arrival_s", "operation", "key", "user")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_the_same_seed_gives_the_same_requests_and_another_seed_others(scenario: Scenario) -> None:
    for cell in cells_of(scenario):
        assert same(trace_of(scenario, cell), trace_of(scenario, cell))
        other = with_experiment(scenario, seed=scenario.experiment.seed + 1)
        assert not same(trace_of(scenario, cell), trace_of(other, cell))


def test_no_cell_is_offered_the_requests_of_another_or_of_the_calibration(
    scenario: Scenario,
) -> None:
    scaled = []  # unit-rate arrival times, which common random numbers would make alike
    for cell in cells_of(scenario):
        scaled.append(trace_of(scenario, cell).arrival_s[:20] * cell.load_per_s)
    scaled.append(calibration_trace(scenario, 5.0, 60.0).arrival_s[:20] * 5.0)
    for index, one in enumerate(scaled):
        for other in scaled[index + 1 :]:
            assert not np.allclose(one, other)


def test_a_cell_has_its_load_and_its_window(scenario: Scenario) -> None:
    experiment = scenario.experiment
    for cell in cells_of(scenario):
        trace = trace_of(scenario, cell)
        assert cell.duration_s == experiment.warmup_s + experiment.cell_s
        assert 0 < trace.arrival_s[0] <= trace.arrival_s[-1] < cell.duration_s
        expected = cell.load_per_s * cell.duration_s
        assert abs(len(trace) - expected) < 5 * expected**0.5  # Poisson, five deviations


def test_loads_given_twice_or_out_of_order_make_one_cell_each_lowest_first(
    scenario: Scenario,
) -> None:
    mixed = with_experiment(scenario, loads_per_s=(80.0, 10.0, 20.0, 10.0, 2.5))
    names = [cell.name for cell in cells_of(mixed)]
    assert names == ["2.5-per-s", "10-per-s", "20-per-s", "80-per-s"]


def test_each_repeat_offers_every_cell_once_in_an_order_of_its_own(scenario: Scenario) -> None:
    repeated = with_experiment(scenario, repeats=6)
    order = offered_order(repeated)
    count = len(cells_of(repeated))
    rounds = [order[start : start + count] for start in range(0, len(order), count)]
    assert [{repeat for _, repeat in one} for one in rounds] == [{n} for n in range(6)]
    assert all(Counter(c.name for c, _ in one).most_common(1)[0][1] == 1 for one in rounds)
    assert len({tuple(cell.name for cell, _ in one) for one in rounds}) > 1
    assert order == offered_order(repeated)


def test_a_stored_trace_holds_the_very_requests(scenario: Scenario, tmp_path: Path) -> None:
    cell = cells_of(scenario)[0]
    trace = trace_of(scenario, cell)
    table = pq.read_table(write_trace(Run(tmp_path), cell.name, trace))
    assert table["request_id"].to_pylist() == list(range(len(trace)))
    assert np.array_equal(table["intended_s"].to_numpy(), trace.arrival_s)
    assert np.array_equal(table["key"].to_numpy(), trace.key)
    assert np.array_equal(table["user"].to_numpy(), trace.user)
    names = [trace.operations[index] for index in trace.operation]
    assert table["operation"].to_pylist() == names
