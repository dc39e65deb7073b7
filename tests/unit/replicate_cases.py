"""Functions that sweeps in the tests call; worker processes import them from here."""

import os
import signal
from pathlib import Path

import numpy as np

from sim.errors import UnstableStation


def draw_and_sum(case: float, rng: np.random.Generator) -> dict[str, float]:
    """A little work with every kind of result that must come back unchanged."""
    draws = rng.exponential(case, 2000)
    return {"case": case, "mean": float(draws.mean()), "largest": float(draws.max())}


def draw_many(case: float, rng: np.random.Generator) -> float:
    """A few milliseconds of work, so that a worker dies in the middle of some."""
    return float(rng.exponential(case, 300_000).max())


def first_draw(case: float, rng: np.random.Generator) -> float:
    return case + rng.random()


def fail_on_three(case: int, rng: np.random.Generator) -> int:
    if case == 3:
        raise UnstableStation("station three", 1.5)
    return case


def die_once(case: Path, rng: np.random.Generator) -> float:
    """Kills its own process the first time anybody computes it."""
    try:
        case.touch(exist_ok=False)
    except FileExistsError:
        return rng.random()
    os.kill(os.getpid(), signal.SIGKILL)
    return -1.0


def die_always(case: int, rng: np.random.Generator) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def worker_pid(case: int, rng: np.random.Generator) -> int:
    return os.getpid()


def unsendable(case: int, rng: np.random.Generator) -> object:
    return lambda: case
