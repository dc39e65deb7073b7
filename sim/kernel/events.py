"""Pending events: a 4-ary heap ordered by (time, order of scheduling), and attempts' memory."""

from typing import Any

import numpy as np

from sim.kernel.compiled import compiled, inlined
from sim.kernel.layout import WAITS, World


@inlined
def _comes_first(heap: Any, one: int, other: int) -> int:
    """The earlier of two neighbours. Without a branch, for which it is cannot be foreseen."""
    one_s, other_s = heap[one].time_s, heap[other].time_s
    earlier = (other_s < one_s) | ((other_s == one_s) & (heap[other].seq < heap[one].seq))
    return other if earlier else one


@inlined
def _sift_down(heap: Any, size: int, time_s: float, seq: int, what: int) -> None:
    """Fill the hole at the root with an event, or with what comes before it."""
    at = 0
    while True:
        child = 4 * at + 1
        if child >= size:
            break
        # Past the end all times are infinite: four children can be compared in any case.
        left, right = _comes_first(heap, child, child + 1), _comes_first(heap, child + 2, child + 3)
        best = _comes_first(heap, left, right)
        best_s, best_seq = heap[best].time_s, heap[best].seq
        if time_s < best_s or (time_s == best_s and seq < best_seq):
            break
        heap[at].time_s, heap[at].seq, heap[at].what = best_s, best_seq, heap[best].what
        at = best
    heap[at].time_s, heap[at].seq, heap[at].what = time_s, seq, what


@inlined
def push(w: World, time_s: float, what: int) -> int:
    """Schedule an event; returns its number in the order of scheduling.

    The event that is being handled leaves a hole at the root, which the first event it schedules
    fills: one pass through the heap instead of two.
    """
    g, heap = w.g[0], w.heap
    seq = g.seq
    g.seq = seq + 1
    if g.hole:
        g.hole = 0
        _sift_down(heap, g.heap, time_s, seq, what)
        return seq
    at = g.heap
    g.heap = at + 1
    while at > 0:
        parent = (at - 1) >> 2
        if heap[parent].time_s <= time_s:  # a new event comes after all of its time
            break
        heap[at].time_s, heap[at].seq = heap[parent].time_s, heap[parent].seq
        heap[at].what = heap[parent].what
        at = parent
    heap[at].time_s, heap[at].seq, heap[at].what = time_s, seq, what
    return seq


@inlined
def close_hole(w: World) -> None:
    """Remove the event that has been handled, unless another has taken its place."""
    g, heap = w.g[0], w.heap
    if g.hole:
        g.hole = 0
        last = g.heap - 1
        g.heap = last
        if last > 0:
            time_s, seq, what = heap[last].time_s, heap[last].seq, heap[last].what
            heap[last].time_s = np.inf
            _sift_down(heap, last, time_s, seq, what)


@inlined
def wake(w: World, a: int, state: Any, time_s: float) -> None:
    """Schedule the event at which an attempt goes on."""
    attempt = w.attempts[a]
    attempt.state = state
    attempt.pending = push(w, time_s, a)


@inlined
def new_attempt(w: World) -> int:
    """Memory for an attempt that holds nothing yet."""
    g = w.g[0]
    a = g.free
    attempt = w.attempts[a]
    g.free = attempt.next
    g.spare -= 1
    attempt.next = -1
    attempt.pending = -1
    attempt.state = WAITS
    attempt.station = -1
    attempt.abandoned = 0
    attempt.job = 0
    attempt.timed = 0
    attempt.cache_outcome = 0
    attempt.connection = -1
    attempt.breaker = -1
    attempt.flight = -1
    attempt.waiting = -1
    attempt.waiting_last = -1
    for group in range(w.picked.shape[1]):
        w.picked[a, group] = -1
    for family in range(w.stamps.shape[1]):
        w.stamps[a, family] = -1
    return a


@inlined
def free_attempt(w: World, a: int) -> None:
    """Give the memory back; events still pending for it are void."""
    g, attempt = w.g[0], w.attempts[a]
    attempt.pending = -1
    attempt.state = WAITS
    attempt.station = -1
    attempt.next = g.free
    g.free = a
    g.spare += 1


@compiled
def copy_attempt(w: World, a: int) -> int:
    """A new attempt, or job, for the request of another."""
    b = new_attempt(w)
    source, copy = w.attempts[a], w.attempts[b]
    copy.request, copy.key, copy.user = source.request, source.key, source.user
    copy.arrival_s, copy.number, copy.start = source.arrival_s, source.number, source.start
    return b


@inlined
def append(w: World, owner: Any, a: int) -> None:
    """Put an attempt at the end of the list of a record with `first` and `last`."""
    w.attempts[a].next = -1
    if owner.first < 0:
        owner.first = a
    else:
        w.attempts[owner.last].next = a
    owner.last = a


@inlined
def take_first(w: World, owner: Any) -> int:
    """Take the first attempt off a list that is not empty."""
    a = owner.first
    owner.first = w.attempts[a].next
    return a


@compiled
def start_timer(w: World, a: int) -> None:
    """Begin an attempt's patience. All have equally much, so the list of timers is in order."""
    g, attempt = w.g[0], w.attempts[a]
    attempt.timed = 1
    attempt.deadline_s = g.now + g.timeout_s
    attempt.timer_seq = g.seq
    g.seq += 1
    attempt.before, attempt.after = g.timer_last, -1
    if g.timer_last < 0:
        g.timer_first = a
    else:
        w.attempts[g.timer_last].after = a
    g.timer_last = a


@compiled
def stop_timer(w: World, a: int) -> None:
    """End it."""
    g, attempt = w.g[0], w.attempts[a]
    if attempt.timed:
        attempt.timed = 0
        if attempt.before < 0:
            g.timer_first = attempt.after
        else:
            w.attempts[attempt.before].after = attempt.after
        if attempt.after < 0:
            g.timer_last = attempt.before
        else:
            w.attempts[attempt.after].before = attempt.before
