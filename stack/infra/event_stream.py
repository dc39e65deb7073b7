"""How events travel: batches in a Redis stream, from the replicas to the one who stores them."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
from redis.asyncio import Redis

STREAM = "events"
GROUP = "clickhouse"
COUNT, BATCH = b"count", b"batch"
# Entries, of up to a few hundred events each. Past it new batches are refused, and counted, instead
# of old ones being trimmed away unseen.
LONGEST_STREAM = 20_000


class EventKind(StrEnum):
    """What a shopper does; the first, fourth, fifth and sixth are the steps of the funnel."""

    VIEW = "view"
    SEARCH = "search"
    TIME_ON_PAGE = "time_on_page"
    FAVOURITE = "favourite"
    CART = "cart"
    PURCHASE = "purchase"


# Not of a shopper's telling: a replica notes it with the number of results.
ANSWERED_SEARCH = "answered_search"
FUNNEL = (EventKind.VIEW, EventKind.FAVOURITE, EventKind.CART, EventKind.PURCHASE)
# A stored event; every column but `results` is in every row. Times are text in UTC, as
# ClickHouse reads them.
Row = dict[str, Any]
COLUMNS = ("id", "at", "kind", "session", "user", "product", "query", "seconds", "results")

_ADD = """
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('XADD', KEYS[1], '*', 'count', ARGV[2], 'batch', ARGV[3])
return 1
"""


class EventStream:
    """Adds batches. Redis errors pass through."""

    def __init__(self, redis: Redis, longest: int = LONGEST_STREAM) -> None:
        self._add = redis.register_script(_ADD)
        self._longest = longest

    async def add(self, rows: Sequence[Row]) -> bool:
        """Hand over a batch. False: the stream is full, and the batch is not in it."""
        body = b"\n".join(orjson.dumps(row) for row in rows)
        args: list[int | bytes] = [self._longest, len(rows), body]
        return bool(await self._add(keys=[STREAM], args=args))


def moment(at: datetime) -> str:
    """A time in UTC as ClickHouse reads it: `2026-11-24 18:03:07.250`."""
    return at.strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03d}"
