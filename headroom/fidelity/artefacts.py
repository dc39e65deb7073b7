"""What a cell leaves on disk, in `runs/fidelity/<occasion>/<topology>/`.

`constants.json · <cell>.prediction.json · <cell>.trace.parquet · <cell>.load.parquet ·
<cell>.json`. The prediction is written first, and its hash is in the cell's own file.
"""

from datetime import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from headroom.artefacts import Artefact, Conditions, Record, replacing, sha256_of
from headroom.errors import ArtefactError

A = TypeVar("A", bound=Artefact)


class Constants(Record):
    """The model's only fitted figures: real time that no gate holds, found at low load.

    Args:
        outside_s: of every request: network, balancer, the replica's own work.
        visit_s: more for each hold: waking up after it.
        requests: that they were fitted to.
        overhead_fraction: both together, of a request's mean time in holds.
        needed_scale: at which that would be within the limit; the given one where it is.
        overruns_fraction: holds that were shorter than the real call inside.
    """

    outside_s: float
    visit_s: float
    requests: int
    overhead_fraction: float
    needed_scale: float
    overruns_fraction: float


class FittedConstants(Artefact):
    """The constants of one start of one topology, and how disturbed the machine was."""

    topology: str
    scale: float
    load_per_s: float
    constants: Constants
    conditions: Conditions


class PredictedFidelity(Artefact):
    """A cell's prediction: that of its very requests, and the 90 % range over other draws."""

    topology: str
    cell: str
    scale: float
    seed: int
    load_per_s: float
    metrics: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    constants: Constants


class ComparedMetric(Record):
    """One figure, predicted and measured, both in dilated time.

    `error` is relative (predicted to measured, less one), but a plain difference where `is_points`:
    for ratios that lie between 0 and 1. `tolerance` is what was promised; None: nothing was.
    """

    metric: str
    predicted: float
    measured: float
    error: float
    is_points: bool
    tolerance: float | None
    covered: bool | None  # whether the distributional range holds the measured figure

    @property
    def inside(self) -> bool:
        """Whether the promise was kept; true where nothing was promised."""
        return self.tolerance is None or abs(self.error) <= self.tolerance


class WarmUp(Record):
    """Hit ratio of the look-ups of a stretch of a cell that began with an empty cache."""

    until_s: float
    lookups: int
    predicted: float
    measured: float


class MeasuredFidelity(Artefact):
    """A cell, measured and compared."""

    topology: str
    cell: str
    target: float
    scale: float
    load_per_s: float
    prediction_sha256: str
    predicted_at: datetime
    started_at: datetime
    finished_at: datetime
    requests: int
    conditions: Conditions
    overruns_fraction: float  # of the holds
    metrics: tuple[ComparedMetric, ...]
    correlation: float | None  # of single requests' times; None with fewer than two
    residual_p50_s: float  # of |measured - predicted|, single requests
    residual_p95_s: float
    residual_s_by_part: dict[str, float]  # mean of measured less predicted, by what was called
    same_outcome_fraction: float  # of look-ups: found or not, as predicted
    says: str  # where the residual comes from
    warm_up: tuple[WarmUp, ...] = ()  # of a cell that is judged from an empty cache on
    machine_sha256: str

    @property
    def valid(self) -> bool:
        """Whether the run may be believed."""
        return self.conditions.valid


def stored(path: Path, artefact: Artefact) -> str:
    """Write an artefact; returns the SHA-256 of its bytes."""
    with replacing(path) as temporary:
        temporary.write_text(artefact.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return sha256_of(path)


def read(path: Path, kind: type[A]) -> A:
    """Read one back; raises ArtefactError when it is missing or of another version."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtefactError(f"{path} is missing") from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ArtefactError(f"{path}: {where}: {fault['msg']}") from error
