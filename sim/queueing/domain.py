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
    """A number above 0, checked.

    Args:
        path: of the input.
        value: 1e-15..1e15, in the input's own unit.
    Returns: it as a float.
    Raises: InvalidScenario outside that domain, naming `path`.
    Source: the bounds of this module.

    >>> positive("service_s", 2)
    2.0
    """
    holds = _is_number(value) and SMALLEST <= value <= LARGEST
    require(holds, path, value, "a number from 1e-15 to 1e15")
    return float(value)


def non_negative(path: str, value: float) -> float:
    """A number not below 0, checked.

    Args:
        path: of the input.
        value: 0 or 1e-15..1e15, in the input's own unit.
    Returns: it as a float.
    Raises: InvalidScenario outside that domain, naming `path`.
    Source: the bounds of this module.

    >>> non_negative("think_s", 0)
    0.0
    """
    holds = _is_number(value) and (value == 0 or SMALLEST <= value <= LARGEST)
    require(holds, path, value, "0, or a number from 1e-15 to 1e15")
    return float(value)


def fraction(path: str, value: float) -> float:
    """A share, checked.

    Args:
        path: of the input.
        value: 0..1.
    Returns: it as a float.
    Raises: InvalidScenario outside that domain, naming `path`.
    Source: the bounds of this module.

    >>> fraction("hit_fraction", 1)
    1.0
    """
    require(_is_number(value) and 0 <= value <= 1, path, value, "a number from 0 to 1")
    return float(value)


def open_fraction(path: str, value: float) -> float:
    """A share that is neither none nor all, checked.

    Args:
        path: of the input.
        value: a share, strictly between 0 and 1.
    Returns: it as a float.
    Raises: InvalidScenario outside that domain, naming `path`.
    Source: the bounds of this module.

    >>> open_fraction("quantile", 0.95)
    0.95
    """
    require(_is_number(value) and 0 < value < 1, path, value, "a number between 0 and 1")
    return float(value)


def count(path: str, value: int, most: int, least: int = 1) -> int:
    """A whole number, checked.

    Args:
        path: of the input.
        value: least..most.
        most, least: the ends, both allowed.
    Returns: it as an int.
    Raises: InvalidScenario outside that domain, naming `path`.
    Source: the bounds of this module.

    >>> count("users", 7, most=10)
    7
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    require(whole and least <= value <= most, path, value, f"a whole number {least}..{most}")
    return int(value)


def servers_count(value: int) -> int:
    """A number of servers, checked.

    Args:
        value: 1..10⁶.
    Returns: it as an int.
    Raises: InvalidScenario outside that domain, naming `path`.
    Source: the bounds of this module.

    >>> servers_count(2)
    2
    """
    return count("servers", value, MOST_SERVERS)


def positives(path: str, values: Sequence[float]) -> tuple[float, ...]:
    """Numbers above 0, checked.

    Args:
        path: of the input.
        values: at least one, each as in `positive`.
    Returns: them as floats.
    Raises: InvalidScenario outside that domain, naming `path`.
    Source: the bounds of this module.

    >>> positives("demands_s", [1, 2])
    (1.0, 2.0)
    """
    require(len(values) >= 1, path, list(values), "at least one number")
    return tuple(positive(f"{path}[{place}]", value) for place, value in enumerate(values))


def stable(station: str, utilisation_fraction: float) -> float:
    """The utilisation of a station that has a steady state.

    Args:
        station: its name, for the error.
        utilisation_fraction: offered work over capacity.
    Returns: it, below 1.
    Raises: UnstableStation from 1 on, or for NaN.
    Source: [shortle2018, §3.2].

    >>> stable("api", 0.5)
    0.5
    """
    if not utilisation_fraction < 1:
        raise UnstableStation(station, utilisation_fraction)
    return utilisation_fraction
