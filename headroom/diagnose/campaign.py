"""Faults and healthy runs, offered in shuffled order: does the diagnosis name what was injected?

A campaign is a folder, `runs/diagnosis/<occasion>/`. What is in it is not done again. A cell is
diagnosed as soon as it was measured, by the limits of that moment, and that is what is scored.
A run that a disturbed machine made INVALID, whatever was injected, is offered once more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headroom.artefacts import Machine
from headroom.diagnose.emulated import evidence_of
from headroom.diagnose.injections import FAULTS, HEALTHY, Injection
from headroom.diagnose.records import Diagnosis, Evidence, Injected
from headroom.diagnose.rules import diagnosed
from headroom.dilation import emulation_of
from headroom.fidelity.artefacts import Constants, read, stored
from headroom.fidelity.cells import LOW_TARGET, Cell, seed_of
from headroom.fidelity.constants import fit
from headroom.fidelity.measured import offered
from headroom.fidelity.predicted import load_for, model_of, simulated
from headroom.fidelity.topologies import Topology, topology
from headroom.live import running_stack
from stack.local import StackInfo, status
from stack.observe.machine import facts_sha256, machine_facts

Say = Callable[[str], None]
TOPOLOGIES = ("three-replicas", "two-replicas", "least-connections-on-a-beat", "search-heavy")
SEARCHES = "search-heavy"  # the one with Elasticsearch
TWICE, MORE, HEALTHY_EACH = 2, 2, 5  # each fault, further ones, healthy runs of each topology
SHORT_HEALTHY = 3
LOADS = (0.40, 0.50, 0.60, 0.70, 0.80)
WARMUP_S, CELL_S, LOW_S = 1.0, 16.0, 12.0
AGAIN = "-again"  # of the name of a repeat


@dataclass(frozen=True)
class Trial:
    """One cell of a campaign."""

    topology: str
    name: str
    target: float
    injection: Injection

    @property
    def injected(self) -> Injected:
        """What is kept of it."""
        kind, component = self.injection.kind, self.injection.component
        return Injected(
            topology=self.topology,
            name=self.name,
            target=self.target,
            kind=kind,
            component=component,
        )


@dataclass(frozen=True)
class DiagnosisCampaign:
    """One occasion."""

    folder: Path
    occasion: str
    is_short: bool = False  # each fault once, fewer healthy runs: to learn the limits from

    def trials(self) -> tuple[Trial, ...]:
        """All of them, by topology, in the order in which they are offered."""
        rng = np.random.default_rng(seed_of(self.occasion, "diagnosis", "order"))
        elsewhere = [each for each in FAULTS if each.component != "elasticsearch"]
        searching = [each for each in FAULTS if each.component == "elasticsearch"]
        further = [elsewhere[place] for place in rng.permutation(len(elsewhere))[:MORE]]
        times, healthy = (1, SHORT_HEALTHY) if self.is_short else (TWICE, HEALTHY_EACH)
        chosen = elsewhere * times + ([] if self.is_short else further)
        turns = rng.permutation(len(chosen))
        pairs = [(_place(int(turn), each), each) for turn, each in zip(turns, chosen, strict=True)]
        pairs += [(SEARCHES, each) for each in searching * times]
        pairs += [(name, HEALTHY) for name in TOPOLOGIES * healthy]
        names = [TOPOLOGIES[place] for place in rng.permutation(len(TOPOLOGIES))]
        order = sorted(rng.permutation(len(pairs)), key=lambda place: names.index(pairs[place][0]))
        return tuple(
            Trial(
                pairs[place][0],
                f"{number + 1:02d}-{pairs[place][1].name}",
                float(rng.choice(LOADS)),
                pairs[place][1],
            )
            for number, place in enumerate(order)
        )

    def place(self, trial: Trial) -> Path:
        """Where the files of a trial's topology stand."""
        return self.folder / self.occasion / trial.topology

    def missing(self) -> tuple[Trial, ...]:
        """Those that were not offered yet, and those that are to be offered once more.

        The repeats of a topology come after all of its first runs.
        """
        trials = self.trials()
        repeats = [
            replace(trial, name=trial.name + AGAIN) for trial in trials if self._is_disturbed(trial)
        ]
        names = list(dict.fromkeys(trial.topology for trial in trials))
        both = sorted([*trials, *repeats], key=lambda trial: names.index(trial.topology))
        return tuple(trial for trial in both if not self._is_done(trial))

    def _is_done(self, trial: Trial) -> bool:
        return (self.place(trial) / f"{trial.name}.diagnosis.json").is_file()

    def _is_disturbed(self, trial: Trial) -> bool:
        evidence = self.place(trial) / f"{trial.name}.evidence.json"
        return self._is_done(trial) and bool(read(evidence, Evidence).disturbed)

    def results(self) -> Iterator[tuple[Injected, Evidence, Diagnosis]]:
        """What was found, in the order in which it was offered."""
        folder = self.folder / self.occasion
        names = {
            path.name.removesuffix(".diagnosis.json"): path
            for path in folder.glob("*/*.diagnosis.json")
        }
        for name, path in sorted(names.items()):
            injected = read(path.with_name(f"{name}.injected.json"), Injected)
            evidence = read(path.with_name(f"{name}.evidence.json"), Evidence)
            yield injected, evidence, read(path, Diagnosis)

    def run(self, say: Say, *, most_cells: int | None = None) -> int:
        """Offer what is missing, at most so many cells; returns how many were."""
        facts = machine_facts()
        stored(
            self.folder / self.occasion / "machine.json",
            Machine(facts=facts, sha256=facts_sha256(facts)),
        )
        left = most_cells if most_cells is not None else 10**9
        done = 0
        while done < left and (missing := self.missing()):
            done += self._run_topology(topology(missing[0].topology), left - done, say)
        return done

    def _run_topology(self, shape: Topology, most: int, say: Say) -> int:
        """What is missing of one, on one start of its stack, repeats included."""
        done = 0
        emulation = emulation_of(model_of(shape), shape.scenario.time.scale)
        with running_stack(
            shape.scenario,
            lambda _: None,
            name=f"diagnosis-{shape.name}",
            emulation=emulation,
            faults=True,
        ) as info:
            constants = self._constants(shape, info)
            say(f"{shape.name}: {len(self._missing_of(shape))} cells")
            while done < most and (trials := self._missing_of(shape)):
                trial = trials[0]
                place = self.place(trial)
                cell = self._cell(shape, trial.name, trial.target, CELL_S)
                with trial.injection.switched_on(status(info.folder)) as faulty:
                    evidence = offered_evidence(
                        shape, cell, constants, faulty, place=place, injection=trial.injection
                    )
                stored(place / f"{trial.name}.evidence.json", evidence)
                stored(place / f"{trial.name}.injected.json", trial.injected)
                found = diagnosed(evidence)
                stored(place / f"{trial.name}.diagnosis.json", found)
                right = found.kind == trial.injection.kind
                verdict = "again" if evidence.disturbed else "ok   " if right else "WRONG"
                say(f"  {verdict} {trial.name} {trial.target}: {found.says}")
                done += 1
        return done

    def _missing_of(self, shape: Topology) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.missing() if trial.topology == shape.name)

    def _cell(self, shape: Topology, name: str, target: float, duration_s: float) -> Cell:
        seed = seed_of(self.occasion, shape.name, name)
        cell = Cell(name, target, 1.0, seed, warmup_s=WARMUP_S, duration_s=duration_s)
        return replace(cell, load_per_s=load_for(shape, cell, target))

    def _constants(self, shape: Topology, info: StackInfo) -> Constants:
        """Of this start, however disturbed: what they leave is in the spread of healthy runs."""
        cell = self._cell(shape, "low", LOW_TARGET, LOW_S)
        bare = simulated(shape, cell, model_of(shape))
        place = self.folder / self.occasion / shape.name
        return fit(shape, bare, offered(shape, cell, bare.trace, info, place))


def _place(turn: int, injection: Injection) -> str:
    """The topology of a fault: in turn, but where its machine has little to do."""
    felt = [each for each in TOPOLOGIES if each != SEARCHES or injection.component != "mongo"]
    return felt[turn % len(felt)]


def offered_evidence(
    shape: Topology,
    cell: Cell,
    constants: Constants,
    info: StackInfo,
    *,
    place: Path,
    injection: Injection = HEALTHY,
) -> Evidence:
    """Predict a cell, offer it to the running stack, and keep what it tells."""
    model = model_of(shape, constants)
    exact = simulated(shape, cell, model)
    found = offered(
        shape,
        cell,
        exact.trace,
        info,
        place,
        during=injection.during(info),
        max_in_flight=injection.max_in_flight,
    )
    return evidence_of(shape, cell, model, exact, found, info=info, place=place)
