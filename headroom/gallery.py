"""All runs of a folder on one page, the newest first, each beside the one before it."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from headroom.artefacts import Run, Summary, Verdict, replacing
from headroom.diff import run_diff
from headroom.errors import ArtefactError
from headroom.render import TEMPLATES
from headroom.wording import amount, with_range
from sim.errors import InvalidScenario

PAGE = "index.html"


@dataclass(frozen=True)
class Entry:
    """One run as its line on the page shows it."""

    folder: str
    scenario: str
    began: str
    status: str
    sentence: str
    capacity: str = ""
    peak: str = ""
    price: str = ""
    valid: str = ""
    since: str = ""  # what changed since the last run of the same scenario
    report: str = ""  # its page, relative to the index; empty where none was drawn


def entries(root: Path) -> tuple[Entry, ...]:
    """The runs below a folder, the newest first; what cannot be read is shown as such."""
    found: list[Entry] = []
    last: dict[str, Run] = {}
    folders = sorted(path.parent for path in root.glob("*/scenario.yaml"))
    for folder in folders:
        run = Run.open(folder)
        try:
            entry = _entry(run, last)
        except (ArtefactError, InvalidScenario) as error:
            entry = Entry(folder.name, "?", "", "UNREADABLE", str(error))
        found.append(entry)
    return tuple(reversed(found))


def write_index(root: Path) -> Path:
    """Write the page over all runs of a folder; returns its path."""
    loader = FileSystemLoader([TEMPLATES, TEMPLATES / "capacity"])
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.get_template("runs.html.j2").render(entries=entries(root))
    target = root / PAGE
    with replacing(target) as path:
        path.write_text(page, encoding="utf-8")
    return target


def _entry(run: Run, last: dict[str, Run]) -> Entry:
    scenario = run.scenario.name
    report = "report.html"
    began = ""
    since = ""
    if run.has(Summary):
        cells = run.read(Summary).cells
        began = f"{min(cell.started_at for cell in cells):%Y-%m-%d %H:%M}" if cells else ""
        if scenario in last:
            since = run_diff(last[scenario], run).sentence
        last[scenario] = run
    if not run.has(Verdict):
        state = "measured, not judged" if began else "not measured"
        return Entry(run.folder.name, scenario, began, "UNFINISHED", state, since=since)
    verdict = run.read(Verdict)
    return Entry(
        folder=run.folder.name,
        scenario=scenario,
        began=began,
        status=verdict.status,
        sentence=verdict.sentence,
        capacity=with_range(verdict.capacity_per_s, "req/s"),
        peak=amount(verdict.peak_per_s.value, "req/s"),
        price=with_range(verdict.usd_per_month, "usd"),
        valid=f"{verdict.valid_cells} of {verdict.cells}",
        since=since,
        report=f"{run.folder.name}/{report}" if (run.folder / report).is_file() else "",
    )
