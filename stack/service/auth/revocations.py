"""Which tokens are void before they expire, known to every replica without asking Redis.

Each replica follows one Redis stream and keeps what it says in memory: a check costs a look into a
dict. What one replica ends, the others know a few milliseconds later. Without Redis nothing can be
ended anywhere but here (and the client is told so); what was ended stays so. A replica that starts
without Redis knows nothing of the past, for the fifteen minutes that an access token lives.
"""

import asyncio
import logging
import time
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from stack.service.auth.principal import Principal
from stack.service.auth.sessions import REVOKED
from stack.service.auth.tokens import ACCESS_TOKEN_S

WAIT_S = 5.0  # one question to Redis waits as long for news
RETRY_S = 0.5
AT_ONCE = 10_000
log = logging.getLogger(__name__)


class Revocations:
    """Names of ended sessions, tokens and API keys, and how long each matters."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._until_s: dict[str, float] = {}
        self._last = b"0"
        self._following: asyncio.Task[None] | None = None

    def cover(self, principal: Principal) -> bool:
        """Whether this principal's token is void."""
        void = self._until_s
        return bool(void) and (principal.session in void or principal.token in void)

    def add(self, identifier: str) -> None:
        """Note what this replica itself has ended, without waiting for the stream."""
        self._note(identifier, time.time())

    async def start(self) -> None:
        """Learn what was ended before, if Redis can be asked, and follow what comes."""
        try:
            while await self._read():
                pass
        except (RedisError, OSError):
            log.warning("redis does not answer: ended sessions of the past are not known")
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stop following."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._redis.aclose()

    async def _follow(self) -> None:
        while True:
            try:
                await self._read(block=round(WAIT_S * 1000))
            except (RedisError, OSError):
                await asyncio.sleep(RETRY_S)

    async def _read(self, block: int | None = None) -> int:
        answer: Any = await self._redis.xread({REVOKED: self._last}, count=AT_ONCE, block=block)
        streams = answer.items() if isinstance(answer, dict) else answer or ()
        count = 0
        for _, entries in streams:
            for entry, fields in entries:
                self._last = entry
                self._note(fields[b"id"].decode(), int(entry.split(b"-")[0]) / 1000)
                count += 1
        return count

    def _note(self, identifier: str, at_s: float) -> None:
        now_s = time.time()
        # In the order of their ends, so the first that still matters ends the search.
        while self._until_s:
            oldest = next(iter(self._until_s))
            if self._until_s[oldest] > now_s:
                break
            del self._until_s[oldest]
        self._until_s[identifier] = at_s + ACCESS_TOKEN_S
