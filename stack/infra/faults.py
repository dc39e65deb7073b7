"""What is made wrong in a stack that takes faults, as data in a file that its parts look at.

A stack that was not started for it has no such file, and no part that would look. The switches
themselves are in `stack.local.faults`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FILE = "faults.json"  # in the folder of the stack
Fraction = Annotated[float, Field(ge=0, le=1)]


class Faults(BaseModel):
    """Everything that can be switched on in replicas and gates; nothing is wrong by default.

    Args:
        slower: by component of an emulation, by what factor its demands are longer.
        slots: by emulated machine (`api` is every replica), how many slots are left.
        arrives_later_s: how long each request is under way to a replica, as on a slow network.
        ttl_factor: what part of its time a cached entry is kept.
        drops_fills: whether what is read for the cache is not stored.
        answers: by status code, what share of the requests is answered so.
        after_the_work: whether such an answer comes after all the work, or at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slower: Mapping[
        Literal["api", "redis", "mongo", "elasticsearch"], Annotated[float, Field(ge=1, le=100)]
    ] = {}
    slots: Mapping[str, Annotated[int, Field(ge=1, le=1024)]] = {}
    arrives_later_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    ttl_factor: Annotated[float, Field(gt=0, le=1)] = 1.0
    drops_fills: bool = False
    answers: Mapping[Annotated[int, Field(ge=400, le=599)], Fraction] = {}
    after_the_work: bool = False

    def slots_of(self, machine: str) -> int | None:
        """How many slots are left to a machine; None: all of them."""
        return self.slots.get(machine, self.slots.get(machine.rstrip("0123456789").rstrip("-")))


NOTHING = Faults()


class FaultsFile:
    """The faults that are switched on now: the file is read again when it has changed."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._faults = NOTHING

    def now(self) -> Faults:
        """What is wrong at this moment; nothing where there is no file."""
        if self._path is None:
            return NOTHING
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return NOTHING
        seen = (status.st_mtime_ns, status.st_ino)
        if seen != self._seen:
            self._faults = Faults.model_validate_json(self._path.read_bytes())
            self._seen = seen
        return self._faults
