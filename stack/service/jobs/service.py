"""Asking for background jobs, and looking after the queue."""

import logging
from collections.abc import Mapping
from typing import Any

from redis.exceptions import RedisError

from stack.infra.jobs import Backlog, DeadJob, JobKind, JobQueue
from stack.service.errors import Conflict, NotFound, ServiceError
from stack.service.held import job_to_hold
from stack.service.trace import current_request_id, new_request_id

log = logging.getLogger(__name__)


class QueueUnavailable(ServiceError):
    """The queue does not answer, and the request cannot be served without it."""

    status, title = 503, "Queue unavailable"
    headers = {"Retry-After": "1"}  # noqa: RUF012 - a constant of the class, never changed


class JobService:
    """The queue, as the API uses it."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    async def ask(self, kind: JobKind, key: str, payload: Mapping[str, Any]) -> str:
        """Ask for a job and return its key; one of that key that is dead is revived.

        Raises QueueUnavailable.
        """
        held = job_to_hold()
        if held is not None:
            payload = {**payload, "held": held}
        try:
            added = await self._queue.add(kind, key, payload, request_id=current_request_id())
            if not added:
                await self._queue.revive(f"{kind}:{key}")
        except (RedisError, OSError) as error:
            raise QueueUnavailable("the job queue does not answer; try again") from error
        return f"{kind}:{key}"

    async def ask_if_possible(self, kind: JobKind, key: str, payload: Mapping[str, Any]) -> None:
        """Ask for a job that a scheduled one asks for again when the queue does not answer now."""
        try:
            await self.ask(kind, key, payload)
        except QueueUnavailable as error:
            log.warning("%s:%s was not queued: %s", kind, key, error.detail)

    async def ask_on_demand(self, kind: JobKind, payload: Mapping[str, Any]) -> str:
        """Ask for a job now, whatever its schedule says; returns its key."""
        return await self.ask(kind, f"asked:{current_request_id() or new_request_id()}", payload)

    async def state(self, key: str) -> str:
        """waiting, running, done or dead. Raises NotFound, QueueUnavailable."""
        try:
            state = await self._queue.state(key)
        except (RedisError, OSError) as error:
            raise QueueUnavailable("the job queue does not answer; try again") from error
        if state is None:
            raise NotFound(f"there is no job {key!r}")
        return state

    async def overview(self, limit: int) -> tuple[Backlog, list[DeadJob]]:
        """The queue's length, and the jobs that were given up. Raises QueueUnavailable."""
        try:
            return await self._queue.backlog(), await self._queue.dead(limit)
        except (RedisError, OSError) as error:
            raise QueueUnavailable("the job queue does not answer; try again") from error

    async def revive(self, key: str) -> None:
        """Let a dead job run again. Raises Conflict when no dead job has this key."""
        try:
            revived = await self._queue.revive(key)
        except (RedisError, OSError) as error:
            raise QueueUnavailable("the job queue does not answer; try again") from error
        if not revived:
            raise Conflict(f"no dead job has the key {key!r}")
