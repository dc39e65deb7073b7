"""A sliding window in Redis: in no 60 seconds more than the quota, whatever replica is asked.

The window keeps the time of each admitted request, so it is exact, and a client that is refused
does not push its own end of waiting away. It holds no more entries than the quota.
"""

import secrets
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from stack.service.breaker import Breaker

WINDOW_S = 60.0
ADDRESSES = 10_000

# Redis's own clock, so that replicas whose clocks differ share one window.
_ASK = """
local window, quota = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local used = redis.call('ZCARD', KEYS[1])
local admitted = 0
if used < quota then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], window)
  used, admitted = used + 1, 1
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {admitted, quota - used, math.max(1, oldest[2] + window - now)}
"""


class Standing(NamedTuple):
    """What a budget says to one request."""

    admitted: bool
    remaining: int
    more_in_s: float  # until the oldest counted request leaves the window


class WindowUnavailable(Exception):
    """Redis cannot be asked at the moment."""


class SharedWindow:
    """The windows of all clients, shared by all replicas."""

    def __init__(self, redis: Redis, window_s: float = WINDOW_S) -> None:
        self._ask = redis.register_script(_ASK)
        self._window_ms = round(window_s * 1000)
        self._breaker = Breaker(failures=3, pause_s=0.5)

    async def ask(self, key: str, quota: int) -> Standing:
        """Count one request of `key` if its budget allows. Raises WindowUnavailable."""
        if self._breaker.is_open:
            raise WindowUnavailable
        arguments: list[int | bytes] = [self._window_ms, quota, secrets.token_bytes(8)]
        try:
            answer: Any = await self._ask(keys=[f"limit:{key}"], args=arguments)
        except (RedisError, OSError) as error:
            self._breaker.failed(at_once=not isinstance(error, RedisTimeoutError))
            raise WindowUnavailable from error
        self._breaker.worked()
        admitted, remaining, more_in_ms = answer
        return Standing(bool(admitted), remaining, more_in_ms / 1000)


class OwnWindow:
    """The same for one replica alone, in memory: the stand-in while Redis is away."""

    def __init__(self, window_s: float = WINDOW_S, clock: Callable[[], float] = monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._times: dict[str, deque[float]] = {}

    def ask(self, key: str, quota: int) -> Standing:
        """Count one request of `key` if its budget allows."""
        now_s = self._clock()
        if key not in self._times and len(self._times) >= ADDRESSES:
            del self._times[next(iter(self._times))]  # bounded; the first that came goes
        times = self._times.setdefault(key, deque())
        while times and times[0] <= now_s - self._window_s:
            times.popleft()
        admitted = len(times) < quota
        if admitted:
            times.append(now_s)
        return Standing(admitted, quota - len(times), times[0] + self._window_s - now_s)
