"""The question notebooks as committed: executed in order, small, of no particular machine."""

import re
from pathlib import Path

import nbformat
import pytest

from headroom.notebooks import LIMIT_BYTES, questions

QUESTIONS = questions()


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_a_question_notebook_begins_with_question_answer_and_run_time(path: Path) -> None:
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    for part in ("**Question.**", "**Answer.**", "**Run time**"):
        assert part in first.source


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_a_question_notebook_is_committed_executed_in_order_without_errors(path: Path) -> None:
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_a_question_notebook_is_small_and_thin_and_names_no_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) <= LIMIT_BYTES
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 25
            assert not re.search(r"import \*|sys\.path|pip install", cell.source)


def test_there_are_notebooks_for_latency_hit_ratio_and_price() -> None:
    names = " ".join(path.stem for path in QUESTIONS)
    assert all(word in names for word in ("latency", "hit_ratio", "price"))
