"""SimPy's environment with events at absolute times.

`Environment.timeout(delay)` fires at now + delay, which for delay = t - now need not be t in
floating point. Both engines must agree to the bit, so times are passed on as they are.
"""

from collections.abc import Callable
from heapq import heappush
from typing import Any

import simpy
from simpy.events import NORMAL, Event


class At(Event):
    """An event that fires at an absolute time."""

    def __init__(self, clock: "Clock", time_s: float) -> None:
        # As in simpy's Timeout: the fields of Event.__init__, without the call.
        self.env = clock
        self.callbacks: list[Callable[[Event], None]] = []
        self._value = None
        self._ok = True
        heappush(clock._queue, (time_s, NORMAL, next(clock._eid), self))


class Clock(simpy.Environment):
    """Simulated time. Events fire in the order (time, order of scheduling)."""

    def at(self, time_s: float) -> At:
        """An event at `time_s` >= now, to be yielded."""
        return At(self, time_s)

    def call_at(self, time_s: float, what: Callable[[Any], None]) -> None:
        """Call `what(event)` at `time_s` >= now."""
        At(self, time_s).callbacks.append(what)

    def schedule_at(self, event: Event, time_s: float) -> None:
        """Let a pending event fire at `time_s`, successfully and without a value."""
        event._ok, event._value = True, None
        heappush(self._queue, (time_s, NORMAL, next(self._eid), event))

    def stop(self, event: Event) -> None:
        """Let `event`, on which `run(until=event)` waits, fire before anything else."""
        event._ok, event._value = True, None
        self.schedule(event, -1)  # type: ignore[arg-type]  # before URGENT, 0
