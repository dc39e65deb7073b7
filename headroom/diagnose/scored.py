"""What the campaigns found, small enough to be committed: docs/diagnosis.md is written from it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Self

from headroom.artefacts import Artefact, Machine, Record, replacing
from headroom.diagnose.campaign import DiagnosisCampaign
from headroom.diagnose.limits import Limits
from headroom.diagnose.records import Diagnosis, Evidence, Injected, Kind
from headroom.diagnose.rules import diagnosed
from headroom.fidelity.artefacts import read

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
    def faults(self) -> tuple[ScoredTrial, ...]:
        """Runs with a fault."""
        return tuple(trial for trial in self.trials if trial.injected != Kind.NOTHING)

    @property
    def healthy(self) -> tuple[ScoredTrial, ...]:
        """Runs without one."""
        return tuple(trial for trial in self.trials if trial.injected == Kind.NOTHING)


class DiagnosisRecord(Artefact):
    """All occasions, and the limits by which the blind ones were judged."""

    limits: Limits
    occasions: tuple[ScoredOccasion, ...]

    @classmethod
    def of(cls, path: Path) -> Self:
        """What is stored at `path`."""
        return read(path, cls)

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
