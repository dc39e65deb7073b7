"""How fast one instance type's CPU is beside another's, for moving service demands between them.

Assumes: speed of a request's work goes with CoreMark per vCPU, to the spread stated.
Lies when: the work waits for memory or disk rather than the core; the type is burstable and out of
    credits; a vCPU is a hyperthread whose twin is busy.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sim.errors import InvalidScenario, Problem

# One CoreMark run per type; within one family, two sizes differ by 19 % per vCPU.
SCORE_SPREAD_FRACTION = 0.20


@dataclass(frozen=True)
class CpuScore:
    """CoreMark iterations/s of an instance type, with all its vCPUs busy."""

    sku: str
    vcpu: int
    coremark_per_vcpu: float
    as_of: str
    source: str
    confidence: str


@dataclass(frozen=True)
class CpuRatio:
    """A speed ratio with the range that the scores allow."""

    value: float
    low: float
    high: float


@cache
def cpu_scores() -> dict[str, CpuScore]:
    """All instance types with a score, by SKU.

    Returns: the scores; read from the package once.
    Source: Vantage CoreMark runs of 2025-12, in sim/data/cpu_scores.csv.

    >>> cpu_scores()["m5.large"].vcpu
    2
    """
    text = files("sim").joinpath("data", "cpu_scores.csv").read_text(encoding="utf-8")
    return {
        row["sku"]: CpuScore(
            sku=row["sku"],
            vcpu=int(row["vcpu"]),
            coremark_per_vcpu=float(row["coremark_per_vcpu"]),
            as_of=row["as_of"],
            source=row["source"],
            confidence=row["confidence"],
        )
        for row in csv.DictReader(text.splitlines())
    }


def cpu_ratio(from_sku: str, to_sku: str) -> CpuRatio:
    """Speed of one busy vCPU of `to_sku` relative to one of `from_sku`.

    A CPU demand measured on `from_sku` takes demand / ratio on `to_sku`. The scores are integer
    code in cache: memory, I/O and the interpreter are excluded, and so are burst credits (t3 and
    t4g scores are burst scores, not the sustained baseline).

    Args:
        from_sku: instance type that was measured, such as "m5.large".
        to_sku: instance type asked about.
    Returns: the ratio with ±20 %; exactly 1 for one and the same type.
    Raises: InvalidScenario for a type without a score.
    Source: Vantage CoreMark runs of 2025-12, in sim/data/cpu_scores.csv.

    >>> cpu_ratio("m5.large", "m5.large")
    CpuRatio(value=1.0, low=1.0, high=1.0)
    >>> r = cpu_ratio("m5.large", "c7g.large")  # 25945 / 14235
    >>> round(r.value, 3), round(r.low, 3), round(r.high, 3)
    (1.823, 1.458, 2.187)
    """
    scores = cpu_scores()
    for path, sku in (("from_sku", from_sku), ("to_sku", to_sku)):
        if sku not in scores:
            raise InvalidScenario(Problem(path, sku, f"one of {', '.join(sorted(scores))}"))
    if from_sku == to_sku:
        return CpuRatio(1.0, 1.0, 1.0)
    ratio = scores[to_sku].coremark_per_vcpu / scores[from_sku].coremark_per_vcpu
    return CpuRatio(ratio, ratio * (1 - SCORE_SPREAD_FRACTION), ratio * (1 + SCORE_SPREAD_FRACTION))
