"""Requests per second of both engines beside SimPy by hand and Ciw, on one three-tier model.

Interleaved rounds in one run, median of each, so that a slow minute of the machine hits all alike.
    python bench/engines.py [rounds]
"""

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import ciw
import numpy as np
import simpy
from record import record

from sim import des, kernel
from sim.kernel.stream import simulate_stream
from sim.model import (
    CacheFamily,
    CacheRestart,
    Client,
    Crash,
    Delay,
    Demand,
    Drain,
    Fill,
    Group,
    Guard,
    Hold,
    Host,
    Invalidate,
    Limit,
    Lookup,
    Pool,
    RateLimit,
    ReplicaSet,
    Replicate,
    Route,
    Spawn,
    StackModel,
    Station,
    Visit,
)

from sim.model import Autoscaler, Breaker  # isort: skip
from sim.workload.trace import Trace

LOAD_PER_S = 100.0
TIERS = (("web", 2, 0.014), ("api", 4, 0.028), ("database", 2, 0.014))
SMALL, MIDDLE, LARGE = 5_000, 20_000, 2_000_000


def exponential(mean_s: float) -> Demand:
    return Demand(mean_s, distribution="exponential")


PLAIN = StackModel(
    tuple(Station(name, slots) for name, slots, _ in TIERS),
    (Route("get", tuple(Visit(name, exponential(mean_s)) for name, _, mean_s in TIERS)),),
)


def everything() -> StackModel:
    """A stack with every feature on."""
    api = tuple(f"api-{i}" for i in range(6))
    db = ("db-0", "db-1", "db-2")
    read = Visit("db", exponential(0.004), "secondary")
    miss = (Guard("breaker", (Hold("pool", (read,)),)), Fill("pages"))
    burst = Visit("api", Demand(0.006, 0.8))
    return StackModel(
        stations=(
            Station("web", 2, host="edge"),
            *(Station(name, 1, queue_limit=200) for name in api),
            *(Station(name, 8, host="data") for name in db),
            Station("worker", 2),
            Station("search", 4, discipline="ps"),
        ),
        hosts=(Host("edge", 2), Host("data", 4, 0.1)),
        groups=(Group("api", api, "power_of_two"),),
        replica_sets=(ReplicaSet("db", db, 2.0, 1_000),),
        pools=(Pool("pool", 10, "api"),),
        families=(CacheFamily("pages", 30.0, 1_000, keys_per_group=50, coalesce=True),),
        limits=(RateLimit("limit", 50.0, 100.0, users=1_000),),
        breakers=(Breaker("breaker"),),
        autoscalers=(Autoscaler("api", 3, 6, 5, 0.6, 60.0, 30.0, 120.0),),
        client=Client(timeout_s=2.0, retries=2, backoff_s=0.1, budget_fraction=0.1),
        disruptions=(
            Crash("db-0", 60.0, 90.0),
            Drain("api-0", 120.0, 140.0),
            CacheRestart(200.0, 205.0),
        ),
        routes=(
            Route(
                "read",
                (
                    Visit("web", exponential(0.001)),
                    Limit("limit"),
                    Lookup("pages", hit=(burst,), miss=(burst, *miss)),
                    Delay(exponential(0.002)),
                ),
            ),
            Route(
                "write",
                (
                    burst,
                    Hold("pool", (Visit("db", exponential(0.004)),)),
                    Replicate("db", exponential(0.05), exponential(0.001)),
                    Invalidate("pages", modulus=20),
                    Spawn((Visit("worker", exponential(0.01)),)),
                ),
            ),
            Route("search", (burst, Visit("search", exponential(0.01)))),
        ),
    )


def trace(
    requests: int, load_per_s: float = LOAD_PER_S, seed: int = 1, first_s: float = 0
) -> Trace:
    rng = np.random.default_rng(seed)
    zero = np.zeros(requests, np.int64)
    arrival_s = first_s + np.cumsum(rng.exponential(1 / load_per_s, requests))
    return Trace(arrival_s, ("get",), zero.astype(np.int16), zero, zero)


def mixed_trace(requests: int) -> Trace:
    rng = np.random.default_rng(2)
    return replace(
        trace(requests, 400.0),
        operations=("read", "write", "search"),
        operation=rng.choice(3, requests, p=(0.8, 0.1, 0.1)).astype(np.int16),
        key=rng.zipf(1.3, requests) % 1_000,
        user=rng.integers(0, 1_000, requests),
    )


def by_hand(requests: int) -> None:
    """The least that SimPy needs for three M/M/c in a row: its own documentation's pattern."""
    env = simpy.Environment()
    rng = np.random.default_rng(1)
    tiers = [(simpy.Resource(env, slots), mean_s) for _, slots, mean_s in TIERS]
    draws = [rng.exponential(mean_s, requests).tolist() for _, _, mean_s in TIERS]
    gaps = rng.exponential(1 / LOAD_PER_S, requests).tolist()
    sojourns = []

    def request(number: int) -> Iterator[simpy.Event]:
        begun = env.now
        for (tier, _), demand in zip(tiers, draws, strict=True):
            with tier.request() as slot:
                yield slot
                yield env.timeout(demand[number])
        sojourns.append(env.now - begun)

    def source() -> Iterator[simpy.Event]:
        for number, gap in enumerate(gaps):
            yield env.timeout(gap)
            env.process(request(number))

    env.process(source())
    env.run()


def in_ciw(requests: int) -> None:
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(LOAD_PER_S), None, None],
        service_distributions=[ciw.dists.Exponential(1 / mean_s) for _, _, mean_s in TIERS],
        number_of_servers=[slots for _, slots, _ in TIERS],
        routing=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]],
    )
    ciw.seed(1)
    ciw.Simulation(network).simulate_until_max_customers(requests)


def peak_memory(requests: int) -> None:
    """Stream so many requests through the plain model and print the process's peak memory."""
    size = 1_000_000

    def chunks() -> Iterator[Trace]:
        reached_s = 0.0
        for number in range(requests // size):
            chunk = trace(size, seed=number, first_s=reached_s)
            reached_s = float(chunk.arrival_s[-1])
            yield chunk

    begun = time.perf_counter()
    run = simulate_stream(PLAIN, chunks(), seed=1)
    per_s = requests / (time.perf_counter() - begun)
    # Not ru_maxrss: a child inherits its parent's.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak_mb = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(f"{run.quantile_s(0.95):.6g} {per_s:.6g} {peak_mb:.6g}")


def main(rounds: int) -> None:
    begun = time.perf_counter()
    kernel.simulate(PLAIN, trace(10), seed=1)
    full, mix, few = everything(), mixed_trace(LARGE // 4), mixed_trace(MIDDLE)
    kernel.simulate(full, few, seed=1)
    ready_s = time.perf_counter() - begun
    few_plain, many_plain = trace(MIDDLE), trace(LARGE)
    shared = replace(PLAIN, client=Client(timeout_s=1e6))  # an event loop, not the short way
    work: dict[str, tuple[int, Callable[[], object]]] = {
        "ciw": (SMALL, lambda: in_ciw(SMALL)),
        "simpy by hand": (MIDDLE, lambda: by_hand(MIDDLE)),
        "des": (MIDDLE, lambda: des.simulate(PLAIN, few_plain, seed=1)),
        "kernel": (LARGE, lambda: kernel.simulate(PLAIN, many_plain, seed=1)),
        "kernel event loop": (LARGE, lambda: kernel.simulate(shared, many_plain, seed=1)),
        "des, every feature": (MIDDLE, lambda: des.simulate(full, few, seed=1)),
        "kernel, every feature": (LARGE // 4, lambda: kernel.simulate(full, mix, seed=1)),
    }
    rates: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, (requests, run) in work.items():
            begun = time.perf_counter()
            run()
            rates[name].append(requests / (time.perf_counter() - begun))
    median = {name: statistics.median(values) for name, values in rates.items()}
    ratio_to = {
        "des": "simpy by hand",
        "kernel": "des",
        "kernel event loop": "des",
        "kernel, every feature": "des, every feature",
    }
    entries = []
    for name, value in median.items():
        other = ratio_to.get(name)
        ratio = value / median[other] if other else None
        beside = f"{ratio:8.2f} × {other}" if ratio else ""
        print(f"{name:24}{value:14,.0f} requests/s {beside}")
        entries.append(
            {
                "name": f"engines: {name}",
                "value": value,
                "unit": "requests/s",
                "ratio_to": f"engines: {other}" if other else None,
                "ratio": ratio,
                "repeats": rounds,
            }
        )
    print(f"{'kernel ready in':24}{ready_s:14.2f} s (compiling, or loading what was compiled)")
    command = [sys.executable, __file__, "--peak-memory", str(10**8)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    p95_s, per_s, peak_mb = map(float, answer.stdout.split())
    assert math.isfinite(p95_s)
    print(f"{'10^8 requests streamed':24}{per_s:14,.0f} requests/s, peak memory {peak_mb:.0f} MB")
    single = {"ratio_to": None, "ratio": None, "repeats": 1}
    entries += [
        {"name": "engines: kernel ready", "value": ready_s, "unit": "s", **single},
        {"name": "engines: 10^8 peak memory", "value": peak_mb, "unit": "MB", **single},
        {"name": "engines: 10^8 streamed", "value": per_s, "unit": "requests/s", **single},
    ]
    record(entries)


if __name__ == "__main__":
    if "--peak-memory" in sys.argv:
        peak_memory(int(sys.argv[-1]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
