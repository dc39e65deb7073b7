"""Closed forms of availability against hand calculations and published examples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.availability import (
    alternating,
    k_of_n,
    no_primary,
    parallel,
    promised_together,
    series,
    sla,
    sla_table,
    with_common_cause,
)
from sim.availability.sla import Sla
from sim.errors import InvalidScenario

SHARES = st.floats(0, 1)


def promise(uptime_fraction: float) -> Sla:
    return Sla("P", "S", "c", uptime_fraction, "2026", "a test", "high")


def test_azures_composite_sla_of_web_app_and_database_is_99_94_per_cent() -> None:
    # https://learn.microsoft.com/en-us/answers/questions/122986/composite-slas (Microsoft, 2020)
    web_app, database, queue = promise(0.9995), promise(0.9999), promise(0.999)
    assert promised_together([web_app, database]) == pytest.approx(0.9994, abs=5e-6)
    # The same page: with a queue as a second path for writes, 99.99999 % and about 99.95 %.
    either = parallel([database.allowed_unavailability, queue.allowed_unavailability])
    assert 1 - float(either) == pytest.approx(0.9999999, abs=1e-9)
    assert 1 - float(series([1 - 0.9995, either])) == pytest.approx(0.9995, abs=5e-7)


def test_three_times_four_nines_in_series_are_99_97_per_cent_as_aws_states() -> None:
    # AWS Reliability Pillar, as summed up at
    # https://www.gabrielpascua.com/notes/2019/08/17/aws-reliability-pillar/ : a service of 99.99 %
    # with two hard dependencies of 99.99 % has 99.97 %: 52 min 37 s a year become 2 h 37 min 47 s
    # (a year of 365.24 days; 5 s cover the page's rounding of each figure).
    year_s = 365.24 * 86_400
    together = promised_together([promise(0.9999)] * 3)
    assert together == pytest.approx(0.9997, abs=1e-7)
    assert float(series([1e-4])) * year_s == pytest.approx(52 * 60 + 37, abs=5)
    assert (1 - together) * year_s == pytest.approx(2 * 3600 + 37 * 60 + 47, abs=5)


def test_a_beta_of_five_per_cent_spoils_two_of_three_as_the_published_example_says() -> None:
    # https://fta-studio.pages.dev/guides/common-cause-failure-beta-vs-mgl : p = 0.001, β = 0.05,
    # 2 of 3 needed: β·p + 3·(1-β)²·p² ≈ 5.3e-5, where independence promises 3e-6.
    failures_per_h, away_h = 0.001, 1.0
    assert float(k_of_n(2, 3, 0.001)) == pytest.approx(3.0e-6, rel=0.01)
    found = float(with_common_cause(2, 3, failures_per_h, away_h, 0.05))
    assert found == pytest.approx(5.3e-5, rel=0.01)


def test_k_of_n_is_the_binomial_tail_worked_out_by_hand() -> None:
    # 0.2 each: P(0 or 1 of 3 up) = 0.2³ + 3 × 0.2² × 0.8
    assert float(k_of_n(2, 3, 0.2)) == pytest.approx(0.008 + 0.096)
    assert float(k_of_n(1, 3, 0.2)) == pytest.approx(0.008)
    assert float(k_of_n(3, 3, 0.2)) == pytest.approx(1 - 0.8**3)
    # Fewer than half of 1000 coins: half of what is left when exactly half is taken away.
    half = (1 - math.comb(1000, 500) / 2**1000) / 2
    assert float(k_of_n(500, 1000, 0.5)) == pytest.approx(half, rel=1e-9)


@given(SHARES, st.integers(1, 12))
def test_k_of_n_ends_in_parallel_for_one_and_series_for_all(away: float, parts: int) -> None:
    assert float(k_of_n(1, parts, away)) == pytest.approx(float(parallel([away] * parts)))
    assert float(k_of_n(parts, parts, away)) == pytest.approx(float(series([away] * parts)))


@given(
    st.integers(1, 6),
    st.integers(1, 6),
    st.floats(0, 1),
    st.floats(1e-5, 1e-1),
)
def test_a_spare_never_makes_a_group_worse_nor_a_common_cause_better_where_one_is_enough(
    needed: int, spare: int, beta: float, failures_per_h: float
) -> None:
    few, many = needed, needed + spare
    away = [float(with_common_cause(needed, n, failures_per_h, 1.0, beta)) for n in (few, many)]
    assert away[1] <= away[0] + 1e-12
    shared = [float(with_common_cause(1, many, failures_per_h, 1.0, b)) for b in (beta / 2, beta)]
    assert shared[0] <= shared[1] + 1e-12


def test_a_replica_set_with_instant_elections_is_down_when_its_majority_is() -> None:
    for members in (3, 5, 7):
        majority = members // 2 + 1
        each = float(alternating(1 / 200, 4.0))
        quorum = float(k_of_n(majority, members, each))
        assert float(no_primary(members, majority, 1 / 200, 4.0, 1e-4)) == pytest.approx(
            quorum, rel=1e-4
        )


def test_with_quick_repairs_only_elections_count_rate_times_their_length() -> None:
    # Once in 1000 h the primary fails, 12 s without one: 12 / 3600 / 1000 of the time.
    found = float(no_primary(3, 2, 1e-3, 1e-3, 12.0))
    assert found == pytest.approx(12 / 3600 / 1000, rel=1e-3)


def test_a_set_of_two_states_is_the_textbook_chain() -> None:
    # One member, majority 1: up -> down (λ), down -> electing (μ), electing -> up (ε) or down (λ).
    fail, repair, elect = 0.01, 0.5, 30.0
    down_electing = (fail / repair) * (1 + fail / elect), fail / elect
    # Balance: π_up ε^-1 cycle: electing = up·λ/ε; down·μ = (up + electing)·λ.
    up = 1.0
    electing = up * fail / elect
    down = (up + electing) * fail / repair
    assert (down, electing) == pytest.approx(down_electing)
    expected = (electing + down) / (up + electing + down)
    found = float(no_primary(1, 1, fail, 1 / repair, 3600 / elect))
    assert found == pytest.approx(expected, rel=1e-9)


def test_arrays_of_futures_give_what_each_future_gives_alone() -> None:
    rng = np.random.default_rng(1)
    failures, away, election = rng.uniform(1e-4, 1e-2, (3, 20)) * [[1], [300], [5000]]
    both = no_primary(3, 2, failures, away, election)
    assert both.shape == (20,)
    for index in range(20):
        alone = no_primary(3, 2, failures[index], away[index], election[index])
        assert float(alone) == pytest.approx(both[index], rel=1e-9)


def test_every_promise_of_the_table_states_source_and_date() -> None:
    assert len(sla_table()) == 18
    for row in sla_table():
        assert 0.99 <= row.uptime_fraction < 1
        assert row.source
        assert row.as_of
    with pytest.raises(InvalidScenario, match=r"'EC2 \(moon\)'.*one of .*CloudFront"):
        sla("EC2", "moon")


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), "half", None])
def test_a_share_outside_0_to_1_is_refused(bad: object) -> None:
    for call in (lambda: series([bad]), lambda: parallel([bad]), lambda: k_of_n(1, 2, bad)):
        with pytest.raises(InvalidScenario, match="from 0 to 1"):
            call()


@pytest.mark.parametrize("bad", [-1.0, float("inf"), float("nan"), "often"])
def test_a_rate_that_is_none_is_refused(bad: object) -> None:
    with pytest.raises(InvalidScenario, match="failures_per_h"):
        alternating(bad, 1.0)
    with pytest.raises(InvalidScenario, match="failures_per_h"):
        no_primary(3, 2, bad, 1.0, 12.0)


@pytest.mark.parametrize(("needed", "parts"), [(-1, 3), (1, -3), (1, 1001), (1.5, 3)])
def test_an_impossible_group_is_refused(needed: int, parts: int) -> None:
    with pytest.raises(InvalidScenario, match="whole number"):
        k_of_n(needed, parts, 0.1)
