"""The figures by which prediction and measurement are compared, from one request's row on."""

import numpy as np
from numpy.typing import NDArray

from headroom.artefacts import Estimate
from headroom.proportion import wilson
from sim.errors import InvalidScenario
from sim.replicate import batch_means_interval, mean_interval, quantile_interval
from sim.scenario import FAMILY_OF, Operation

QUANTILES = {"p50_s": 0.50, "p95_s": 0.95, "p99_s": 0.99}


def latency_estimates(sojourn_s: NDArray[np.float64]) -> dict[str, Estimate]:
    """Mean and quantiles of the answered requests with 95 % intervals.

    Where too few requests were answered for an interval, it spans what was seen.
    """
    if not sojourn_s.size:
        return {}
    estimates = {"mean_s": _mean(sojourn_s)}
    for name, fraction in QUANTILES.items():
        try:
            found = quantile_interval(sojourn_s.tolist(), fraction)
            estimates[name] = Estimate(value=found.estimate, low=found.low, high=found.high)
        except InvalidScenario:  # too few for a distribution-free interval
            middle = float(np.quantile(sojourn_s, fraction))
            estimates[name] = Estimate(
                value=middle, low=float(sojourn_s.min()), high=float(sojourn_s.max())
            )
    return estimates


def _mean(sojourn_s: NDArray[np.float64]) -> Estimate:
    values = sojourn_s.tolist()
    if len(values) >= 200:
        found = batch_means_interval(values, batches=20)
    elif len(values) >= 2:
        found = mean_interval(values)
    else:
        return Estimate.exact(values[0])
    return Estimate(value=found.estimate, low=found.low, high=found.high)


def hit_ratios(
    operation: NDArray[np.str_], is_hit: NDArray[np.bool_], is_lookup: NDArray[np.bool_]
) -> dict[str, Estimate]:
    """Hits over lookups by key family and over all, as `hit_ratio.<family>`, `hit_ratio.all`."""
    ratios = {}
    for family, names in (*_operations_by_family().items(), ("all", [*map(str, Operation)])):
        chosen = is_lookup & np.isin(operation, names)
        if chosen.any():
            ratios[f"hit_ratio.{family}"] = wilson(int(is_hit[chosen].sum()), int(chosen.sum()))
    return ratios


def _operations_by_family() -> dict[str, list[str]]:
    families: dict[str, list[str]] = {}
    for operation, family in FAMILY_OF.items():
        families.setdefault(family.value, []).append(operation.value)
    return families
