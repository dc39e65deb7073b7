"""The questions asked backwards: how many users fit, what breaks first, and what comes after it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import require
from sim.plan.demand import TIER_NAMES, TIERS
from sim.plan.futures import InputFutures, futures_at
from sim.plan.screen import Planner
from sim.plan.space import Candidate

Floats = NDArray[np.float64]

MOST_GROWTH = 4096.0
STEPS = 14  # halvings of a factor of two: users to a part in 20,000
RAMP_POINTS = 96
RAMP_DECADES = 4.0


@dataclass(frozen=True)
class UsersThatFit:
    """The most users with whom p95 and error objectives hold with a probability.

    Args:
        registered: at the daily peak that so many registered users make.
        concurrent: users who ask once a think time, all at once.
        probability: with which the objectives hold for as many.
    """

    registered: float
    concurrent: float
    probability: float


@dataclass(frozen=True)
class Breaking:
    """One thing that gives way as the users grow, every input at its centre.

    Args:
        what: in words.
        tier: of TIERS; empty for the p95 objective.
        load_per_s: peak load at which it happens, requests/s.
        registered_users: who make that peak.
        growth: of the scenario's users, as a factor.
    """

    what: str
    tier: str
    load_per_s: float
    registered_users: float
    growth: float


def users_that_fit(
    planner: Planner, candidate: Candidate, probability: float | None = None
) -> UsersThatFit:
    """How many users an architecture holds, by bisection on the users.

    Args:
        planner: its futures are kept; its users are scaled.
        candidate: the architecture.
        probability: with which p95 and error objectives must hold, 0..1; None takes the plan's.
    Returns: 0 where even a four-thousandth of the users does not fit.
    Raises: InvalidScenario for a probability outside that domain.
    Source: bisection on `Planner.response`.

    >>> from sim.example import shop_question
    >>> from sim.plan import own_candidate
    >>> question = shop_question()
    >>> found = users_that_fit(question.centre(), own_candidate(question.scenario))
    >>> 864_000 < found.registered < 8_640_000  # ten times as many fill the event loops
    True
    """
    wanted = planner.scenario.plan.confidence_fraction if probability is None else probability
    require(0 < wanted <= 1, "probability", wanted, "a number above 0, at most 1")
    own = planner.scenario.workload.registered_users
    factor = _highest(lambda g: _chance(planner, candidate, g, None), wanted)
    users = float(planner.scenario.objectives.concurrent_users or own)
    crowd = _highest(lambda g: _chance(planner, candidate, 1.0, g * users), wanted)
    return UsersThatFit(own * factor, users * crowd, wanted)


def _chance(
    planner: Planner, candidate: Candidate, growth: float, concurrent: float | None
) -> float:
    """Share of futures in which p95 and errors hold, at grown users or at a crowd."""
    objectives = planner.scenario.objectives
    scaled = _grown(planner, growth)
    load = scaled.peak_load_per_s
    if concurrent is not None:
        think = scaled.futures.value(
            "workload.think_time_s", planner.scenario.workload.think_time_s
        )
        load = concurrent / np.maximum(think, 1e-3)
    found = scaled.response([candidate], load)
    holds = (found.p95_s[0] <= objectives.p95_s) & (
        found.error_fraction[0] <= objectives.error_fraction
    )
    return float(holds.mean())


def _highest(chance: Callable[[float], float], wanted: float) -> float:
    """The largest factor with at least the wanted chance; 0 without one, MOST_GROWTH at most."""
    low, high = 1.0 / MOST_GROWTH, 1.0
    if chance(high) >= wanted:
        while chance(high) >= wanted:
            low, high = high, high * 2
            if high > MOST_GROWTH:
                return MOST_GROWTH
    else:
        while high > low and chance(high) < wanted:
            high /= 2
        if high <= low:
            return 0.0
        low, high = high, high * 2
    for _ in range(STEPS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if chance(middle) >= wanted else (low, middle)
    return low


def _grown(planner: Planner, factor: float, values: Floats | None = None) -> Planner:
    """The same planner with its users multiplied."""
    if factor == 1.0 and values is None:
        return planner
    futures, scenario = planner.futures, planner.scenario
    own = futures.value("plan.growth_factor", scenario.plan.growth_factor)
    grown = own * (factor if values is None else values)
    moved = InputFutures(
        futures.inputs, {**futures.values, "plan.growth_factor": grown}, futures.count
    )
    return planner.with_futures(moved)


def what_breaks(planner: Planner, candidate: Candidate) -> tuple[Breaking, ...]:
    """What gives way as the users grow, in order: each tier's saturation, and the p95 objective.

    Args:
        planner: of whose inputs the centres are taken.
        candidate: the architecture.
    Returns: what happens within ten thousand times the scenario's users, lowest load first.
    Source: utilisation law [lazowska1984, §3.2] for the tiers, `Planner.response` for p95.

    >>> from sim.example import shop_question
    >>> from sim.plan import own_candidate
    >>> question = shop_question()
    >>> found = what_breaks(question.centre(), own_candidate(question.scenario))
    >>> [round(e.load_per_s) for e in found if e.tier == "api"]  # two event loops, 10 ms each
    [200]
    """
    ramp = np.geomspace(0.01, 0.01 * 10 ** (2 + RAMP_DECADES), RAMP_POINTS)
    centre = futures_at(planner.futures.inputs.values(), {}, RAMP_POINTS)
    grown = _grown(planner.with_futures(centre), 1.0, ramp)
    found = grown.response([candidate], grown.peak_load_per_s)
    own_users = float(planner.scenario.workload.registered_users)
    own_users *= planner.scenario.plan.growth_factor

    def broken(what: str, tier: str, growth: float) -> Breaking:
        load = float(np.interp(growth, ramp, grown.peak_load_per_s))
        return Breaking(what, tier, load, own_users * growth, growth)

    events = []
    for index, tier in enumerate(TIERS):
        busy = found.utilisation[index, 0]
        if busy[-1] >= 1.0:
            growth = float(np.exp(np.interp(0.0, np.log(busy), np.log(ramp))))
            events.append(broken(f"{TIER_NAMES[tier]} saturate{_s(tier)}", tier, growth))
    target_s = planner.scenario.objectives.p95_s
    late = np.flatnonzero(found.p95_s[0] > target_s)
    if late.size:
        growth = _crossing(planner, candidate, ramp, int(late[0]), target_s)
        events.append(broken(f"p95 passes {target_s * 1000:g} ms", "", growth))
    return tuple(sorted(events, key=lambda event: event.load_per_s))


def _crossing(
    planner: Planner, candidate: Candidate, ramp: Floats, place: int, target_s: float
) -> float:
    """The growth at which p95 passes its target, between two points of the ramp."""
    if place == 0:
        return float(ramp[0])
    fine = np.linspace(ramp[place - 1], ramp[place], 64)
    centre = futures_at(planner.futures.inputs.values(), {}, fine.size)
    found = _grown(planner.with_futures(centre), 1.0, fine)
    p95_s = found.response([candidate], found.peak_load_per_s).p95_s[0]
    late = np.flatnonzero(p95_s > target_s)
    return float(fine[late[0]]) if late.size else float(fine[-1])


def _s(tier: str) -> str:
    plural = tier in ("api", "api_threads", "secondary")
    return "" if plural else "s"
