"""What happens to the stack from outside its requests: crashes, deploys, restarts, scaling."""

import math
from functools import partial
from typing import Any

from sim.des.balancing import Balancer
from sim.des.clock import Clock
from sim.des.stack import Stack
from sim.model.parts import Autoscaler, CacheRestart, Crash, Drain


def plan_disruptions(stack: Stack) -> None:
    """Schedule begin, detection and end of every disruption, in their order (rule 8)."""
    for disruption in stack.model.disruptions:
        if isinstance(disruption, Crash):
            _plan_crash(stack, disruption)
        elif isinstance(disruption, Drain):
            _plan_drain(stack, disruption)
        else:
            _plan_restart(stack, disruption)


def _plan_crash(stack: Stack, crash: Crash) -> None:
    station = stack.stations[crash.station]
    sets = [members for members in stack.replica_sets.values() if station in members.members]

    def begin() -> None:
        station.down += 1
        for members in sets:
            members.crashed(station)
        for attempt in station.crash():
            assert attempt.process is not None
            attempt.process.interrupt()

    def detect() -> None:
        if station.down:
            station.known_down = True
            station.update_eligible()

    def end() -> None:
        station.down -= 1
        if not station.down:
            station.known_down = False
            station.update_eligible()
            for members in sets:
                members.recovered(station)

    stack.clock.call_at(crash.from_s, lambda _: begin())
    stack.clock.call_at(crash.from_s + crash.detect_s, lambda _: detect())
    if crash.until_s < math.inf:
        stack.clock.call_at(crash.until_s, lambda _: end())


def _plan_drain(stack: Stack, drain: Drain) -> None:
    station = stack.stations[drain.station]

    def change(drains: int) -> None:
        station.drains += drains
        station.update_eligible()

    stack.clock.call_at(drain.from_s, lambda _: change(+1))
    if drain.until_s < math.inf:
        stack.clock.call_at(drain.until_s, lambda _: change(-1))


def _plan_restart(stack: Stack, restart: CacheRestart) -> None:
    def begin() -> None:
        stack.caches_down += 1
        for family in stack.families.values():
            family.invalidate(None)

    def end() -> None:
        stack.caches_down -= 1

    stack.clock.call_at(restart.from_s, lambda _: begin())
    if restart.until_s < math.inf:
        stack.clock.call_at(restart.until_s, lambda _: end())


class Scaling:
    """An autoscaler at work on the members of one group."""

    def __init__(self, clock: Clock, scaler: Autoscaler, group: Balancer) -> None:
        self.clock = clock
        self.scaler = scaler
        self.members = group.members
        self.booting = [False] * len(self.members)
        self.not_before_s = 0.0
        self.busy_s_before = 0.0
        self.actions: list[tuple[float, str, int]] = []
        for place, member in enumerate(self.members):
            member.active = place < scaler.initial
            member.update_eligible()
        clock.call_at(scaler.period_s, lambda _: self.evaluate())

    def evaluate(self) -> None:
        """Compare the group's utilisation over the last period with the target, and act."""
        scaler, now = self.scaler, self.clock.now
        self.clock.call_at(now + scaler.period_s, lambda _: self.evaluate())
        busy_s, slots, active, provisioned = 0.0, 0, 0, 0
        for place, member in enumerate(self.members):
            member.count()
            busy_s += member.busy_s
            if member.active:
                active += 1
                slots += member.slots
            if member.active or self.booting[place]:
                provisioned += 1
        used = (busy_s - self.busy_s_before) / (slots * scaler.period_s)
        self.busy_s_before = busy_s
        if now < self.not_before_s:
            return
        wanted = math.ceil(active * used / scaler.target_fraction)
        wanted = min(max(wanted, scaler.min_replicas), scaler.max_replicas)
        if wanted > provisioned:
            self._boot(wanted - provisioned)
        elif wanted < provisioned:
            wanted = self._remove(provisioned, wanted)
        if wanted != provisioned:
            self.not_before_s = now + scaler.cooldown_s
            self.actions.append((now, scaler.group, wanted))

    def _boot(self, count: int) -> None:
        for place, member in enumerate(self.members):
            if count and not member.active and not self.booting[place]:
                count -= 1
                self.booting[place] = True
                ready = partial(self._ready, place)
                self.clock.call_at(self.clock.now + self.scaler.boot_s, ready)

    def _ready(self, place: int, _: Any) -> None:
        self.booting[place] = False
        self.members[place].active = True
        self.members[place].update_eligible()

    def _remove(self, provisioned: int, wanted: int) -> int:
        """Take active members out, last first, but never the last one; returns what is left."""
        active = sum(member.active for member in self.members)
        for member in reversed(self.members):
            if provisioned > wanted and member.active and active > 1:
                active -= 1
                provisioned -= 1
                member.active = False
                member.update_eligible()
        return provisioned
