"""A gate in virtual time: the slots of one emulated machine, first come first served."""

import heapq
from dataclasses import dataclass


@dataclass(frozen=True)
class Booking:
    """When a visit is served; both times are of the system's monotonic clock."""

    start_s: float
    done_s: float


class Gate:
    """`slots` servers with one queue in front of them."""

    def __init__(self, slots: int) -> None:
        if slots < 1:
            raise ValueError(f"{slots} slots; allowed: at least 1")
        self._slots = slots
        self._free_s = [0.0] * slots  # a heap: when each slot is free again
        self._booked_s = 0.0

    def leave(self, slots: int | None) -> None:
        """Go on with so many slots, those that are busy longest; None: with all of them."""
        wanted = self._slots if slots is None else slots
        if wanted == len(self._free_s):
            return
        if wanted < 1:
            raise ValueError(f"{wanted} slots; allowed: at least 1")
        kept = heapq.nlargest(wanted, self._free_s)
        self._free_s = [0.0] * (wanted - len(kept)) + kept
        heapq.heapify(self._free_s)

    def book(self, now_s: float, demand_s: float) -> Booking:
        """Take the slot that is free first, from when it is free, for `demand_s`.

        Nobody waits in here: who comes next is told when their turn will be, so that a visit that
        wakes late keeps no slot from them.
        """
        start_s = max(now_s, self._free_s[0])
        heapq.heapreplace(self._free_s, start_s + demand_s)
        self._booked_s += demand_s
        return Booking(start_s, start_s + demand_s)

    def busy_s(self, now_s: float) -> float:
        """Seconds that all slots together were busy up to `now_s`, no earlier than any visit.

        Visits of a slot follow each other without a gap from `now_s` to its end: whoever is booked
        has come.
        """
        return self._booked_s - sum(max(0.0, free_s - now_s) for free_s in self._free_s)
