"""Changing a running stack, from any process: its replicas, a rolling restart, a dead part anew.

    scale(folder, "api", 3, progress=print)

Each returns when the change is done; no request through the load balancer is lost by it.
"""

from collections.abc import Callable
from pathlib import Path

from stack.errors import ScaleRefused, StackError, StackNotRunning, SupervisorLost, UnknownPart
from stack.local import channel
from stack.local.autoscaling import MOST_REPLICAS
from stack.local.control import status
from stack.local.info import Change, StackInfo

SCALABLE = ("api",)

Progress = Callable[[str], None]


def _silent(_line: str) -> None:
    """Ignore progress."""


def scale(
    folder: Path, kind: str = "api", count: int = 1, *, progress: Progress = _silent
) -> StackInfo:
    """Run `count` replicas of `kind` in the stack in `folder`; what the stack is afterwards.

    New replicas get requests once they are ready; those that go get none any more, finish what
    they have, and end. Raises ScaleRefused for a kind or count that cannot be, StackNotRunning,
    and PartFailed when a new replica does not start (the others serve on).
    """
    if kind not in SCALABLE or not 1 <= count <= MOST_REPLICAS:
        allowed = f"{', '.join(SCALABLE)}: 1 to {MOST_REPLICAS}"
        raise ScaleRefused(kind=kind, count=count, allowed=allowed)
    return _change(folder, Change(change="scale", count=count), progress)


def restart(folder: Path, kind: str = "api", *, progress: Progress = _silent) -> StackInfo:
    """Replace all replicas of `kind`, one after the other, each only once its successor serves."""
    if kind not in SCALABLE:
        raise ScaleRefused(kind=kind, count=0, allowed=", ".join(SCALABLE))
    return _change(folder, Change(change="restart"), progress)


def start_part(folder: Path, part: str, *, progress: Progress = _silent) -> StackInfo:
    """Start a part that is dead; one that is ready is left alone. Its data are still there."""
    info = status(folder)
    if part not in {known.name for known in info.parts}:
        raise UnknownPart(part=part, parts=[known.name for known in info.parts])
    return _change(folder, Change(change="start", part=part), progress)


def hold_autoscaler(folder: Path) -> StackInfo:
    """Let the stack's autoscaler hold still; raises NoAutoscaler."""
    return _change(folder, Change(change="autoscale"), _silent)


def autoscale_from(folder: Path, from_s: float) -> StackInfo:
    """Let the autoscaler's periods begin at that time of the monotonic clock.

    What its machines did since it was held belongs to the first. Raises NoAutoscaler.
    """
    return _change(folder, Change(change="autoscale", from_s=from_s), _silent)


def _change(folder: Path, change: Change, progress: Progress) -> StackInfo:
    folder = folder.absolute()
    status(folder)  # StackNotRunning, where there is none
    try:
        for event in channel.events(folder, change):
            if event["event"] == "progress":
                progress(event["line"])
            elif event["event"] == "error":
                raise StackError.from_json(event["error"])
            else:
                return status(folder)
    except (FileNotFoundError, ConnectionError):
        raise StackNotRunning(folder=str(folder)) from None  # in its first or last instant
    raise SupervisorLost(last_lines=[])  # somebody has stopped it meanwhile
