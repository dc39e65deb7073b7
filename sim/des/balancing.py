"""Who serves a visit: the balancer of a group, the members of a replica set."""

from simpy.events import Event

from sim.des.attempts import Attempt
from sim.des.clock import Clock
from sim.des.servers import Refused, StationState
from sim.draws import uniform
from sim.model.parts import Group, ReplicaSet
from sim.model.run import Outcome


class Balancer:
    """Gives each attempt one replica of a group, for all its visits to the group."""

    def __init__(self, group: Group, stations: dict[str, StationState], seed: int) -> None:
        self.name = group.name
        self.members = [stations[name] for name in group.members]
        self.draw = f"{group.name}:balance"
        self.seed = seed
        self.turn = 0
        self._choose = {
            "round_robin": self._round_robin,
            "least_connections": self._least_connections,
            "power_of_two": self._power_of_two,
        }[group.policy]

    def station_for(self, attempt: Attempt) -> StationState:
        """The replica that the attempt holds, chosen at its first visit; or Refused."""
        station = attempt.replicas.get(self.name)
        if station is None:
            station = self._choose(attempt)
            station.connections += 1
            attempt.replicas[self.name] = station
        return station

    def _round_robin(self, attempt: Attempt) -> StationState:
        for offset in range(len(self.members)):
            place = (self.turn + offset) % len(self.members)
            if self.members[place].eligible:
                self.turn = (place + 1) % len(self.members)
                return self.members[place]
        raise Refused(Outcome.FAILED)

    def _least_connections(self, attempt: Attempt) -> StationState:
        eligible = [member for member in self.members if member.eligible]
        if not eligible:
            raise Refused(Outcome.FAILED)
        fewest = min(member.connections for member in eligible)
        tied = [member for member in eligible if member.connections == fewest]
        if len(tied) > 1:  # nginx's smooth round robin among those
            for member in tied:
                member.credit += 1
            best = max(tied, key=lambda member: member.credit)
            best.credit -= len(tied)
            return best
        return tied[0]

    def _power_of_two(self, attempt: Attempt) -> StationState:
        eligible = [member for member in self.members if member.eligible]
        count = len(eligible)
        if not count:
            raise Refused(Outcome.FAILED)
        first = int(self._uniform(attempt, 0) * count)
        if count == 1:
            return eligible[first]
        second = int(self._uniform(attempt, 1) * (count - 1))
        second += second >= first
        one, other = eligible[first], eligible[second]
        return other if other.connections < one.connections else one

    def _uniform(self, attempt: Attempt, visit: int) -> float:
        return uniform(self.seed, self.draw, attempt.request, visit, attempt.number)


class Members:
    """A replica set: its primary, its secondaries, and how far each has applied the writes."""

    def __init__(
        self, clock: Clock, replica_set: ReplicaSet, stations: dict[str, StationState]
    ) -> None:
        self.clock = clock
        self.set = replica_set
        self.members = [stations[name] for name in replica_set.members]
        self.primary: StationState | None = self.members[0]
        self.electing = False
        self.parked: list[Event] = []  # who waits for an election
        self.turn = 0
        self.writes = 0
        self.last_write: dict[int, int] = {}
        self.applied = dict.fromkeys(self.members, 0)
        self.stale_reads = 0

    def secondary(self) -> StationState | None:
        """A live secondary, in turn; the primary when there is none."""
        for offset in range(len(self.members)):
            place = (self.turn + offset) % len(self.members)
            member = self.members[place]
            if member is not self.primary and not member.known_down:
                self.turn = (place + 1) % len(self.members)
                return member
        return self.primary

    def wait_for_election(self) -> Event:
        """The event at which there is a primary again."""
        event = Event(self.clock)
        self.parked.append(event)
        return event

    def count_read(self, attempt: Attempt, station: StationState) -> None:
        """Note whether what a read found was out of date."""
        last = self.last_write.get(attempt.key % self.set.keys, 0)
        if station is not self.primary and last > self.applied[station]:
            self.stale_reads += 1

    def crashed(self, station: StationState) -> None:
        """Order an election if the primary died."""
        if station is self.primary:
            self.primary = None
            self._call_election()

    def recovered(self, station: StationState) -> None:
        """A member is back; it may end a time without any."""
        if self.primary is None and not self.electing:
            self._call_election()

    def _call_election(self) -> None:
        self.electing = True
        self.clock.call_at(self.clock.now + self.set.election_s, lambda _: self._elect())

    def _elect(self) -> None:
        self.electing = False
        self.primary = next((member for member in self.members if not member.down), None)
        parked, self.parked = self.parked, []
        for event in parked:
            event.succeed(self.primary is not None)
