"""Each promise, in how many cells it was kept, and how far off the figures were."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from headroom.fidelity.artefacts import MeasuredFidelity
from headroom.fidelity.compared import TOLERANCES
from headroom.fidelity.record import kept, of_kind

NAMES = {
    "throughput_per_s": "throughput",
    "mean_s": "mean",
    "p50_s": "p50",
    "p95_s": "p95",
    "p99_s": "p99",
    "utilisation": "utilisation",
    "hit_ratio": "hit ratio",
}


@dataclass(frozen=True)
class Promise:
    """One figure, over the cells that have it. Errors are relative, or of shares the difference.

    Attributes:
        kind: metric; utilisations of all machines and hit ratios of all families are one kind.
        limit: error that is promised not to be exceeded.
        cells: that have the figure; `kept`: in so many of them all its parts kept the promise.
        median_error: of its absolute values.
        worst_error: with its sign.
        covered: for each figure with a 90 % range, whether it lay inside.
        is_points: errors are differences of shares.
    """

    kind: str
    limit: float
    cells: int
    kept: int
    median_error: float
    worst_error: float
    covered: tuple[bool, ...]
    is_points: bool

    @property
    def name(self) -> str:
        """For readers."""
        return NAMES[self.kind]

    def shown(self, error: float, *, sign: bool = False) -> str:
        """An error of this figure, with its unit."""
        return shown(error, self.is_points, sign=sign)


def promises(cells: Sequence[MeasuredFidelity]) -> tuple[Promise, ...]:
    """One for each figure that any of the cells has, in the order in which they are promised."""
    found = []
    for kind, limit in TOLERANCES.items():
        metrics = [metric for cell in cells for metric in of_kind(cell, kind)]
        if metrics:
            found.append(
                Promise(
                    kind=kind,
                    limit=limit,
                    cells=sum(bool(of_kind(cell, kind)) for cell in cells),
                    kept=kept(cells, kind),
                    median_error=median(abs(metric.error) for metric in metrics),
                    worst_error=max((metric.error for metric in metrics), key=abs),
                    covered=tuple(m.covered for m in metrics if m.covered is not None),
                    is_points=metrics[0].is_points,
                )
            )
    return tuple(found)


def shown(error: float, is_points: bool, *, sign: bool = True) -> str:
    """An error in percent, or in percentage points."""
    plus = "+" if sign else ""
    return f"{error * 100:{plus}.2f} pp" if is_points else f"{error * 100:{plus}.1f} %"
