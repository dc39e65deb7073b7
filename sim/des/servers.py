"""Stations and hosts: where visits queue and are served."""

from collections import deque
from heapq import heapify, heappop, heappush, heapreplace
from typing import Protocol

from simpy.events import Event, Process

from sim.des.clock import Clock
from sim.model.parts import Host, Station
from sim.model.run import Outcome


class Visitor(Protocol):
    """What a station has to know of an attempt that visits it."""

    process: Process | None


class Refused(Exception):
    """An attempt cannot go on; carries the outcome it ends with."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class StationState:
    """What all kinds of stations have in common: availability and accounts."""

    def __init__(self, clock: Clock, station: Station, keeps_order: bool) -> None:
        self.clock = clock
        self.name = station.name
        self.slots = station.slots
        self.limit = (
            float("inf") if station.queue_limit is None else station.slots + station.queue_limit
        )
        # Availability. A balancer gives requests to eligible stations only.
        self.down = 0
        self.known_down = False
        self.drains = 0
        self.active = True
        self.eligible = True
        self.connections = 0  # attempts that hold this replica
        self.credit = 0  # of its turn among replicas that are equally busy
        # Visits in order of arrival; kept only where a crash may have to fail them.
        self.present: dict[Visitor, None] | None = {} if keeps_order else None
        # Accounts.
        self.here = 0
        self.visits = 0
        self.completed = 0
        self.wait_s = 0.0
        self.busy_s = 0.0  # slot-seconds until `counted_s`
        self.counted_s = 0.0

    def serving(self) -> int:
        """Visits in service now."""
        return min(self.here, self.slots)

    def count(self) -> None:
        """Bring the account of busy slot-seconds up to now."""
        now = self.clock.now
        self.busy_s += self.serving() * (now - self.counted_s)
        self.counted_s = now

    def update_eligible(self) -> None:
        """Derive whether balancers may choose this station."""
        self.eligible = self.active and self.drains == 0 and not self.known_down

    def admit(self, attempt: Visitor) -> None:
        """Let a visit in, or raise Refused."""
        if self.down:
            raise Refused(Outcome.FAILED)
        if self.here >= self.limit:
            raise Refused(Outcome.REJECTED)
        self.count()
        self.here += 1
        if self.present is not None:
            self.present[attempt] = None

    def leave(self, attempt: Visitor) -> None:
        """A visit is done: let it out."""
        self.count()
        self.here -= 1
        self.completed += 1
        if self.present is not None:
            del self.present[attempt]

    def join(self, attempt: Visitor, demand_s: float) -> Event:
        """Start a visit; returns the event of its end of service, after which it must `leave`."""
        raise NotImplementedError

    def started(self, visit: "SharedVisit") -> None:
        """A host, or shared cores, began to serve this visit."""
        raise NotImplementedError

    def crash(self) -> list[Visitor]:
        """Empty the station; returns the attempts it held, in the order in which they fail."""
        raise NotImplementedError


class OwnMachine(StationState):
    """FIFO on a machine of its own: a visit is booked on arrival (rule 2)."""

    def __init__(self, clock: Clock, station: Station, keeps_order: bool) -> None:
        super().__init__(clock, station, keeps_order)
        self.free_s = [0.0] * station.slots  # a heap: when each slot becomes free

    def join(self, attempt: Visitor, demand_s: float) -> Event:
        """Book the slot that is free first."""
        self.admit(attempt)
        now = self.clock.now
        start = max(now, self.free_s[0])
        end = start + demand_s
        heapreplace(self.free_s, end)
        self.visits += 1
        self.wait_s += start - now
        return self.clock.at(end)

    def crash(self) -> list[Visitor]:
        """Forget all bookings."""
        assert self.present is not None
        lost = list(self.present)
        self.count()
        self.here = 0
        self.present.clear()
        self.free_s = [0.0] * self.slots
        return lost


class SharedVisit:
    """A visit that is served by cores which others share."""

    def __init__(self, attempt: Visitor, demand_s: float, station: StationState) -> None:
        self.attempt = attempt
        self.demand_s = demand_s
        self.station = station
        self.joined_s = station.clock.now
        self.done = Event(station.clock)
        self.has_core = False


class Cores:
    """The cores of a host, given to visits first come, first served (rule 3)."""

    def __init__(self, clock: Clock, host: Host) -> None:
        self.clock = clock
        self.name = host.name
        self.cores = host.cores
        self.stretch = 1.0 / (1.0 - host.background_fraction)
        self.busy = 0
        self.queue: deque[SharedVisit] = deque()
        self.busy_s = 0.0
        self.counted_s = 0.0

    def count(self) -> None:
        """Bring the account of busy core-seconds up to now."""
        now = self.clock.now
        self.busy_s += self.busy * (now - self.counted_s)
        self.counted_s = now

    def run(self, visit: SharedVisit) -> None:
        """Serve the visit as soon as a core is free."""
        if self.busy < self.cores:
            self.count()
            self.busy += 1
            self._start(visit)
        else:
            self.queue.append(visit)

    def release(self, visit: SharedVisit) -> None:
        """Give the core of a visit to the first that waits."""
        if self.queue:
            self._start(self.queue.popleft())
        else:
            self.count()
            self.busy -= 1

    def _start(self, visit: SharedVisit) -> None:
        visit.has_core = True
        visit.station.started(visit)
        self.clock.schedule_at(visit.done, self.clock.now + visit.demand_s * self.stretch)

    def forget(self, station: StationState) -> list[Visitor]:
        """Drop the visits of a crashed station that wait for a core."""
        lost = [visit for visit in self.queue if visit.station is station]
        self.queue = deque(visit for visit in self.queue if visit.station is not station)
        return [visit.attempt for visit in lost]


class SharedCores(Cores):
    """Cores that all running visits share equally, none above one core (rule 4).

    `work_s` is the service that each visit present since the start would have had; a visit that
    joins at work w with demand d ends when `work_s` reaches w + d.
    """

    def __init__(self, clock: Clock, host: Host) -> None:
        super().__init__(clock, host)
        self.work_s = 0.0
        self.jobs: list[tuple[float, int, SharedVisit]] = []  # a heap by end of work
        self.joined = 0
        self.planned = 0  # number of the end that counts; those before it are void

    def run(self, visit: SharedVisit) -> None:
        """Serve the visit from now on."""
        self._advance()
        visit.has_core = True
        visit.station.started(visit)
        self.joined += 1
        heappush(self.jobs, (self.work_s + visit.demand_s * self.stretch, self.joined, visit))
        self._plan()

    def release(self, visit: SharedVisit) -> None:
        """Stop serving a visit, if it was not done."""
        if visit.done.triggered:
            return  # left when its work was done
        self._advance()
        self.jobs = [job for job in self.jobs if job[2] is not visit]
        heapify(self.jobs)
        self._plan()

    def count(self) -> None:
        """Bring work done and busy core-seconds up to now."""
        self._advance()

    def _speed(self) -> float:
        present = len(self.jobs)
        return 1.0 if present <= self.cores else self.cores / present

    def _advance(self) -> None:
        now = self.clock.now
        elapsed = now - self.counted_s
        if self.jobs:
            self.work_s += elapsed * self._speed()
            self.busy_s += min(len(self.jobs), self.cores) * elapsed
        self.counted_s = now

    def _plan(self) -> None:
        self.planned += 1
        if self.jobs:
            number = self.planned
            left = max(0.0, self.jobs[0][0] - self.work_s)
            end = self.clock.now + left / self._speed()
            self.clock.call_at(end, lambda _: self._end(number))

    def _end(self, number: int) -> None:
        if number != self.planned:
            return
        self._advance()
        work_s, _, visit = heappop(self.jobs)
        self.work_s = work_s
        self._plan()
        self.clock.schedule_at(visit.done, self.clock.now)


class OnHost(StationState):
    """A FIFO station on a host: a visit needs a slot, then a core (rule 3)."""

    def __init__(self, clock: Clock, station: Station, keeps_order: bool, cores: Cores) -> None:
        super().__init__(clock, station, keeps_order)
        self.cores = cores
        self.free_slots = station.slots
        self.queue: deque[SharedVisit] = deque()
        self.in_service = 0
        self.visit_of: dict[Visitor, SharedVisit] = {}  # with a core, in order of start

    def serving(self) -> int:
        """Visits that have a core."""
        return self.in_service

    def join(self, attempt: Visitor, demand_s: float) -> Event:
        """Take a slot, or queue for one."""
        self.admit(attempt)
        visit = SharedVisit(attempt, demand_s, self)
        if self.free_slots:
            self.free_slots -= 1
            self.cores.run(visit)
        else:
            self.queue.append(visit)
        return visit.done

    def started(self, visit: SharedVisit) -> None:
        """The host gave a core to this visit."""
        self.count()
        self.in_service += 1
        self.visits += 1
        self.wait_s += self.clock.now - visit.joined_s
        self.visit_of[visit.attempt] = visit

    def leave(self, attempt: Visitor) -> None:
        """Give back core and slot."""
        super().leave(attempt)
        self.in_service -= 1
        self.cores.release(self.visit_of.pop(attempt))
        if self.queue:
            self.cores.run(self.queue.popleft())
        else:
            self.free_slots += 1

    def crash(self) -> list[Visitor]:
        """Give back all cores and slots (rule 8)."""
        assert self.present is not None
        self.count()
        served = list(self.visit_of)
        waiting = [visit.attempt for visit in self.queue]
        self.queue.clear()
        held = [self.visit_of[attempt] for attempt in served]
        self.visit_of.clear()
        self.present.clear()
        self.here = self.in_service = 0
        self.free_slots = self.slots
        for_core = self.cores.forget(self)
        for visit in held:
            self.cores.release(visit)
        return served + for_core + waiting


class Sharing(StationState):
    """Processor sharing on a machine of its own: no slots, no queue (rule 4)."""

    def __init__(self, clock: Clock, station: Station, keeps_order: bool) -> None:
        super().__init__(clock, station, keeps_order)
        self.cores = SharedCores(clock, Host(station.name, station.slots, discipline="ps"))
        self.visit_of: dict[Visitor, SharedVisit] = {}

    def join(self, attempt: Visitor, demand_s: float) -> Event:
        """Share the cores from now on."""
        self.admit(attempt)
        visit = SharedVisit(attempt, demand_s, self)
        self.visit_of[attempt] = visit
        self.cores.run(visit)
        return visit.done

    def started(self, visit: SharedVisit) -> None:
        """Count the visit."""
        self.visits += 1

    def leave(self, attempt: Visitor) -> None:
        """Count what sharing added to the demand."""
        super().leave(attempt)
        visit = self.visit_of.pop(attempt)
        self.wait_s += self.clock.now - visit.joined_s - visit.demand_s

    def crash(self) -> list[Visitor]:
        """Drop all visits."""
        assert self.present is not None
        self.count()
        lost = list(self.present)
        for attempt in lost:
            self.cores.release(self.visit_of.pop(attempt))
        self.here = 0
        self.present.clear()
        return lost
