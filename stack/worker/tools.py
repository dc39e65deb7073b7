"""What the handlers of jobs work with, and how a handler says that it did not do the job."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from elasticsearch import AsyncElasticsearch
from pymongo.asynchronous.database import AsyncDatabase
from redis.asyncio import Redis

from stack.infra.analytics import Analytics
from stack.infra.documents import Document
from stack.infra.jobs import Job, JobQueue
from stack.infra.objects import Objects
from stack.worker.held import WorkerGate
from stack.worker.mail import Mailer


@dataclass(frozen=True)
class Tools:
    """The servers; None: this stack has no such part."""

    database: AsyncDatabase[Document]
    queue: JobQueue
    sessions: Redis  # where they are kept: beside the queue
    elasticsearch: AsyncElasticsearch | None
    objects: Objects | None
    mailer: Mailer | None
    analytics: Analytics | None
    cache: Redis | None = None  # of the replicas
    gate: WorkerGate | None = None  # where the workers are emulated machines


# Does the job, and says in a word how it came out: `done`, `skipped` …
Handler = Callable[[Tools, Job], Awaitable[str]]


class GiveUp(Exception):
    """Trying again would not help: the job goes to the dead letters at once."""
