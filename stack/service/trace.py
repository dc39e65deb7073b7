"""Where one request spent its time, and what the cache said: the request's own notebook."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

Outcome = Literal["hit", "miss", "none"]
Part = Literal["cache", "db", "search", "password"]
LOG = "log"  # a step that is a line of the log
MOST_STEPS = 200  # of a request that goes on and on the first ones tell enough


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a request did; times are those of `perf_counter`."""

    part: str
    what: str
    began_s: float
    ended_s: float


class Trace:
    """Durations by part, the cache outcome and own headers of one request."""

    __slots__ = (
        "coalesced",
        "headers",
        "outcome",
        "reads_own_writes",
        "request_id",
        "seconds",
        "steps",
        "user",
    )

    def __init__(self, request_id: str, *, keeps_steps: bool = False) -> None:
        self.request_id = request_id
        self.outcome: Outcome = "none"
        self.coalesced = False
        self.headers: list[tuple[bytes, bytes]] = []  # sent with the answer, whatever it is
        self.user: str | None = None
        self.reads_own_writes = False  # whoever asks wrote a moment ago: no secondary will do
        self.seconds: dict[str, float] = {}
        # Each step by itself, for traces and error reports; None where nobody wants them.
        self.steps: list[Step] | None = [] if keeps_steps else None

    @contextmanager
    def timed(self, part: Part, what: str = "") -> Iterator[None]:
        """Add the time inside the block to `part`."""
        began = perf_counter()
        try:
            yield
        finally:
            now = perf_counter()
            self.seconds[part] = self.seconds.get(part, 0.0) + now - began
            if self.steps is not None:
                self.step(part, what, began, now)

    def step(self, part: str, what: str, began_s: float, ended_s: float) -> None:
        """Keep one step, where steps are wanted."""
        if self.steps is not None and len(self.steps) < MOST_STEPS:
            self.steps.append(Step(part, what, began_s, ended_s))

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


def begin_trace(request_id: str, *, keeps_steps: bool = False) -> Trace:
    """Open the notebook of the request that the running task serves."""
    trace = Trace(request_id, keeps_steps=keeps_steps)
    _current.set(trace)
    return trace


def current_request_id() -> str | None:
    """The id of the request being served, if one is."""
    trace = _current.get(None)
    return trace.request_id if trace else None


def current_trace() -> Trace:
    """The notebook of the request being served; outside of one, a notebook that nobody reads."""
    return _current.get(None) or Trace("-")
