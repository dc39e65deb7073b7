"""Answers as ready-made bytes."""

from datetime import datetime
from typing import Any

import orjson
from bson import ObjectId
from starlette.responses import Response

from stack.infra.documents import Document

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS


def encoded(value: Any) -> bytes:
    """`value` as JSON; ids as their hex text, times in UTC."""
    return orjson.dumps(value, default=_default, option=_OPTIONS)


def json_reply(body: bytes, status: int = 200) -> Response:
    """A JSON body that is sent as it is."""
    return Response(body, status, media_type="application/json")


def public(document: Document) -> Document:
    """A stored document with `id` in place of `_id`."""
    return {"id": str(document.pop("_id")), **document}


def _default(value: object) -> str:
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no place in an answer")
