"""How far runs of the same scenario differ: fits RUN_SPREAD of headroom/diff/judging.py.

    python bench/run_spread.py                     # from the recorded runs
    python bench/run_spread.py --record RUN RUN …  # record the figures of runs in their place
    python bench/same_scenario_pairs.py --runs 5 --record  # make such runs, and record them

For each figure the pairs of runs differ by d, known to s: the spread of one run is the square root
of the mean of (d² − s²)/2 over all pairs.
"""

import itertools
import json
import math
import sys
from collections import defaultdict
from pathlib import Path

from headroom.artefacts import Run
from headroom.diff.figures import figures_of
from headroom.diff.judging import (
    RUN_SPREAD,
    measured_changes,
    measured_steps,
    spread_of,
    summed_up,
    with_significance,
)
from headroom.diff.records import RunFigures

DATA = Path(__file__).parents[1] / "tests" / "data"
RECORDED = DATA / "same_scenario_runs.json"
SLOWED = DATA / "slowed_runs.json"  # the same, with slow queries


def recorded() -> list[RunFigures]:
    """The runs that were recorded, in order."""
    return [RunFigures.model_validate(each) for each in json.loads(RECORDED.read_text("utf-8"))]


def record(folders: list[Path], path: Path = RECORDED) -> None:
    """Store the figures of runs, rounded to what they are known to."""
    kept = []
    for folder in folders:
        figures = figures_of(Run.open(folder)).model_dump(mode="json")
        for load in figures["loads"]:
            for estimate in load["metrics"].values():
                estimate.update({end: float(f"{value:.5g}") for end, value in estimate.items()})
        kept.append(figures)
    path.write_text(json.dumps(kept, separators=(",", ":")) + "\n", encoding="utf-8")


def spreads(runs: list[RunFigures]) -> dict[str, float]:
    """Standard deviation of a run's own shift, the widest metric of each kind."""
    excess: dict[str, list[float]] = defaultdict(list)
    for before, after in itertools.combinations(runs, 2):
        for metric, steps in measured_steps(before, after).items():
            centre, error = summed_up(steps)
            excess[metric].append(max(0.0, (centre**2 - error**2) / 2))
    kinds: dict[str, float] = {}
    for metric, values in excess.items():
        kind = metric if metric in RUN_SPREAD else metric.partition(".")[0]
        kinds[kind] = max(kinds.get(kind, 0.0), math.sqrt(sum(values) / len(values)))
    return kinds


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--record"]:
        record([Path(name) for name in arguments[1:]])
    if not RECORDED.is_file():
        print(f"no runs recorded: {Path(__file__).name} --record RUN RUN …")
        return
    runs = recorded()
    print(f"{len(runs)} runs, {math.comb(len(runs), 2)} pairs")
    for kind, found in sorted(spreads(runs).items()):
        print(f"{kind:24} fitted {found:.4f}   allowed for {spread_of(kind):.4f}")
    pairs = list(itertools.combinations(runs, 2))
    alarms = sum(
        any(c.significant for c in with_significance(measured_changes(*pair))) for pair in pairs
    )
    print(f"{len(pairs) - alarms} of {len(pairs)} pairs: no significant change")


if __name__ == "__main__":
    main(sys.argv[1:])
