"""The figures: what a reader can rely on in every one of them."""

import math

import plotly.graph_objects as go
import pytest
from example_run import example_run, look_ahead

from headroom import charts
from headroom.artefacts import BillArtefact, ComparedCell, Estimate, Prediction, Run, Verdict
from headroom.charts.theme import COMPONENT_LOOKS, LOOKS, log_ticks
from headroom.load_cost import CreditsRecord, LoadCost
from headroom.plan_records import PlanArtefact
from headroom.whatif import WhatIfArtefact


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    found = example_run(tmp_path_factory.mktemp("runs"))
    look_ahead(found)
    return found


def credits_of(run: Run) -> CreditsRecord:
    found = run.read(LoadCost).credits
    assert found is not None
    return found


@pytest.fixture(scope="module")
def figures(run: Run) -> dict[str, go.Figure]:
    prediction, cells = run.read(Prediction), run.read_comparison()
    local, production = prediction.local, prediction.production
    return {
        "latency": charts.latency_against_load(cells, prediction.curve, 0.2, local, "this machine"),
        "production": charts.production_latency(
            prediction.production_curve, 0.2, production, run.read(Verdict).peak_per_s
        ),
        "utilisation": charts.utilisation_at_limit(
            production.utilisation, production.bound_by, production.load_per_s.value
        ),
        "use": charts.utilisation_against_load(cells),
        "hit ratio": charts.hit_ratios(cells, 0.75),
        "errors": charts.model_errors(cells),
        "growth": charts.bill_growth(run.read(LoadCost)),
        "credits": charts.credit_balance(credits_of(run)),
        "cost": charts.stated_and_repriced(run.read(BillArtefact)),
        "frontier": charts.frontier(run.read(PlanArtefact)),
        "what ifs": charts.what_if_latencies(run.read(WhatIfArtefact)),
        "tornado": charts.tornado(run.read(WhatIfArtefact)),
    }


def traces(figure: go.Figure, mode: str) -> list[go.Scatter]:
    return [t for t in figure.data if isinstance(t, go.Scatter) and t.mode == mode and t.name]


def test_every_value_axis_of_every_figure_states_its_unit(figures: dict[str, go.Figure]) -> None:
    for name, figure in figures.items():
        titles = [axis.title.text for axis in figure.select_xaxes()]
        titles += [axis.title.text for axis in figure.select_yaxes() if axis.title.text]
        assert titles, name
        for title in titles:
            assert "(" in title or "dollars" in title, (name, title)


def test_every_figure_carries_caption_alternative_text_and_its_data(
    figures: dict[str, go.Figure],
) -> None:
    for name, figure in figures.items():
        meta = figure.layout.meta
        assert len(meta["caption"]) > 20, name
        assert len(meta["alternative"]) > 20, name
        assert meta["rows"], name
        assert all(len(row) == len(meta["columns"]) for row in meta["rows"]), name


def test_measured_is_points_with_intervals_and_modelled_is_a_line_with_a_band(
    figures: dict[str, go.Figure],
) -> None:
    points = traces(figures["latency"], "markers")
    lines = traces(figures["latency"], "lines")
    assert [t.name for t in points] == [
        "p50 latency, measured",
        "p95 latency, measured",
        "p99 latency, measured",
    ]
    assert [t.name for t in lines] == [
        "p50 latency, model",
        "p95 latency, model",
        "p99 latency, model",
    ]
    assert all(len(t.error_y.array) == len(t.x) for t in points)
    bands = [t for t in figures["latency"].data if t.fill == "toself"]
    assert len(bands) == 3


def test_points_show_the_measured_milliseconds_of_the_comparison(
    run: Run, figures: dict[str, go.Figure]
) -> None:
    own = [cell for cell in run.read_comparison() if cell.metric == "p95_s"]
    points = traces(figures["latency"], "markers")[1]
    assert list(points.x) == [cell.load_per_s for cell in own]
    assert list(points.y) == pytest.approx([cell.measured * 1000 for cell in own])
    upper = [y + up for y, up in zip(points.y, points.error_y.array, strict=True)]
    assert upper == pytest.approx([cell.measured_high * 1000 for cell in own])


def test_latency_is_drawn_on_a_logarithmic_axis_that_holds_every_value(
    figures: dict[str, go.Figure],
) -> None:
    axis = figures["latency"].layout.yaxis
    assert axis.type == "log"
    values = [v for t in figures["latency"].data for v in t.y]
    assert 10 ** axis.range[0] <= min(values)
    assert max(values) <= 10 ** axis.range[1] * 1.0001


def test_a_run_that_is_not_valid_is_drawn_hollow(run: Run) -> None:
    prediction = run.read(Prediction)
    cells = [
        cell.model_copy(update={"valid": cell.load_per_s < 100}) for cell in run.read_comparison()
    ]
    drawn = charts.latency_against_load(cells, prediction.curve, 0.2, prediction.local, "here")
    symbols = traces(drawn, "markers")[0].marker.symbol
    assert [symbol.endswith("-open") for symbol in symbols] == [False, False, False, True]


def test_the_objective_is_a_line_named_in_the_figure(figures: dict[str, go.Figure]) -> None:
    for name in ("latency", "production"):
        texts = [note.text for note in figures[name].layout.annotations]
        assert "objective: p95 ≤ 200 ms" in texts
        assert any(shape.y0 == shape.y1 == 200.0 for shape in figures[name].layout.shapes)
    assert "objective 75 %" in [n.text for n in figures["hit ratio"].layout.annotations]


def test_series_differ_in_symbol_and_dash_and_not_in_colour_alone() -> None:
    for looks in (LOOKS.values(), COMPONENT_LOOKS):
        assert len({look.symbol for look in looks}) == len(looks)
        assert len({look.dash for look in looks}) == len(looks)


def test_components_are_shown_the_busiest_first_and_named_at_their_lines(
    figures: dict[str, go.Figure],
) -> None:
    assert [note.text for note in figures["use"].layout.annotations] == ["host", "api", "mongo"]
    assert charts.utilisation_against_load(()).layout.meta["rows"] == []


def test_the_binding_component_is_named_in_words(figures: dict[str, go.Figure]) -> None:
    bars = figures["utilisation"].data[0]
    assert [text for text in bars.text if "binds" in text] == ["86 %, binds"]
    assert bars.y[-1] == "api"  # drawn on top


def test_hit_ratios_have_a_panel_for_each_family_and_all_together_last(
    figures: dict[str, go.Figure],
) -> None:
    titles = [note.text for note in figures["hit ratio"].layout.annotations][:4]
    assert titles == ["favourites", "listing", "search", "all families"]


def test_no_figure_holds_a_value_that_is_not_finite(figures: dict[str, go.Figure]) -> None:
    for name, figure in figures.items():
        for trace in figure.data:
            for values in (trace.x, trace.y):
                numbers = [v for v in values if isinstance(v, int | float)]
                assert all(math.isfinite(v) for v in numbers), name


def test_a_scenario_without_cache_or_valid_cells_still_draws() -> None:
    assert charts.hit_ratios((), None).layout.meta["rows"] == []
    assert charts.model_errors(()).layout.meta["rows"] == []
    nothing = ComparedCell(
        metric="error_fraction",
        load_per_s=10,
        predicted=0,
        predicted_low=0,
        predicted_high=0,
        measured=0,
        measured_low=0,
        measured_high=0,
        error_fraction=None,
        valid=False,
    )
    assert charts.model_errors([nothing]).layout.meta["rows"] == []


def test_a_capacity_of_zero_is_drawn_without_a_place_on_the_logarithmic_axis(run: Run) -> None:
    prediction = run.read(Prediction)
    none = prediction.production.model_copy(update={"load_per_s": Estimate.exact(0.0)})
    drawn = charts.production_latency(
        prediction.production_curve, 0.2, none, run.read(Verdict).peak_per_s
    )
    assert not any("limit" in note.text for note in drawn.layout.annotations)
    assert all(math.isfinite(edge) for edge in drawn.layout.xaxis.range)


def test_ticks_of_a_logarithmic_axis_enclose_the_values_in_steps_of_1_2_5() -> None:
    assert log_ticks(3, 60) == [2, 5, 10, 20, 50, 100]
    assert log_ticks(0.004, 0.004) == [0.002, 0.005]
    assert log_ticks(10, 10)[0] <= 10 <= log_ticks(10, 10)[-1]


def test_the_frontier_names_its_answer_and_the_design(
    run: Run, figures: dict[str, go.Figure]
) -> None:
    plan = run.read(PlanArtefact)
    line = next(t for t in figures["frontier"].data if t.name == "frontier")
    assert list(line.x) == [plan.candidates[p].usd_per_month.value for p in plan.frontier]
    texts = [note.text for note in figures["frontier"].layout.annotations]
    assert "the design" in texts
    assert "objective: p95 ≤ 200 ms" in texts
    assert len(texts) == 3


def test_only_what_was_measured_is_drawn_as_filled_points(figures: dict[str, go.Figure]) -> None:
    of_models = ("production", "growth", "credits", "cost", "frontier", "what ifs", "tornado")
    for name in of_models:
        for trace in figures[name].data:
            if isinstance(trace, go.Scatter) and "markers" in trace.mode:
                assert trace.marker.symbol.endswith("-open"), (name, trace.name)


def test_the_change_of_a_what_if_is_drawn_with_its_range_and_the_objective(run: Run) -> None:
    found = run.read(WhatIfArtefact)
    drawn = charts.what_if_latencies(found, 0.2)
    growth = next(effect for effect in found.effects if effect.name == "growth").p95_s
    after = next(trace for trace in drawn.data if trace.name == "after")
    assert growth.before is not None
    assert growth.after is not None
    assert growth.high is not None
    assert after.x[0] == pytest.approx(growth.after * 1000)
    upper = after.x[0] + after.error_x.array[0]
    assert upper == pytest.approx(max(growth.before + growth.high, growth.after) * 1000)
    assert "objective: p95 ≤ 200 ms" in [note.text for note in drawn.layout.annotations]


def test_the_halves_of_a_tornado_differ_by_hatching_and_not_by_colour_alone(
    figures: dict[str, go.Figure],
) -> None:
    low, high = figures["tornado"].data
    assert (low.marker.pattern.shape or "") != high.marker.pattern.shape


def test_a_tornados_bars_end_at_the_figures_of_both_ends(
    run: Run, figures: dict[str, go.Figure]
) -> None:
    record = run.read(WhatIfArtefact).tornado["p95_s"]
    low, high = figures["tornado"].data
    bar = record.bars[0]
    assert bar.at_low is not None
    assert bar.at_high is not None
    assert low.base + low.x[0] == pytest.approx(bar.at_low * 1000)
    assert high.base + high.x[0] == pytest.approx(bar.at_high * 1000)


def test_each_part_of_a_growing_bill_is_drawn_at_its_own_dollars(
    run: Run, figures: dict[str, go.Figure]
) -> None:
    points = run.read(LoadCost).growth
    drawn = {trace.name: trace for trace in figures["growth"].data}
    parts = {name.replace("_", " ") for name, usd in points[-1].usd.items() if usd}
    assert parts | {"total"} == set(drawn) - {None}
    assert list(drawn["total"].y) == [point.total_usd.value for point in points]
    compute = drawn["compute"]
    assert list(compute.x) == [point.load_per_s for point in points]
    assert list(compute.y) == [point.usd["compute"] for point in points]


def test_a_credit_balance_is_drawn_along_the_hours_of_the_curve(
    run: Run, figures: dict[str, go.Figure]
) -> None:
    found = credits_of(run)
    (line,) = figures["credits"].data
    assert (tuple(line.x), tuple(line.y)) == (found.hours, found.balance)
    assert found.hours[-1] == 24.0
