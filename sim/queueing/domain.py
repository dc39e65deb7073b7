"""Which numbers the models of this package accept, and the one clear error for all others.

The bounds are wide enough for every real system (a nanosecond, 10^12 users) and narrow enough that
no formula here overflows, underflows to a division by zero, or loops for hours.
"""

from collections.abc import Sequence

import numpy as np

from sim.errors import UnstableStation, require

SMALLEST = 1e-15
LARGEST = 1e15
MOST_SERVERS = 1_000_000


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def positive(path: str, value: float) -> float:
    """`value` as a float, if it lies in 1e-15..1e15; else InvalidScenario naming `path`."""
    holds = _is_number(value) and SMALLEST <= value <= LARGEST
    require(holds, path, value, "a number from 1e-15 to 1e15")
    return float(value)


def non_negative(path: str, value: float) -> float:
    """`value` as a float, if it is 0 or lies in 1e-15..1e15; else InvalidScenario."""
    holds = _is_number(value) and (value == 0 or SMALLEST <= value <= LARGEST)
    require(holds, path, value, "0, or a number from 1e-15 to 1e15")
    return float(value)


def fraction(path: str, value: float) -> float:
    """`value` as a float, if it lies in 0..1; else InvalidScenario."""
    require(_is_number(value) and 0 <= value <= 1, path, value, "a number from 0 to 1")
    return float(value)


def open_fraction(path: str, value: float) -> float:
    """`value` as a float, if it lies strictly between 0 and 1; else InvalidScenario."""
    require(_is_number(value) and 0 < value < 1, path, value, "a number between 0 and 1")
    return float(value)


def count(path: str, value: int, most: int, least: int = 1) -> int:
    """`value` as an int, if it is a whole number in least..most; else InvalidScenario."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    require(whole and least <= value <= most, path, value, f"a whole number {least}..{most}")
    return int(value)


def servers_count(value: int) -> int:
    """`value` as an int, if it is a possible number of servers; else InvalidScenario."""
    return count("servers", value, MOST_SERVERS)


def positives(path: str, values: Sequence[float]) -> tuple[float, ...]:
    """Each of `values` as `positive` checks it; at least one of them."""
    require(len(values) >= 1, path, list(values), "at least one number")
    return tuple(positive(f"{path}[{place}]", value) for place, value in enumerate(values))


def stable(station: str, utilisation_fraction: float) -> float:
    """`utilisation_fraction`, if it is below 1; else UnstableStation naming `station`."""
    if not utilisation_fraction < 1:
        raise UnstableStation(station, utilisation_fraction)
    return utilisation_fraction
