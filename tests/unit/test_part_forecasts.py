"""What is said of a killed server, of Redis down and of an emptied cache; and how it is told."""

import numpy as np
import pytest

from headroom.artefacts import Estimate
from headroom.fidelity.parts.forecasts import (
    AFTER_FLUSH_S,
    FAIL_TIMEOUT_S,
    LOAD_PER_S,
    MAX_FAILS,
    PAUSE_S,
    even_trace,
    forecast,
    in_window,
    scenario_of,
    tries_until_left_alone,
)
from headroom.fidelity.parts.kills import PARTS, PartKill, PartKills, StatedForecast
from headroom.fidelity.parts.page import parts_section, tally
from headroom.fidelity.record import FidelityRecord
from stack.infra.nginx import COMPOSE

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
    told = forecast(part, scenario, even_trace(scenario, 3), 4.0, seed=3)
    assert told.failed == EXACTLY_NONE
    assert told.slowed.low <= told.slowed.value <= told.slowed.high


def test_a_dead_server_is_left_alone_after_three_refusals_and_probed_later() -> None:
    scenario = scenario_of("api")
    told = forecast("api", scenario, even_trace(scenario, 3), 4.0, seed=3)
    assert 3 <= told.slowed.value <= 5
    assert 4 / LOAD_PER_S < told.outage_s.value < 12 / LOAD_PER_S
    slow = forecast("api", scenario, even_trace(scenario, 3), 4.0, seed=3, latency_s=0.1)
    assert slow.outage_s.value < told.outage_s.value  # what was under way has failed there too
    assert slow.failed.value == pytest.approx(LOAD_PER_S / 3 * 0.1 * 0.1, rel=0.3)


def test_the_last_server_returns_to_redis_before_the_longest_pause_is_over() -> None:
    scenario = scenario_of("redis")
    told = forecast("redis", scenario, even_trace(scenario, 3), 4.0, seed=3)
    assert PAUSE_S / 2 < told.outage_s.value < PAUSE_S
    assert told.outage_s.high <= PAUSE_S


def test_more_misses_follow_a_flush_than_come_without_one() -> None:
    scenario = scenario_of("cache")
    trace = even_trace(scenario, 3)
    flushed = forecast("cache", scenario, trace, 6.0, seed=3).slowed.value
    # A flush of what is empty anyway, at the very start, leaves the first misses alone.
    late = forecast("cache", scenario, trace, float(trace.arrival_s[-1]) + 1.0, seed=3)
    assert late.slowed.value == 0
    asked = trace.is_operation("list", "favourites") & in_window(trace.arrival_s, 6.0)
    keys = {(int(o), int(k)) for o, k in zip(trace.operation[asked], trace.key[asked], strict=True)}
    assert len(keys) <= flushed <= 1.3 * len(keys)  # each key once, and who waits for its read
    assert int(asked.sum()) == pytest.approx(0.8 * AFTER_FLUSH_S * LOAD_PER_S, rel=0.15)


def test_requests_come_at_even_distances() -> None:
    trace = even_trace(scenario_of("redis"), 1)
    assert np.ptp(np.diff(trace.arrival_s)) < 1e-9


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
