"""Faults that are switched on in a running stack, so that a diagnosis can be put to the test.

Only a stack that was started for it (`StackSpec.takes_faults`) has the switches; no other one can
be harmed by them. Each switch is off until it is set, and ends with the stack.
"""

from collections.abc import Sequence
from typing import Any

from pymongo import MongoClient

from stack.errors import FaultsOff
from stack.local.info import StackInfo

QUERIES = ("find", "aggregate")  # what a read of the service sends
MOST_S = 60.0


def slow_queries(
    info: StackInfo, by_s: float, *, commands: Sequence[str] = QUERIES, members: Sequence[str] = ()
) -> None:
    """Make each member answer these commands so much later; 0 s switches it off.

    MongoDB's own fail point blocks the connection before the command runs, so that the service
    sees a slow query and nothing uses more CPU.

    Args:
        info: of a running stack that takes faults.
        by_s: 0 to 60 s.
        commands: of the database, by name.
        members: `mongo-1` and so on; none: all of them.
    Raises: FaultsOff for a stack that was started without them; ValueError for another `by_s`.
    """
    if not info.spec.takes_faults:
        raise FaultsOff(stack=info.name)
    if not 0.0 <= by_s <= MOST_S:
        raise ValueError(f"{by_s} s; allowed: 0 to {MOST_S:g} s")
    point: dict[str, Any] = {"configureFailPoint": "failCommand", "mode": "off"}
    if by_s > 0:
        blocked = {"blockConnection": True, "blockTimeMS": max(1, round(by_s * 1e3))}
        point |= {"mode": "alwaysOn", "data": {"failCommands": list(commands), **blocked}}
    for part in info.parts_of("mongo"):
        if not members or part.name in members:
            with MongoClient[dict[str, Any]](
                "127.0.0.1", part.port, directConnection=True, serverSelectionTimeoutMS=5000
            ) as client:
                client.admin.command(point)
