"""What is offered natively: one and two API servers, three mixes, each at loads of its own.

Not dilated: the parts share this machine's cores with the load generator. One mongod, for the
members of a replica set would share the cores too; no search node, for the same reason. Entries
live for seconds, so that a cell of ten seconds sees the cache at work and not its first fill only.
Writes change what is there and add nothing: where users add favourites, their lists were up to
four times as long after three minutes, and a request for them cost what no calibration had seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headroom.fidelity.topologies import CATALOGUE, SKEW
from sim.scenario import Family, Operation, Scenario
from sim.workload import Trace, open_trace

REPLICAS = (1, 2)
MIXES: Mapping[str, Mapping[str, float]] = {
    "cached-reads": {"list": 0.50, "favourites": 0.30, "detail": 0.20},
    "database-reads": {"detail": 0.70, "list": 0.15, "list_cursor": 0.15},
    "writes": {"product_update": 0.30, "favourites": 0.30, "list": 0.40},
}
TTL_S = {"listing": 2.0, "favourites": 3.0}
# Of the maximum throughput that is predicted. A request costs more where servers rest between, so
# that the cores are busy for a larger share of the time.
LOADS = (0.25, 0.40, 0.50, 0.60)
MOST_PER_S = 950.0  # the highest of them is at most this, for one generator gives no more in time
REPEATED = 0.40  # is offered twice, the same requests at the same rate
IN_FLIGHT = 64  # of the closed load that is judged
WARMUP_S, MEASURED_S = 2.0, 10.0
# What calibrations see beside single requests and bursts: never a load that is judged.
SATURATING = 16  # in flight, of the closed load that weighs
STEADY = 1 / 3  # of that one's throughput, or of less: the open load that weighs
CALIBRATION_LOADS_PER_S = (80.0, 160.0, 240.0, 320.0)  # the calibration's is half of the lowest
# Each cell by name: the share of the maximum; 0 is the closed load.
CELLS: Mapping[str, float] = {f"at-{load * 100:.0f}": load for load in LOADS} | {
    f"at-{REPEATED * 100:.0f}-again": REPEATED,
    "closed": 0.0,
}
TRACE_STREAM = 40


@dataclass(frozen=True)
class System:
    """One stack under one mix."""

    mix: str
    replicas: int

    @property
    def name(self) -> str:
        """In file names and on the page."""
        return f"{self.mix}-{self.replicas}"

    @property
    def scenario(self) -> Scenario:
        """In native time."""
        mix = MIXES[self.mix]
        return Scenario.model_validate(
            {
                "name": f"native-{self.name}",
                "question": "Does this machine do what was said of it?",
                "workload": {
                    "registered_users": 200,
                    "daily_active_fraction": 1.0,
                    "requests_per_session": 1.0,
                    "mix": {Operation(operation): share for operation, share in mix.items()},
                    "catalogue": dict(CATALOGUE),
                    "popularity": dict(SKEW),
                },
                "topology": {
                    "load_balancer": {"policy": "round_robin"},
                    "api": {"replicas": self.replicas, "timeout_s": 10.0},
                    "cache": {
                        "families": {
                            Family(family): {
                                "ttl_s": ttl_s,
                                "cleared_by_product_update": family == "listing",
                            }
                            for family, ttl_s in TTL_S.items()
                        }
                    },
                    "database": {"members": 1},
                    "search": {"engine": "mongo_text"},
                },
                "objectives": {
                    "p95_s": 0.2,
                    "availability_fraction": 0.999,
                    "error_fraction": 0.001,
                },
                "experiment": {"loads_per_s": CALIBRATION_LOADS_PER_S},
            }
        )


SYSTEMS = {
    system.name: system
    for mix in MIXES
    for replicas in REPLICAS
    for system in [System(mix, replicas)]
}


def highest_per_s(maximum_per_s: float) -> float:
    """Of what the shares are taken: the maximum, or what one generator can try of it in time."""
    return min(maximum_per_s, MOST_PER_S / max(LOADS))


def trace_at(
    system: System, load_per_s: float, seed: int, duration_s: float = WARMUP_S + MEASURED_S
) -> Trace:
    """The requests of a cell: a pure function of its arguments."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(TRACE_STREAM,)))
    return open_trace(system.scenario.workload, load_per_s, duration_s, rng)
