"""Whether two runs differ by more than runs of the same thing do.

Both runs offer the same seeded requests, so a figure's change is judged load by load and summed
up: logarithms of ratios (differences for shares), weighted by what each load knows, widened where
loads disagree [birge1932]. To that comes the spread between runs of the same scenario on the same
machine, `RUN_SPREAD`. Many figures are judged at once: [holm1979] keeps the chance of any false
alarm at 5 %.

Assumes: normal errors of the logarithms; RUN_SPREAD fits the machine. Loads that only one run has
    are left out.
Lies when: the machine changed between the runs more than it did between those behind RUN_SPREAD,
    such as a neighbour that stays: that is a change, but not of the architecture.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from headroom.artefacts import Estimate
from headroom.diff.records import Change, LoadFigures, RunFigures
from headroom.proportion import Z_95
from headroom.wording import reading_order, unit_of

ALPHA = 0.05
LEAST_S = 1e-4  # shorter means are the clock's own noise
# Standard deviation of a run's own shift, of logarithms or, for shares, of the share itself. From
# repeats of one load on a shared two-core machine near half load: coefficient of variation of the
# mean 17 to 27 %, of p99 18 to 45 %. `bench/run_spread.py --record RUN RUN …` fits it to runs of
# one's own machine; a quiet one has less, and smaller changes then show.
RUN_SPREAD: Mapping[str, float] = {
    "mean_s": 0.17,
    "p50_s": 0.12,
    "p95_s": 0.18,
    "p99_s": 0.25,
    "time": 0.2,
    "utilisation": 0.1,
    "hit_ratio": 0.006,
    "error_fraction": 0.0005,
    "throughput_per_s": 0.002,
    "capacity_per_s": 0.08,
    "local_capacity_per_s": 0.08,
    "price_usd": 0.005,
    "steady_hit_ratio": 0.004,
}
UNKNOWN_SPREAD = 0.05


def measured_changes(before: RunFigures, after: RunFigures) -> tuple[Change, ...]:
    """Every figure that both runs measured at the same loads, in reading order, not yet judged."""
    metrics = _metrics(before) & _metrics(after)
    found = (_pairs(metric, before, after) for metric in sorted(metrics, key=reading_order))
    return tuple(_change(pairs) for pairs in found if pairs.sides)


def measured_steps(before: RunFigures, after: RunFigures) -> dict[str, list[tuple[float, float]]]:
    """Change and standard error of each figure at each load, on the scale that it is judged on."""
    found = (_pairs(metric, before, after) for metric in _metrics(before) & _metrics(after))
    return {pairs.metric: pairs.steps() for pairs in found if pairs.sides}


def with_significance(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The same changes, those marked significant that hold out against all being judged at once."""
    ordered = sorted((c for c in changes if c.valid), key=lambda c: -_z(c))
    named = set()
    for rank, change in enumerate(ordered):
        if _p(_z(change)) > ALPHA / (len(ordered) - rank):
            break
        named.add(change.metric)
    critical = NormalDist().inv_cdf(1 - ALPHA / 2 / max(1, len(ordered)))
    return tuple(
        c.model_copy(update={"significant": c.metric in named, "change": _widened(c, critical)})
        for c in changes
    )


@dataclass(frozen=True)
class _Pairs:
    """One figure of both runs at the loads that count."""

    metric: str
    is_relative: bool
    loads: tuple[float, ...]
    sides: tuple[tuple[Estimate, Estimate], ...]
    valid: bool

    def steps(self) -> list[tuple[float, float]]:
        return [_step(before, after, self.is_relative) for before, after in self.sides]


def _metrics(figures: RunFigures) -> set[str]:
    return {metric for load in figures.loads for metric in load.metrics}


def _pairs(metric: str, before: RunFigures, after: RunFigures) -> _Pairs:
    """The loads with a valid run on both sides; where there is none, all that both have."""
    sides = _by_load(metric, before.loads), _by_load(metric, after.loads)
    common = sorted(sides[0].keys() & sides[1].keys())
    valid = [load for load in common if sides[0][load][1] and sides[1][load][1]]
    is_relative = unit_of(metric) != "fraction" or metric.startswith("utilisation")
    least = (LEAST_S if unit_of(metric) == "s" else 1e-9) if is_relative else -1.0
    kept = {
        load: (sides[0][load][0], sides[1][load][0])
        for load in valid or common
        if min(sides[0][load][0].value, sides[1][load][0].value) > least
    }
    return _Pairs(metric, is_relative, tuple(kept), tuple(kept.values()), bool(valid))


def _change(pairs: _Pairs) -> Change:
    return Change(
        metric=pairs.metric,
        before=pairs.sides[-1][0],
        after=pairs.sides[-1][1],
        at_load_per_s=pairs.loads[-1],
        change=_with_interval(pairs.metric, pairs.steps(), pairs.is_relative),
        is_relative=pairs.is_relative,
        loads=len(pairs.sides),
        valid=pairs.valid,
        significant=False,
    )


def _with_interval(
    metric: str, steps: Sequence[tuple[float, float]], is_relative: bool
) -> Estimate:
    """A change over all loads with its own 95 % interval, the spread of runs included."""
    centre, error = summed_up(steps)
    error = math.hypot(error, math.sqrt(2) * spread_of(metric))
    ends = [centre + side * Z_95 * error for side in (0, -1, 1)]
    value, low, high = (math.expm1(end) for end in ends) if is_relative else ends
    return Estimate(value=value, low=low, high=high)


def modelled_change(metric: str, before: Estimate, after: Estimate) -> Change | None:
    """A model's figure in two runs; None where it has no ratio.

    A price's range is that of the book, the same on both sides: it is left out.
    """
    is_relative = unit_of(metric) != "fraction"
    if is_relative and min(before.value, after.value) <= 0:
        return None
    sides = before, after
    if unit_of(metric) == "usd":
        sides = Estimate.exact(before.value), Estimate.exact(after.value)
    return Change(
        metric=metric,
        before=before,
        after=after,
        at_load_per_s=None,
        change=_with_interval(metric, [_step(*sides, is_relative)], is_relative),
        is_relative=is_relative,
        loads=0,
        valid=True,
        significant=False,
    )


def spread_of(metric: str) -> float:
    """How far a run of the same thing shifts this figure: one standard deviation."""
    return RUN_SPREAD.get(metric, RUN_SPREAD.get(metric.partition(".")[0], UNKNOWN_SPREAD))


def summed_up(steps: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Weighted mean and standard error of (value, standard error), widened where they disagree.

    >>> centre, error = summed_up([(1.0, 1.0), (3.0, 1.0)])
    >>> centre, round(error, 4)  # sqrt(1/2), widened by sqrt(chi² = 2 over 1 degree)
    (2.0, 1.0)
    """
    weights = [1 / max(error, 1e-6) ** 2 for _, error in steps]
    centre = sum(w * value for w, (value, _) in zip(weights, steps, strict=True)) / sum(weights)
    error = math.sqrt(1 / sum(weights))
    if len(steps) > 1:
        scatter = sum(w * (v - centre) ** 2 for w, (v, _) in zip(weights, steps, strict=True))
        error *= max(1.0, math.sqrt(scatter / (len(steps) - 1)))
    return centre, error


def _by_load(metric: str, figures: Iterable[LoadFigures]) -> dict[float, tuple[Estimate, bool]]:
    """The metric at each load: mean over valid repeats, all of them where none is valid."""
    found: dict[float, list[LoadFigures]] = {}
    for each in figures:
        if metric in each.metrics:
            found.setdefault(each.load_per_s, []).append(each)
    sides = {}
    for load, repeats in found.items():
        usable = [each for each in repeats if each.valid]
        estimates = [each.metrics[metric] for each in usable or repeats]
        middle = median(e.value for e in estimates)
        half = median((e.high - e.low) / 2 for e in estimates) / math.sqrt(len(estimates))
        sides[load] = (
            Estimate(value=middle, low=middle - half, high=middle + half),
            bool(usable),
        )
    return sides


def _step(before: Estimate, after: Estimate, is_relative: bool) -> tuple[float, float]:
    errors = [(e.high - e.low) / 2 / Z_95 for e in (before, after)]
    if is_relative:
        errors = [error / e.value for error, e in zip(errors, (before, after), strict=True)]
        return math.log(after.value / before.value), math.hypot(*errors)
    return after.value - before.value, math.hypot(*errors)


def _scaled(change: Change) -> tuple[float, float]:
    """Centre and standard error on the scale on which the change was judged."""
    ends = (change.change.value, change.change.low, change.change.high)
    value, low, high = (math.log1p(end) for end in ends) if change.is_relative else ends
    return value, (high - low) / 2 / Z_95


def _z(change: Change) -> float:
    value, error = _scaled(change)
    return abs(value) / error if error > 0 else (math.inf if value else 0.0)


def _p(z: float) -> float:
    return 2 * (1 - NormalDist().cdf(z))


def _widened(change: Change, critical: float) -> Estimate:
    value, error = _scaled(change)
    low, high = value - critical * error, value + critical * error
    if change.is_relative:
        low, high = math.expm1(low), math.expm1(high)
    return Estimate(value=change.change.value, low=low, high=high)
