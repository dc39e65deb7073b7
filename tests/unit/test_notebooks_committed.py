"""The question notebooks as committed: executed in order, small, of no particular machine."""

import re
from pathlib import Path

import nbformat
import pytest

from headroom.notebooks import LIMIT_BYTES, questions

QUESTIONS = questions()
# Bill and ledger quote the document's figures in their prose, and assert them cell by cell.
CHECKED = [path for path in QUESTIONS if not path.stem.startswith(("07_", "09_"))]


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


ORDER = (
    "00_start_here",
    "01_what_one_request_costs",
    "02_cache_hit_ratio",
    "03_latency_under_load",
    "04_assignment_against_production",
    "05_what_breaks_first",
    "06_failover_and_cold_cache",
    "07_price_of_a_million_users",
    "08_flash_crowd",
    "10_your_own_system",
)


def test_there_is_a_notebook_for_each_question_in_reading_order() -> None:
    names = [path.stem for path in QUESTIONS]
    assert [name for name in names if name in ORDER] == list(ORDER)


@pytest.mark.parametrize("path", CHECKED, ids=lambda path: path.stem)
def test_every_figure_of_the_stated_answer_is_asserted_by_the_notebook(path: Path) -> None:
    """A figure of the answer stands, as itself or as a share, in the cell that checks it."""
    cells = nbformat.read(path, as_version=4).cells
    answer = re.search(r"\*\*Answer\.\*\*(.*?)(?:\n\n|$)", cells[0].source, re.DOTALL)
    assert answer is not None
    checks = [c.source for c in cells if "answer" in c.metadata.get("tags", [])]
    assert len(checks) == 1
    assert checks[0].count("assert ") >= 2
    asserted = {float(text) for text in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", checks[0])}
    for figure in figures(answer[1]):
        scaled = {round(figure * scale, 9) for scale in (1, 1e-2, 1e-3)}
        assert scaled & asserted, f"{figure:g} is stated and not asserted"


@pytest.mark.parametrize("path", CHECKED, ids=lambda path: path.stem)
def test_prose_between_the_cells_holds_no_figure_that_nobody_computed(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    for cell in cells[1:-1]:
        if cell.cell_type == "markdown":
            assert figures(cell.source) == [], cell.source


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_a_question_notebook_ends_with_what_to_change(path: Path) -> None:
    last = nbformat.read(path, as_version=4).cells[-1]
    assert last.cell_type == "markdown"
    assert last.source.startswith("**Change this and run again:**")


def figures(text: str) -> list[float]:
    """Numbers of a text; not those in code, nor in names such as p95."""
    said = re.sub(r"`[^`]*`", "", text).replace(",", "")
    return [float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", said)]
