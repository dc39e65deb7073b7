"""The SimPy model of the stack: the readable reference, after which the kernel is built.

- `stack`: requests, attempts and jobs walking their routes.
- `servers`: stations and hosts. `balancing`: balancers and replica sets.
- `caches`: families of keys. `protection`: pools, limits, breakers, retry budgets.
- `control`: disruptions and autoscalers. `clock`: SimPy's environment, in absolute times.
"""

import numpy as np

from sim.des.control import Scaling, plan_disruptions
from sim.des.stack import Stack
from sim.model.run import FamilyLookups, SimulatedRun, check_inputs, load_of, share_of
from sim.model.stack import StackModel
from sim.model.users import ClosedRun, check_users, sent_of
from sim.workload.trace import Trace
from sim.workload.users import UserTrace

__all__ = ["simulate", "simulate_users"]


def simulate(model: StackModel, trace: Trace, *, seed: int) -> SimulatedRun:
    """Simulate a stack under a trace of requests with SimPy.

    Args:
        model: the stack; its rules are those of `sim.model.stack`.
        trace: arrivals, operations, keys and users; may be empty.
        seed: of all demands, 0 … 2^64 - 1; the same in `sim.kernel.simulate` gives the same run.
    Returns: per request its sojourn and outcome; per part its load. Network and client time are in
        it only as far as the routes have them as delays.
    Raises: InvalidScenario when the trace is out of order or asks for an operation without route.
    Source: event scheduling as in [banks2010, ch. 3].

    >>> from sim.model import Demand, Route, Station, Visit
    >>> second = Demand(1.0, distribution="deterministic")
    >>> model = StackModel((Station("web", 1),), (Route("get", (Visit("web", second),)),))
    >>> zero = np.zeros(2, np.int64)
    >>> trace = Trace(np.array([0.0, 0.5]), ("get",), zero.astype(np.int16), zero, zero)
    >>> simulate(model, trace, seed=1).sojourn_s.tolist()  # the second waits half a second
    [1.0, 1.5]
    """
    check_inputs(model, trace, seed)
    return _run(Stack(model, trace, seed))


def simulate_users(model: StackModel, users: UserTrace, *, seed: int) -> ClosedRun:
    """Simulate a stack with SimPy under closed users, who ask again when they were answered.

    Args:
        model: the stack; its rules are those of `sim.model.stack`, rule 11 included.
        users: what each asks for and how long each thinks before.
        seed: of all demands, 0 … 2^64 - 1; the same in `sim.kernel.simulate_users` gives the same
            run.
    Returns: the requests that were sent before `users.until_s`, when, and what became of each.
    Raises: InvalidScenario as `simulate` does.
    Source: event scheduling as in [banks2010, ch. 3].

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
    stack = Stack(model, users.requests, seed, users)
    run = _run(stack)
    return sent_of(np.array(stack.sent_s, np.float64), run)


def _run(stack: Stack) -> SimulatedRun:
    model = stack.model
    plan_disruptions(stack)
    scalings = [Scaling(stack.clock, s, stack.groups[s.group]) for s in model.autoscalers]
    stack.run()
    end_s = float(stack.clock.now)
    for station in stack.stations.values():
        station.count()
    for host in stack.hosts.values():
        host.count()
    return SimulatedRun(
        sojourn_s=np.array(stack.sojourn_s, np.float64),
        outcome=np.array(stack.outcome, np.int8),
        cache_outcome=np.array(stack.cache_outcome, np.int8),
        attempts=np.array(stack.attempts, np.int16),
        end_s=end_s,
        stations=tuple(
            load_of(
                station.name,
                station.slots,
                end_s,
                (station.visits, station.completed),
                busy_s=station.busy_s,
                wait_s=station.wait_s,
            )
            for station in stack.stations.values()
        ),
        families=tuple(
            FamilyLookups(name, state.hits, state.misses, state.coalesced)
            for name, state in stack.families.items()
        ),
        host_utilisation={
            host.name: share_of(host.busy_s, host.cores, end_s) for host in stack.hosts.values()
        },
        jobs_completed=stack.jobs_completed,
        stale_reads=sum(members.stale_reads for members in stack.replica_sets.values()),
        job_request=(ended := np.flatnonzero(~np.isnan(stack.job_s))),
        job_took_s=np.array(stack.job_s, np.float64)[ended],
        scaling=tuple(action for scaling in scalings for action in scaling.actions),
    )
