"""What a replay leaves in `runs/fidelity/<occasion>/replay/`. All times are real seconds."""

from datetime import datetime

from headroom.artefacts import Artefact, Conditions, Record
from headroom.fidelity.artefacts import Constants

FOLDER = "replay"  # in that of the occasion
FILE = "replay.json"


class Serving(Record):
    """From when on how many machines served."""

    from_s: float
    machines: int


class Range(Record):
    """Nine of ten."""

    low: float
    high: float


class PredictedWindow(Record):
    """A stretch of the replay: requests by their time of arrival, machines on average."""

    until_s: float
    requests: int
    failed: int
    mean_s: float
    p95_s: float
    machines: float
    p95_range_s: Range | None = None  # over other arrivals and demands
    machines_range: Range | None = None


class PredictedReplay(Artefact):
    """What was foretold before the first request was offered."""

    scenario: str
    minutes: float  # of the day
    scale: float
    speed: float  # seconds of the day for each real one
    seed: int
    times_the_day: float  # how many times the scenario's own crowd
    period_s: float
    boot_s: float
    constants: Constants
    requests: int
    failed: int
    serving: tuple[Serving, ...]
    windows: tuple[PredictedWindow, ...]
    kin: tuple[Range, ...]  # machines at the end of each period, were overheads a little different
    kin_fraction: float  # of the time in which those have as many machines as foretold, on average
    longest_s: float  # that any request takes


class Look(Record):
    """What the live autoscaler saw and wanted at the end of a period."""

    at_s: float
    used_fraction: float
    active: int
    wanted: int


class MeasuredReplay(Artefact):
    """The replay beside what was foretold.

    Args:
        same_fraction, near_fraction: of the time, in which as many machines served as foretold, or
            one more or less.
        kin_fraction: of the periods' ends, at which as many machines served as nine of ten kin of
            the prediction have.
        lag_periods: by how many of its periods the live autoscaler was later than foretold, where
            both agree best.
        same_decisions: of the foretold ones, those that the live autoscaler made at the same look.
        plainer_fraction: as `same_fraction`, foretold by the mean curve alone.
        busy_error: slot-seconds that the replicas told the autoscaler of, to those of the model,
            less one.
        boot_late_s: the latest that a machine served after it should have.
        correlation: of single requests' times.
    """

    occasion: str
    prediction: PredictedReplay
    prediction_sha256: str
    started_at: datetime
    finished_at: datetime
    conditions: Conditions
    overruns_fraction: float
    requests: int
    failed: int
    serving: tuple[Serving, ...]
    looks: tuple[Look, ...]
    windows: tuple[PredictedWindow, ...]  # the same figures, measured
    same_fraction: float
    near_fraction: float
    kin_fraction: float
    lag_periods: float
    plainer_fraction: float
    busy_error: float
    decisions: int
    predicted_decisions: int
    same_decisions: int
    boot_late_s: float
    boots_failed: int
    correlation: float | None
    machine_sha256: str

    @property
    def valid(self) -> bool:
        """Whether the run may be believed."""
        return self.conditions.valid
