"""What an autoscaler saw and did: one JSON object a line, in the stack's folder."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

FILE = "autoscaler.jsonl"
Event = Literal["looked", "serving", "failed", "held"]


class Entry(BaseModel):
    """One line of the autoscaler's log.

    Args:
        event: a look at the machines; from now on these replicas serve; a boot that failed; it
            holds still, and what was done so far is in no period.
        at_s: since the clock's beginning: of a look when it was due, of a change when it was seen.
        active: replicas that serve. wanted: that there should be, those that boot included.
        used_fraction: of the slots of those that serve, over the period.
        utilisation: the same by replica. busy_s: of all slots since the start of the stack.
        visits, overruns: holds at the replicas' own machines and at shared ones so far, and those
            of them that the real work outlasted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: Event
    at_s: float
    active: int
    wanted: int
    used_fraction: float = 0.0
    utilisation: dict[str, float] = {}
    busy_s: float = 0.0
    visits: float = 0.0
    overruns: float = 0.0
    says: str = ""


def entries(folder: Path) -> tuple[Entry, ...]:
    """What the autoscaler of the stack in `folder` did so far; nothing where there is none."""
    try:
        lines = (folder / FILE).read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError:
        return ()
    return tuple(Entry.model_validate_json(line) for line in lines if line.endswith("\n"))


def appended(folder: Path, entry: Entry) -> None:
    """Write one more line."""
    with (folder / FILE).open("a", encoding="utf-8") as log:
        log.write(entry.model_dump_json() + "\n")
