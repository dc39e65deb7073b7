"""What the campaigns found, small enough to be committed: docs/diagnosis.md is written from it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

from headroom.artefacts import Artefact, Machine, Record, replacing
from headroom.diagnose.campaign import AGAIN, DiagnosisCampaign
from headroom.diagnose.limits import Limits
from headroom.diagnose.records import Diagnosis, Evidence, Injected, Kind
from headroom.diagnose.rules import diagnosed
from headroom.fidelity.artefacts import read
from stack.load.validity import of_the_machine

Role = Literal["learning", "ended", "blind"]


class ScoredTrial(Record):
    """One run: what was injected, what was said."""

    topology: str
    name: str
    target: float
    injected: Kind
    injected_at: str
    found: Kind
    found_at: str
    sure: str
    says: str
    valid: bool
    reasons: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether kind and component were named."""
        return (self.injected, self.injected_at) == (self.found, self.found_at)

    @property
    def disturbed(self) -> bool:
        """Whether the machine beneath made the run INVALID."""
        return bool(of_the_machine(self.reasons))

    @property
    def is_alarm(self) -> bool:
        """Whether a run without a fault was blamed on the stack or on its generator.

        That its machine was disturbed, where it was, is true and blames neither.
        """
        if self.injected != Kind.NOTHING or self.found == Kind.NOTHING:
            return False
        return not (self.disturbed and self.found == Kind.NOISY_NEIGHBOUR)


class ScoredOccasion(Record):
    """All runs of one occasion.

    `role`: limits and rules were made with it in sight, or it was offered after they were fixed;
    an ended one was begun as a blind one, and given up for what its first runs showed.
    """

    name: str
    role: Role
    machine: dict[str, Any]
    trials: tuple[ScoredTrial, ...]

    @property
    def counted(self) -> tuple[ScoredTrial, ...]:
        """All runs but those that were offered once more: there the repeat counts."""
        repeated = {each.name.removesuffix(AGAIN) for each in self.repeats}
        return tuple(trial for trial in self.trials if trial.name not in repeated)

    @property
    def repeats(self) -> tuple[ScoredTrial, ...]:
        """Runs that were offered once more, whether or not with a fault."""
        return tuple(trial for trial in self.trials if trial.name.endswith(AGAIN))

    @property
    def faults(self) -> tuple[ScoredTrial, ...]:
        """Counted runs with a fault."""
        return tuple(trial for trial in self.counted if trial.injected != Kind.NOTHING)

    @property
    def healthy(self) -> tuple[ScoredTrial, ...]:
        """Counted runs without one."""
        return tuple(trial for trial in self.counted if trial.injected == Kind.NOTHING)


class DiagnosisRecord(Artefact):
    """All occasions, and the limits by which the blind ones were judged."""

    limits: Limits
    occasions: tuple[ScoredOccasion, ...]

    @classmethod
    def of(cls, path: Path) -> Self:
        """What is stored at `path`."""
        return read(path, cls)

    def with_occasions(self, found: Iterable[ScoredOccasion]) -> "DiagnosisRecord":
        """Those of the same name are replaced; new ones come first. Limits are today's."""
        new = {each.name: each for each in found}
        kept = [new.pop(each.name, each) for each in self.occasions]
        return DiagnosisRecord(limits=Limits.known(), occasions=(*reversed(new.values()), *kept))

    def store(self, path: Path) -> None:
        """Write it, a line for each run."""
        text = self.model_dump_json()
        with replacing(path) as temporary:
            lines = text.replace('{"topology":', '\n{"topology":').replace('{"name":', '\n{"name":')
            temporary.write_text(lines + "\n", encoding="utf-8")


def scored(campaign: DiagnosisCampaign, role: Role) -> ScoredOccasion:
    """What an occasion's folder holds; the learning one is judged anew by today's limits."""
    machine = read(campaign.folder / campaign.occasion / "machine.json", Machine)
    facts = {k: v for k, v in machine.facts.items() if isinstance(v, str | int | float)}
    return ScoredOccasion(
        name=campaign.occasion,
        role=role,
        machine=facts,
        trials=tuple(_trials(campaign.results(), role)),
    )


def _trials(
    results: Iterable[tuple[Injected, Evidence, Diagnosis]], role: Role
) -> Iterator[ScoredTrial]:
    for trial, evidence, then in results:
        found = diagnosed(evidence) if role == "learning" else then
        yield ScoredTrial(
            topology=trial.topology,
            name=trial.name,
            target=trial.target,
            injected=trial.kind,
            injected_at=trial.component,
            found=found.kind,
            found_at=found.component,
            sure=found.sure,
            says=found.says,
            valid=evidence.valid,
            reasons=evidence.reasons,
        )
