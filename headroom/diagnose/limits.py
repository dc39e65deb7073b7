"""How far a healthy run strays from its prediction, and from where on something is wrong.

A limit is `MARGIN` times the furthest that any healthy run of the learning occasion strayed (less
for neighbours' CPU), and never below a floor that has a meaning of its own. Nothing is learnt from
runs with a fault. `headroom fidelity diagnose-learn` writes `healthy.json` anew.
"""

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from statistics import fmean, pstdev

from headroom.artefacts import Record
from headroom.diagnose.records import Evidence, Figure, Measure

MARGIN = 2.0
# Neighbours come and go on a shared machine whatever is measured: their spread is wide already.
NEIGHBOUR_MARGIN = 1.3
FILE = "healthy.json"
# On which side a figure is bad news; the others are bad above their limit.
BELOW: frozenset[Measure] = frozenset({"share", "hits"})
FLOORS: Mapping[Measure, float] = {
    "dropped": 0.005,
    "unsent": 0.01,
    "generator_cpu": 0.8,
    "lag": 0.010,
    "foreign_cpu": 0.25,
    "wrong_status": 0.001,
    "errors": 0.005,
    "attempts": 0.02,
    "share": 0.06,
    "hits": 0.05,
    "examined": 1.0,
    "hold": 0.10,  # fewer hits send other reads to the database, whose mean demand differs
    "cpu": 1.5,
    "wait": 0.10,
    "outside": 0.005,
}


class Healthy(Record):
    """A figure over the healthy runs of the learning occasion."""

    runs: int
    mean: float
    deviation: float  # standard
    worst: float  # on the bad side


class Limits(Record):
    """From where on each figure is out of its limit."""

    healthy: dict[Measure, Healthy]
    floors: Mapping[Measure, float] = FLOORS

    @classmethod
    def known(cls) -> "Limits":
        """Those that were learnt; floors alone where nothing was."""
        file = files("headroom.diagnose") / FILE
        return cls.model_validate_json(file.read_bytes()) if file.is_file() else cls(healthy={})

    @classmethod
    def learnt(cls, runs: Iterable[Evidence]) -> "Limits":
        """From healthy runs."""
        seen: dict[Measure, list[float]] = {}
        for run in runs:
            for figure in run.figures:
                seen.setdefault(figure.measure, []).append(badness(figure))
        return cls(
            healthy={
                measure: Healthy(
                    runs=len(values),
                    mean=round(fmean(values), 6),
                    deviation=round(pstdev(values), 6),
                    worst=round(max(0.0, *values), 6),
                )
                for measure, values in sorted(seen.items())
            }
        )

    def of(self, measure: Measure) -> float:
        """The limit of a figure, in its own measure."""
        known = self.healthy.get(measure)
        margin = NEIGHBOUR_MARGIN if measure == "foreign_cpu" else MARGIN
        return max(self.floors[measure], margin * known.worst if known else 0.0)

    def strength(self, figure: Figure) -> float:
        """How far out of its limit: 1 is at it; below, nothing is said."""
        return badness(figure) / self.of(figure.measure)

    def stored(self) -> str:
        """As it is kept."""
        return json.dumps(self.model_dump(exclude={"floors"}), indent=1) + "\n"


def badness(figure: Figure) -> float:
    """How far a figure is off on its bad side; negative on the good one."""
    return -figure.deviation if figure.measure in BELOW else figure.deviation
