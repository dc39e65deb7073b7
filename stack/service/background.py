"""Jobs, images and events of one replica: what of them runs is decided by its settings."""

from fastapi import APIRouter
from pymongo.asynchronous.database import AsyncDatabase
from redis.asyncio import Redis

from stack.infra.analytics import Analytics
from stack.infra.documents import Document
from stack.infra.event_stream import EventStream
from stack.infra.objects import objects_of
from stack.service.auth.tokens import Bearer
from stack.service.events.buffer import EventBuffer
from stack.service.events.endpoints import event_routes
from stack.service.images.drawing import Drawing
from stack.service.images.endpoints import image_routes, picture_routes
from stack.service.images.service import ImageService
from stack.service.jobs.endpoints import job_routes
from stack.service.jobs.service import JobService
from stack.service.metrics import Metrics
from stack.service.recommendations.endpoints import recommendation_routes
from stack.service.settings import Settings


class Background:
    """Everything that works through the queue, or beside it."""

    def __init__(
        self,
        settings: Settings,
        database: AsyncDatabase[Document],
        metrics: Metrics,
        bearer: Bearer,
        *,
        queue: Redis | None,
        jobs: JobService | None,
    ) -> None:
        self._database = database
        self._bearer = bearer
        self._jobs = jobs
        self._drawing = Drawing()
        self._analytics = Analytics(settings.events_url) if settings.events_url else None
        self._events: EventBuffer | None = None
        self._images: ImageService | None = None
        if jobs is not None and settings.objects is not None:
            self._images = ImageService(database, objects_of(settings.objects), jobs)
        if queue is not None and self._analytics is not None:
            self._events = EventBuffer(EventStream(queue), metrics)

    def routers(self) -> list[APIRouter]:
        """The routes of the parts that run."""
        routers = [picture_routes(self._drawing), recommendation_routes(self._database)]
        if self._jobs is not None:
            routers.append(job_routes(self._jobs, self._database, self._bearer))
        if self._images is not None:
            routers.append(image_routes(self._images, self._bearer))
        if self._events is not None and self._analytics is not None:
            routers.append(event_routes(self._events, self._analytics, self._bearer))
        return routers

    async def close(self) -> None:
        """Hand over what is left, then disconnect."""
        if self._events is not None:
            await self._events.close()
        if self._analytics is not None:
            await self._analytics.close()
        self._drawing.close()
