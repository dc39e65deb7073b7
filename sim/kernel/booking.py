"""When each slot of a station becomes free: a heap, booked on arrival (rule 2)."""

from typing import Any

from sim.kernel.compiled import inlined


@inlined
def occupy(free_s: Any, at: int, slots: int, end_s: float) -> None:
    """Book the slot that is free first until `end_s`; the station's heap begins at `at`."""
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= slots:
            break
        if child + 1 < slots and free_s[at + child + 1] < free_s[at + child]:
            child += 1
        if free_s[at + child] >= end_s:
            break
        free_s[at + hole] = free_s[at + child]
        hole = child
    free_s[at + hole] = end_s
