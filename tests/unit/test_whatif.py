"""What-ifs: each change moves what it must, by as much as it must, and nothing else."""

from dataclasses import replace

import numpy as np
import plan_cases as cases
import pytest

from sim.cost import price_book
from sim.cost.pricebook import Price
from sim.errors import InvalidScenario
from sim.plan import (
    WHAT_IFS,
    Candidate,
    Effect,
    Planner,
    own_candidate,
    question_of,
    steady,
    tornado,
    what_if,
)
from sim.plan.effects import growth_that_fits, shift, with_growth, with_hit_shift
from sim.plan.transients import disturbed, undisturbed

BOOK = price_book("2026-07")


@pytest.fixture(scope="module")
def planner() -> Planner:
    question, _ = question_of(cases.scenario(p95_s=0.12, futures=8), cases.measured(), BOOK)
    return question.planner()


@pytest.fixture(scope="module")
def own(planner: Planner) -> Candidate:
    return own_candidate(planner.scenario)


@pytest.fixture(scope="module")
def effects(planner: Planner, own: Candidate) -> dict[str, Effect]:
    """Every what-if at its own size."""
    before = steady(planner, own)
    return {name: what_if(planner, own, name, before=before) for name in WHAT_IFS}


def test_twice_the_users_leave_half_the_room(planner: Planner, own: Candidate) -> None:
    before = steady(planner, own)
    after = steady(with_growth(planner, 2.0), own)
    assert 1 + after.headroom_fraction == pytest.approx(
        (1 + before.headroom_fraction) / 2, rel=0.02
    )
    assert (after.usd_per_month > before.usd_per_month).all()
    assert (after.p95_s >= before.p95_s).all()


def test_the_headroom_is_where_p95_meets_its_objective(planner: Planner, own: Candidate) -> None:
    fits = growth_that_fits(planner, own)
    target = planner.scenario.objectives.p95_s
    for factor, holds in ((0.999, True), (1.001, False)):
        grown = with_growth(planner, fits * factor)
        found = grown.response([own], grown.peak_load_per_s).p95_s[0]
        assert ((found <= target) == holds).all()


def test_dearer_prices_move_the_bill_by_as_much_and_nothing_else(
    planner: Planner, own: Candidate
) -> None:
    found = what_if(planner, own, "price", size=1.2)
    assert found.usd_per_month is not None
    assert found.usd_per_month.after == pytest.approx(1.2 * found.usd_per_month.before)
    assert found.p95_s.change == found.availability.change == found.headroom_fraction.change == 0


def test_hit_ratios_a_whole_lower_are_a_lost_cache_in_the_steady_state(
    planner: Planner, own: Candidate, effects: dict[str, Effect]
) -> None:
    worst, gone = what_if(planner, own, "hit_ratio", size=1.0), effects["lost_cache"]
    assert worst.headroom_fraction == gone.headroom_fraction
    assert worst.headroom_fraction.change < 0
    assert gone.p95_s.change > 0
    bare = steady(with_hit_shift(planner, -1.0), own)
    assert (bare.p95_s > steady(planner, own).p95_s).all()


def test_a_cold_cache_is_slower_than_a_warm_one_but_sooner_over_than_a_lost_one(
    effects: dict[str, Effect],
) -> None:
    cold, lost = effects["cold_cache"], effects["lost_cache"]
    assert 0 <= cold.p95_s.change < lost.p95_s.change
    assert 0 < cold.p95_s.high < lost.p95_s.high
    assert cold.headroom_fraction.change == 0


def test_undisturbed_minutes_are_the_same_minutes(planner: Planner, own: Candidate) -> None:
    still, again = disturbed(planner, own, undisturbed)
    assert still.p95_s.tolist() == again.p95_s.tolist()
    assert not again.error_fraction.any()


def test_a_dead_server_fails_some_requests_and_the_only_one_fails_them_all(
    planner: Planner, own: Candidate, effects: dict[str, Effect]
) -> None:
    one_of_three = effects["lost_replica"]
    assert 0 < one_of_three.error_fraction.change < 0.2
    assert one_of_three.headroom_fraction.change < 0
    alone = what_if(planner, replace(own, api_replicas=1), "lost_replica")
    assert alone.error_fraction.after > 0.95
    assert alone.availability.after == 0
    assert alone.headroom_fraction.after == -1
    assert "only one" in alone.note


def test_a_replica_set_elects_and_a_lone_mongod_does_not(
    planner: Planner, own: Candidate, effects: dict[str, Effect]
) -> None:
    elected = effects["lost_primary"]
    alone = what_if(planner, replace(own, database_members=1), "lost_primary")
    assert elected.error_fraction.after < 0.1 < alone.error_fraction.after
    assert elected.p95_s.change > 0
    assert elected.availability.change < 0
    assert alone.availability.after == 0


def test_a_lost_zone_is_worse_than_a_lost_server_and_names_the_tier_that_stood_in_it(
    effects: dict[str, Effect],
) -> None:
    zone, server = effects["lost_zone"], effects["lost_replica"]
    assert zone.error_fraction.after > server.error_fraction.after
    assert zone.headroom_fraction.after == -1  # the only search node is gone
    assert "all its instances" in zone.note
    assert 0 < zone.availability.after < zone.availability.before


def test_a_rolling_deploy_loses_no_request_where_there_is_a_second_server(
    planner: Planner, own: Candidate, effects: dict[str, Effect]
) -> None:
    rolling = effects["deploy"]
    assert rolling.error_fraction.after == 0
    alone = what_if(planner, replace(own, api_replicas=1), "deploy")
    assert 0.05 < alone.error_fraction.after < 0.2  # down for a tenth of the window


def test_a_spike_is_slower_in_its_minutes_and_leaves_less_room(
    effects: dict[str, Effect],
) -> None:
    spike = effects["spike"]
    assert spike.p95_s.change > 0
    after, before = spike.headroom_fraction.after, spike.headroom_fraction.before
    assert 1 + after == pytest.approx((1 + before) / 5)


def test_a_region_without_prices_has_no_cost_and_says_so(planner: Planner, own: Candidate) -> None:
    found = what_if(planner, own, "region", region="eu-west-1")
    assert found.usd_per_month is None
    assert "us-east-1" in found.note
    assert "not in the model" in found.note


def test_a_region_with_some_prices_costs_what_is_known_there_and_the_rest_at_its_ratio(
    planner: Planner, own: Candidate
) -> None:
    ratio = BOOK.region_ratio("us-east-1", "ap-southeast-1")
    assert ratio is not None
    assert ratio.low == 1.0  # a public address costs the same everywhere
    assert ratio.high == pytest.approx(0.059 / 0.045)  # a NAT gateway
    found = what_if(planner, own, "region")
    assert "ap-southeast-1" in found.words
    assert "8 items" in found.note
    usd = found.usd_per_month
    assert usd is not None
    assert ratio.low < usd.after / usd.before < ratio.high
    assert usd.low < usd.change < usd.high
    same = what_if(planner, own, "region", region="us-east-1").usd_per_month
    assert same is not None
    assert same.change == 0


def test_a_carried_price_is_the_known_one_where_there_is_one_and_else_wider(
    planner: Planner,
) -> None:
    ratio = BOOK.region_ratio("us-east-1", "ap-southeast-1")
    assert ratio is not None
    book = BOOK.carried(ratio)

    def price(sku: str, service: str = "EC2 on-demand Linux", unit: str = "hour") -> Price:
        return book.find("AWS", service, sku, "ap-southeast-1", unit=unit, path="test")

    assert price("t3.medium").price_usd == 0.0528
    m5 = price("m5.large")
    assert m5.price_usd == pytest.approx(0.096 * ratio.ratio)
    assert m5.low_usd == pytest.approx(0.096 * 0.98 * ratio.low)
    assert m5.high_usd == pytest.approx(0.096 * 1.02 * ratio.high)
    assert "carried from us-east-1" in m5.source


def test_every_what_if_answers_in_pairs(effects: dict[str, Effect]) -> None:
    assert list(effects) == list(WHAT_IFS)
    for name, found in effects.items():
        for figure in (found.p95_s, found.error_fraction, found.headroom_fraction):
            assert figure.low <= figure.change <= figure.high, name
        assert found.by in ("engine", "screen")


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("flood", None, r"whatif: 'flood' is not allowed; allowed: one of growth"),
        ("growth", 0.0, r"whatif.growth: 0.0 is not allowed"),
        ("hit_ratio", 10.0, r"whatif.hit_ratio: 10.0 is not allowed.*at most 1"),
        ("deploy", 2.0, r"whatif.deploy: 2.0 is not allowed; allowed: no size"),
    ],
)
def test_a_change_that_is_none_is_one_clear_error(
    planner: Planner, own: Candidate, name: str, size: float | None, message: str
) -> None:
    with pytest.raises(InvalidScenario, match=message):
        what_if(planner, own, name, size=size)


def test_an_overload_on_both_sides_is_no_change() -> None:
    found = shift(np.array([np.inf, 1.0, 1.0]), np.array([np.inf, 2.0, 2.0]))
    assert (found.low, found.change, found.high) == (0.0, 1.0, 1.0)


def test_a_tornado_has_only_inputs_that_move_the_figure_widest_first(
    planner: Planner, own: Candidate
) -> None:
    found = tornado(planner, own)
    for each in found.values():
        widths = [bar.width for bar in each.bars]
        assert widths == sorted(widths, reverse=True)
        assert widths[-1] > 0
    names = {figure: {bar.name for bar in each.bars} for figure, each in found.items()}
    assert not any(name.startswith("price.") for name in names["p95_s"])
    assert not any(name.startswith("cpu.") for name in names["usd_per_month"])
    assert {"price.database", "plan.growth_factor"} <= names["usd_per_month"]


def test_a_bar_ends_where_the_figure_is_at_the_inputs_own_quantiles(
    planner: Planner, own: Candidate
) -> None:
    bar = next(b for b in tornado(planner, own)["usd_per_month"].bars if b.name == "price.database")
    costs = planner.costs.components(own)
    database = next(c for name, c in costs.items() if name == "database")
    usd = float(database.usd[0])
    assert bar.at_high - bar.at_low == pytest.approx(usd * (database.high - database.low))
