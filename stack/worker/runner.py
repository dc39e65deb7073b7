"""Claims jobs, keeps their leases while they run, and notes how they came out."""

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Mapping
from contextlib import nullcontext
from contextvars import ContextVar

from redis.exceptions import RedisError

from stack.infra.jobs import Job, JobKind, JobQueue
from stack.worker.job_metrics import WorkerMetrics
from stack.worker.job_settings import WorkerSettings
from stack.worker.schedule import SCHEDULE, Every
from stack.worker.serving import pause
from stack.worker.tools import GiveUp, Handler, Tools

AT_ONCE = 4
IDLE_S = 0.2
LOOK_S = 1.0  # how often the schedule and the queue's length are looked at
STALE_S = 15.0  # a worker that has not reached the queue for so long is not ready
LONGEST_S = 300.0  # a job that takes longer hangs …
LONG: Mapping[str, float] = {JobKind.SEARCH_REBUILD: 3600.0}  # … but for these
GRACE_S = 4.0  # for what still runs at a stop; the rest is given back
BACKOFF_GROWTH, LONGEST_BACKOFF_S = 4.0, 900.0

log = logging.getLogger(__name__)
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def current_request_id() -> str | None:
    """The id of the request that asked for the running job."""
    return _request_id.get()


class JobRunner:
    """Works through the queue until told to stop."""

    def __init__(
        self,
        tools: Tools,
        handlers: Mapping[str, Handler],
        settings: WorkerSettings,
        metrics: WorkerMetrics,
        schedule: tuple[Every, ...] = SCHEDULE,
    ) -> None:
        self._queue: JobQueue = tools.queue
        self._tools = tools
        self._handlers = handlers
        self._settings = settings
        self._metrics = metrics
        self._schedule = schedule
        self._asked: dict[JobKind, int] = {}
        self._stop = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._reached_s = 0.0

    @property
    def ready(self) -> bool:
        """Whether the queue was reached lately."""
        return time.monotonic() - self._reached_s < STALE_S

    def stop(self) -> None:
        """Claim no more jobs; `run` returns when those that run have ended or been given back."""
        log.info("stopping; %d jobs are running", len(self._running))
        self._stop.set()

    async def run(self) -> None:
        """Claim and work, through every failure of the queue."""
        looking = asyncio.create_task(self._look())
        while not self._stop.is_set():
            job = None
            if len(self._running) < AT_ONCE:
                job = await self._claim()
            if job is None:
                await pause(IDLE_S, self._stop)
                continue
            task = asyncio.create_task(self._work(job))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        looking.cancel()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _claim(self) -> Job | None:
        lease_s, attempts = self._settings.job_lease_s, self._settings.job_attempts
        try:
            job = await self._queue.claim(lease_s, secrets.token_hex(8), attempts)
        except (RedisError, OSError) as error:
            log.warning("the queue does not answer: %s", error)
            await pause(1.0, self._stop)
            return None
        self._reached_s = time.monotonic()
        return job

    # --- one job

    async def _work(self, job: Job) -> None:
        _request_id.set(job.request_id)
        self._metrics.began(job, time.time())
        began = time.monotonic()
        try:
            outcome = await self._outcome(job)
        except (RedisError, OSError) as error:
            # The lease will end, and the job is done again: it may be done twice, never not at all.
            log.warning("%s: its end could not be noted: %s", job.key, error)
            outcome = "lost"
        self._metrics.ended(job, outcome, time.monotonic() - began)
        log.info("%s: %s", job.key, outcome, extra={"attempt": job.attempt})

    async def _outcome(self, job: Job) -> str:
        work = asyncio.create_task(self._handled(job))
        keeping = asyncio.create_task(self._keep(job, work))
        try:
            result = await work
        except asyncio.CancelledError:
            if keeping.done():  # the lease was lost
                return "lost"
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            return "released" if await self._queue.release(job) else "lost"
        except GiveUp as error:
            return await self._bury(job, str(error))
        except Exception as error:  # whatever a handler meets, the worker goes on
            log.warning("%s failed: %r", job.key, error, exc_info=not _expected(error))
            return await self._failed(job, f"{type(error).__name__}: {error}")
        finally:
            keeping.cancel()
        return result if await self._queue.finish(job) else "lost"

    async def _handled(self, job: Job) -> str:
        handler = self._handlers.get(job.kind)
        if handler is None:  # asked by a newer release; a newer worker may come by
            raise LookupError(f"this worker knows no job {job.kind!r}")
        gate = self._tools.gate
        async with asyncio.timeout(LONG.get(job.kind, LONGEST_S)):
            async with nullcontext() if gate is None else gate.held(job):
                return await handler(self._tools, job)

    async def _failed(self, job: Job, error: str) -> str:
        if job.attempt >= self._settings.job_attempts:
            return await self._bury(job, error)
        return "retried" if await self._queue.retry(job, self._backoff_s(job), error) else "lost"

    async def _bury(self, job: Job, error: str) -> str:
        log.error("%s is given up after %d attempts: %s", job.key, job.attempt, error)
        return "dead" if await self._queue.bury(job, error) else "lost"

    def _backoff_s(self, job: Job) -> float:
        """Longer each time, and never the same for two jobs that failed together."""
        longest_s = self._settings.job_backoff_s * BACKOFF_GROWTH ** (job.attempt - 1)
        return min(longest_s, LONGEST_BACKOFF_S) * random.uniform(0.5, 1.0)

    async def _keep(self, job: Job, work: asyncio.Task[str]) -> None:
        """Renew the lease; when it is lost, end the work, because somebody else does it now."""
        while True:
            await asyncio.sleep(self._settings.job_lease_s / 3)
            try:
                ours = await self._queue.renew(job, self._settings.job_lease_s)
            except (RedisError, OSError):
                continue  # the next try may reach it before the lease ends
            if not ours:
                work.cancel()
                return

    # --- the schedule

    async def _look(self) -> None:
        while True:
            try:
                await self._ask_for_due(time.time())
                self._metrics.saw(await self._queue.backlog())
            except (RedisError, OSError) as error:
                log.warning("the schedule could not be kept: %s", error)
            await asyncio.sleep(LOOK_S)

    async def _ask_for_due(self, now_s: float) -> None:
        for every in self._schedule:
            slot = every.slot(now_s)
            if self._asked.get(every.kind) != slot:
                await self._queue.add(every.kind, f"slot:{slot}", at_s=every.begins_s(slot))
                self._asked[every.kind] = slot


def _expected(error: Exception) -> bool:
    """Whether an error is a server's that does not answer; others are logged with their trace."""
    return isinstance(error, OSError | TimeoutError)
