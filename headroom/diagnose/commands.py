"""`headroom diagnose RUN`, and the campaign that puts it to the test."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from headroom.arguments import AsJson
from headroom.artefacts import Run, now, replacing
from headroom.console import output, say, show
from headroom.diagnose import page as pages
from headroom.diagnose.campaign import DiagnosisCampaign
from headroom.diagnose.limits import FILE, Limits
from headroom.diagnose.native import evidence_of_run, native_limits
from headroom.diagnose.records import Diagnoses, Diagnosis, Evidence, Kind
from headroom.diagnose.rules import diagnosed
from headroom.diagnose.scored import DiagnosisRecord, scored
from headroom.fidelity.artefacts import read

RUNS = Path("runs/diagnosis")
HEALTHY = Path("headroom/diagnose") / FILE
PAGE, RECORD = Path("docs/diagnosis.md"), Path("docs/diagnosis.json")
EVIDENCE = ".evidence.json"
Folder = Annotated[Path, typer.Option(help="where the occasions are kept")]
Occasion = Annotated[
    str | None, typer.Option(help="go on with this one, or begin it; default: today's date")
]


def diagnose(
    run: Annotated[
        Path, typer.Argument(help="a run's folder, or the evidence of a cell of an emulated stack")
    ],
    as_json: AsJson = False,
) -> None:
    """Name the component and the kind of fault that make a run differ from its prediction."""
    output.stderr = as_json
    found = diagnoses(run)
    output.print(f"{run.name}: {overall(found)}", markup=False, soft_wrap=True)
    for each in found:
        output.print(f"  {each.run}: {each.says}", markup=False, soft_wrap=True)
    for text in found[0].cannot_tell if found else ():
        output.print(f"not told by such a run: {text}", markup=False, soft_wrap=True)
    if as_json:
        typer.echo(Diagnoses.dump_json(found, indent=1).decode())


def diagnoses(run: Path) -> tuple[Diagnosis, ...]:
    """The diagnosis of each load of a run, or of the cell whose evidence it is.

    Raises ArtefactError for what is neither.
    """
    if run.name.endswith(EVIDENCE):
        return (diagnosed(read(run, Evidence)),)
    cells = sorted(run.glob(f"*{EVIDENCE}"))
    if cells:
        return tuple(diagnosed(read(path, Evidence)) for path in cells)
    limits = native_limits()
    return tuple(diagnosed(evidence, limits) for evidence in evidence_of_run(Run.open(run)))


def overall(found: tuple[Diagnosis, ...]) -> str:
    """What most loads say, when it is most of them."""
    if not found:
        return "no load was measured"
    said = Counter(f"{d.kind}: {d.component}" if d.component else str(d.kind) for d in found)
    most, count = said.most_common(1)[0]
    return f"{most}, in {count} of {len(found)}" if len(found) > 1 else most


def diagnose_faults(
    occasion: Occasion = None,
    cells: Annotated[int | None, typer.Option(min=1, help="at most so many, now")] = None,
    *,
    short: Annotated[bool, typer.Option(help="each fault once, to learn from")] = False,
    folder: Folder = RUNS,
) -> None:
    """Inject faults into emulated stacks and diagnose each run (half an hour for all)."""
    campaign = DiagnosisCampaign(folder, occasion or f"{now():%Y-%m-%d}", short)
    done = campaign.run(say, most_cells=cells)
    say(f"{done} cells done, {len(campaign.missing())} left; {folder / campaign.occasion}")
    found = scored(campaign, "blind")
    show(
        "diagnosis of injected faults (emulation, dilated)",
        ("faults", "named right", "healthy runs", "false alarms", "disturbed, twice"),
        [
            (
                str(len(found.faults)),
                str(sum(trial.right for trial in found.faults)),
                str(len(found.healthy)),
                str(sum(trial.is_alarm for trial in found.healthy)),
                str(sum(trial.disturbed for trial in found.healthy)),
            )
        ],
    )


def learn(
    occasion: Annotated[str, typer.Argument(help="whose healthy runs to learn from")],
    folder: Folder = RUNS,
    to: Annotated[Path, typer.Option(help="the limits to write")] = HEALTHY,
) -> None:
    """Learn from a short occasion's healthy runs how far figures stray."""
    campaign = DiagnosisCampaign(folder, occasion, is_short=True)
    healthy = [e for t, e, _ in campaign.results() if t.kind == Kind.NOTHING]
    limits = Limits.learnt(healthy)
    with replacing(to) as path:
        path.write_text(limits.stored(), encoding="utf-8")
    show(
        f"how far {len(healthy)} healthy runs stray",
        ("figure", "mean", "standard deviation", "worst", "limit"),
        [
            (
                name,
                f"{h.mean:.4f}",
                f"{h.deviation:.4f}",
                f"{h.worst:.4f}",
                f"{limits.of(name):.4f}",
            )
            for name, h in limits.healthy.items()
        ],
    )


def page(
    blind: Annotated[list[str] | None, typer.Argument(help="occasions offered blind")] = None,
    *,
    learning: Annotated[
        list[str] | None, typer.Option(help="short ones, that limits were learnt from")
    ] = None,
    ended: Annotated[
        list[str] | None, typer.Option(help="begun as blind, and given up for what they showed")
    ] = None,
    folder: Folder = RUNS,
) -> None:
    """Take occasions into docs/diagnosis.json, beside those in it, and write docs/diagnosis.md."""
    occasions = [
        scored(DiagnosisCampaign(folder, name, is_short=True), "learning")
        for name in learning or ()
    ]
    occasions += [scored(DiagnosisCampaign(folder, name), "ended") for name in ended or ()]
    occasions += [scored(DiagnosisCampaign(folder, name), "blind") for name in blind or ()]
    record = DiagnosisRecord.of(RECORD).with_occasions(occasions)
    record.store(RECORD)
    with replacing(PAGE) as path:
        path.write_text(pages.page(record), encoding="utf-8")
    output.print(str(PAGE), markup=False)
