"""One day at several speeds: the same requests, entries that live as long beside them, the page."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from headroom.artefacts import Conditions
from headroom.dilation import dilated
from headroom.fidelity.artefacts import ComparedMetric, WarmUp
from headroom.fidelity.page import page
from headroom.fidelity.record import FidelityRecord
from headroom.fidelity.sameness import SPEEDS, TTL_S, Sameness, Speed, SpeedFound, at_speed, day


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
