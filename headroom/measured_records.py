"""What was calibrated, predicted and measured, as it is stored."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from headroom.records import Artefact, Estimate, Record


class Machine(Artefact):
    """The machine a run was made on."""

    facts: dict[str, Any]
    sha256: str


class Demand(Record):
    """CPU time that one request of an operation and cache outcome takes at one component."""

    operation: str
    outcome: Literal["hit", "miss", "none"]
    component: str
    cpu_s: Estimate
    cv: float
    samples: int


class Singles(Record):
    """Times of single requests of a class at low load: what CPU does not explain is a delay."""

    operation: str
    outcome: Literal["hit", "miss", "none"]
    latency_s: tuple[float, ...]
    # CPU time of a single request by component; waking up is in it. Empty: not measured.
    cpu_s: dict[str, float] = Field(default_factory=dict)


class Conditions(Record):
    """How disturbed the machine was while something was measured, and what that means."""

    planned_per_s: float
    achieved_per_s: float
    dispatch_lag_p50_s: float
    dispatch_lag_p99_s: float
    dispatch_lag_max_s: float
    generator_cpu_fraction: float
    steal_fraction: float
    foreign_cpu_fraction: float
    lower_cpu_fraction: float = 0.0  # of that, by processes of a lower priority
    dropped: int
    wrong_status: int
    speed_ratio: float  # of a fixed spin after the run to before it
    valid: bool
    reasons: tuple[str, ...]


class Calibration(Artefact):
    """Service demands measured at low load."""

    scenario_sha256: str
    machine_sha256: str
    started_at: datetime
    load_per_s: float
    cores: int
    demands: tuple[Demand, ...]
    singles: tuple[Singles, ...]
    generator_cpu_s: Estimate  # CPU time of the load generator for one request
    idle_fraction: float  # of the cores, used by the stack when nobody asks
    idle_cores: dict[str, float]  # the same by component, in cores
    index_lag_s: float  # from a product's update until searches are cleared
    conditions: Conditions


class PredictedCell(Record):
    """What the model says of one cell before it is measured."""

    cell: str
    load_per_s: float
    metrics: dict[str, Estimate]


class CurvePoint(Record):
    """The model's answer at one offered load."""

    load_per_s: float
    metrics: dict[str, Estimate]


class Capacity(Record):
    """The highest load at which the p95 objective holds, and what stops it."""

    load_per_s: Estimate
    bound_by: str
    utilisation: dict[str, float]  # of each component at that load


class Prediction(Artefact):
    """The blind prediction: made from scenario, calibration and traces, before any measurement."""

    scenario_sha256: str
    calibration_sha256: str
    engine: str
    seed: int
    cells: tuple[PredictedCell, ...]
    curve: tuple[CurvePoint, ...]  # this machine, all parts on its cores
    local: Capacity  # this machine
    production: Capacity  # the topology of the scenario, each instance on its own machine
    production_curve: tuple[CurvePoint, ...]
    replicas_for_peak: int
    replicas_for_concurrent_users: int | None
    steady_hit_ratio: dict[str, Estimate]  # by family and "all", at the mean load of a day
    mean_sojourn_s: float  # in production at the daily peak


class MeasuredCell(Record):
    """One load, offered once to the live stack."""

    cell: str
    load_per_s: float
    repeat: int
    started_at: datetime
    finished_at: datetime
    requests: int
    metrics: dict[str, Estimate]
    conditions: Conditions


class Summary(Artefact):
    """All measured cells, with the hash of the prediction that was there before the first."""

    scenario_sha256: str
    prediction_sha256: str
    prediction_at: datetime
    cells: tuple[MeasuredCell, ...]
    complete: bool = True


class ComparedCell(Record):
    """One metric at one load, predicted and measured. The field names are an interface."""

    metric: str
    load_per_s: float
    predicted: float
    predicted_low: float
    predicted_high: float
    measured: float
    measured_low: float
    measured_high: float
    error_fraction: float | None  # None where the measured value is 0
    valid: bool
