"""Replications: warm-up removal, confidence intervals, sequential stopping, parallel sweeps."""

from sim.replicate.intervals import (
    Interval,
    batch_means_interval,
    batch_quantile_interval,
    mean_interval,
    paired_difference,
    quantile_interval,
)
from sim.replicate.sequential import replicate_until
from sim.replicate.sweep import sweep
from sim.replicate.warmup import mser5

__all__ = [
    "Interval",
    "batch_means_interval",
    "batch_quantile_interval",
    "mean_interval",
    "mser5",
    "paired_difference",
    "quantile_interval",
    "replicate_until",
    "sweep",
]
