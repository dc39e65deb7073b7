"""Replicate until the answer is as precise as asked for.

Assumes: replications are independent, and their values not too skewed for a t interval.
Lies when: the first few values agree by chance (hence at least ten replications) and, slightly, by
    nature: stopping at a target makes the true coverage a little lower than the nominal one.
"""

from collections.abc import Callable

import numpy as np

from sim.errors import NotConverged, require
from sim.queueing.domain import count, positive
from sim.replicate.intervals import Interval, finite_values, mean_interval


def replicate_until(
    function: Callable[[np.random.Generator], float],
    seed: int,
    relative_precision: float = 0.05,
    *,
    confidence_fraction: float = 0.95,
    least: int = 10,
    most: int = 10_000,
) -> Interval:
    """Replicate `function(rng)` until its mean is known to a relative precision.

    Args:
        function: one replication; returns a finite number; gets a numpy Generator of its own.
        seed: root of all streams, 0..2^63-1.
        relative_precision: wanted relative error of the mean, 0.0001..1.
        confidence_fraction: nominal coverage, strictly between 0 and 1.
        least: replications before stopping is considered, 2..most.
        most: replications at which to give up, up to 10_000_000.
    Returns: the interval; its half-width is at most γ/(1+γ) of the mean, so that the relative
        error against the true mean is at most γ = relative_precision.
    Raises: InvalidScenario outside those domains or for a value that is not finite; NotConverged
        if `most` replications do not reach the precision.
    Source: [law2015, §9.4.1], sequential procedure; streams as in sweep, so more replications only
        add to the ones before.

    >>> replicate_until(lambda rng: 2.0, seed=1).values
    10
    """
    target = positive("relative_precision", relative_precision)
    require(1e-4 <= target <= 1, "relative_precision", target, "a number from 0.0001 to 1")
    ceiling = count("most", most, 10_000_000, least=2)
    start = count("least", least, ceiling, least=2)
    root = np.random.SeedSequence(count("seed", seed, 2**63 - 1, least=0))
    values: list[float] = []
    while True:
        # A tenth more each time: the interval costs O(n), this keeps the whole O(n).
        more = start if not values else max(1, min(len(values) // 10, ceiling - len(values)))
        values += [function(np.random.default_rng(child)) for child in root.spawn(more)]
        interval = mean_interval(finite_values("function(rng)", values, 2), confidence_fraction)
        if interval.relative_halfwidth <= target / (1 + target):
            return interval
        if len(values) >= ceiling:
            reached = interval.relative_halfwidth
            raise NotConverged("relative half-width", reached, target / (1 + target), len(values))
