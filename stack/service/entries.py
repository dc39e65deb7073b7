"""Cached entries as Redis holds them: their form, and the scripts that claim and store them.

An entry is `stamp · end · cost · body`: the generation tokens it was read under, when it ends (ms
of the epoch, hexadecimal), and what reading it cost (tenths of a ms, hexadecimal). The scripts make
one step of what must not be two: "is it there, or may I read it", and "is my stamp still the valid
one, then store".
"""

import asyncio
import logging
import math
import random
import secrets
import time
from collections.abc import Awaitable, Iterable
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from stack.service.breaker import Breaker

TOKEN_BYTES = 16
END_DIGITS, COST_DIGITS = 11, 6
HEAD_BYTES = END_DIGITS + COST_DIGITS
# A lease ends by itself when its holder dies; a read that takes longer may be made twice.
LEASE_MS = 2_000
LEASE_PREFIX = "lease:"

_CLAIM = """
local stored = redis.call('GET', KEYS[1])
if stored and string.sub(stored, 1, #ARGV[1]) == ARGV[1] then return stored end
if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then return 1 end
return 0
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
_STORE = """
if redis.call('GET', KEYS[2]) == ARGV[5] then redis.call('DEL', KEYS[2]) end
local stamp = ''
for at = 3, #KEYS do stamp = stamp .. (redis.call('GET', KEYS[at]) or '') end
if stamp ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
for at = 3, #KEYS do redis.call('PEXPIRE', KEYS[at], ARGV[4]) end
return 1
"""
log = logging.getLogger(__name__)


class CacheUnavailable(Exception):
    """Redis cannot be asked at the moment."""


class Place(NamedTuple):
    """Where an entry is kept, and the generations it depends on: names in Redis."""

    entry: str
    tokens: tuple[str, ...]

    def lease(self, stamp: bytes) -> str:
        """The key that whoever reads this entry under this stamp holds meanwhile."""
        return f"{LEASE_PREFIX}{self.entry}:{stamp.decode()}"


class EntryStore:
    """Redis as the cache sees it: answers, or CacheUnavailable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._breaker = Breaker(failures=3, pause_s=0.5)
        self._claim = redis.register_script(_CLAIM)
        self._release = redis.register_script(_RELEASE)
        self._store = redis.register_script(_STORE)
        self._asked: dict[Place, list[asyncio.Future[list[bytes | None]]]] = {}
        self._asking: set[asyncio.Task[None]] = set()

    @property
    def is_left_alone(self) -> bool:
        """Whether Redis failed so lately that it is not asked now."""
        return self._breaker.is_open

    async def look_up(self, place: Place) -> list[bytes | None]:
        """The tokens of `place`, then the entry, all of one instant.

        Look-ups that come in one turn of the event loop travel as one MGET: a round trip costs a
        replica more than what it carries.
        """
        answer: asyncio.Future[list[bytes | None]] = asyncio.get_running_loop().create_future()
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._ask)
        self._asked.setdefault(place, []).append(answer)
        return await answer

    def _ask(self) -> None:
        asked, self._asked = self._asked, {}
        task = asyncio.create_task(self._answer(asked))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _answer(self, asked: dict[Place, list[asyncio.Future[list[bytes | None]]]]) -> None:
        names = {name: None for place in asked for name in (*place.tokens, place.entry)}
        try:
            values = await self._call(self._redis.mget(list(names)))
        except CacheUnavailable as error:
            for answer in (one for answers in asked.values() for one in answers):
                if not answer.done():
                    answer.set_exception(error)
            return
        found = dict(zip(names, values, strict=True))
        for place, answers in asked.items():
            known = [*(found[name] for name in place.tokens), found[place.entry]]
            for answer in answers:
                if not answer.done():  # done: its request has gone away
                    answer.set_result(known)

    async def new_tokens(self, names: Iterable[str], lifetime_ms: int) -> list[bytes]:
        """The tokens under these names, made where there are none."""
        fresh = {name: new_token() for name in names}
        pipeline = self._redis.pipeline(transaction=False)
        for name, token in fresh.items():
            pipeline.set(name, token, nx=True, get=True, px=lifetime_ms)
        found = await self._call(pipeline.execute())
        return [old or token for old, token in zip(found, fresh.values(), strict=True)]

    async def claim(self, place: Place, stamp: bytes, owner: bytes) -> bytes | bool:
        """The body if it is stored by now; else whether `owner` is the one to read it."""
        keys = [place.entry, place.lease(stamp)]
        answer = await self._call(self._claim(keys=keys, args=[stamp, owner, LEASE_MS]))
        return body_of(answer, stamp) if isinstance(answer, bytes) else bool(answer)

    async def take_lease(self, place: Place, stamp: bytes, owner: bytes) -> bool:
        """Whether `owner` alone is to read the entry anew, though it is there."""
        lease = self._redis.set(place.lease(stamp), owner, nx=True, px=LEASE_MS)
        return bool(await self._call(lease))

    async def release(self, place: Place, stamp: bytes, owner: bytes) -> None:
        """Let others read; to be called when nothing could be stored."""
        await self._call(self._release(keys=[place.lease(stamp)], args=[owner]))

    async def store(
        self, place: Place, stamp: bytes, body: bytes, *, times_s: "Times", owner: bytes
    ) -> bool:
        """Store what was read under `stamp`, unless that has ended; whether it was stored."""
        ttl_ms = milliseconds(times_s.ttl)
        end = int(time.time() * 1000) + ttl_ms
        cost = min(int(times_s.cost * 10_000), 16**COST_DIGITS - 1)
        rest = b"%011x%06x" % (end, cost) + body
        keys = [place.entry, place.lease(stamp), *place.tokens]
        args: list[bytes | int] = [stamp, rest, ttl_ms, milliseconds(times_s.token), owner]
        return bool(await self._call(self._store(keys=keys, args=args)))

    async def delete(self, names: Iterable[str]) -> None:
        """Delete tokens, and with them the validity of all that depends on them."""
        await self._call(self._redis.delete(*names))

    async def close(self) -> None:
        """Stop asking."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

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


class Times(NamedTuple):
    """Durations of one stored entry, in seconds: it lives, its tokens live, reading it took."""

    ttl: float
    token: float
    cost: float


def new_token() -> bytes:
    """A token that never comes back: eleven hex digits of time in ms, five of chance."""
    return f"{int(time.time() * 1000):011x}{secrets.randbits(20):05x}".encode()


def youngest_token_s(stamp: bytes) -> float:
    """Seconds since the last generation of this stamp began."""
    begun_ms = (int(stamp[at : at + END_DIGITS], 16) for at in range(0, len(stamp), TOKEN_BYTES))
    return time.time() - max(begun_ms) / 1000


def body_of(stored: bytes, stamp: bytes) -> bytes:
    """The body of an entry stored under `stamp`."""
    return stored[len(stamp) + HEAD_BYTES :]


def is_due_early(stored: bytes, stamp: bytes, beta: float) -> bool:
    """Whether this look-up should read the entry anew although it still counts.

    The rule of XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede
    Prevention, VLDB 2015): the dearer the read and the nearer the end, the likelier.
    """
    at = len(stamp)
    left_ms = int(stored[at : at + END_DIGITS], 16) - time.time() * 1000
    cost_ms = int(stored[at + END_DIGITS : at + HEAD_BYTES], 16) / 10
    return -cost_ms * beta * math.log(1.0 - random.random()) >= left_ms


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, at least one: Redis refuses none."""
    return max(1, round(seconds * 1000))
