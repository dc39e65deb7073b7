"""The route of the graph. Errors of fields come with a code; what is unexpected tells nothing."""

import logging
from collections.abc import Callable
from typing import Annotated, Any

import strawberry
from fastapi import APIRouter, Request
from graphql import GraphQLError
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.responses import Response
from strawberry.schema.exceptions import CannotGetOperationTypeError

from stack.service.errors import EXPECTED, MEDIA_TYPE, DatabaseUnavailable, ServiceError
from stack.service.graphql.cost import ASKED_FOR, NO_OPERATION
from stack.service.graphql.loaders import Reading
from stack.service.openapi import PROBLEM
from stack.service.replies import encoded, json_reply
from stack.service.telemetry import Telemetry
from stack.service.trace import current_trace

log = logging.getLogger(__name__)


class GraphRequest(BaseModel):
    """A query of the graph."""

    model_config = ConfigDict(extra="ignore")  # clients send more, such as `extensions`

    query: Annotated[str, Field(min_length=1, max_length=20_000)]
    operationName: Annotated[str, Field(max_length=200)] | None = None  # noqa: N815 - GraphQL's name
    variables: dict[str, Any] | None = None


class GraphError(BaseModel):
    """What went wrong with one field, or with the whole query."""

    model_config = ConfigDict(extra="allow")

    message: str
    path: list[str | int] | None = None
    extensions: dict[str, Any] | None = None


class GraphAnswer(BaseModel):
    """What was found, and what went wrong."""

    data: dict[str, Any] | None = None
    errors: list[GraphError] | None = None


def graph_routes(
    schema: strawberry.Schema,
    reading: Callable[[Headers], Reading],
    telemetry: Telemetry | None,
) -> APIRouter:
    """The route that serves `schema`; `reading` makes the loaders of one request."""
    router = APIRouter(tags=["graphql"])

    refused = {
        "model": GraphAnswer,
        "description": "The query leaves open which operation to run; or not HTTP, or not JSON",
        "content": {MEDIA_TYPE: {"schema": PROBLEM}},
    }

    @router.post("/graphql", responses={200: {"model": GraphAnswer}, 400: refused})
    async def ask_graph(asked: GraphRequest, request: Request) -> Response:
        """Ask the graph; `me` and the mutations need an access token.

        Errors of the query come with status 200, as GraphQL has it; 400: no operation was chosen.
        """
        name = asked.operationName or None
        try:
            result = await schema.execute(
                asked.query,
                variable_values=asked.variables,
                operation_name=name,
                operation_extensions={ASKED_FOR: name},
                context_value=reading(request.headers),
            )
        except CannotGetOperationTypeError:
            return json_reply(encoded({"data": None, "errors": [_no_operation(asked)]}), 400)
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = [_told(error, request, telemetry) for error in result.errors]
        return json_reply(encoded(answer), 400 if _nothing_chosen(result.errors) else 200)

    return router


def _no_operation(asked: GraphRequest) -> dict[str, Any]:
    name = asked.operationName
    message = f"there is no operation {name!r}" if name else "there is no operation"
    return {"message": f"{message} in the query", "extensions": {"code": NO_OPERATION}}


def _nothing_chosen(errors: list[GraphQLError] | None) -> bool:
    return any((error.extensions or {}).get("code") == NO_OPERATION for error in errors or ())


def _told(error: GraphQLError, request: Request, telemetry: Telemetry | None) -> dict[str, Any]:
    cause = error.original_error
    told = dict(error.formatted)
    if isinstance(cause, ServiceError):
        code = cause.title.upper().replace(" ", "_")
        return told | {
            "message": cause.detail,
            "extensions": {"code": code, "status": cause.status},
        }
    if isinstance(cause, EXPECTED):
        log.error("database unavailable: %s", cause)
        extensions = {"code": "DATABASE_UNAVAILABLE", "status": DatabaseUnavailable.status}
        return told | {"message": "the database does not answer", "extensions": extensions}
    if cause is None or isinstance(cause, GraphQLError):  # the query's own fault
        return told
    log.error("unexpected error in a field", exc_info=cause)
    if telemetry is not None:
        telemetry.failed(request.scope, current_trace(), cause)
    extensions = {"code": "INTERNAL_ERROR", "status": 500}
    return told | {"message": "an unexpected error; it has been logged", "extensions": extensions}
