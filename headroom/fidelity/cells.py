"""The cells of a topology: its loads, how long each is offered, and in which order."""

import zlib
from dataclasses import dataclass

import numpy as np

CELL_S = 33.0  # real seconds, warm-up included
WARMUP_S = 5.0
LOW_TARGET = 0.20  # the constants are fitted at this utilisation, and nothing is judged there
LOW_S = 20.0


@dataclass(frozen=True)
class Cell:
    """One load on one topology. All times and rates are of dilated, that is real, time.

    Args:
        name: unique in its topology.
        target: utilisation of the busiest machine that the load was chosen for.
        load_per_s: requests offered per second; of closed users: by which they were numbered.
        seed: of its requests and of their demands.
        users: who wait for their answers, and think, before they ask again; 0: requests come
            whatever became of those before.
    """

    name: str
    target: float
    load_per_s: float
    seed: int
    warmup_s: float = WARMUP_S
    duration_s: float = CELL_S
    users: int = 0


def seed_of(occasion: str, topology: str, name: str) -> int:
    """A seed of its own for each cell of each occasion."""
    return zlib.crc32(f"{occasion}/{topology}/{name}".encode())


def shuffled(names: list[str], occasion: str) -> list[str]:
    """The order of an occasion, so that a drift of the machine falls on all alike."""
    rng = np.random.default_rng(zlib.crc32(occasion.encode()))
    return [names[place] for place in rng.permutation(len(names))]
