"""The memory that a program needs: one array of records per kind of part."""

import math
from typing import Any

import numpy as np

from sim import draws
from sim.kernel import layout as at
from sim.kernel.layout import World
from sim.kernel.program import Program
from sim.model.parts import BALANCINGS, CacheRestart, Crash, Drain

UNLIMITED = 2**62


def empty_world(program: Program, attempts: int) -> World:
    """Arrays for a run that starts empty at time 0, with memory for so many attempts."""
    model = program.model
    free_s = np.zeros(sum(s.slots for s in model.stations))
    stations, hosts = _stations(program)
    groups, sets = _groups(program), _sets(program)
    families, cells, flights, generations = _families(program)
    limits, buckets = _limits(program)
    disruptions = _plan(program)
    scalers = _scalers(program)
    for i, members in enumerate(model.replica_sets):
        sets[i]["agenda"] = program.remember(at.ELECTION, i)
        for place, member in enumerate(members.members):
            stations[program.station[member]]["set"] = i
            stations[program.station[member]]["place"] = place
    for i in range(hosts.size):
        hosts[i]["agenda"] = program.remember(at.SHARED_END, i)
    blocks = np.zeros(at.AHEAD * len(program.code), at.BLOCKS)
    blocks["number"], blocks["uses"] = -1, at.BLOCK
    sharing = int(hosts["shares"].sum()) if hosts.size else 0
    world = World(
        g=_globals(program),
        code=_code(program),
        tables=np.array(program.tables or [0.0]),
        stations=stations,
        free_s=free_s,
        hosts=hosts,
        groups=groups,
        members=np.array(program.members or [0], np.int32),
        member_pools=np.arange(max(1, len(program.pools)), dtype=np.int32),
        sets=sets,
        applied=np.zeros(max(1, len(program.members)), np.int64),
        last_write=np.zeros(max(1, sum(s.keys for s in model.replica_sets)), np.int64),
        pools=_pools(program),
        families=families,
        generations=generations,
        cells=cells,
        flights=flights,
        limits=limits,
        buckets=buckets,
        breakers=_breakers(program),
        scalers=scalers,
        booting=np.zeros(max(1, len(program.members)), np.int8),
        agenda=np.array(program.agenda or [(-1, 0, 0)], at.AGENDA),
        actions=np.zeros(64, at.ACTION),
        heap=np.zeros(0, at.EVENT),
        jobs=np.zeros((sharing, 0), at.JOB),
        attempts=np.zeros(0, at.ATTEMPT),
        picked=np.zeros((0, len(model.groups)), np.int32),
        stamps=np.zeros((0, len(model.families)), np.int64),
        scratch=np.zeros(0, np.int64),
        histogram=np.zeros(0, np.int64),
        blocks=blocks,
        drawn_s=np.zeros((blocks.size, at.BLOCK)),
    )
    world = with_attempts(world, max(attempts, 2 * program.widest))
    world = with_events(world)
    _schedule(program, world, disruptions)
    return world


def _pools(program: Program) -> Any:
    pools = np.zeros(len(program.pools), at.POOL)
    pools["free"], pools["first"], pools["last"] = program.pools, -1, -1
    return pools


def _breakers(program: Program) -> Any:
    breakers = np.zeros(len(program.model.breakers), at.BREAKER)
    for row, breaker in zip(breakers, program.model.breakers, strict=True):
        row["limit"], row["slow_s"] = breaker.failures, breaker.slow_s
        row["open_s"] = breaker.open_s
    return breakers


def _code(program: Program) -> Any:
    code = np.zeros(len(program.code), at.CODE)
    for row, fields in zip(code, program.code, strict=True):
        for name, value in fields.items():
            row[name] = value
    return code


def _globals(program: Program) -> Any:
    g = np.zeros(1, at.GLOBAL)
    client = program.model.client
    g["free"] = g["timer_first"] = g["timer_last"] = -1
    for name in ("timeout_s", "retries", "backoff_s", "backoff_cap_s", "budget_fraction"):
        g[name] = getattr(client, name)
    g["jitter"], g["cancels"] = client.jitter, client.cancels
    g["budget"] = g["budget_cap"] = client.budget_cap
    g["retry_base"] = draws.stream_base(program.seed, "retry")
    g["widest"] = program.widest
    return g


def _stations(program: Program) -> tuple[Any, Any]:
    model = program.model
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


def _groups(program: Program) -> Any:
    groups = np.zeros(len(program.model.groups), at.GROUP)
    for row, group in zip(groups, program.model.groups, strict=True):
        row["policy"] = BALANCINGS.index(group.policy)
        row["first"], row["count"] = program.first_member[group.name], len(group.members)
        row["eligible"] = row["count"]
        row["base"] = draws.stream_base(program.seed, f"{group.name}:balance")
        row["first_draw"] = draws.stream(int(row["base"]), 0)
        row["second_draw"] = draws.stream(int(row["base"]), 1)
    return groups


def _sets(program: Program) -> Any:
    sets = np.zeros(len(program.model.replica_sets), at.SET)
    keys_at = 0
    for row, members in zip(sets, program.model.replica_sets, strict=True):
        row["first"], row["count"] = program.first_member[members.name], len(members.members)
        row["parked"] = row["parked_last"] = -1
        row["election_s"], row["keys"], row["keys_at"] = (
            members.election_s,
            members.keys,
            keys_at,
        )
        keys_at += members.keys
    return sets


def _families(program: Program) -> tuple[Any, Any, Any, Any]:
    model = program.model
    families = np.zeros(len(model.families), at.FAMILY)
    cells = flights = generations = 0
    sizes = {group.name: len(group.members) for group in program.model.groups}
    for row, family, variants in zip(families, model.families, program.variants, strict=True):
        row["ttl_s"], row["keys"], row["variants"] = family.ttl_s, family.keys, variants
        row["by_user"], row["coalesce"] = family.keyed_by == "user", family.coalesce
        row["keys_per_group"] = family.keys_per_group
        row["group"] = -1 if family.flights_per is None else program.group[family.flights_per]
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


def _limits(program: Program) -> tuple[Any, Any]:
    limits = np.zeros(len(program.model.limits), at.LIMIT)
    bursts: list[Any] = [np.ones(1)]
    first = 1
    for row, limit in zip(limits, program.model.limits, strict=True):
        users = limit.users if limit.per == "user" else 1
        row["rate_per_s"], row["burst"] = limit.rate_per_s, limit.burst
        row["users"], row["at"] = users, first
        bursts.append(np.full(users, limit.burst))
        first += users
    buckets = np.zeros(first, at.BUCKET)
    buckets["tokens"] = np.concatenate(bursts)
    return limits, buckets


def _plan(program: Program) -> list[tuple[float, int]]:
    """Times and rows of all disruptions, in the order in which they are scheduled."""
    planned: list[tuple[float, int]] = []

    def plan(time_s: float, kind: int, a: int = 0) -> None:
        if time_s < math.inf:
            planned.append((time_s, program.remember(kind, a)))

    for each in program.model.disruptions:
        if isinstance(each, Crash):
            station = program.station[each.station]
            plan(each.from_s, at.CRASH, station)
            plan(each.from_s + each.detect_s, at.DETECTED, station)
            plan(each.until_s, at.RECOVERED, station)
        elif isinstance(each, Drain):
            plan(each.from_s, at.DRAINED, program.station[each.station])
            plan(each.until_s, at.UNDRAINED, program.station[each.station])
        elif isinstance(each, CacheRestart):
            plan(each.from_s, at.CACHE_DOWN)
            plan(each.until_s, at.CACHE_UP)
    return planned


def _scalers(program: Program) -> Any:
    scalers = np.zeros(len(program.model.autoscalers), at.SCALER)
    for i, (row, scaler) in enumerate(zip(scalers, program.model.autoscalers, strict=True)):
        first = program.first_member[scaler.group]
        row["group"], row["target"] = program.group[scaler.group], scaler.target_fraction
        row["low"], row["high"] = scaler.min_replicas, scaler.max_replicas
        for name in ("period_s", "boot_s", "cooldown_s"):
            row[name] = getattr(scaler, name)
        row["agenda"] = program.remember(at.EVALUATION, i)
        for place in range(len(program.model.groups[program.group[scaler.group]].members)):
            program.remember(at.BOOTED, i, first + place)
    return scalers


def _schedule(program: Program, world: World, disruptions: list[tuple[float, int]]) -> None:
    g, events = world.g[0], list(disruptions)
    for row, scaler in zip(world.scalers, program.model.autoscalers, strict=True):
        events.append((scaler.period_s, int(row["agenda"])))
        first = program.first_member[scaler.group]
        for place in range(scaler.initial, int(world.groups[row["group"]]["count"])):
            station = world.stations[program.members[first + place]]
            station["active"] = station["eligible"] = 0
        world.groups[row["group"]]["eligible"] = scaler.initial
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
    heap["time_s"] = np.inf
    heap[:used] = world.heap[:used]
    return world._replace(heap=heap)


def with_actions(world: World) -> World:
    """The world with room for twice the autoscaler actions."""
    empty = np.zeros(world.actions.size, at.ACTION)
    return world._replace(actions=np.concatenate([world.actions, empty]))
