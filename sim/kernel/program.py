"""A StackModel translated into the kernel's arrays."""

import math
from typing import Any

import numpy as np

from sim import draws
from sim.kernel import layout as at
from sim.kernel.draws import DETERMINISTIC, EMPIRICAL, EXPONENTIAL, LOGNORMAL
from sim.kernel.layout import World
from sim.model.parts import BALANCINGS, CacheRestart, Crash, Drain, Group, ReplicaSet
from sim.model.stack import StackModel
from sim.model.steps import (
    Delay,
    Fill,
    Guard,
    Hold,
    Invalidate,
    Limit,
    Lookup,
    Replicate,
    Spawn,
    Step,
    Visit,
)

UNLIMITED = 2**62


class Program:
    """Routes as instructions, parts as numbers."""

    def __init__(self, model: StackModel, seed: int) -> None:
        self.model, self.seed = model, seed
        self.station = {s.name: i for i, s in enumerate(model.stations)}
        self.group = {g.name: i for i, g in enumerate(model.groups)}
        self.set = {s.name: i for i, s in enumerate(model.replica_sets)}
        self.family = {f.name: i for i, f in enumerate(model.families)}
        self.limit = {limit.name: i for i, limit in enumerate(model.limits)}
        self.breaker = {b.name: i for i, b in enumerate(model.breakers)}
        self.members: list[int] = []
        self.first_member: dict[str, int] = {}
        sets: tuple[Group | ReplicaSet, ...] = (*model.groups, *model.replica_sets)
        for each in sets:
            self.first_member[each.name] = len(self.members)
            self.members += [self.station[name] for name in each.members]
        self.pools: list[int] = []  # sizes
        self.pool_at: dict[str, int] = {}
        self.pool_group = {pool.name: pool.group for pool in model.pools}
        sizes = {group.name: len(group.members) for group in model.groups}
        for pool in model.pools:
            self.pool_at[pool.name] = len(self.pools)
            self.pools += [pool.size] * (1 if pool.group is None else sizes[pool.group])
        self.code: list[dict[str, Any]] = []
        self.tables: list[float] = []
        self.agenda: list[tuple[int, int, int]] = []
        self.variants = [1] * len(model.families)
        self.jobs: list[tuple[int, tuple[Step, ...]]] = []  # SPAWNs whose steps come later
        self.widest = 4  # attempts that one event can start, at most
        self.start = {route.operation: self._route(route.steps) for route in model.routes}

    # Instructions

    def _emit(self, op: int, a: int = 0, b: int = 0, c: int = 0, d: int = 0) -> int:
        self.code.append({"op": op, "a": a, "b": b, "c": c, "d": d})
        return len(self.code) - 1

    def _draws(self, pc: int, demand: draws.Demand, component: str, visit: int) -> None:
        base = draws.stream_base(self.seed, component)
        row = self.code[pc]
        row.update(visit=visit, base=base, stream=draws.stream(base, visit))
        if demand.distribution == "empirical":
            row.update(kind=EMPIRICAL, table_at=len(self.tables))
            row["table_last"] = len(demand.quantiles_s) - 1
            self.tables += demand.quantiles_s
        elif demand.mean_s == 0 or demand.distribution == "deterministic":
            row.update(kind=DETERMINISTIC, p0=demand.mean_s)
        elif demand.distribution == "exponential":
            row.update(kind=EXPONENTIAL, p0=demand.mean_s)
        else:
            mu, sigma = demand.lognormal_parameters()
            row.update(kind=LOGNORMAL, p0=mu, p1=sigma)

    def _route(self, steps: tuple[Step, ...]) -> int:
        start = len(self.code)
        self._steps(steps)
        self._emit(at.END)
        while self.jobs:
            pc, job_steps = self.jobs.pop()
            self.code[pc]["a"] = len(self.code)
            self._steps(job_steps)
            self._emit(at.END)
        return start

    def _steps(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if isinstance(step, Visit):
                self._visit(step)
            elif isinstance(step, Delay):
                pc = self._emit(at.DELAY)
                self._draws(pc, step.demand, step.component, step.visit)
            elif isinstance(step, Lookup):
                self._lookup(step)
            elif isinstance(step, Hold):
                group = self.pool_group[step.pool]
                replica_of = -1 if group is None else self.group[group]
                self._emit(at.TAKE, self.pool_at[step.pool], replica_of)
                self._steps(step.steps)
                self._emit(at.GIVE)
            elif isinstance(step, Guard):
                self._emit(at.ENTER, self.breaker[step.breaker])
                self._steps(step.steps)
                self._emit(at.EXIT)
            elif isinstance(step, Replicate):
                self._replicate(step)
            else:
                self._at_once(step)

    def _at_once(self, step: Fill | Invalidate | Limit | Spawn) -> None:
        if isinstance(step, Fill):
            family = self.family[step.family]
            self.variants[family] = max(self.variants[family], step.variant + 1)
            self._emit(at.FILL, family, step.variant)
        elif isinstance(step, Invalidate):
            group = -1 if step.everything else step.first_group
            by_user = int(step.by == "user")
            self._emit(at.INVALIDATE, self.family[step.family], group, step.modulus, by_user)
        elif isinstance(step, Limit):
            self._emit(at.LIMITED, self.limit[step.limit])
        else:
            self.jobs.append((self._emit(at.SPAWN), step.steps))
            self.widest += 1

    def _visit(self, step: Visit) -> None:
        if step.target in self.station:
            pc = self._emit(at.VISIT, self.station[step.target])
        elif step.target in self.group:
            pc = self._emit(at.VISIT_GROUP, self.group[step.target])
        else:
            secondary = int(step.prefer == "secondary")
            pc = self._emit(at.VISIT_MEMBER, self.set[step.target], secondary)
        self._draws(pc, step.demand, step.component, step.visit)

    def _lookup(self, step: Lookup) -> None:
        family = self.family[step.family]
        self.variants[family] = max(self.variants[family], step.variant + 1)
        pc = self._emit(at.LOOKUP, family, step.variant)
        self._steps(step.hit)
        jump = self._emit(at.JUMP)
        self.code[pc]["c"] = len(self.code)
        self._steps(step.miss)
        self.code[jump]["a"] = len(self.code)

    def _replicate(self, step: Replicate) -> None:
        """The write, then a jump over one job of four instructions per member."""
        members = self.model.replica_sets[self.set[step.replica_set]].members
        pc = self._emit(at.REPLICATE, self.set[step.replica_set])
        jump = self._emit(at.JUMP)
        self.code[pc]["b"] = len(self.code)
        for place, member in enumerate(members):
            delay = self._emit(at.DELAY)
            self._draws(delay, step.lag, step.component, step.visit + 2 * place)
            visit = self._emit(at.VISIT, self.station[member])
            self._draws(visit, step.apply, step.component, step.visit + 2 * place + 1)
            self._emit(at.APPLIED, self.set[step.replica_set], place)
            self._emit(at.END)
        self.code[jump]["a"] = len(self.code)
        self.widest += len(members)

    # Parts

    def world(self, attempts: int) -> World:
        """Arrays for a run that starts empty at time 0, with memory for so many attempts."""
        model = self.model
        free_s = np.zeros(sum(s.slots for s in model.stations))
        stations, hosts = self._stations()
        groups, sets = self._groups(), self._sets()
        families, cells, flights, generations = self._families()
        limits, buckets = self._limits()
        disruptions = self._plan()
        scalers = self._scalers()
        for i, members in enumerate(model.replica_sets):
            sets[i]["agenda"] = self._remember(at.ELECTION, i)
            for place, member in enumerate(members.members):
                stations[self.station[member]]["set"] = i
                stations[self.station[member]]["place"] = place
        for i in range(hosts.size):
            hosts[i]["agenda"] = self._remember(at.SHARED_END, i)
        breakers = np.zeros(len(model.breakers), at.BREAKER)
        for row, breaker in zip(breakers, model.breakers, strict=True):
            row["limit"], row["slow_s"] = breaker.failures, breaker.slow_s
            row["open_s"] = breaker.open_s
        pools = np.zeros(len(self.pools), at.POOL)
        pools["free"], pools["first"], pools["last"] = self.pools, -1, -1
        sharing = int(hosts["shares"].sum()) if hosts.size else 0
        world = World(
            g=self._globals(),
            code=self._code(),
            tables=np.array(self.tables or [0.0]),
            stations=stations,
            free_s=free_s,
            hosts=hosts,
            groups=groups,
            members=np.array(self.members or [0], np.int32),
            member_pools=np.arange(max(1, len(self.pools)), dtype=np.int32),
            sets=sets,
            applied=np.zeros(max(1, len(self.members)), np.int64),
            last_write=np.zeros(max(1, sum(s.keys for s in model.replica_sets)), np.int64),
            pools=pools,
            families=families,
            generations=generations,
            cells=cells,
            flights=flights,
            limits=limits,
            buckets=buckets,
            breakers=breakers,
            scalers=scalers,
            booting=np.zeros(max(1, len(self.members)), np.int8),
            agenda=np.array(self.agenda or [(-1, 0, 0)], at.AGENDA),
            actions=np.zeros(64, at.ACTION),
            heap=np.zeros(0, at.EVENT),
            jobs=np.zeros((sharing, 0), at.JOB),
            attempts=np.zeros(0, at.ATTEMPT),
            picked=np.zeros((0, len(model.groups)), np.int32),
            stamps=np.zeros((0, len(model.families)), np.int64),
            scratch=np.zeros(0, np.int64),
            histogram=np.zeros(0, np.int64),
        )
        world = with_attempts(world, max(attempts, 2 * self.widest))
        world = with_events(world)
        self._schedule(world, disruptions)
        return world

    def _code(self) -> Any:
        code = np.zeros(len(self.code), at.CODE)
        for row, fields in zip(code, self.code, strict=True):
            for name, value in fields.items():
                row[name] = value
        return code

    def _globals(self) -> Any:
        g = np.zeros(1, at.GLOBAL)
        client = self.model.client
        g["free"] = g["timer_first"] = g["timer_last"] = -1
        for name in ("timeout_s", "retries", "backoff_s", "backoff_cap_s", "budget_fraction"):
            g[name] = getattr(client, name)
        g["jitter"], g["cancels"] = client.jitter, client.cancels
        g["budget"] = g["budget_cap"] = client.budget_cap
        g["retry_base"] = draws.stream_base(self.seed, "retry")
        g["widest"] = self.widest
        return g

    def _stations(self) -> tuple[Any, Any]:
        model = self.model
        stations = np.zeros(len(model.stations), at.STATION)
        host_at = {host.name: i for i, host in enumerate(model.hosts)}
        sharing = [s for s in model.stations if s.discipline == "ps"]
        hosts = np.zeros(len(model.hosts) + len(sharing), at.HOST)
        hosts["stretch"], hosts["first"], hosts["last"], hosts["pending"] = 1.0, -1, -1, -1
        for i, host in enumerate(model.hosts):
            hosts[i]["cores"], hosts[i]["shares"] = host.cores, host.discipline == "ps"
            hosts[i]["stretch"] = 1.0 / (1.0 - host.background_fraction)
        for i, station in enumerate(sharing, len(model.hosts)):
            hosts[i]["cores"], hosts[i]["shares"] = station.slots, True
            host_at[f"own machine of {station.name}"] = i
        hosts["row"] = np.cumsum(hosts["shares"]) - 1
        free_at = 0
        for row, station in zip(stations, model.stations, strict=True):
            row["slots"] = row["free_slots"] = station.slots
            row["limit"] = UNLIMITED
            if station.queue_limit is not None:
                row["limit"] = station.slots + station.queue_limit
            row["active"] = row["eligible"] = 1
            row["first"] = row["last"] = row["set"] = row["host"] = -1
            row["free_at"] = free_at
            free_at += station.slots
            if station.discipline == "ps":
                row["kind"] = at.SHARING
                row["host"] = host_at[f"own machine of {station.name}"]
            elif station.host is not None:
                row["kind"], row["host"] = at.HOSTED, host_at[station.host]
        return stations, hosts

    def _groups(self) -> Any:
        groups = np.zeros(len(self.model.groups), at.GROUP)
        for row, group in zip(groups, self.model.groups, strict=True):
            row["policy"] = BALANCINGS.index(group.policy)
            row["first"], row["count"] = self.first_member[group.name], len(group.members)
            row["base"] = draws.stream_base(self.seed, f"{group.name}:balance")
        return groups

    def _sets(self) -> Any:
        sets = np.zeros(len(self.model.replica_sets), at.SET)
        keys_at = 0
        for row, members in zip(sets, self.model.replica_sets, strict=True):
            row["first"], row["count"] = self.first_member[members.name], len(members.members)
            row["parked"] = row["parked_last"] = -1
            row["election_s"], row["keys"], row["keys_at"] = (
                members.election_s,
                members.keys,
                keys_at,
            )
            keys_at += members.keys
        return sets

    def _families(self) -> tuple[Any, Any, Any, Any]:
        families = np.zeros(len(self.model.families), at.FAMILY)
        cells = flights = generations = 0
        sizes = {group.name: len(group.members) for group in self.model.groups}
        for row, family, variants in zip(families, self.model.families, self.variants, strict=True):
            row["ttl_s"], row["keys"], row["variants"] = family.ttl_s, family.keys, variants
            row["by_user"], row["coalesce"] = family.keyed_by == "user", family.coalesce
            row["keys_per_group"] = family.keys_per_group
            row["group"] = -1 if family.flights_per is None else self.group[family.flights_per]
            row["cells_at"], row["flights_at"], row["generations_at"] = cells, flights, generations
            cells += family.keys * variants
            generations += family.groups
            if family.coalesce:
                replicas = 1 if family.flights_per is None else sizes[family.flights_per]
                flights += family.keys * variants * replicas
        flight_rows = np.zeros(max(1, flights), at.FLIGHT)
        flight_rows["leader"] = -1
        return (
            families,
            np.zeros(max(1, cells), at.CELL),
            flight_rows,
            np.zeros(max(1, generations), np.int64),
        )

    def _limits(self) -> tuple[Any, Any]:
        limits = np.zeros(len(self.model.limits), at.LIMIT)
        bursts: list[Any] = [np.ones(1)]
        first = 1
        for row, limit in zip(limits, self.model.limits, strict=True):
            users = limit.users if limit.per == "user" else 1
            row["rate_per_s"], row["burst"] = limit.rate_per_s, limit.burst
            row["users"], row["at"] = users, first
            bursts.append(np.full(users, limit.burst))
            first += users
        buckets = np.zeros(first, at.BUCKET)
        buckets["tokens"] = np.concatenate(bursts)
        return limits, buckets

    # What is known to happen

    def _remember(self, kind: int, a: int = 0, b: int = 0) -> int:
        self.agenda.append((kind, a, b))
        return len(self.agenda) - 1

    def _plan(self) -> list[tuple[float, int]]:
        """Times and rows of all disruptions, in the order in which they are scheduled."""
        planned: list[tuple[float, int]] = []

        def plan(time_s: float, kind: int, a: int = 0) -> None:
            if time_s < math.inf:
                planned.append((time_s, self._remember(kind, a)))

        for each in self.model.disruptions:
            if isinstance(each, Crash):
                station = self.station[each.station]
                plan(each.from_s, at.CRASH, station)
                plan(each.from_s + each.detect_s, at.DETECTED, station)
                plan(each.until_s, at.RECOVERED, station)
            elif isinstance(each, Drain):
                plan(each.from_s, at.DRAINED, self.station[each.station])
                plan(each.until_s, at.UNDRAINED, self.station[each.station])
            elif isinstance(each, CacheRestart):
                plan(each.from_s, at.CACHE_DOWN)
                plan(each.until_s, at.CACHE_UP)
        return planned

    def _scalers(self) -> Any:
        scalers = np.zeros(len(self.model.autoscalers), at.SCALER)
        for i, (row, scaler) in enumerate(zip(scalers, self.model.autoscalers, strict=True)):
            first = self.first_member[scaler.group]
            row["group"], row["target"] = self.group[scaler.group], scaler.target_fraction
            row["low"], row["high"] = scaler.min_replicas, scaler.max_replicas
            for name in ("period_s", "boot_s", "cooldown_s"):
                row[name] = getattr(scaler, name)
            row["agenda"] = self._remember(at.EVALUATION, i)
            for place in range(len(self.model.groups[self.group[scaler.group]].members)):
                self._remember(at.BOOTED, i, first + place)
        return scalers

    def _schedule(self, world: World, disruptions: list[tuple[float, int]]) -> None:
        g, events = world.g[0], list(disruptions)
        for row, scaler in zip(world.scalers, self.model.autoscalers, strict=True):
            events.append((scaler.period_s, int(row["agenda"])))
            first = self.first_member[scaler.group]
            for place in range(scaler.initial, int(world.groups[row["group"]]["count"])):
                station = world.stations[self.members[first + place]]
                station["active"] = station["eligible"] = 0
        ordered = sorted(enumerate(events), key=lambda each: (each[1][0], each[0]))
        for place, (seq, (time_s, row)) in enumerate(ordered):  # sorted, hence a heap
            world.heap[place] = (time_s, seq, -1 - row)
        g["heap"] = len(events)
        g["arrival_seq"] = len(events)
        g["seq"] = len(events) + 1


def with_attempts(world: World, attempts: int) -> World:
    """The world with memory for more attempts."""
    old = world.attempts.size
    more = np.zeros(attempts - old, at.ATTEMPT)
    more["pending"], more["station"] = -1, -1
    more["next"] = np.arange(old + 1, attempts + 1)
    more["next"][-1] = world.g[0]["free"]
    world.g[0]["free"] = old
    world.g[0]["spare"] += attempts - old

    def longer(array: Any) -> Any:
        extra = np.zeros((attempts - old, *array.shape[1:]), array.dtype)
        return np.concatenate([array, extra])

    jobs = np.zeros((world.jobs.shape[0], attempts), at.JOB)
    jobs[:, :old] = world.jobs[:, :old]
    return world._replace(
        attempts=np.concatenate([world.attempts, more]),
        picked=longer(world.picked),
        stamps=longer(world.stamps),
        scratch=np.zeros(attempts, np.int64),
        jobs=jobs,
    )


def with_events(world: World) -> World:
    """The world with memory for more events than it can have pending soon."""
    used = int(world.g[0]["heap"])
    heap = np.zeros(2 * (used + world.attempts.size) + world.agenda.size + 128, at.EVENT)
    heap[:used] = world.heap[:used]
    return world._replace(heap=heap)


def with_actions(world: World) -> World:
    """The world with room for twice the autoscaler actions."""
    empty = np.zeros(world.actions.size, at.ACTION)
    return world._replace(actions=np.concatenate([world.actions, empty]))
