"""What the steps leave on disk: typed, versioned, hashed files under `runs/<id>/`.

`scenario.yaml · machine.json · calibration.json · prediction.json · traces/*.parquet ·
measurement.parquet · summary.json · comparison.json · bill.json · verdict.json · report.html`

Each JSON file has a schema version; `sha256` of a file's bytes is how one artefact names another.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from headroom.errors import ArtefactError
from sim.scenario import Scenario
from sim.scenario_file import dump_yaml, load_scenario

A = TypeVar("A", bound="Artefact")


def now() -> datetime:
    """The current time, UTC."""
    return datetime.now(UTC)


class Record(BaseModel):
    """Base of everything stored: frozen, unknown fields refused, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Estimate(Record):
    """A figure with its 95 % interval; `low` and `high` equal `value` where nothing varies."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Self:
        """A figure without spread."""
        return cls(value=value, low=value, high=value)


class Artefact(Record):
    """A file of a run; FILE is its name there where the class stands outside this module."""

    FILE: ClassVar[str] = ""

    schema_version: Literal[1] = 1
    created_at: datetime = Field(default_factory=now)


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


class BillLine(Record):
    """One line of the monthly bill."""

    item: str
    quantity: float
    unit: str
    unit_price_usd: float
    usd_per_month: Estimate
    source: str
    as_of: str
    confidence: str
    stated_usd: float | None = None
    component: str = ""
    basis: str = ""  # how the quantity comes about


class RepricedRecord(Record):
    """A line of the document's own cost table beside what the price book makes of it."""

    item: str
    stated_usd: float | None
    repriced_usd: Estimate | None


class BillArtefact(Artefact):
    """The monthly bill of the scenario's topology, beside what the document states."""

    book: str
    region: str
    purchase: str
    lines: tuple[BillLine, ...]
    total_usd: Estimate
    stated_total_usd: float | None
    usd_per_million_requests: Estimate
    usd_per_registered_user: Estimate
    repriced: tuple[RepricedRecord, ...] = ()
    excluded: tuple[str, ...] = ()  # what the bill leaves out
    usd_per_active_user: Estimate | None = None  # None where nobody is active
    stale: tuple[str, ...] = ()  # prices older than the scenario allows, or of unknown date
    oldest_months: float = 12.0


Status = Literal["PASS", "FAIL", "INVALID"]
ObjectiveStatus = Literal["PASS", "FAIL", "INVALID", "UNTESTED"]  # the last: not looked at


class ObjectiveResult(Record):
    """One objective: its target, what was measured and modelled, and whether it holds."""

    name: str
    target: str
    measured: Estimate | None
    modelled: Estimate | None
    unit: str
    status: ObjectiveStatus
    note: str = ""


class Verdict(Artefact):
    """The answer, first."""

    status: Status
    sentence: str
    capacity_per_s: Estimate
    peak_per_s: Estimate
    bound_by: str
    headroom_fraction: Estimate
    instances: int
    usd_per_month: Estimate
    objectives: tuple[ObjectiveResult, ...]
    actions: tuple[str, ...]
    valid_cells: int
    cells: int


class ExperimentResult(Record):
    """One figure found by trying it on a live stack."""

    value: Estimate
    unit: str
    samples: int
    how: str  # what was done, in a sentence


class Experiments(Artefact):
    """What was tried on the live stack for the claims of a document."""

    scenario_sha256: str
    machine_sha256: str
    started_at: datetime
    seed: int
    results: dict[str, ExperimentResult]
    failed: dict[str, str] = {}  # experiments that gave no figure, and why


ClaimVerdict = Literal["holds", "holds if", "does not hold", "cannot be tested here"]


class JudgedClaim(Record):
    """A claim beside what was found."""

    id: str
    section: str
    statement: str
    stated: str
    tested_by: tuple[str, ...]  # formula, simulation, price book, live run
    formula: str
    result: Estimate | None
    unit: str
    verdict: ClaimVerdict
    why: str
    evidence: tuple[str, ...]  # files that hold the figures
    how: str = ""  # what was done on the live stack, for a figure found there


class JudgedLedger(Artefact):
    """Every claim of a document with its verdict."""

    document: str
    scenario: str
    scenario_sha256: str
    seed: int
    claims: tuple[JudgedClaim, ...]
    stale_prices: tuple[str, ...] = ()  # behind claims of money: too old, or of unknown date


Comparison = TypeAdapter(tuple[ComparedCell, ...])

FILES: dict[type[Artefact], str] = {
    Machine: "machine.json",
    Calibration: "calibration.json",
    Prediction: "prediction.json",
    Summary: "summary.json",
    BillArtefact: "bill.json",
    Verdict: "verdict.json",
    Experiments: "experiments.json",
    JudgedLedger: "claims.json",
}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal text."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class Run:
    """The folder of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, root: Path, scenario: Scenario) -> Self:
        """A new folder `root/<time>-<scenario>` holding `scenario.yaml`."""
        stamp = now().strftime("%Y%m%d-%H%M%S")
        for attempt in range(100):
            suffix = f"-{attempt + 1}" if attempt else ""
            folder = root / f"{stamp}-{scenario.name}{suffix}"
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            with replacing(folder / "scenario.yaml") as path:
                path.write_text(dump_yaml(scenario), encoding="utf-8")
            return cls(folder)
        raise ArtefactError(f"{root}: no free name for a run of {scenario.name!r}")

    @classmethod
    def open(cls, folder: Path) -> Self:
        """An existing run; raises ArtefactError when the folder is none."""
        if not (folder / "scenario.yaml").is_file():
            raise ArtefactError(f"{folder} is no run: it has no scenario.yaml")
        return cls(folder)

    @property
    def scenario(self) -> Scenario:
        """The scenario of this run."""
        return load_scenario(self.folder / "scenario.yaml")

    @property
    def scenario_sha256(self) -> str:
        """Hash of the run's scenario file."""
        return sha256_of(self.folder / "scenario.yaml")

    def path(self, kind: type[Artefact]) -> Path:
        """Where an artefact of that kind stands."""
        return self.folder / (kind.FILE or FILES[kind])

    def has(self, kind: type[Artefact]) -> bool:
        """Whether that step has been done."""
        return self.path(kind).is_file()

    def write(self, artefact: Artefact) -> str:
        """Store an artefact atomically; returns the SHA-256 of the stored bytes."""
        path = self.path(type(artefact))
        with replacing(path) as temporary:
            temporary.write_text(artefact.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return sha256_of(path)

    def read(self, kind: type[A]) -> A:
        """Read an artefact back; raises ArtefactError when it is missing or of another version."""
        path = self.path(kind)
        try:
            return kind.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            step = path.stem
            raise ArtefactError(
                f"{path} is missing: the step that writes {step} has not run"
            ) from None
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise ArtefactError(f"{path}: {where}: {fault['msg']}") from error

    def sha256(self, kind: type[Artefact]) -> str:
        """Hash of a stored artefact."""
        return sha256_of(self.path(kind))

    def write_comparison(self, cells: tuple[ComparedCell, ...]) -> None:
        """Store comparison.json, a plain list of cells."""
        with replacing(self.folder / "comparison.json") as path:
            path.write_bytes(Comparison.dump_json(cells, indent=1))

    def read_comparison(self) -> tuple[ComparedCell, ...]:
        """Read comparison.json back."""
        return Comparison.validate_python(
            json.loads((self.folder / "comparison.json").read_text(encoding="utf-8"))
        )
