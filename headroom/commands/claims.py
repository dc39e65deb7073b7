"""`headroom claims`: a verdict on every figure that a design document states."""

from pathlib import Path
from typing import Annotated

import typer

from headroom.arguments import RUNS, AsJson, scenario_at
from headroom.artefacts import JudgedLedger, Run
from headroom.claims import figures_of, load_ledger
from headroom.claims.judging import judged_in
from headroom.claims.tables import COLUMNS, claim_rows, counted, old_prices
from headroom.console import output, say, show, show_json

CLAIMS = Path("reports/claims.yaml")


def claims(
    ledger: Annotated[Path, typer.Argument(help="a YAML file of claims")] = CLAIMS,
    *,
    run: Annotated[Path | None, typer.Option(help="judge by this run")] = None,
    runs: Annotated[Path, typer.Option(help="where runs are kept")] = RUNS,
    live: Annotated[bool, typer.Option("--live", help="try on live stacks, 5 min")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="id of a claim; may be given again. Default: all")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge every figure that a design document states."""
    output.stderr = as_json
    wanted = load_ledger(ledger).only(only or ())
    this = Run.open(run) if run else Run.create(runs, scenario_at(wanted.scenario))
    if live:
        from headroom.claims.experiments import try_live  # all servers' clients

        try_live(this, say, figures=figures_of(wanted))
    found = judged_in(this, wanted)
    show(found.document, COLUMNS, claim_rows(found))
    output.print(counted(found), markup=False)
    for line in old_prices(found):
        output.print(line, markup=False)
    if as_json:
        show_json(found)
    else:
        output.print(str(this.path(JudgedLedger)), markup=False, soft_wrap=True)
