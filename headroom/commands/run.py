"""`headroom report`, `render`, `diff`, `summary`, `pdf`, `runs`: runs, and what is made of them."""

from pathlib import Path
from typing import Annotated

import typer

from headroom import chain, digest, steps
from headroom.arguments import RUNS, AsJson, RunFolder, ScenarioName, scenario_at
from headroom.artefacts import Run, Verdict
from headroom.console import figure, interrupt, output, say, show, show_json
from headroom.diff import markdown, run_diff
from headroom.diff.sentence import COLUMNS, rows
from headroom.gallery import write_index
from headroom.paper import printed

MISSED, INVALID = 1, 3
EXIT_CODES = {"PASS": 0, "FAIL": MISSED, "INVALID": INVALID}

SummaryFile = Annotated[
    Path | None, typer.Option("--summary", help="write a short one here, Markdown")
]
JunitFile = Annotated[
    Path | None, typer.Option("--junit", help="write the objectives here, JUnit XML")
]


def report(
    scenario: ScenarioName = "million-users",
    *,
    run: Annotated[Path | None, typer.Option(help="go on with this run instead")] = None,
    runs: Annotated[Path, typer.Option(help="where runs are kept")] = RUNS,
    fail_on: Annotated[
        str | None,
        typer.Option(help="objective: exit 1 when one is missed, 3 when the run is INVALID"),
    ] = None,
    summary: SummaryFile = None,
    junit: JunitFile = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="print it too, with Chromium")] = False,
    as_json: AsJson = False,
) -> None:
    """Calibrate, predict, measure, compare, price and render a scenario on the live stack."""
    if fail_on not in (None, "objective"):
        raise typer.BadParameter(f"{fail_on!r} is not allowed; allowed: objective")
    this = Run.open(run) if run else Run.create(runs, scenario_at(scenario))
    say(f"run {this.folder}")
    try:
        path = chain.report(this, say)
    except KeyboardInterrupt:
        interrupt.forget()
        say(f"interrupted; go on with: headroom report --run {this.folder}")
        raise
    found = this.read(Verdict)
    _write_digests(this, summary, junit)
    if as_json:
        show_json(found)
    else:
        show_verdict(found)
    output.print(str(path), markup=False, soft_wrap=True)
    if pdf:
        output.print(str(printed(this)), markup=False, soft_wrap=True)
    if fail_on:
        raise typer.Exit(EXIT_CODES[found.status])


def show_verdict(found: Verdict) -> None:
    """The verdict as a table on stdout, with its actions."""
    show(
        f"{found.status}: {found.sentence}",
        ("objective", "target", "measured", "modelled", "status"),
        [
            (
                objective.name,
                objective.target,
                figure(objective.measured) if objective.measured else "–",
                figure(objective.modelled) if objective.modelled else "–",
                objective.status,
            )
            for objective in found.objectives
        ],
    )
    for number, action in enumerate(found.actions, 1):
        output.print(f"{number}. {action}", markup=False)


def _write_digests(run: Run, summary: Path | None, junit: Path | None) -> None:
    for make, path in ((digest.markdown, summary), (digest.junit, junit)):
        if path is not None:
            digest.write(make(run), path)


def render(run: RunFolder) -> None:
    """Draw the report of a measured run again."""
    output.print(str(steps.rendered(Run.open(run))), markup=False, soft_wrap=True)


def summary(
    run: RunFolder,
    junit: JunitFile = None,
    fail_on: Annotated[
        str | None,
        typer.Option(help="objective: exit 1 when one is missed, 3 when the run is INVALID"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a run's verdict as Markdown, for a pull request."""
    this = Run.open(run)
    if fail_on not in (None, "objective"):
        raise typer.BadParameter(f"{fail_on!r} is not allowed; allowed: objective")
    _write_digests(this, None, junit)
    if as_json:
        show_json(digest.record(this))
    else:
        output.print(digest.markdown(this), markup=False, soft_wrap=True, end="")
    if fail_on:
        raise typer.Exit(EXIT_CODES[this.read(Verdict).status])


def diff(
    before: RunFolder,
    after: RunFolder,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Markdown instead of a table, for a pull request")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say what changed from one run to another, and whether it is more than chance."""
    found = run_diff(Run.open(before), Run.open(after))
    if as_json:
        show_json(found)
    elif as_markdown:
        output.print(markdown(found), markup=False, soft_wrap=True, end="")
    else:
        output.print(found.sentence, markup=False, soft_wrap=True)
        for text in (*found.scenario, *found.machine, *found.objectives):
            output.print(f"  {text}", markup=False, soft_wrap=True)
        show("", COLUMNS, rows(found))


def pdf(run: RunFolder) -> None:
    """Print a run's report to report.pdf, with Chromium."""
    output.print(str(printed(Run.open(run))), markup=False, soft_wrap=True)


def runs(
    folder: Annotated[Path, typer.Argument(help="where runs are kept")] = RUNS,
) -> None:
    """Write index.html over all runs of a folder, each beside the one before it."""
    if not folder.is_dir():
        raise typer.BadParameter(f"{folder} is no folder; `headroom report` makes runs/")
    output.print(str(write_index(folder)), markup=False, soft_wrap=True)


def add_to(app: typer.Typer) -> None:
    """Put the commands of this module into the command line."""
    for command in (report, render, summary, diff, pdf, runs):
        app.command()(command)
