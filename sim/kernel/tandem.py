"""The short way: FIFO stations in a row need no events.

When every route visits the same tiers in the same order, once each, and nothing feeds back (no
timeouts, caches, shared hosts, load-dependent balancing, crashes), tier k can be computed for all
requests before tier k + 1: in order of arrival each books the slot that is free first
[kiefer1955], and the next tier takes them in order of departure, equals in order of booking. That
is the order of events of `sim.model.stack`, so the times are those of the event loop to the bit.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from sim.kernel import draws
from sim.kernel.booking import occupy
from sim.kernel.compiled import SOURCES, compiled, entry
from sim.kernel.memory import empty_world
from sim.kernel.program import Program
from sim.model.parts import Client
from sim.model.run import FamilyLookups, SimulatedRun, load_of
from sim.model.stack import StackModel
from sim.model.steps import Visit
from sim.workload.trace import Trace

# A departure is put in its place among those before it; with more slots than this per tier,
# moving the others costs more than a heap does.
MOST_SLOTS = 64
DRAWN_AT_ONCE = 1024


def is_tandem(model: StackModel) -> bool:
    """Whether the short way applies to a model."""
    plain = not (model.hosts or model.autoscalers or model.disruptions)
    patient = model.client.timeout_s == Client().timeout_s
    steps = [step for route in model.routes for step in route.steps]
    if not (plain and patient and all(isinstance(step, Visit) for step in steps)):
        return False
    rows = {tuple(step.target for step in route.steps) for route in model.routes}  # type: ignore[union-attr]
    if len(rows) != 1 or not next(iter(rows)):
        return False
    targets = next(iter(rows))
    tiers = [_members(model, target) for target in targets]
    if any(tier is None for tier in tiers):
        return False
    visited = [name for tier in tiers for name in tier or ()]
    stations = {station.name: station for station in model.stations}
    return (
        len(visited) == len(set(visited))
        and all(
            stations[name].discipline == "fifo" and stations[name].queue_limit is None
            for name in visited
        )
        and all(sum(stations[name].slots for name in tier or ()) <= MOST_SLOTS for tier in tiers)
    )


def _members(model: StackModel, target: str) -> tuple[str, ...] | None:
    for group in model.groups:
        if group.name == target:
            return group.members if group.policy == "round_robin" else None
    return (target,) if target in {station.name for station in model.stations} else None


@compiled
def _draw(request: Any, operation: Any, step_of: Any, code: Any, tables: Any, drawn_s: Any) -> None:
    """Demands of some requests. Exponential ones without a branch, so that they go in parallel."""
    first = code[step_of[0]]
    if step_of.size == 1 and first.kind == draws.EXPONENTIAL:
        start, mean_s = first.stream, first.p0
        for i in range(request.size):
            drawn_s[i] = -(mean_s * draws.log_of(draws.uniform(start, request[i])))
        return
    for i in range(request.size):
        step = code[step_of[operation[request[i]]]]
        u = draws.uniform(step.stream, request[i])
        drawn_s[i] = draws.demand(
            u, step.kind, step.p0, step.p1, tables, step.table_at, step.table_last
        )


def _build(sources: str) -> Callable[..., None]:
    """The compiled pass; see `sim.kernel.compiled.SOURCES`."""

    @entry
    def pass_tier(
        time_s: Any, request: Any, operation: Any, step_of: Any, code: Any, tables: Any,
        slots: Any, free_at: Any, free_s: Any, wait_s: Any, busy_s: Any, visits: Any, drawn_s: Any,
    ) -> None:  # fmt: skip
        """Replace arrivals at a tier, in order, by departures from it, in order.

        Args:
            time_s, request: of the visits in order of arrival; overwritten.
            operation: of each request. step_of: row of `code` for each operation.
            code, tables: as in `layout`.
            slots, free_at, free_s: per replica its slots, and where its heap of free times is.
            wait_s, busy_s, visits: accounts per replica; added to.
            drawn_s: memory for the demands of as many visits as are drawn at once.
        """
        if len(sources) == 0:
            return
        place = 0
        for i in range(time_s.size):
            if i % drawn_s.size == 0:
                _draw(request[i : i + drawn_s.size], operation, step_of, code, tables, drawn_s)
            now, r = time_s[i], request[i]
            demand_s = drawn_s[i % drawn_s.size]
            at, count = free_at[place], slots[place]
            start = max(now, free_s[at])
            end = start + demand_s
            occupy(free_s, at, count, end)
            wait_s[place] += start - now
            busy_s[place] += demand_s
            visits[place] += 1
            place = place + 1 if place + 1 < slots.size else 0
            j = i
            while j > 0 and time_s[j - 1] > end:
                time_s[j] = time_s[j - 1]
                request[j] = request[j - 1]
                j -= 1
            time_s[j] = end
            request[j] = r

    return pass_tier


pass_tier = _build(SOURCES)


def simulate_tandem(model: StackModel, trace: Trace, seed: int) -> SimulatedRun:
    """`simulate` for a model that `is_tandem`."""
    program = Program(model, seed)
    world = empty_world(program, attempts=1)
    requests = len(trace)
    time_s = np.array(trace.arrival_s, np.float64)
    order = np.arange(requests)
    first = np.array([program.start.get(name, 0) for name in trace.operations] or [0])
    drawn_s = np.zeros(DRAWN_AT_ONCE)
    loads: dict[str, tuple[int, float, float]] = {}
    operation = np.ascontiguousarray(trace.operation, np.int16)
    for tier, step in enumerate(model.routes[0].steps):
        assert isinstance(step, Visit)
        names = _members(model, step.target) or ()
        slots = np.array([world.stations[program.station[name]]["slots"] for name in names])
        free_at = np.array([world.stations[program.station[name]]["free_at"] for name in names])
        wait_s, busy_s = np.zeros(len(names)), np.zeros(len(names))
        visits = np.zeros(len(names), np.int64)
        pass_tier(
            time_s, order, operation, first + tier, world.code, world.tables,
            slots, free_at, world.free_s, wait_s, busy_s, visits, drawn_s,
        )  # fmt: skip
        for i, name in enumerate(names):
            loads[name] = (int(visits[i]), float(busy_s[i]), float(wait_s[i]))
    end_s = float(time_s[-1]) if requests else 0.0
    sojourn_s = np.empty(requests)
    sojourn_s[order] = time_s
    sojourn_s -= trace.arrival_s
    stations = []
    for station in model.stations:
        count, busy, wait = loads.get(station.name, (0, 0.0, 0.0))
        stations.append(
            load_of(station.name, station.slots, end_s, (count, count), busy_s=busy, wait_s=wait)
        )
    return SimulatedRun(
        sojourn_s=sojourn_s,
        outcome=np.zeros(requests, np.int8),
        cache_outcome=np.zeros(requests, np.int8),
        attempts=np.ones(requests, np.int16),
        end_s=end_s,
        stations=tuple(stations),
        families=tuple(FamilyLookups(family.name, 0, 0, 0) for family in model.families),
        host_utilisation={},
    )
