"""Speed-up of a sweep of 200 scenarios × 30 replications on two cores: `python bench/sweep.py`.

Runs with one and two workers alternate; the median of each counts. The bytes must agree.
"""

import argparse
import pickle
import statistics
import time

import numpy as np

from sim.queueing.sample_path import fcfs_waits_s
from sim.replicate import sweep

CASES = [(servers, 0.5 + 0.01 * step) for servers in (1, 2, 4, 8) for step in range(50 - 2)]
CASES += [(16, 0.5 + 0.05 * step) for step in range(8)]
JOBS = 60_000


def p95_sojourn_s(case, rng):
    servers, utilisation = case
    arrivals = np.cumsum(rng.exponential(1 / (servers * utilisation), JOBS))
    services = rng.exponential(1.0, JOBS)
    return float(np.quantile(fcfs_waits_s(arrivals, services, servers) + services, 0.95))


def timed(workers):
    start = time.perf_counter()
    table = sweep(p95_sojourn_s, CASES, 30, seed=20261124, workers=workers)
    return time.perf_counter() - start, [[pickle.dumps(x) for x in row] for row in table]


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=3)
    repeats = arguments.parse_args().repeats
    p95_sojourn_s(CASES[0], np.random.default_rng(0))  # compile outside the measurement
    one, two = [], []
    for _ in range(repeats):
        seconds, alone = timed(1)
        one.append(seconds)
        seconds, both = timed(2)
        two.append(seconds)
        assert alone == both, "the result depends on the number of workers"
    speed_up = statistics.median(one) / statistics.median(two)
    print(f"{len(CASES)} × 30: one {one}, two {two}, speed-up {speed_up:.2f}")
    from record import record

    record(
        [
            {
                "name": "sweep 200 x 30 on 2 workers",
                "value": statistics.median(two),
                "unit": "s",
                "ratio_to": "1 worker",
                "ratio": speed_up,
                "repeats": repeats,
            }
        ]
    )


if __name__ == "__main__":
    main()
