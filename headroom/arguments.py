"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from sim.scenario import Scenario
from sim.scenario_file import load_scenario

RUNS = Path("runs")

ScenarioName = Annotated[str, typer.Argument(help="a name in scenarios/, or a path to a YAML file")]
RunFolder = Annotated[Path, typer.Argument(help="a folder of runs/")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of a table")]


def scenario_at(name: str) -> Scenario:
    """The scenario of that name in scenarios/, or of that path."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = Path("scenarios") / f"{name}.yaml"
    return load_scenario(path)
