"""What-ifs and the tornado of a scenario's own architecture, as an artefact."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from headroom.artefacts import Artefact, Record
from headroom.plan import Say, old_prices
from sim.cost import price_book
from sim.plan import (
    WHAT_IFS,
    Effect,
    MeasuredDemands,
    Shift,
    Tornado,
    label,
    own_candidate,
    question_of,
    steady,
    tornado,
    what_if,
)
from sim.plan.futures import Input
from sim.plan.inputs import types_of
from sim.plan.offers import core_of
from sim.plan.planning import Question
from sim.scenario import Scenario
from sim.scenario_file import dump_yaml

MOST_FUTURES = 500  # the change of a figure needs fewer than the chance of an objective


class ShiftRecord(Record):
    """A figure before and after a change, and the change with the range of 90 % of the futures.

    None where a tier is overloaded.
    """

    before: float | None
    after: float | None
    change: float | None
    low: float | None
    high: float | None


class EffectRecord(Record):
    """What one change does; `by` says which model found p95 and errors."""

    name: str
    words: str
    by: str
    p95_s: ShiftRecord
    error_fraction: ShiftRecord
    headroom_fraction: ShiftRecord
    usd_per_month: ShiftRecord | None
    availability: ShiftRecord
    note: str


class BarRecord(Record):
    """A figure at both ends of one input's interval, the others at their centre."""

    name: str
    label: str
    low: float
    high: float
    at_low: float | None
    at_high: float | None


class TornadoRecord(Record):
    """One figure's inputs, widest first, one moved at a time."""

    centre: float | None
    bars: tuple[BarRecord, ...]


class WhatIfArtefact(Artefact):
    """What changes do to the scenario's own architecture, and which input matters."""

    FILE: ClassVar[str] = "whatif.json"

    scenario_sha256: str
    scenario: str
    architecture: str
    demands: str
    demands_assumed: bool
    seed: int
    futures: int
    effects: tuple[EffectRecord, ...]
    tornado: dict[str, TornadoRecord]
    stale: tuple[str, ...] = ()  # prices of the design: too old, or of unknown date


def what_ifs(
    scenario: Scenario,
    measured: MeasuredDemands,
    say: Say,
    names: Sequence[str] = (),
    *,
    size: float | None = None,
    region: str | None = None,
) -> WhatIfArtefact:
    """Ask what changes do to a scenario's own architecture.

    Args:
        names: of `WHAT_IFS`; none asks all.
        size: of the change, where one name is asked that has a size.
        region: to move to, for "region".
    Raises: InvalidScenario for an unknown name or size, a missing price, an operation not measured.
    """
    book, own = price_book(scenario.prices.book), own_candidate(scenario)
    question, _ = question_of(scenario, measured, book)
    fewer = min(scenario.plan.futures, MOST_FUTURES)
    planning = scenario.plan.model_copy(update={"futures": fewer})
    asked = replace(
        question, scenario=scenario.model_copy(update={"plan": planning}), inputs=_own(question)
    )
    planner = asked.planner()
    before = steady(planner, own)
    effects = []
    for name in names or tuple(WHAT_IFS):
        say(f"what if: {name.replace('_', ' ')}")
        effects.append(what_if(planner, own, name, size=size, region=region, before=before))
    return WhatIfArtefact(
        scenario_sha256=hashlib.sha256(dump_yaml(scenario).encode()).hexdigest(),
        scenario=scenario.name,
        architecture=str(own),
        demands=measured.measured_on,
        demands_assumed=measured.assumed,
        seed=planning.seed,
        futures=fewer,
        effects=tuple(_effect(each) for each in effects),
        tornado={name: _tornado(each) for name, each in tornado(planner, own).items()},
        stale=old_prices(question, [own]),
    )


def _own(question: Question) -> tuple[Input, ...]:
    """The inputs that touch the scenario's own architecture: not the speeds of other types."""
    own = {f"cpu.{core_of(sku)}" for sku in types_of(own_candidate(question.scenario))}
    return tuple(
        each
        for each in question.inputs
        if not each.name.startswith("cpu.") or each.name in own | {"cpu.machine"}
    )


def _effect(each: Effect) -> EffectRecord:
    return EffectRecord(
        name=each.name,
        words=each.words,
        by=each.by,
        p95_s=_shift(each.p95_s),
        error_fraction=_shift(each.error_fraction),
        headroom_fraction=_shift(each.headroom_fraction),
        usd_per_month=None if each.usd_per_month is None else _shift(each.usd_per_month),
        availability=_shift(each.availability),
        note=each.note,
    )


def _shift(found: Shift) -> ShiftRecord:
    values = {name: _finite(value) for name, value in vars(found).items()}
    return ShiftRecord(**values)


def _tornado(found: Tornado) -> TornadoRecord:
    return TornadoRecord(
        centre=_finite(found.centre),
        bars=tuple(
            BarRecord(
                name=bar.name,
                label=label(bar.name),
                low=bar.low,
                high=bar.high,
                at_low=_finite(bar.at_low),
                at_high=_finite(bar.at_high),
            )
            for bar in found.bars
        ),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
