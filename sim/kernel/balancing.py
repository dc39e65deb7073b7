"""Who serves a visit; the compiled twin of `sim.des.balancing`."""

from typing import Any

from sim.kernel import draws
from sim.kernel.compiled import compiled, inlined
from sim.kernel.layout import LEAST_CONNECTIONS, ROUND_ROBIN, WAITS, World


@inlined
def choose(w: World, a: int, group_number: int) -> int:
    """Give an attempt a replica of a group: its place, or -1 when none is eligible."""
    group = w.groups[group_number]
    if group.policy == ROUND_ROBIN:
        place = _next_eligible(w, group)
    elif group.policy == LEAST_CONNECTIONS:
        place = _least_busy(w, group)
    else:
        place = _less_busy_of_two(w, a, group)
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
def _least_busy(w: World, group: Any) -> int:
    best, fewest, tied = -1, 0, 0
    for place in range(group.count):
        station = w.stations[w.members[group.first + place]]
        if station.eligible and (best < 0 or station.connections < fewest):
            best, fewest, tied = place, station.connections, 1
        elif station.eligible and station.connections == fewest:
            tied += 1
    if tied < 2:
        return best
    most = 0
    for place in range(best, group.count):
        station = w.stations[w.members[group.first + place]]
        if station.eligible and station.connections == fewest:
            station.credit += 1
            if place == best or station.credit > most:
                best, most = place, station.credit
    w.stations[w.members[group.first + best]].credit -= tied
    return best


@inlined
def _less_busy_of_two(w: World, a: int, group: Any) -> int:
    eligible = group.eligible
    if eligible == 0:
        return -1
    attempt = w.attempts[a]
    first_draw, second_draw = group.first_draw, group.second_draw
    if attempt.number:
        first_draw = draws.stream(group.base, 0, attempt.number)
        second_draw = draws.stream(group.base, 1, attempt.number)
    one = int(draws.uniform(first_draw, attempt.request) * eligible)
    other = int(draws.uniform(second_draw, attempt.request) * (eligible - 1))
    if other >= one:
        other += 1
    if eligible < group.count:
        one, other = _eligible_at(w, group, one), _eligible_at(w, group, other)
    if eligible == 1:
        return one
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
def member_for(w: World, step: Any) -> int:
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
def park(w: World, set_number: int, a: int) -> None:
    """Let an attempt wait for an election."""
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
