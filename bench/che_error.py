"""Che's approximation against exact LRU, over the grid of the docs: `python bench/che_error.py`.

Prints the worst error over cache sizes for each (items, exponent), in percentage points.
"""

import argparse
import json
import sys

import numpy as np
from record import record

from sim.cache import lru_hit_fraction
from sim.cache.trace import lru_hits
from sim.workload import Zipf, zipf_probabilities

ITEMS = (10_000, 100_000, 1_000_000)
EXPONENTS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
SHARES = (0.001, 0.01, 0.1, 0.5)
SEED = 4


def errors_pp(items, exponent):
    """{share of the items that fit: Che minus exact LRU over the second half of a trace, pp}."""
    lookups = 10_000_000 + 40 * items
    keys = Zipf(items, exponent).ranks(lookups, np.random.default_rng(SEED)).astype(np.int32)
    law, found = zipf_probabilities(items, exponent), {}
    for share in SHARES:
        capacity = int(items * share)
        exact = lru_hits(keys, capacity)[lookups // 2 :].mean()
        found[share] = 100 * float(lru_hit_fraction(law, capacity) - exact)
    return found


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true", help="print all errors as JSON alone")
    arguments.add_argument("--items", type=int, nargs="*", default=ITEMS)
    asked = arguments.parse_args()
    rows, entries = [], []
    if not asked.json:
        print("| items | " + " | ".join(f"Zipf {exponent}" for exponent in EXPONENTS) + " |")
        print("|---" * (len(EXPONENTS) + 1) + "|")
    for items in asked.items:
        grid = {exponent: errors_pp(items, exponent) for exponent in EXPONENTS}
        worst = [max(grid[exponent].values(), key=abs) for exponent in EXPONENTS]
        rows += [(items, x, share, e) for x, row in grid.items() for share, e in row.items()]
        entries.append(
            {
                "name": f"Che's error, {items} items, worst",
                "value": max(worst, key=abs),
                "unit": "percentage points",
                "ratio_to": "0.1 pp",
                "ratio": abs(max(worst, key=abs)) / 0.1,
                "repeats": 1,
            }
        )
        if not asked.json:
            print(f"| {items:,} | " + " | ".join(f"{e:+.3f}" for e in worst) + " |", flush=True)
    if asked.json:
        json.dump(rows, sys.stdout)
    else:
        record(entries)


if __name__ == "__main__":
    main()
