"""Jobs, images and events of one replica: what of them runs is decided by its settings."""

from collections.abc import Iterator
from datetime import UTC, datetime

from fastapi import APIRouter
from pymongo.asynchronous.database import AsyncDatabase
from redis.asyncio import Redis

from stack.infra.analytics import Analytics
from stack.infra.documents import Document
from stack.infra.event_stream import EventStream
from stack.infra.jobs import JobQueue
from stack.infra.objects import objects_of
from stack.service.auth.bearer import Bearer
from stack.service.events.answered import answered_search
from stack.service.events.buffer import EventBuffer
from stack.service.events.endpoints import event_routes
from stack.service.images.drawing import Drawing
from stack.service.images.endpoints import image_routes, picture_routes
from stack.service.images.service import ImageService
from stack.service.jobs.endpoints import job_routes
from stack.service.jobs.service import JobService
from stack.service.metrics import Metrics
from stack.service.products.service import ProductService
from stack.service.recommendations.endpoints import recommendation_routes
from stack.service.settings import Settings


class Background:
    """Everything that works through the queue, or beside it."""

    def __init__(
        self,
        settings: Settings,
        database: AsyncDatabase[Document],
        metrics: Metrics,
        queue: Redis | None,
    ) -> None:
        self._database = database
        self._recommends = settings.paging == "cursor"  # the baseline has none
        self._drawing = Drawing()
        self._analytics = Analytics(settings.events_url) if settings.events_url else None
        self._events: EventBuffer | None = None
        self._images: ImageService | None = None
        self.jobs: JobService | None = None
        if queue is not None:
            self.jobs = JobService(JobQueue(queue))
            if settings.objects is not None:
                self._images = ImageService(database, objects_of(settings.objects), self.jobs)
            if self._analytics is not None:
                self._events = EventBuffer(EventStream(queue), metrics)

    def routers(self, bearer: Bearer, products: ProductService) -> Iterator[APIRouter]:
        """The routes of the parts that run."""
        yield picture_routes(self._drawing)
        if self._recommends:
            yield recommendation_routes(self._database)
        if self.jobs is not None:
            yield job_routes(self.jobs, self._database, bearer)
        if self._images is not None:
            yield image_routes(self._images, products, bearer)
        if self._events is not None and self._analytics is not None:
            yield event_routes(self._events, self._analytics, bearer)

    def searched(self, text: str, answer: bytes) -> None:
        """Note a search that was answered, for the analytics."""
        if self._events is not None:
            self._events.add([answered_search(text, answer, datetime.now(UTC))])

    async def close(self) -> None:
        """Hand over what is left; the queue is still there."""
        if self._events is not None:
            await self._events.close()
        if self._analytics is not None:
            await self._analytics.close()
        self._drawing.close()
