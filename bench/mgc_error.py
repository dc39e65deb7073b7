"""Worst error of Allen–Cunneen over the range that sim/queueing/mgc.py states."""

import numpy as np

from sim.queueing.mgc import mgc
from sim.queueing.sample_path import fcfs_waits_s
from sim.queueing.service import service_time
from sim.replicate import sweep

JOBS, WARMUP = 200_000, 40_000
CASES = [
    (servers, utilisation, scv)
    for servers in (1, 2, 4, 8, 16, 64)
    for utilisation in (0.5, 0.7, 0.8, 0.9)
    for scv in (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
]


def simulated(case, rng):
    servers, utilisation, scv = case
    services = service_time(1.0, scv).draws_s(rng, JOBS)
    arrivals = np.cumsum(rng.exponential(1 / (servers * utilisation), JOBS))
    sojourns = (fcfs_waits_s(arrivals, services, servers) + services)[WARMUP:]
    return float(sojourns.mean()), float(np.quantile(sojourns, 0.95))


def main():
    table = sweep(simulated, CASES, 12, seed=20261124)
    worst = {}
    for case, row in zip(CASES, table, strict=True):
        servers, utilisation, scv = case
        station = mgc(servers * utilisation, 1.0, servers, scv)
        models = (station.mean_sojourn_s, station.sojourn.quantile_s(0.95))
        for metric, model, truth in zip(("mean", "p95"), models, np.mean(row, axis=0), strict=True):
            error = model / truth - 1
            if abs(error) > abs(worst.get(metric, (0.0, None))[0]):
                worst[metric] = (error, case)
            if abs(error) > 0.03:
                print(f"{metric:5} {case} {error:+.1%}")
    print({metric: (f"{error:+.2%}", case) for metric, (error, case) in worst.items()})


if __name__ == "__main__":
    main()
