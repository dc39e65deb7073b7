"""The files of a run are written whole or not at all, and read back only when they are sound."""

import hashlib
import json
from pathlib import Path

import pytest
from example_run import example_run

from headroom.artefacts import (
    FILES,
    Calibration,
    Estimate,
    Experiments,
    JudgedLedger,
    Machine,
    Prediction,
    Run,
    Summary,
    replacing,
    sha256_of,
)
from headroom.errors import ArtefactError
from sim.scenario_file import load_scenario

LAPTOP = Path(__file__).parents[2] / "scenarios" / "laptop.yaml"
MACHINE = Machine(facts={"cpu": "invented"}, sha256="0" * 64)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path, load_scenario(LAPTOP))


def test_a_write_that_fails_leaves_the_old_content_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text("old", encoding="utf-8")

    def fail_midway() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half of the n", encoding="utf-8")
            assert path.read_text(encoding="utf-8") == "old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    assert path.read_text(encoding="utf-8") == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["figures.json"]


def test_a_write_that_succeeds_takes_the_place_of_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "figures.json"
    for text in ("first", "second"):
        with replacing(path) as temporary:
            assert temporary.parent == path.parent  # else the exchange would not be atomic
            temporary.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text
    assert [each.name for each in path.parent.iterdir()] == ["figures.json"]


def test_the_hash_of_an_artefact_is_that_of_its_bytes(run: Run) -> None:
    stored = run.write(MACHINE)
    content = (run.folder / "machine.json").read_bytes()
    assert stored == run.sha256(Machine) == hashlib.sha256(content).hexdigest()
    (run.folder / "machine.json").write_bytes(content.replace(b"invented", b"inventex"))
    assert run.sha256(Machine) != stored


def test_every_artefact_is_read_back_equal(tmp_path: Path) -> None:
    run = example_run(tmp_path)
    now = MACHINE.created_at
    run.write(
        Experiments(
            scenario_sha256="s", machine_sha256="m", started_at=now, seed=1, results={}, failed={}
        )
    )
    run.write(JudgedLedger(document="d", scenario="s", scenario_sha256="s", seed=1, claims=()))
    for kind in FILES:
        before = run.read(kind)
        sha256 = run.sha256(kind)
        assert run.write(before) == sha256
        assert run.read(kind) == before


def test_the_artefacts_of_a_run_name_each_other_by_hash(tmp_path: Path) -> None:
    run = example_run(tmp_path)
    assert run.read(Calibration).machine_sha256 == run.sha256(Machine)
    assert run.read(Prediction).calibration_sha256 == run.sha256(Calibration)
    assert run.read(Summary).prediction_sha256 == run.sha256(Prediction)
    assert run.scenario_sha256 == sha256_of(run.folder / "scenario.yaml")


def test_a_missing_artefact_is_named_with_the_step_that_writes_it(run: Run) -> None:
    assert not run.has(Prediction)
    with pytest.raises(ArtefactError) as caught:
        run.read(Prediction)
    assert str(run.folder / "prediction.json") in str(caught.value)
    assert "the step that writes prediction has not run" in str(caught.value)


def test_an_artefact_of_another_version_is_refused(run: Run) -> None:
    run.write(MACHINE)
    path = run.path(Machine)
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(ArtefactError, match=r"machine\.json: schema_version: .*should be 1"):
        run.read(Machine)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"facts": {}, "sha256": "0", "more": 1}'])
def test_a_broken_artefact_is_refused_by_its_path(run: Run, content: str) -> None:
    run.path(Machine).write_text(content, encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"machine\.json"):
        run.read(Machine)


def test_no_figure_of_an_artefact_may_be_not_a_number() -> None:
    with pytest.raises(ValueError, match="finite"):
        Estimate(value=float("nan"), low=0.0, high=1.0)


def test_two_runs_made_at_once_have_folders_of_their_own(tmp_path: Path) -> None:
    scenario = load_scenario(LAPTOP)
    runs = [Run.create(tmp_path, scenario) for _ in range(4)]
    assert len({run.folder for run in runs}) == 4
    assert all(Run.open(run.folder).scenario == scenario for run in runs)


def test_a_folder_without_a_scenario_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"is no run: it has no scenario\.yaml"):
        Run.open(tmp_path)


def test_a_comparison_is_a_plain_list_and_read_back_equal(tmp_path: Path) -> None:
    run = example_run(tmp_path)
    rows = json.loads((run.folder / "comparison.json").read_text(encoding="utf-8"))
    cells = run.read_comparison()
    assert [row["metric"] for row in rows] == [cell.metric for cell in cells]
    assert set(rows[0]) == {
        *("metric", "load_per_s", "predicted", "predicted_low", "predicted_high"),
        *("measured", "measured_low", "measured_high", "error_fraction", "valid"),
    }
