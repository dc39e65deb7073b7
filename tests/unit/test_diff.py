"""Two runs side by side: what is called a change, and what is not."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from example_run import example_run

from headroom.artefacts import Estimate, Prediction, Run, Summary, Verdict
from headroom.diff import NO_CHANGE, RunDiff, RunFigures, markdown, run_diff
from headroom.diff.between import lanes
from headroom.diff.judging import measured_changes, spread_of, summed_up, with_significance
from headroom.diff.records import Change, LoadFigures
from headroom.diff.sentence import COLUMNS, rows, sentence
from headroom.variants import variant
from headroom.workbench.differences import Difference
from sim.scenario_file import dump_yaml

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Run, Run]:
    return example_run(tmp_path), example_run(tmp_path)


def loads(factor: float = 1.0, *, valid: bool = True, hits: float = 0.6) -> tuple[LoadFigures, ...]:
    """Two loads whose latencies are known to 2 %, `factor` times as long."""
    figures = []
    for load, p95_s in ((10.0, 0.02), (40.0, 0.05)):
        value = p95_s * factor
        figures.append(
            LoadFigures(
                load_per_s=load,
                repeat=0,
                valid=valid,
                requests=1000,
                metrics={
                    "p95_s": Estimate(value=value, low=value * 0.98, high=value * 1.02),
                    "hit_ratio.all": Estimate(value=hits, low=hits - 0.002, high=hits + 0.002),
                    "error_fraction": Estimate(value=0.0, low=0.0, high=0.001),
                },
            )
        )
    return tuple(figures)


def changes(before: tuple[LoadFigures, ...], after: tuple[LoadFigures, ...]) -> dict[str, Change]:
    sides = [RunFigures(name=str(i), machine="", loads=s) for i, s in enumerate((before, after))]
    return {c.metric: c for c in with_significance(measured_changes(*sides))}


def test_a_run_beside_itself_has_no_significant_change(runs: tuple[Run, Run]) -> None:
    found = run_diff(*runs)
    assert found.significant == ()
    assert found.sentence == "No significant change."
    assert found.scenario == found.machine == found.objectives == ()
    assert all(change.change.value == 0 for change in found.changes)


def test_a_change_beyond_the_spread_of_runs_is_significant_and_its_interval_excludes_zero() -> None:
    found = changes(loads(), loads(2.5))
    p95 = found["p95_s"]
    assert p95.significant
    assert p95.change.value == pytest.approx(1.5)
    assert p95.change.low > 0
    assert not found["hit_ratio.all"].significant
    assert found["hit_ratio.all"].change.low < 0 < found["hit_ratio.all"].change.high


def test_a_change_within_the_spread_of_runs_is_not_significant_however_well_it_is_known() -> None:
    assert not changes(loads(), loads(1.1))["p95_s"].significant


def test_a_share_is_compared_in_percentage_points() -> None:
    found = changes(loads(hits=0.60), loads(hits=0.50))["hit_ratio.all"]
    assert found.change.value == pytest.approx(-0.10)
    assert found.in_words().startswith("hit ratio, all families −10 pp (")
    assert found.significant


def test_runs_that_are_not_valid_judge_nothing() -> None:
    found = changes(loads(), loads(3.0, valid=False))
    assert not any(change.valid or change.significant for change in found.values())


def test_loads_that_only_one_run_has_are_left_out() -> None:
    found = changes(loads()[:1], loads(1.5))["p95_s"]
    assert found.loads == 1
    assert found.at_load_per_s == 10.0


def test_the_more_figures_are_judged_the_more_each_has_to_show() -> None:
    one = changes(loads(), loads(1.25))["p95_s"]
    many = [one.model_copy(update={"metric": f"m{i}", "change": one.change}) for i in range(200)]
    none = [
        c.model_copy(update={"change": Estimate(value=0.0, low=-0.2, high=0.25)}) for c in many[1:]
    ]
    alone = with_significance([many[0]])[0]
    among = with_significance([many[0], *none])[0]
    assert alone.change.high - alone.change.low < among.change.high - among.change.low


def test_false_alarms_among_runs_of_the_same_thing_stay_below_five_in_a_hundred() -> None:
    """Runs drawn as the method assumes: a shift of each run, errors of each load."""
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(400):
        sides = []
        for _side in range(2):
            shift = rng.normal(0, spread_of("p95_s"))
            figures = []
            for each in loads():
                noise = rng.normal(0, 0.02 / 1.96)
                value = each.metrics["p95_s"].value * math.exp(shift + noise)
                known = Estimate(value=value, low=value * 0.98, high=value * 1.02)
                figures.append(each.model_copy(update={"metrics": {"p95_s": known}}))
            sides.append(tuple(figures))
        alarms += changes(*sides)["p95_s"].significant
    # 5 % of 400, and three standard deviations of that count
    assert alarms <= 20 + 3 * math.sqrt(400 * 0.05 * 0.95)
    assert alarms > 0  # a method that never sounds would pass the line above


def test_loads_that_disagree_widen_the_interval() -> None:
    agreeing = summed_up([(0.1, 0.02), (0.1, 0.02)])
    disagreeing = summed_up([(-0.1, 0.02), (0.3, 0.02)])
    assert agreeing[0] == pytest.approx(disagreeing[0])
    assert disagreeing[1] > 5 * agreeing[1]


def slower_in(component: str, by_s: float) -> tuple[LoadFigures, ...]:
    metrics = {"mean_s": 0.020, "p95_s": 0.05, "time.api": 0.010}
    metrics |= {"time.database": 0.006, "time.search": 0.004}
    for name in (f"time.{component}", "mean_s"):
        metrics[name] += by_s
    metrics["p95_s"] += 2 * by_s
    known = {m: Estimate(value=v, low=v * 0.97, high=v * 1.03) for m, v in metrics.items()}
    return (LoadFigures(load_per_s=20.0, repeat=0, valid=True, requests=900, metrics=known),)


@pytest.mark.parametrize(
    ("component", "named"), [("database", "database (MongoDB)"), ("search", "search")]
)
def test_a_slower_component_is_named_with_its_share(component: str, named: str) -> None:
    found = tuple(changes(slower_in("api", 0.0), slower_in(component, 0.06)).values())
    lane = lanes(found)[0]
    assert lane.component.startswith(named)
    assert lane.change_s == pytest.approx(0.06)
    assert lane.of_change_fraction == pytest.approx(1.0)
    diff = as_diff(found)
    assert "p95 latency +240 %" in sentence(diff)
    assert f"+60.0 ms of +60.0 ms a request at the {named}" in sentence(diff)


def as_diff(found: tuple[Change, ...]) -> RunDiff:
    return RunDiff(
        before="a",
        after="b",
        status_before=None,
        status_after=None,
        objectives=(),
        scenario=(),
        machine=(),
        changes=found,
        lanes=lanes(found),
        sentence="",
    )


def test_no_component_is_blamed_for_a_latency_that_did_not_change() -> None:
    assert lanes(tuple(changes(slower_in("api", 0.0), slower_in("api", 0.0)).values())) == ()


def test_verdict_price_and_capacity_are_compared(runs: tuple[Run, Run]) -> None:
    before, after = runs
    verdict, prediction = after.read(Verdict), after.read(Prediction)
    missed = tuple(
        o.model_copy(update={"status": "FAIL"}) if o.name == "errors" else o
        for o in verdict.objectives
    )
    price = Estimate(value=900.0, low=800.0, high=1000.0)
    half = Estimate(value=150.0, low=140.0, high=160.0)
    after.write(
        verdict.model_copy(
            update={"objectives": missed, "usd_per_month": price, "capacity_per_s": half}
        )
    )
    after.write(prediction)
    found = run_diff(before, after)
    assert found.objectives == ("errors: PASS → FAIL",)
    assert {"price_usd", "capacity_per_s"} == {c.metric for c in found.significant}
    text = markdown(found)
    assert "price a month" in text
    assert "$755" in text
    assert "$900" in text
    assert "errors: PASS → FAIL" in text


def test_a_verdict_that_changes_without_a_figure_is_called_chance(runs: tuple[Run, Run]) -> None:
    before, after = runs
    after.write(after.read(Verdict).model_copy(update={"status": "PASS"}))
    text = run_diff(before, after).sentence
    assert text.lower().startswith(NO_CHANGE)
    assert "FAIL to PASS" in text


def test_what_differs_in_scenario_and_machine_is_named(runs: tuple[Run, Run]) -> None:
    before, after = runs
    changed = variant(after.scenario, {"topology.api.replicas": 5})
    (after.folder / "scenario.yaml").write_text(dump_yaml(changed), encoding="utf-8")
    assert run_diff(before, after).scenario == ("topology.api.replicas: 3 → 5",)


def test_a_table_has_a_row_for_each_figure_and_as_many_cells_as_columns(
    runs: tuple[Run, Run],
) -> None:
    found = run_diff(*runs)
    table = rows(found)
    assert len(table) == len(found.changes)
    assert all(len(row) == len(COLUMNS) for row in table)


def test_a_notebook_shows_the_sentence_first_and_every_change_as_a_point_on_its_interval() -> None:
    found = as_diff(tuple(changes(slower_in("api", 0.0), slower_in("database", 0.06)).values()))
    found = found.model_copy(update={"sentence": sentence(found)})
    shown = Difference.of(found)
    assert shown._repr_html_().startswith(f"<h3>{found.sentence}")
    points = next(trace for trace in shown.plot().data if trace.name == "change")
    assert list(points.x) == pytest.approx([c.change.value * 100 for c in found.changes])
    upper = [x + up for x, up in zip(points.x, points.error_x.array, strict=True)]
    assert upper == pytest.approx([c.change.high * 100 for c in found.changes])
    filled = [symbol == "circle" for symbol in points.marker.symbol]
    assert filled == [c.significant for c in found.changes]
    assert True in filled
    assert False in filled


def test_invalid_runs_are_said_to_judge_nothing(runs: tuple[Run, Run]) -> None:
    before, after = runs
    for run in runs:
        summary = run.read(Summary)
        cells = tuple(
            cell.model_copy(
                update={"conditions": cell.conditions.model_copy(update={"valid": False})}
            )
            for cell in summary.cells
        )
        run.write(summary.model_copy(update={"cells": cells}))
        run.path(Verdict).unlink()
    assert "nothing can be judged" in run_diff(before, after).sentence


def recorded(name: str) -> list[RunFigures]:
    return [
        RunFigures.model_validate(each) for each in json.loads((DATA / name).read_text("utf-8"))
    ]


def test_nine_in_ten_pairs_of_recorded_runs_of_one_scenario_have_no_significant_change() -> None:
    pairs = list(itertools.combinations(recorded("same_scenario_runs.json"), 2))
    found = [with_significance(measured_changes(*pair)) for pair in pairs]
    assert len(pairs) >= 10
    assert all(any(change.valid for change in each) for each in found)
    alarms = sum(any(change.significant for change in each) for each in found)
    assert alarms <= len(pairs) / 10


def test_a_recorded_run_with_slow_queries_names_latency_and_the_database() -> None:
    (slowed,) = recorded("slowed_runs.json")
    for before in recorded("same_scenario_runs.json"):
        found = with_significance(measured_changes(before, slowed))
        assert {"mean_s"} <= {change.metric for change in found if change.significant}
        assert lanes(found)[0].component == "database (MongoDB)"
