"""What occasions found, small enough to be committed: the page is written from it alone.

The runs themselves (every request of every cell) stay in `runs/fidelity/`.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from headroom.artefacts import Artefact, Machine, Record, now, replacing
from headroom.failover import FAILOVER, Failovers
from headroom.fidelity.artefacts import (
    ComparedMetric,
    MeasuredFidelity,
    PredictedFidelity,
    read,
)
from headroom.fidelity.baselines import baselines
from headroom.fidelity.campaign import Campaign
from headroom.fidelity.invariance import FOLDER as INVARIANCE
from headroom.fidelity.invariance import found_in
from headroom.fidelity.native_records import NativeOccasion
from headroom.fidelity.parts.kills import PartKills
from headroom.fidelity.replay.records import MeasuredReplay
from headroom.fidelity.sameness import Sameness, stored_in
from headroom.fidelity.topologies import Topology

NOTE = "note.md"
COVERED = 0.90
DIGITS = 6  # of each figure: more than any of them means
FOUND = ("note", "topologies", "invariance", "failovers", "sameness")  # any of an occasion


class Plainer(Record):
    """What a plainer model says of a cell; None where it finds no steady state."""

    model: str
    mean_s: float | None
    p95_s: float | None


class RecordedCell(Record):
    """A cell, what plainer models say of it, and how its hit ratios spread over other arrivals."""

    found: MeasuredFidelity
    plainer: tuple[Plainer, ...]
    hit_ratio_spread: dict[str, float]  # half the 90 % range, by metric


class RecordedTopology(Record):
    """A topology with its cells, in the order of their targets."""

    name: str
    says: str
    scale: float
    cells: tuple[RecordedCell, ...]


class Occasion(Record):
    """One occasion: a machine, and what was found on it."""

    name: str
    note: str = ""  # what should be known of it: `note.md` in its folder
    # Share of what comes next that the ranges cover by construction; the earliest ones less, which
    # were read off a few draws as if those were the whole distribution.
    ranges_cover: float = COVERED
    machine: dict[str, Any]
    topologies: tuple[RecordedTopology, ...]
    # By topology: the same requests at several scales.
    invariance: dict[str, tuple[MeasuredFidelity, ...]] = Field(default_factory=dict)
    failovers: Failovers | None = None
    sameness: Sameness | None = None

    @property
    def cells(self) -> tuple[MeasuredFidelity, ...]:
        """All cells, whatever their topology."""
        return tuple(cell.found for topology in self.topologies for cell in topology.cells)

    @property
    def begun_at(self) -> datetime:
        """When the first of what it found was found; it may have no cells."""
        cells = (*self.cells, *(cell for each in self.invariance.values() for cell in each))
        times = [cell.started_at for cell in cells]
        times += [self.failovers.forecast.created_at] if self.failovers else []
        times += [self.sameness.created_at] if self.sameness else []
        return min(times)

    def with_what_it_lacks(self, other: "Occasion | None") -> "Occasion":
        """With what an earlier look at the same occasion found, and this one did not."""
        if other is None:
            return self
        lacking = [name for name in FOUND if not getattr(self, name)]
        kept = {name: getattr(other, name) for name in (*lacking, "ranges_cover")}
        return self.model_copy(update=kept)


class FidelityRecord(Artefact):
    """All occasions, the earliest first; those of native cells by themselves."""

    occasions: tuple[Occasion, ...]
    natives: tuple[NativeOccasion, ...] = ()
    parts: tuple[PartKills, ...] = ()
    replays: tuple[MeasuredReplay, ...] = ()

    @classmethod
    def of(cls, path: Path) -> Self:
        """What is stored at `path`; nothing, where nothing is."""
        return read(path, cls) if path.is_file() else cls(occasions=())

    def with_occasions(self, found: Iterable[Occasion]) -> "FidelityRecord":
        """Those of the same name are replaced, as far as they were found again."""
        by_name = {each.name: each for each in self.occasions}
        by_name |= {each.name: each.with_what_it_lacks(by_name.get(each.name)) for each in found}
        order = sorted(by_name.values(), key=lambda each: each.begun_at)
        return self.model_copy(update={"occasions": tuple(order), "created_at": now()})

    def with_natives(self, found: Iterable[NativeOccasion]) -> "FidelityRecord":
        """Those of the same name are replaced."""
        by_name = {each.name: each for each in self.natives}
        by_name |= {
            each.name: NativeOccasion.model_validate(rounded(each.model_dump())) for each in found
        }
        order = sorted(by_name.values(), key=lambda each: each.cells[0].started_at)
        return self.model_copy(update={"natives": tuple(order), "created_at": now()})

    def with_parts(self, found: Iterable[PartKills]) -> "FidelityRecord":
        """Those of the same part and occasion are replaced."""
        by_name = {(each.occasion, each.part): each for each in self.parts}
        by_name |= {
            (each.occasion, each.part): PartKills.model_validate(rounded(each.model_dump()))
            for each in found
        }
        parts = tuple(by_name[name] for name in sorted(by_name))
        return self.model_copy(update={"parts": parts, "created_at": now()})

    def with_replays(self, found: Iterable[MeasuredReplay]) -> "FidelityRecord":
        """Those of the same occasion and scenario are replaced."""
        by_name = {(each.occasion, each.prediction.scenario): each for each in self.replays}
        by_name |= {
            (each.occasion, each.prediction.scenario): MeasuredReplay.model_validate(
                rounded(each.model_dump())
            )
            for each in found
        }
        order = sorted(by_name.values(), key=lambda each: each.started_at)
        return self.model_copy(update={"replays": tuple(order), "created_at": now()})

    def store(self, path: Path) -> None:
        """Write it, a line for each cell."""
        text = self.model_dump_json(exclude_defaults=True)
        lines = text.replace('{"name":', '\n{"name":').replace('{"found":', '\n{"found":')
        lines = lines.replace('{"created_at":', '\n{"created_at":')
        with replacing(path) as temporary:
            temporary.write_text(lines + "\n", encoding="utf-8")


def occasion_of(campaign: Campaign) -> Occasion | None:
    """What is on disk of an occasion; None before anything was found."""
    results = list(campaign.results())
    topologies = []
    for topology in campaign.topologies:
        cells = [cell for cell in results if cell.topology == topology.name]
        if cells:
            recorded = tuple(_recorded(campaign, topology, cell) for cell in cells)
            scale = topology.scenario.time.scale
            topologies.append(
                RecordedTopology(
                    name=topology.name, says=topology.says, scale=scale, cells=recorded
                )
            )
    invariance = {
        name: tuple(MeasuredFidelity.model_validate(rounded(cell.model_dump())) for cell in cells)
        for name, cells in found_in(
            campaign.folder / campaign.occasion, [each.name for each in campaign.topologies]
        ).items()
    }
    note = campaign.folder / campaign.occasion / NOTE
    kills = campaign.folder / campaign.occasion / FAILOVER / "failovers.json"
    occasion = Occasion(
        name=campaign.occasion,
        note=note.read_text(encoding="utf-8").strip() if note.is_file() else "",
        machine=_machine(campaign.folder / campaign.occasion),
        topologies=tuple(topologies),
        invariance=invariance,
        failovers=read(kills, Failovers) if kills.is_file() else None,
        sameness=stored_in(campaign.folder / campaign.occasion),
    )
    is_found = any(getattr(occasion, name) for name in FOUND if name != "note")
    return occasion if is_found else None


def _machine(folder: Path) -> dict[str, Any]:
    """Facts of the machine, as the cells of an occasion or its invariance left them."""
    for path in (folder / "machine.json", folder / INVARIANCE / "machine.json"):
        if path.is_file():
            return _told(read(path, Machine).facts)
    return {}


def _told(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if isinstance(value, str | int | float)}


def _recorded(campaign: Campaign, topology: Topology, cell: MeasuredFidelity) -> RecordedCell:
    path = campaign.place(topology) / f"{cell.cell}.prediction.json"
    prediction = read(path, PredictedFidelity)
    others = baselines(topology, cell.load_per_s, prediction.constants)
    plainer = tuple(
        Plainer(model=model, mean_s=_finite(found["mean_s"]), p95_s=_finite(found["p95_s"]))
        for model, found in others.items()
    )
    fewer = MeasuredFidelity.model_validate(rounded(cell.model_dump()))
    spread = {
        name: rounded((prediction.high[name] - prediction.low[name]) / 2)
        for name in prediction.low
        if name.startswith("hit_ratio.")
    }
    return RecordedCell(found=fewer, plainer=plainer, hit_ratio_spread=spread)


def _finite(value: float) -> float | None:
    return rounded(value) if math.isfinite(value) else None


def rounded(value: Any) -> Any:
    """The same with fewer digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return tuple(rounded(each) for each in value)
    return value


def of_kind(cell: MeasuredFidelity, kind: str) -> list[ComparedMetric]:
    """A cell's figures of one kind: utilisations of all machines, hit ratios of all families."""
    return [metric for metric in cell.metrics if metric.metric.partition(".")[0] == kind]


def kept(cells: Sequence[MeasuredFidelity], kind: str) -> int:
    """In how many cells that have figures of the kind all of them kept the promise."""
    found = [of_kind(cell, kind) for cell in cells]
    return sum(bool(metrics) and all(metric.inside for metric in metrics) for metrics in found)
