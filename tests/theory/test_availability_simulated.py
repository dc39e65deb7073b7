"""Simulated months against the closed form of the same parts, and what both say of a scenario."""

from pathlib import Path

import numpy as np
import pytest

from sim.availability import (
    MINUTES_PER_MONTH,
    availability,
    availability_of,
    drawn_futures,
    simulated_months,
    tiers_of,
)
from sim.availability.closed_form import together
from sim.cost import bill, price_book
from sim.errors import InvalidScenario
from sim.replicate.intervals import mean_interval
from sim.scenario import Scenario
from sim.scenario_file import load_scenario, scenario_from

SCENARIOS = Path(__file__).parents[2] / "scenarios"
BOOK = price_book("2026-07")
# Far worse than real parts, so that a few hundred months hold thousands of failures.
FRAIL = {
    "server_between_failures_h": 60.0,
    "server_away_h": 3.0,
    "common_cause_fraction": 0.1,
    "election_beyond_timeout_s": 900.0,
    "zone_between_failures_h": 300.0,
    "zone_away_h": 5.0,
    "provider_to_sla_ratio": 20.0,
    "provider_away_h": 2.0,
    "planned_per_month": 6.0,
    "planned_s": 1200.0,
}


def scenario(name: str, changes: dict[str, object], figures: dict[str, float]) -> Scenario:
    data = load_scenario(SCENARIOS / f"{name}.yaml").model_dump(mode="json")
    for figure, value in figures.items():
        data["reliability"][figure] = {"low": value, "high": value}
    for path, value in changes.items():
        section = data
        *above, last = path.split(".")
        for part in above:
            section = section[part]
        section[last] = value
    return scenario_from(data)


@pytest.mark.parametrize(
    ("name", "needed", "changes"),
    [
        ("assignment", 1, {}),
        ("assignment", 1, {"topology.load_balancer.instance_type": "t3.medium"}),
        ("million-users", 1, {}),
        ("million-users", 2, {"reliability.zones": 3}),
        ("million-users", 2, {"reliability.zones": 2, "topology.api.replicas": 5}),
        (
            "million-users",
            1,
            {
                "reliability.zones": 3,
                "topology.database.instance_type": "r7g.large",
                "topology.database.members": 5,
            },
        ),
        (
            "million-users",
            3,
            {"topology.database.instance_type": "r7g.large", "prices.egress_gib_per_month": 0.0},
        ),
    ],
)
def test_simulated_months_have_the_mean_of_the_closed_form(
    name: str, needed: int, changes: dict[str, object]
) -> None:
    frail = scenario(name, changes, FRAIL)
    found = simulated_months(frail, 400, np.random.SeedSequence(20261125), api_needed=needed)
    simulated = mean_interval(1 - found.down_min / MINUTES_PER_MONTH, 0.999)
    assert simulated.holds(float(availability_of(frail, api_needed=needed)))
    for tier in tiers_of(frail, needed):
        share = float(together([tier], frail.reliability.zones, found.futures.at(0)))
        lost = mean_interval(found.by_tier_min[tier.name] / MINUTES_PER_MONTH, 0.999)
        assert lost.holds(share), tier.name


def test_zones_that_fail_take_tiers_down_together_and_not_one_by_one() -> None:
    zones_only = dict(FRAIL, server_between_failures_h=1e9, planned_per_month=1e-9)
    frail = scenario(
        "assignment", {"topology.load_balancer.instance_type": "t3.medium"}, zones_only
    )
    # One zone: 5 h away after 300 h, once for all three tiers that stand in it.
    assert float(availability_of(frail)) == pytest.approx(300 / 305, abs=1e-6)


def test_the_same_seed_gives_the_same_months_and_another_seed_others() -> None:
    million = load_scenario(SCENARIOS / "million-users.yaml")
    one, again, other = (
        availability(million, BOOK, seed=seed, months=50).mean for seed in (1, 1, 2)
    )
    assert one == again
    assert one != other


def test_the_range_of_a_share_of_time_stays_between_0_and_1() -> None:
    # Two months: Student's interval is wide enough to leave the unit interval.
    for seed in range(1, 6):
        found = availability(
            load_scenario(SCENARIOS / "assignment.yaml"), BOOK, seed=seed, months=2
        )
        assert 0.0 <= found.mean.low <= found.mean.estimate <= found.mean.high <= 1.0
        assert found.degraded_min.low >= 0.0


def test_futures_are_drawn_with_the_ends_of_a_range_as_5_and_95_per_cent_quantiles() -> None:
    reliability = load_scenario(SCENARIOS / "million-users.yaml").reliability
    drawn = drawn_futures(reliability, 20_000, np.random.default_rng(1))
    below = np.mean(drawn.server_away_h < reliability.server_away_h.low)
    above = np.mean(drawn.server_away_h > reliability.server_away_h.high)
    # ±5 standard errors of a share of 0.05 in 20,000 draws
    assert abs(below - 0.05) < 5 * np.sqrt(0.05 * 0.95 / 20_000)
    assert abs(above - 0.05) < 5 * np.sqrt(0.05 * 0.95 / 20_000)
    assert np.all(drawn.common_cause_fraction <= 1)


def test_more_of_anything_that_is_needed_never_lowers_availability() -> None:
    million = load_scenario(SCENARIOS / "million-users.yaml")
    futures = drawn_futures(million.reliability, 200, np.random.default_rng(3))

    def at(**changes: object) -> np.ndarray:
        paths = {"replicas": "topology.api.replicas", "zones": "reliability.zones"}
        changed = scenario("million-users", {paths[k]: v for k, v in changes.items()}, {})
        return availability_of(changed, api_needed=2, futures=futures)

    assert np.all(at(replicas=2) <= at(replicas=3))
    assert np.all(at(replicas=3) <= at(replicas=5))
    assert np.all(at(zones=1) <= at(zones=3) + 1e-12)


def test_the_baselines_single_points_are_named_with_what_their_removal_costs() -> None:
    assignment = load_scenario(SCENARIOS / "assignment.yaml")
    points = {p.name: p for p in availability(assignment, BOOK, months=50).weak_points}
    api = points["API, 1 × t3.medium"]
    assert api.ends_service
    assert api.remedy == "2 servers"
    assert api.usd_per_month == pytest.approx(0.0416 * 730)  # one more t3.medium
    assert api.saved_min is not None
    assert api.saved_min > 0
    # Atlas bills 3 nodes for one already: making it a real replica set costs nothing more.
    assert points["database, 1 × M30"].usd_per_month == pytest.approx(0.0)
    assert points["load balancer, managed"].remedy is None
    assert any("zone" in name for name in points)


def test_the_designs_single_cache_and_search_nodes_degrade_it_and_do_not_end_it() -> None:
    million = load_scenario(SCENARIOS / "million-users.yaml")
    found = availability(million, BOOK, months=50)
    by_name = {point.name: point for point in found.weak_points}
    cache = by_name["cache, 1 × cache.m5.large"]
    assert (cache.ends_service, cache.remedy) == (False, "2 nodes in two zones")
    two = scenario("million-users", {"topology.cache.nodes": 2}, {})
    difference = bill(two, BOOK).total_usd - bill(million, BOOK).total_usd
    assert cache.usd_per_month == pytest.approx(difference)
    assert cache.usd_per_month == pytest.approx(0.156 * 730)
    search = by_name["search, 1 × managed node"]
    assert search.saved_min is not None
    assert search.saved_min > 0
    assert found.degraded_min.estimate > 0
    assert "API, 3 × t3.medium" not in by_name


def test_promises_of_the_design_compose_to_less_than_its_objective() -> None:
    million = load_scenario(SCENARIOS / "million-users.yaml")
    found = availability(million, BOOK, months=50)
    # CloudFront 99.9 %, a load balancer in one zone 99.9 %, Atlas 99.995 %
    assert found.promised_fraction == pytest.approx(0.999 * 0.999 * 0.99995)
    spread = scenario("million-users", {"reliability.zones": 3}, {})
    better = availability(spread, BOOK, months=50).promised_fraction
    assert better == pytest.approx(0.999 * 0.9999 * 0.99995)
    assert better < million.objectives.availability_fraction


def test_an_error_budget_is_what_the_objective_leaves_of_a_month() -> None:
    million = load_scenario(SCENARIOS / "million-users.yaml")
    # 0.1 % of 730 h
    assert availability(million, BOOK, months=2).budget_min == pytest.approx(43.8)


@pytest.mark.parametrize(
    ("months", "needed", "expected"),
    [(1, 1, "months: 1"), (0, 1, "months: 0"), (50, 0, "api_needed: 0"), (50, -2, "api_needed")],
)
def test_an_impossible_question_is_one_error(months: int, needed: int, expected: str) -> None:
    million = load_scenario(SCENARIOS / "million-users.yaml")
    with pytest.raises(InvalidScenario) as caught:
        availability(million, BOOK, months=months, api_needed=needed)
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("reliability.server_away_h", {"low": 0.0, "high": 1.0}),
        ("reliability.server_away_h", {"low": 2.0, "high": 1.0}),
        ("reliability.common_cause_fraction", {"low": 0.5, "high": 1.5}),
        ("reliability.zones", 0),
        ("reliability.server_away_h", 3),
    ],
)
def test_a_figure_of_reliability_outside_its_domain_is_named_by_its_path(
    path: str, value: object
) -> None:
    with pytest.raises(InvalidScenario) as caught:
        scenario("million-users", {path: value}, {})
    assert path in str(caught.value)
