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
from pathlib import Path
from typing import Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from headroom.errors import ArtefactError
from headroom.judged_records import (
    BillArtefact,
    BillLine,
    ClaimVerdict,
    ExperimentResult,
    Experiments,
    JudgedClaim,
    JudgedLedger,
    ObjectiveResult,
    ObjectiveStatus,
    RepricedRecord,
    Status,
    Verdict,
)
from headroom.measured_records import (
    Calibration,
    Capacity,
    ComparedCell,
    Conditions,
    CurvePoint,
    Demand,
    Machine,
    MeasuredCell,
    PredictedCell,
    Prediction,
    Singles,
    Summary,
)
from headroom.records import (
    Artefact,
    Estimate,
    Record,
    now,
)
from sim.scenario import Scenario
from sim.scenario_file import dump_yaml, load_scenario

__all__ = [
    "FILES",
    "Artefact",
    "BillArtefact",
    "BillLine",
    "Calibration",
    "Capacity",
    "ClaimVerdict",
    "ComparedCell",
    "Comparison",
    "Conditions",
    "CurvePoint",
    "Demand",
    "Estimate",
    "ExperimentResult",
    "Experiments",
    "JudgedClaim",
    "JudgedLedger",
    "Machine",
    "MeasuredCell",
    "ObjectiveResult",
    "ObjectiveStatus",
    "PredictedCell",
    "Prediction",
    "Record",
    "RepricedRecord",
    "Run",
    "Singles",
    "Status",
    "Summary",
    "Verdict",
    "now",
    "replacing",
    "sha256_of",
]

A = TypeVar("A", bound=Artefact)

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
