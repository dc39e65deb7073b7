"""Cache-aside in Redis that is never wrong: generations, single flight, and a way without Redis.

Every entry names the generations it was read under, one for each thing it depends on: a category's
listing, a user's favourites, all searches. A generation is a random token in Redis, and clearing
means deleting the token. An entry counts only while its tokens are still the ones in Redis: a slow
read that began before a change may store its result after it, and that result is never served.
Tokens never come back, so one lost by eviction or a restart makes misses, not wrong answers.

A look-up is one MGET of tokens and entry. Entries are ready-made response bodies.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from stack.infra.cache_keys import ENTRY_PREFIX, generation_key
from stack.infra.operations import Family
from stack.service.breaker import Breaker
from stack.service.metrics import Metrics
from stack.service.trace import current_trace

TOKEN_BYTES = 16
# A reader of secondaries may lag this much behind a change without the cache keeping the old value.
REPLICATION_ALLOWANCE_S = 2.0
# A token outlives every entry stored under it, with room for a slow read.
TOKEN_MARGIN_S = 60.0
RETRY_CLEARING_S = 0.25

# What is stored on a miss; `changed_lately` asks for a read from the primary.
Fill = Callable[[bool], Awaitable[bytes]]
log = logging.getLogger(__name__)


class Uncached(bytes):
    """A body that answers those who wait for it but must not be stored (a degraded answer)."""


class CacheUnavailable(Exception):
    """Redis cannot be asked at the moment."""


class Cache:
    """The three key families of the service."""

    def __init__(
        self, redis: Redis | None, ttl_s: Mapping[Family, float], metrics: Metrics
    ) -> None:
        self._redis = redis
        self._ttl_s = ttl_s
        self._metrics = metrics
        self._breaker = Breaker(failures=3, pause_s=0.5)
        self._flights: dict[tuple[str, bytes], asyncio.Task[bytes]] = {}
        self._uncleared: set[str] = set()
        self._clearing: asyncio.Task[None] | None = None

    async def fetch(
        self, family: Family, entry: str, depends_on: tuple[str, ...], fill: Fill
    ) -> bytes:
        """The body stored as `entry`, or what `fill` returns, stored for the next one.

        `depends_on` names the generations whose clearing makes the entry void.
        """
        ttl_s = self._ttl_s.get(family)
        if self._redis is None or ttl_s is None:
            return await fill(False)
        trace = current_trace()
        entry, depends_on = (
            f"{ENTRY_PREFIX}{family}:{entry}",
            tuple(map(generation_key, depends_on)),
        )
        try:
            with trace.timed("cache"):
                stamp, body = await self._read(self._redis, entry, depends_on, ttl_s)
        except CacheUnavailable:
            # Nobody may join a read that began before they came: without tokens we cannot tell
            # whether a change lies between, so every request reads for itself.
            self._metrics.cache_asked(family, "unavailable")
            return await fill(True)
        if body is not None:
            trace.outcome = "hit"
            self._metrics.cache_asked(family, "hit")
            return body
        trace.outcome = "miss"
        flight = self._flights.get((entry, stamp))
        trace.coalesced = flight is not None
        self._metrics.cache_asked(family, "coalesced" if trace.coalesced else "miss")
        if flight is None:
            flight = asyncio.create_task(self._fill(entry, depends_on, stamp, ttl_s, fill))
            self._flights[entry, stamp] = flight
            flight.add_done_callback(lambda done: self._landed(entry, stamp, done))
        # Shielded, so that a client that goes away does not cancel what others wait for.
        return await asyncio.shield(flight)

    async def clear(self, *generations: str) -> None:
        """Make every entry void that depends on one of these; call after the write is acknowledged.

        If Redis does not answer, the write still stands: the clearing is repeated until it
        succeeds, and until then this replica serves nothing from the cache.
        """
        if self._redis is None or not generations:
            return
        tokens = [generation_key(name) for name in generations]
        with current_trace().timed("cache"):
            try:
                if self._uncleared:
                    raise CacheUnavailable
                await self._call(self._redis.delete(*tokens))
            except CacheUnavailable:
                self._uncleared.update(tokens)
                if self._clearing is None or self._clearing.done():
                    self._clearing = asyncio.create_task(self._clear_later(self._redis))

    async def close(self) -> None:
        """Stop the background work."""
        tasks = [*self._flights.values(), *([self._clearing] if self._clearing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(
        self, redis: Redis, entry: str, depends_on: tuple[str, ...], ttl_s: float
    ) -> tuple[bytes, bytes | None]:
        """The stamp that is valid now, and the stored body if it was stored under this stamp."""
        if self._breaker.is_open or self._uncleared:
            raise CacheUnavailable
        *tokens, stored = await self._call(redis.mget([*depends_on, entry]))
        if None in tokens:
            tokens = await self._new_tokens(redis, depends_on, ttl_s)
            return b"".join(tokens), None
        stamp = b"".join(tokens)
        if stored is not None and stored.startswith(stamp):
            return stamp, stored[len(stamp) :]
        return stamp, None

    async def _new_tokens(
        self, redis: Redis, depends_on: Iterable[str], ttl_s: float
    ) -> list[bytes]:
        names = list(depends_on)
        fresh = [_token() for _ in names]
        pipeline = redis.pipeline(transaction=False)
        for name, token in zip(names, fresh, strict=True):
            pipeline.set(name, token, nx=True, get=True, px=_milliseconds(ttl_s + TOKEN_MARGIN_S))
        found = await self._call(pipeline.execute())
        return [old or token for old, token in zip(found, fresh, strict=True)]

    async def _fill(
        self, entry: str, depends_on: tuple[str, ...], stamp: bytes, ttl_s: float, fill: Fill
    ) -> bytes:
        body = await fill(_changed_lately(stamp))
        if isinstance(body, Uncached):
            return body
        assert self._redis is not None
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(entry, stamp + body, px=_milliseconds(ttl_s))
        for name in depends_on:
            pipeline.pexpire(name, _milliseconds(ttl_s + TOKEN_MARGIN_S))
        with current_trace().timed("cache"):
            try:
                await self._call(pipeline.execute())
            except CacheUnavailable:
                log.debug("an entry could not be stored", extra={"entry": entry})
        return body

    def _landed(self, entry: str, stamp: bytes, flight: asyncio.Task[bytes]) -> None:
        self._flights.pop((entry, stamp), None)
        if not flight.cancelled():
            flight.exception()  # seen, even if all who waited have gone away

    async def _call(self, command: Awaitable[Any]) -> Any:
        try:
            answer = await command
        except RedisTimeoutError as error:
            self._breaker.failed()
            raise CacheUnavailable from error
        except (RedisConnectionError, OSError) as error:
            self._breaker.failed(at_once=True)
            raise CacheUnavailable from error
        except RedisError as error:  # read-only replica, out of memory, loading …
            self._breaker.failed()
            log.warning("redis refused a command: %s", error)
            raise CacheUnavailable from error
        self._breaker.worked()
        return answer

    async def _clear_later(self, redis: Redis) -> None:
        log.warning("redis does not answer; the cache is off until it has been cleared")
        while self._uncleared:
            tokens = list(self._uncleared)
            try:
                await self._call(redis.delete(*tokens))
            except CacheUnavailable:
                await asyncio.sleep(RETRY_CLEARING_S)
            else:
                self._uncleared.difference_update(tokens)


def _token() -> bytes:
    """A token that never comes back: eleven hex digits of time in ms, five of chance."""
    return f"{int(time.time() * 1000):011x}{secrets.randbits(20):05x}".encode()


def _changed_lately(stamp: bytes) -> bool:
    """Whether a generation of this stamp began so lately that secondaries may not know why."""
    now_ms = time.time() * 1000
    begun_ms = (int(stamp[at : at + 11], 16) for at in range(0, len(stamp), TOKEN_BYTES))
    return any(now_ms - begun < REPLICATION_ALLOWANCE_S * 1000 for begun in begun_ms)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
