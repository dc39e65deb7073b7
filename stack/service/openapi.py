"""The API's description: what the routes say, with our errors and an example for each of them.

The examples (`openapi_examples.json`) are answers of a real stack, shortened. A test holds that
each route has one, that it fits the schema, and that a live stack takes what it sends.
"""

from functools import lru_cache
from importlib.resources import files
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from stack.service.errors import MEDIA_TYPE

Described = dict[str, Any]
PROBLEM = {"$ref": "#/components/schemas/Problem"}
PROBLEM_SCHEMA: Described = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457). `request_id` finds it in the logs.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"in": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
ERRORS = {
    400: "Not HTTP, or not JSON",
    401: "No token or key, or one that is not valid",
    403: "A valid token that does not allow this",
    404: "There is nothing at this address",
    408: "The body did not arrive in time",
    409: "A conflict with what is stored",
    413: "The body is too large",
    415: "A body of a type that no route reads",
    422: "The request is not valid",
    429: "Too many requests; `Retry-After` says when there may be more",
    503: "A server that this needs does not answer at the moment",
}
FORMS = {
    "/images/": ("image/webp", "image/jpeg"),
    "/metrics": ("text/plain",),
}


def describe(app: FastAPI) -> None:
    """Let the app describe itself as this module says."""

    def description() -> Described:
        if app.openapi_schema is None:
            app.openapi_schema = described(app)
        return app.openapi_schema

    app.openapi = description  # type: ignore[method-assign] # FastAPI's documented way


def described(app: FastAPI) -> Described:
    """The OpenAPI document."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description="A catalogue: lists, search, favourites, accounts, images, events, jobs.",
        routes=app.routes,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own errors; ours differ
        schemas.pop(unused, None)
    schemas["Problem"] = PROBLEM_SCHEMA
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _add_errors(path, operation)
            _add_forms(path, operation)
            example = examples().get(f"{method.upper()} {path}")
            if example is not None:
                _add_example(operation, example)
    return document


@lru_cache(maxsize=1)
def examples() -> dict[str, Described]:
    """By method and path: `parameters`, `body`, `status` and `answer`, where there are any."""
    stored = files("stack.service") / "openapi_examples.json"
    found: dict[str, Described] = orjson.loads(stored.read_bytes())
    return found


def _add_errors(path: str, operation: Described) -> None:
    possible = {503}
    if path.startswith("/api/") or path == "/graphql":
        possible |= {400, 404, 422, 429}
    if path.startswith("/images/"):
        possible |= {400, 404, 422}
    if operation.get("security"):
        possible |= {401, 403, 409}
    if "/auth/" in path:
        possible |= {401, 409}
    if "/events" in path:
        possible.add(401)
    if "requestBody" in operation:
        possible |= {408, 413, 415}
    responses = operation["responses"]
    responses.pop("422", None)
    for status in sorted(possible):
        answer = {"description": ERRORS[status], "content": {MEDIA_TYPE: {"schema": PROBLEM}}}
        responses.setdefault(str(status), answer)


def _add_forms(path: str, operation: Described) -> None:
    for start, forms in FORMS.items():
        if path.startswith(start):
            binary = {"schema": {"type": "string", "format": "binary"}}
            operation["responses"]["200"]["content"] = dict.fromkeys(forms, binary)


def _add_example(operation: Described, example: Described) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in example.get("parameters", {}):
            parameter["example"] = example["parameters"][parameter["name"]]
    if "body" in example:
        for content in operation["requestBody"]["content"].values():
            content["example"] = example["body"]
    if "answer" in example:
        answer = operation["responses"][str(example["status"])]
        answer["content"]["application/json"]["example"] = example["answer"]
