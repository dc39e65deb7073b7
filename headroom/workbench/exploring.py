"""The explorer, asked from a cell."""

from pathlib import Path
from typing import TYPE_CHECKING

from headroom.arguments import RUNS
from headroom.artefacts import Run
from headroom.workbench.cell import as_asked, in_a_cell
from headroom.workbench.studies import scenario
from sim.scenario import Scenario

if TYPE_CHECKING:
    from headroom.explorer.widget import ExplorerPage


@in_a_cell
def explore(
    s: Scenario | str | Path = "million-users", folder: str | Path | None = None
) -> "ExplorerPage":
    """Sliders and menus over a scenario, with its figures beside a pinned baseline.

    Args:
        s: the scenario, or its name.
        folder: a calibrated run for the service demands; without it the last measured run of that
            scenario in `runs/`, and without one the shipped example's, as an assumption.
    Raises: InvalidScenario when the scenario cannot be modelled, such as for a missing price.

    >>> import headroom as hr
    >>> hr.explore("million-users")  # doctest: +SKIP
    """
    from headroom.explorer.exploration import Exploration
    from headroom.explorer.widget import ExplorerPage

    asked = s if isinstance(s, Scenario) else scenario(s)
    known = {path.stem: path.resolve() for path in sorted(Path("scenarios").glob("*.yaml"))}
    run = None if folder is None else Run.open(as_asked(folder))
    return ExplorerPage(Exploration(asked, known, run, runs=RUNS.resolve()))
