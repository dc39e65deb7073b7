"""Errors with an HTTP status, answered as application/problem+json (RFC 9457).

ServiceError
├── InvalidRequest      422  the request is well-formed HTTP but asks for something impossible
├── Unauthorised        401  no token, or one that is not valid (any more)
├── Forbidden           403  a valid token that does not allow this
├── NotFound            404
├── Conflict            409  an expected conflict with what is stored
└── DatabaseUnavailable 503  no database member can serve the request at the moment
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pymongo.errors import ConnectionFailure, ExecutionTimeout, WaitQueueTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from stack.service.trace import current_trace

MEDIA_TYPE = "application/problem+json"
log = logging.getLogger(__name__)


class ServiceError(Exception):
    """Base of all errors that the service answers on purpose."""

    status = 500
    title = "Internal error"
    headers: Mapping[str, str] = {}

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)


class InvalidRequest(ServiceError):
    """The request asks for something impossible."""

    status, title = 422, "Invalid request"


class Unauthorised(ServiceError):
    """No token, or one that is not valid (any more)."""

    status, title = 401, "Unauthorised"
    headers = {"WWW-Authenticate": "Bearer"}  # noqa: RUF012 - a constant of the class, never changed


class Forbidden(ServiceError):
    """The token is valid but does not allow this."""

    status, title = 403, "Forbidden"


class NotFound(ServiceError):
    """There is nothing at this address."""

    status, title = 404, "Not found"


class Conflict(ServiceError):
    """An expected conflict with what is stored."""

    status, title = 409, "Conflict"


class DatabaseUnavailable(ServiceError):
    """No database member can serve the request at the moment."""

    status, title = 503, "Database unavailable"
    headers = {"Retry-After": "1"}  # noqa: RUF012 - a constant of the class, never changed


# What `answer_to` answers: our own errors, and those by which the driver says that it cannot.
EXPECTED = (ServiceError, ConnectionFailure, ExecutionTimeout, WaitQueueTimeoutError)


def problem(
    status: int,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, Any]] = (),
) -> Response:
    """A problem document as response."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": current_trace().request_id,
    }
    if errors:
        body["errors"] = errors
    return Response(orjson.dumps(body, default=str), status, headers, MEDIA_TYPE)


def answer_to(error: Exception) -> Response:
    """The problem document that answers one of the EXPECTED errors."""
    if isinstance(error, ServiceError):
        return problem(error.status, error.title, error.detail, error.headers)
    log.error("database unavailable: %s", error)
    return problem(
        DatabaseUnavailable.status,
        DatabaseUnavailable.title,
        "the database does not answer; try again",
        DatabaseUnavailable.headers,
    )


def install_handlers(app: FastAPI) -> None:
    """Answer every expected error as a problem document."""
    for kind in EXPECTED:
        app.add_exception_handler(kind, _expected_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


async def _expected_error(_: Request, error: Exception) -> Response:
    return answer_to(error)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), str(error.detail), error.headers)


async def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        {"in": ".".join(str(part) for part in fault["loc"]), "message": fault["msg"]}
        for fault in error.errors()
    ]
    return problem(
        InvalidRequest.status, InvalidRequest.title, "the request is not valid", None, faults
    )
