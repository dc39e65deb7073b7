"""Speed of the analytic screen on one core, beside a naive loop over the same function.

`python bench/plan.py`: 400 architectures × 1,000 futures at once; and, in the same run, a sample of
those pairs one architecture and one future at a time. The figures of both must agree.
"""

import argparse
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from record import record

from headroom.plan import example_demands
from sim.cost import price_book
from sim.plan import InputFutures, question_of, screened
from sim.scenario_file import load_scenario

SCENARIO = Path(__file__).parents[1] / "scenarios" / "million-users.yaml"
SHAPES, FUTURES = 400, 1000
SAMPLE = 300  # pairs of the naive loop


def asked():
    """The million users, with enough architectures to take 400 that differ in shape."""
    scenario = load_scenario(SCENARIO)
    planning = scenario.plan.model_copy(update={"futures": FUTURES})
    question, space = question_of(
        scenario.model_copy(update={"plan": planning}),
        example_demands(),
        price_book(scenario.prices.book),
    )
    on_demand = [c for c in space.candidates if c.purchase == "on_demand"]
    return question, tuple(on_demand[:SHAPES])


def single(planner, index):
    futures = planner.futures
    values = {name: each[index : index + 1] for name, each in futures.values.items()}
    return planner.with_futures(
        InputFutures(futures.inputs, values, 1), planner.reliability.at(index)
    )


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=5)
    repeats = arguments.parse_args().repeats
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # one core, whatever BLAS would take
    question, candidates = asked()
    shapes = {replace(c, purchase="on_demand") for c in candidates}
    assert len(shapes) == SHAPES, f"only {len(shapes)} shapes"
    planner = question.planner()
    whole = screened(planner, candidates)  # warm
    at_once, cpu = [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        whole = screened(planner, candidates)
        at_once.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    rng = np.random.default_rng(1)
    pairs = list(
        zip(rng.integers(0, SHAPES, SAMPLE), rng.integers(0, FUTURES, SAMPLE), strict=True)
    )
    singles = {index: single(planner, index) for _, index in pairs}
    start = time.perf_counter()
    for place, index in pairs:
        alone = screened(singles[index], [candidates[place]])
        for name in whole.targets:
            apart = (alone.figures[name][0, 0], whole.figures[name][place, index])
            assert np.allclose(*apart, rtol=1e-3), (name, apart)
    one_by_one = (time.perf_counter() - start) / SAMPLE * SHAPES * FUTURES
    seconds = statistics.median(at_once)
    print(
        f"{SHAPES} × {FUTURES} on one core: {seconds:.2f} s (CPU {statistics.median(cpu):.2f} s), "
        f"one by one {one_by_one:.0f} s (from {SAMPLE} pairs), ratio {one_by_one / seconds:.0f}"
    )
    record(
        [
            {
                "name": f"plan screen {SHAPES} x {FUTURES} on one core",
                "value": seconds,
                "unit": "s",
                "ratio_to": f"one pair at a time, from {SAMPLE} pairs",
                "ratio": one_by_one / seconds,
                "repeats": repeats,
            }
        ]
    )


if __name__ == "__main__":
    main()
