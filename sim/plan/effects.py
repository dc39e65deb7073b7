"""What a change does to an architecture: p95, errors, headroom, cost and availability, paired.

Every figure is taken twice in the same futures, before and after, so that their difference is the
change's own; its interval holds 90 % of the futures.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.plan.futures import InputFutures
from sim.plan.screen import Planner
from sim.plan.space import Candidate
from sim.queueing.domain import positive

Floats = NDArray[np.float64]
MOST_GROWTH = 2.0**14
HEADROOM_STEPS = 30


@dataclass(frozen=True)
class Shift:
    """A figure before and after a change: medians, and the paired change with its 90 % range.

    Infinite where a tier is overloaded.
    """

    before: float
    after: float
    change: float
    low: float
    high: float


def shift(before: Floats, after: Floats) -> Shift:
    """The shift of a figure over paired futures; an overload on both sides is no change.

    >>> shift(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])).change
    2.0
    """
    both = ~np.isfinite(before) & ~np.isfinite(after)
    finite = np.where(both, 0.0, before), np.where(both, 0.0, after)
    difference = finite[1] - finite[0]
    return Shift(
        before=_quantile(before, 0.5),
        after=_quantile(after, 0.5),
        change=_quantile(difference, 0.5),
        low=_quantile(difference, 0.05),
        high=_quantile(difference, 0.95),
    )


def _quantile(values: Floats, fraction: float) -> float:
    """An order statistic: between two others one may be infinite."""
    ordered = np.sort(values)
    return float(ordered[round(fraction * (values.size - 1))])


@dataclass(frozen=True)
class Steady:
    """An architecture in its steady state, one value a future.

    Args:
        p95_s, error_fraction: at the daily peak.
        headroom_fraction: users that could be added before p95 or errors miss their objective, as
            a share of those there are; negative where they miss it already.
        usd_per_month, availability: as in a plan.
    """

    p95_s: Floats
    error_fraction: Floats
    headroom_fraction: Floats
    usd_per_month: Floats
    availability: Floats


def steady(planner: Planner, candidate: Candidate, load_factor: float = 1.0) -> Steady:
    """The figures of an architecture in its steady state.

    Args:
        planner: the futures to ask in.
        candidate: the architecture.
        load_factor: a peak above the daily one, as a factor, > 0.
    Returns: one value a future of each figure.
    Raises: InvalidScenario for a load_factor that is not above 0.
    Source: `Planner.response`; headroom by bisection on the users.

    >>> from sim.example import shop_question
    >>> from sim.plan import own_candidate
    >>> question = shop_question()
    >>> found = steady(question.centre(), own_candidate(question.scenario))
    >>> bool(found.headroom_fraction[0] < 9)  # at ten times the users two loops of 10 ms are full
    True
    """
    peak_per_s = planner.peak_load_per_s * positive("load_factor", load_factor)
    found = planner.response([candidate], peak_per_s)
    return Steady(
        p95_s=found.p95_s[0],
        error_fraction=found.error_fraction[0],
        headroom_fraction=growth_that_fits(planner, candidate) / load_factor - 1.0,
        usd_per_month=planner.usd_per_month(candidate),
        availability=planner.uptimes(candidate),
    )


def growth_that_fits(planner: Planner, candidate: Candidate) -> Floats:
    """Factor on the users at which p95 or errors just hold, in each future, by bisection.

    Args:
        planner: the futures to ask in.
        candidate: the architecture.
    Returns: a factor for each future; 0 where not even a sixteen-thousandth of the users is served
        in time.
    Source: bisection on `Planner.response`, as `steady`.

    >>> from sim.example import shop_question
    >>> from sim.plan import own_candidate
    >>> planner = shop_question().centre()
    >>> found = growth_that_fits(planner, own_candidate(planner.scenario))
    >>> bool(1 < found[0] < 10)  # at ten times the users two loops of 10 ms are full
    True
    """
    objectives = planner.scenario.objectives
    count = planner.futures.count
    low, high = np.full(count, 1.0 / MOST_GROWTH), np.full(count, MOST_GROWTH)
    for _ in range(HEADROOM_STEPS):
        middle = np.sqrt(low * high)
        grown = with_growth(planner, middle)
        found = grown.response([candidate], grown.peak_load_per_s)
        holds = (found.p95_s[0] <= objectives.p95_s) & (
            found.error_fraction[0] <= objectives.error_fraction
        )
        low, high = np.where(holds, middle, low), np.where(holds, high, middle)
    return np.where(low <= 1.001 / MOST_GROWTH, 0.0, low)


def with_growth(planner: Planner, factor: Floats | float) -> Planner:
    """The same futures with the users of each multiplied."""
    return _with_value(
        planner,
        "plan.growth_factor",
        planner.futures.value("plan.growth_factor", planner.scenario.plan.growth_factor) * factor,
    )


def with_hit_shift(planner: Planner, shift_by: float) -> Planner:
    """The same futures with every family's hit ratio moved."""
    own = planner.scenario.plan.hit_ratio_shift
    value = planner.futures.value("plan.hit_ratio_shift", own) + shift_by
    return _with_value(planner, "plan.hit_ratio_shift", value)


def with_prices(planner: Planner, factor: float) -> Planner:
    """The same futures with every price multiplied."""
    own = planner.futures.value("plan.price_factor", planner.scenario.plan.price_factor)
    return _with_value(planner, "plan.price_factor", own * factor)


def _with_value(planner: Planner, name: str, value: Floats) -> Planner:
    futures = planner.futures
    moved = InputFutures(futures.inputs, {**futures.values, name: value}, futures.count)
    return planner.with_futures(moved, planner.reliability)


def spared(candidate: Candidate, tier: str) -> Candidate:
    """A candidate without one instance of a tier; its last one stays."""
    count = getattr(candidate, tier)
    return replace(candidate, **{tier: count - 1}) if count > 1 else candidate
