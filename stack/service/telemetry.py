"""What leaves the replica about its requests, where it is switched on: traces, and errors."""

import logging
from collections.abc import Sequence
from time import perf_counter, time
from typing import Any

from starlette.types import Scope

from stack.infra.error_tracking import ErrorTracker
from stack.service.settings import Settings
from stack.service.trace import LOG, Trace, current_trace

# Headers that say who somebody is stay here.
_SECRET = frozenset({b"authorization", b"cookie", b"x-api-key"})


class Telemetry:
    """Both switches of one replica."""

    def __init__(self, settings: Settings) -> None:
        self._errors: ErrorTracker | None = None
        self._spans = None
        if settings.sentry_dsn is not None:
            self._errors = ErrorTracker(settings.sentry_dsn.get_secret_value(), settings.replica)
        if settings.otlp_url is not None:
            from stack.service.spans import Spans

            self._spans = Spans(settings.otlp_url, settings.replica, settings.otlp_sample_fraction)
        self._handler = _LogSteps(logging.INFO)
        logging.getLogger("stack").addHandler(self._handler)

    def request_done(
        self, scope: Scope, trace: Trace, route: str, status: int, times_s: Sequence[float]
    ) -> None:
        """Take up one answered request."""
        if self._spans is not None:
            self._spans.request_done(scope, trace, route, status, times_s)

    def failed(self, scope: Scope, trace: Trace, error: Exception) -> None:
        """Report an unexpected error of one request."""
        if self._errors is None:
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name not in _SECRET
        }
        host = headers.get("host", "")
        self._errors.report(
            error,
            user=trace.user,
            request={
                "method": scope["method"],
                "url": f"{scope['scheme']}://{host}{scope['path']}",
                "query_string": scope["query_string"].decode("latin-1"),
                "headers": headers,
            },
            breadcrumbs=_breadcrumbs(trace),
            tags={
                "request_id": trace.request_id,
                "route": getattr(scope.get("route"), "path", "(none)"),
            },
        )

    def close(self) -> None:
        """Send what waits."""
        logging.getLogger("stack").removeHandler(self._handler)
        if self._spans is not None:
            self._spans.close()
        if self._errors is not None:
            self._errors.close()


def telemetry_of(settings: Settings) -> Telemetry | None:
    """What is switched on; None: nothing, and nothing costs anything."""
    return Telemetry(settings) if settings.otlp_url or settings.sentry_dsn else None


def _breadcrumbs(trace: Trace) -> list[dict[str, Any]]:
    epoch_s = time() - perf_counter()
    return [
        {
            "type": "default",
            "category": step.part,
            "message": step.what,
            "timestamp": epoch_s + step.began_s,
            "data": {"duration_ms": round((step.ended_s - step.began_s) * 1000, 3)},
        }
        for step in trace.steps or ()
    ]


class _LogSteps(logging.Handler):
    """Keeps what is logged during a request among its steps."""

    def emit(self, record: logging.LogRecord) -> None:
        now_s = perf_counter()
        current_trace().step(LOG, f"{record.levelname} {record.getMessage()}", now_s, now_s)
