"""The question notebooks under nbmake: each starts a stack, drives Locust, asserts its answer."""

import subprocess
import sys
from pathlib import Path

import pytest

from headroom.notebooks import questions

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", questions(), ids=lambda path: path.stem)
def test_a_question_notebook_runs_to_its_end_against_a_live_stack(path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "--nbmake", "--nbmake-timeout=240", "-q"]
    command += ["-p", "no:cacheprovider", "--override-ini=addopts=", str(path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "1 passed" in done.stdout
