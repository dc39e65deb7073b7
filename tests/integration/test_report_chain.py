"""The whole chain as a user runs it: interrupted, gone on with, judged; and killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from stack_footprint import Footprint

from headroom.artefacts import Calibration, Prediction, Run, Summary, Verdict, sha256_of
from headroom.plan_records import PlanArtefact
from headroom.whatif import WhatIfArtefact
from stack.local import status

pytestmark = pytest.mark.alone

REPOSITORY = Path(__file__).parents[2]
HEADROOM = Path(sys.executable).with_name("headroom")
EXIT_CODE = {"PASS": 0, "FAIL": 1, "INVALID": 3}
SCENARIO = """
name: tiny
question: Does the chain hold together?
workload:
  registered_users: 100000
  daily_active_fraction: 0.10
  requests_per_session: 5
  mix: {{list: 0.5, detail: 0.3, search: 0.2}}
  catalogue:
    {{products: 400, users: 40, categories: 5, pages_per_category: 4, search_queries: 40}}
topology:
  api: {{replicas: 2}}
  cache: {{memory_mib: 64, families: {{listing: {{ttl_s: 10}}}}}}
  database: {{members: 1}}
  search: {{engine: {engine}}}
objectives: {{p95_s: 0.5, availability_fraction: 0.99, error_fraction: 0.05}}
plan: {{futures: 50, space: {{api_replicas: [1, 2], cache_nodes: [1], search_nodes: [1]}}}}
experiment: {{loads_per_s: [5, 10, 15, 20], cell_s: 5, warmup_s: 1, repeats: 1, seed: 7}}
"""


@dataclass
class Started:
    """A `headroom` that runs, with what it has said."""

    process: subprocess.Popen[str]
    said: list[str]

    def read_until(self, part: str) -> str:
        """The first line of progress that holds `part`."""
        for line in self.stderr:
            self.said.append(line.rstrip("\n"))
            if part in line:
                return line
        pytest.fail(f"{part!r} was never said, but:\n" + "\n".join(self.said))

    @property
    def stderr(self) -> IO[str]:
        assert self.process.stderr is not None
        return self.process.stderr

    def run(self) -> Run:
        """The run that it made."""
        return Run.open(Path(self.read_until("  run ").split("  run ")[1].strip()))

    def footprint(self, run: Run) -> Footprint:
        """What its stack occupies."""
        return Footprint.of(status(REPOSITORY / ".headroom" / "stacks" / run.folder.name))

    def end(self, timeout_s: float = 60) -> int:
        """Its exit code; what it still said is kept."""
        _, rest = self.process.communicate(timeout=timeout_s)
        self.said += rest.splitlines()
        return self.process.returncode


@contextlib.contextmanager
def headroom(*arguments: str | Path) -> Iterator[Started]:
    """`headroom` in a process group of its own, killed if the block leaves it running."""
    process = subprocess.Popen(
        [HEADROOM, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield Started(process, [])
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def scenario_file(folder: Path, engine: str) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(SCENARIO.format(engine=engine), encoding="utf-8")
    return path


@dataclass(frozen=True)
class Finished:
    """A run that was interrupted when it began to predict, and then gone on with."""

    run: Run
    interrupted_code: int
    interrupted_said: list[str]
    left: list[str]
    calibration_sha256: str
    code: int
    output: str


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, elasticsearch_home: Path) -> Finished:
    folder = tmp_path_factory.mktemp("chain")
    path = scenario_file(folder, "elasticsearch")
    with headroom("report", path, "--runs", folder, "--fail-on", "objective") as first:
        run = first.run()
        first.read_until("predicting")
        footprint = first.footprint(run)
        first.process.send_signal(signal.SIGINT)
        interrupted_code = first.end()
    left = footprint.left()
    calibration_sha256 = run.sha256(Calibration)
    second = subprocess.run(
        [HEADROOM, "report", "--run", run.folder, "--fail-on", "objective"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.has(Verdict), second.stderr
    return Finished(
        run=run,
        interrupted_code=interrupted_code,
        interrupted_said=first.said,
        left=left,
        calibration_sha256=calibration_sha256,
        code=second.returncode,
        output=second.stdout,
    )


def test_ctrl_c_ends_the_chain_with_130_and_leaves_nothing_running(finished: Finished) -> None:
    assert finished.interrupted_code == 130
    assert finished.left == []


def test_ctrl_c_says_in_plain_lines_how_to_go_on(finished: Finished) -> None:
    assert any(
        f"headroom report --run {finished.run.folder}" in x for x in finished.interrupted_said
    )
    assert "Traceback" not in "\n".join(finished.interrupted_said)


def test_an_interrupted_run_goes_on_without_calibrating_again(finished: Finished) -> None:
    assert finished.run.sha256(Calibration) == finished.calibration_sha256
    assert finished.run.read(Prediction).calibration_sha256 == finished.calibration_sha256


def test_the_last_line_is_the_path_of_the_report(finished: Finished) -> None:
    path = Path(finished.output.splitlines()[-1])
    assert path == finished.run.folder / "report.html"
    assert path.stat().st_size > 0


def test_the_exit_code_is_that_of_the_verdict(finished: Finished) -> None:
    found = finished.run.read(Verdict)
    assert finished.code == EXIT_CODE[found.status]
    assert found.status in finished.output


def test_the_prediction_is_older_than_the_first_measurement(finished: Finished) -> None:
    summary = finished.run.read(Summary)
    first = min(cell.started_at for cell in summary.cells)
    assert finished.run.read(Calibration).created_at < finished.run.read(Prediction).created_at
    assert finished.run.read(Prediction).created_at < first
    assert summary.prediction_sha256 == sha256_of(finished.run.folder / "prediction.json")


def test_the_plan_and_the_what_ifs_stand_on_the_runs_own_calibration(finished: Finished) -> None:
    plan, effects = finished.run.read(PlanArtefact), finished.run.read(WhatIfArtefact)
    assert not plan.demands_assumed
    assert not effects.demands_assumed
    assert plan.candidates
    assert {effect.name for effect in effects.effects} >= {"growth", "lost_primary", "price"}


def test_every_load_was_measured_and_compared(finished: Finished) -> None:
    summary = finished.run.read(Summary)
    assert summary.complete
    loads = {5.0, 10.0, 15.0, 20.0}
    assert {cell.load_per_s for cell in summary.cells} == loads
    compared = finished.run.read_comparison()
    for metric in ("mean_s", "p50_s", "p95_s", "p99_s", "throughput_per_s", "utilisation.api"):
        assert {cell.load_per_s for cell in compared if cell.metric == metric} == loads
    assert {cell.metric for cell in compared} >= {"hit_ratio.listing", "error_fraction"}


def test_what_is_compared_is_named_as_others_read_it(finished: Finished) -> None:
    rows = json.loads((finished.run.folder / "comparison.json").read_text(encoding="utf-8"))
    for row in rows:
        assert sorted(row) == [
            "error_fraction",
            "load_per_s",
            "measured",
            "measured_high",
            "measured_low",
            "metric",
            "predicted",
            "predicted_high",
            "predicted_low",
            "valid",
        ]


def test_the_stack_of_a_finished_run_is_gone(finished: Finished) -> None:
    assert not (REPOSITORY / ".headroom" / "stacks" / finished.run.folder.name).exists()


def test_kill_9_leaves_nothing_running_either(tmp_path: Path) -> None:
    path = scenario_file(tmp_path, "mongo_text")
    with headroom("report", path, "--runs", tmp_path) as started:
        run = started.run()
        started.read_until("calibrating")
        footprint = started.footprint(run)
        started.process.kill()
        assert started.end() == -signal.SIGKILL
    assert footprint.left() == []
    assert not run.has(Calibration)
