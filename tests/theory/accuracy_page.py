"""The tables of docs/accuracy.md, which the slow tests hold to what they find."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"


def row(name: str) -> list[float]:
    """The figures of the table row that begins with `name`."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == name:
            return [float(cell) for cell in cells[1:]]
    raise LookupError(f"{PAGE.name} has no row {name}")
