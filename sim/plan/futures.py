"""The uncertain inputs of a plan, and futures in which each has one value.

An input is known by three numbers: what it is in the scenario, and the ends of the interval that
holds 90 % of what it may be. Below and above its centre it is spread like half a lognormal each (a
normal, for what may be 0 or less), so that centre and ends are its quantiles.

Each input has a random stream of its own, named after it: a future is the same for every
candidate, and another input or instance type changes none of the others.
"""

import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sim.errors import require

Floats = NDArray[np.float64]
Z90 = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True)
class Input:
    """One uncertain number.

    Args:
        name: unique; a path of the scenario, or what it is.
        low, centre, high: 5 % quantile, median and 95 % quantile.
        stated: in the scenario's `uncertainty`; else measured, or an assumption named in `basis`.
        basis: where the interval comes from.
        least, most: what the number can be at all.
    """

    name: str
    low: float
    centre: float
    high: float
    stated: bool
    basis: str
    least: float = -math.inf
    most: float = math.inf

    def __post_init__(self) -> None:
        ordered = self.low <= self.centre <= self.high
        require(ordered, f"uncertainty.{self.name}", (self.low, self.high), self._allowed)

    @property
    def _allowed(self) -> str:
        return f"an interval around the scenario's own {self.centre:g}"

    def at(self, z: Floats) -> Floats:
        """The value at standard normal deviates: -1.645 is the low end, 1.645 the high end.

        >>> growth = Input("growth", 1.0, 2.0, 8.0, stated=True, basis="")
        >>> growth.at(np.array([-Z90, 0.0, Z90])).round(6).tolist()
        [1.0, 2.0, 8.0]
        """
        share = np.abs(z) / Z90
        if self.low > 0:
            down = np.exp(share * math.log(self.low / self.centre))
            up = np.exp(share * math.log(self.high / self.centre))
            found = self.centre * np.where(z < 0, down, up)
        else:
            gap = np.where(z < 0, self.low - self.centre, self.high - self.centre)
            found = self.centre + share * gap
        return np.clip(found, self.least, self.most)


@dataclass(frozen=True)
class InputFutures:
    """Values of every input in each of a number of futures.

    Args:
        inputs: by name.
        values: by name, one value a future.
        count: of futures.
    """

    inputs: Mapping[str, Input]
    values: Mapping[str, Floats]
    count: int

    def value(self, name: str, otherwise: float = 1.0) -> Floats:
        """An input's values, or the same number everywhere where it is not uncertain."""
        found = self.values.get(name)
        return np.full(self.count, otherwise) if found is None else found


def drawn_futures(inputs: Iterable[Input], count: int, seed: int) -> InputFutures:
    """Futures drawn by stratified sampling: each input takes every `count`-th of its range once.

    Args:
        inputs: independent of each other.
        count: futures, 1 … 100,000.
        seed: 0 … 2^63 - 1.
    Returns: values of every input, one a future.
    Raises: InvalidScenario for a number of futures outside that domain.
    Source: Latin hypercube sampling [mckay1979].

    >>> growth = Input("growth", 1.0, 2.0, 8.0, stated=True, basis="")
    >>> drawn = np.sort(drawn_futures([growth], 2, seed=1).value("growth"))
    >>> bool(drawn[0] < 2.0 < drawn[1])  # two futures: one below the median, one above
    True
    """
    _check_count(count)
    normal = NormalDist()
    known = {each.name: each for each in inputs}
    values = {}
    for name, each in known.items():
        stream = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),))
        rng = np.random.default_rng(stream)
        place = (rng.permutation(count) + rng.random(count)) / count
        deviates = np.array([normal.inv_cdf(min(max(u, 1e-12), 1 - 1e-12)) for u in place])
        values[name] = each.at(deviates)
    return InputFutures(known, values, count)


def futures_at(inputs: Iterable[Input], deviates: Mapping[str, Floats], count: int) -> InputFutures:
    """Chosen futures: inputs that `deviates` does not name stay at their centre.

    Args:
        inputs: the uncertain ones.
        deviates: by name, standard normal deviates, one a future.
        count: futures, 1 … 100,000.
    Returns: values of every input, one a future.
    Raises: InvalidScenario for another number of futures.
    Source: `Input.at`.

    >>> growth = Input("growth", 1.0, 2.0, 8.0, stated=True, basis="")
    >>> futures_at([growth], {}, 2).value("growth").tolist()
    [2.0, 2.0]
    """
    _check_count(count)
    known = {each.name: each for each in inputs}
    zero = np.zeros(count)
    return InputFutures(
        known, {name: each.at(deviates.get(name, zero)) for name, each in known.items()}, count
    )


def _check_count(count: int) -> None:
    whole = isinstance(count, int) and not isinstance(count, bool)
    require(whole and 1 <= count <= 100_000, "plan.futures", count, "a whole number, 1 to 100000")
