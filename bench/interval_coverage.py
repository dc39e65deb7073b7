"""How often the 95 % intervals hold the truth, over many runs: `python bench/interval_coverage.py`.

Each run is 20 replications of a queue that starts empty; MSER-5 judges the warm-up of the run from
the average over its replications; the mean and the p95 of each replication go into a t interval.
"""

import argparse
import json
import sys

import numpy as np

from sim.errors import NotConverged
from sim.queueing.mg1 import mg1
from sim.queueing.mmc import mmc
from sim.queueing.sample_path import fcfs_waits_s
from sim.queueing.service import service_time
from sim.replicate import mean_interval, mser5, sweep

REPLICATIONS = 20
JOBS = 20_000
QUEUES = {  # servers, arrivals/s, service
    "M/M/1": (1, 0.7, service_time(1.0, 1.0)),
    "M/M/4": (4, 2.8, service_time(1.0, 1.0)),
    "M/G/1": (1, 0.7, service_time(1.0, 2.0)),
}


def truth(name):
    servers, rate, service = QUEUES[name]
    station = mmc(rate, service.mean_s, servers) if servers > 1 else mg1(rate, service)
    return station.mean_sojourn_s, station.sojourn.quantile_s(0.95)


def one_run(name, rng):
    """Whether this run's intervals hold the true mean and the true p95."""
    servers, rate, service = QUEUES[name]
    sojourns = np.empty((REPLICATIONS, JOBS))
    for row, stream in enumerate(rng.spawn(REPLICATIONS)):
        arrivals = np.cumsum(stream.exponential(1 / rate, JOBS))
        services = service.draws_s(stream, JOBS)
        sojourns[row] = fcfs_waits_s(arrivals, services, servers) + services
    try:
        steady = sojourns[:, mser5(sojourns) :]
    except NotConverged:  # chance: the average of 20 rarely looks unsettled to the end
        steady = sojourns[:, JOBS // 2 :]
    mean, p95 = truth(name)
    return (
        mean_interval(steady.mean(axis=1)).holds(mean),
        mean_interval(np.quantile(steady, 0.95, axis=1)).holds(p95),
    )


def coverage(runs, seed, workers=None):
    """{queue: (share of runs whose interval holds the mean, the same for the p95)}."""
    table = sweep(one_run, list(QUEUES), runs, seed, workers=workers)
    return {
        name: tuple(float(share) for share in np.mean(np.array(row, dtype=float), axis=0))
        for name, row in zip(QUEUES, table, strict=True)
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--runs", type=int, default=1000)
    arguments.add_argument("--seed", type=int, default=20261124)
    arguments.add_argument("--workers", type=int)
    arguments.add_argument("--json", action="store_true", help="print the table as JSON alone")
    asked = arguments.parse_args()
    found = coverage(asked.runs, asked.seed, asked.workers)
    if asked.json:
        json.dump(found, sys.stdout)
        return
    print(f"coverage of 95 % intervals over {asked.runs} runs, seed {asked.seed}")
    print(f"{'queue':8}{'mean':>10}{'p95':>10}")
    for name, (mean, p95) in found.items():
        print(f"{name:8}{mean:10.1%}{p95:10.1%}")
    from record import record

    entries = []
    for name, shares in found.items():
        for metric, share in zip(("mean", "p95"), shares, strict=True):
            entries.append(
                {
                    "name": f"interval coverage {metric} {name}",
                    "value": share,
                    "unit": "fraction",
                    "ratio_to": "nominal 0.95",
                    "ratio": share / 0.95,
                    "repeats": asked.runs,
                }
            )
    record(entries)


if __name__ == "__main__":
    main()
