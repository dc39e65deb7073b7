"""The changes of the products, from the database's change stream into an index writer."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bson import Timestamp
from pymongo.asynchronous.change_stream import AsyncCollectionChangeStream
from pymongo.asynchronous.database import AsyncDatabase

from stack.infra.documents import PRODUCTS, Document
from stack.infra.search_index import external_version
from stack.infra.settings import InvalidSettings
from stack.worker.writer import IndexWriter

BATCH = 500
# How long a change may wait for others to share its bulk write.
GATHER_MS = 200
EVERY_CHANGE: Sequence[Mapping[str, Any]] = (
    {"$match": {"operationType": {"$in": ["insert", "update", "replace", "delete"]}}},
)


@dataclass(frozen=True)
class Gathered:
    """What one look at the stream brought.

    `known_until_s`: up to this moment nothing is missing, once what was gathered is written.
    """

    known_until_s: float
    changed_at: tuple[datetime, ...] = ()
    is_drained: bool = False  # the stream had no more
    last: Timestamp | None = None  # the database's time of the last of these changes


async def follow_from(
    database: AsyncDatabase[Document],
    place: Mapping[str, Any],
    pipeline: Sequence[Mapping[str, Any]] = EVERY_CHANGE,
) -> AsyncCollectionChangeStream[Document]:
    """The changes of the products from `place` on, each with the whole product as it is now."""
    return await database[PRODUCTS].watch(
        list(pipeline), full_document="updateLookup", max_await_time_ms=GATHER_MS, **place
    )


async def gather(stream: AsyncCollectionChangeStream[Document], writer: IndexWriter) -> Gathered:
    """Wait a moment for changes and collect those that come together."""
    deadline = time.monotonic() + GATHER_MS / 1000
    changed_at: list[datetime] = []
    last: Timestamp | None = None
    while len(writer) < BATCH:
        asked_s = time.time()
        change = await stream.try_next()
        if change is None:
            return Gathered(asked_s, tuple(changed_at), is_drained=True, last=last)
        collect(change, writer)
        changed_at.append(change["wallTime"])
        last = change["clusterTime"]
        if time.monotonic() >= deadline:
            break
    return Gathered(changed_at[-1].timestamp(), tuple(changed_at), last=last)


def collect(change: Document, writer: IndexWriter) -> None:
    """Put one change to the others that are to be written."""
    moment: Timestamp = change["clusterTime"]
    version = external_version(moment.time, moment.inc)
    if change["operationType"] == "delete":
        writer.remove(str(change["documentKey"]["_id"]), version)
    elif change["fullDocument"] is not None:  # None: deleted since, and that change follows
        writer.put(change["fullDocument"], version)


async def write_all(
    database: AsyncDatabase[Document], writer: IndexWriter, moment: Timestamp
) -> int:
    """Write every product as of `moment`, which is before this call; how many there were.

    What changes meanwhile is newer than `moment`, and is for the change stream to bring.
    """
    version = external_version(moment.time, moment.inc)
    count = 0
    async for product in database[PRODUCTS].find({}, batch_size=BATCH):
        writer.put(product, version)
        count += 1
        if len(writer) >= BATCH:
            await writer.flush(visible=False)
    await writer.flush(visible=True)
    return count


async def operation_time(database: AsyncDatabase[Document]) -> Timestamp:
    """The database's time now. Raises InvalidSettings where there is no replica set."""
    answer = await database.command("ping")
    moment: Timestamp | None = answer.get("operationTime")
    if moment is None:
        raise InvalidSettings("HEADROOM_MONGO_URL: one mongod; allowed: members of a replica set")
    return moment
