"""A gate in virtual time whose visits share the slots: processor sharing, as a time slicer does it.

When a visit ends depends on who comes after it, so it cannot be booked on arrival. Arrivals and
ends are handled in the order of their virtual times, each when all that could come before it must
have been heard of; only then is an end told.
"""

import heapq
from collections.abc import Callable
from itertools import count

from stack.gates.settling import SETTLE_S, Settling
from stack.gates.virtual import Booking

Told = Callable[[Booking], None]


class SharedGate:
    """`slots` servers that serve all present visits alike, none faster than one of them.

    `work_s` is the service that a visit present since the start would have had: one that joins at
    work w with demand d ends when it reaches w + d.
    """

    def __init__(self, slots: int, settling: Settling) -> None:
        if slots < 1:
            raise ValueError(f"{slots} slots; allowed: at least 1")
        self._all = self._slots = self._wanted = slots
        self._settling = settling
        self._visits: list[tuple[float, int, float, Told]] = []  # a heap by end of work
        self._numbers = count()
        self._work_s = 0.0
        self._busy_s = 0.0
        self._now_s = 0.0  # up to when work was counted
        self._planned = 0  # number of the end that counts; those planned before it are void

    def leave(self, slots: int | None) -> None:
        """Go on with so many slots when the next visit comes; None: with all of them."""
        wanted = self._all if slots is None else slots
        if wanted < 1:
            raise ValueError(f"{wanted} slots; allowed: at least 1")
        self._wanted = wanted

    def join(self, now_s: float, demand_s: float, told: Told) -> None:
        """Serve a visit from `now_s` on; `told` is called with its booking once its end is sure."""
        self._advance(now_s)
        self._slots = self._wanted
        entry = (self._work_s + demand_s, next(self._numbers), self._now_s, told)
        heapq.heappush(self._visits, entry)
        self._plan()

    def busy_s(self, now_s: float) -> float:
        """Seconds that all slots together were busy up to `now_s`, no earlier than any visit."""
        return self._busy_s + max(0.0, now_s - self._now_s) * min(len(self._visits), self._slots)

    def _speed(self) -> float:
        return min(1.0, self._slots / len(self._visits))

    def _advance(self, to_s: float) -> None:
        # Who is told of later than that has come when it is told.
        if self._visits and to_s > self._now_s:
            self._work_s += (to_s - self._now_s) * self._speed()
            self._busy_s = self.busy_s(to_s)
        self._now_s = max(self._now_s, to_s)

    def _plan(self) -> None:
        self._planned += 1
        if self._visits:
            left_s = max(0.0, self._visits[0][0] - self._work_s)
            end_s, number = self._now_s + left_s / self._speed(), self._planned
            self._settling.put(end_s + SETTLE_S, lambda: self._end(end_s, number))

    def _end(self, end_s: float, number: int) -> None:
        if number != self._planned:
            return
        self._advance(end_s)
        self._work_s, _, start_s, told = heapq.heappop(self._visits)
        self._plan()
        told(Booking(start_s, end_s))
