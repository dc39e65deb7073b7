"""Runs of the same scenario, one pair after another, and a run with slow queries beside them.

    python bench/same_scenario_pairs.py --runs 5 --record   # 10 pairs; about 3 min a run

Every run has a stack of its own. The first one calibrates and predicts for all. Then each pair is
judged as `headroom diff` judges it, and the slowed run beside each of the others. With `--record`
the figures go to tests/data, where run_spread.py fits RUN_SPREAD to them.
"""

import argparse
import itertools
import math
from pathlib import Path

from run_spread import RECORDED, SLOWED, record

from headroom.artefacts import Calibration, Machine, Prediction, Run
from headroom.calibrate import calibrate
from headroom.console import say
from headroom.diff import run_diff
from headroom.live import running_stack
from headroom.measure import measure
from headroom.predict import predict
from headroom.variants import variant
from sim.scenario_file import load_scenario
from stack.local.faults import slow_queries

ROOT = Path(__file__).parents[1]
TAKEN_OVER = (Machine, Calibration, Prediction)  # of the first run


def asked():
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--runs", type=int, default=0, help="of the same scenario; 5: 10 pairs")
    arguments.add_argument("--slow-s", type=float, default=0.03, help="added to queries; 0: no run")
    arguments.add_argument("--scenario", type=Path, default=ROOT / "scenarios" / "laptop.yaml")
    arguments.add_argument("--loads", type=float, nargs="+", help="req/s, for the scenario's own")
    arguments.add_argument("--cell-s", type=float, default=12.0, help="of each load, warm-up incl.")
    arguments.add_argument("--repeats", type=int, default=2, help="of each load")
    arguments.add_argument("--into", type=Path, default=ROOT / "runs" / "pairs")
    arguments.add_argument("--record", action="store_true", help="keep the figures in tests/data")
    return arguments.parse_args()


def offered(scenario, into, first, slow_s=0.0):
    """One run on a stack of its own; `first` is the run whose prediction it takes over."""
    run = Run.create(into, scenario)
    with running_stack(scenario, say, name=run.folder.name, faults=slow_s > 0) as info:
        if first is None:
            calibrate(run, info, say)
            predict(run, say)
        else:
            for kind in TAKEN_OVER:
                run.write(first.read(kind))
        if slow_s:
            slow_queries(info, slow_s)
        measure(run, info, say)
    return run


def verdict_of(before, after):
    """(significant, judged at all), printed."""
    found = run_diff(before, after)
    judged = any(change.valid for change in found.changes)
    print(f"{before.folder.name} → {after.folder.name}: {found.sentence}")
    return bool(found.significant), judged


def main():
    want = asked()
    if want.runs < 2:
        print("takes minutes a run and a quiet machine: ask for it with --runs 5")
        return
    changes = {"experiment.cell_s": want.cell_s, "experiment.repeats": want.repeats}
    if want.loads:
        changes["experiment.loads_per_s"] = want.loads
    scenario = variant(load_scenario(want.scenario), changes)
    runs = []
    for number in range(want.runs):
        say(f"run {number + 1} of {want.runs}")
        runs.append(offered(scenario, want.into, runs[0] if runs else None))
    slowed = []
    if want.slow_s:
        say(f"queries {want.slow_s:g} s slower")
        slowed.append(offered(scenario, want.into, runs[0], want.slow_s))
    found = [verdict_of(*pair) for pair in itertools.combinations(runs, 2)]
    quiet = sum(judged and not changed for changed, judged in found)
    unjudged = sum(not judged for _, judged in found)
    print(
        f"same scenario: no significant change in {quiet} of {math.comb(len(runs), 2)} pairs",
        end="",
    )
    print(f"; {unjudged} had no valid load and judge nothing" if unjudged else "")
    named = 0
    for run in slowed:
        for before in runs:
            verdict_of(before, run)
            lanes = run_diff(before, run).lanes
            named += bool(lanes) and lanes[0].component.startswith("database")
        print(f"slow queries: the database is named in {named} of {len(runs)} pairs")
    if want.record:
        record([run.folder for run in runs], RECORDED)
        record([run.folder for run in slowed], SLOWED)
        print(f"figures in {RECORDED.relative_to(ROOT)} and {SLOWED.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
