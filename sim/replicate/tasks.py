"""What one unit of a sweep is: a case and a replication, with a stream of its own."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[..., Any]


@dataclass(frozen=True)
class Streams:
    """Which stream of random numbers each replication of each case gets.

    Attributes:
        seed: root of all streams.
        common: whether replication r of every case shares one stream (common random numbers).
    """

    seed: int
    common: bool

    def rng(self, case: int, replication: int) -> np.random.Generator:
        """The stream, the same wherever and in whatever order the unit is computed."""
        # The key that SeedSequence.spawn would give to this child.
        key = (replication,) if self.common else (case, replication)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


@dataclass(frozen=True)
class Chunk:
    """A run of units that travel together.

    Attributes:
        number: place of the chunk among all.
        units: pairs of case and replication.
    """

    number: int
    units: tuple[tuple[int, int], ...]


class UnitFailed(Exception):
    """A unit raised: which one, and what. Carries a worker's exception home; never seen outside."""

    def __init__(self, case: int, replication: int, error: Exception) -> None:
        self.case, self.replication, self.error = case, replication, error
        super().__init__(case, replication, error)

    def portable(self) -> "UnitFailed":
        """Itself, or a copy with a plainer error where that one would not survive the journey."""
        try:
            pickle.loads(pickle.dumps(self.error))  # noqa: S301 -- just pickled here
        except Exception:
            plain = RuntimeError(f"{type(self.error).__qualname__}: {self.error}")
            return UnitFailed(self.case, self.replication, plain)
        return self


@dataclass(frozen=True)
class Job:
    """What every worker needs: the function, its cases and their streams.

    Attributes:
        function: called as function(case, rng).
        cases: its first arguments.
        streams: where rng comes from.
    """

    function: Function
    cases: tuple[Any, ...]
    streams: Streams

    def results(self, chunk: Chunk) -> list[Any]:
        """The results of a chunk's units, in their order; UnitFailed for the first that raises."""
        results = []
        for case, replication in chunk.units:
            try:
                rng = self.streams.rng(case, replication)
                results.append(self.function(self.cases[case], rng))
            except Exception as error:
                raise UnitFailed(case, replication, error) from error
        return results

    def answer(self, chunk: Chunk) -> "list[Any] | UnitFailed":
        """The results, or what failed, as a value that can be sent to another process."""
        try:
            return self.results(chunk)
        except UnitFailed as failure:
            return failure.portable()


def chunks(cases: int, replications: int, workers: int) -> list[Chunk]:
    """All units in order, in chunks small enough to balance and large enough to be worth a trip."""
    units = [(case, replication) for case in range(cases) for replication in range(replications)]
    size = max(1, min(64, len(units) // (16 * workers)))
    starts = range(0, len(units), size)
    return [Chunk(n, tuple(units[at : at + size])) for n, at in enumerate(starts)]
