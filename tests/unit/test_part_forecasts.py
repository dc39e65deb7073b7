"""What is said of a killed server, of Redis down and of an emptied cache; and how it is told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headroom.artefacts import Estimate
from headroom.fidelity.parts.breakers import LATE_S, PAUSE_S, Usual, away
from headroom.fidelity.parts.forecasts import (
    AFTER_FLUSH_S,
    FAIL_TIMEOUT_S,
    LOAD_PER_S,
    MAX_FAILS,
    RETURNS_AFTER_S,
    even_trace,
    forecast,
    in_window,
    scenario_of,
    tries_until_left_alone,
)
from headroom.fidelity.parts.kills import PARTS, PartKill, PartKills, StatedForecast
from headroom.fidelity.parts.page import parts_section, tally
from headroom.fidelity.parts.readback import READ_BACK, fitted_afterwards
from headroom.fidelity.record import FidelityRecord
from stack.infra.nginx import COMPOSE

NEVER_SEEN = Usual()
EXACTLY_NONE = Estimate(value=0.0, low=0.0, high=0.0)


def test_a_dead_server_is_met_again_as_the_turns_of_the_balancer_have_it() -> None:
    # By hand, two servers: weights 0 0; the first is refused: -1 1, retry -1 1; then the second.
    assert tries_until_left_alone(2, 0) == [0, 2, 4]
    assert tries_until_left_alone(3, 0) == [0, 4, 7]
    assert tries_until_left_alone(3, 0, dead=1)[0] == 1
    assert tries_until_left_alone(3, 2)[0] == 1  # the third is next, then the first
    assert len(tries_until_left_alone(5, 3, max_fails=2)) == 2


def test_the_forecast_has_the_balancers_own_limits() -> None:
    assert COMPOSE.max_fails == MAX_FAILS
    assert COMPOSE.fail_timeout_s == FAIL_TIMEOUT_S


@pytest.mark.parametrize("part", PARTS)
def test_no_part_that_dies_leaves_anybody_without_an_answer(part: str) -> None:
    scenario = scenario_of(part)
    told = forecast(part, scenario, even_trace(scenario, 3), 4.0, seed=3, usual=NEVER_SEEN)
    assert told.failed == EXACTLY_NONE
    assert told.slowed.low <= told.slowed.value <= told.slowed.high


def test_a_dead_server_is_left_alone_after_three_refusals_and_probed_later() -> None:
    scenario = scenario_of("api")
    told = forecast("api", scenario, even_trace(scenario, 3), 4.0, seed=3, usual=NEVER_SEEN)
    assert 3 <= told.slowed.value <= 5
    assert 4 / LOAD_PER_S < told.outage_s.value < 12 / LOAD_PER_S
    slow = forecast(
        "api", scenario, even_trace(scenario, 3), 4.0, seed=3, usual=Usual(latency_s=0.1)
    )
    assert slow.outage_s.value < told.outage_s.value  # what was under way has failed there too
    assert slow.failed.value == pytest.approx(LOAD_PER_S / 3 * 0.1 * 0.1, rel=0.3)


def turns(seconds: float) -> np.ndarray:
    """Look-ups of one server on a beat of 0.1 s, all of them."""
    return np.arange(0.0, seconds, 0.1)


@pytest.mark.parametrize(
    ("down_s", "outage_s", "past"),
    [
        # By hand: killed at 1.05 s, refused at 1.1, 1.7, 2.3 and 2.9 s: a pause begins with the
        # refusal, so that the fifth turn after it comes too early by a hair.
        (1.0, 2.2 - 2.05, 12),  # back before 2.3 s: all that was sent until 2.2 s went past
        (1.3, 2.8 - 2.35, 18),  # back just after the refusal at 2.3 s: until 2.8 s
    ],
)
def test_a_redis_that_is_back_just_after_a_try_waits_for_the_next(
    down_s: float, outage_s: float, past: int
) -> None:
    sent_s = turns(6.0)
    usual = Usual(refused_s=(0.001,), starts_s=(0.0,))
    found = away(
        sent_s,
        np.ones(sent_s.size, dtype=bool),
        1.05 - LATE_S / 2,
        down_s,
        usual,
        replicas=1,
        rng=np.random.default_rng(1),
    )
    assert found.outage_s == pytest.approx(outage_s, abs=LATE_S)
    assert (found.past == past).all()


def test_the_last_server_returns_to_redis_before_the_longest_pause_is_over() -> None:
    scenario = scenario_of("redis")
    trace = even_trace(scenario, 3)
    usual = Usual(before_s=(0.001, 0.002), refused_s=(0.0005,), starts_s=(0.05, 0.06, 0.08))
    told = forecast("redis", scenario, trace, 4.0, seed=3, usual=usual)
    assert told.failed == EXACTLY_NONE
    assert told.outage_s.low < told.outage_s.value < told.outage_s.high
    assert told.outage_s.high < PAUSE_S
    per_s = LOAD_PER_S * float(trace.is_operation("list", "favourites").mean())
    least, most = per_s * RETURNS_AFTER_S * 0.9, per_s * (RETURNS_AFTER_S + 0.1 + PAUSE_S)
    assert least < told.slowed.low <= told.slowed.high < most


def test_starts_that_differ_more_make_the_forecast_of_an_outage_wider() -> None:
    scenario = scenario_of("redis")
    widths = []
    for starts_s in ((0.05, 0.052, 0.051), (0.05, 0.2, 0.1)):
        usual = Usual(refused_s=(0.0005,), starts_s=starts_s)
        told = forecast("redis", scenario, even_trace(scenario, 3), 4.0, seed=3, usual=usual)
        widths.append(told.outage_s.high - told.outage_s.low)
    assert widths[0] < 0.1 < widths[1]


def test_more_misses_follow_a_flush_than_come_without_one() -> None:
    scenario = scenario_of("cache")
    trace = even_trace(scenario, 3)
    flushed = forecast("cache", scenario, trace, 6.0, seed=3, usual=NEVER_SEEN).slowed.value
    # A flush of what is empty anyway, at the very start, leaves the first misses alone.
    late = forecast(
        "cache", scenario, trace, float(trace.arrival_s[-1]) + 1.0, seed=3, usual=NEVER_SEEN
    )
    assert late.slowed.value == 0
    asked = trace.is_operation("list", "favourites") & in_window(trace.arrival_s, 6.0)
    keys = {(int(o), int(k)) for o, k in zip(trace.operation[asked], trace.key[asked], strict=True)}
    assert len(keys) <= flushed <= 1.3 * len(keys)  # each key once, and who waits for its read
    assert int(asked.sum()) == pytest.approx(0.8 * AFTER_FLUSH_S * LOAD_PER_S, rel=0.15)


def test_requests_come_at_even_distances() -> None:
    trace = even_trace(scenario_of("redis"), 1)
    assert np.ptp(np.diff(trace.arrival_s)) < 1e-9


@pytest.fixture(scope="module")
def first_ten() -> PartKills:
    record = FidelityRecord.of(Path("docs/fidelity.json"))
    (found,) = (e for e in record.parts if (e.part, e.occasion) == ("redis", "2026-11-25-parts"))
    return found


def test_pauses_played_through_explain_the_ten_outages_that_even_pauses_did_not(
    first_ten: PartKills,
) -> None:
    fitted = fitted_afterwards(first_ten)
    assert sum(each.inside[0] for each in first_ten.kills) == 2
    assert sum(each.inside[0] for each in fitted) >= 9
    assert sum(each.inside[2] for each in fitted) >= 9
    # Each by its own start: the outage is near one that was drawn.
    scenario = scenario_of("redis")
    for number, (seen, start_s) in enumerate(zip(first_ten.kills, READ_BACK.starts_s, strict=True)):
        trace = even_trace(scenario, 1_000 + number)
        found = away(
            trace.arrival_s,
            trace.is_operation("list", "favourites"),
            seen.forecast.at_s,
            RETURNS_AFTER_S,
            replace(READ_BACK, starts_s=(start_s,)),
            replicas=3,
            rng=np.random.default_rng(number),
        )
        assert (abs(found.outage_s - seen.outage_s) < 0.02).mean() > 0.02


def test_the_page_tells_a_fit_from_a_forecast(first_ten: PartKills) -> None:
    assert "Fitted afterwards (no forecast)" in parts_section([first_ten])
    last = first_ten.kills[-1]
    said = last.forecast.model_copy(update={"starts_s": (0.05, 0.07)})
    later = first_ten.model_copy(
        update={"kills": (*first_ten.kills[:-1], last.model_copy(update={"forecast": said}))}
    )
    text = parts_section([later])
    assert "Fitted afterwards" not in text
    assert "from 2 starts before the last kill: 50 to 70 ms" in text


def kill(outage_s: float, failed: int) -> PartKill:
    said = StatedForecast(
        part="api",
        at_s=4.0,
        outage_s=Estimate(value=0.1, low=0.05, high=0.15),
        failed=EXACTLY_NONE,
        slowed=Estimate(value=4.0, low=3.0, high=5.0),
    )
    return PartKill(
        member="api-2",
        forecast=said,
        forecast_sha256="0" * 64,
        requests=600,
        outage_s=outage_s,
        failed=failed,
        slowed=4,
    )


def test_a_forecast_is_right_only_where_what_was_seen_lies_in_its_range() -> None:
    kills = (kill(0.10, 0), kill(0.20, 0), kill(0.12, 1))
    assert tally(kills) == "outage 2, failed requests 2, longer way 3"
    found = PartKills(occasion="noon", part="api", load_per_s=60.0, kills=kills)
    text = parts_section([found])
    assert "in range of 3 kills: outage 2, failed requests 2, longer way 3" in text
    assert "failed in all 1 of 1,800 requests" in text
    assert text.count("| api-2 |") == 3
    record = FidelityRecord(occasions=()).with_parts([found]).with_parts([found])
    assert len(record.parts) == 1
    assert record.with_natives([]).parts == record.parts
