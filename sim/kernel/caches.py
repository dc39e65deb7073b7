"""Cache-aside with generations and single flight; the compiled twin of `sim.des.caches`."""

from typing import Any

from sim.kernel.compiled import compiled
from sim.kernel.events import wake
from sim.kernel.layout import ABORTED, LANDED, WAITS, World

HIT, MISS, COALESCED = 1, 2, 3


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
def fill(w: World, a: int, step: Any) -> None:
    """Store an entry, unless invalidated since its lookup; let those who wait for it go on."""
    g, attempt, family = w.g[0], w.attempts[a], w.families[step.a]
    if not g.caches_down:
        key = (attempt.user if family.by_user else attempt.key) % family.keys
        group = key // family.keys_per_group
        stamp = w.generations[family.generations_at + group] + family.epoch
        if w.stamps[a, step.a] in (-1, stamp):  # no lookup, or under the same generations
            cell = w.cells[family.cells_at + step.b * family.keys + key]
            cell.expires_s, cell.stamp = g.now + family.ttl_s, stamp
    if attempt.flight >= 0 and attempt.flight_family == step.a:
        land(w, a, True)
