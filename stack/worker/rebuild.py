"""Builds the search index anew behind its alias, while everybody reads and writes on.

    new index ◀──everything──── database            the old index serves; the indexer keeps it fresh
    new index ◀──all changes── change stream        until the stream has no more
    alias ──▶ new index                             in one step: no search meets none, or two
    new index ◀──all changes── change stream        what went to the old index up to that step
    the old index is deleted

No change is lost: until the step the changes reach the new index by this module's own stream, after
it by the indexer too, and what both bring counts once, because versions are the database's times.
A rebuild that ends half-way leaves an index that nothing means; the next one removes it.

`python -m stack.worker.rebuild`, `headroom reindex`, or the job `search_rebuild`.
"""

import asyncio
import logging
import secrets
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from elasticsearch import AsyncElasticsearch
from pymongo.asynchronous.change_stream import AsyncCollectionChangeStream
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError
from redis.asyncio import Redis

from stack.errors import RebuildRuns
from stack.infra.cache_keys import EVERY_SEARCH, generation_key
from stack.infra.connections import (
    database_of,
    elasticsearch_client,
    mongo_client,
    redis_client,
)
from stack.infra.documents import PRODUCTS, Document
from stack.infra.logs import log_as_json
from stack.infra.search_index import (
    INDEX,
    MAPPINGS,
    SETTINGS,
    indices_of,
    number_of,
    numbered,
    point_alias,
)
from stack.infra.settings import InvalidSettings
from stack.worker.changes import BATCH, follow_from, gather, operation_time
from stack.worker.checkpoint import COLLECTION
from stack.worker.settings import IndexerSettings
from stack.worker.writer import IndexWriter

TURN = "rebuild"
TURN_S = 60.0
# The database forgets old changes; a long reading takes in the new ones meanwhile.
DRAIN_EVERY_S = 5.0
BULK_TIMEOUT_S = 60.0
# Called with how many products are written, and how many there are (counted at the start).
Progress = Callable[[int, int], None]
log = logging.getLogger("stack.worker.rebuild")


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did."""

    index: str
    products: int
    changes: int  # that came while it was built
    removed: tuple[str, ...]  # indices that are of no use any more
    duration_s: float


class Rebuild:
    """One rebuild of one index."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        elasticsearch: AsyncElasticsearch,
        redis: Redis | None = None,
        *,
        alias: str = INDEX,
        owner: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._database = database
        self._elasticsearch = elasticsearch
        self._redis = redis
        self._alias = alias
        # Who has the turn; a job that is tried again has its own turn still.
        self._owner = owner or secrets.token_hex(8)
        self._progress = progress or _silent
        self._changes = 0

    async def run(self) -> Rebuilt:
        """Build, switch, and remove what is old. Raises RebuildRuns when another one is at it."""
        began_s = time.monotonic()
        await self._take_turn()
        try:
            known = await indices_of(self._elasticsearch, self._alias)
            numbers = [number_of(self._alias, index) or 0 for index in known]
            index = numbered(self._alias, max(numbers, default=0) + 1)
            await self._elasticsearch.indices.create(
                index=index,
                mappings=MAPPINGS,
                # Searched by nobody yet: what is written need not be made visible all the time.
                # What was deleted during the reading must not come back with an older version.
                settings=SETTINGS | {"refresh_interval": "-1", "gc_deletes": "15m"},
            )
            log.info("building %s", index)
            products = await self._fill(index)
            await self._remove(known)
        finally:
            await self._end_turn()
        log.info("%s is in place, with %d products", index, products)
        seconds = time.monotonic() - began_s
        return Rebuilt(index, products, self._changes, tuple(known), seconds)

    async def _fill(self, index: str) -> int:
        writer = IndexWriter(self._elasticsearch, index, is_alias=False)
        moment = await operation_time(self._database)
        # Opened before anything is read, so that its history cannot be lost during a long reading.
        stream = await follow_from(self._database, {"start_at_operation_time": moment})
        async with stream:
            count = await self._write_all(writer, stream, moment.time << 32 | moment.inc)
            await self._drain(stream, writer)
            await self._elasticsearch.indices.put_settings(
                index=index, settings={"refresh_interval": None, "gc_deletes": None}
            )
            await self._elasticsearch.indices.refresh(index=index)
            await point_alias(self._elasticsearch, self._alias, index)
            # The indexer may have written to the old index until now. Those changes are committed,
            # so a stream that is asked from now on has them before it says that there is no more.
            await self._drain(stream, writer)
        await self._elasticsearch.indices.refresh(index=index)
        await self._void_searches()
        return count

    async def _write_all(
        self,
        writer: IndexWriter,
        stream: AsyncCollectionChangeStream[Document],
        version: int,
    ) -> int:
        collection = self._database[PRODUCTS]
        total = await collection.estimated_document_count()
        count, drained_s = 0, time.monotonic()
        async for product in collection.find({}, batch_size=BATCH):
            writer.put(product, version)
            count += 1
            if len(writer) >= BATCH:
                await writer.flush(visible=False)
                self._progress(count, total)
                if time.monotonic() - drained_s > DRAIN_EVERY_S:
                    await self._drain(stream, writer)
                    drained_s = time.monotonic()
        await writer.flush(visible=False)
        self._progress(count, total)
        return count

    async def _drain(
        self, stream: AsyncCollectionChangeStream[Document], writer: IndexWriter
    ) -> None:
        """Write changes until the stream, asked from now on, has no older ones than now.

        Where something changes all the time there are always more.
        """
        now = await operation_time(self._database)
        while True:
            gathered = await gather(stream, writer)
            self._changes += len(gathered.changed_at)
            await writer.flush(visible=False)
            await self._keep_turn()
            if gathered.is_drained or (gathered.last is not None and gathered.last >= now):
                return

    async def _remove(self, indices: list[str]) -> None:
        for index in indices:
            await self._elasticsearch.indices.delete(index=index, ignore_unavailable=True)

    async def _void_searches(self) -> None:
        if self._redis is not None:
            await self._redis.delete(generation_key(EVERY_SEARCH))

    async def _take_turn(self) -> None:
        now = datetime.now(UTC)
        free = {"_id": TURN, "$or": [{"until": {"$lt": now}}, {"owner": self._owner}]}
        try:
            await self._database[COLLECTION].update_one(
                free,
                {"$set": {"owner": self._owner, "until": now + timedelta(seconds=TURN_S)}},
                upsert=True,
            )
        except DuplicateKeyError as error:
            raise RebuildRuns from error

    async def _keep_turn(self) -> None:
        until = datetime.now(UTC) + timedelta(seconds=TURN_S)
        kept = await self._database[COLLECTION].update_one(
            {"_id": TURN, "owner": self._owner}, {"$set": {"until": until}}
        )
        if not kept.matched_count:
            raise RebuildRuns

    async def _end_turn(self) -> None:
        await self._database[COLLECTION].delete_one({"_id": TURN, "owner": self._owner})


def rebuild(settings: IndexerSettings, progress: Progress | None = None) -> Rebuilt:
    """Rebuild the index of these servers. Raises RebuildRuns."""
    with ThreadPoolExecutor(max_workers=1) as thread:  # a notebook's own thread has a loop already
        return thread.submit(asyncio.run, _rebuild(settings, progress)).result()


async def _rebuild(settings: IndexerSettings, progress: Progress | None) -> Rebuilt:
    mongo = mongo_client(settings.mongo_url, pool=4)
    elasticsearch = elasticsearch_client(settings.elasticsearch_url, timeout_s=BULK_TIMEOUT_S)
    redis = redis_client(settings.redis_url, pool=1) if settings.redis_url else None
    try:
        return await Rebuild(database_of(mongo), elasticsearch, redis, progress=progress).run()
    finally:
        await elasticsearch.close()
        await mongo.close()
        if redis is not None:
            await redis.aclose()


def _silent(done: int, total: int) -> None:
    """No progress shown."""


def main() -> int:
    """Rebuild the index of the environment's servers and say what was done."""
    try:
        settings = IndexerSettings.from_environment()
        log_as_json("rebuild", level=settings.log_level)
        done = rebuild(settings)
    except (InvalidSettings, RebuildRuns) as error:
        sys.stderr.write(f"rebuild: {error}\n")
        return 2
    sys.stdout.write(f"{done.index}: {done.products:,} products in {done.duration_s:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
