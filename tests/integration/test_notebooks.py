"""The question notebooks under nbmake, on the live stack; each asserts the answer it states.

The first one is run in a browser (test_lab.py). Notebooks that ask of the small stack find one that
was left running, as after `headroom up laptop`; those that drive no stack run meanwhile.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from headroom.arguments import scenario_at
from headroom.live import stack_spec
from headroom.notebooks import questions
from headroom.render import executed_notebook
from stack.local import stack_folder, start_detached, stop

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
CLAIMS = ROOT / "notebooks" / "09_claims_of_the_design_document.ipynb"
TRIED = ["skip-is-slow", "cursor-is-quicker", "cached-is-quicker", "edge-ten-times-here"]
QUESTIONS = [p for p in questions() if not p.stem.startswith("00_") and p != CLAIMS]
LIMIT_S = 240  # of a cell


def drives_a_stack(path: Path) -> bool:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return any(word in text for word in ("hr.stack(", "live="))


@pytest.fixture(scope="module")
def left_running(elasticsearch_home: Path) -> Iterator[None]:
    folder = stack_folder("notebooks")
    spec = stack_spec(scenario_at("laptop"), name="notebooks")
    start_detached(spec, folder, elasticsearch_home=elasticsearch_home)
    yield
    stop(folder)


def started(paths: Sequence[Path], report: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "pytest", "--nbmake", f"--nbmake-timeout={LIMIT_S}", "-q"]
    command += ["-p", "no:cacheprovider", "--override-ini=addopts=", f"--junitxml={report}"]
    with report.with_suffix(".log").open("wb") as log:
        return subprocess.Popen([*command, *map(str, paths)], cwd=ROOT, stdout=log, stderr=log)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, left_running: None) -> dict[str, str]:
    """What became of each notebook: empty when it passed, else what it said."""
    folder = tmp_path_factory.mktemp("nbmake")
    halves = {
        name: [path for path in QUESTIONS if drives_a_stack(path) is driving]
        for name, driving in (("live", True), ("model", False))
    }
    processes = [started(paths, folder / f"{name}.xml") for name, paths in halves.items() if paths]
    for process in processes:
        process.wait(1500)
    found = {}
    for name in halves:
        for case in ElementTree.parse(folder / f"{name}.xml").iter("testcase"):
            faults = [*case.iter("failure"), *case.iter("error"), *case.iter("skipped")]
            notebook = f"{case.get('classname', '')} {case.get('name', '')}"
            found[notebook] = "".join(str(fault.text) for fault in faults)[-4000:]
    return found


@pytest.mark.timeout(1600)  # the first one waits for all
@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_a_question_notebook_runs_to_its_end_against_a_live_stack(
    path: Path, outcomes: dict[str, str]
) -> None:
    own = [said for notebook, said in outcomes.items() if path.stem in notebook]
    assert own == [""], own


def test_the_claims_notebook_tries_some_claims_live_and_judges_all(tmp_path: Path) -> None:
    """All its trials take minutes: here it is given four."""
    target = tmp_path / "claims.ipynb"
    found = executed_notebook(CLAIMS, target, {"tried": TRIED}, cell_timeout_s=LIMIT_S)
    (given,) = [c.source for c in found.cells if "injected-parameters" in c.metadata.tags]
    assert all(claim in given for claim in TRIED)
    text = " ".join(
        output.data["text/html"]
        for cell in found.cells
        for output in cell.get("outputs", [])
        if "text/html" in output.get("data", {})
    )
    # Trying the edge tells of two claims, its speed and what it keeps from the origin.
    assert f"{len(TRIED) + 1} were tried on live stacks of this machine" in text
