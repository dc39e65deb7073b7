"""Sessions and closed users: how many people stand behind a request rate.

Assumes: sessions start as a Poisson process; their lengths are geometric, think times exponential;
    users do not wait longer because answers do.
Lies when: answers take as long as thinking (closed users then); robots and shared addresses make
    long sessions of many.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import require
from sim.scenario import Workload
from sim.workload.popularity import Zipf
from sim.workload.trace import LARGEST_TRACE, Trace, poisson_arrivals_s, requests_at


def _check(name: str, value: float, *, zero: bool) -> None:
    good = (
        isinstance(value, int | float | np.number)
        and math.isfinite(value)
        and (value >= 0 if zero else value > 0)
    )
    require(good, name, value, "a number ≥ 0" if zero else "a number > 0")


@dataclass(frozen=True)
class ClosedUsers:
    """A fixed number of users who each think, ask, wait for the answer, and think again.

    Args:
        users: how many, ≥ 1.
        think_time_s: mean time between an answer and the next request Z, s, ≥ 0; exponential.
    Raises: InvalidScenario outside those domains.
    """

    users: float
    think_time_s: float

    def __post_init__(self) -> None:
        _check("closed.users", self.users, zero=False)
        _check("closed.think_time_s", self.think_time_s, zero=True)

    def load_per_s(self, response_s: float) -> float:
        """Requests/s at a mean response time R: N / (Z + R).

        Raises: InvalidScenario if Z + R is not > 0.
        Source: interactive response time law [lazowska1984, §3.3].

        >>> ClosedUsers(10_000, 30.0).load_per_s(0.2) < 10_000 / 30
        True
        """
        _check("closed.response_s", response_s, zero=True)
        cycle = self.think_time_s + response_s
        require(cycle > 0, "closed.think_time_s + response_s", cycle, "a number > 0")
        return self.users / cycle

    def think_times_s(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw `count` think times, s."""
        return rng.standard_exponential(count) * self.think_time_s


def concurrent_users(workload: Workload, response_s: float = 0.0, *, peak: bool = True) -> float:
    """Mean number of users inside a session: session starts/s × session length (Little's law).

    A session of n requests lasts n responses and n - 1 think times.

    Args:
        workload: users, sessions, think time and profile.
        response_s: mean response time, s, ≥ 0.
        peak: at the daily peak of the profile; else averaged over the day.
    Returns: a mean number of users.
    Raises: InvalidScenario outside those domains.
    Source: [little1961].

    >>> from sim.scenario import Operation, Profile
    >>> w = Workload(registered_users=864_000, daily_active_fraction=0.1, requests_per_session=5,
    ...     think_time_s=30.0, profile=Profile(kind="constant"), mix={Operation.LIST: 1.0})
    >>> concurrent_users(w)  # one session a second, of 4 × 30 s
    120.0
    """
    _check("response_s", response_s, zero=True)
    load = workload.peak_load_per_s if peak else workload.mean_load_per_s
    requests = workload.requests_per_session
    length_s = requests * response_s + max(0.0, requests - 1.0) * workload.think_time_s
    return load / requests * length_s


def session_trace(
    workload: Workload, load_per_s: float, duration_s: float, rng: np.random.Generator
) -> Trace:
    """Requests that come in sessions, in the steady state: one user each, with think times.

    Sessions start as a Poisson process; the number of requests in one is geometric with the
    workload's mean, think times are exponential. Sessions that began before time 0 are included
    as far as 30 mean session lengths back, so the load is level from the start. Many sessions
    overlap, so arrivals are close to Poisson; what sessions change is that users come in runs.

    Args:
        workload: mix, popularity, catalogue, `requests_per_session` (≥ 1) and `think_time_s`.
        load_per_s: mean arrival rate of requests, 1/s, > 0.
        duration_s: length, s, > 0; run-in included, at most 2 * 10^8 expected requests.
        rng: source of randomness, as in `open_trace`.
    Returns: the trace; favourites and login have the session's user as their key.
    Raises: InvalidScenario outside those domains.
    Source: sessions as a cluster process: Poisson starts, geometric lengths; its mean rate is
        tested.

    >>> from sim.example import shop
    >>> trace = session_trace(shop().workload, 10.0, 60.0, np.random.default_rng(1))
    >>> bool((np.diff(trace.arrival_s) >= 0).all())
    True
    """
    _check("trace.load_per_s", load_per_s, zero=False)
    _check("trace.duration_s", duration_s, zero=False)
    mean = workload.requests_per_session
    require(mean >= 1, "workload.requests_per_session", mean, "a number ≥ 1 for sessions")
    run_in_s = 30.0 * (mean - 1.0) * workload.think_time_s
    total = load_per_s * (duration_s + run_in_s)
    require(total <= LARGEST_TRACE, "trace.load_per_s × duration_s", total, "at most 2e8 requests")
    starting, lengths, thinking, who, rest = rng.spawn(5)
    starts = poisson_arrivals_s(load_per_s / mean, duration_s + run_in_s, starting) - run_in_s
    sizes = lengths.geometric(1.0 / mean, starts.size)
    session = np.repeat(np.arange(starts.size), sizes)
    gaps = thinking.standard_exponential(session.size) * workload.think_time_s
    first = np.cumsum(sizes) - sizes
    gaps[first] = 0.0
    sums = np.cumsum(gaps)
    times = starts[session] + sums - sums[first][session]
    users = Zipf(workload.catalogue.users, workload.popularity.users_zipf).ranks(starts.size, who)
    inside = np.flatnonzero((times >= 0) & (times < duration_s))
    inside = inside[np.argsort(times[inside], kind="stable")]
    return requests_at(times[inside], workload, rest, user=users[session[inside]])
