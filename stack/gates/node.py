"""The gates of the machines that many replicas share: Redis, each mongod, Elasticsearch.

    python -m stack.gates.node PORT '{"redis": 1, "mongo-1": 2, …}' SETTLE_S [FAULTS_FILE]

A replica asks with one line of JSON, `[id, members, asked_s, demand_s]`, and is answered with
`[id, member, start_s, done_s]` once it is booked, SETTLE_S after it arrived by its own clock; it
sleeps by itself. Of several members the visit goes to the next in turn. All times are of the
system's monotonic clock, which all processes share.

It listens on 127.0.0.1 as every part of the stack does, so that the supervisor starts, watches and
ends it like the others.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

import orjson

from stack.gates.settling import SETTLE_S, Settling
from stack.gates.virtual import Gate
from stack.infra.faults import FaultsFile

ALLOWED = "a list of known machines, and finite times >= 0"


class Node:
    """All shared machines of one stack."""

    def __init__(
        self,
        slots: dict[str, int],
        faults: FaultsFile | None = None,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._settle_s = settle_s
        self._faults = faults or FaultsFile(None)
        self._gates = {member: Gate(count) for member, count in slots.items()}
        self._order = list(self._gates)
        self._settling = Settling()
        self._turn = 0  # place in the order of whom the next choice begins with

    def booked(
        self, members: list[str], asked_s: float, demand_s: float
    ) -> tuple[str, float, float]:
        """Book a visit to one of `members`; returns the member, start and end.

        Raises ValueError for what is no question that a replica may ask.
        """
        self._check(members, asked_s, demand_s)
        member = members[0] if len(members) == 1 else self._next_of(members)
        gate = self._gates[member]
        gate.leave(self._faults.now().slots_of(member))
        booking = gate.book(asked_s, demand_s)
        return member, booking.start_s, booking.done_s

    def _check(self, members: list[str], asked_s: float, demand_s: float) -> None:
        known = bool(members) and all(member in self._gates for member in members)
        if not known or not 0.0 <= demand_s < 1e6 or not 0.0 <= asked_s < 1e12:
            raise ValueError(f"{members}, {asked_s}, {demand_s}: allowed: {ALLOWED}")

    def _next_of(self, members: list[str]) -> str:
        """In turn over all machines, those that are not among `members` left out, as the models."""
        for offset in range(len(self._order)):
            place = (self._turn + offset) % len(self._order)
            if self._order[place] in members:
                self._turn = (place + 1) % len(self._order)
                return self._order[place]
        raise AssertionError("booked() lets known members in only")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one replica until it goes away."""
        try:
            while line := await reader.readline():
                question, members, asked_s, demand_s = orjson.loads(line)
                self._check(members, asked_s, demand_s)

                def book(
                    question: int = question,
                    members: list[str] = members,
                    asked_s: float = asked_s,
                    demand_s: float = demand_s,
                ) -> None:
                    answer = (question, *self.booked(members, asked_s, demand_s))
                    writer.write(orjson.dumps(answer) + b"\n")

                self._settling.put(asked_s + self._settle_s, book)
        except (ValueError, TypeError, ConnectionError) as error:
            print(f"a connection is closed: {error}", file=sys.stderr)  # noqa: T201 - its log
        finally:
            writer.close()


async def serve(port: int, node: Node) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(node.serve, "127.0.0.1", port)
    await stop.wait()
    server.close()


def main() -> None:
    """Entry point; see the module's docstring."""
    port, slots, settle_s, *faults = sys.argv[1:]
    file = FaultsFile(Path(faults[0]) if faults else None)
    asyncio.run(serve(int(port), Node(json.loads(slots), file, float(settle_s))))


if __name__ == "__main__":
    main()
