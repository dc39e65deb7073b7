"""Answers with pictures: negotiated format, validators, and how long caches may keep them."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Path
from starlette.requests import Request
from starlette.responses import Response

from stack.infra.pictures import MEDIA_TYPES, Format, Size

# The same rule as in nginx.conf, whose cache keeps one entry for each answer of it.
_TAKES_WEBP = re.compile(r"image/webp(?!\s*;\s*q=0(\.0*)?\s*(,|$))")
FOR_EVER = "public, max-age=31536000, immutable"
FOR_A_DAY = "public, max-age=86400"
# `full.webp`; without an ending the Accept header decides.
PictureName = Annotated[str, Path(pattern=r"^(thumbnail|medium|full)(\.(webp|jpg))?$")]


@dataclass(frozen=True)
class Wanted:
    """What a request for a picture asks for."""

    size: Size
    form: Format
    negotiated: bool


def wanted(name: str, accept: str) -> Wanted:
    """Size and format by the name in the URL, and by the Accept header where it names none.

    >>> wanted("full", "text/html,image/webp;q=0.8,*/*").form.value
    'webp'
    >>> wanted("full", "image/webp;q=0, image/*").form.value
    'jpg'
    """
    size, _, ending = name.partition(".")
    if ending:
        return Wanted(Size(size), Format(ending), False)
    form = Format.WEBP if _TAKES_WEBP.search(accept) else Format.JPEG
    return Wanted(Size(size), form, True)


async def picture_reply(
    request: Request, asked: Wanted, tag: str, keep: str, read: Callable[[], Awaitable[bytes]]
) -> Response:
    """The picture, or 304 when the client has it. Ranges are the edge cache's business."""
    headers = {"ETag": f'"{tag}-{asked.size}-{asked.form}"', "Cache-Control": keep}
    if asked.negotiated:
        headers["Vary"] = "Accept"
    if headers["ETag"] in _tags(request.headers.get("if-none-match", "")):
        return Response(status_code=304, headers=headers)
    return Response(await read(), headers=headers, media_type=MEDIA_TYPES[asked.form])


def _tags(header: str) -> set[str]:
    """The validators of If-None-Match; a weak one is as good for this comparison."""
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
