"""Bookings in the order of their virtual arrivals, whatever the order in which they were told.

Visits reach a gate some milliseconds late, each by another time: wake-ups, timers, the network. Two
that come close together would swap places, and with them their turns, and after a while a busy
queue has nothing to do with the one that is modelled. So a visit names when it arrived by its own
clock, and is booked once all that could have arrived before it must have been heard of.
"""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count
from time import monotonic

# How late a visit may be and still have arrived when its last hold ended. Later than that, what is
# real has taken its time, and the gate sees it.
GRACE_S = 0.005
TICK_S = 0.001  # of a timer
SETTLE_S = GRACE_S + TICK_S  # and until it is booked


class Settling:
    """Calls each entry when it is due, those that are due together in order."""

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    def put(self, due_s: float, book: Callable[[], None]) -> None:
        """Call `book` at `due_s` of the monotonic clock, or now when that is past."""
        heapq.heappush(self._entries, (due_s, next(self._numbers), book))
        if self._entries[0][0] == due_s:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        left_s = max(0.0, self._entries[0][0] - monotonic())
        self._timer = loop.call_later(left_s, self._run)

    def _run(self) -> None:
        self._timer = None
        tick_s = 0.0005  # timers fire up to half a tick early
        while self._entries and self._entries[0][0] <= monotonic() + tick_s:
            heapq.heappop(self._entries)[2]()
        if self._entries:
            self._arm()


async def sleep_until(when_s: float) -> None:
    """Let others run until `when_s` of the monotonic clock, to half a tick."""
    # The loop rounds to the nearest tick; what is left below half a tick would only spin.
    left_s = when_s - monotonic()
    if left_s > TICK_S / 2:
        await asyncio.sleep(left_s)
