"""The record of the fidelity cells, the page written from it, and what stands beside them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headroom.fidelity.appendix import structure
from headroom.fidelity.artefacts import Constants
from headroom.fidelity.baselines import baselines
from headroom.fidelity.cells import Cell
from headroom.fidelity.compared import TOLERANCES
from headroom.fidelity.invariance import SCALES, cell_at
from headroom.fidelity.page import page
from headroom.fidelity.predicted import (
    REPLICATIONS,
    alike,
    between,
    between_beats,
    load_for,
    model_of,
    retry_wait_s,
    simulated,
)
from headroom.fidelity.promises import promises
from headroom.fidelity.record import FidelityRecord, kept, of_kind
from headroom.fidelity.topologies import topology
from sim.draws import Demand
from sim.kernel import simulate
from sim.model import Client, Route, StackModel, Station, Visit
from sim.workload import Trace, open_trace

DOCS = Path("docs")
NONE = Constants(
    outside_s=0.0,
    visit_s=0.0,
    requests=1,
    overhead_fraction=0.0,
    needed_scale=1.0,
    overruns_fraction=0.0,
)


@pytest.fixture(scope="module")
def record() -> FidelityRecord:
    return FidelityRecord.of(DOCS / "fidelity.json")


def test_the_page_is_what_the_record_says(record: FidelityRecord) -> None:
    assert page(record) == (DOCS / "fidelity.md").read_text(encoding="utf-8")


def test_each_cell_was_predicted_before_it_was_offered(record: FidelityRecord) -> None:
    cells = [cell for occasion in record.occasions for cell in occasion.cells]
    assert len(cells) >= 50
    assert len({cell.topology for cell in cells}) >= 8
    assert all(cell.predicted_at < cell.started_at for cell in cells)
    assert len({cell.prediction_sha256 for cell in cells}) == len(cells)


def test_the_page_shows_every_cell_the_invalid_ones_with_their_reasons(
    record: FidelityRecord,
) -> None:
    text = page(record)
    cells = [cell for occasion in record.occasions for cell in occasion.cells]
    assert text.count(" | yes |") + text.count(" | NO |") >= len(cells)
    for cell in cells:
        assert cell.valid or "; ".join(cell.conditions.reasons) in text


def test_the_record_comes_back_as_it_was_stored(record: FidelityRecord, tmp_path: Path) -> None:
    record.store(tmp_path / "again.json")
    assert FidelityRecord.of(tmp_path / "again.json") == record
    assert FidelityRecord.of(tmp_path / "nothing.json").occasions == ()


def test_a_promise_is_kept_by_a_cell_only_when_all_its_parts_keep_it(
    record: FidelityRecord,
) -> None:
    cells = record.occasions[0].cells
    for kind in TOLERANCES:
        by_hand = [
            all(abs(metric.error) <= TOLERANCES[kind] for metric in of_kind(cell, kind))
            for cell in cells
            if of_kind(cell, kind)
        ]
        assert kept(cells, kind) == sum(by_hand)


def test_a_promise_tells_the_median_and_the_worst_of_its_errors(record: FidelityRecord) -> None:
    cells = [cell for occasion in record.occasions for cell in occasion.cells if cell.valid]
    mean = next(each for each in promises(cells) if each.kind == "mean_s")
    errors = [metric.error for cell in cells for metric in of_kind(cell, "mean_s")]
    assert mean.cells == len(errors)
    assert mean.kept == sum(abs(error) <= TOLERANCES["mean_s"] for error in errors)
    assert mean.median_error == np.median(np.abs(errors))
    assert abs(mean.worst_error) == np.max(np.abs(errors))


def test_the_reports_appendix_states_what_the_page_states(record: FidelityRecord) -> None:
    told = structure(record)
    cells = [cell for occasion in record.occasions for cell in occasion.cells if cell.valid]
    for each in promises(cells):
        assert f"{each.kept} of {each.cells}" in told
        assert f"{each.kept} of {each.cells}" in page(record)
    assert "emulated" in told


def test_an_occasion_that_is_taken_again_replaces_the_one_of_its_name(
    record: FidelityRecord,
) -> None:
    first = record.occasions[0]
    fewer = first.model_copy(update={"topologies": first.topologies[:1]})
    assert record.with_occasions([fewer]).occasions[0] == fewer
    assert len(record.with_occasions([fewer]).occasions) == len(record.occasions)


@pytest.mark.parametrize("scale", SCALES)
def test_the_same_requests_come_at_every_scale_and_take_the_same_modelled_time(
    scale: float,
) -> None:
    base, cell = cell_at("three-replicas", scale, "here")
    at_40, cell_40 = cell_at("three-replicas", SCALES[-1], "here")
    found = simulated(base, cell, model_of(base))
    reference = simulated(at_40, cell_40, model_of(at_40))
    assert len(found.trace) > 300
    np.testing.assert_allclose(
        found.trace.arrival_s / scale, reference.trace.arrival_s / SCALES[-1], rtol=1e-9
    )
    np.testing.assert_allclose(
        found.run.sojourn_s / scale, reference.run.sojourn_s / SCALES[-1], rtol=1e-6
    )


@pytest.mark.parametrize("name", ["three-replicas", "no-cache", "secondaries", "search-heavy"])
def test_without_load_every_plainer_model_says_what_the_holds_take(name: str) -> None:
    """At one request in an hour nobody waits: all are left with the demands, all look-ups miss."""
    idle = topology(name)
    scale = idle.scenario.time.scale
    mix = idle.scenario.workload.mix
    demand_s = sum(
        mix.get(operation, 0.0) * sum(visit.mean_s for visit in visits)
        for (operation, outcome), visits in idle.demands.visits.items()
        if outcome != "hit"
    )
    for told in baselines(idle, 1 / 3600, NONE).values():
        assert told["mean_s"] == pytest.approx(demand_s * scale, rel=0.01)


def test_an_overloaded_machine_leaves_no_plainer_model_a_steady_state() -> None:
    for told in baselines(topology("no-cache"), 1e3, NONE).values():
        assert told["mean_s"] == np.inf


def test_real_time_beside_the_holds_is_in_every_plainer_model() -> None:
    idle = topology("no-cache")
    more = replace_constants(outside_s=0.5)
    for name, told in baselines(idle, 1.0, more).items():
        assert told["mean_s"] - baselines(idle, 1.0, NONE)[name]["mean_s"] == pytest.approx(0.5)


def replace_constants(**changes: float) -> Constants:
    return NONE.model_copy(update=changes)


def test_on_a_beat_requests_come_far_from_the_times_at_which_answers_leave() -> None:
    base = topology("least-connections-on-a-beat")
    beat_s = base.demands.beat_s * base.scenario.time.scale
    trace = open_trace(base.scenario.workload, 60.0, 50.0, np.random.default_rng(3))
    moved = between_beats(trace, beat_s)
    phase = moved.arrival_s / beat_s % 1.0
    assert phase.min() > 0.5 - 1e-6
    assert phase.max() < 0.7 + 1e-6
    assert (np.diff(moved.arrival_s) >= 0).all()
    assert np.abs(moved.arrival_s - trace.arrival_s).max() < beat_s
    assert (between_beats(trace, 0.0).arrival_s == trace.arrival_s).all()


def test_on_a_beat_every_answer_leaves_at_a_multiple_of_it() -> None:
    base, cell = topology("least-connections-on-a-beat"), Cell("at", 0.5, 10.0, seed=5)
    found = simulated(base, cell, model_of(base))
    beats = (found.trace.arrival_s + found.run.sojourn_s) / 0.02
    np.testing.assert_allclose(beats, np.round(beats), atol=1e-6)


def test_machines_that_are_alike_are_compared_together_and_the_primary_alone() -> None:
    names = ("api-1", "api-10", "mongo-1", "mongo-2", "mongo-3", "redis", "elasticsearch-1")
    assert [alike(name) for name in names] == [
        *("api", "api", "mongo-1", "mongo-secondaries", "mongo-secondaries"),
        *("redis", "elasticsearch"),
    ]


def test_nine_of_ten_cells_lie_inside_a_range_of_nine_tenths() -> None:
    """Whatever the distribution: the cell is one more draw like those behind its range."""
    rng = np.random.default_rng(8)
    draws = rng.lognormal(sigma=1.5, size=(20_000, REPLICATIONS + 1))
    low, high = between(draws[:, 1:].T)
    inside = ((low <= draws[:, 0]) & (draws[:, 0] <= high)).mean()
    assert inside == pytest.approx(0.9, abs=0.01)


def test_callers_wait_before_each_retry_as_the_model_has_them_wait() -> None:
    """One station, much too slow: every request ends after its last patience, waits included."""
    base = topology("retry-storm")
    cell = Cell("at", 1.0, 5.0, seed=11, duration_s=10.0)
    waits_s = retry_wait_s(base, cell, 50)
    assert waits_s is not None
    assert retry_wait_s(topology("no-cache"), cell, 50) is None
    client = model_of(base).client
    slow = Demand(1e6, distribution="deterministic")
    model = StackModel((Station("web", 1),), (Route("list", (Visit("web", slow),)),), client=client)
    numbers = np.arange(50)
    trace = Trace(numbers * 0.2, ("list",), np.zeros(50, np.int16), numbers, numbers)
    run = simulate(model, trace, seed=cell.seed)
    assert (run.attempts == 3).all()
    np.testing.assert_allclose(
        run.sojourn_s, 3 * client.timeout_s + waits_s.sum(axis=1), rtol=1e-12
    )


def test_offered_load_is_what_patient_callers_would_ask_for() -> None:
    base = topology("retry-storm")
    cell = Cell("at", 1.2, 1.0, seed=3)
    cell = replace(cell, load_per_s=load_for(base, cell, 1.2))
    patient = replace(model_of(base), client=Client())
    found = simulated(base, cell, patient)
    stretch = found.run.end_s / found.trace.arrival_s[-1]  # work goes on after the last arrival
    machines = {name: value for name, value in found.metrics.items() if "utilisation" in name}
    assert stretch > 1.1
    assert max(machines.values()) * stretch == pytest.approx(1.2, rel=0.05)
    assert not simulated(base, cell, model_of(base)).run.is_ok.all()
