"""Works through the queue of background jobs: `python -m stack.worker.jobs --port N`.

Any number of workers share one queue. On SIGTERM a worker claims nothing more, lets its jobs end
and gives back what takes too long. On its port it answers /readyz and /metrics, and nothing else.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stack.gates.emulation import EmulatedStack
from stack.infra.analytics import Analytics
from stack.infra.connections import (
    database_of,
    elasticsearch_client,
    mongo_client,
    redis_client,
)
from stack.infra.jobs import JobQueue
from stack.infra.objects import create_bucket, objects_of
from stack.worker.handlers import HANDLERS
from stack.worker.held import WorkerGate
from stack.worker.job_metrics import WorkerMetrics
from stack.worker.job_settings import WorkerSettings
from stack.worker.mail import Mailer
from stack.worker.runner import JobRunner, current_request_id
from stack.worker.serving import serve
from stack.worker.tools import Tools

BULK_TIMEOUT_S = 30.0
log = logging.getLogger("stack.worker.jobs")


@asynccontextmanager
async def tools_of(settings: WorkerSettings) -> AsyncIterator[Tools]:
    """Clients of the servers, closed at the end."""
    mongo = mongo_client(settings.mongo_url, pool=8)
    queue = redis_client(settings.queue_url, pool=16)
    cache = redis_client(settings.redis_url, pool=1) if settings.redis_url else None
    elasticsearch = (
        elasticsearch_client(settings.elasticsearch_url, timeout_s=BULK_TIMEOUT_S)
        if settings.elasticsearch_url
        else None
    )
    analytics = Analytics(settings.events_url) if settings.events_url else None
    mailer = Mailer(settings.smtp_url, settings.mail_from) if settings.smtp_url else None
    if mailer is None:
        log.info("welcome e-mails are off: HEADROOM_SMTP_URL is not set")
    objects = objects_of(settings.objects) if settings.objects else None
    gate = None
    if settings.emulation_file is not None:
        gate = WorkerGate(EmulatedStack.read(settings.emulation_file).node_port)
    try:
        yield Tools(
            database=database_of(mongo),
            queue=JobQueue(queue),
            sessions=queue,
            elasticsearch=elasticsearch,
            objects=objects,
            mailer=mailer,
            analytics=analytics,
            cache=cache,
            gate=gate,
        )
    finally:
        if gate is not None:
            await gate.close()
        if analytics is not None:
            await analytics.close()
        if elasticsearch is not None:
            await elasticsearch.close()
        if cache is not None:
            await cache.aclose()
        await queue.aclose()
        await mongo.close()


def create_app(settings: WorkerSettings) -> Starlette:
    """The worker, with what it says about itself."""
    metrics = WorkerMetrics()
    runners: list[JobRunner] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with tools_of(settings) as tools:
            if settings.objects is not None:
                await create_bucket(settings.objects)
            runner = JobRunner(tools, HANDLERS, settings, metrics)
            runners.append(runner)
            running = asyncio.create_task(runner.run())
            yield
            runner.stop()
            await running

    async def ready(_: Request) -> Response:
        reached = bool(runners) and runners[0].ready
        return JSONResponse(
            {"status": "ready" if reached else "unavailable"}, 200 if reached else 503
        )

    async def measured(_: Request) -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[Route("/readyz", ready), Route("/metrics", measured)], lifespan=lifespan
    )


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    return serve(
        "worker", "Work through the queue of jobs.", WorkerSettings, create_app, current_request_id
    )


if __name__ == "__main__":
    sys.exit(main())
