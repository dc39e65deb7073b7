"""`headroom diagnose RUN`, and the campaign that puts it to the test."""

from pathlib import Path
from typing import Annotated

import typer

from headroom.artefacts import now, replacing
from headroom.console import say, show
from headroom.diagnose.campaign import DiagnosisCampaign
from headroom.diagnose.limits import FILE, Limits
from headroom.diagnose.records import Kind

RUNS = Path("runs/diagnosis")
HEALTHY = Path("headroom/diagnose") / FILE
Folder = Annotated[Path, typer.Option(help="where the occasions are kept")]
Occasion = Annotated[
    str | None, typer.Option(help="go on with this one, or begin it; default: today's date")
]


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
    results = list(campaign.results())
    faults = [each for each in results if each[0].injection.kind != Kind.NOTHING]
    right = sum(
        t.injection.kind == d.kind and t.injection.component == d.component for t, _, d in faults
    )
    alarms = sum(t.injection.kind == Kind.NOTHING and d.kind != Kind.NOTHING for t, _, d in results)
    show(
        "diagnosis of injected faults (emulation, dilated)",
        ("faults", "named right", "healthy runs", "false alarms"),
        [(str(len(faults)), str(right), str(len(results) - len(faults)), str(alarms))],
    )


def learn(
    occasion: Annotated[str, typer.Argument(help="whose healthy runs to learn from")],
    folder: Folder = RUNS,
    to: Annotated[Path, typer.Option(help="the limits to write")] = HEALTHY,
) -> None:
    """Learn from an occasion's healthy runs how far figures stray."""
    campaign = DiagnosisCampaign(folder, occasion)
    healthy = [e for t, e, _ in campaign.results() if t.injection.kind == Kind.NOTHING]
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
