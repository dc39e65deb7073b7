"""The event loop of the kernel, compiled once and cached on disk."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sim.kernel.balancing import count_read
from sim.kernel.compiled import SOURCES, compiled, entry
from sim.kernel.control import happen
from sim.kernel.events import close_hole, new_attempt, start_timer
from sim.kernel.layout import (
    ABORTED,
    BEGINS,
    ELECTED,
    FINISHED,
    HANDED,
    LANDED,
    LAPSED,
    MORE_ACTIONS,
    MORE_ATTEMPTS,
    MORE_EVENTS,
    MORE_TRACE,
    SERVED,
    STUCK,
    VISIT_MEMBER,
    Chunk,
    World,
)
from sim.kernel.servers import count_host, count_station, leave
from sim.kernel.walking import FAILED, TIMEOUT, answer, conclude, walk


def _build(sources: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The compiled loop. numba's cache looks at one file and at the closure: hence `sources`."""

    @entry
    def advance(w: World, chunk: Chunk, base: int, last: bool) -> int:
        """Simulate until all is done (`last` chunk) or something more is needed.

        Args:
            w: the world.
            chunk: a stretch of the trace.
            base: number of its first request.
            last: whether the trace ends with it.
        Returns: FINISHED or MORE_….
        """
        if len(sources) == 0:
            return -1
        g = w.g[0]
        requests = chunk.arrival_s.size
        events = w.heap.size - 64
        while True:
            close_hole(w)
            if g.arrival - base >= requests:
                if not last:
                    return MORE_TRACE
                if g.unfinished == 0:
                    return FINISHED
            if g.spare < g.widest:
                return MORE_ATTEMPTS
            if g.heap + w.attempts.size > events:
                return MORE_EVENTS
            if g.actions == w.actions.size:
                return MORE_ACTIONS
            # What is next: an arrival, a timeout or an event?
            time_s, seq, source = np.inf, 0, 0
            if g.heap:
                time_s, seq = w.heap[0].time_s, w.heap[0].seq
            if g.arrival - base < requests:
                arrival_s = chunk.arrival_s[g.arrival - base]
                if arrival_s < time_s or (arrival_s == time_s and g.arrival_seq < seq):
                    time_s, seq, source = arrival_s, g.arrival_seq, 1
            if g.timer_first >= 0:
                timer = w.attempts[g.timer_first]
                if timer.deadline_s < time_s or (
                    timer.deadline_s == time_s and timer.timer_seq < seq
                ):
                    time_s, seq, source = timer.deadline_s, timer.timer_seq, 2
            if time_s == np.inf:
                return STUCK
            a = -1  # the attempt that goes on
            outcome = -1
            if source == 0:
                g.now = time_s
                g.hole = 1
                what = w.heap[0].what
                if what < 0:
                    lost = happen(w, -1 - what, seq)
                    for i in range(lost):
                        conclude(w, w.scratch[i], FAILED, chunk, base)
                    continue
                attempt = w.attempts[what]
                if attempt.pending != seq:
                    continue  # void: a crash has ended it
                a = what
                state = attempt.state
                if state == SERVED:
                    s = attempt.station
                    leave(w, a)
                    step = w.code[attempt.pc]
                    if step.op == VISIT_MEMBER and step.b:
                        count_read(w, a, step.a, s)
                    attempt.pc += 1
                elif state in (LAPSED, LANDED):
                    attempt.pc += 1
                elif state == HANDED:
                    attempt.connection = attempt.order
                    attempt.pc += 1
                elif state == ABORTED:
                    outcome = FAILED
                elif state == BEGINS:
                    attempt.pc = attempt.start
                    if attempt.number == 0:  # a closed user's, who has thought
                        g.budget = min(g.budget_cap, g.budget + g.budget_fraction)
                    if g.timeout_s < np.inf:
                        start_timer(w, a)
                if state != ELECTED:
                    attempt.state = LAPSED
            elif source == 1:
                g.now = time_s
                at = g.arrival - base
                g.arrival += 1
                g.arrival_seq = g.seq  # rule 1
                g.seq += 1
                g.budget = min(g.budget_cap, g.budget + g.budget_fraction)
                a = new_attempt(w)
                attempt = w.attempts[a]
                attempt.request = base + at
                attempt.key, attempt.user = chunk.key[at], chunk.user[at]
                attempt.arrival_s = time_s
                attempt.number = 0
                attempt.start = attempt.pc = chunk.start[at]
                if g.timeout_s < np.inf:
                    start_timer(w, a)
                g.unfinished += 1
            else:
                g.now = time_s
                a = int(g.timer_first)
                _lose_patience(w, a, chunk, base)
                continue
            if outcome < 0:
                outcome = walk(w, a)
            if outcome >= 0:
                conclude(w, a, outcome, chunk, base)

    @entry
    def settle(w: World) -> None:
        """Bring the accounts of all stations and hosts up to now."""
        if len(sources) > 0:
            for s in range(w.stations.size):
                count_station(w, s)
            for h in range(w.hosts.size):
                count_host(w, h)

    return advance, settle


@compiled
def _lose_patience(w: World, a: int, chunk: Chunk, base: int) -> None:
    attempt = w.attempts[a]
    attempt.timed = 0
    g = w.g[0]
    g.timer_first = attempt.after
    if attempt.after < 0:
        g.timer_last = -1
    else:
        w.attempts[attempt.after].before = -1
    attempt.abandoned = 1
    answer(w, a, TIMEOUT, chunk, base)


advance, settle = _build(SOURCES)
