"""Speed-up of a sweep of 200 scenarios × 30 replications on two cores: `python bench/sweep.py`.

Runs with one and two workers alternate; the median of each counts. The bytes must agree, also with
those of a Dask cluster of two workers, one of which is killed half-way.
"""

import argparse
import contextlib
import os
import pickle
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    return time.perf_counter() - start, as_bytes(table)


@contextlib.contextmanager
def cluster():
    """Address of a Dask scheduler on this machine, and the processes of its two workers."""
    from distributed import Client

    roots = os.pathsep.join(str(Path(__file__).parents[up]) for up in (0, 1))
    settings = {"PYTHONPATH": roots, "DASK_DISTRIBUTED__WORKER__PRELOAD": "[]"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def started(*words):
        command = [sys.executable, "-m", "dask", *words, "--host", "127.0.0.1", "--no-dashboard"]
        return subprocess.Popen(command, env=os.environ | settings, **quiet)

    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder) / "scheduler.json")
        worker = ("worker", "--scheduler-file", address, "--no-nanny", "--nthreads", "1")
        processes = [started("scheduler", "--port", "0", "--scheduler-file", address)]
        processes += [started(*worker, "--local-directory", folder) for _ in range(2)]
        try:
            with Client(scheduler_file=address, timeout=60, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=60)
                yield client.scheduler.address, processes[1:]
        finally:
            for process in processes:
                process.kill()
                process.wait()


def on_dask():
    """The sweep's bytes from two Dask workers, one killed half-way; and the seconds it took."""
    import sweep as this  # so that workers find the function by the module's name

    with cluster() as (address, workers):
        killed = []

        def kill_half_way(done, total):
            if not killed and done >= total / 2:
                os.kill(workers[0].pid, signal.SIGKILL)
                killed.append(done)

        start = time.perf_counter()
        table = sweep(
            this.p95_sojourn_s,
            CASES,
            30,
            seed=20261124,
            dask_address=address,
            progress=kill_half_way,
        )
        assert killed, "no worker was killed"
        return time.perf_counter() - start, as_bytes(table)


def as_bytes(table):
    return [[pickle.dumps(value) for value in row] for row in table]


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
    seconds, survived = on_dask()
    assert survived == both, "the cluster's bytes are others"
    print(f"Dask, two workers, one killed half-way: {seconds:.1f} s, the same bytes")
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
