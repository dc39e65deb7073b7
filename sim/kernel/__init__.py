"""The compiled engine: the same model as `sim.des`, the same rules, the same results, fast.

- `program`: a StackModel translated into instructions. `memory`: its arrays. `layout`: their form.
- `tandem`: the short way for FIFO stations in a row. `stream`: traces of any length.
- `loop`: the event loop. `events`: the heap. `walking`: attempts on their routes. `servers` and
  `booking`: stations and hosts. `balancing`, `caches`, `protection`, `control`: as in `sim.des`.
- `draws`: one demand. `demands`: many at once.
"""

import numpy as np
from numpy.typing import NDArray

from sim.kernel.layout import MORE_ACTIONS, MORE_ATTEMPTS, MORE_EVENTS, STUCK, Chunk, World
from sim.kernel.memory import empty_world, with_actions, with_attempts, with_events
from sim.kernel.program import Program
from sim.kernel.tandem import is_tandem, simulate_tandem
from sim.model.run import (
    FamilyLookups,
    SimulatedRun,
    check_inputs,
    load_of,
    share_of,
)
from sim.model.stack import StackModel
from sim.model.users import ClosedRun, check_users, sent_of
from sim.workload.trace import Trace
from sim.workload.users import UserTrace

__all__ = ["simulate", "simulate_users"]


def simulate(model: StackModel, trace: Trace, *, seed: int) -> SimulatedRun:
    """Simulate a stack under a trace of requests with the compiled engine.

    Args:
        model: the stack; its rules are those of `sim.model.stack`.
        trace: arrivals, operations, keys and users; may be empty.
        seed: of all demands, 0 … 2^64 - 1; the same in `sim.des.simulate` gives the same run.
    Returns: per request its sojourn and outcome; per part its load.
    Raises: InvalidScenario when the trace is out of order or asks for an operation without route.
    Source: event scheduling as in [banks2010, ch. 3]; equal to `sim.des.simulate`, which a test
        holds.

    >>> from sim.model import Demand, Route, Station, Visit
    >>> second = Demand(1.0, distribution="deterministic")
    >>> model = StackModel((Station("web", 1),), (Route("get", (Visit("web", second),)),))
    >>> zero = np.zeros(2, np.int64)
    >>> trace = Trace(np.array([0.0, 0.5]), ("get",), zero.astype(np.int16), zero, zero)
    >>> simulate(model, trace, seed=1).sojourn_s.tolist()  # the second waits half a second
    [1.0, 1.5]
    """
    check_inputs(model, trace, seed)
    if is_tandem(model):
        return simulate_tandem(model, trace, seed)
    program = Program(model, seed)
    chunk = _chunk(program, trace, trace.arrival_s)
    world = empty_world(program, attempts=256)
    if len(trace):
        world, _ = advanced(world, chunk, 0, last=True)
    return summary(model, world, chunk)


def simulate_users(model: StackModel, users: UserTrace, *, seed: int) -> ClosedRun:
    """Simulate a stack under closed users, who ask again when they were answered.

    Args:
        model: the stack; its rules are those of `sim.model.stack`, rule 11 included.
        users: what each asks for and how long each thinks before.
        seed: of all demands, 0 … 2^64 - 1; the same in `sim.des.simulate_users` gives the same run.
    Returns: the requests that were sent before `users.until_s`, when, and what became of each.
    Raises: InvalidScenario as `simulate` does.
    Source: event scheduling as in [banks2010, ch. 3]; equal to `sim.des.simulate_users`, which a
        test holds.

    >>> from sim.model import Demand, Route, Station, Visit
    >>> second = Demand(1.0, distribution="deterministic")
    >>> model = StackModel((Station("web", 1),), (Route("get", (Visit("web", second),)),))
    >>> zero = np.zeros(2, np.int64)
    >>> visits = Trace(np.array([0.5, 9.0]), ("get",), zero.astype(np.int16), zero, zero)
    >>> one = UserTrace(visits, think_s=np.array([0.5, 0.25]), users=1, until_s=9.0)
    >>> simulate_users(model, one, seed=1).arrival_s.tolist()  # answered at 1.5, then 0.25 s
    [0.5, 1.75]
    """
    check_inputs(model, users.requests, seed)
    check_users(users)
    program = Program(model, seed)
    first_s = users.first_s
    sent_s = np.full(len(users.requests), np.nan)
    sent_s[: first_s.size] = first_s
    chunk = _chunk(program, users.requests, first_s)._replace(
        sent_s=sent_s,
        think_s=np.ascontiguousarray(users.think_s, np.float64),
        users=int(users.users),
        until_s=float(users.until_s),
    )
    world = empty_world(program, attempts=256)
    if first_s.size:
        world, _ = advanced(world, chunk, 0, last=True)
    return sent_of(sent_s, summary(model, world, chunk))


def _chunk(program: Program, trace: Trace, arrival_s: NDArray[np.float64]) -> Chunk:
    """A trace as the loop reads it, with the arrivals that are known beforehand."""
    requests = len(trace)
    return Chunk(
        arrival_s=np.ascontiguousarray(arrival_s, np.float64),
        start=starts(program, trace),
        key=np.ascontiguousarray(trace.key, np.int64),
        user=np.ascontiguousarray(trace.user, np.int64),
        sojourn_s=np.zeros(requests),
        outcome=np.zeros(requests, np.int8),
        cache_outcome=np.zeros(requests, np.int8),
        attempts=np.zeros(requests, np.int16),
        job_s=np.full(requests, np.nan),
        sent_s=np.zeros(0),
        think_s=np.zeros(0),
        users=0,
        until_s=0.0,
    )


def starts(program: Program, trace: Trace) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """First instruction of each request's route."""
    start = [program.start.get(operation, -1) for operation in trace.operations]
    return np.array(start or [-1], np.int32)[trace.operation]


def advanced(world: World, chunk: Chunk, base: int, *, last: bool) -> tuple[World, int]:
    """Run the loop over a chunk, giving it memory as it asks for it."""
    from sim.kernel.loop import advance  # compiles, or loads what was compiled, when first used

    while True:
        wanted = advance(world, chunk, base, last)
        if wanted == MORE_ATTEMPTS:
            world = with_attempts(world, 2 * world.attempts.size)
        elif wanted == MORE_EVENTS:
            world = with_events(world)
        elif wanted == MORE_ACTIONS:
            world = with_actions(world)
        else:
            assert wanted != STUCK, "requests are left that nothing can end"
            return world, wanted


def summary(model: StackModel, world: World, chunk: Chunk) -> SimulatedRun:
    """The run that a finished world describes."""
    from sim.kernel.loop import settle

    settle(world)
    g = world.g[0]
    end_s = float(g["now"])
    return SimulatedRun(
        sojourn_s=chunk.sojourn_s,
        outcome=chunk.outcome,
        cache_outcome=chunk.cache_outcome,
        attempts=chunk.attempts,
        end_s=end_s,
        stations=tuple(
            load_of(
                station.name,
                station.slots,
                end_s,
                (int(row["visits"]), int(row["completed"])),
                busy_s=float(row["busy_s"]),
                wait_s=float(row["wait_s"]),
            )
            for station, row in zip(model.stations, world.stations, strict=True)
        ),
        families=tuple(
            FamilyLookups(family.name, int(row["hits"]), int(row["misses"]), int(row["coalesced"]))
            for family, row in zip(model.families, world.families, strict=True)
        ),
        host_utilisation={
            host.name: share_of(float(row["busy_s"]), host.cores, end_s)
            for host, row in zip(model.hosts, world.hosts, strict=False)
        },
        jobs_completed=int(g["jobs_completed"]),
        stale_reads=int(g["stale_reads"]),
        job_request=(ended := np.flatnonzero(~np.isnan(chunk.job_s))),
        job_took_s=chunk.job_s[ended],
        scaling=tuple(
            (
                float(action["time_s"]),
                model.autoscalers[action["scaler"]].group,
                int(action["wanted"]),
            )
            for action in world.actions[: g["actions"]]
        ),
    )
