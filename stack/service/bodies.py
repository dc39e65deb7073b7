"""What a request's body may be: its type, its size, the time it takes, its depth, its keys.

JSON is looked at before any route sees it. A key that begins with `$` or has a dot in it means
something to MongoDB and nothing to this API, so no route has to think of it again.
"""

import asyncio
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from stack.service.errors import ServiceError

METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
JSON_BYTES = 1_048_576
ARRIVES_WITHIN_S = 10.0
DEEPEST = 20
# Read piece by piece by the route itself, which has limits of its own.
_STREAMED = ("multipart/form-data",)


class MalformedBody(ServiceError):
    """The body is not JSON."""

    status, title = 400, "Malformed JSON"


class BodyTooSlow(ServiceError):
    """The body did not arrive in time."""

    status, title = 408, "Request timeout"


class BodyTooLarge(ServiceError):
    """The body is larger than is allowed."""

    status, title = 413, "Content too large"


class UnknownBodyType(ServiceError):
    """The body is of a type that no route reads."""

    status, title = 415, "Unsupported media type"
    headers = {"Accept": "application/json"}  # noqa: RUF012 - a constant of the class


class HostileBody(ServiceError):
    """The body is JSON that no honest client sends."""

    status, title = 422, "Refused JSON"


async def checked(scope: Scope, receive: Receive) -> Receive:
    """The body again, known to be harmless. Raises one of the errors above."""
    headers = Headers(scope=scope)
    length, kind = headers.get("content-length"), headers.get("content-type", "")
    if length == "0" or (length is None and "transfer-encoding" not in headers):
        return receive
    kind = kind.partition(";")[0].strip().lower()
    if kind.startswith(_STREAMED):
        return receive
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise UnknownBodyType("send JSON: `Content-Type: application/json`")
    if length is not None and length.isdigit() and int(length) > JSON_BYTES:
        raise BodyTooLarge(f"a JSON body may have {JSON_BYTES} bytes")
    try:
        async with asyncio.timeout(ARRIVES_WITHIN_S):
            body = await _whole(receive)
    except TimeoutError:
        raise BodyTooSlow(f"the body must arrive within {ARRIVES_WITHIN_S:g} s") from None
    if body is None:  # the client has gone away
        return receive
    _inspect(body)
    return _replayed(body, receive)


async def _whole(receive: Receive) -> bytes | None:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        piece = message.get("body", b"")
        size += len(piece)
        if size > JSON_BYTES:
            raise BodyTooLarge(f"a JSON body may have {JSON_BYTES} bytes")
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _inspect(body: bytes) -> None:
    if not body:
        return
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if "depth limit" in str(error):  # orjson's own, at 1024
            raise HostileBody(f"JSON may be {DEEPEST} levels deep") from error
        raise MalformedBody(f"the body is not JSON: {error}") from error
    level: list[Any] = [document]
    depth = 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise HostileBody(f"JSON may be {DEEPEST} levels deep")
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                for key in value:
                    if key.startswith("$") or "." in key or "\0" in key:
                        raise HostileBody("a key may not begin with `$` nor have a dot in it")
                below += value.values()
            elif isinstance(value, list):
                below += value
        level = [value for value in below if isinstance(value, dict | list)]


def _replayed(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
