"""Zipf popularity: the item of rank r is asked for in proportion to (r + 1) ** -exponent.

Ranks count from 0 here, so that a rank is an index. Exponent 0 is uniform; web requests are mostly
found between 0.6 and 1.2 [breslau1999].

Assumes: popularity falls with rank by one power, the same all day; requests are independent.
Lies when: the most popular few are flatter than the law (they often are; the fit says so);
    popularity moves from day to day.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sim.errors import require

LARGEST_TABLE = 2**24
"""Items up to which probabilities are tabulated (128 MiB); above, sampling needs no table."""


def _check(items: int, exponent: float) -> None:
    require(
        isinstance(items, int | np.integer) and 1 <= items <= 10**12,
        "popularity.items",
        items,
        "a whole number from 1 to 10^12",
    )
    require(
        isinstance(exponent, int | float | np.number)
        and math.isfinite(exponent)
        and 0 <= exponent <= 5,
        "popularity.exponent",
        exponent,
        "a number from 0 to 5",
    )


def zipf_probabilities(items: int, exponent: float) -> NDArray[np.float64]:
    """Probability of each of `items` ranks under a Zipf law.

    Args:
        items: how many items there are, 1 … 2^24 (larger catalogues: `Zipf.classes`).
        exponent: of the Zipf law, 0 (uniform) … 5.
    Returns: float64[items], falling, summing to 1. Index 0 is the most popular item.
    Raises: InvalidScenario outside those domains.
    Source: [breslau1999, §2].

    >>> zipf_probabilities(3, 1.0).round(4).tolist()  # 1, 1/2, 1/3 over their sum 11/6
    [0.5455, 0.2727, 0.1818]
    """
    _check(items, exponent)
    require(items <= LARGEST_TABLE, "popularity.items", items, "at most 2^24 for a full table")
    weights = np.arange(1, items + 1, dtype=np.float64) ** -float(exponent)
    return np.asarray(weights / weights[::-1].sum(), dtype=np.float64)


@lru_cache(maxsize=16)
def _cumulative(items: int, exponent: float) -> NDArray[np.float64]:
    cumulative = np.cumsum(zipf_probabilities(items, exponent))
    cumulative[-1] = 1.0
    cumulative.setflags(write=False)
    return cumulative


@lru_cache(maxsize=8)
def _classes(
    items: int, exponent: float, single_ranks: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    head = np.arange(1, min(items, single_ranks) + 1, dtype=np.float64)
    edges = [float(head.size)]
    while edges[-1] < items:
        edges.append(min(float(items), math.ceil(edges[-1] * 1.02)))
    low, high = np.array(edges[:-1]) + 0.5, np.array(edges[1:]) + 0.5
    members = np.concatenate([np.ones(head.size), high - low])
    tail = _integral(high, exponent) - _integral(low, exponent)
    # Euler–Maclaurin by midpoints: the sum differs from the integral by f'/24 at the ends.
    slope = exponent + 1.0
    tail += exponent * (high**-slope - low**-slope) / 24.0
    weights = np.concatenate([head**-exponent, np.maximum(tail, 0.0)])
    probability = weights / members / weights[::-1].sum()
    for shared in (probability, members):
        shared.setflags(write=False)
    return probability, members


@dataclass(frozen=True)
class Zipf:
    """A Zipf law over `items` items, 1 … 10^12, with exponent 0 … 5.

    Raises: InvalidScenario outside those domains.
    """

    items: int
    exponent: float

    def __post_init__(self) -> None:
        _check(self.items, self.exponent)

    def classes(self, single_ranks: int = 4096) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The law in a few thousand classes of equally popular items, whatever the number of items.

        The first `single_ranks` ranks are a class each; beyond them a class spans 2 % in rank, and
        its members get its mean probability (its sum is exact to 1e-9).

        Returns: (probability of one member, number of members) per class, in order of rank;
            probability @ number is 1.

        >>> probability, members = Zipf(10**12, 1.0).classes()
        >>> members.size < 6000, float(members.sum()), round(float(probability @ members), 12)
        (True, 1000000000000.0, 1.0)
        """
        return _classes(self.items, self.exponent, single_ranks)

    def ranks(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw `count` ranks, independent, each in [0, items).

        Up to 2^24 items by inversion of the tabulated distribution; above by rejection-inversion,
        which is exact too and needs no table.
        Source: [hormann1996] for the latter.

        >>> Zipf(1, 0.9).ranks(3, np.random.default_rng(1)).tolist()
        [0, 0, 0]
        """
        if self.items == 1:
            return np.zeros(count, dtype=np.int64)
        if self.exponent == 0:
            return rng.integers(0, self.items, size=count, dtype=np.int64)
        if self.items <= LARGEST_TABLE:
            table = _cumulative(self.items, float(self.exponent))
            found = np.searchsorted(table, rng.random(count), side="right")
            return found.astype(np.int64, copy=False)
        return self._ranks_by_rejection(count, rng)

    def _ranks_by_rejection(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Rejection-inversion: invert the integral H of x ** -exponent, reject the overshoot."""
        low = _integral(1.5, self.exponent) - 1.0
        high = _integral(self.items + 0.5, self.exponent)
        ranks = np.empty(count, dtype=np.int64)
        open_places = np.arange(count)
        while open_places.size:
            u = low + (high - low) * rng.random(open_places.size)
            x = _inverse_integral(u, self.exponent)
            k = np.clip(np.rint(x), 1, self.items)
            accepted = u >= _integral(k + 0.5, self.exponent) - k**-self.exponent
            ranks[open_places[accepted]] = k[accepted].astype(np.int64) - 1
            open_places = open_places[~accepted]
        return ranks


def _integral(x: NDArray[np.float64] | float, exponent: float) -> NDArray[np.float64]:
    """∫₁ˣ t ** -exponent dt, without cancellation when the exponent is near 1."""
    log_x = np.log(np.asarray(x, dtype=np.float64))
    slope = 1.0 - exponent
    if abs(slope) < 1e-12:
        return np.asarray(log_x)
    return np.asarray(np.expm1(slope * log_x) / slope)


def _inverse_integral(u: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    slope = 1.0 - exponent
    if abs(slope) < 1e-12:
        return np.asarray(np.exp(u))
    # u below H's infimum can occur by rounding only; it stands for the last rank.
    return np.asarray(np.exp(np.log1p(np.maximum(slope * u, -1.0 + 1e-16)) / slope))
