"""What can go wrong in a model, as a tree of types.

    SimError
    ├── InvalidScenario    an input is outside its domain; names path, value and what is allowed
    ├── UnstableStation    work arrives faster than a station serves it: no steady state exists
    └── NotConverged       an iteration or a replication stopped before its stated precision

Each carries its numbers as attributes, so that a caller can act on them instead of parsing text.
"""

from collections.abc import Callable
from dataclasses import dataclass


class SimError(ValueError):
    """Base of all errors that `sim` raises on purpose; they travel between processes whole."""

    def __reduce__(self) -> tuple[Callable[..., "SimError"], tuple[object, ...]]:
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[SimError], args: tuple[object, ...], attributes: dict[str, object]
) -> SimError:
    """The error that `SimError.__reduce__` took apart, without calling its constructor again."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: where it stands, what was found and what is allowed."""

    path: str
    value: object
    allowed: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path} (line {self.line})"
        return f"{where}: {self.value!r} is not allowed; allowed: {self.allowed}"


class InvalidScenario(SimError):
    """An input is outside its domain. `problems` holds one entry for each fault found."""

    def __init__(self, *problems: Problem, source: str | None = None) -> None:
        self.problems = problems
        self.source = source
        text = "\n".join(str(problem) for problem in problems)
        super().__init__(f"{source}: {text}" if source else text)


class UnstableStation(SimError):
    """A station is offered at least as much work as it can serve."""

    def __init__(self, station: str, utilisation: float) -> None:
        self.station = station
        self.utilisation = utilisation
        super().__init__(
            f"{station}: offered load is {utilisation:.3g} of its capacity; "
            "a steady state needs less than 1"
        )


class NotConverged(SimError):
    """An iteration stopped before it reached its stated precision."""

    def __init__(self, what: str, reached: float, wanted: float, rounds: int) -> None:
        self.what, self.reached, self.wanted, self.rounds = what, reached, wanted, rounds
        super().__init__(
            f"{what}: reached {reached:.3g} after {rounds} rounds, wanted {wanted:.3g}"
        )


def require(holds: bool, path: str, value: object, allowed: str) -> None:
    """Raise InvalidScenario unless a condition on an input holds.

    Args:
        holds: whether all is well.
        path: of the input.
        value: what was found there.
        allowed: what is allowed, in words.
    Returns: nothing.
    Raises: InvalidScenario unless `holds`.
    Source: the project's own rule for errors: name what, where and what is allowed.

    >>> require(False, "api.replicas", 0, "at least 1")
    Traceback (most recent call last):
    sim.errors.InvalidScenario: api.replicas: 0 is not allowed; allowed: at least 1
    """
    if not holds:
        raise InvalidScenario(Problem(path, value, allowed))
