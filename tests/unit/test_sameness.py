"""One day at several speeds: the same requests, entries that live as long beside them, the page."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from headroom.artefacts import Conditions, Machine
from headroom.dilation import dilated
from headroom.fidelity.artefacts import ComparedMetric, WarmUp, stored
from headroom.fidelity.campaign import Campaign
from headroom.fidelity.page import page
from headroom.fidelity.page_sections import invariance_section
from headroom.fidelity.record import COVERED, FidelityRecord, Occasion, occasion_of
from headroom.fidelity.sameness import (
    SPEEDS,
    TTL_S,
    Sameness,
    Speed,
    SpeedFound,
    at_speed,
    day,
    not_shared,
)
from headroom.fidelity.topologies import topology


@pytest.fixture(scope="module")
def record() -> FidelityRecord:
    return FidelityRecord.of(Path("docs/fidelity.json"))


def found(speed: Speed, hits: float, conditions: Conditions) -> SpeedFound:
    return SpeedFound(
        speed=speed.name,
        scale=speed.scale,
        is_emulated=speed.is_emulated,
        requests=300,
        lookups=200,
        hit_ratio={"list": hits, "all": hits},
        same_lookups=199,
        bodies=270,
        same_bodies=269,
        conditions=conditions,
    )


@pytest.mark.parametrize("speed", SPEEDS, ids=lambda speed: speed.name)
def test_the_same_requests_come_at_every_speed_and_entries_live_as_long_beside_them(
    speed: Speed,
) -> None:
    trace, first = day(3, speed), day(3, SPEEDS[0])
    np.testing.assert_allclose(trace.arrival_s, first.arrival_s * speed.scale, rtol=1e-12)
    for name in ("operation", "key", "user"):
        assert (getattr(trace, name) == getattr(first, name)).all()
    cache = dilated(at_speed(speed).scenario).topology.cache
    assert cache is not None
    for family, policy in cache.families.items():
        assert policy.ttl_s == pytest.approx(TTL_S[family] * speed.scale)


def test_the_day_has_its_peak_in_the_evening() -> None:
    counts, _ = np.histogram(day(3, SPEEDS[0]).arrival_s, bins=4, range=(0, 20))
    assert counts.argmax() == 3
    assert counts[3] > 2 * counts[1]


def test_a_ratio_that_differs_by_more_than_a_point_is_no_sameness(record: FidelityRecord) -> None:
    conditions = record.occasions[0].cells[0].conditions
    ratios = zip(SPEEDS, (0.6, 0.609, 0.591), strict=True)
    speeds = [found(speed, hits, conditions) for speed, hits in ratios]
    assert Sameness(seed=1, speeds=tuple(speeds)).inside
    speeds[1] = found(SPEEDS[1], 0.611, conditions)
    assert not Sameness(seed=1, speeds=tuple(speeds)).inside


def test_others_of_any_priority_disturb_a_stack_that_is_not_emulated(
    record: FidelityRecord,
) -> None:
    quiet = next(c.conditions for c in record.occasions[0].cells if c.valid)
    shared = quiet.model_copy(update={"foreign_cpu_fraction": 0.8, "lower_cpu_fraction": 0.8})
    assert shared.valid
    assert not not_shared(shared).valid
    assert not_shared(shared).reasons == ("foreign CPU: 80.00% to a native stack, limit 25.00%",)
    alone = quiet.model_copy(update={"foreign_cpu_fraction": 0.05})
    assert not_shared(alone) == alone


def test_an_occasion_without_cells_is_on_the_page_with_its_machine(
    record: FidelityRecord, tmp_path: Path
) -> None:
    conditions = record.occasions[0].cells[0].conditions
    ratios = zip(SPEEDS, (0.6, 0.611, 0.6), strict=True)
    speeds = tuple(found(speed, hits, conditions) for speed, hits in ratios)
    stored(tmp_path / "alone" / "sameness" / "sameness.json", Sameness(seed=1, speeds=speeds))
    machine = Machine(facts={"cpu_model": "a slow one"}, sha256="0" * 64)
    stored(tmp_path / "alone" / "machine.json", machine)
    occasion = occasion_of(Campaign(tmp_path, "alone", (topology("three-replicas"),)))
    assert occasion is not None
    assert occasion.cells == ()
    both = record.with_occasions([occasion])
    assert [each.name for each in both.occasions] == [*(e.name for e in record.occasions), "alone"]
    text = page(both)
    assert "| alone | compressed | ×0.4 | 300 | 61.10% | **+1.10 pp** |" in text
    assert "## The machine: alone\n\nThe machine: cpu model a slow one.\n" in text
    assert "## Every cell: alone" not in text
    summary = page(record).partition("## Occasions")[0]
    assert text.startswith(summary)  # it adds no cell and no occasion of cells
    assert occasion_of(Campaign(tmp_path, "another", ())) is None


def test_what_is_found_later_of_an_occasion_joins_what_is_on_record(
    record: FidelityRecord,
) -> None:
    first = record.occasions[0]
    same = Sameness(seed=1, speeds=(found(SPEEDS[0], 0.6, first.cells[0].conditions),))
    later = Occasion(name=first.name, machine=first.machine, topologies=(), sameness=same)
    both = record.with_occasions([later]).occasions
    assert both[0] == first.model_copy(update={"sameness": same})
    assert both[1:] == record.occasions[1:]


def test_scales_whose_times_differ_by_more_than_is_stated_are_told(record: FidelityRecord) -> None:
    first = record.occasions[0]
    (name, cells), *_ = first.invariance.items()
    held = invariance_section([first])
    assert "apart by at most mean 0.04% (stated 2%)" in held
    assert "NOT kept" not in held
    slow = tuple(
        metric.model_copy(update={"measured": metric.measured * 1.04})
        for metric in cells[1].metrics
    )
    changed = (cells[0], cells[1].model_copy(update={"metrics": slow}))
    text = invariance_section([first.model_copy(update={"invariance": {name: changed}})])
    assert "mean 3.96% (stated 2%: NOT kept)" in text
    assert "p99 3.96% (stated 5%)" in text
    one = first.model_copy(update={"invariance": {name: cells[:1]}})
    assert "1 valid scale(s): nothing to compare" in invariance_section([one])


def test_ranges_that_cover_less_than_they_say_are_named(record: FidelityRecord) -> None:
    narrow = [each.name for each in record.occasions if each.ranges_cover < COVERED]
    assert f"The ranges of {', '.join(narrow)} cover 87% by construction" in page(record)
    wide = tuple(o.model_copy(update={"ranges_cover": COVERED}) for o in record.occasions)
    assert "The ranges of" not in page(record.model_copy(update={"occasions": wide}))


def test_the_page_tells_of_other_speeds_of_a_cold_cache_and_of_callers_that_tried_again(
    record: FidelityRecord,
) -> None:
    occasion = record.occasions[0]
    recorded = occasion.topologies[0].cells[0]
    again = ComparedMetric(
        metric="attempts_per_request",
        predicted=1.75,
        measured=1.5,
        error=0.1,
        is_points=False,
        tolerance=None,
        covered=None,
    )
    stretch = WarmUp(until_s=4.0, lookups=31, predicted=0.25, measured=0.5)
    cell = recorded.found.model_copy(
        update={"metrics": (*recorded.found.metrics, again), "warm_up": (stretch, stretch)}
    )
    topology = occasion.topologies[0].model_copy(
        update={"cells": (recorded.model_copy(update={"found": cell}),)}
    )
    same = Sameness(seed=1, speeds=(found(SPEEDS[0], 0.6, cell.conditions),))
    changed = occasion.model_copy(update={"topologies": (topology,), "sameness": same})
    text = page(record.model_copy(update={"occasions": (changed,)}))
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    order = ["## The same day at several speeds", "## Overload and retries", "## A cold cache"]
    places = [titles.index(title) for title in order]
    assert all(one < other for one, other in pairwise(places))
    assert "| 1.500 (1.750) |" in text
    assert "| 50% (25%), 50% (25%) | 62 |" in text
    assert "| 60.00% | +0.00 pp | list 60.0% | 199 of 200 | 269 of 270 |" in text
