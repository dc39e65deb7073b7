"""The list of cells, one after the other: each predicted, hashed, offered, compared, kept.

A campaign is a folder, `runs/fidelity/<occasion>/`. Whatever is in it is not done again, so that an
interrupted one goes on where it was. Only one cell is ever offered at a time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from headroom.artefacts import Machine, replacing, sha256_of
from headroom.diagnose.emulated import evidence_of
from headroom.dilation import emulation_of
from headroom.errors import CalibrationError
from headroom.fidelity.artefacts import (
    Constants,
    FittedConstants,
    MeasuredFidelity,
    read,
    stored,
)
from headroom.fidelity.cells import LOW_S, LOW_TARGET, WARMUP_S, Cell, seed_of, shuffled
from headroom.fidelity.compared import compared
from headroom.fidelity.constants import fitted
from headroom.fidelity.measured import offered
from headroom.fidelity.predicted import at_load, load_for, model_of, predicted, simulated
from headroom.fidelity.topologies import Topology
from headroom.live import running_stack
from stack.local import StackInfo
from stack.observe.machine import facts_sha256, machine_facts

Say = Callable[[str], None]
TRIES = 2  # of a disturbed low load, before the topology is given up for this time


@dataclass(frozen=True)
class Campaign:
    """One occasion on which cells are offered."""

    folder: Path
    occasion: str
    topologies: tuple[Topology, ...]

    def place(self, topology: Topology) -> Path:
        """Where the files of a topology stand."""
        return self.folder / self.occasion / topology.name

    def cells(self, topology: Topology) -> tuple[Cell, ...]:
        """The cells of a topology, in the shuffled order in which they are offered."""
        names = {f"at-{target * 100:.0f}": target for target in topology.targets}
        return tuple(
            self._cell(topology, name, names[name]) for name in shuffled(list(names), self.occasion)
        )

    def low(self, topology: Topology) -> Cell:
        """The low load to which the constants are fitted."""
        return self._cell(topology, "low", LOW_TARGET, WARMUP_S + LOW_S)

    def _cell(
        self, topology: Topology, name: str, target: float, duration_s: float | None = None
    ) -> Cell:
        seed = seed_of(self.occasion, topology.name, name)
        cell = Cell(name, target, 1.0, seed, topology.warmup_s)
        if duration_s is not None:  # nothing is judged: whoever asks
            cell = Cell(name, target, 1.0, seed, WARMUP_S, duration_s)
            return replace(cell, load_per_s=load_for(topology, cell, target))
        return at_load(topology, cell, target)

    def missing(self, topology: Topology) -> list[str]:
        """Names of the cells that were not measured yet."""
        names = [f"at-{target * 100:.0f}" for target in topology.targets]
        return [name for name in names if not (self.place(topology) / f"{name}.json").is_file()]

    def results(self) -> Iterator[MeasuredFidelity]:
        """All cells that were measured, in the order of the topologies and their loads."""
        for topology in self.topologies:
            paths = [
                path
                for path in self.place(topology).glob("at-*.json")
                if path.suffixes == [".json"]  # a prediction has one more
            ]
            found = [read(path, MeasuredFidelity) for path in paths]
            yield from sorted(found, key=lambda cell: cell.target)

    def run(self, say: Say, *, most_cells: int | None = None) -> int:
        """Do what is missing, at most so many cells; returns how many were done.

        A topology whose low load is disturbed is left for another call.
        """
        left = most_cells if most_cells is not None else 10**9
        by_name = {topology.name: topology for topology in self.topologies}
        order = shuffled(list(by_name), self.occasion)
        done = 0
        for topology in map(by_name.__getitem__, order):
            missing = self.missing(topology)[: left - done]
            if not missing:
                continue
            say(f"{topology.name}: {topology.says}; {len(missing)} cells")
            try:
                done += self._run_topology(topology, set(missing), say)
            except CalibrationError as error:
                say(f"left for later: {error}")
        return done

    def _run_topology(self, topology: Topology, missing: set[str], say: Say) -> int:
        place = self.place(topology)
        emulation = emulation_of(model_of(topology), topology.scenario.time.scale)
        name = f"fidelity-{topology.name}"
        with running_stack(
            topology.scenario, lambda _: None, name=name, emulation=emulation
        ) as info:
            constants = self._constants(topology, info, say).constants
            cells = [cell for cell in self.cells(topology) if cell.name in missing]
            for cell in cells:
                found = measured_cell(topology, cell, constants, info, place)
                stored(place / f"{cell.name}.json", found)
                say(line(found))
        return len(cells)

    def _constants(self, topology: Topology, info: StackInfo, say: Say) -> FittedConstants:
        """Those of this start of the stack: fitted again at each, for the machine drifts."""
        for tries_left in reversed(range(TRIES)):
            try:
                found = fitted(topology, self.low(topology), info, self.place(topology))
                break
            except CalibrationError as error:
                if not tries_left or "needed" in str(error):
                    raise
                say(f"again: {error}")
        stored(self.place(topology) / "constants.json", found)
        constants = found.constants
        say(
            f"  outside the holds {constants.outside_s * 1e3:.1f} ms a request and "
            f"{constants.visit_s * 1e3:.1f} ms a hold, {constants.overhead_fraction:.0%} of them"
        )
        return found


def measured_cell(
    topology: Topology, cell: Cell, constants: Constants, info: StackInfo, place: Path
) -> MeasuredFidelity:
    """Predict a cell, store and hash that, offer it to the running stack, and compare.

    What a diagnosis needs is kept beside it.
    """
    prediction = predicted(topology, cell, constants)
    sha256 = stored(place / f"{cell.name}.prediction.json", prediction)
    model = model_of(topology, constants)
    exact = simulated(topology, cell, model)
    found = offered(topology, cell, exact.trace, info, place)
    evidence = evidence_of(topology, cell, model, exact, found, info=info, place=place)
    stored(place / f"{cell.name}.evidence.json", evidence)
    if sha256 != sha256_of(place / f"{cell.name}.prediction.json"):
        raise CalibrationError(f"{cell.name}: the prediction was changed while it was measured")
    return compared(
        topology,
        cell,
        exact,
        found,
        prediction=prediction,
        prediction_sha256=sha256,
        machine_sha256=_machine(place.parent),
    )


def line(found: MeasuredFidelity) -> str:
    """One cell in one line."""
    errors = {metric.metric: metric for metric in found.metrics}
    parts = [
        f"{name[:-2].replace('_', ' ')} {errors[name].error:+.1%}"
        for name in ("mean_s", "p95_s", "p99_s", "job_mean_s", "job_p95_s")
        if name in errors
    ]
    if "hit_ratio.all" in errors:
        parts.append(f"hits {errors['hit_ratio.all'].error * 100:+.2f} pp")
    if found.correlation is not None:
        parts.append(f"r {found.correlation:.4f}")
    state = "" if found.valid else f"  INVALID: {'; '.join(found.conditions.reasons)}"
    return f"  {found.cell} ({found.load_per_s:.1f}/s): {', '.join(parts)}{state}"


def _machine(folder: Path) -> str:
    facts = machine_facts()
    machine = Machine(facts=facts, sha256=facts_sha256(facts))
    with replacing(folder / "machine.json") as path:
        path.write_text(machine.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return machine.sha256
