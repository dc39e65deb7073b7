"""What a run knows about a service: its demands, and what was measured of it."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from headroom.artefacts import Calibration, ComparedCell, Estimate, Run, Summary
from headroom.compare import measured_at
from headroom.plan import EXAMPLE, demands_for
from sim.errors import InvalidScenario
from sim.plan import MeasuredDemands

COMPARED = "comparison.json"
HIT_RATIO = "hit_ratio."


@dataclass(frozen=True)
class Evidence:
    """Service demands with the calibration that they come from, and measured figures.

    Args:
        demands, calibration: of the run, or the shipped example's, as an assumption.
        cells: measured beside predicted, on the machine of the run.
        hit_ratios: measured, by family, at the run's highest load.
    """

    demands: MeasuredDemands
    calibration: Calibration
    cells: tuple[ComparedCell, ...] = ()
    hit_ratios: dict[str, Estimate] | None = None


def evidence_of(run: Run | None) -> Evidence:
    """What a run knows; without one, the example's demands."""
    if run is None or not run.has(Calibration):
        example = files("headroom").joinpath(EXAMPLE).read_bytes()
        return Evidence(demands_for(None), Calibration.model_validate_json(example))
    demands, calibration = demands_for(run), run.read(Calibration)
    if not run.has(Summary) or not (run.folder / COMPARED).is_file():
        return Evidence(demands, calibration)
    return Evidence(demands, calibration, run.read_comparison(), _hit_ratios(run.read(Summary)))


def last_run(runs: Path | None, scenario: str) -> Run | None:
    """The last measured run of a scenario, by the time in its folder's name."""
    if runs is None:
        return None
    for file in sorted(runs.glob(f"*/{COMPARED}"), reverse=True):
        run = Run.open(file.parent)
        try:
            if run.has(Calibration) and run.has(Summary) and run.scenario.name == scenario:
                return run
        except InvalidScenario:  # of an older version, which this one does not read
            continue
    return None


def _hit_ratios(summary: Summary) -> dict[str, Estimate]:
    names = {name for cell in summary.cells for name in cell.metrics if name.startswith(HIT_RATIO)}
    highest = max((c.load_per_s for c in summary.cells if c.conditions.valid), default=None)
    cells = [cell for cell in summary.cells if cell.load_per_s == highest]
    found = {}
    for name in sorted(names):
        at = measured_at(cells, name)
        if at is not None and at[1]:
            found[name.removeprefix(HIT_RATIO)] = at[0]
    return found
