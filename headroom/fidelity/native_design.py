"""What is offered natively: one and two API servers, three mixes, each at loads of its own.

Not dilated: the parts share this machine's cores with the load generator. One mongod, for the
members of a replica set would share the cores too; no search node, for the same reason. Entries
live for seconds, so that a cell of ten seconds sees the cache at work and not its first fill only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from headroom.fidelity.topologies import CATALOGUE, SKEW
from sim.scenario import Family, Operation, Scenario

REPLICAS = (1, 2)
MIXES: Mapping[str, Mapping[str, float]] = {
    "cached-reads": {"list": 0.50, "favourites": 0.30, "detail": 0.20},
    "database-reads": {"detail": 0.70, "list": 0.15, "list_cursor": 0.15},
    "writes": {"favourite_add": 0.30, "product_update": 0.10, "favourites": 0.30, "list": 0.30},
}
TTL_S = {"listing": 2.0, "favourites": 3.0}
LOADS = (0.25, 0.40, 0.55, 0.70)  # of the maximum throughput that is predicted, or of less:
MOST_PER_S = 980.0  # the highest of them is at most this, for one generator gives no more in time
REPEATED = 0.40  # is offered twice, the same requests at the same rate
IN_FLIGHT = 64  # of the closed load that saturates
WARMUP_S, MEASURED_S = 2.0, 10.0
CALIBRATION_LOADS_PER_S = (80.0, 160.0, 240.0, 320.0)  # the calibration's is half of the lowest
# Each cell by name: the share of the maximum; 0 is the closed load.
CELLS: Mapping[str, float] = {f"at-{load * 100:.0f}": load for load in LOADS} | {
    f"at-{REPEATED * 100:.0f}-again": REPEATED,
    "closed": 0.0,
}


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
