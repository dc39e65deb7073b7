"""A bounded buffer between requests and the event stream. What it cannot keep is counted.

A request never waits for the stream. While the stream cannot be reached the buffer fills; then new
events are dropped, the client is told how many, and a metric counts them. A replica that is killed
loses what it has not handed over: half a second's events.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from redis.exceptions import RedisError

from stack.infra.event_stream import EventStream, Row
from stack.service.metrics import Metrics

MOST = 10_000
BATCH = 500
EVERY_S = 0.5
LAST_TRY_S = 1.5
log = logging.getLogger(__name__)


class EventBuffer:
    """One for each replica."""

    def __init__(self, stream: EventStream, metrics: Metrics, most: int = MOST) -> None:
        self._stream = stream
        self._metrics = metrics
        self._most = most
        self._rows: deque[Row] = deque()
        self._flushing: asyncio.Task[None] | None = None

    def add(self, rows: Sequence[Row]) -> int:
        """Keep rows; returns how many there was room for, the others are dropped and counted."""
        room = self._most - len(self._rows)
        self._rows.extend(rows[:room])
        accepted = min(room, len(rows))
        self._metrics.events("accepted", accepted)
        self._metrics.events("dropped", len(rows) - accepted)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        return accepted

    async def close(self) -> None:
        """Hand over what is left, for a moment; what stays is counted as dropped."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
        try:
            async with asyncio.timeout(LAST_TRY_S):
                while self._rows:
                    await self._hand_over()
        except (RedisError, OSError, TimeoutError) as error:
            log.error("%d events are lost at the stop: %s", len(self._rows), error)
            self._metrics.events("dropped", len(self._rows))

    async def _flush(self) -> None:
        """Hand over until the buffer is empty; begins after a moment, so that batches form."""
        while self._rows:
            await asyncio.sleep(EVERY_S)
            try:
                while self._rows:
                    await self._hand_over()
            except (RedisError, OSError) as error:
                log.warning("events wait, %d of them: %s", len(self._rows), error)

    async def _hand_over(self) -> None:
        batch = [self._rows.popleft() for _ in range(min(BATCH, len(self._rows)))]
        try:
            taken = await self._stream.add(batch)
        except BaseException:
            # Perhaps taken all the same; sent again they count once, because each has an id.
            self._rows.extendleft(reversed(batch))
            raise
        if not taken:  # the stream is full, and waiting would only move the loss
            log.error("%d events are dropped: the stream is full", len(batch))
        self._metrics.events("handed_over" if taken else "dropped", len(batch))
