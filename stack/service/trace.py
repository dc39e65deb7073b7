"""Where one request spent its time, and what the cache said: the request's own notebook."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import Literal

Outcome = Literal["hit", "miss", "none"]
Part = Literal["cache", "db", "search", "password"]


class Trace:
    """Durations by part, the cache outcome and own headers of one request."""

    __slots__ = ("coalesced", "headers", "outcome", "request_id", "seconds", "user")

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.outcome: Outcome = "none"
        self.coalesced = False
        self.headers: list[tuple[bytes, bytes]] = []  # sent with the answer, whatever it is
        self.user: str | None = None
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, part: Part) -> Iterator[None]:
        """Add the time inside the block to `part`."""
        began = perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + perf_counter() - began

    def server_timing(self, total_s: float) -> str:
        """The value of the Server-Timing header; durations are in milliseconds."""
        parts = [f"{part};dur={seconds * 1000:.3f}" for part, seconds in self.seconds.items()]
        if self.coalesced:
            parts.append("coalesced")
        parts.append(f"app;dur={total_s * 1000:.3f}")
        return ", ".join(parts)


_current: ContextVar[Trace] = ContextVar("trace")


def new_request_id() -> str:
    """An id for a request that came without one."""
    return secrets.token_hex(8)


def begin_trace(request_id: str) -> Trace:
    """Open the notebook of the request that the running task serves."""
    trace = Trace(request_id)
    _current.set(trace)
    return trace


def current_request_id() -> str | None:
    """The id of the request being served, if one is."""
    trace = _current.get(None)
    return trace.request_id if trace else None


def current_trace() -> Trace:
    """The notebook of the request being served; outside of one, a notebook that nobody reads."""
    return _current.get(None) or Trace("-")
