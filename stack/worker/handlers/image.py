"""One upload, in all its sizes and formats."""

import asyncio
from datetime import UTC, datetime

from stack.infra.documents import IMAGES
from stack.infra.jobs import Job
from stack.infra.objects import original_name, variant_name
from stack.infra.pictures import MEDIA_TYPES, BrokenPicture, resized
from stack.worker.tools import GiveUp, Tools


async def make_sizes(tools: Tools, job: Job) -> str:
    """Make them, and then say in the image's document that they are there."""
    if tools.objects is None:
        raise GiveUp("this stack has no object store")
    sha256 = job.payload["sha256"]
    original = await tools.objects.get(original_name(sha256))
    if original is None:
        raise GiveUp(f"the original {sha256} is not in the object store")
    try:
        # libvips lets go of the interpreter while it works.
        variants = await asyncio.to_thread(lambda: list(resized(original)))
    except BrokenPicture as error:
        await _note(tools, sha256, state="refused", reason=str(error))
        return "refused"
    for size, form, data in variants:
        await tools.objects.put(variant_name(sha256, size, form), data, MEDIA_TYPES[form])
    await _note(tools, sha256, state="ready", reason=None)
    return "done"


async def _note(tools: Tools, sha256: str, **fields: str | None) -> None:
    changed = {**fields, "processed_at": datetime.now(UTC)}
    await tools.database[IMAGES].update_one({"_id": sha256}, {"$set": changed})
