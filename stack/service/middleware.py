"""One pure ASGI middleware around everything: what is admitted, what is told, what is counted.

Request id, budgets, bodies, timing headers, metrics, and the last net for errors: one function call
for each request instead of one for each of these.
"""

import logging
import re
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stack.service import bodies
from stack.service.errors import ServiceError, problem
from stack.service.hot import HotReads, Read, body_or_problem
from stack.service.limits.budgets import Budgets
from stack.service.metrics import Metrics
from stack.service.own_writes import OwnWrites
from stack.service.telemetry import Telemetry
from stack.service.trace import Trace, begin_trace, new_request_id

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
log = logging.getLogger(__name__)


class Observed:
    """Wraps the app so that every answer says who served it and where its time went."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        replica: str,
        budgets: Budgets | None = None,
        telemetry: Telemetry | None = None,
        hot: HotReads | None = None,
        own_writes: OwnWrites | None = None,
    ) -> None:
        self._app = app
        self._telemetry = telemetry
        self._hot = hot
        self._own_writes = own_writes
        self._budgets = budgets
        self._metrics = metrics
        self._replica = replica.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = _with_body(scope)
        began = perf_counter()
        trace = begin_trace(_request_id(scope), keeps_steps=self._telemetry is not None)
        own = self._own_writes
        trace.reads_own_writes = own is not None and own.are_said_in(scope)
        status = 500
        started = False

        async def send_observed(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                message["headers"] = [*message["headers"], *self._headers(trace, began)]
            await send(message)

        try:
            if self._budgets is not None:
                await self._budgets.admit(scope)
            if scope["method"] in bodies.METHODS:
                receive = await bodies.checked(scope, receive)
            read = self._hot.find(scope) if self._hot and scope["method"] == "GET" else None
            if read is None:
                await self._app(scope, receive, send_observed)
            else:
                await _answer(read, send_observed)
        except ServiceError as error:  # from the two checks: the app answers its own itself
            answer = problem(error.status, error.title, error.detail, error.headers)
            await answer(scope, receive, send_observed)
        except Exception as error:
            log.exception("unexpected error")
            if self._telemetry is not None:
                self._telemetry.failed(scope, trace, error)
            if started:
                raise
            answer = problem(500, "Internal error", "an unexpected error; it has been logged")
            await answer(scope, receive, send_observed)
        finally:
            # Unmatched paths share one label: a scanner must not grow the metrics without bound.
            route = getattr(scope.get("route"), "path", "(none)")
            ended = perf_counter()
            self._metrics.request_done(route, scope["method"], status, ended - began)
            if self._telemetry is not None:
                self._telemetry.request_done(scope, trace, route, status, (began, ended))
            if trace.user is not None:
                self._metrics.user_seen(trace.user)

    def _headers(self, trace: Trace, began: float) -> list[tuple[bytes, bytes]]:
        return [
            (b"x-request-id", trace.request_id.encode()),
            (b"x-cache", trace.outcome.encode()),
            (b"x-served-by", self._replica),
            (b"server-timing", trace.server_timing(perf_counter() - began).encode()),
            *trace.headers,
        ]


def _with_body(scope: Scope) -> Scope:
    """HEAD is GET in all, budgets too; the server leaves the body out."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


async def _answer(read: Read, send: Send) -> None:
    status, body, headers = await body_or_problem(read)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return new_request_id()
