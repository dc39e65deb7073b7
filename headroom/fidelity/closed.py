"""Cells of closed users, in the form of all others: request by request, NaN where none was sent.

A user thinks from when the answer left the last emulated machine, by that one's own clock, which is
told with the answer: what is real and not emulated is in the answer's time, but does not put off
all that the user asks for later. Else the small difference of one answer would grow from request to
request, and no cell could be followed for long.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from headroom.dilation import dilated
from headroom.fidelity.cells import Cell
from headroom.fidelity.topologies import Topology
from sim.kernel import simulate_users
from sim.model import CacheOutcome, Outcome, SimulatedRun, StackModel
from sim.queueing.mva import mva_exact
from sim.workload import Trace, UserTrace, user_trace
from stack.load.trace import Users

T = TypeVar("T", bound=np.generic)
UNSENT = -1  # in place of an outcome
MOST_USERS = 2_000


def asked_in(cell: Cell, topology: Topology, stream: tuple[int, ...], seed: int) -> UserTrace:
    """What the users of a cell ask for, and their think times, in dilated time."""
    rng = np.random.default_rng(np.random.SeedSequence(cell.seed, spawn_key=stream))
    workload = dilated(topology.scenario).workload
    return user_trace(workload, cell.users, cell.duration_s, rng, seed=seed)


def users_of(asked: UserTrace) -> Users:
    """The same as the load generator takes them."""
    return Users(asked.users, asked.think_s)


def played(
    model: StackModel, asked: UserTrace, delay_s: Mapping[tuple[str, str], float], seed: int
) -> tuple[Trace, SimulatedRun]:
    """All requests of the users: when each was sent, and what became of it.

    Args:
        model: without delays outside the holds: nobody thinks later for them.
        delay_s: those delays, by operation and outcome.
    """
    closed = simulate_users(model, asked, seed=seed)
    size = len(asked.requests)

    def over_all(found: NDArray[T], missing: float) -> NDArray[T]:
        every = np.full(size, missing, found.dtype)
        every[closed.request] = found
        return every

    sent = closed.run
    trace = replace(asked.requests, arrival_s=over_all(closed.arrival_s, np.nan))
    run = replace(
        sent,
        sojourn_s=over_all(sent.sojourn_s, np.nan),
        outcome=over_all(sent.outcome, UNSENT),
        cache_outcome=over_all(sent.cache_outcome, CacheOutcome.NONE),
        attempts=over_all(sent.attempts, 1),
        job_request=closed.request[sent.job_request],
    )
    return trace, replace(run, sojourn_s=run.sojourn_s + _delays_s(trace, run, delay_s))


def _delays_s(
    trace: Trace, run: SimulatedRun, delay_s: Mapping[tuple[str, str], float]
) -> NDArray[np.float64]:
    """What the answer of each request took outside of all holds; who gave up waits for nothing."""
    # Whoever waited for another's read goes on as after a hit.
    names = np.array(["none", "hit", "miss", "hit"])[run.cache_outcome]
    pairs = zip(np.array(trace.operations)[trace.operation], names, strict=True)
    each_s = np.array([delay_s.get((str(name), str(outcome)), 0.0) for name, outcome in pairs])
    return np.where(run.outcome == Outcome.OK, each_s, 0.0)


def users_for(load_per_s: float, think_s: float, work_s: Mapping[str, tuple[float, int]]) -> int:
    """How many users ask for a load, by mean value analysis.

    Args:
        load_per_s: what they should ask for together, at least.
        think_s: of each.
        work_s: mean work of a request at each machine, and that one's slots.
    """
    # Seidmann: of c slots, a c-th of the work queues for one, the rest is delay.
    queued_s = [work / slots for work, slots in work_s.values()]
    delayed_s = think_s + sum(work * (slots - 1) / slots for work, slots in work_s.values())
    few, many = 0, MOST_USERS
    while many - few > 1:
        half = (few + many) // 2
        enough = mva_exact([queued_s], [half], [delayed_s]).throughput_per_s[0] >= load_per_s
        few, many = (few, half) if enough else (half, many)
    return many
