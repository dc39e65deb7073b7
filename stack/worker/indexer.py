"""Keeps the search index in step with the database: `python -m stack.worker.indexer`.

A change stream feeds bulk writes. The place in the stream is saved only after a bulk write is
acknowledged, so a crash repeats changes and never loses one; the operation time as document version
makes a repeated or late change harmless. When the database no longer knows the saved place, or the
index is new, everything is read again.

    no checkpoint ──scan──▶ following ──SIGTERM──▶ stopped (exit 0)
         ▲                      │
         └──history lost────────┘  (any other failure: pause, then follow from the checkpoint)
"""

import argparse
import asyncio
import logging
import signal
import sys
import time

from elastic_transport import TransportError
from elasticsearch import ApiError, AsyncElasticsearch
from elasticsearch.helpers import async_scan
from prometheus_client import start_http_server
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure, PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stack.infra.cache_keys import EVERY_SEARCH, generation_key
from stack.infra.connections import (
    database_of,
    elasticsearch_client,
    mongo_client,
    redis_client,
)
from stack.infra.documents import PRODUCTS, Document
from stack.infra.logs import log_as_json
from stack.infra.search_index import INDEX, create_search_index, external_version
from stack.infra.settings import InvalidSettings
from stack.worker.changes import follow_from, gather, operation_time, write_all
from stack.worker.checkpoint import (
    Checkpoint,
    drop_checkpoint,
    load_checkpoint,
    save_checkpoint,
    silence_s,
)
from stack.worker.index_metrics import IndexMetrics
from stack.worker.settings import IndexerSettings
from stack.worker.writer import IndexBusy, IndexWriter

# InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost: the place is gone for good.
HISTORY_LOST = frozenset({260, 280, 286})
SIGN_OF_LIFE_S = 5.0
SILENT_FOR_S = 30.0
BULK_TIMEOUT_S = 30.0
PAUSES_S = (0.25, 0.5, 1.0, 2.0)
# The seeding indexes what it inserts; everything else is ours.
FOLLOWED = [
    {
        "$match": {
            "$or": [
                {"operationType": {"$in": ["update", "delete"]}},
                {
                    "operationType": {"$in": ["insert", "replace"]},
                    "fullDocument.seeded": {"$ne": True},
                },
            ]
        }
    }
]
# By its full name: run as a module it would be called __main__, outside the log of `stack`.
log = logging.getLogger("stack.worker.indexer")


class Indexer:
    """Follows the products of one database into one search index."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        elasticsearch: AsyncElasticsearch,
        redis: Redis | None,
        stop: asyncio.Event,
        *,
        index: str = INDEX,
        metrics: IndexMetrics | None = None,
    ) -> None:
        self._database = database
        self._elasticsearch = elasticsearch
        self._redis = redis
        self._stop = stop
        self._index = index
        self._writer = IndexWriter(elasticsearch, index)
        self._searches_void = False
        self._metrics = metrics or IndexMetrics()

    async def run(self) -> None:
        """Index until `stop` is set, through every failure of the servers."""
        failures = 0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                await self._keep_in_step()
            except OperationFailure as error:
                if error.code in HISTORY_LOST:
                    log.warning("the saved place in the history is gone; reading everything again")
                    await self._forget_place()
                    continue
                failures = await self._pause(error, failures, began)
            except (PyMongoError, TransportError, ApiError, IndexBusy, OSError) as error:
                failures = await self._pause(error, failures, began)

    async def _keep_in_step(self) -> None:
        if await create_search_index(self._elasticsearch, self._index):
            await drop_checkpoint(self._database)  # what it speaks of is not in this index
        checkpoint = await load_checkpoint(self._database)
        if checkpoint is None:
            checkpoint = await self._scan()
        await self._follow(checkpoint)

    async def _scan(self) -> Checkpoint:
        """Index all products as of now. Changes meanwhile are newer, and are followed next."""
        now = await operation_time(self._database)
        writer = IndexWriter(self._elasticsearch, self._index)
        count = await write_all(self._database, writer, now)
        removed = await self._remove_vanished(external_version(now.time, now.inc))
        await self._elasticsearch.indices.refresh(index=self._index)
        self._searches_void = True
        self._metrics.scanned()
        checkpoint = Checkpoint(now, None)
        await save_checkpoint(self._database, checkpoint)
        log.info("indexed %d products, removed %d that are gone", count, removed)
        return checkpoint

    async def _remove_vanished(self, version: int) -> int:
        """Delete from the index what is not in the database any more."""
        writer = IndexWriter(self._elasticsearch, self._index)
        removed = 0
        indexed: set[str] = set()
        found = async_scan(
            self._elasticsearch,
            index=self._index,
            query={"query": {"match_all": {}}},
            _source=False,
        )
        async for hit in found:
            indexed.add(hit["_id"])
        async for product in self._database[PRODUCTS].find({}, {"_id": 1}):
            indexed.discard(str(product["_id"]))
        for identifier in indexed:
            writer.remove(identifier, version)
            removed += 1
        await writer.flush(visible=False)
        return removed

    async def _follow(self, checkpoint: Checkpoint) -> None:
        self._writer = IndexWriter(self._elasticsearch, self._index)
        place = (
            {"resume_after": checkpoint.token}
            if checkpoint.token
            else {"start_at_operation_time": checkpoint.started_at}
        )
        stream = await follow_from(self._database, place, FOLLOWED)
        async with stream:
            log.info("following changes")
            saved_s = 0.0
            while not self._stop.is_set():
                gathered = await gather(stream, self._writer)
                if not stream.alive:
                    return
                changed = len(self._writer) > 0
                await self._writer.flush(visible=True)
                self._metrics.found(gathered.changed_at)
                self._metrics.in_step(gathered.known_until_s)
                self._searches_void |= changed
                cleared = await self._void_searches()
                due = changed or time.monotonic() - saved_s >= SIGN_OF_LIFE_S
                # Not while searches wait to be cleared: after a crash the changes are repeated.
                if due and cleared:
                    checkpoint = Checkpoint(
                        checkpoint.started_at, stream.resume_token or checkpoint.token
                    )
                    await save_checkpoint(self._database, checkpoint)
                    saved_s = time.monotonic()

    async def _void_searches(self) -> bool:
        """Void cached searches if the index has changed; whether none is left to be voided."""
        if not self._searches_void or self._redis is None:
            return True
        try:
            await self._redis.delete(generation_key(EVERY_SEARCH))
        except (RedisError, OSError) as error:
            log.warning("cached searches could not be cleared yet: %s", error)
            return False
        self._searches_void = False
        return True

    async def _forget_place(self) -> None:
        try:
            await drop_checkpoint(self._database)
        except PyMongoError as error:
            await self._pause(error, 0, time.monotonic())

    async def _pause(self, error: Exception, failures: int, began_s: float) -> int:
        """Wait, longer with every failure in a row; returns how many there have been."""
        if time.monotonic() - began_s > 2 * PAUSES_S[-1]:
            failures = 0  # it worked for a while
        pause_s = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
        self._metrics.failed()
        log.warning("%s: %s; trying again in %g s", type(error).__name__, error, pause_s)
        try:
            async with asyncio.timeout(pause_s):
                await self._stop.wait()
        except TimeoutError:
            pass
        return failures + 1


async def index_until_stopped(
    settings: IndexerSettings, index: str, listen: tuple[str, int] | None
) -> None:
    """Run an indexer until SIGTERM or SIGINT; `listen`: where it tells its metrics."""
    metrics = IndexMetrics()
    if listen is not None:
        start_http_server(listen[1], listen[0], metrics.registry)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    mongo = mongo_client(settings.mongo_url, pool=4)
    elasticsearch = elasticsearch_client(settings.elasticsearch_url, timeout_s=BULK_TIMEOUT_S)
    url = settings.redis_url if settings.clears_searches else None
    redis = redis_client(url, pool=2) if url else None
    try:
        await Indexer(
            database_of(mongo), elasticsearch, redis, stop, index=index, metrics=metrics
        ).run()
    finally:
        await elasticsearch.close()
        await mongo.close()
        if redis is not None:
            await redis.aclose()


async def is_alive(settings: IndexerSettings) -> bool:
    """Whether an indexer has given a sign of life lately; for health checks."""
    mongo = mongo_client(settings.mongo_url, pool=1)
    try:
        silent_s = await silence_s(database_of(mongo))
    finally:
        await mongo.close()
    return silent_s is not None and silent_s < SILENT_FOR_S


def main() -> int:
    """Run the indexer, or with --check say by the exit code whether one is alive."""
    arguments = argparse.ArgumentParser(description="Keep the search index in step.")
    arguments.add_argument("--check", action="store_true", help="exit 0 if an indexer is alive")
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, help="tell /metrics there; without: nowhere")
    arguments.add_argument("--index", default=INDEX, help="the alias that searches ask")
    given = arguments.parse_args()
    try:
        settings = IndexerSettings.from_environment()
    except InvalidSettings as error:
        sys.stderr.write(f"indexer: {error}\n")
        return 2
    if given.check:
        return 0 if asyncio.run(is_alive(settings)) else 1
    log_as_json("indexer", level=settings.log_level)
    try:
        listen = (given.host, given.port) if given.port is not None else None
        asyncio.run(index_until_stopped(settings, given.index, listen))
    except InvalidSettings as error:
        sys.stderr.write(f"indexer: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
