"""Steady-state unavailability of parts in series, in parallel and k of n, with common causes.

All functions work in *unavailability*, the share of time that something is down, since a part that
is down one second in a year cannot be told from a perfect one as 1 minus that. All take numbers or
arrays that broadcast against each other: one value per future.

Assumes: parts fail independently of each other but for the common cause; exponential times between
    failures; repairs start at once and do not wait for each other.
Lies when: a failed part overloads the others (a cascade), or repairs queue for one person.
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sim.errors import require
from sim.queueing.domain import count

Shares = npt.ArrayLike
Array = npt.NDArray[np.float64]

MOST_PARTS = 1000


def shares(path: str, values: Shares) -> Array:
    """`values` as an array of shares of time, 0..1; else InvalidScenario naming `path`."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array([np.nan])
    good = bool(np.all((array >= 0) & (array <= 1)))
    require(good, path, values, "numbers from 0 to 1")
    return array


def rates(path: str, values: Shares) -> Array:
    """`values` as an array of finite numbers >= 0; else InvalidScenario naming `path`."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array([np.nan])
    good = bool(np.all(np.isfinite(array) & (array >= 0)))
    require(good, path, values, "finite numbers, 0 or more")
    return array


def alternating(failures_per_h: Shares, away_h: Shares) -> Array:
    """Unavailability of one part that fails and is repaired: away / (between failures + away).

    Args:
        failures_per_h: failures per hour of running, 1 over the mean time between them, >= 0.
        away_h: mean time until the part is back, h, >= 0.
    Returns: share of time down, 0..1.
    Raises: InvalidScenario outside those domains.
    Source: [trivedi2002, ch. 6], the alternating renewal process; only the means matter.

    >>> float(alternating(1 / 99, 1.0))  # 99 h up, 1 h down
    0.01
    """
    load = rates("failures_per_h", failures_per_h) * rates("away_h", away_h)
    return np.asarray(load / (1.0 + load))


def series(parts: Iterable[Shares]) -> Array:
    """Unavailability of parts that are all needed and fail independently.

    Args:
        parts: unavailability of each, 0..1.
    Returns: 1 minus the product of the availabilities, without losing small ones to rounding.
    Raises: InvalidScenario outside that domain.
    Source: [trivedi2002, §1.10].

    >>> float(series([0.5, 0.5]))
    0.75
    """
    total = np.zeros(())
    with np.errstate(divide="ignore"):
        for index, part in enumerate(parts):
            total = total + np.log1p(-shares(f"parts[{index}]", part))
    return np.asarray(-np.expm1(total))


def parallel(parts: Iterable[Shares]) -> Array:
    """Unavailability of parts of which any one is enough: the product.

    Args:
        parts: unavailability of each, 0..1, independent of each other.
    Returns: share of time in which all are down, 0..1; 1 for no part.
    Raises: InvalidScenario for a part outside 0..1.
    Source: [trivedi2002, §1.10].

    >>> float(parallel([0.5, 0.5]))
    0.25
    """
    total = np.ones(())
    for index, part in enumerate(parts):
        total = total * shares(f"parts[{index}]", part)
    return np.asarray(total)


def k_of_n(needed: int, parts: int, unavailability: Shares) -> Array:
    """Unavailability of a group that works while at least `needed` of `parts` alike do.

    Args:
        needed: parts that must be up, 0..1000; 0 is never down, more than `parts` always is.
        parts: parts in the group, 0..1000.
        unavailability: of each part, 0..1; independent of the others.
    Returns: P(fewer than `needed` are up), the binomial tail.
    Raises: InvalidScenario outside those domains.
    Source: [trivedi2002, §1.12].

    >>> round(float(k_of_n(2, 3, 0.1)), 6)  # 3 × 0.1² × 0.9 + 0.1³
    0.028
    """
    k = count("needed", needed, MOST_PARTS + 1, least=0)
    n = count("parts", parts, MOST_PARTS, least=0)
    down = shares("unavailability", unavailability)
    if k > n:
        return np.ones_like(down)
    if k == 0:
        return np.zeros_like(down)
    total = np.zeros_like(down)
    with np.errstate(under="ignore"):
        for lost in range(n - k + 1, n + 1):
            term = float(math.comb(n, lost)) * down**lost * (1.0 - down) ** (n - lost)
            total = total + term
            # Beyond the mean the terms only fall: what is left is below what a float can hold.
            past_mean = lost > n * float(np.max(down))
            if past_mean and float(np.max(term)) <= 1e-18 * float(np.max(total)):
                break
    return np.asarray(np.minimum(total, 1.0))


def with_common_cause(
    needed: int,
    parts: int,
    failures_per_h: Shares,
    away_h: Shares,
    common_cause_fraction: Shares,
) -> Array:
    """Unavailability of k of n alike parts of which a share of failures takes all at once.

    The beta-factor model: a part fails at rate λ; (1-β)λ of it is its own, βλ strikes the whole
    group (a bad release, a poisoned configuration, a full disk everywhere).

    Args:
        needed: parts that must be up.
        parts: parts in the group.
        failures_per_h: failures of one part per hour of running, λ, >= 0.
        away_h: mean time until a part, or the group, is back, h, >= 0.
        common_cause_fraction: β, 0..1; 0 is independence, 1 makes redundancy worthless.
    Returns: share of time with fewer than `needed` up.
    Raises: InvalidScenario outside those domains.
    Source: [iec61508, part 6, annex D]; 2 to 10 % is the usual range of β.

    >>> alone = float(alternating(0.01, 1.0))
    >>> both = float(with_common_cause(1, 2, 0.01, 1.0, 1.0))
    >>> round(both / alone, 9)  # β = 1: two are no better than one
    1.0
    """
    beta = shares("common_cause_fraction", common_cause_fraction)
    failures = rates("failures_per_h", failures_per_h)
    own = alternating(failures * (1.0 - beta), away_h)
    together = alternating(failures * beta, away_h)
    return series([k_of_n(needed, parts, own), together])
