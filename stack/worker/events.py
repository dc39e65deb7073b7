"""Owns the events: stores what the replicas hand over, and answers questions about it.

`python -m stack.worker.events --port N`: one process, because chDB's folder has one owner. A batch
leaves the stream when it is stored and not before; what a crash left half done is done first after
the next start.
"""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import orjson
from clickhouse_connect.driver.exceptions import Error as ClickHouseError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack.infra.connections import redis_client
from stack.infra.event_stream import BATCH, COUNT, GROUP, STREAM
from stack.worker.event_metrics import EventMetrics
from stack.worker.event_settings import EventSettings
from stack.worker.event_store import TOPS, EventStore
from stack.worker.serving import pause, serve

CONSUMER = "owner"  # one name for ever: what a crash left pending is the next start's
ENTRIES = 100
# Below the client's time limit: an empty stream is no failure.
BLOCK_MS = 250
PAUSES_S = (0.25, 0.5, 1.0, 2.0, 5.0)
LOOK_S = 1.0
T = TypeVar("T")
log = logging.getLogger("stack.worker.events")


class EventOwner:
    """The store, the thread it lives in, and the reader that fills it."""

    def __init__(self, settings: EventSettings, redis: Redis, metrics: EventMetrics) -> None:
        self._url = settings.clickhouse_url
        self._redis = redis
        self._metrics = metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clickhouse")
        self._store: EventStore | None = None
        self._stop = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the store is open."""
        return self._store is not None

    async def ask(self, question: Callable[[EventStore], T]) -> T:
        """The answer of the store. Raises ConnectionError while there is none."""
        store = self._store
        if store is None:
            raise ConnectionError("the event store is not open yet")
        return await self._in_thread(lambda: question(store))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def stop(self) -> None:
        """Let `run` return after the batch in hand."""
        self._stop.set()

    async def run(self) -> None:
        """Store batches until `stop`, through every failure of the servers."""
        looking = asyncio.create_task(self._look())
        failures = 0
        pending = True
        while not self._stop.is_set():
            try:
                if self._store is None:
                    self._store = await self._in_thread(lambda: EventStore(self._url))
                if pending:  # what an earlier life, or a failure, left unfinished comes first
                    await self._make_group()
                    pending = await self._step("0")
                else:
                    await self._step(">")
                failures = 0
            except (RedisError, ClickHouseError, OSError) as error:
                pause_s = PAUSES_S[min(failures, len(PAUSES_S) - 1)]
                failures, pending = failures + 1, True
                log.warning("events cannot be stored: %s; trying again in %g s", error, pause_s)
                await pause(pause_s, self._stop)
        looking.cancel()
        if self._store is not None:
            await self._in_thread(self._store.close)
        self._thread.shutdown()

    async def _step(self, place: str) -> bool:
        """Store what is read at `place`; whether there was anything."""
        found: Any = await self._redis.xreadgroup(
            GROUP, CONSUMER, {STREAM: place}, count=ENTRIES, block=BLOCK_MS
        )
        entries = found[0][1] if found else []
        if not entries:
            return False
        began = time.perf_counter()
        await self.ask(lambda store: store.insert(b"\n".join(body[BATCH] for _, body in entries)))
        stored = sum(int(body[COUNT]) for _, body in entries)
        self._metrics.stored(stored, time.perf_counter() - began)
        names = [name for name, _ in entries]
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.xack(STREAM, GROUP, *names)
        pipeline.xdel(STREAM, *names)
        await pipeline.execute()
        return True

    async def _make_group(self) -> None:
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _look(self) -> None:
        while True:
            try:
                self._metrics.waiting(await self._redis.xlen(STREAM))
            except (RedisError, OSError):
                log.debug("the stream's length is not known at the moment")
            await asyncio.sleep(LOOK_S)


def create_app(settings: EventSettings) -> Starlette:
    """The events' own little API, for the replicas and the worker; it is not published."""
    redis = redis_client(settings.queue_url, pool=4)
    metrics = EventMetrics()
    owner = EventOwner(settings, redis, metrics)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(owner.run())
        yield
        owner.stop()
        await running
        await redis.aclose()

    async def ready(_: Request) -> Response:
        return JSONResponse({"status": "ready" if owner.ready else "starting"}, _status(owner))

    async def measured(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def funnel(request: Request) -> Response:
        start, end = _period(request)
        return await _answer(owner, lambda store: store.funnel(start, end))

    async def kinds(request: Request) -> Response:
        start, end = _period(request)
        return await _answer(owner, lambda store: store.kinds(start, end))

    async def top(request: Request) -> Response:
        start, end = _period(request)
        what, most = request.path_params["what"], int(request.query_params["most"])
        if what not in TOPS:
            return JSONResponse({"allowed": sorted(TOPS)}, 404)
        return await _answer(owner, lambda store: store.top(what, start, end, most))

    routes = [
        Route("/readyz", ready),
        Route("/metrics", measured),
        Route("/funnel", funnel),
        Route("/kinds", kinds),
        Route("/top/{what}", top),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def _status(owner: EventOwner) -> int:
    return 200 if owner.ready else 503


def _period(request: Request) -> tuple[datetime, datetime]:
    start, end = request.query_params["start"], request.query_params["end"]
    return datetime.fromisoformat(start), datetime.fromisoformat(end)


async def _answer(owner: EventOwner, question: Callable[[EventStore], Any]) -> Response:
    try:
        found = await owner.ask(question)
    except (ClickHouseError, OSError) as error:
        log.warning("a question could not be answered: %s", error)
        return JSONResponse({"error": "the event store does not answer"}, 503)
    return Response(orjson.dumps(found), media_type="application/json")


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    return serve(
        "events", "Store events and answer questions about them.", EventSettings, create_app
    )


if __name__ == "__main__":
    sys.exit(main())
