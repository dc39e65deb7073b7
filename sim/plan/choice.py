"""From what each future makes of each candidate to a choice, and why the others were not chosen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.plan.objectives import at_most
from sim.plan.screen import Screened
from sim.plan.space import Candidate
from sim.queueing.domain import fraction

Floats = NDArray[np.float64]
TOGETHER = "all together"


@dataclass(frozen=True)
class Spread:
    """A figure over the futures: its mean (costs) or median, and its 5 % and 95 % quantiles."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Miss:
    """The objective that a candidate misses most often, and by how much.

    Args:
        objective: of `OBJECTIVES`, or "all together" where each alone holds often enough.
        target: what must hold.
        reached: what the candidate reaches with the stated probability.
        by: how far that is from the target, > 0; infinite where it is overloaded.
        probability: share of the futures in which the objective holds.
    """

    objective: str
    target: float
    reached: float
    by: float
    probability: float


@dataclass(frozen=True)
class Judgement:
    """One candidate over all futures.

    Args:
        candidate: the architecture.
        usd_per_month: mean bill with its range.
        figures: by objective, the median with its range.
        probability: share of the futures in which all objectives hold.
        each: the same of each objective alone.
        miss: why it was rejected; None where all hold often enough.
        regret_usd: what its owner pays more than with hindsight in 95 % of the futures, a month.
        mean_regret_usd: the same on average.
    """

    candidate: Candidate
    usd_per_month: Spread
    figures: dict[str, Spread]
    probability: float
    each: dict[str, float]
    miss: Miss | None
    regret_usd: float
    mean_regret_usd: float


@dataclass(frozen=True)
class Choice:
    """What to buy.

    Args:
        judgements: of all candidates, in their order.
        chosen: place of the cheapest that meets all objectives with the stated probability; None
            where none does, and then `reasons` says why.
        reasons: why there is no feasible plan.
        least_regret: place of the candidate with the smallest regret.
        frontier: places of those that no other beats in cost, p95 and availability together, by
            cost.
        relaxed: by objective, place of what would be chosen without it; where there is one.
        unattainable: objectives that no candidate meets with the stated probability.
        fallback: place of the cheapest that meets all but those; None where there are none of
            them, or where the rest is never met together.
        confidence_fraction: the stated probability.
    """

    judgements: tuple[Judgement, ...]
    chosen: int | None
    reasons: tuple[str, ...]
    least_regret: int
    frontier: tuple[int, ...]
    relaxed: dict[str, int]
    unattainable: tuple[str, ...]
    fallback: int | None
    confidence_fraction: float


def choose(found: Screened, confidence_fraction: float) -> Choice:
    """The cheapest candidate whose objectives all hold often enough, and the rest of the answer.

    Cheapest is by the mean bill over the futures; of equals the likelier one, then the first. The
    regret in a future is what the candidate costs more than the cheapest that holds there; where
    it does not hold itself, the cheapest that does has to be paid on top.

    Args:
        found: every candidate in every future.
        confidence_fraction: share of futures in which all objectives must hold, 0..1.
    Returns: what is chosen, what each candidate is worth, and why the others are not chosen.
    Raises: InvalidScenario for another fraction.
    Source: expected cost under a chance constraint; regret as in [savage1951].

    >>> from sim.example import shop_question
    >>> from sim.plan import own_candidate, screened
    >>> planner = shop_question().planner()
    >>> own = own_candidate(planner.scenario)
    >>> choose(screened(planner, [own]), 0.9).chosen  # the only one, and it holds
    0
    """
    fraction("plan.confidence_fraction", confidence_fraction)
    holds = found.all_hold()
    probability = holds.mean(axis=1)
    cost = found.usd_per_month.mean(axis=1)
    regret = regrets(found.usd_per_month, holds)
    worst, mean = np.quantile(regret, 0.95, axis=1), regret.mean(axis=1)
    each = {name: found.holds(name).mean(axis=1) for name in found.targets}
    reached = {name: _reached(found, name, confidence_fraction) for name in found.targets}
    spreads = {name: _spreads(found.figures[name]) for name in found.targets}
    low, high = np.quantile(found.usd_per_month, [0.05, 0.95], axis=1)
    judgements = tuple(
        Judgement(
            candidate=candidate,
            usd_per_month=Spread(float(cost[i]), float(low[i]), float(high[i])),
            figures={name: spreads[name][i] for name in found.targets},
            probability=float(probability[i]),
            each={name: float(each[name][i]) for name in found.targets},
            miss=_miss(
                found.targets,
                {name: float(reached[name][i]) for name in found.targets},
                {name: float(each[name][i]) for name in found.targets},
                float(probability[i]),
                confidence_fraction,
            ),
            regret_usd=float(worst[i]),
            mean_regret_usd=float(mean[i]),
        )
        for i, candidate in enumerate(found.candidates)
    )
    chosen = cheapest(cost, probability, confidence_fraction)
    unattainable = tuple(n for n in found.targets if each[n].max() < confidence_fraction)
    without = found.all_hold(without=unattainable).mean(axis=1)
    relaxed = {}
    for name in found.targets:
        other = cheapest(cost, found.all_hold(without=(name,)).mean(axis=1), confidence_fraction)
        if other is not None and other != chosen:
            relaxed[name] = other
    return Choice(
        judgements=judgements,
        chosen=chosen,
        reasons=() if chosen is not None else _reasons(found, each, reached, confidence_fraction),
        least_regret=int(np.lexsort((cost, mean, worst))[0]),
        frontier=frontier(_criteria(found, cost, reached)),
        relaxed=relaxed,
        unattainable=unattainable,
        fallback=cheapest(cost, without, confidence_fraction) if unattainable else None,
        confidence_fraction=confidence_fraction,
    )


def cheapest(cost: Floats, probability: Floats, wanted_fraction: float) -> int | None:
    """Place of the cheapest candidate that holds often enough; None without one.

    >>> cheapest(np.array([3.0, 2.0, 1.0]), np.array([1.0, 0.95, 0.5]), 0.9)
    1
    """
    for place in np.lexsort((-probability, cost)):
        if probability[place] >= wanted_fraction:
            return int(place)
    return None


def regrets(usd_per_month: Floats, holds: NDArray[np.bool_]) -> Floats:
    """What each candidate costs more than hindsight would, [candidate, future].

    >>> regrets(np.array([[1.0], [3.0]]), np.array([[False], [True]])).tolist()
    [[1.0], [0.0]]
    """
    best = np.where(holds, usd_per_month, np.inf).min(axis=0)
    possible = np.isfinite(best)
    best = np.where(possible, best, usd_per_month.min(axis=0))
    on_top = np.where(holds | ~possible, 0.0, best)
    return np.asarray(usd_per_month + on_top - best)


def frontier(criteria: Floats) -> tuple[int, ...]:
    """Places that no other beats: rows of criteria, each the smaller the better, by the first.

    Of rows that are equal the first stays. Rows with an infinite criterion are not on it.

    >>> frontier(np.array([[1.0, 9.0], [2.0, 9.0], [2.0, 1.0]]))
    (0, 2)
    """
    kept: list[int] = []
    for place in np.lexsort(criteria.T[::-1]):
        row = criteria[place]
        if not np.isfinite(row).all():
            continue
        if kept and bool((criteria[kept] <= row).all(axis=1).any()):
            continue
        kept.append(int(place))
    return tuple(kept)


def _criteria(found: Screened, cost: Floats, reached: dict[str, Floats]) -> Floats:
    # A hundredth of a millisecond or of a second of downtime a month is no difference.
    columns = [np.round(cost, 2), np.round(reached["p95_s"], 5)]
    columns.append(np.round(1.0 - reached["availability"], 9))
    return np.stack(columns, axis=1)


def _reached(found: Screened, name: str, confidence_fraction: float) -> Floats:
    """What each candidate reaches with the stated probability."""
    level = confidence_fraction if at_most(name) else 1.0 - confidence_fraction
    # The order statistic itself: between two figures one may be infinite.
    figures = np.sort(found.figures[name], axis=1)
    count = figures.shape[1]
    if at_most(name):
        place = int(np.ceil(level * count - 1e-9)) - 1
    else:
        place = count - int(np.ceil((1.0 - level) * count - 1e-9))
    return np.asarray(figures[:, min(max(place, 0), count - 1)])


def _spreads(figures: Floats) -> list[Spread]:
    ordered = np.sort(figures, axis=1)
    count = figures.shape[1]
    low, middle, high = (ordered[:, int(q * (count - 1) + 0.5)] for q in (0.05, 0.5, 0.95))
    return [Spread(float(m), float(a), float(b)) for m, a, b in zip(middle, low, high, strict=True)]


def _miss(
    targets: dict[str, float],
    reached: dict[str, float],
    each: dict[str, float],
    probability: float,
    wanted_fraction: float,
) -> Miss | None:
    if probability >= wanted_fraction:
        return None
    worst = min(targets, key=lambda name: each[name])
    if each[worst] >= wanted_fraction:
        gap = wanted_fraction - probability
        return Miss(TOGETHER, wanted_fraction, probability, gap, probability)
    by = reached[worst] - targets[worst] if at_most(worst) else targets[worst] - reached[worst]
    return Miss(worst, targets[worst], reached[worst], by, each[worst])


def _reasons(
    found: Screened, each: dict[str, Floats], reached: dict[str, Floats], wanted_fraction: float
) -> tuple[str, ...]:
    """For every objective that no candidate meets: the best that any reaches."""
    reasons = []
    for name, target in found.targets.items():
        if each[name].max() >= wanted_fraction:
            continue
        best = reached[name].min() if at_most(name) else reached[name].max()
        reasons.append(
            f"no candidate meets {name} {'<=' if at_most(name) else '>='} {target:g} with a "
            f"probability of {wanted_fraction:g}: the best reaches {best:.4g}, and holds in "
            f"{each[name].max():.1%} of the futures"
        )
    if not reasons:
        best_of_all = found.all_hold().mean(axis=1).max()
        reasons.append(
            f"each objective is met by some candidate, but all together by none: the best holds "
            f"in {best_of_all:.1%} of the futures, wanted is {wanted_fraction:.1%}"
        )
    return tuple(reasons)
