"""Uploads into the object store, and a job that makes their sizes."""

import asyncio
import hashlib
from datetime import UTC, datetime

from bson import ObjectId
from pymongo import ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase

from stack.infra.documents import IMAGES, Document
from stack.infra.jobs import JobKind
from stack.infra.objects import Objects, original_name, variant_name
from stack.infra.pictures import (
    BrokenPicture,
    Format,
    Header,
    NotAPicture,
    Size,
    TooManyPixels,
    inspect,
)
from stack.service.errors import Conflict, NotFound, ServiceError
from stack.service.held import held
from stack.service.images.schemas import Image
from stack.service.images.upload import UnsupportedType
from stack.service.jobs.service import JobService
from stack.service.trace import current_trace


class PictureTooLarge(ServiceError):
    """Small as a file, and huge once decoded."""

    status, title = 422, "Too many pixels"


class PictureBroken(ServiceError):
    """It begins like a picture, and cannot be read."""

    status, title = 422, "Broken picture"


class StoreUnavailable(ServiceError):
    """The object store does not answer."""

    status, title = 503, "Object store unavailable"
    headers = {"Retry-After": "1"}  # noqa: RUF012 - a constant of the class, never changed


class ImageService:
    """Takes uploads and finds what became of them."""

    def __init__(
        self, database: AsyncDatabase[Document], objects: Objects, jobs: JobService
    ) -> None:
        self._images = database[IMAGES]
        self._objects = objects
        self._jobs = jobs

    async def take(self, data: bytes, user: ObjectId) -> Image:
        """Keep an upload and ask for its sizes; the same bytes again are the same image.

        Raises UnsupportedType, PictureTooLarge, PictureBroken, StoreUnavailable, QueueUnavailable.
        """
        try:
            header = await asyncio.to_thread(inspect, data)
        except NotAPicture as error:
            raise UnsupportedType(str(error)) from error
        except TooManyPixels as error:
            raise PictureTooLarge(str(error)) from error
        except BrokenPicture as error:
            raise PictureBroken(str(error)) from error
        sha256 = hashlib.sha256(data).hexdigest()
        async with held("mongo"):  # the object store beside it is no machine of its own
            document = await self._stored(sha256, data, header, user)
            if document["state"] == "waiting":
                await self._jobs.ask(JobKind.IMAGE, sha256, {"sha256": sha256})
        return _image(document)

    async def _stored(self, sha256: str, data: bytes, header: Header, user: ObjectId) -> Document:
        """The image's document. In this order what a crash leaves, the same upload makes whole."""
        try:
            await self._objects.put(original_name(sha256), data, header.media_type)
        except OSError as error:
            raise StoreUnavailable("the object store does not answer; try again") from error
        fresh = {
            "state": "waiting",
            "reason": None,
            "media_type": header.media_type,
            "width": header.width,
            "height": header.height,
            "bytes": len(data),
            "uploaded_by": user,
            "created_at": datetime.now(UTC),
        }
        with current_trace().timed("db"):
            document = await self._images.find_one_and_update(
                {"_id": sha256},
                {"$setOnInsert": fresh},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        assert document is not None  # it was made if it was not there
        return document

    async def find(self, sha256: str) -> Image:
        """What is known of an upload. Raises NotFound."""
        with current_trace().timed("db"):
            document = await self._images.find_one({"_id": sha256})
        if document is None:
            raise NotFound(f"there is no image {sha256}")
        return _image(document)

    async def urls(self, sha256: str) -> dict[Size, str]:
        """Where the sizes of an upload are. Raises NotFound, Conflict when there are none yet."""
        image = await self.find(sha256)
        if image.state != "ready":
            raise Conflict(f"image {sha256} is {image.state}: its sizes are not there")
        return {Size(size): url for size, url in image.urls.items()}

    async def variant(self, sha256: str, size: Size, form: Format) -> bytes:
        """One size in one format. Raises NotFound, StoreUnavailable."""
        try:
            data = await self._objects.get(variant_name(sha256, size, form))
        except OSError as error:
            raise StoreUnavailable("the object store does not answer; try again") from error
        if data is None:
            raise NotFound(f"there is no image {sha256}, or its sizes are not ready yet")
        return data


def _image(document: Document) -> Image:
    sha256 = document["_id"]
    return Image(
        id=sha256,
        state=document["state"],
        reason=document["reason"],
        media_type=document["media_type"],
        width=document["width"],
        height=document["height"],
        bytes=document["bytes"],
        urls={size.value: f"/images/{sha256}/{size}" for size in Size},
    )
