"""A whole stack as data, and the rules by which time passes in it.

Both engines (`sim.des`, readable; `sim.kernel`, compiled) follow these rules to the letter, so that
one (model, trace, seed) gives one result.

**Order of events.** Pending events are ordered by (time, order of scheduling). What takes no time
is done at once, in program order, inside the event that caused it. In particular:

1. An arrival schedules the next arrival of the trace, then its request takes its first steps.
2. A FIFO station without a host is booked on arrival: it starts at max(now, earliest free slot) and
   its end is scheduled at once. A visit that finds `slots + queue_limit` visits there is rejected.
3. A visit on a host takes a slot of its station (FIFO), then a core of the host (FIFO; or at once,
   to share the cores, when the host is ps), holds both, and its end is scheduled when it gets the
   core. At the end it gives back the core, which starts the first waiting visit, then the slot,
   which the station's first waiting visit takes, asking for a core in turn; then it goes on.
4. Processor sharing serves n visits at rate min(1, cores / n) each. Its next end is scheduled anew
   at each change; at that end the visit with the least work left (ties: first to come) leaves, the
   next end is scheduled, and an event at the same time lets the visit go on.
5. Whoever waits for something other than a server (connection, another attempt's cache fill, an
   election) goes on by an event scheduled, at the same time, by whoever lets it go; first come,
   first served. Jobs (`Spawn`, `Replicate`) start by such an event too.
6. An attempt's timeout is scheduled before its first step. When it fires on an attempt still
   under way, the attempt is abandoned: it goes on (or, with `client.cancels`, stops at its next
   step), but its request retries or ends.
7. An attempt that ends, well or not, gives back its connection, reports to its breaker (failure),
   fails those who wait for its cache fill, and leaves its replicas, in this order; then its
   request ends or schedules its retry, unless abandoned.
8. Disruptions, autoscaler evaluations and elections are events; those known from the start are
   scheduled before the first arrival: disruptions in order (begin, detection, end of each), then
   the autoscalers. A crash marks the station, orders the election, gives back the cores of the
   visits it was serving in their order of start, and then all attempts there fail at once, those
   served first, by order of start, those waiting for a core next, those waiting for a slot last.
9. A `Beat` schedules its end at the first multiple of its length that is not past.
10. The run ends when the last request of the trace has ended; jobs and abandoned attempts are cut.
11. A closed user whose request ended thinks, and the next request of that user is scheduled at once
    for the time at which thinking ends, if that is before the end of the users' trace.

**Randomness.** Each draw is `sim.draws.uniform(seed, component, request, visit, attempt)`.

**Left out on purpose.** Network bandwidth, memory (a cache never evicts), clock skew, and
a server's speed depending on its load.

Assumes: demands are independent of each other and of the load; a station serves in order of arrival
    or shares equally; a host's cores are alike; what is listed as left out does not matter.
Lies when: servers slow down under load (garbage collection, memory, caches of the processor); the
    network is full; a slow request is slow at every station alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from sim.errors import require
from sim.model.parts import (
    Autoscaler,
    Breaker,
    CacheFamily,
    CacheRestart,
    Client,
    Disruption,
    Group,
    Host,
    Pool,
    RateLimit,
    ReplicaSet,
    Station,
)
from sim.model.steps import (
    Delay,
    Fill,
    Guard,
    Hold,
    Invalidate,
    Limit,
    Lookup,
    Replicate,
    Route,
    Spawn,
    Step,
    Visit,
    number_draws,
)


@dataclass(frozen=True)
class StackModel:
    """Everything that `simulate` needs beside a trace and a seed.

    Args: tuples of parts, each with unique names; names in steps refer to them. One route per
        operation that the trace asks for.
    Raises: InvalidScenario naming the first reference that leads nowhere or clash of names.

    >>> from sim.draws import Demand
    >>> web = StackModel(stations=(Station("web", 2),), routes=(
    ...     Route("get", (Visit("web", Demand(0.1)),)),))
    >>> web.routes[0].steps[0].visit
    0
    """

    stations: tuple[Station, ...]
    routes: tuple[Route, ...]
    hosts: tuple[Host, ...] = ()
    groups: tuple[Group, ...] = ()
    replica_sets: tuple[ReplicaSet, ...] = ()
    pools: tuple[Pool, ...] = ()
    families: tuple[CacheFamily, ...] = ()
    limits: tuple[RateLimit, ...] = ()
    breakers: tuple[Breaker, ...] = ()
    client: Client = field(default_factory=Client)
    autoscalers: tuple[Autoscaler, ...] = ()
    disruptions: tuple[Disruption, ...] = ()
    draws: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_parts()
        members = {replica_set.name: len(replica_set.members) for replica_set in self.replica_sets}
        routes, draws = number_draws(self.routes, members)
        object.__setattr__(self, "routes", routes)
        object.__setattr__(self, "draws", draws)
        for route in routes:
            self._check_steps(route.steps, f"routes.{route.operation}", frozenset())

    @cached_property
    def route_of(self) -> dict[str, Route]:
        """Route by operation."""
        return {route.operation: route for route in self.routes}

    @property
    def _targets(self) -> list[str]:
        """Names that a Visit can have as its target."""
        return [
            *(station.name for station in self.stations),
            *(group.name for group in self.groups),
            *(replica_set.name for replica_set in self.replica_sets),
        ]

    def _check_parts(self) -> None:
        require(len(self.stations) > 0, "stations", self.stations, "at least one station")
        _unique("stations", self._targets)
        names = {station.name for station in self.stations}
        hosts = _unique("hosts", [host.name for host in self.hosts])
        for part in ("groups", "replica_sets", "pools", "families", "limits", "breakers"):
            _unique(part, [each.name for each in getattr(self, part)])
        _unique("routes", [route.operation for route in self.routes])
        _unique("autoscalers", [scaler.group for scaler in self.autoscalers])
        self._check_references(names, hosts, {g.name: len(g.members) for g in self.groups})

    def _check_references(self, names: set[str], hosts: set[str], groups: dict[str, int]) -> None:
        for station in self.stations:
            if station.host is not None:
                _known(f"stations.{station.name}.host", station.host, hosts)
        sets: tuple[Group | ReplicaSet, ...] = (*self.groups, *self.replica_sets)
        for each in sets:
            _unique(f"{each.name}.members", list(each.members))
            for member in each.members:
                _known(f"{each.name}.members", member, names)
        in_sets = [m for s in self.replica_sets for m in s.members]
        require(
            len(in_sets) == len(set(in_sets)), "replica_sets", in_sets, "a station in one set only"
        )
        for pool in self.pools:
            if pool.group is not None:
                _known(f"pools.{pool.name}.group", pool.group, set(groups))
        for family in self.families:
            if family.flights_per is not None:
                _known(f"families.{family.name}.flights_per", family.flights_per, set(groups))
        for scaler in self.autoscalers:
            _known("autoscalers.group", scaler.group, set(groups))
            size = groups[scaler.group]
            where = f"autoscalers.{scaler.group}.max_replicas"
            require(
                scaler.max_replicas <= size, where, scaler.max_replicas, f"at most {size} members"
            )
        for disruption in self.disruptions:
            if not isinstance(disruption, CacheRestart):
                _known("disruptions.station", disruption.station, names)

    def _check_steps(self, steps: tuple[Step, ...], where: str, inside: frozenset[str]) -> None:
        targets = set(self._targets)
        for position, step in enumerate(steps):
            path = f"{where}[{position}]"
            if isinstance(step, Visit):
                _known(f"{path}.target", step.target, targets)
            elif isinstance(step, Lookup):
                self._check_lookup(step, path, inside)
            elif isinstance(step, Fill | Invalidate):
                _known(f"{path}.family", step.family, {f.name for f in self.families})
                if isinstance(step, Invalidate) and not step.everything:
                    self._check_groups(step, path)
            elif isinstance(step, Hold | Guard):
                kind, name, known = (
                    ("pool", step.pool, {p.name for p in self.pools})
                    if isinstance(step, Hold)
                    else ("breaker", step.breaker, {b.name for b in self.breakers})
                )
                _known(f"{path}.{kind}", name, known)
                require(kind not in inside, path, name, f"no {kind} inside another {kind}")
                self._check_steps(step.steps, path, inside | {kind})
            elif isinstance(step, Limit):
                _known(f"{path}.limit", step.limit, {limit.name for limit in self.limits})
            elif isinstance(step, Replicate):
                _known(f"{path}.replica_set", step.replica_set, {s.name for s in self.replica_sets})
            elif isinstance(step, Spawn):
                self._check_steps(step.steps, path, frozenset())

    def _check_lookup(self, step: Lookup, path: str, inside: frozenset[str]) -> None:
        families = {family.name: family for family in self.families}
        _known(f"{path}.family", step.family, set(families))
        if families[step.family].coalesce:
            fills = [s for s in flattened(step.miss) if isinstance(s, Fill)]
            same = any(f.family == step.family and f.variant == step.variant for f in fills)
            require(same, f"{path}.miss", step.family, "a Fill, for others wait on it")
        self._check_steps(step.hit, f"{path}.hit", inside)
        self._check_steps(step.miss, f"{path}.miss", inside)

    def _check_groups(self, step: Invalidate, path: str) -> None:
        groups = next(f.groups for f in self.families if f.name == step.family)
        last = step.first_group + step.modulus - 1
        fits = step.first_group >= 0 and step.modulus >= 1 and last < groups
        require(fits, path, (step.first_group, step.modulus), f"groups within 0..{groups - 1}")


def flattened(steps: tuple[Step, ...]) -> Iterator[Step]:
    """All steps, those inside others included (jobs excepted), in program order, hits first.

    Args:
        steps: of a route, or of a part of it.
    Returns: each step, then those inside it.
    Source: the definition.

    >>> from sim.model.steps import Beat
    >>> hit, after = Beat(1.0), Beat(2.0)
    >>> [type(step).__name__ for step in flattened((Lookup("pages", hit=(hit,)), after))]
    ['Lookup', 'Beat', 'Beat']
    """
    for step in steps:
        yield step
        if isinstance(step, Lookup):
            yield from flattened(step.hit)
            yield from flattened(step.miss)
        elif isinstance(step, Hold | Guard):
            yield from flattened(step.steps)


def draw_steps(model: StackModel) -> Iterator[Visit | Delay | Replicate]:
    """All steps of a model that draw, in the order of their `index`.

    Args:
        model: the stack.
    Returns: visits, delays and replications, nested ones in their place.
    Source: the order in which `StackModel` numbers them.

    >>> from sim.draws import Demand
    >>> route = Route("get", (Visit("web", Demand(1.0)), Delay(Demand(2.0))))
    >>> model = StackModel((Station("web", 1),), (route,))
    >>> [step.demand.mean_s for step in draw_steps(model)]
    [1.0, 2.0]
    """

    def walk(steps: tuple[Step, ...]) -> Iterator[Visit | Delay | Replicate]:
        for step in steps:
            if isinstance(step, Visit | Delay | Replicate):
                yield step
            elif isinstance(step, Lookup):
                yield from walk(step.hit)
                yield from walk(step.miss)
            elif isinstance(step, Hold | Guard | Spawn):
                yield from walk(step.steps)

    for route in model.routes:
        yield from walk(route.steps)


def _unique(path: str, names: list[str]) -> set[str]:
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, path, twice, "names that occur once")
    return set(names)


def _known(path: str, name: str, known: set[str]) -> None:
    require(name in known, path, name, f"one of {', '.join(sorted(known)) or 'none defined'}")
