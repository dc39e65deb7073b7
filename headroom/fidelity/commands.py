"""`headroom fidelity …`: run the cells, show what they found, write the page."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from headroom.arguments import ScenarioName, scenario_at
from headroom.artefacts import now, replacing
from headroom.console import output, say, show
from headroom.failover import FAILOVER, KILLS, TOLERANCE, failovers
from headroom.fidelity import native_again as again
from headroom.fidelity import page as pages
from headroom.fidelity.artefacts import read
from headroom.fidelity.campaign import Campaign
from headroom.fidelity.invariance import invariant
from headroom.fidelity.native import NATIVE, NativeCampaign
from headroom.fidelity.native_design import SYSTEMS
from headroom.fidelity.native_page import PROMISED, promised
from headroom.fidelity.parts.kills import PARTS, PartKills, part_kills
from headroom.fidelity.parts.page import tally
from headroom.fidelity.promises import promises
from headroom.fidelity.record import FidelityRecord, occasion_of
from headroom.fidelity.replay.crowd import MINUTES, Crowd, crowd_of
from headroom.fidelity.replay.measured import replayed, stored_replay
from headroom.fidelity.replay.page import chart, crowd_rows, replay_html, summary
from headroom.fidelity.replay.records import FOLDER as REPLAY
from headroom.fidelity.sameness import TOLERANCE as TOLERANCE_OF_RATIO
from headroom.fidelity.sameness import sameness
from headroom.fidelity.topologies import DESIGNS, SCALE, topology

RUNS = Path("runs/fidelity")
PAGE = Path("docs/fidelity.md")
RECORD = Path("docs/fidelity.json")
fidelity_app = typer.Typer(
    help="Blind predictions of emulated stacks, request by request.", no_args_is_help=True
)
Folder = Annotated[Path, typer.Option(help="where the occasions are kept")]
Occasion = Annotated[
    str | None, typer.Option(help="go on with this one, or begin it; default: today's date")
]
Topologies = Annotated[
    list[str] | None, typer.Option("--topology", help="only this one; may be given again")
]


@fidelity_app.command("run")
def run(
    occasion: Occasion = None,
    only: Topologies = None,
    cells: Annotated[int | None, typer.Option(min=1, help="at most so many, now")] = None,
    scale: Annotated[float, typer.Option(min=1, help="real seconds per modelled second")] = SCALE,
    folder: Folder = RUNS,
) -> None:
    """Predict, offer and compare what is missing of an occasion (an hour for all of it)."""
    campaign = _campaign(folder, occasion or f"{now():%Y-%m-%d}", only, scale)
    done = campaign.run(say, most_cells=cells)
    left = sum(len(campaign.missing(each)) for each in campaign.topologies)
    say(f"{done} cells done, {left} left; {campaign.folder / campaign.occasion}")
    _show(campaign)


@fidelity_app.command("invariance")
def invariance(
    occasion: Occasion = None,
    only: Topologies = None,
    folder: Folder = RUNS,
) -> None:
    """Offer the same requests at several dilations: in modelled time they take the same."""
    for name in only or ("three-replicas",):
        invariant(name, folder, occasion or f"{now():%Y-%m-%d}", say)


@fidelity_app.command("native")
def native(
    occasion: Occasion = None,
    only: Annotated[
        list[str] | None, typer.Option("--system", help="only this one; may be given again")
    ] = None,
    cells: Annotated[int | None, typer.Option(min=1, help="at most so many, now")] = None,
    folder: Folder = RUNS,
) -> None:
    """Calibrate, predict, offer and compare native cells (20 minutes, on a machine left alone)."""
    campaign = _natives(folder, occasion, only)
    done = campaign.run(say, most_cells=cells)
    left = sum(len(campaign.missing(system)) for system in campaign.systems)
    say(f"{done} cells done, {left} left; {folder / campaign.occasion / NATIVE}")
    rows = promised([cell for system in campaign.systems for cell in campaign.results(system)])
    show("native: median error over the valid cells", PROMISED, rows)


@fidelity_app.command("native-again")
def native_again(
    occasion: Occasion = None,
    only: Annotated[
        list[str] | None, typer.Option("--system", help="only this one; may be given again")
    ] = None,
    folder: Folder = RUNS,
) -> None:
    """Tell native cells again by the model as it is now: to work on it; stored is nothing."""
    told = list(again.told_again(_natives(folder, occasion, only)))
    for line in again.lines(told):
        say(line)
    show("native, told again (not blind): median error", again.AGAIN, again.rows(told))


@fidelity_app.command("sameness")
def same(occasion: Occasion = None, folder: Folder = RUNS) -> None:
    """Offer the same day as it is, compressed and dilated (six minutes): what comes is the same."""
    found = sameness(folder, occasion or f"{now():%Y-%m-%d}", say)
    say(f"hit ratios within {TOLERANCE_OF_RATIO:.0%}: {'yes' if found.inside else 'NO'}")


@fidelity_app.command("replay")
def replay(
    scenario: ScenarioName = "flash-crowd",
    minutes: Annotated[
        float, typer.Option(min=12, max=60, help="of the day, around its highest one; 5 s each")
    ] = MINUTES,
    seed: Annotated[int, typer.Option(min=0, help="of requests and demands")] = 6,
    occasion: Occasion = None,
    folder: Folder = RUNS,
) -> None:
    """Foretell a crowd, then replay it on emulated machines that come and go (8 minutes)."""
    crowd = Crowd(crowd_of(scenario_at(scenario)), minutes, seed)
    name = occasion or f"{now():%Y-%m-%d}"
    found = replayed(crowd, scenario, folder, name, say)
    show(*crowd_rows(found))
    for line in (*chart(found), summary(found)):
        output.print(line, markup=False, soft_wrap=True)
    page = folder / name / REPLAY / "replay.html"
    with replacing(page) as path:
        path.write_text(replay_html(found), encoding="utf-8")
    output.print(str(page), markup=False, soft_wrap=True)


@fidelity_app.command("failover")
def failover(
    occasion: Occasion = None,
    part: Annotated[
        Literal["primary", "api", "redis", "cache"], typer.Option(help="what is taken away")
    ] = "primary",
    kills: Annotated[int, typer.Option(min=1, help="one after the other")] = KILLS,
    folder: Folder = RUNS,
) -> None:
    """Forecast what a dead part does, then kill it under load (native, 15 to 40 s a kill)."""
    name = occasion or f"{now():%Y-%m-%d}"
    if part != "primary":
        seen = part_kills(part, folder / name / FAILOVER, name, say, kills=kills)
        say(f"in the forecast range, of {len(seen.kills)} kills: {tally(seen.kills)}")
        return
    scenario = topology("three-replicas", scale=1.0).scenario
    found = failovers(scenario, folder / name / FAILOVER, say, kills=kills)
    lost = sum(kill.lost for kill in found.kills)
    say(f"{found.inside} of {kills} within {TOLERANCE:.0%} of the forecast; {lost} writes lost")


@fidelity_app.command("page")
def page(
    folder: Folder = RUNS,
    to: Annotated[Path, typer.Option(help="page to write")] = PAGE,
    record: Annotated[Path, typer.Option(help="what all occasions found, as data")] = RECORD,
) -> None:
    """Take the occasions in the folder into the record, and write docs/fidelity.md from it."""
    names = sorted(path.name for path in folder.glob("*") if path.is_dir())
    found = [occasion_of(_campaign(folder, name, None, SCALE)) for name in names]
    kept = FidelityRecord.of(record).with_occasions(each for each in found if each is not None)
    natives = [
        NativeCampaign(folder, name, tuple(SYSTEMS.values())).occasion_found() for name in names
    ]
    kept = kept.with_natives(each for each in natives if each is not None)
    paths = [folder / name / FAILOVER / f"{part}.json" for name in names for part in PARTS]
    kept = kept.with_parts(read(path, PartKills) for path in paths if path.is_file())
    replays = [stored_replay(folder / name) for name in names]
    kept = kept.with_replays(each for each in replays if each is not None)
    kept.store(record)
    with replacing(to) as path:
        path.write_text(pages.page(kept), encoding="utf-8")
    output.print(str(to), markup=False, soft_wrap=True)


def _natives(folder: Path, occasion: str | None, only: list[str] | None) -> NativeCampaign:
    for name in only or ():
        if name not in SYSTEMS:
            raise typer.BadParameter(f"{name!r} is not allowed; allowed: {', '.join(SYSTEMS)}")
    chosen = tuple(SYSTEMS[name] for name in only or SYSTEMS)
    return NativeCampaign(folder, occasion or f"{now():%Y-%m-%d}", chosen)


def _campaign(folder: Path, occasion: str, only: list[str] | None, scale: float) -> Campaign:
    for name in only or ():
        if name not in DESIGNS:
            raise typer.BadParameter(f"{name!r} is not allowed; allowed: {', '.join(DESIGNS)}")
    chosen = tuple(topology(name, scale) for name in only or DESIGNS)
    return Campaign(folder, occasion, chosen)


def _show(campaign: Campaign) -> None:
    """Of each promise, in how many valid cells it was kept."""
    show(
        "emulation (dilated): prediction beside measurement, valid cells",
        ("figure", "promised", "kept", "worst"),
        [
            (
                each.name,
                f"±{each.shown(each.limit)}",
                f"{each.kept} of {each.cells}",
                each.shown(each.worst_error, sign=True),
            )
            for each in promises([cell for cell in campaign.results() if cell.valid])
        ],
    )
