"""The queue of background jobs, in Redis; service and worker share it.

A job is a hash, and its key (chosen by who asks for it) names it once and for all: asking again is
no second job. `due` orders jobs by the moment they may run. Whoever claims a job moves that moment
to the end of a lease and extends it while it works, so the job of a worker that died becomes due
again by itself. Every step is one script, and Redis runs a script wholly or not at all.

    add ──▶ waiting ──claim──▶ running ──finish──▶ done (remembered for a while, so not run again)
               ▲                  │
               └──retry/release───┤ (an error with a later moment; a stop at once)
               └──lease over──────┘
    revive ◀── dead ◀──bury───────┘ (tried too often, or no trying again would help)
"""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import orjson
from redis.asyncio import Redis

PREFIX = "jobs:"
DUE = f"{PREFIX}due"
DEAD = f"{PREFIX}dead"
HASH = f"{PREFIX}job:"
# A finished job's key is remembered so long; asking for it again meanwhile does nothing.
REMEMBERED_S = 48 * 3600
ERROR_LETTERS = 500
Arguments = list[str | int | bytes]


class JobKind(StrEnum):
    """What a worker can do."""

    WELCOME = "welcome"  # an e-mail to a new account
    MISSED_WELCOMES = "missed_welcomes"  # ask for the welcomes that a queue's failure kept back
    RECOMMENDATIONS = "recommendations"  # which products are favourites together
    SEARCH_CHECK = "search_check"  # compare the search index with the database and repair it
    SEARCH_REBUILD = "search_rebuild"  # build the search index anew, in the old one's stead
    SESSION_CLEANUP = "session_cleanup"  # forget sessions that have ended
    REPORT = "report"  # yesterday's figures
    IMAGE = "image"  # one upload, in all its sizes


@dataclass(frozen=True)
class Job:
    """A claimed job. `attempt` counts from 1; the token proves that the lease is still ours."""

    key: str
    kind: str  # a JobKind, or one of a newer release that asks an older worker
    payload: Mapping[str, Any]
    attempt: int
    due_s: float
    token: str
    request_id: str | None


@dataclass(frozen=True)
class DeadJob:
    """A job that was given up."""

    key: str
    kind: str
    payload: Mapping[str, Any]
    attempts: int
    error: str
    died_s: float


@dataclass(frozen=True)
class Backlog:
    """How many jobs are in which state. `waiting` may run now; `later` has its moment to come."""

    waiting: int
    running: int
    later: int
    dead: int


# Redis's own clock orders everything: workers on several machines need not agree about the time.
_NOW = "local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
_OURS = "if redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then return 0 end\n"

# KEYS job due; ARGV key kind payload delay_ms at_ms request_id
_ADD = f"""{_NOW}
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local moment = tonumber(ARGV[5])
if moment == 0 then moment = now + ARGV[4] end
redis.call('HSET', KEYS[1], 'kind', ARGV[2], 'payload', ARGV[3], 'state', 'waiting',
           'attempts', 0, 'request_id', ARGV[6], 'due_ms', moment)
redis.call('ZADD', KEYS[2], moment, ARGV[1])
return 1
"""

# KEYS due dead; ARGV prefix lease_ms token most_attempts. A job whose workers died each time is
# buried here: it may be the job that kills them.
_CLAIM = f"""{_NOW}
while true do
  local found = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)
  if #found == 0 then return nil end
  local job = ARGV[1] .. found[1]
  local attempt = redis.call('HINCRBY', job, 'attempts', 1)
  if attempt > tonumber(ARGV[4]) then
    redis.call('ZREM', KEYS[1], found[1])
    redis.call('ZADD', KEYS[2], now, found[1])
    redis.call('HSETNX', job, 'error', 'its worker ended before the job did, each time')
    redis.call('HSET', job, 'state', 'dead', 'attempts', attempt - 1)
    redis.call('HDEL', job, 'token')
  else
    redis.call('HSET', job, 'state', 'running', 'token', ARGV[3])
    redis.call('ZADD', KEYS[1], now + ARGV[2], found[1])
    local f = redis.call('HMGET', job, 'kind', 'payload', 'due_ms', 'request_id')
    return {{found[1], f[1], f[2], attempt, f[3], f[4]}}
  end
end
"""

# KEYS job due; ARGV key token lease_ms
_RENEW = f"{_NOW}{_OURS}redis.call('ZADD', KEYS[2], 'XX', now + ARGV[3], ARGV[1]); return 1"

# KEYS job due; ARGV key token remembered_s
_FINISH = f"""{_OURS}
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], 'token', 'payload', 'error')
redis.call('HSET', KEYS[1], 'state', 'done')
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""

# KEYS job due; ARGV key token delay_ms error attempts_back
_RETRY = f"""{_NOW}{_OURS}
redis.call('HDEL', KEYS[1], 'token')
redis.call('HSET', KEYS[1], 'state', 'waiting', 'due_ms', now + ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'error', ARGV[4]) end
redis.call('HINCRBY', KEYS[1], 'attempts', -ARGV[5])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
return 1
"""

# KEYS job due dead; ARGV key token error
_BURY = f"""{_NOW}{_OURS}
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], 'token')
redis.call('HSET', KEYS[1], 'state', 'dead', 'error', ARGV[3])
redis.call('ZADD', KEYS[3], now, ARGV[1])
return 1
"""

# KEYS job due dead; ARGV key
_REVIVE = f"""{_NOW}
if redis.call('ZREM', KEYS[3], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[1], 'error')
redis.call('HSET', KEYS[1], 'state', 'waiting', 'attempts', 0, 'due_ms', now)
redis.call('ZADD', KEYS[2], now, ARGV[1])
return 1
"""

# KEYS due dead; ARGV prefix. A running job is due at the end of its lease, so its state tells.
_BACKLOG = f"""{_NOW}
local running, later = 0, 0
local after = redis.call('ZRANGE', KEYS[1], '(' .. now, '+inf', 'BYSCORE', 'LIMIT', 0, 1000)
for _, key in ipairs(after) do
  if redis.call('HGET', ARGV[1] .. key, 'state') == 'running' then running = running + 1
  else later = later + 1 end
end
return {{redis.call('ZCOUNT', KEYS[1], '-inf', now), running, later, redis.call('ZCARD', KEYS[2])}}
"""


class JobQueue:
    """Adds, claims and ends jobs. Redis errors pass through: the caller knows what they mean."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._add = redis.register_script(_ADD)
        self._claim = redis.register_script(_CLAIM)
        self._renew = redis.register_script(_RENEW)
        self._finish = redis.register_script(_FINISH)
        self._retry = redis.register_script(_RETRY)
        self._bury = redis.register_script(_BURY)
        self._revive = redis.register_script(_REVIVE)
        self._backlog = redis.register_script(_BACKLOG)

    async def add(
        self,
        kind: JobKind,
        key: str,
        payload: Mapping[str, Any] | None = None,
        *,
        at_s: float | None = None,
        delay_s: float = 0.0,
        request_id: str | None = None,
    ) -> bool:
        """Ask for a job at `at_s` (Unix time), or after `delay_s`.

        False: a job of this key waits, runs, is dead, or was done less than REMEMBERED_S ago.
        """
        key = f"{kind}:{key}"
        moment_ms = round(at_s * 1000) if at_s is not None else 0
        delay_ms = round(delay_s * 1000)
        body = orjson.dumps(payload or {})
        args: Arguments = [key, kind.value, body, delay_ms, moment_ms, request_id or ""]
        return bool(await self._add(keys=[HASH + key, DUE], args=args))

    async def claim(self, lease_s: float, token: str, most_attempts: int) -> Job | None:
        """The job that has been due longest, ours until the lease ends; None: nothing is due."""
        args: Arguments = [HASH, round(lease_s * 1000), token, most_attempts]
        found = await self._claim(keys=[DUE, DEAD], args=args)
        if found is None:
            return None
        key, kind, payload, attempt, due_ms, request_id = found
        return Job(
            key=key.decode(),
            kind=kind.decode(),
            payload=orjson.loads(payload),
            attempt=int(attempt),
            due_s=int(float(due_ms)) / 1000,
            token=token,
            request_id=request_id.decode() or None,
        )

    async def renew(self, job: Job, lease_s: float) -> bool:
        """Extend the lease. False: it is no longer ours, and another worker may have the job."""
        args: Arguments = [job.key, job.token, round(lease_s * 1000)]
        return bool(await self._renew(keys=[HASH + job.key, DUE], args=args))

    async def finish(self, job: Job) -> bool:
        """Note that the job is done. False: the lease was lost, which leaves it to another."""
        args: Arguments = [job.key, job.token, REMEMBERED_S]
        return bool(await self._finish(keys=[HASH + job.key, DUE], args=args))

    async def retry(self, job: Job, delay_s: float, error: str) -> bool:
        """Let the job be tried again after `delay_s`."""
        return await self._again(job, delay_s, error[:ERROR_LETTERS], 0)

    async def release(self, job: Job) -> bool:
        """Give an unfinished job back at once, as if it had not been claimed."""
        return await self._again(job, 0.0, "", 1)

    async def _again(self, job: Job, delay_s: float, error: str, attempts_back: int) -> bool:
        args: Arguments = [job.key, job.token, round(delay_s * 1000), error, attempts_back]
        return bool(await self._retry(keys=[HASH + job.key, DUE], args=args))

    async def bury(self, job: Job, error: str) -> bool:
        """Give the job up; it stays among the dead until somebody revives it."""
        args: Arguments = [job.key, job.token, error[:ERROR_LETTERS]]
        return bool(await self._bury(keys=[HASH + job.key, DUE, DEAD], args=args))

    async def revive(self, key: str) -> bool:
        """Let a dead job run again. False: no dead job has this key."""
        return bool(await self._revive(keys=[HASH + key, DUE, DEAD], args=[key]))

    async def state(self, key: str) -> str | None:
        """waiting, running, done or dead; None: never heard of, or forgotten."""
        found = await cast(Awaitable[bytes | None], self._redis.hget(HASH + key, "state"))
        return found.decode() if found else None

    async def backlog(self) -> Backlog:
        """How many jobs are in which state; `later` counts the next thousand."""
        counts = await self._backlog(keys=[DUE, DEAD], args=[HASH])
        waiting, running, later, dead = (int(count) for count in counts)
        return Backlog(waiting, running, later, dead)

    async def dead(self, limit: int = 100) -> list[DeadJob]:
        """The jobs that were given up last."""
        found: Any = await self._redis.zrange(DEAD, 0, limit - 1, desc=True, withscores=True)
        jobs = []
        for key, died_ms in found:
            body = await cast(
                Awaitable[dict[bytes, bytes]], self._redis.hgetall(HASH + key.decode())
            )
            jobs.append(
                DeadJob(
                    key=key.decode(),
                    kind=body[b"kind"].decode(),
                    payload=orjson.loads(body[b"payload"]),
                    attempts=int(body[b"attempts"]),
                    error=body.get(b"error", b"").decode(),
                    died_s=died_ms / 1000,
                )
            )
        return jobs
