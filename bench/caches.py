"""Lookups per second of the compiled cache simulators, and the fit of the sampled-LRU pool gain.

`python bench/caches.py` records rates; `python bench/caches.py fit` prints the fit.
"""

import statistics
import sys
import time

import numpy as np
from record import record

from sim.cache import redis_lru
from sim.cache.trace import lru_hits, sampled_lru_hits, ttl_hits
from sim.workload import Zipf

LOOKUPS, REPEATS, EXPONENT = 20_000_000, 5, 0.9


def per_second(run):
    run()  # compiled and in memory
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return LOOKUPS / statistics.median(times)


def rates():
    entries = []
    for items in (10**4, 10**5, 10**6, 10**7):
        keys = Zipf(items, EXPONENT).ranks(LOOKUPS, np.random.default_rng(1)).astype(np.int32)
        times, capacity = np.arange(LOOKUPS, dtype=np.float64), items // 10
        runs = {
            "lru": lambda keys=keys, capacity=capacity: lru_hits(keys, capacity),
            "ttl": lambda keys=keys, times=times, items=items: ttl_hits(times, keys, float(items)),
            "sampled lru": lambda keys=keys, capacity=capacity: sampled_lru_hits(
                keys, capacity, np.random.default_rng(2)
            ),
        }
        for name, run in runs.items():
            value = per_second(run)
            entries.append(
                {
                    "name": f"cache trace simulator, {name}, {items} items",
                    "value": value,
                    "unit": "lookups/s",
                    "ratio_to": "50 M lookups/s",
                    "ratio": value / 50e6,
                    "repeats": REPEATS,
                }
            )
            print(f"{entries[-1]['name']}: {value / 1e6:.0f} M lookups/s")
    record(entries)


def fit():
    """Worst error of the model over exponents, cache sizes and samples, for each gain."""
    cases = []
    for exponent in (0.6, 0.9, 1.2):
        law = Zipf(10_000, exponent)
        keys = law.ranks(4_000_000, np.random.default_rng(1)).astype(np.int32)
        for samples in (3, 5, 10):
            for capacity in (100, 1000, 5000):
                hit = sampled_lru_hits(keys, capacity, np.random.default_rng(2), samples)
                cases.append((law.classes(500), capacity, samples, hit[1_500_000:].mean()))
    for gain in (1.4, 1.5, 1.6, 1.7, 1.8, 2.0, 2.5):
        redis_lru.POOL_GAIN = gain
        errors = [
            redis_lru.sampled_lru_hit_fraction(rates, capacity, samples, members) - found
            for (rates, members), capacity, samples, found in cases
        ]
        worst, rms = np.max(np.abs(errors)), np.sqrt(np.mean(np.square(errors)))
        print(f"gain {gain}: worst {100 * worst:.3f} pp, rms {100 * rms:.3f} pp")


if __name__ == "__main__":
    fit() if sys.argv[1:] == ["fit"] else rates()
