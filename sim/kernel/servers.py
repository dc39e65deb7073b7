"""Stations and hosts; the compiled twin of `sim.des.servers`."""

from typing import Any

from sim.kernel.booking import occupy
from sim.kernel.compiled import compiled, inlined
from sim.kernel.events import append, push, take_first, wake
from sim.kernel.layout import HOSTED, OWN, SERVED, SHARING, WAITS, World


@inlined
def count_station(w: World, s: int) -> None:
    """Bring the account of busy slot-seconds up to now."""
    now, station = w.g[0].now, w.stations[s]
    serving = station.in_service if station.kind == HOSTED else min(station.here, station.slots)
    station.busy_s += serving * (now - station.counted_s)
    station.counted_s = now


@inlined
def count_host(w: World, h: int) -> None:
    """Bring the account of busy core-seconds, and of shared work, up to now."""
    now, host = w.g[0].now, w.hosts[h]
    elapsed = now - host.counted_s
    if not host.shares:
        host.busy_s += host.busy * elapsed
    elif host.jobs:
        host.work_s += elapsed * speed(host)
        host.busy_s += min(host.jobs, host.cores) * elapsed
    host.counted_s = now


@inlined
def speed(host: Any) -> float:
    """Rate at which each visit that shares the cores is served."""
    return 1.0 if host.jobs <= host.cores else host.cores / host.jobs


@compiled
def update_eligible(w: World, s: int) -> None:
    """Derive whether balancers may choose a station."""
    station = w.stations[s]
    good = station.active and station.drains == 0 and not station.known_down
    station.eligible = 1 if good else 0
    for number in range(w.groups.size):
        group = w.groups[number]
        group.eligible = 0
        for place in range(group.count):
            group.eligible += w.stations[w.members[group.first + place]].eligible


@inlined
def book(w: World, s: int, demand_s: float) -> float:
    """Book the slot that is free first (rule 2); returns start of service."""
    station, free_s = w.stations[s], w.free_s
    start = max(w.g[0].now, free_s[station.free_at])
    occupy(free_s, station.free_at, station.slots, start + demand_s)
    return start


@compiled
def started(w: World, a: int) -> None:
    """A visit got a core, or began to share them."""
    g, attempt = w.g[0], w.attempts[a]
    station = w.stations[attempt.station]
    if station.kind == HOSTED:
        count_station(w, attempt.station)
        station.in_service += 1
        station.wait_s += g.now - attempt.joined_s
    station.visits += 1
    g.started += 1
    attempt.order = g.started
    attempt.state = SERVED


@compiled
def run_on(w: World, h: int, a: int) -> None:
    """Serve a visit as soon as the host can."""
    host, attempt = w.hosts[h], w.attempts[a]
    if host.shares:
        count_host(w, h)
        started(w, a)
        host.joined += 1
        _insert_job(w, h, host.work_s + attempt.demand_s * host.stretch, host.joined, a)
        plan(w, h)
    elif host.busy < host.cores:
        count_host(w, h)
        host.busy += 1
        _start_on_core(w, host, a)
    else:
        append(w, host, a)


@compiled
def _start_on_core(w: World, host: Any, a: int) -> None:
    started(w, a)
    wake(w, a, SERVED, w.g[0].now + w.attempts[a].demand_s * host.stretch)


@inlined
def release_core(w: World, h: int, a: int) -> None:
    """Give the core of a visit to the first that waits; or stop serving it, if it was not done."""
    host = w.hosts[h]
    if host.shares:
        for i in range(host.jobs):
            if w.jobs[host.row, i].who == a:
                count_host(w, h)
                _remove_job(w, h, i)
                plan(w, h)
                break
    elif host.first >= 0:
        _start_on_core(w, host, take_first(w, host))
    else:
        count_host(w, h)
        host.busy -= 1


@compiled
def plan(w: World, h: int) -> None:
    """Schedule the next end among the visits that share the cores; earlier plans are void."""
    host = w.hosts[h]
    host.pending = -1
    if host.jobs:
        left = max(0.0, w.jobs[host.row, 0].tag - host.work_s)
        host.pending = push(w, w.g[0].now + left / speed(host), -1 - host.agenda)


@compiled
def end_shared(w: World, h: int) -> None:
    """The visit with the least work left is done."""
    host = w.hosts[h]
    count_host(w, h)
    a = w.jobs[host.row, 0].who
    host.work_s = w.jobs[host.row, 0].tag
    _remove_job(w, h, 0)
    plan(w, h)
    wake(w, a, SERVED, w.g[0].now)


@compiled
def _precedes(one: Any, other: Any) -> bool:
    return one.tag < other.tag or (one.tag == other.tag and one.order < other.order)


@compiled
def _insert_job(w: World, h: int, tag: float, order: int, a: int) -> None:
    host = w.hosts[h]
    jobs = w.jobs[host.row]
    at = host.jobs
    host.jobs += 1
    jobs[at].tag, jobs[at].order, jobs[at].who = tag, order, a
    _sift_job_up(jobs, at)


@compiled
def _sift_job_up(jobs: Any, at: int) -> None:
    while at > 0 and _precedes(jobs[at], jobs[(at - 1) // 2]):
        _swap(jobs, at, (at - 1) // 2)
        at = (at - 1) // 2


@compiled
def _swap(jobs: Any, i: int, j: int) -> None:
    tag, order, who = jobs[i].tag, jobs[i].order, jobs[i].who
    jobs[i].tag, jobs[i].order, jobs[i].who = jobs[j].tag, jobs[j].order, jobs[j].who
    jobs[j].tag, jobs[j].order, jobs[j].who = tag, order, who


@compiled
def _remove_job(w: World, h: int, at: int) -> None:
    host = w.hosts[h]
    jobs = w.jobs[host.row]
    size = host.jobs - 1
    host.jobs = size
    if at == size:
        return
    _swap(jobs, at, size)
    _sift_job_up(jobs, at)
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and _precedes(jobs[child + 1], jobs[child]):
            child += 1
        if not _precedes(jobs[child], jobs[at]):
            break
        _swap(jobs, at, child)
        at = child


@inlined
def join(w: World, a: int, s: int, demand_s: float) -> int:
    """Start a visit; returns the outcome of a refusal, or -1."""
    g, attempt, station = w.g[0], w.attempts[a], w.stations[s]
    if station.down:
        return 3
    if station.here >= station.limit:
        return 2
    count_station(w, s)
    station.here += 1
    attempt.station = s
    if station.kind == OWN:
        start = book(w, s, demand_s)
        station.visits += 1
        station.wait_s += start - g.now
        g.started += 1
        attempt.order = g.started
        wake(w, a, SERVED, start + demand_s)
    else:
        _join_shared(w, a, s, demand_s)
    return -1


@compiled
def _join_shared(w: World, a: int, s: int, demand_s: float) -> None:
    attempt, station = w.attempts[a], w.stations[s]
    attempt.demand_s, attempt.joined_s, attempt.state = demand_s, w.g[0].now, WAITS
    if station.kind == SHARING:
        run_on(w, station.host, a)
    elif station.free_slots:
        station.free_slots -= 1
        run_on(w, station.host, a)
    else:
        append(w, station, a)


@inlined
def leave(w: World, a: int) -> None:
    """A visit is done: let it out, and the next one in."""
    attempt = w.attempts[a]
    s = attempt.station
    station = w.stations[s]
    count_station(w, s)
    station.here -= 1
    station.completed += 1
    attempt.station = -1
    if station.kind != OWN:
        _leave_shared(w, a, s)


@compiled
def _leave_shared(w: World, a: int, s: int) -> None:
    attempt, station = w.attempts[a], w.stations[s]
    if station.kind == SHARING:
        station.wait_s += w.g[0].now - attempt.joined_s - attempt.demand_s
        return
    station.in_service -= 1
    if not w.hosts[station.host].shares:
        release_core(w, station.host, a)
    if station.first >= 0:
        run_on(w, station.host, take_first(w, station))
    else:
        station.free_slots += 1


@compiled
def crash(w: World, s: int) -> int:
    """Empty a station (rule 8); its attempts, in the order in which they fail, go to `scratch`."""
    station, attempts = w.stations[s], w.attempts
    count_station(w, s)
    lost = 0
    for a in range(attempts.size):
        if attempts[a].station == s and attempts[a].state == SERVED:
            w.scratch[lost] = a
            lost += 1
    _sort_by_order(w, lost)
    served = lost
    if station.kind == HOSTED:
        host = w.hosts[station.host]
        a, host.first = host.first, -1
        while a >= 0:
            following = attempts[a].next
            if attempts[a].station == s:
                w.scratch[lost] = a
                lost += 1
            else:
                append(w, host, a)
            a = following
        a, station.first = station.first, -1
        while a >= 0:
            w.scratch[lost] = a
            lost += 1
            a = attempts[a].next
        station.free_slots = station.slots
    elif station.kind == OWN:
        w.free_s[station.free_at : station.free_at + station.slots] = 0.0
    station.here = station.in_service = 0
    for i in range(lost):
        attempts[w.scratch[i]].pending = -1
        attempts[w.scratch[i]].station = -1
    if station.kind != OWN:
        for i in range(served):
            release_core(w, station.host, w.scratch[i])
    return lost


@compiled
def _sort_by_order(w: World, size: int) -> None:
    """Shell sort of `scratch` by order of start."""
    gap = 1
    while gap < size // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, size):
            a = w.scratch[i]
            order = w.attempts[a].order
            j = i
            while j >= gap and w.attempts[w.scratch[j - gap]].order > order:
                w.scratch[j] = w.scratch[j - gap]
                j -= gap
            w.scratch[j] = a
        gap //= 3
