"""`headroom explore`: the explorer as a page of its own."""

from pathlib import Path
from typing import Annotated

import typer

from headroom.arguments import ScenarioName
from headroom.console import say


def explore(
    scenario: ScenarioName = "million-users",
    run: Annotated[
        Path | None, typer.Option("--run", help="a calibrated run whose demands to take")
    ] = None,
    port: Annotated[int, typer.Option(help="of the page, on 127.0.0.1; the first to try")] = 8866,
    browser: Annotated[bool, typer.Option(help="open the default browser there")] = True,
) -> None:
    """Move sliders over a scenario and see its figures, on a page of your own."""
    from headroom.explorer.serving import serve

    serve(scenario, run, port, say, browser=browser)
