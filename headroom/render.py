"""A run as one HTML file that draws offline: papermill runs a notebook, nbconvert writes a page.

plotly.js travels inside the page, compressed; the browser inflates it. So nothing is fetched, and
the page stays under its size limit without a second source for a smaller bundle.
"""

import base64
import gzip
import html
import json
import logging
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbconvert.exporters import HTMLExporter
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from plotly.offline import get_plotlyjs
from traitlets.config import Config

from headroom.artefacts import Run, replacing
from headroom.charts.palette import exchanges
from headroom.errors import RenderError
from headroom.sections import table

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "report.ipynb"
TEMPLATES = ROOT / "reports" / "templates"
SIZE_LIMIT_BYTES = 3_000_000
CELL_TIMEOUT_S = 120
PLOTLY_MIME = "application/vnd.plotly.v1+json"

Progress = Callable[[int, int], None]  # cells done, cells in all


def render(run: Run, progress: Progress | None = None) -> Path:
    """Draw the report of a run; returns the path of `report.html` in its folder.

    Raises: RenderError when a cell fails (naming it), when the page would not draw offline, or when
        it grows past the size limit. The executed notebook stays in the run's folder either way.
    """
    executed = run.folder / "report.ipynb"
    notebook = executed_notebook(
        NOTEBOOK, executed, {"run_folder": str(run.folder.resolve())}, progress
    )
    page = page_of(notebook, run)
    check_page(page, figures=count_figures(notebook))
    target = run.folder / "report.html"
    with replacing(target) as path:
        path.write_text(page, encoding="utf-8")
    return target


def executed_notebook(
    source: Path,
    target: Path,
    parameters: Mapping[str, Any],
    progress: Progress | None = None,
    cell_timeout_s: int = CELL_TIMEOUT_S,
) -> nbformat.NotebookNode:
    """Run a notebook with parameters; every cell must succeed within its time.

    Raises: RenderError for a missing notebook, an unknown parameter, a failing or overlong cell.
    """
    if not source.is_file():
        raise RenderError(f"{source} is missing: run from a clone of the repository")
    known = papermill.inspect_notebook(_verbatim(source))
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise RenderError(
            f"{source.name} has no parameter {', '.join(unknown)}; it has {', '.join(known)}"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    quiet = logging.getLogger("papermill")
    before = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        executed: nbformat.NotebookNode = papermill.execute_notebook(
            _verbatim(source),
            _verbatim(target),
            parameters=dict(parameters),
            engine_name=_Engine.NAME,
            progress_bar=False,
            cwd=str(source.parent),  # where a notebook runs in JupyterLab as well
            execution_timeout=cell_timeout_s,
            on_cell=progress,
            # Sockets of the file system: other users of the machine cannot listen in.
            config=Config({"KernelManager": {"transport": "ipc"}}),
        )
    except PapermillExecutionError as error:
        first_line = str(error.source).strip().splitlines()[0] if error.source else ""
        raise RenderError(
            f"{source.name}, cell {error.cell_index}, `{first_line}`: {error.ename}: "
            f"{error.evalue}; the executed notebook is {target}"
        ) from error
    except TimeoutError as error:
        raise RenderError(
            f"{source.name}: a cell took longer than {cell_timeout_s} s; see {target}"
        ) from error
    finally:
        quiet.setLevel(before)
    return executed


class _Engine(NBClientEngine):  # type: ignore[misc]
    """papermill's own engine, telling the caller how many cells are done."""

    NAME = "headroom"

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, on_cell: Progress | None = None, **options: Any
    ) -> Any:
        cells = len(nb_man.nb.cells)
        completed = nb_man.cell_complete

        def cell_complete(cell: Any, cell_index: int | None = None, **more: Any) -> None:
            completed(cell, cell_index, **more)
            if on_cell is not None and cell_index is not None:
                on_cell(cell_index + 1, cells)

        nb_man.cell_complete = cell_complete
        return super().execute_managed_notebook(nb_man, kernel_name, **options)


papermill_engines.register(_Engine.NAME, _Engine)


def page_of(notebook: nbformat.NotebookNode, run: Run) -> str:
    """The HTML page of an executed notebook, with its figures and what draws them inside."""
    drawn = _with_figures_as_html(notebook)
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="capacity",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    scenario = run.scenario
    body, _ = exporter.from_notebook_node(
        drawn,
        resources={
            "report": {
                "title": f"Capacity report: {scenario.name}",
                "run": run.folder.name,
                "dark": json.dumps(exchanges()),
            }
        },
    )
    body, nav = _with_navigation(body)
    # Put in last: a template engine has no business with a megabyte of base64.
    return body.replace("<!--nav-->", nav).replace("<!--plotly-->", _packed_plotly())


def _with_navigation(body: str) -> tuple[str, str]:
    """The page with an id on each section, and the links to them."""
    links = ['<a href="#verdict">Verdict</a>'] if 'id="verdict"' in body else []

    def identified(found: re.Match[str]) -> str:
        title = found[1]
        anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        links.append(f'<a href="#{anchor}">{title}</a>')
        return f'<h2 id="{anchor}">{title}</h2>'

    return re.sub(r"<h2>(.*?)</h2>", identified, body), "".join(links)


def _packed_plotly() -> str:
    packed = gzip.compress(get_plotlyjs().encode(), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode()


def _with_figures_as_html(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy in which every plotly output is a figure element with its data and a table."""
    copy: nbformat.NotebookNode = deepcopy(notebook)
    number = 0
    for cell in copy.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if PLOTLY_MIME in data:
                number += 1
                output["data"] = {"text/html": _figure_html(data[PLOTLY_MIME], number)}
    return copy


def _figure_html(figure: Mapping[str, Any], number: int) -> str:
    meta = figure["layout"].get("meta", {})
    # "<" written as an escape cannot end the script element that carries the data.
    data = json.dumps({"data": figure["data"], "layout": figure["layout"]}).replace("<", "\\u003c")
    height = int(figure["layout"].get("height", 400))
    caption = html.escape(str(meta.get("caption", "")))
    alternative = html.escape(str(meta.get("alternative", "")), quote=True)
    rows = table(meta.get("columns", ()), meta.get("rows", ()))
    return (
        f'<figure class="chart"><div class="plot" id="figure-{number}" role="img" '
        f'aria-label="{alternative}" style="min-height:{height}px"></div>'
        f'<script type="application/json" data-figure="figure-{number}">{data}</script>'
        f"<figcaption>{caption}</figcaption>"
        f'<details class="data" open><summary>Data of this figure</summary>{rows}</details>'
        "</figure>"
    )


def count_figures(notebook: nbformat.NotebookNode) -> int:
    """Plotly figures among the outputs of a notebook."""
    return sum(
        PLOTLY_MIME in output.get("data", {})
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )


_EXTERNAL = re.compile(
    r"""(?:\b(?:src|href|srcset|poster|action)\s*=\s*["']?|url\(\s*["']?|@import\s+["']?)"""
    r"""\s*(?:https?:)?//""",
    re.IGNORECASE,
)


def check_page(page: str, figures: int) -> None:
    """Raise RenderError unless the page holds its figures, fetches nothing and is small enough."""
    found = page.count('data-figure="figure-')
    if found != figures or figures == 0:
        raise RenderError(f"the report holds {found} figures, its notebook drew {figures}")
    outside = _EXTERNAL.search(page)
    if outside:
        raise RenderError(f"the report would fetch from outside: {outside.group(0)!r}")
    size = len(page.encode())
    if size > SIZE_LIMIT_BYTES:
        raise RenderError(f"the report has {size:,} bytes; allowed: {SIZE_LIMIT_BYTES:,}")


def _verbatim(path: Path) -> str:
    """A path that papermill's own formatting leaves as it is, braces included."""
    return str(path).replace("{", "{{").replace("}", "}}")
