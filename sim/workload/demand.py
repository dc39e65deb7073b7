"""Demand as a rate over time: constant, diurnal or recorded, scaled to any daily total.

A curve is a row of equal steps, each with its own rate, repeated for ever. Its mean is the daily
total over 86,400 s, exactly, whatever its shape.

Assumes: each day, or each pass of the recording, is like the one before; the daily total is that of
    a mean day.
Lies when: weekends, seasons and campaigns differ; growth within the period.
"""

import csv
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import InvalidScenario, Problem, require
from sim.scenario import Workload

DAY_S = 86_400.0
_DIURNAL_STEP_S = 10.0
_RECORDED_STEP_S = 60.0


@dataclass(frozen=True)
class Demand:
    """Request rate over time.

    Args:
        step_s: length of one step, s, > 0.
        shape: rate of each step relative to the mean, ≥ 0, with mean 1; repeats after its end.
        mean_load_per_s: mean rate, requests/s, ≥ 0.
    """

    step_s: float
    shape: NDArray[np.float64]
    mean_load_per_s: float

    @property
    def period_s(self) -> float:
        """Time after which the curve repeats, s."""
        return self.step_s * self.shape.size

    @property
    def peak_load_per_s(self) -> float:
        """Rate of the highest step, requests/s."""
        return self.mean_load_per_s * float(self.shape.max())

    def load_per_s(self, time_s: ArrayLike) -> NDArray[np.float64]:
        """Rate at given times, requests/s.

        Args:
            time_s: s since the start of the curve (midnight), any finite numbers.

        >>> Demand(60.0, np.array([0.5, 1.5]), 10.0).load_per_s([0.0, 61.0, 120.0]).tolist()
        [5.0, 15.0, 5.0]
        """
        place = np.floor(np.mod(np.asarray(time_s, dtype=np.float64), self.period_s) / self.step_s)
        step = np.minimum(place.astype(np.int64), self.shape.size - 1)
        return np.asarray(self.shape[step] * self.mean_load_per_s)

    def expected_requests(self, time_s: ArrayLike) -> NDArray[np.float64]:
        """Mean number of requests in [0, time_s].

        >>> Demand(60.0, np.array([0.5, 1.5]), 10.0).expected_requests([30.0, 120.0]).tolist()
        [150.0, 1200.0]
        """
        periods, rest = np.divmod(np.asarray(time_s, dtype=np.float64), self.period_s)
        within = np.interp(rest, np.arange(self.shape.size + 1) * self.step_s, self._cumulative())
        return np.asarray((periods * self.shape.size + within) * self.step_s * self.mean_load_per_s)

    def time_of(self, requests: ArrayLike) -> NDArray[np.float64]:
        """The time at which a mean number of requests has come: inverse of `expected_requests`.

        >>> Demand(60.0, np.array([0.5, 1.5]), 10.0).time_of([150.0, 1200.0]).tolist()
        [30.0, 120.0]
        """
        require(self.mean_load_per_s > 0, "demand.mean_load_per_s", self.mean_load_per_s, "> 0")
        steps = np.asarray(requests, dtype=np.float64) / (self.mean_load_per_s * self.step_s)
        periods, rest = np.divmod(steps, float(self.shape.size))
        within = np.interp(rest, self._cumulative(), np.arange(self.shape.size + 1) * self.step_s)
        return np.asarray(periods * self.period_s + within)

    def scaled_to(self, requests_per_day: float) -> "Demand":
        """The same shape with another mean daily total, ≥ 0.

        >>> Demand(60.0, np.array([1.0]), 10.0).scaled_to(86_400.0).mean_load_per_s
        1.0
        """
        good = math.isfinite(requests_per_day) and requests_per_day >= 0
        require(good, "demand.requests_per_day", requests_per_day, "a number ≥ 0")
        return Demand(self.step_s, self.shape, requests_per_day / DAY_S)

    def _cumulative(self) -> NDArray[np.float64]:
        sums = np.concatenate([[0.0], np.cumsum(self.shape)])
        return np.asarray(sums * (self.shape.size / sums[-1]))


def demand_of(workload: Workload) -> Demand:
    """The demand curve of a workload, from midnight of its first day.

    Args:
        workload: its users give the daily total, its profile the shape.
    Returns: the curve; for `constant` one step, for `diurnal` see `diurnal_shape`, for `recorded`
        the recording, in minutes, with its own weekdays and peaks.
    Raises: InvalidScenario for an unknown recording, or one whose highest minute is not the
        profile's `peak_to_mean`: a scenario states the peak that the models are going to see.
    Source: `diurnal_shape`; recordings name theirs in sim/data.

    >>> from sim.example import shop
    >>> curve = demand_of(shop().workload)
    >>> curve.mean_load_per_s, round(float(curve.shape.max()), 2)  # the peak is twice the mean
    (10.0, 2.0)
    """
    profile = workload.profile
    if profile.kind == "constant":
        return Demand(DAY_S, np.ones(1), workload.mean_load_per_s)
    if profile.kind == "diurnal":
        shape = diurnal_shape(profile.peak_to_mean, profile.peak_hour)
        return Demand(_DIURNAL_STEP_S, shape, workload.mean_load_per_s)
    shape = _recorded_shape(str(profile.recording))
    peak = float(shape.max())
    require(
        abs(profile.peak_to_mean / peak - 1.0) < 0.01,
        "workload.profile.peak_to_mean",
        profile.peak_to_mean,
        f"{peak:.2f}, the highest minute of {profile.recording!r} over its mean",
    )
    return Demand(_RECORDED_STEP_S, shape, workload.mean_load_per_s)


def diurnal_shape(peak_to_mean: float, peak_hour: float) -> NDArray[np.float64]:
    """A day with one peak: rate ∝ exp(κ cos(2π(h - peak_hour)/24)), in steps of 10 s, mean 1.

    κ is set so that the highest step is `peak_to_mean`. Unlike 1 + a·cos, which ends at 2, this
    reaches any peak without a negative rate. For 2.5 the trough is 0.25 of the mean.

    Args:
        peak_to_mean: highest over mean rate, 1 … 1000.
        peak_hour: hour of the day of the peak, 0 ≤ h < 24, rounded to the middle of a step.
    Returns: float64[8640].
    Raises: InvalidScenario outside those domains.
    Source: the von Mises density [mardia2000, §3.5.4], common for times of day.

    >>> shape = diurnal_shape(2.5, 20.0)
    >>> round(float(shape.mean()), 9), round(float(shape.max()), 9), int(shape.argmax()) // 360
    (1.0, 2.5, 20)
    """
    good = math.isfinite(peak_to_mean) and 1 <= peak_to_mean <= 1000
    require(good, "profile.peak_to_mean", peak_to_mean, "a number from 1 to 1000")
    good = math.isfinite(peak_hour) and 0 <= peak_hour < 24
    require(good, "profile.peak_hour", peak_hour, "a number ≥ 0 and < 24")
    return _diurnal_shape(float(peak_to_mean), float(peak_hour))


@lru_cache(maxsize=16)
def _diurnal_shape(peak_to_mean: float, peak_hour: float) -> NDArray[np.float64]:
    steps = int(DAY_S / _DIURNAL_STEP_S)
    peak_step = int(peak_hour * 3600.0 / _DIURNAL_STEP_S)
    below_peak = np.cos(2.0 * np.pi * (np.arange(steps) - peak_step) / steps) - 1.0

    def curve(kappa: float) -> NDArray[np.float64]:
        values = np.exp(kappa * below_peak)
        return np.asarray(values / values.mean())

    low, high = 0.0, 1.0
    while curve(high).max() < peak_to_mean:
        low, high = high, high * 2.0
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if curve(middle).max() < peak_to_mean else (low, middle)
    shape = curve(high)
    shape.setflags(write=False)
    return shape


@lru_cache(maxsize=4)
def _recorded_shape(name: str) -> NDArray[np.float64]:
    folder = files("sim") / "data" / "recordings"
    known = sorted(f.name.removesuffix(".csv") for f in folder.iterdir() if ".csv" in f.name)
    if name not in known:
        raise InvalidScenario(
            Problem("workload.profile.recording", name, f"one of {', '.join(known)}")
        )
    with (folder / f"{name}.csv").open(encoding="utf-8") as rows:
        counts = np.array([float(row["requests"]) for row in csv.DictReader(rows)])
    shape = counts / counts.mean()
    shape.setflags(write=False)
    return np.asarray(shape)
