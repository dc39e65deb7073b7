"""Events that belong to no attempt; the compiled twin of `sim.des.control`."""

from typing import Any

import numpy as np

from sim.kernel.compiled import compiled
from sim.kernel.events import push, wake
from sim.kernel.layout import (
    ABORTED,
    BOOTED,
    CACHE_DOWN,
    CACHE_UP,
    CRASH,
    DETECTED,
    DRAINED,
    ELECTED,
    ELECTION,
    EVALUATION,
    RECOVERED,
    SHARED_END,
    UNDRAINED,
    World,
)
from sim.kernel.servers import count_station, crash, end_shared, update_eligible


@compiled
def happen(w: World, row: int, seq: int) -> int:
    """Let an event of the agenda happen; returns how many attempts in `scratch` it fails."""
    kind, a, b = w.agenda[row].kind, w.agenda[row].a, w.agenda[row].b
    if kind == SHARED_END:
        if w.hosts[a].pending == seq:
            end_shared(w, a)
    elif kind == CRASH:
        return _crash(w, a)
    elif kind == DETECTED:
        if w.stations[a].down:
            w.stations[a].known_down = 1
            update_eligible(w, a)
    elif kind == RECOVERED:
        _recover(w, a)
    elif kind in (DRAINED, UNDRAINED):
        w.stations[a].drains += 1 if kind == DRAINED else -1
        update_eligible(w, a)
    elif kind == CACHE_DOWN:
        w.g[0].caches_down += 1
        for family in range(w.families.size):
            w.families[family].epoch += 1
    elif kind == CACHE_UP:
        w.g[0].caches_down -= 1
    elif kind == ELECTION:
        _elect(w, a)
    elif kind == EVALUATION:
        _evaluate(w, a)
    elif kind == BOOTED:
        w.booting[b] = 0
        s = w.members[b]
        w.stations[s].active = 1
        update_eligible(w, s)
    return 0


@compiled
def _crash(w: World, s: int) -> int:
    station = w.stations[s]
    station.down += 1
    if station.set >= 0 and w.sets[station.set].primary == station.place:
        w.sets[station.set].primary = -1
        _call_election(w, station.set)
    return crash(w, s)


@compiled
def _recover(w: World, s: int) -> None:
    station = w.stations[s]
    station.down -= 1
    if station.down == 0:
        station.known_down = 0
        update_eligible(w, s)
        if station.set >= 0:
            members = w.sets[station.set]
            if members.primary < 0 and not members.electing:
                _call_election(w, station.set)


@compiled
def _call_election(w: World, number: int) -> None:
    members = w.sets[number]
    members.electing = 1
    push(w, w.g[0].now + members.election_s, -1 - members.agenda)


@compiled
def _elect(w: World, number: int) -> None:
    members = w.sets[number]
    members.electing = 0
    for place in range(members.count):
        if not w.stations[w.members[members.first + place]].down:
            members.primary = place
            break
    a, members.parked = members.parked, -1
    while a >= 0:
        following = w.attempts[a].next
        wake(w, a, ELECTED if members.primary >= 0 else ABORTED, w.g[0].now)
        a = following


@compiled
def _evaluate(w: World, number: int) -> None:
    """Compare a group's utilisation over the last period with the target, and act."""
    g, scaler = w.g[0], w.scalers[number]
    group = w.groups[scaler.group]
    push(w, g.now + scaler.period_s, -1 - scaler.agenda)
    busy_s, slots, active, provisioned = 0.0, 0, 0, 0
    for at in range(group.first, group.first + group.count):
        s = w.members[at]
        count_station(w, s)
        station = w.stations[s]
        busy_s += station.busy_s
        if station.active:
            active += 1
            slots += station.slots
        if station.active or w.booting[at]:
            provisioned += 1
    used = (busy_s - scaler.busy_s) / (slots * scaler.period_s)
    scaler.busy_s = busy_s
    if g.now < scaler.not_before_s:
        return
    wanted = int(np.ceil(active * used / scaler.target))
    wanted = min(max(wanted, scaler.low), scaler.high)
    if wanted > provisioned:
        _boot(w, number, wanted - provisioned)
    elif wanted < provisioned:
        wanted = _remove(w, group, provisioned, wanted, active)
    if wanted != provisioned:
        scaler.not_before_s = g.now + scaler.cooldown_s
        action = w.actions[g.actions]
        action.time_s, action.scaler, action.wanted = g.now, number, wanted
        g.actions += 1


@compiled
def _boot(w: World, number: int, count: int) -> None:
    scaler = w.scalers[number]
    group = w.groups[scaler.group]
    for place in range(group.count):
        at = group.first + place
        if count and not w.stations[w.members[at]].active and not w.booting[at]:
            count -= 1
            w.booting[at] = 1
            # A scaler's rows of the agenda: its evaluation, then the boot of each member.
            push(w, w.g[0].now + scaler.boot_s, -1 - (scaler.agenda + 1 + place))


@compiled
def _remove(w: World, group: Any, provisioned: int, wanted: int, active: int) -> int:
    for place in range(group.count - 1, -1, -1):
        s = w.members[group.first + place]
        if provisioned > wanted and w.stations[s].active and active > 1:
            active -= 1
            provisioned -= 1
            w.stations[s].active = 0
            update_eligible(w, s)
    return provisioned
