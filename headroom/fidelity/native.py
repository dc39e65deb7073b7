"""Native cells: each said before, hashed, offered, and told again given what the run saw.

A campaign is the folder `native` of an occasion. What is in it is not done again; a cell that was
INVALID is offered once more, under another number, and both are kept.
"""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from headroom.artefacts import Machine, Run, sha256_of
from headroom.errors import CalibrationError
from headroom.fidelity.artefacts import read, stored
from headroom.fidelity.cells import shuffled
from headroom.fidelity.measured import read_requests
from headroom.fidelity.native_costs import calibrated
from headroom.fidelity.native_design import (
    CELLS,
    IN_FLIGHT,
    MEASURED_S,
    WARMUP_S,
    System,
    highest_per_s,
    trace_at,
)
from headroom.fidelity.native_model import scale_of
from headroom.fidelity.native_predicted import (
    OFFERED_FACTOR,
    Said,
    plainer,
    said_of_closed,
    said_of_open,
    throughput_per_s,
)
from headroom.fidelity.native_records import (
    LATENCIES,
    MachineState,
    NativeCell,
    NativeCosts,
    NativeOccasion,
    NativePrediction,
    Weighing,
)
from headroom.fidelity.native_weighing import (
    Scales,
    cpu_of_a_request,
    offered_natively,
    stall_fraction,
)
from headroom.fidelity.predicted import latencies
from headroom.live import running_stack
from headroom.measure import conditions_of
from sim.kernel.__main__ import main as compile_kernel
from stack.load.run import LoadResult
from stack.local import StackInfo
from stack.observe.machine import facts_sha256, machine_facts

Say = Callable[[str], None]
NATIVE = "native"  # the folder of an occasion's native cells
MOST_ATTEMPTS = 2  # of a cell
NOTE = "native.md"


@dataclass(frozen=True)
class NativeCampaign:
    """One occasion on which native cells are offered."""

    folder: Path  # of all occasions
    occasion: str
    systems: tuple[System, ...]

    def place(self, system: System) -> Path:
        """Where the files of a system stand."""
        return self.folder / self.occasion / NATIVE / system.name

    def results(self, system: System) -> Iterator[NativeCell]:
        """All its cells, the invalid ones too, in the order in which they were offered."""
        cells = [read(path, NativeCell) for path in self.place(system).glob("*.cell.json")]
        yield from sorted(cells, key=lambda cell: cell.started_at)

    def missing(self, system: System) -> list[tuple[str, int]]:
        """(cell, attempt) that are still to be offered: those of a first attempt first."""
        found = list(self.results(system))
        attempts = dict.fromkeys(CELLS, 0) | {
            name: max(cell.attempt for cell in found if cell.cell == name)
            for name in {cell.cell for cell in found}
        }
        valid = {cell.cell for cell in found if cell.valid}
        order = shuffled(list(CELLS), f"{self.occasion}/{system.name}")
        return sorted(
            (
                (name, attempts[name] + 1)
                for name in order
                if name not in valid and attempts[name] < MOST_ATTEMPTS
            ),
            key=lambda pair: pair[1],
        )

    def occasion_found(self) -> NativeOccasion | None:
        """What is on disk of the occasion; None before the first."""
        cells = [cell for system in self.systems for cell in self.results(system)]
        if not cells:
            return None
        place = self.folder / self.occasion
        told = read(place / "machine.json", Machine).facts
        note = place / NOTE
        return NativeOccasion(
            name=self.occasion,
            note=note.read_text(encoding="utf-8").strip() if note.is_file() else "",
            machine={name: v for name, v in told.items() if isinstance(v, str | int | float)},
            calibrations={
                system.name: read(
                    self.place(system) / str(NativeCosts.FILE), NativeCosts
                ).duration_s
                for system in self.systems
                if (self.place(system) / str(NativeCosts.FILE)).is_file()
            },
            cells=tuple(sorted(cells, key=lambda cell: cell.started_at)),
        )

    def run(self, say: Say, *, most_cells: int | None = None) -> int:
        """Offer what is missing, at most so many cells; returns how many were."""
        by_name = {system.name: system for system in self.systems}
        facts = machine_facts()
        machine = Machine(facts=facts, sha256=facts_sha256(facts))
        stored(self.folder / self.occasion / "machine.json", machine)
        compile_kernel()  # minutes after a change of it: not while a calibrated stack waits
        left = most_cells if most_cells is not None else 10**9
        done = 0
        for name in shuffled(list(by_name), self.occasion):
            system = by_name[name]
            if self.missing(system) and done < left:
                say(f"{name}: {len(self.missing(system))} cells")
                done += self._run_system(system, left - done, say)
        return done

    def _run_system(self, system: System, most_cells: int, say: Say) -> int:
        place = self.place(system)
        done = 0
        with running_stack(
            system.scenario, lambda _line: None, name=f"native-{system.name}"
        ) as info:
            seed = _seed(self.occasion, system.name, "calibration")
            found = calibrated(system, info, place, seed, say)
            said = said_of_closed(found, system, _seed(self.occasion, system.name, "closed"))
            maximum_per_s = said.metrics["maximum_per_s"]
            say(f"  {maximum_per_s:.0f} req/s at most, it says")
            experiment = _Experiment(self, system, info, found, maximum_per_s)
            while done < most_cells and (missing := self.missing(system)):
                cell = experiment.cell(*missing[0])
                stored(place / f"{cell.cell}-{cell.attempt}.cell.json", cell)
                say(line(cell))
                done += 1
        return done


@dataclass(frozen=True)
class _Experiment:
    """A running system, calibrated."""

    campaign: NativeCampaign
    system: System
    info: StackInfo
    costs: NativeCosts
    maximum_per_s: float  # as the calibration says

    def cell(self, name: str, attempt: int) -> NativeCell:
        """Weigh, say what a cell will do, store and hash that, offer it, and explain it."""
        place = self.campaign.place(self.system)
        weighing = self._weighed(name, attempt)
        prediction = self._predicted(name, weighing)
        path = place / f"{name}-{attempt}.prediction.json"
        sha256 = stored(path, prediction)
        result, measured = self._offered(name, attempt, prediction)
        if sha256 != sha256_of(path):
            raise CalibrationError(f"{name}: the prediction was changed while it was measured")
        state = machine_state(result, self.costs)
        reasons = list(conditions_of(result.validity).reasons)
        for what, disturbed in (
            ("its calibration", self.costs.disturbed),
            ("what was weighed before", weighing.disturbed),
        ):
            if disturbed:
                reasons.append(f"{what}: {', '.join(disturbed)}")
        if not CELLS[name] and _is_kept_up_with(place, f"{name}-{attempt}"):
            reasons.append("the closed load did not saturate the stack")
        return NativeCell(
            system=self.system.name,
            replicas=self.system.replicas,
            mix=self.system.mix,
            cell=name,
            attempt=attempt,
            share=CELLS[name],
            load_per_s=prediction.load_per_s,
            requests=result.validity.requests,
            prediction_sha256=sha256,
            predicted_at=prediction.created_at,
            started_at=result.started_at,
            finished_at=result.finished_at,
            predicted=prediction.metrics,
            measured=measured,
            given=given_state(self.costs, self.system, prediction, state),
            predicted_cpu_s=prediction.cpu_s,
            state=state,
            plainer=prediction.plainer,
            scale=prediction.scale,
            weighed_per_s=weighing.load_per_s,
            conditions=conditions_of(result.validity).model_copy(
                update={"valid": not reasons, "reasons": tuple(reasons)}
            ),
        )

    def _weighed(self, name: str, attempt: int) -> Weighing:
        """What a request costs now, under a load that is not judged."""
        seed = _seed(self.campaign.occasion, self.system.name, f"{name}-{attempt}-weighing")
        run = Run(self.campaign.place(self.system))
        scales = Scales(run, self.system, self.info, self.costs.idle_cores, self.costs.cores)
        return scales.saturated(f"{name}-{attempt}-weighing", seed)

    def _predicted(self, name: str, weighing: Weighing) -> NativePrediction:
        occasion, place = self.campaign.occasion, self.campaign.place(self.system)
        seed = _seed(occasion, self.system.name, name.removesuffix("-again"))
        scale = scale_of(self.costs, weighing)
        if CELLS[name]:
            load_per_s = self._load_per_s(name)
            said = said_of_open(self.costs, self.system, load_per_s, seed, scale=scale)
            others = plainer(self.costs, self.system, load_per_s, said.costs)
        else:
            said = said_of_closed(self.costs, self.system, seed, scale)
            load_per_s = OFFERED_FACTOR * said.metrics["maximum_per_s"]
            others = ()
        return NativePrediction(
            system=self.system.name,
            cell=name,
            load_per_s=load_per_s,
            seed=seed,
            metrics=said.metrics,
            cpu_s=said.costs.by_component(),
            plainer=others,
            costs_sha256=sha256_of(place / str(NativeCosts.FILE)),
            weighing=weighing,
            scale=scale,
        )

    def _load_per_s(self, name: str) -> float:
        """A repeat has the load of what it repeats, even if that was before another calibration."""
        first = [
            cell.load_per_s
            for cell in self.campaign.results(self.system)
            if cell.share and cell.share == CELLS[name]
        ]
        return first[0] if first else CELLS[name] * highest_per_s(self.maximum_per_s)

    def _offered(
        self, name: str, attempt: int, prediction: NativePrediction
    ) -> tuple[LoadResult, dict[str, float]]:
        is_closed = not CELLS[name]
        trace = trace_at(self.system, prediction.load_per_s, prediction.seed)
        out, result = offered_natively(
            self.system,
            self.info,
            Run(self.campaign.place(self.system)),
            f"{name}-{attempt}",
            trace,
            warmup_s=WARMUP_S,
            in_flight=IN_FLIGHT if is_closed else 0,
        )
        if is_closed:
            done_s = pq.read_table(out).to_pandas().query("status < 400")["done_s"]
            return result, {"maximum_per_s": throughput_per_s(done_s.to_numpy(dtype=float))}
        requests = read_requests(out, len(trace))
        judged = (trace.arrival_s >= WARMUP_S)[: requests.latency_s.size] & requests.answered
        metrics = {"throughput_per_s": float(judged.sum()) / MEASURED_S}
        return result, metrics | latencies(requests.latency_s[judged])


def _is_kept_up_with(place: Path, name: str) -> bool:
    """Whether everything was sent that a closed load had to send: it was too little then."""
    due = pq.read_metadata(place / "traces" / f"{name}.parquet").num_rows
    return bool(pq.read_metadata(place / f"{name}.load.parquet").num_rows >= due)


def machine_state(result: LoadResult, costs: NativeCosts) -> MachineState:
    """What a run tells of the machine while it went on."""
    return MachineState(
        cpu_s=cpu_of_a_request(result, costs.idle_cores),
        stall_fraction=stall_fraction(result, costs.cores),
        foreign_fraction=result.validity.foreign_cpu_fraction,
        cores=costs.cores,
    )


def said_again(costs: NativeCosts, system: System, prediction: NativePrediction) -> Said:
    """What the model says of a cell from what was measured before it."""
    scale = scale_of(costs, prediction.weighing)
    load_per_s, seed = prediction.load_per_s, prediction.seed
    if CELLS[prediction.cell]:
        return said_of_open(costs, system, load_per_s, seed, scale=scale)
    return said_of_closed(costs, system, seed, scale)


def given_state(
    costs: NativeCosts, system: System, prediction: NativePrediction, state: MachineState
) -> dict[str, float]:
    """What the model says of a cell given the run's own state; nothing of a closed load."""
    if not CELLS[prediction.cell]:
        return {}
    load_per_s, seed = prediction.load_per_s, prediction.seed
    return said_of_open(costs, system, load_per_s, seed, state=state).metrics


def line(cell: NativeCell) -> str:
    """One cell in one line."""
    blind = [("maximum_per_s", False)] if not cell.share else [(m, False) for m in LATENCIES]
    texts = []
    for metric, _ in blind:
        error = cell.error(metric)
        again = cell.error(metric, given=True)
        if error is not None:
            given = f" ({again:+.0%} given the state)" if again is not None else ""
            texts.append(f"{metric.rpartition('_')[0]} {error:+.0%}{given}")
    state = "" if cell.valid else f"  INVALID: {'; '.join(cell.conditions.reasons)}"
    return f"  {cell.cell} ({cell.load_per_s:.0f}/s): {', '.join(texts)}{state}"


def _seed(occasion: str, system: str, cell: str) -> int:
    return zlib.crc32(f"{occasion}/native/{system}/{cell}".encode())
