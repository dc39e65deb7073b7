"""Attempts walking their routes; the compiled twin of `sim.des.stack`."""

from typing import Any

import numpy as np

from sim.kernel import draws
from sim.kernel.compiled import compiled, inlined
from sim.kernel.events import (
    append,
    copy_attempt,
    free_attempt,
    stop_timer,
    take_first,
    wake,
)
from sim.kernel.layout import (
    ABORTED,
    APPLIED,
    BEGINS,
    DELAY,
    ELECTED,
    END,
    ENTER,
    EXIT,
    FILL,
    GIVE,
    HANDED,
    INVALIDATE,
    JUMP,
    LANDED,
    LAPSED,
    LEAST_CONNECTIONS,
    LIMITED,
    LOOKUP,
    REPLICATE,
    ROUND_ROBIN,
    SPAWN,
    STARTS,
    TAKE,
    VISIT,
    VISIT_GROUP,
    VISIT_MEMBER,
    WAITS,
    Chunk,
    World,
)
from sim.kernel.servers import join

OK, TIMEOUT, REJECTED, FAILED, SHED = range(5)
BLOCKED = -1
HIT, MISS, COALESCED = 1, 2, 3
CLOSED, OPEN, HALF_OPEN = range(3)
# Values of less than 2^-40 s or from 2^24 s share the outermost bins of the histogram.
BIN_BITS = 8  # 256 bins per factor of two: relative error at most 1/512
LOWEST_BIN = (1023 - 40) << BIN_BITS
BINS = 64 << BIN_BITS


@inlined
def demand_of(w: World, attempt: Any, step: Any) -> float:
    """The demand of a step in an attempt, s."""
    start = step.stream
    if attempt.number:
        start = draws.stream(step.base, step.visit, attempt.number)
    u = draws.uniform(start, attempt.request)
    return draws.demand(u, step.kind, step.p0, step.p1, w.tables, step.table_at, step.table_last)


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
        if op == END:
            return OK
        if op == LOOKUP:
            if look_up(w, a, step):
                return BLOCKED
        elif op == JUMP:
            attempt.pc = step.a
        elif op == VISIT_MEMBER:
            s = _member(w, step)
            if s < 0:
                if not w.sets[step.a].electing:
                    return FAILED
                _park(w, step.a, a)
                return BLOCKED
            return join(w, a, s, demand_of(w, attempt, step))
        elif op == TAKE:
            if not _take(w, a, step):
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
        _fill(w, a, step)
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
        if not _breaker_admits(g.now, w.breakers[step.a]):
            return SHED
        attempt.breaker, attempt.entered_s = step.a, g.now
    elif op == EXIT:
        breaker = w.breakers[attempt.breaker]
        attempt.breaker = -1
        report(g.now, breaker, g.now - attempt.entered_s <= breaker.slow_s)
    elif op == LIMITED:
        if not _limit_admits(w, a, step.a):
            return SHED
    elif op == SPAWN:
        _spawn(w, a, step.a)
    elif op == REPLICATE:
        _replicate(w, a, step)
    elif op == APPLIED:
        at = w.sets[step.a].first + step.b
        w.applied[at] = max(w.applied[at], attempt.write)
    return -1


# Choosing servers


@inlined
def choose(w: World, a: int, group_number: int) -> int:
    """Give an attempt a replica of a group: its place, or -1 when none is eligible."""
    group = w.groups[group_number]
    place = _next_eligible(w, group) if group.policy == ROUND_ROBIN else _less_busy(w, a, group)
    if place >= 0:
        w.picked[a, group_number] = place
        w.stations[w.members[group.first + place]].connections += 1
    return place


@inlined
def _next_eligible(w: World, group: Any) -> int:
    place = group.turn
    for _ in range(group.count):
        following = place + 1 if place + 1 < group.count else 0
        if w.stations[w.members[group.first + place]].eligible:
            group.turn = following
            return place
        place = following
    return -1


@compiled
def _less_busy(w: World, a: int, group: Any) -> int:
    eligible, best, fewest = 0, -1, 0
    for place in range(group.count):
        station = w.stations[w.members[group.first + place]]
        if station.eligible:
            if eligible == 0 or station.connections < fewest:
                best, fewest = place, station.connections
            eligible += 1
    if group.policy == LEAST_CONNECTIONS or eligible < 2:
        return best
    attempt = w.attempts[a]
    u = draws.uniform(draws.stream(group.base, 0, attempt.number), attempt.request)
    first = int(u * eligible)
    u = draws.uniform(draws.stream(group.base, 1, attempt.number), attempt.request)
    second = int(u * (eligible - 1))
    if second >= first:
        second += 1
    one, other = _eligible_at(w, group, first), _eligible_at(w, group, second)
    one_has = w.stations[w.members[group.first + one]].connections
    other_has = w.stations[w.members[group.first + other]].connections
    return other if other_has < one_has else one


@compiled
def _eligible_at(w: World, group: Any, rank: int) -> int:
    for place in range(group.count):
        if w.stations[w.members[group.first + place]].eligible:
            if rank == 0:
                return place
            rank -= 1
    return -1


@compiled
def _member(w: World, step: Any) -> int:
    """The member of a replica set that serves a visit, or -1 without a primary."""
    members = w.sets[step.a]
    if step.b:
        for offset in range(members.count):
            place = (members.turn + offset) % members.count
            s = w.members[members.first + place]
            if place != members.primary and not w.stations[s].known_down:
                members.turn = (place + 1) % members.count
                return s
    if members.primary < 0:
        return -1
    return w.members[members.first + members.primary]


@compiled
def _park(w: World, set_number: int, a: int) -> None:
    members = w.sets[set_number]
    w.attempts[a].next = -1
    w.attempts[a].state = WAITS
    if members.parked < 0:
        members.parked = a
    else:
        w.attempts[members.parked_last].next = a
    members.parked_last = a


@compiled
def count_read(w: World, a: int, set_number: int, s: int) -> None:
    """Note whether what a read from a member found was out of date."""
    members = w.sets[set_number]
    last = w.last_write[members.keys_at + w.attempts[a].key % members.keys]
    place = w.stations[s].place
    if place != members.primary and last > w.applied[members.first + place]:
        w.g[0].stale_reads += 1


# Cache


@compiled
def look_up(w: World, a: int, step: Any) -> bool:
    """Ask the cache and move to the hit's or the miss's steps; true when the attempt must wait."""
    g, attempt, family = w.g[0], w.attempts[a], w.families[step.a]
    key = (attempt.user if family.by_user else attempt.key) % family.keys
    stamp = w.generations[family.generations_at + key // family.keys_per_group] + family.epoch
    w.stamps[a, step.a] = stamp
    entry = step.b * family.keys + key
    cell = w.cells[family.cells_at + entry]
    if not g.caches_down and g.now < cell.expires_s and cell.stamp == stamp:
        family.hits += 1
        attempt.cache_outcome = HIT
        attempt.pc += 1
        return False
    if family.coalesce:
        replica = 0
        if family.group >= 0:
            replica = max(0, int(w.picked[a, family.group]))
        at = family.flights_at + replica * family.variants * family.keys + entry
        flight = w.flights[at]
        if flight.leader >= 0 and flight.stamp == stamp:
            family.coalesced += 1
            attempt.cache_outcome = COALESCED
            _join_flight(w, flight.leader, a)
            return True
        if attempt.flight < 0:
            flight.leader, flight.stamp = a, stamp
            attempt.flight, attempt.flight_family = at, step.a
    family.misses += 1
    attempt.cache_outcome = MISS
    attempt.pc = step.c
    return False


@compiled
def _join_flight(w: World, leader: int, a: int) -> None:
    leading = w.attempts[leader]
    w.attempts[a].next = -1
    w.attempts[a].state = WAITS
    if leading.waiting < 0:
        leading.waiting = a
    else:
        w.attempts[leading.waiting_last].next = a
    leading.waiting_last = a


@compiled
def land(w: World, a: int, good: bool) -> None:
    """An entry is filled, or never will be: let those who wait for it go on."""
    attempt = w.attempts[a]
    flight = w.flights[attempt.flight]
    if flight.leader == a:
        flight.leader = -1
    attempt.flight = -1
    waiting, attempt.waiting = attempt.waiting, -1
    while waiting >= 0:
        following = w.attempts[waiting].next
        wake(w, waiting, LANDED if good else ABORTED, w.g[0].now)
        waiting = following


@compiled
def _fill(w: World, a: int, step: Any) -> None:
    g, attempt, family = w.g[0], w.attempts[a], w.families[step.a]
    if not g.caches_down:
        key = (attempt.user if family.by_user else attempt.key) % family.keys
        stamp = w.stamps[a, step.a]
        if stamp < 0:
            group = key // family.keys_per_group
            stamp = w.generations[family.generations_at + group] + family.epoch
        cell = w.cells[family.cells_at + step.b * family.keys + key]
        cell.expires_s, cell.stamp = g.now + family.ttl_s, stamp
    if attempt.flight >= 0 and attempt.flight_family == step.a:
        land(w, a, True)


# Protections


@compiled
def _take(w: World, a: int, step: Any) -> bool:
    """Take a connection, or queue for one."""
    attempt = w.attempts[a]
    replica = 0
    if step.b >= 0:
        replica = max(0, int(w.picked[a, step.b]))
    p = w.member_pools[step.a + replica]
    pool = w.pools[p]
    if pool.free:
        pool.free -= 1
        attempt.connection = p
        attempt.pc += 1
        return True
    attempt.state = WAITS
    attempt.order = p  # the pool it waits for
    append(w, pool, a)
    return False


@compiled
def give_back(w: World, p: int) -> None:
    """Hand a connection to the first that waits."""
    pool = w.pools[p]
    if pool.first >= 0:
        wake(w, take_first(w, pool), HANDED, w.g[0].now)
    else:
        pool.free += 1


@compiled
def _limit_admits(w: World, a: int, number: int) -> bool:
    now, limit = w.g[0].now, w.limits[number]
    bucket = w.buckets[limit.at + w.attempts[a].user % limit.users]
    tokens = min(limit.burst, bucket.tokens + (now - bucket.seen_s) * limit.rate_per_s)
    bucket.seen_s = now
    if tokens >= 1.0:
        bucket.tokens = tokens - 1.0
        return True
    bucket.tokens = tokens
    return False


@compiled
def _breaker_admits(now: float, breaker: Any) -> bool:
    if breaker.state == OPEN and now >= breaker.until_s:
        breaker.state, breaker.probing = HALF_OPEN, 0
    if breaker.state == CLOSED:
        return True
    if breaker.state == OPEN or breaker.probing:
        return False
    breaker.probing = 1
    return True


@compiled
def report(now: float, breaker: Any, good: bool) -> None:
    """Tell a breaker the result of a call that it had let pass."""
    if breaker.state == OPEN:
        return
    if good:
        breaker.state, breaker.failures = CLOSED, 0
        return
    breaker.failures += 1
    if breaker.state == HALF_OPEN or breaker.failures >= breaker.limit:
        breaker.state, breaker.failures = OPEN, 0
        breaker.until_s = now + breaker.open_s


# Jobs


@compiled
def _spawn(w: World, a: int, pc: int) -> int:
    b = copy_attempt(w, a)
    job = w.attempts[b]
    job.job = 1
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
    elif not attempt.abandoned:
        answer(w, a, outcome, chunk, base)
    free_attempt(w, a)


@inlined
def answer(w: World, a: int, outcome: int, chunk: Chunk, base: int) -> None:
    """An attempt's outcome is known to its caller: retry, or end the request."""
    g, attempt = w.g[0], w.attempts[a]
    if outcome not in (OK, SHED) and attempt.number < g.retries and _may_retry(g):
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
    g.unfinished -= 1


@compiled
def _may_retry(g: Any) -> bool:
    if g.budget < 1.0:
        return False
    if g.budget_fraction < np.inf:
        g.budget -= 1.0
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
