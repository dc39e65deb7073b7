"""The tables of the report: what they say, and that nothing from a file can act as markup."""

import re
from pathlib import Path

import pytest
from example_run import example_run

from headroom import provenance, sections
from headroom.artefacts import (
    BillArtefact,
    Calibration,
    Estimate,
    Prediction,
    Run,
    Summary,
    Verdict,
)
from headroom.variants import variant
from sim.errors import InvalidScenario


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return example_run(tmp_path_factory.mktemp("runs"))


def text(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def rows(html: str) -> list[str]:
    return [text(row) for row in re.findall(r"<tr>.*?</tr>", html)]


def test_the_banner_holds_status_sentence_figures_and_three_actions(run: Run) -> None:
    verdict = run.read(Verdict)
    banner = sections.verdict_banner(verdict, run.scenario)
    assert verdict.status in text(banner)
    assert run.scenario.question in text(banner)
    assert banner.count("<li>") == 3
    assert banner.count('class="tile"') == 6


def test_markup_in_a_scenario_or_an_artefact_is_shown_and_not_executed(run: Run) -> None:
    evil = '<img src=x onerror="alert(1)">'
    verdict = run.read(Verdict).model_copy(
        update={"sentence": evil, "bound_by": evil, "actions": (evil,)}
    )
    scenario = run.scenario.model_copy(update={"question": evil})
    banner = sections.verdict_banner(verdict, scenario)
    assert "<img" not in banner
    assert "&lt;img" in banner
    assert "<img" not in sections.table(("a",), [(evil,)], total=(evil,))


def test_every_objective_has_a_row_with_target_and_status(run: Run) -> None:
    verdict = run.read(Verdict)
    body = rows(sections.objectives(verdict))[1:]
    assert len(body) == len(verdict.objectives)
    for row, objective in zip(body, verdict.objectives, strict=True):
        assert objective.status in row
        assert objective.name in row


def test_the_validity_table_says_which_run_does_not_count_and_why(run: Run) -> None:
    html = sections.validity(run.read(Summary))
    invalid = [row for row in rows(html) if "INVALID" in row]
    assert len(invalid) == 1
    assert "steal 14 % is over 2 %" in invalid[0]
    assert "7 of 8 runs count" in text(html)


def test_an_interrupted_measurement_is_named_as_such(run: Run) -> None:
    partial = run.read(Summary).model_copy(update={"complete": False})
    assert "interrupted" in text(sections.validity(partial))


def test_the_cost_table_shows_975_the_repriced_total_and_their_difference(run: Run) -> None:
    total = rows(sections.stated_and_repriced(run.read(BillArtefact)))[-1]
    assert "$975.00" in total
    assert "$815.78" in total
    assert "−$159.22" in total  # 815.78 − 975


def test_every_priced_line_has_its_source_in_the_report(run: Run) -> None:
    bill = run.read(BillArtefact)
    shown = sections.price_sources(bill)
    assert shown.count("<tr>") == len(bill.lines) + 1
    assert "infracost" in shown


def test_errors_are_summed_up_over_valid_loads_only(run: Run) -> None:
    cells = [
        cell.model_copy(update={"predicted": cell.measured * (1 + error), "valid": valid})
        for cell, error, valid in zip(
            [c for c in run.read_comparison() if c.metric == "p95_s"],
            (0.02, -0.04, 0.06, 5.0),
            (True, True, True, False),
            strict=True,
        )
    ]
    row = rows(sections.error_summary(cells))[1]
    assert "4.0 %" in row  # the median of 2, 4 and 6 %
    assert "6.0 %" in row
    assert "500" not in row


def test_errors_of_shares_are_percentage_points(run: Run) -> None:
    cells = [
        cell.model_copy(update={"predicted": cell.measured + 0.03})
        for cell in run.read_comparison()
        if cell.metric == "hit_ratio.all"
    ]
    assert rows(sections.error_summary(cells))[1].count("3.0 pp") == 2


def test_one_server_more_than_the_peak_needs_is_asked_of_the_design(run: Run) -> None:
    prediction, verdict = run.read(Prediction), run.read(Verdict)
    assert "the design holds it" in sections.scaling(run.scenario, prediction, verdict)
    many = prediction.model_copy(update={"replicas_for_peak": 3})
    assert "does not hold it" in sections.scaling(run.scenario, many, verdict)


def test_the_order_of_prediction_and_measurement_is_checked_by_time_and_hash(run: Run) -> None:
    assert provenance.blindness(run).count("✓ PASS") == 3


def test_a_prediction_changed_after_the_fact_is_shown_as_such(tmp_path: Path) -> None:
    forged = example_run(tmp_path)
    prediction = forged.read(Prediction)
    forged.write(prediction.model_copy(update={"seed": prediction.seed + 1}))
    failed = [row for row in rows(provenance.blindness(forged)) if "FAIL" in row]
    assert len(failed) == 1
    assert "the one that was hashed then" in failed[0]


def test_a_prediction_made_after_the_first_measurement_is_shown_as_such(tmp_path: Path) -> None:
    late = example_run(tmp_path)
    summary = late.read(Summary)
    after = max(cell.finished_at for cell in summary.cells)
    late.write(summary.model_copy(update={"prediction_at": after}))
    failed = [row for row in rows(provenance.blindness(late)) if "FAIL" in row]
    assert len(failed) == 1
    assert "older than the first measurement" in failed[0]


def test_a_load_that_the_calibration_saw_is_shown_as_such(tmp_path: Path) -> None:
    seen = example_run(tmp_path)
    calibration = seen.read(Calibration)
    seen.write(calibration.model_copy(update={"load_per_s": 15.0}))
    assert "FAIL" in provenance.blindness(seen)


def test_ranges_are_given_once_with_their_unit() -> None:
    line = sections.table(("x",), [(sections.Html("<b>1</b>"), "<b>")])
    assert "<b>1</b>" in line
    assert "&lt;b&gt;" in line
    assert sections.spaced("5% of 20%") == "5\u00a0% of 20\u00a0%"


def test_a_variant_changes_what_is_named_and_is_validated(run: Run) -> None:
    changed = variant(run.scenario, {"topology.api.replicas": 9})
    assert changed.topology.api.replicas == 9
    assert changed.workload == run.scenario.workload
    with pytest.raises(InvalidScenario, match=r"topology\.api\.replicas: 0"):
        variant(run.scenario, {"topology.api.replicas": 0})
    for unknown in ("nothing.here", "topology.api.nonsense", "name.first"):
        with pytest.raises(InvalidScenario):
            variant(run.scenario, {unknown: 1})


def test_steady_hit_ratios_name_ttl_and_family_with_the_total_last(run: Run) -> None:
    body = rows(sections.steady_hit_ratios(run.scenario, run.read(Prediction)))
    assert "listing" in body[1]
    assert "300 s" in body[1]
    assert "all families" in body[-1]
    exact = run.read(Prediction).model_copy(update={"steady_hit_ratio": {"all": Estimate.exact(1)}})
    assert "100 %" in sections.steady_hit_ratios(run.scenario, exact)
