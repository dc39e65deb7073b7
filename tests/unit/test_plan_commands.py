"""`headroom plan` and `headroom whatif`: what they print, store and refuse."""

import json
from pathlib import Path

import click
import plan_cases as cases
import pytest
from typer.testing import CliRunner

from headroom.artefacts import Run
from headroom.cli import app
from headroom.plan import example_demands, plan_artefact, planned
from headroom.plan_records import PlanArtefact
from headroom.plan_tables import (
    answer_rows,
    breaking_rows,
    frontier_rows,
    input_rows,
    rejected_rows,
    sentences,
)
from headroom.whatif import WhatIfArtefact
from sim.cost import price_book
from sim.errors import InvalidScenario
from sim.plan import plan
from sim.scenario_file import dump_yaml


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(dump_yaml(cases.scenario(p95_s=0.1, availability=0.95)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def stored() -> PlanArtefact:
    return planned(cases.scenario(p95_s=0.05), cases.measured(), lambda _line: None)


def run_of(folder: Path) -> Run:
    (found,) = folder.iterdir()
    return Run.open(found)


def test_a_plan_is_printed_stored_and_read_back(file: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    result = CliRunner().invoke(
        app, ["plan", str(file), "--runs", str(runs), "--futures", "20", "--json"]
    )
    assert result.exit_code == 0, result.output
    found = run_of(runs).read(PlanArtefact)
    assert json.loads(result.stdout)["seed"] == found.seed == 5
    assert found.futures == 20
    assert found.demands_assumed
    assert found.chosen is not None
    assert "Buy " in result.stderr
    assert "ASSUMPTION" in result.stderr
    assert found.stale
    assert "Old prices, or of unknown date" in " ".join(result.stderr.split())


def test_what_ifs_are_printed_stored_and_read_back(file: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    result = CliRunner().invoke(
        app, ["whatif", str(file), "price", "growth", "region", "--runs", str(runs)]
    )
    assert result.exit_code == 0, result.output
    found = run_of(runs).read(WhatIfArtefact)
    assert [each.name for each in found.effects] == ["price", "growth", "region"]
    assert set(found.tornado) == {"p95_s", "headroom_fraction", "usd_per_month"}
    assert "price of database" in result.stdout
    # The shop's own database, M30, has an undated price in the book.
    assert any("M30" in price and "not known" in price for price in found.stale)
    assert "Old prices, or of unknown date" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "FILE", "--futures", "0"], "plan.futures: 0 is not allowed"),
        (["plan", "FILE", "--survive", "flood"], "plan.survive: 'flood' is not allowed"),
        (["plan", "FILE", "--confidence", "1"], "plan.confidence_fraction: 1.0 is not allowed"),
        (["whatif", "FILE", "flood"], "whatif: 'flood' is not allowed"),
    ],
)
def test_what_cannot_be_asked_is_one_clear_error(
    file: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    given = [str(file) if word == "FILE" else word for word in arguments]
    result = CliRunner().invoke(app, [*given, "--runs", str(tmp_path / "runs")])
    assert isinstance(result.exception, InvalidScenario)
    assert message in str(result.exception)
    assert len(result.exception.problems) == 1


def test_a_size_goes_with_one_change(file: Path) -> None:
    result = CliRunner().invoke(app, ["whatif", str(file), "--size", "2"])
    assert result.exit_code == 2
    assert click.unstyle(result.output).count("--size goes with one change") == 1


def test_every_rejected_architecture_is_stored_with_its_reason(stored: PlanArtefact) -> None:
    assert stored.chosen is not None
    for place, candidate in enumerate(stored.candidates):
        reasons = (candidate.miss is not None, candidate.dearer_usd is not None)
        assert sum(reasons) == 1
        assert (candidate.dearer_usd == 0) == (place == stored.chosen)


def test_the_tables_show_answer_frontier_reasons_and_assumptions(stored: PlanArtefact) -> None:
    assert stored.chosen is not None
    text = " ".join(sentences(stored))
    assert stored.candidates[stored.chosen].architecture in text
    assert "registered users" in text
    assert "Twice the users" in text
    assert any("chosen" in row[0] for row in answer_rows(stored))
    assert len(frontier_rows(stored)) == len(stored.frontier)
    assert any("off by" in row[2] for row in rejected_rows(stored))
    assert breaking_rows(stored, stored.chosen)
    assert any("assumption" in row[3] for row in input_rows(stored))


def test_no_candidate_at_all_is_stored_with_its_reason(tmp_path: Path) -> None:
    scenario = cases.scenario(space="{purchases: []}")
    found = plan_artefact(plan(scenario, cases.measured(), price_book("2026-07")))
    run = Run.create(tmp_path, scenario)
    run.write(found)
    again = run.read(PlanArtefact)
    assert again.candidates == ()
    assert "plan.space.purchases lists nothing" in " ".join(sentences(again))


def test_the_shipped_calibration_says_that_it_is_an_example() -> None:
    found = example_demands()
    assert found.assumed
    assert "example" in found.measured_on
    assert set(found.spread.values()) == {(0.5, 2.0)}
