"""CPU credits of burstable instances: how a day's curve earns and spends them, and what runs dry.

One credit is one vCPU busy for one minute. An instance earns at a fixed rate, keeps at most what it
earns in 24 h, and spends what its vCPUs do. In `standard` mode an instance without credits is held
at its baseline; in `unlimited` mode it goes on, on surplus credits that later earnings pay back,
and each surplus credit beyond a day's earnings is charged.

Assumes: all instances of a tier share the load evenly; nothing but requests takes CPU; the curve
    repeats, and has done so for long before the period that is reported.
Lies when: agents, the system or deploys take a notable share; the load balancer is uneven.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
import numpy.typing as npt

from sim.cost.pricebook import HOURS_PER_MONTH
from sim.errors import InvalidScenario, Problem, require
from sim.queueing.domain import non_negative, positive

Mode = Literal["unlimited", "standard"]


@dataclass(frozen=True)
class Burstable:
    """How an instance type earns credits.

    Attributes:
        credits_per_h: earned an hour, whatever it does.
        most_credits: that can be kept; also the surplus that may be owed before it is charged.
        baseline_fraction: of each vCPU, which spends just what is earned.
    """

    sku: str
    vcpu: int
    credits_per_h: float
    most_credits: float
    baseline_fraction: float
    source: str


@dataclass(frozen=True)
class CreditDay:
    """One period of a curve on one instance, after a period of getting used to it.

    Attributes:
        sku: the instance type.
        mode: `unlimited` or `standard`.
        hours: of each step's end since the beginning of the period.
        balance: credits kept less credits owed, at the end of each step.
        spent: credits spent in the period.
        earned: credits earned in the period, those lost at a full balance included.
        dry_from_h: hour of the period at which nothing is kept for the first time; None: never.
        dry_fraction: share of the period with nothing kept while more than the baseline was wanted.
        charged: surplus credits charged in the period; 0 in standard mode.
        withheld: credits wanted and not given, in vCPU-minutes; 0 in unlimited mode.
    """

    sku: str
    mode: Mode
    hours: npt.NDArray[np.float64]
    balance: npt.NDArray[np.float64]
    spent: float
    earned: float
    dry_from_h: float | None
    dry_fraction: float
    charged: float
    withheld: float

    @property
    def charged_per_month(self) -> float:
        """Surplus credits charged in a month of 730 h at this rate."""
        return self.charged / float(self.hours[-1]) * HOURS_PER_MONTH


@cache
def burstable_types() -> dict[str, Burstable]:
    """All types with CPU credits, by SKU.

    Returns: what each earns and keeps; read from the package once.
    Source: Amazon EC2 User Guide (URL in sim/data/burstable.csv).

    >>> kinds = burstable_types().values()
    >>> all(round(k.credits_per_h / 60 / k.vcpu, 9) == k.baseline_fraction for k in kinds)
    True
    """
    text = files("sim").joinpath("data", "burstable.csv").read_text(encoding="utf-8")
    return {
        row["sku"]: Burstable(
            sku=row["sku"],
            vcpu=int(row["vcpu"]),
            credits_per_h=float(row["credits_per_h"]),
            most_credits=float(row["most_credits"]),
            baseline_fraction=float(row["baseline_fraction"]),
            source=row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    }


def burstable(sku: str) -> Burstable:
    """How a type earns credits.

    Args:
        sku: such as "t3.medium".
    Returns: vCPUs, credits an hour, most credits and baseline.
    Raises: InvalidScenario naming those that do.
    Source: Amazon EC2 User Guide (URL in sim/data/burstable.csv).

    >>> burstable("t3.medium").credits_per_h  # 20 % of 2 vCPUs × 60 min
    24.0
    """
    types = burstable_types()
    if sku not in types:
        raise InvalidScenario(Problem("sku", sku, f"one of {', '.join(types)}"))
    return types[sku]


def credit_day(
    sku: str,
    busy_vcpus: npt.ArrayLike,
    step_s: float,
    *,
    mode: Mode = "unlimited",
    start: float = 0.0,
    used_to_it: bool = True,
) -> CreditDay:
    """Earn and spend credits along a curve of vCPUs kept busy.

    Args:
        sku: a type with credits, such as "t3.medium".
        busy_vcpus: vCPUs that the load wants busy in each step, 0 up; more than the type has is
            cut off.
        step_s: length of a step, s, > 0.
        mode: `unlimited` (the default of T3 and T4g) or `standard`.
        start: number of credits kept at the beginning, 0..most_credits; T3 and T4g start with none.
            Without effect where `used_to_it`.
        used_to_it: report a period after many such periods, not the first.
    Returns: the period that is reported.
    Raises: InvalidScenario outside those domains.
    Source: Amazon EC2 User Guide, burstable performance instances (URL in sim/data/burstable.csv).

    >>> day = credit_day("t3.medium", [1.0] * 24, 3600.0, used_to_it=False)
    >>> day.spent, day.earned  # one vCPU for a day; 24 an hour
    (1440.0, 576.0)
    >>> day.charged  # 864 owed, of which 576 may wait
    288.0
    """
    kind, step = burstable(sku), positive("step_s", step_s)
    require(mode in ("unlimited", "standard"), "mode", mode, "unlimited or standard")
    begin = non_negative("start", start)
    require(begin <= kind.most_credits, "start", start, f"at most {kind.most_credits:g}")
    wanted = np.asarray(busy_vcpus, dtype=np.float64)
    good = (
        wanted.ndim == 1 and wanted.size > 0 and bool(np.all(np.isfinite(wanted) & (wanted >= 0)))
    )
    require(good, "busy_vcpus", busy_vcpus, "a list of finite numbers, 0 or more")
    spend = np.minimum(wanted, kind.vcpu) * step / 60.0
    if used_to_it:
        # After many periods: who earns more than is spent has been full in the last one, who
        # spends more has been as deep down as it goes. One period from there is where it settles.
        deep = -kind.most_credits if mode == "unlimited" else 0.0
        saves = float(spend.mean()) <= kind.credits_per_h * step / 3600.0
        begin = _walk(kind, spend, step, mode, kind.most_credits if saves else deep).balance[-1]
    return _walk(kind, spend, step, mode, begin)


def bought_vcpu_h(
    sku: str, shape: npt.ArrayLike, levels: npt.ArrayLike, step_s: float
) -> npt.NDArray[np.float64]:
    """vCPU-hours bought a month in unlimited mode, at many levels of one curve at once.

    Args:
        sku: a type with credits.
        shape: the curve as factors on its mean, one a step, >= 0.
        levels: vCPUs that the mean keeps busy, >= 0; one loop, so at most one vCPU at any time.
        step_s: length of a step, s, > 0.
    Returns: vCPU-hours a month beyond what is earned, by level, after a period of getting used to
        it: `credit_day(…).charged_per_month / 60`.
    Raises: InvalidScenario outside those domains.
    Source: as `credit_day`, which a test holds it to.

    >>> bought_vcpu_h("t3.medium", [1.0] * 24, [0.4, 0.6], 3600.0).round(6).tolist()  # 0.2 × 730
    [0.0, 146.0]
    """
    kind, step = burstable(sku), positive("step_s", step_s)
    curve, mean = np.asarray(shape, np.float64), np.asarray(levels, np.float64)
    for name, values in (("shape", curve), ("levels", mean)):
        good = values.ndim == 1 and values.size > 0 and bool(np.all(np.isfinite(values)))
        require(
            good and bool(np.all(values >= 0)), name, values, "a list of finite numbers, 0 or more"
        )
    earn = kind.credits_per_h * step / 3600.0
    spent = np.minimum(np.outer(curve, mean), 1.0).mean(axis=0) * (step / 60.0)
    kept = np.where(spent <= earn, kind.most_credits, -kind.most_credits)
    beyond = np.zeros(mean.size)
    for _ in range(2):  # the first period is getting used to it, as in `credit_day`
        beyond[:] = 0.0
        for factor in curve:
            kept += earn - np.minimum(mean * factor, 1.0) * (step / 60.0)
            np.minimum(kept, kind.most_credits, out=kept)
            short = np.maximum(-kind.most_credits - kept, 0.0)
            beyond += short
            kept += short
    return np.asarray(beyond / (curve.size * step / 3600.0) * HOURS_PER_MONTH / 60.0)


def _walk(
    kind: Burstable, spend: npt.NDArray[np.float64], step_s: float, mode: Mode, start: float
) -> CreditDay:
    earn = kind.credits_per_h * step_s / 3600.0
    lowest = -kind.most_credits if mode == "unlimited" else 0.0
    if spend.max() <= earn:  # nothing is ever lacking: no step needs the one before it
        return _ample(kind, spend, step_s, mode, start)
    balance = np.empty(spend.size)
    kept, beyond, dry_steps, dry_from = start, 0.0, 0, None
    # Full, and never above what is earned: full it stays, and no step needs to be walked.
    stays = start >= kind.most_credits and float(spend.max()) <= earn
    balance[:] = kind.most_credits
    for index, cost in enumerate([] if stays else spend.tolist()):
        kept = min(kept + earn - cost, kind.most_credits)
        if kept < lowest:
            beyond += lowest - kept
            kept = lowest
        if kept <= 0.0 and cost > earn:
            dry_steps += 1
            dry_from = index if dry_from is None else dry_from
        balance[index] = kept
    hours = np.arange(1, spend.size + 1, dtype=np.float64) * (step_s / 3600.0)
    return CreditDay(
        sku=kind.sku,
        mode=mode,
        hours=hours,
        balance=balance,
        spent=float(spend.sum()) - (beyond if mode == "standard" else 0.0),
        earned=earn * spend.size,
        dry_from_h=None if dry_from is None else float(hours[dry_from]),
        dry_fraction=dry_steps / spend.size,
        charged=beyond if mode == "unlimited" else 0.0,
        withheld=beyond if mode == "standard" else 0.0,
    )


def _ample(
    kind: Burstable, spend: npt.NDArray[np.float64], step_s: float, mode: Mode, start: float
) -> CreditDay:
    """The walk where no step spends more than it earns: what it owes or keeps only rises."""
    earn = kind.credits_per_h * step_s / 3600.0
    steps = np.concatenate([[start], earn - spend])
    return CreditDay(
        sku=kind.sku,
        mode=mode,
        hours=np.arange(1, spend.size + 1, dtype=np.float64) * (step_s / 3600.0),
        balance=np.minimum(np.cumsum(steps)[1:], kind.most_credits),
        spent=float(spend.sum()),
        earned=earn * spend.size,
        dry_from_h=None,
        dry_fraction=0.0,
        charged=0.0,
        withheld=0.0,
    )
