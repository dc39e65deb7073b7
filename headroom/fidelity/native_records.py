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


class Weighing(Record):
    """What the mix cost for a few seconds under a load that is not judged; no latency is in it.

    Args:
        in_flight: of a closed load; 0: requests came by themselves.
        load_per_s: requests that were sent a second.
        cpu_s: of a request by component, the generator too; what nobody asked for taken off.
        shares: of all requests by class, "<operation>/<outcome>".
        stall_fraction: of the time that a core was wanted, what the hypervisor kept.
        disturbed: why it should not be believed; empty when it may.
    """

    in_flight: int
    load_per_s: float
    cpu_s: dict[str, float]
    shares: dict[str, float]
    stall_fraction: float
    disturbed: tuple[str, ...]


class NativeCosts(Artefact):
    """The calibration of one start of one system.

    Args:
        generator_single_s: CPU of the load generator for a request at low load.
        saturated: the mix with SATURATING in flight.
        steady: the mix at a third of that throughput.
        outside_s: more that a request takes when the generator sends it at low load, its CPU
            included; below 0 where it is the faster client.
        disturbed: why it should not be believed; empty when it may.
    """

    FILE: ClassVar[str] = "costs.json"

    system: str
    cores: int
    classes: tuple[ClassCosts, ...]
    generator_single_s: float
    saturated: Weighing
    steady: Weighing
    outside_s: float
    idle_fraction: float  # of the cores, used when nobody asks
    idle_cores: dict[str, float]  # the same by component, in cores
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
    weighing: Weighing  # just before, saturated
    scale: float  # of all costs: half of the way from the calibration to what was weighed


class MachineState(Record):
    """What a run told of the machine while it went on: a prediction given it is not blind."""

    cpu_s: dict[str, float]  # of a request, by component
    stall_fraction: float
    foreign_fraction: float
    cores: int = 0


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
    scale: float = 1.0  # of all costs, by what was weighed just before
    weighed_per_s: float | None = None  # throughput of the weighing just before
    conditions: Conditions

    @property
    def busy_fraction(self) -> float | None:
        """Of the cores, what requests and others used in the run; None for closed load."""
        cores = self.state.cores
        if not self.share or not cores:
            return None
        return (
            self.load_per_s * sum(self.state.cpu_s.values()) / cores + self.state.foreign_fraction
        )

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
