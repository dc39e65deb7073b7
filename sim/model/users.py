"""Closed users in a simulation: what comes of their traces, in both engines alike."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.errors import require
from sim.model.run import SimulatedRun
from sim.workload.users import UserTrace


@dataclass(frozen=True)
class ClosedRun:
    """One simulated run of closed users.

    Args:
        request: numbers, in the users' trace, of the requests that were sent, ascending.
        arrival_s: when each of them was sent, s.
        run: what became of each of them.
    """

    request: NDArray[np.int64]
    arrival_s: NDArray[np.float64]
    run: SimulatedRun


def check_users(users: UserTrace) -> None:
    """Check what `check_inputs` does not know of closed users.

    Args:
        users: their requests and think times.
    Returns: nothing.
    Raises: InvalidScenario for think times that are no finite numbers >= 0 or not one for each
        request, or a number of requests that is no multiple of that of the users.
    Source: what both engines rely on.

    >>> from sim.workload.trace import Trace
    >>> zero = np.zeros(2, np.int64)
    >>> visits = Trace(np.array([0.5, 9.0]), ("get",), zero.astype(np.int16), zero, zero)
    >>> check_users(UserTrace(visits, np.zeros(2), users=3, until_s=9.0))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidScenario: users.users: 3 is not allowed; ...
    """
    rows = len(users.requests)
    fits = users.users >= 1 and rows % users.users == 0
    require(fits, "users.users", users.users, f"a divisor of the {rows} requests")
    think_s = users.think_s
    require(think_s.size == rows, "users.think_s", think_s.size, f"{rows} entries")
    good = bool((np.isfinite(think_s) & (think_s >= 0)).all())
    require(good, "users.think_s", "NaN, inf or < 0", "finite times >= 0")


def sent_of(sent_s: NDArray[np.float64], run: SimulatedRun) -> ClosedRun:
    """Of a run over all requests of a users' trace, those that were sent.

    Args:
        sent_s: when each was sent, s; NaN: never.
        run: over all of them.
    Returns: the run of those that were sent.
    Source: the definition.

    >>> from sim.model.run import SimulatedRun
    >>> code = np.zeros(2, np.int8)
    >>> run = SimulatedRun(np.array([1.0, 0.0]), code, code, np.ones(2, np.int16), 1.5, (), (), {})
    >>> closed = sent_of(np.array([0.5, np.nan]), run)
    >>> closed.request.tolist(), closed.run.sojourn_s.tolist()
    ([0], [1.0])
    """
    request = np.flatnonzero(~np.isnan(sent_s))
    columns = ("sojourn_s", "outcome", "cache_outcome", "attempts")
    sent = {name: getattr(run, name)[request] for name in columns}
    job_s = run.job_s[request]
    ended = np.flatnonzero(~np.isnan(job_s))
    sent |= {"job_request": ended, "job_took_s": job_s[ended]}
    return ClosedRun(request, sent_s[request], replace(run, **sent))
