"""Sessions in Redis: one for each login of a user, kept while its refresh tokens are used.

A session is a family of refresh tokens of which only the newest is good. Every change is one Lua
script, so that replicas that act at once act one after the other; the clock is Redis's own.

When a session ends, its name goes into a stream that all replicas follow (revocations.py): its
access tokens die with it.
"""

import secrets
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from bson import ObjectId
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stack.service.auth.tokens import ACCESS_TOKEN_S
from stack.service.errors import ServiceError

REFRESH_TOKEN_S = 7 * 86_400
# However often it is used, after this a session asks for the password again.
LONGEST_SESSION_S = 90 * 86_400
# Two tabs, or a client that lost the answer: the token just used gets the same answer again.
ALLOWANCE_S = 10.0
REVOKED = "auth:revoked"

Outcome = Literal["rotated", "repeated", "replayed", "unknown"]

_PRELUDE = """
local index, prefix, revoked = KEYS[1], KEYS[2], KEYS[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local order = clock[1] * 1000000 + clock[2]  -- no two logins share a microsecond
local ttl, access = tonumber(ARGV[1]), tonumber(ARGV[2])
local function revoke(id)
  redis.call('XADD', revoked, 'MINID', '~', now - access, '*', 'id', id)
  redis.call('PEXPIRE', revoked, access)
end
local function finish(session)
  redis.call('DEL', prefix .. session)
  redis.call('ZREM', index, session)
  revoke(session)
end
local function used(session)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', order - ttl * 1000)
  redis.call('ZADD', index, order, session)
  redis.call('PEXPIRE', index, ttl)
  redis.call('HSET', prefix .. session, 'seen', now)
  redis.call('PEXPIRE', prefix .. session, ttl)
end
"""

# ARGV: …, limit, session, agent, address. Returns the time and the sessions that had to go.
_OPEN = (
    _PRELUDE
    + """
local limit, session = tonumber(ARGV[3]), ARGV[4]
redis.call('HSET', prefix .. session, 'generation', 0, 'created', now, 'rotated', now,
  'agent', ARGV[5], 'address', ARGV[6])
used(session)
local surplus = {}
local excess = redis.call('ZCARD', index) - limit
if limit > 0 and excess > 0 then
  surplus = redis.call('ZRANGE', index, 0, excess - 1)
end
for _, other in ipairs(surplus) do finish(other) end
return {now, surplus}
"""
)

# ARGV: …, session, generation, allowance, longest. Returns outcome, newest generation, its time.
_ROTATE = (
    _PRELUDE
    + """
local session, generation = ARGV[3], tonumber(ARGV[4])
local known = redis.call('HMGET', prefix .. session, 'generation', 'rotated', 'created')
if not known[1] then return {'unknown', 0, now} end
local newest, rotated = tonumber(known[1]), tonumber(known[2])
if now - tonumber(known[3]) > tonumber(ARGV[6]) then
  finish(session)
  return {'unknown', 0, now}
end
if generation == newest then
  redis.call('HSET', prefix .. session, 'generation', newest + 1, 'rotated', now)
  used(session)
  return {'rotated', newest + 1, now}
end
if generation == newest - 1 and now - rotated <= tonumber(ARGV[5]) then
  return {'repeated', newest, rotated}
end
finish(session)
return {'replayed', newest, now}
"""
)

# ARGV: …, session or '' for all. Returns the sessions that were ended.
_FINISH = (
    _PRELUDE
    + """
local going = redis.call('ZRANGE', index, 0, -1)
if ARGV[3] ~= '' then
  going = redis.call('ZSCORE', index, ARGV[3]) and {ARGV[3]} or {}
end
for _, session in ipairs(going) do finish(session) end
return going
"""
)

_REVOKE = _PRELUDE + "revoke(ARGV[3])"


class SessionsUnavailable(ServiceError):
    """Redis, where the sessions are, cannot be asked at the moment."""

    status, title = 503, "Sessions unavailable"
    headers = {"Retry-After": "1"}  # noqa: RUF012 - a constant of the class, never changed


class Device(NamedTuple):
    """Where a session is used, as far as the request tells."""

    agent: str
    address: str


class Rotation(NamedTuple):
    """What became of a refresh token that was used."""

    outcome: Outcome
    generation: int
    at_s: float  # when the newest tokens of the session were made


@dataclass(frozen=True, slots=True)
class Session:
    """One login of a user."""

    name: str
    device: Device
    created: datetime
    seen: datetime  # the last login or refresh: an access token is used without our knowing


class Sessions:
    """All sessions of all users. Every method raises SessionsUnavailable without Redis."""

    def __init__(self, redis: Redis, limit: int, *, allowance_s: float = ALLOWANCE_S) -> None:
        self._redis = redis
        self._limit = limit
        self._allowance_ms = round(allowance_s * 1000)
        self._open = redis.register_script(_OPEN)
        self._rotate = redis.register_script(_ROTATE)
        self._finish = redis.register_script(_FINISH)
        self._revoke = redis.register_script(_REVOKE)

    async def open(self, user: ObjectId, device: Device) -> tuple[str, float, list[str]]:
        """A new session's name, its time, and those that had to go to keep within the limit."""
        name = secrets.token_urlsafe(12)
        now_ms, ended = await self._run(
            self._open, user, self._limit, name, device.agent, device.address
        )
        return name, now_ms / 1000, [session.decode() for session in ended]

    async def rotate(self, user: ObjectId, session: str, generation: int) -> Rotation:
        """Use the refresh token of that number; one that was used before ends the session."""
        outcome, newest, at_ms = await self._run(
            self._rotate, user, session, generation, self._allowance_ms, LONGEST_SESSION_S * 1000
        )
        return Rotation(outcome.decode(), newest, at_ms / 1000)

    async def of_user(self, user: ObjectId) -> list[Session]:
        """The user's sessions, last used first."""
        names = await _answered(self._redis.zrevrange(_index(user), 0, -1))
        pipeline = self._redis.pipeline(transaction=False)
        for name in names:
            pipeline.hgetall(_prefix(user) + name.decode())
        found = await _answered(pipeline.execute()) if names else []
        return [
            Session(
                name.decode(),
                Device(fields[b"agent"].decode(), fields[b"address"].decode()),
                _time(fields[b"created"]),
                _time(fields[b"seen"]),
            )
            for name, fields in zip(names, found, strict=True)
            if fields  # expired since
        ]

    async def end(self, user: ObjectId, session: str) -> bool:
        """End one session; False when the user has none of that name."""
        return bool(await self._run(self._finish, user, session))

    async def end_all(self, user: ObjectId) -> list[str]:
        """End every session of the user; their names."""
        return [name.decode() for name in await self._run(self._finish, user, "")]

    async def revoke(self, user: ObjectId, identifier: str) -> None:
        """Tell all replicas that a token or an API key is void."""
        await self._run(self._revoke, user, identifier)

    async def _run(self, script: Any, user: ObjectId, *arguments: object) -> Any:
        lives = (REFRESH_TOKEN_S * 1000, round(ACCESS_TOKEN_S * 1000))
        keys: Sequence[str] = (_index(user), _prefix(user), REVOKED)
        return await _answered(script(keys=keys, args=[*lives, *arguments]))


async def _answered(command: Awaitable[Any]) -> Any:
    try:
        return await command
    except (RedisError, OSError) as error:
        raise SessionsUnavailable("sessions cannot be reached at the moment; try again") from error


def _index(user: ObjectId) -> str:
    return f"auth:{user}:sessions"


def _prefix(user: ObjectId) -> str:
    return f"auth:{user}:session:"


def _time(milliseconds: bytes) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
