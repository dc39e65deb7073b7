"""A replica's connection to the gate process."""

import asyncio
from itertools import count
from typing import Any

import orjson

from stack.gates.virtual import Booking


class GateLost(ConnectionError):
    """The gate process does not answer: no time of this emulation may be believed any more."""


class NodeClient:
    """Asks the gate process; questions of many requests share one connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[tuple[str, Booking]]] = {}
        self._connecting = asyncio.Lock()
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    async def book(
        self, members: list[str], asked_s: float, demand_s: float
    ) -> tuple[str, Booking]:
        """Book a visit to one of `members`: which one, and when. Raises GateLost."""
        writer = self._writer or await self._connected()
        number = next(self._numbers)
        answer: asyncio.Future[tuple[str, Booking]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        writer.write(orjson.dumps((number, members, asked_s, demand_s)) + b"\n")
        return await answer

    async def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                except OSError as error:
                    raise GateLost(f"no gate process on port {self._port}: {error}") from error
                self._writer = writer
                self._listening = asyncio.create_task(self._listen(reader))
        return self._writer

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._answered(orjson.loads(line))
        finally:
            self._writer = None
            waiting, self._waiting = self._waiting, {}
            for answer in waiting.values():
                if not answer.done():
                    answer.set_exception(GateLost("the gate process hung up"))

    def _answered(self, said: list[Any]) -> None:
        number, member, start_s, done_s = said
        answer = self._waiting.pop(number)
        if not answer.done():  # its request may have been cancelled
            answer.set_result((member, Booking(start_s, done_s)))
