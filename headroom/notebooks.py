"""Run the question notebooks in place: `python -m headroom.notebooks [NAME…]`."""

import sys
from pathlib import Path

import nbformat

from headroom.artefacts import replacing
from headroom.console import say
from headroom.errors import RenderError
from headroom.render import ROOT, executed_notebook

LIMIT_BYTES = 500_000  # of a committed notebook
CELL_LIMIT_S = 240


def questions() -> tuple[Path, ...]:
    """The question notebooks, in reading order."""
    return tuple(sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")))


def run_in_place(path: Path) -> None:
    """Execute a notebook and store it with its outputs, stripped of times and machine paths.

    Raises: RenderError when a cell fails, or when the notebook grows too big to be committed.
    """
    scratch = ROOT / "runs" / "notebooks" / path.name
    notebook = executed_notebook(path, scratch, {}, cell_timeout_s=CELL_LIMIT_S)
    for name in set(notebook.metadata) - {"kernelspec", "language_info"}:
        del notebook.metadata[name]
    for name in set(notebook.metadata["language_info"]) - {"name"}:
        del notebook.metadata["language_info"][name]
    for cell in notebook.cells:
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if cell.metadata.get("tags") == []:
            del cell.metadata["tags"]
    text: str = nbformat.writes(notebook) + "\n"  # type: ignore[no-untyped-call]
    if len(text.encode()) > LIMIT_BYTES:
        raise RenderError(f"{path.name} has {len(text):,} bytes; allowed: {LIMIT_BYTES:,}")
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main(names: list[str]) -> int:
    """Run all question notebooks, or those whose file names begin with one of `names`."""
    for path in questions():
        if not names or path.name.startswith(tuple(names)):
            say(f"{path.name} …")
            try:
                run_in_place(path)
            except RenderError as error:
                say(str(error))
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
