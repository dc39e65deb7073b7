"""Errors, sent to a Sentry-compatible server with who, what and the way there, where it has a DSN.

A client of its own, not the SDK's global one: importing changes nothing, two apps in one process do
not share it, and no integration hooks itself into the libraries that serve requests.
"""

from collections.abc import Mapping, Sequence
from typing import Any

CLOSE_S = 2.0


class ErrorTracker:
    """Reports unexpected errors; sending goes on in a thread of the SDK, bounded, and may fail."""

    def __init__(self, dsn: str, process: str) -> None:
        import sentry_sdk  # a tenth of a second that only those pay who want it

        self._client = sentry_sdk.Client(
            dsn=dsn,
            default_integrations=False,
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            include_local_variables=False,  # a frame's locals may hold a password
            server_name=process,
        )

    def report(
        self,
        error: BaseException,
        *,
        request: Mapping[str, Any] | None = None,
        user: str | None = None,
        breadcrumbs: Sequence[Mapping[str, Any]] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Send one error with its stack trace. Returns at once, whatever becomes of it."""
        from sentry_sdk.utils import event_from_exception

        event, hint = event_from_exception(
            error, self._client.options, {"type": "headroom", "handled": False}
        )
        event["breadcrumbs"] = {"values": [dict(crumb) for crumb in breadcrumbs]}
        event["tags"] = dict(tags or {})
        if request is not None:
            event["request"] = dict(request)
        if user is not None:
            event["user"] = {"id": user}
        self._client.capture_event(event, hint)

    def close(self) -> None:
        """Send what waits, for at most `CLOSE_S`."""
        self._client.close(timeout=CLOSE_S)
