"""Closed users, one by one: each asks, waits for the answer, thinks, and asks again.

Assumes: a fixed number of users; think times are exponential, independent of each other and of
    how long the answers took; what is asked next does not depend on what was asked before.
Lies when: users give up because answers are slow, or come because others do; people think longer
    before some pages than before others.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.draws import Demand, uniform_each
from sim.errors import require
from sim.scenario import Workload
from sim.workload.trace import LARGEST_TRACE, Trace, requests_at

MOST_USERS = 1_000_000


@dataclass(frozen=True)
class UserTrace:
    """What each user asks for, in order; when, is decided by the answers.

    Args:
        requests: request `visit * users + user` is that visit of that user, numbered from 0. Its
            time is known for the first visits only, ascending; all others stand at `until_s`.
        think_s: before each request, s: from the user's last answer, or from the start.
        users: how many, >= 1.
        until_s: whoever would ask then or later does not ask any more, s.
    """

    requests: Trace
    think_s: NDArray[np.float64]
    users: int
    until_s: float

    @property
    def first_s(self) -> NDArray[np.float64]:
        """When those ask first who come at all, s, ascending."""
        first_s = self.requests.arrival_s[: self.users]
        return first_s[first_s < self.until_s]


def user_trace(
    workload: Workload, users: int, duration_s: float, rng: np.random.Generator, *, seed: int
) -> UserTrace:
    """The requests of closed users who all begin by thinking at time 0.

    Args:
        workload: mix, popularity, catalogue and `think_time_s`, which must be > 0.
        users: how many, 1 … 10^6; user u is user u modulo the catalogue's.
        duration_s: nobody asks at this time or later, s, > 0.
        rng: draws what is asked for, as in `requests_at`.
        seed: of the think times: each is a function of (seed, user, visit) alone, where users are
            numbered in the order in which they come.
    Returns: as many visits for each as the busiest user makes when answers take no time.
    Raises: InvalidScenario outside those domains, or for more than 2 * 10^8 requests.
    Source: the interactive users of [lazowska1984, §3.3]; draws as in `sim.draws`.

    >>> from sim.example import shop
    >>> workload = shop().workload.model_copy(update={"think_time_s": 1.0})
    >>> trace = user_trace(workload, 3, 10.0, np.random.default_rng(1), seed=1)
    >>> len(trace.requests) % 3, bool((np.diff(trace.first_s) >= 0).all())
    (0, True)
    """
    whole = isinstance(users, int | np.integer) and not isinstance(users, bool)
    require(whole and 1 <= users <= MOST_USERS, "users", users, f"a whole number 1..{MOST_USERS}")
    for name, value in (
        ("duration_s", duration_s),
        ("workload.think_time_s", workload.think_time_s),
    ):
        number = isinstance(value, int | float | np.number) and 0 < value < math.inf
        require(number, name, value, "a finite number > 0")
    expected = users * (1.0 + duration_s / workload.think_time_s)
    require(expected <= LARGEST_TRACE, "users × duration_s", expected, "at most 2e8 requests")
    thinking = Demand(workload.think_time_s, distribution="exponential")
    numbers = np.arange(users)
    think_s: list[NDArray[np.float64]] = []
    reached_s = np.zeros(users)
    while not think_s or bool((reached_s < duration_s).any()):
        drawn_s = thinking.at_each(uniform_each(seed, "think", numbers, len(think_s)))
        think_s.append(drawn_s if think_s else np.sort(drawn_s))
        reached_s = reached_s + think_s[-1]
    arrival_s = np.full(users * len(think_s), float(duration_s))
    arrival_s[:users] = np.minimum(think_s[0], duration_s)
    user = np.tile(numbers % workload.catalogue.users, len(think_s))
    requests = requests_at(arrival_s, workload, rng, user=user)
    return UserTrace(requests, np.concatenate(think_s), int(users), float(duration_s))
