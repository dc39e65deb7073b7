"""`headroom plan` and `headroom whatif`: what to buy, and what a change would do."""

from pathlib import Path
from typing import Annotated

import typer

from headroom.arguments import RUNS, AsJson, ScenarioName, scenario_at
from headroom.artefacts import Run
from headroom.console import output, say, show, show_json
from headroom.plan import demands_for, options_of, planned
from headroom.plan_records import PlanArtefact
from headroom.plan_tables import (
    PLAN_COLUMNS,
    answer_rows,
    assumption,
    breaking_rows,
    frontier_rows,
    legend_rows,
    rejected_rows,
    sentences,
)
from headroom.variants import variant
from headroom.whatif import WhatIfArtefact, what_ifs
from headroom.whatif_tables import (
    TORNADO_COLUMNS,
    TORNADO_NAMES,
    WHATIF_COLUMNS,
    bar_rows,
    effect_rows,
    notes,
)
from sim.plan import WHAT_IFS
from sim.scenario import Scenario

OnRun = Annotated[
    Path | None, typer.Option("--run", help="a calibrated run: its scenario and its demands")
]


def plan(
    scenario: ScenarioName = "million-users",
    *,
    run: OnRun = None,
    runs: Annotated[Path, typer.Option(help="where a new run's folder is made")] = RUNS,
    confidence: Annotated[
        float | None, typer.Option(help="probability that all objectives must hold with")
    ] = None,
    futures: Annotated[int | None, typer.Option(help="draws of the uncertain inputs")] = None,
    seed: Annotated[int | None, typer.Option(help="of the futures")] = None,
    survive: Annotated[
        str | None, typer.Option(help="nothing, replica (N+1) or zone: hold after that loss")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(help="tcp://host:port of a Dask scheduler, for large spaces")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the cheapest architecture that meets every objective with a stated probability."""
    output.stderr = as_json
    folder, asked = run_for(scenario, run, runs)
    changes = options_of(
        {
            "plan.confidence_fraction": confidence,
            "plan.futures": futures,
            "plan.seed": seed,
            "plan.survive": survive,
        }
    )
    wanted = variant(asked, changes) if changes else asked
    found = planned(wanted, demands_for(Run.open(run) if run else None), say, dask_address=dask)
    target = folder or Run.create(runs, wanted)
    target.write(found)
    show_plan(found)
    say(f"plan stored in {target.folder / 'plan.json'}")
    if as_json:
        show_json(found)


def whatif(
    scenario: ScenarioName = "million-users",
    changes: Annotated[
        list[str] | None, typer.Argument(help=f"some of {', '.join(WHAT_IFS)}; none: all")
    ] = None,
    *,
    run: OnRun = None,
    runs: Annotated[Path, typer.Option(help="where a new run's folder is made")] = RUNS,
    size: Annotated[
        float | None, typer.Option(help="of one change: a factor; of hit_ratio a share of 1")
    ] = None,
    region: Annotated[str | None, typer.Option(help="to move to, for region")] = None,
    as_json: AsJson = False,
) -> None:
    """Ask what changes do to the design: p95, headroom, cost, availability; which input matters."""
    output.stderr = as_json
    names = tuple(changes or ())
    if size is not None and len(names) != 1:
        raise typer.BadParameter("--size goes with one change")
    folder, asked = run_for(scenario, run, runs)
    demands = demands_for(Run.open(run) if run else None)
    found = what_ifs(asked, demands, say, names, size=size, region=region)
    target = folder or Run.create(runs, asked)
    target.write(found)
    show_what_ifs(found)
    say(f"what-ifs stored in {target.folder / 'whatif.json'}")
    if as_json:
        show_json(found)


def show_what_ifs(found: WhatIfArtefact) -> None:
    """What each change does, and the tornadoes."""
    if found.demands_assumed:
        output.print(assumption(found.demands), markup=False)
    title = f"{found.architecture}: after the change (the change; 90 % of {found.futures} futures)"
    show(title, WHATIF_COLUMNS, effect_rows(found))
    for line in notes(found):
        output.print(line, markup=False)
    for figure, name in TORNADO_NAMES.items():
        show(name, TORNADO_COLUMNS, bar_rows(found, figure))


def run_for(scenario: str, run: Path | None, runs: Path) -> tuple[Run | None, Scenario]:
    """The run to go on with, and what it asks; without one, the scenario alone."""
    if run is None:
        return None, scenario_at(scenario)
    opened = Run.open(run)
    return opened, opened.scenario


def show_plan(plan: PlanArtefact) -> None:
    """The answer in words, then as tables in which a number stands for an architecture."""
    for line in sentences(plan):
        output.print(line, markup=False)
    if not plan.candidates:
        return
    show("the answer", ("", *PLAN_COLUMNS), answer_rows(plan))
    show(
        "frontier of cost, p95 and availability; at the load that binds: screen / engine",
        (*PLAN_COLUMNS, "p95 there"),
        frontier_rows(plan),
    )
    title = f"why not others; {len(plan.candidates):,} screened in {plan.futures:,} futures"
    show(title, ("no.", "USD a month", "why not"), rejected_rows(plan))
    answer = plan.answer if plan.answer is not None else plan.own
    if answer is not None:
        show(
            f"what breaks first on {answer}",
            ("what", "at peak load", "registered users", "growth"),
            breaking_rows(plan, answer),
        )
    show("the architectures", ("no.", "architecture"), legend_rows(plan))
