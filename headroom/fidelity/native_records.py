"""What native cells leave on disk, in `runs/fidelity/<occasion>/native/<system>/`."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from headroom.artefacts import Artefact, Conditions, Record

LATENCIES = ("mean_s", "p50_s", "p95_s", "p99_s")
# What is promised, as the median of |error| over the valid cells: blind, and given what the run
# itself told of the machine.
BLIND = {"p50_s": 0.15, "mean_s": 0.25, "maximum_per_s": 0.10}
GIVEN = {"mean_s": 0.10, "p95_s": 0.10, "p99_s": 0.25}


class ClassCosts(Record):
    """CPU of one request by component, in bursts and alone; and its time alone."""

    operation: str
    outcome: str
    burst_s: dict[str, float]
    single_s: dict[str, float]
    latency_s: float  # alone, from sending to the last byte, median
    cv: float


class NativeCosts(Artefact):
    """The calibration of one start of one system.

    Args:
        generator_burst_s, generator_single_s: CPU of the load generator for a request.
        outside_s: more that a request takes when the generator sends it at low load, its CPU
            included; below 0 where it is the faster client.
        stall_fraction: of the time that a core is wanted, what the hypervisor kept.
        disturbed: why it should not be believed; empty when it may.
    """

    FILE: ClassVar[str] = "costs.json"

    system: str
    cores: int
    classes: tuple[ClassCosts, ...]
    generator_burst_s: float
    generator_single_s: float
    low_load_per_s: float
    outside_s: float
    idle_fraction: float  # of the cores, used when nobody asks
    idle_cores: dict[str, float]  # the same by component, in cores
    stall_fraction: float
    calibration_sha256: str
    duration_s: float
    disturbed: tuple[str, ...]


class Plain(Record):
    """What a plainer model says of a cell; None where it finds no steady state."""

    model: str
    mean_s: float | None
    p95_s: float | None


class NativePrediction(Artefact):
    """What is said of a cell before it is offered."""

    system: str
    cell: str
    load_per_s: float
    seed: int
    metrics: dict[str, float]
    cpu_s: dict[str, float]  # of a request, by component, the generator too
    plainer: tuple[Plain, ...]
    costs_sha256: str


class MachineState(Record):
    """What a run told of the machine while it went on: a prediction given it is not blind."""

    cpu_s: dict[str, float]  # of a request, by component
    stall_fraction: float
    foreign_fraction: float


class NativeCell(Artefact):
    """A cell, measured, beside what was said of it before and what is said of it now."""

    system: str
    replicas: int
    mix: str
    cell: str
    attempt: int = Field(ge=1)
    share: float  # of the predicted maximum; 0: closed load
    load_per_s: float
    requests: int
    prediction_sha256: str
    predicted_at: datetime
    started_at: datetime
    finished_at: datetime
    predicted: dict[str, float]
    measured: dict[str, float]
    given: dict[str, float]  # the model again, given the state; empty for closed load
    predicted_cpu_s: dict[str, float]
    state: MachineState
    plainer: tuple[Plain, ...]
    conditions: Conditions

    @property
    def valid(self) -> bool:
        """Whether the run may be believed."""
        return self.conditions.valid

    def error(self, metric: str, *, given: bool = False) -> float | None:
        """Said to measured, less one; None where either is missing."""
        said = (self.given if given else self.predicted).get(metric)
        seen = self.measured.get(metric)
        return said / seen - 1 if said is not None and seen else None


class NativeOccasion(Record):
    """All native cells of an occasion, in the order in which they were offered."""

    name: str
    note: str = ""
    machine: dict[str, Any]
    calibrations: dict[str, float]  # duration of each, s, by system
    cells: tuple[NativeCell, ...]
