"""Prediction beside measurement: medians over the valid repeats, ranges over their intervals."""

from pathlib import Path

import pytest
from example_run import conditions, example_run

from headroom.artefacts import ComparedCell, Estimate, MeasuredCell, Prediction, Summary
from headroom.compare import compared


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Prediction, Summary]:
    run = example_run(tmp_path_factory.mktemp("runs"))
    return run.read(Prediction), run.read(Summary)


def repeat_of(
    summary: Summary, number: int, p95_s: float, *, valid: bool = True, **more: Estimate
) -> MeasuredCell:
    """A repeat of the first cell with a p95 of that value, known to half a millisecond."""
    metrics = {"p95_s": Estimate(value=p95_s, low=p95_s - 0.0005, high=p95_s + 0.0005)} | more
    update = {"repeat": number, "metrics": metrics, "conditions": conditions(10.0, valid)}
    return summary.cells[0].model_copy(update=update)


def p95_of(prediction: Prediction, summary: Summary, *repeats: MeasuredCell) -> ComparedCell:
    found = compared(prediction, summary.model_copy(update={"cells": repeats}))
    (cell,) = [each for each in found if each.metric == "p95_s"]
    return cell


def test_measured_is_the_median_of_the_valid_repeats_and_its_range_spans_them(
    invented: tuple[Prediction, Summary],
) -> None:
    prediction, summary = invented
    cell = p95_of(
        prediction,
        summary,
        *(repeat_of(summary, n, p95_s) for n, p95_s in enumerate((0.010, 0.013, 0.011))),
        repeat_of(summary, 3, 9.0, valid=False),
    )
    assert cell.valid
    assert cell.measured == 0.011
    assert (cell.measured_low, cell.measured_high) == pytest.approx((0.0095, 0.0135))


def test_where_no_repeat_is_valid_all_stand_in_and_the_cell_says_so(
    invented: tuple[Prediction, Summary],
) -> None:
    prediction, summary = invented
    repeats = [repeat_of(summary, n, p95_s, valid=False) for n, p95_s in enumerate((0.02, 0.04))]
    cell = p95_of(prediction, summary, *repeats)
    assert not cell.valid
    assert cell.measured == pytest.approx(0.03)


def test_the_error_is_the_prediction_relative_to_the_measurement(
    invented: tuple[Prediction, Summary],
) -> None:
    prediction, summary = invented
    predicted = prediction.cells[0].metrics["p95_s"]
    cell = p95_of(prediction, summary, repeat_of(summary, 0, predicted.value / 1.25))
    assert cell.error_fraction == pytest.approx(0.25)  # predicted a quarter too slow
    assert (cell.predicted, cell.predicted_low, cell.predicted_high) == (
        predicted.value,
        predicted.low,
        predicted.high,
    )


def test_no_error_is_stated_where_zero_was_measured(invented: tuple[Prediction, Summary]) -> None:
    prediction, summary = invented
    assert p95_of(prediction, summary, repeat_of(summary, 0, 0.0)).error_fraction is None


def test_a_metric_that_one_side_lacks_is_left_out(invented: tuple[Prediction, Summary]) -> None:
    prediction, summary = invented
    only = repeat_of(summary, 0, 0.01, unheard=Estimate.exact(1.0))
    found = compared(prediction, summary.model_copy(update={"cells": (only,)}))
    assert [(cell.metric, cell.load_per_s) for cell in found] == [("p95_s", only.load_per_s)]


def test_cells_come_by_metric_and_then_by_load(invented: tuple[Prediction, Summary]) -> None:
    prediction, summary = invented
    places = [(cell.metric, cell.load_per_s) for cell in compared(prediction, summary)]
    loads = [cell.load_per_s for cell in prediction.cells]
    assert places == sorted(places)
    assert [load for metric, load in places if metric == "p95_s"] == sorted(loads)


def test_a_summary_without_cells_compares_to_nothing(
    invented: tuple[Prediction, Summary], tmp_path: Path
) -> None:
    prediction, summary = invented
    assert compared(prediction, summary.model_copy(update={"cells": ()})) == ()
    run = example_run(tmp_path)
    run.write_comparison(())
    assert run.read_comparison() == ()
