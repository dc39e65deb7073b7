"""Attempts walking their routes; the compiled twin of `sim.des.stack`."""

from typing import Any

import numpy as np

from sim.kernel import draws
from sim.kernel.balancing import choose, member_for, park
from sim.kernel.caches import fill, land, look_up
from sim.kernel.compiled import compiled, inlined
from sim.kernel.demands import demand_of
from sim.kernel.events import (
    copy_attempt,
    free_attempt,
    stop_timer,
    wake,
)
from sim.kernel.layout import (
    APPLIED,
    BEAT,
    BEGINS,
    DELAY,
    ELECTED,
    END,
    ENTER,
    EXIT,
    FILL,
    GIVE,
    INVALIDATE,
    JUMP,
    LAPSED,
    LIMITED,
    LOOKUP,
    REPLICATE,
    SPAWN,
    STARTS,
    TAKE,
    VISIT,
    VISIT_GROUP,
    VISIT_MEMBER,
    Chunk,
    World,
)
from sim.kernel.protection import (
    breaker_admits,
    give_back,
    limit_admits,
    may_retry,
    report,
    take,
)
from sim.kernel.servers import join

OK, TIMEOUT, REJECTED, FAILED, SHED = range(5)
BLOCKED = -1
LEFT_BEHIND = 2  # a job of a request itself, not of the replica set
# Values of less than 2^-40 s or from 2^24 s share the outermost bins of the histogram.
BIN_BITS = 8  # 256 bins per factor of two: relative error at most 1/512
LOWEST_BIN = (1023 - 40) << BIN_BITS
BINS = 64 << BIN_BITS


@inlined
def walk(w: World, a: int) -> int:
    """Do the steps of an attempt until it has to wait (BLOCKED) or ends (its outcome)."""
    g, attempt = w.g[0], w.attempts[a]
    resumed = attempt.state == ELECTED  # inside a step, where cancellation is not looked for
    while True:
        step = w.code[attempt.pc]
        op = step.op
        if attempt.abandoned and g.cancels and not resumed and not _is_bookkeeping(op):
            return TIMEOUT
        resumed = False
        if op == VISIT:
            refused = join(w, a, step.a, demand_of(w, attempt, step))
            return refused
        if op == VISIT_GROUP:
            place = w.picked[a, step.a]
            if place < 0:
                place = choose(w, a, step.a)
                if place < 0:
                    return FAILED
            s = w.members[w.groups[step.a].first + place]
            refused = join(w, a, s, demand_of(w, attempt, step))
            return refused
        if op == DELAY:
            wake(w, a, LAPSED, g.now + demand_of(w, attempt, step))
            return BLOCKED
        if op == BEAT:
            wake(w, a, LAPSED, max(g.now, np.ceil(g.now / step.p0) * step.p0))
            return BLOCKED
        if op == END:
            return OK
        if op == LOOKUP:
            if look_up(w, a, step):
                return BLOCKED
        elif op == JUMP:
            attempt.pc = step.a
        elif op == VISIT_MEMBER:
            s = member_for(w, step)
            if s < 0:
                if not w.sets[step.a].electing:
                    return FAILED
                park(w, step.a, a)
                return BLOCKED
            return join(w, a, s, demand_of(w, attempt, step))
        elif op == TAKE:
            if not take(w, a, step):
                return BLOCKED
        else:
            refused = do_at_once(w, a, step)
            if refused >= 0:
                return refused
            attempt.pc += 1


@inlined
def _is_bookkeeping(op: int) -> bool:
    """Whether an instruction only closes a step, so that it is none of its own."""
    return op in (END, JUMP, GIVE, EXIT, APPLIED)


@compiled
def do_at_once(w: World, a: int, step: Any) -> int:
    """The steps that take no time; returns the outcome of a refusal, or -1."""
    g, attempt = w.g[0], w.attempts[a]
    op = step.op
    if op == FILL:
        fill(w, a, step)
    elif op == INVALIDATE:
        asked = attempt.user if step.d else attempt.key
        family = w.families[step.a]
        if step.b < 0:
            family.epoch += 1
        else:
            w.generations[family.generations_at + step.b + asked % step.c] += 1
    elif op == GIVE:
        give_back(w, attempt.connection)
        attempt.connection = -1
    elif op == ENTER:
        if not breaker_admits(g.now, w.breakers[step.a]):
            return SHED
        attempt.breaker, attempt.entered_s = step.a, g.now
    elif op == EXIT:
        breaker = w.breakers[attempt.breaker]
        attempt.breaker = -1
        report(g.now, breaker, g.now - attempt.entered_s <= breaker.slow_s)
    elif op == LIMITED:
        if not limit_admits(w, a, step.a):
            return SHED
    elif op == SPAWN:
        w.attempts[_spawn(w, a, step.a)].job = LEFT_BEHIND
    elif op == REPLICATE:
        _replicate(w, a, step)
    elif op == APPLIED:
        at = w.sets[step.a].first + step.b
        w.applied[at] = max(w.applied[at], attempt.write)
    return -1


# Jobs


@compiled
def _spawn(w: World, a: int, pc: int) -> int:
    b = copy_attempt(w, a)
    job = w.attempts[b]
    job.job = 1
    job.arrival_s = w.g[0].now
    job.pc = pc
    wake(w, b, STARTS, w.g[0].now)
    return b


@compiled
def _replicate(w: World, a: int, step: Any) -> None:
    members = w.sets[step.a]
    members.writes += 1
    w.last_write[members.keys_at + w.attempts[a].key % members.keys] = members.writes
    for place in range(members.count):
        station = w.stations[w.members[members.first + place]]
        if place != members.primary and not station.down:
            b = _spawn(w, a, step.b + 4 * place)
            w.attempts[b].write = members.writes


# Ends


@inlined
def conclude(w: World, a: int, outcome: int, chunk: Chunk, base: int) -> None:
    """Give back what an attempt holds (rule 7), then end its request or retry."""
    g, attempt = w.g[0], w.attempts[a]
    if attempt.timed:
        stop_timer(w, a)
    if attempt.connection >= 0:
        give_back(w, attempt.connection)
    if attempt.breaker >= 0:
        report(g.now, w.breakers[attempt.breaker], False)
    if attempt.flight >= 0:
        land(w, a, False)
    for group in range(w.picked.shape[1]):
        place = w.picked[a, group]
        if place >= 0:
            w.stations[w.members[w.groups[group].first + place]].connections -= 1
    if attempt.job:
        g.jobs_completed += outcome == OK
        if attempt.job == LEFT_BEHIND and outcome == OK and chunk.job_s.size:
            chunk.job_s[attempt.request - base] = g.now - attempt.arrival_s
    elif not attempt.abandoned:
        answer(w, a, outcome, chunk, base)
    free_attempt(w, a)


@inlined
def answer(w: World, a: int, outcome: int, chunk: Chunk, base: int) -> None:
    """An attempt's outcome is known to its caller: retry, or end the request."""
    g, attempt = w.g[0], w.attempts[a]
    if outcome not in (OK, SHED) and attempt.number < g.retries and may_retry(g):
        _retry(w, a)
        return
    sojourn_s = g.now - attempt.arrival_s
    if outcome == OK and w.histogram.size:
        bits = np.float64(sojourn_s).view(np.int64) >> (52 - BIN_BITS)
        w.histogram[min(max(bits - LOWEST_BIN, 0), BINS - 1)] += 1
    if chunk.sojourn_s.size:
        at = attempt.request - base
        chunk.sojourn_s[at] = sojourn_s
        chunk.outcome[at] = outcome
        chunk.cache_outcome[at] = attempt.cache_outcome
        chunk.attempts[at] = attempt.number + 1
    if chunk.users == 0 or not _ask_again(w, a, chunk):
        g.unfinished -= 1


@compiled
def _ask_again(w: World, a: int, chunk: Chunk) -> bool:
    """A closed user has an answer (rule 11); returns whether another request will come of it."""
    following = w.attempts[a].request + chunk.users
    if following >= chunk.think_s.size:
        return False
    due_s = w.g[0].now + chunk.think_s[following]
    if due_s >= chunk.until_s:
        return False
    b = copy_attempt(w, a)
    again = w.attempts[b]
    again.request, again.number = following, 0
    again.key, again.user = chunk.key[following], chunk.user[following]
    again.start, again.arrival_s = chunk.start[following], due_s
    chunk.sent_s[following] = due_s
    wake(w, b, BEGINS, due_s)
    return True


@compiled
def _retry(w: World, a: int) -> None:
    g = w.g[0]
    b = copy_attempt(w, a)
    again = w.attempts[b]
    again.number += 1
    wait_s = g.backoff_s
    for _ in range(again.number - 1):
        wait_s *= 2.0
    wait_s = min(g.backoff_cap_s, wait_s)
    if g.jitter:
        wait_s *= draws.uniform(draws.stream(g.retry_base, 0, again.number), again.request)
    wake(w, b, BEGINS, g.now + wait_s)
