"""The uncertain figures behind an availability, drawn once for all designs that are compared.

Assumes: the ranges of the scenario's `reliability` hold. Published are the common cause (2 to 10 %
    of failures is usual [iec61508]) and the election (the MongoDB manual puts the median from a
    lost primary to the next one at 12 s with the timeout of 10 s: 2 s beyond it as the middle).
    All others are assumptions, wide for want of figures: servers fail once in a month to two
    years, zones once in one to ten years, and a provider loses between a tenth of and twice what
    its agreement allows.
Lies when: the real figure lies outside its range; a range says nothing of how likely that is.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.availability.structure import Array
from sim.errors import require
from sim.queueing.domain import count
from sim.scenario import BillComponent, Interval, Reliability

_RATIOS = "provider_to_sla_ratio"
_NORMAL_95 = 1.6448536269514722  # 95 % quantile of the standard normal distribution


@dataclass(frozen=True)
class ReliabilityFutures:
    """One value of each figure for each future; arrays of one shape, () for a single future."""

    server_failures_per_h: Array
    server_away_h: Array
    common_cause_fraction: Array
    election_beyond_timeout_s: Array
    zone_failures_per_h: Array
    zone_away_h: Array
    provider_to_sla_ratio: dict[BillComponent, Array]
    provider_away_h: Array
    planned_per_month: Array
    planned_s: Array

    def at(self, index: int) -> "ReliabilityFutures":
        """One of the futures alone."""
        own = {name: value[index] for name, value in vars(self).items() if name != _RATIOS}
        ratios = {key: value[index] for key, value in self.provider_to_sla_ratio.items()}
        return ReliabilityFutures(**own, provider_to_sla_ratio=ratios)


def middle_future(reliability: Reliability) -> ReliabilityFutures:
    """Each figure at the middle of its range: the geometric mean of its ends, its median.

    Args:
        reliability: the ranges.
    Returns: one future; its arrays have no axis.
    Raises: InvalidScenario for a range that does not begin above 0.
    Source: the median of a log-normal is the geometric mean of its quantiles p and 1 - p.

    >>> from sim.scenario import PositiveInterval
    >>> r = Reliability(server_away_h=PositiveInterval(low=1.0, high=4.0))
    >>> float(middle_future(r).server_away_h)
    2.0
    """
    return _drawn(reliability, lambda: np.zeros(()))


def drawn_futures(
    reliability: Reliability, futures: int, rng: np.random.Generator
) -> ReliabilityFutures:
    """Independent draws of every figure, log-normal with a range's ends as 5 and 95 % quantiles.

    Give the same futures to all designs that are compared: then they differ by design alone.

    Args:
        reliability: the ranges.
        futures: how many, 1..10⁶.
        rng: source of randomness.
    Returns: arrays of that length; a share is cut off at 1.
    Raises: InvalidScenario outside that domain.
    Source: log-normal ranges as in [iec61508]'s reading of failure data: ends are quantiles; a test
        holds them.

    >>> found = drawn_futures(Reliability(), 3, np.random.default_rng(1))
    >>> found.server_away_h.shape, bool((found.common_cause_fraction <= 1).all())
    ((3,), True)
    """
    wanted = count("futures", futures, 10**6)
    return _drawn(reliability, lambda: rng.standard_normal(wanted))


def _drawn(reliability: Reliability, normal: Callable[[], Array]) -> ReliabilityFutures:
    def of(range_: Interval) -> Array:
        require(range_.low > 0, "reliability", range_.low, "ranges above 0")
        middle = 0.5 * (math.log(range_.low) + math.log(range_.high))
        spread = 0.5 * (math.log(range_.high) - math.log(range_.low)) / _NORMAL_95
        return np.asarray(np.exp(middle + spread * normal()))

    return ReliabilityFutures(
        server_failures_per_h=1.0 / of(reliability.server_between_failures_h),
        server_away_h=of(reliability.server_away_h),
        common_cause_fraction=np.minimum(of(reliability.common_cause_fraction), 1.0),
        election_beyond_timeout_s=of(reliability.election_beyond_timeout_s),
        zone_failures_per_h=1.0 / of(reliability.zone_between_failures_h),
        zone_away_h=of(reliability.zone_away_h),
        provider_to_sla_ratio={
            component: of(reliability.provider_to_sla_ratio) for component in BillComponent
        },
        provider_away_h=of(reliability.provider_away_h),
        planned_per_month=of(reliability.planned_per_month),
        planned_s=of(reliability.planned_s),
    )
