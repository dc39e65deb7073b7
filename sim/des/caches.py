"""Cache-aside with generations and single flight."""

from dataclasses import dataclass, field
from typing import Protocol

from simpy.events import Event

from sim.des.clock import Clock
from sim.model.parts import CacheFamily


class Asker(Protocol):
    """What a cache has to know of an attempt."""

    key: int
    user: int
    stamps: dict[str, int]


Entry = tuple[int, int]  # variant, key
FlightKey = tuple[int, int, int, int]  # replica, variant, key, stamp


@dataclass(eq=False)
class Flight:
    """One attempt fetching a missing entry, and those who wait for it."""

    family: "FamilyState"
    where: FlightKey
    waiting: list[Event] = field(default_factory=list)

    def land(self, good: bool) -> None:
        """The entry is filled, or never will be: let the waiting go on, first come first."""
        if self.family.flights.get(self.where) is self:
            del self.family.flights[self.where]
        for event in self.waiting:
            event.succeed(good)


class FamilyState:
    """Entries of one key family, replayed key by key."""

    def __init__(self, clock: Clock, family: CacheFamily) -> None:
        self.clock = clock
        self.family = family
        self.expires_s: dict[Entry, float] = {}
        self.stored_stamp: dict[Entry, int] = {}
        self.generation = [0] * family.groups
        self.epoch = 0
        self.flights: dict[FlightKey, Flight] = {}
        self.hits = self.misses = self.coalesced = 0

    def key_of(self, attempt: Asker) -> int:
        """The cached key that an attempt asks for."""
        asked = attempt.user if self.family.keyed_by == "user" else attempt.key
        return asked % self.family.keys

    def stamp(self, key: int) -> int:
        """Number that grows whenever this key is invalidated."""
        return self.generation[key // self.family.keys_per_group] + self.epoch

    def holds(self, entry: Entry, stamp: int) -> bool:
        """Whether an entry is stored, alive and not invalidated."""
        alive = self.clock.now < self.expires_s.get(entry, 0.0)
        return alive and self.stored_stamp[entry] == stamp

    def fill(self, attempt: Asker, variant: int) -> None:
        """Store the attempt's key, unless it was invalidated since the attempt's lookup."""
        key = self.key_of(attempt)
        stamp = self.stamp(key)
        if attempt.stamps.get(self.family.name, stamp) != stamp:
            return  # it would take the place of what was read since
        self.expires_s[variant, key] = self.clock.now + self.family.ttl_s
        self.stored_stamp[variant, key] = stamp

    def invalidate(self, group: int | None) -> None:
        """Clear one generation group, or (None) everything."""
        if group is None:
            self.epoch += 1
        else:
            self.generation[group] += 1
