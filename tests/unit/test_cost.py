"""The monthly bill, against figures worked out by hand from the book's own prices."""

from pathlib import Path

import pytest

from headroom.price import priced
from sim.cost import Bill, bill, bill_growth, lcu_mean, price_book
from sim.errors import InvalidScenario
from sim.scenario import BillComponent, Scenario
from sim.scenario_file import load_scenario, scenario_from

SCENARIOS = Path(__file__).parents[2] / "scenarios"
BOOK = price_book("2026-07")


@pytest.fixture
def million() -> Scenario:
    return load_scenario(SCENARIOS / "million-users.yaml")


def changed(scenario: Scenario, path: str, value: object) -> Scenario:
    data = scenario.model_dump(mode="json")
    section = data
    *above, last = path.split(".")
    for name in above:
        section = section[name]
    section[last] = value
    return scenario_from(data)


def by_component(found: Bill) -> dict[str, float]:
    sums: dict[str, float] = {}
    for line in found.lines:
        sums[line.component] = sums.get(line.component, 0.0) + line.usd_per_month
    return sums


def refusal(scenario: Scenario, **options: int) -> str:
    with pytest.raises(InvalidScenario) as caught:
        bill(scenario, BOOK, **options)
    assert len(caught.value.problems) == 1
    return str(caught.value)


def test_the_documents_own_table_sums_to_exactly_975(million: Scenario) -> None:
    found = bill(million, BOOK)
    assert found.stated_total_usd == 975.0
    assert [row.stated_usd for row in found.repriced] == [100, 300, 150, 100, 25, 200, 100]


def test_each_component_of_the_document_costs_what_the_book_says_by_hand(
    million: Scenario,
) -> None:
    sums = by_component(bill(million, BOOK))
    assert sums["compute"] == pytest.approx(91.104)  # 3 × 0.0416 × 730
    assert sums["database"] == pytest.approx(394.20)  # 0.54 × 730
    assert sums["cache"] == pytest.approx(113.88)  # 0.156 × 730
    assert sums["search"] == pytest.approx(94.66)  # 0.128 × 730 + 10 × 0.122
    # 0.0225 × 730 + 0.008 × 730 × (1000 GiB / 730 h / 1 GiB per LCU)
    assert sums["load_balancer"] == pytest.approx(24.425)
    # 100 × 0.023, transfer inside the free tier, (500,000 × 730/24 − 10⁷)/10⁴ × 0.01
    assert sums["objects_and_cdn"] == pytest.approx(2.3 + 5.208333, abs=1e-6)
    assert sums["observability"] == pytest.approx(90.0)  # 5 × 18


def test_the_total_is_the_sum_of_its_lines_and_lies_within_its_range(million: Scenario) -> None:
    found = bill(million, BOOK)
    assert found.total_usd == pytest.approx(815.777333, abs=1e-6)
    assert found.low_usd < found.total_usd < found.high_usd
    for line in found.lines:
        assert line.low_usd <= line.usd_per_month <= line.high_usd
        assert line.usd_per_month == pytest.approx(line.quantity * line.unit_price_usd)
        assert line.source
        assert line.as_of
        assert line.confidence in {"high", "medium", "low"}


def test_stated_and_repriced_lines_stand_side_by_side_with_their_difference(
    million: Scenario,
) -> None:
    rows = {row.item: row for row in bill(million, BOOK).repriced}
    assert rows["MongoDB Atlas M30"].difference_usd == pytest.approx(94.20)  # 394.20 − 300
    assert rows["ElastiCache cache.m5.large"].difference_usd == pytest.approx(-36.12)
    assert rows["Elasticsearch"].difference_usd == pytest.approx(-105.34)
    total = sum(row.repriced_usd or 0.0 for row in rows.values())
    assert total == pytest.approx(bill(million, BOOK).total_usd)


def test_a_component_that_the_document_leaves_out_is_listed_without_a_stated_price(
    million: Scenario,
) -> None:
    stated = [
        line
        for line in million.model_dump(mode="json")["prices"]["stated_bill"]
        if line["component"] != "load_balancer"
    ]
    rows = bill(changed(million, "prices.stated_bill", stated), BOOK).repriced
    assert rows[-1].item == "load balancer"
    assert rows[-1].stated_usd is None
    assert rows[-1].difference_usd is None


def test_a_stated_line_without_a_component_has_no_repriced_figure(million: Scenario) -> None:
    stated = [{"item": "Consultants", "usd_per_month": 10.0}]
    rows = bill(changed(million, "prices.stated_bill", stated), BOOK).repriced
    assert (rows[0].item, rows[0].repriced_usd) == ("Consultants", None)
    assert bill(changed(million, "prices.stated_bill", stated), BOOK).stated_total_usd == 10.0


def test_cost_per_request_and_user_follow_from_the_total(million: Scenario) -> None:
    found = bill(million, BOOK)
    # 815.777333 $ / (0.5 M requests/day × 30.41667 days)
    assert found.per_million_requests_usd(found.total_usd) == pytest.approx(53.640153, abs=1e-5)
    assert found.per_registered_user_usd(found.total_usd) == pytest.approx(0.000815777, rel=1e-5)


def test_more_replicas_cost_their_own_price_and_nothing_else(million: Scenario) -> None:
    three, seven = bill(million, BOOK), bill(million, BOOK, replicas=7)
    assert seven.total_usd - three.total_usd == pytest.approx(4 * 0.0416 * 730)
    assert seven.replicas == 7


def test_a_year_reserved_is_cheaper_and_names_its_own_source(million: Scenario) -> None:
    found = bill(changed(million, "prices.purchase", "reserved_1y"), BOOK)
    compute = found.lines[0]
    assert compute.usd_per_month == pytest.approx(3 * 0.0261 * 730)
    assert "infracost" in compute.source
    assert by_component(found)["observability"] == pytest.approx(5 * 15.0)


def test_a_price_per_hour_of_a_three_year_commitment_is_used_as_one(million: Scenario) -> None:
    three_years = changed(
        changed(million, "prices.purchase", "reserved_3y"), "topology.api.instance_type", "m5.large"
    )
    assert bill(three_years, BOOK).lines[0].usd_per_month == pytest.approx(3 * 0.0361 * 730)


def test_autoscaling_widens_the_range_and_leaves_the_value(million: Scenario) -> None:
    scaled = changed(million, "topology.api.autoscaling", {"min_replicas": 3, "max_replicas": 10})
    line = bill(scaled, BOOK).lines[0]
    assert line.usd_per_month == pytest.approx(3 * 0.0416 * 730)
    assert line.high_usd == pytest.approx(10 * 0.0416 * 730 * 1.02)
    assert bill(scaled, BOOK, replicas=4).lines[0].high_usd == pytest.approx(4 * 30.368 * 1.02)


def test_the_database_may_be_servers_of_ones_own_or_documentdb(million: Scenario) -> None:
    own = bill(changed(million, "topology.database.instance_type", "r7g.large"), BOOK)
    # 3 × 0.1071 × 730 + 3 × 40 GiB × 0.08
    assert by_component(own)["database"] == pytest.approx(234.549 + 9.6)
    document = bill(changed(million, "topology.database.instance_type", "db.r5.large"), BOOK)
    # 3 × 0.277 × 730 + 40 GiB × 0.10
    assert by_component(document)["database"] == pytest.approx(606.63 + 4.0)


def test_atlas_storage_beyond_the_default_is_priced_between_the_two_listed_sizes(
    million: Scenario,
) -> None:
    found = bill(changed(million, "topology.database.storage_gib", 200.0), BOOK)
    assert by_component(found)["database"] == pytest.approx(0.65 * 730)
    refused = refusal(
        changed(
            changed(million, "topology.database.storage_gib", 200.0),
            "topology.database.instance_type",
            "M10",
        )
    )
    assert "topology.database.storage_gib: 200.0" in refused


def test_atlas_sells_no_single_node_and_five_nodes_cost_five_thirds(million: Scenario) -> None:
    single = bill(changed(million, "topology.database.members", 1), BOOK)
    line = next(line for line in single.lines if line.component == "database")
    assert line.usd_per_month == pytest.approx(394.20)
    assert "sells no cluster of 1" in line.basis
    five = bill(changed(million, "topology.database.members", 5), BOOK)
    assert by_component(five)["database"] == pytest.approx(394.20 * 5 / 3)


def test_transfer_beyond_the_free_tier_is_billed_tier_by_tier(million: Scenario) -> None:
    found = bill(changed(million, "prices.egress_gib_per_month", 1024.0 + 10240 + 100), BOOK)
    transfer = [line for line in found.lines if "data out" in line.item]
    assert [line.usd_per_month for line in transfer] == pytest.approx([10240 * 0.085, 100 * 0.08])


def test_capacity_units_follow_the_larger_of_connections_and_bytes(million: Scenario) -> None:
    units = lcu_mean(million)
    sessions_per_s = 500_000 / 86_400 / 5
    # 150 s of think time and the minute in which the connection is counted; 3000 per unit
    assert units.by_connections_and_rules == pytest.approx(sessions_per_s * 210 / 3000)
    assert units.processed_bytes == pytest.approx(1000 / 730)
    assert units.billed == units.processed_bytes


@pytest.mark.parametrize("name", ["assignment", "laptop", "million-users"])
def test_every_shipped_scenario_can_be_priced(name: str) -> None:
    found = bill(load_scenario(SCENARIOS / f"{name}.yaml"), BOOK)
    assert 0 < found.low_usd <= found.total_usd <= found.high_usd


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("topology.api.instance_type", "t9.mega", "topology.api.instance_type: 't9.mega'"),
        ("topology.cache.instance_type", "cache.x1", "topology.cache.instance_type: 'cache.x1'"),
        ("topology.database.instance_type", "M700", "topology.database.instance_type: 'M700'"),
        ("topology.search.instance_type", "x.search", "topology.search.instance_type: 'x.search'"),
        ("topology.load_balancer.instance_type", "f5", "topology.load_balancer.instance_type"),
        ("prices.region", "mars-north-1", "prices.region: 'mars-north-1'"),
        ("prices.egress_gib_per_month", 1e9, "prices.egress_gib_per_month: 1000000000.0"),
        ("prices.objects_gib", 1e9, "prices.objects_gib: 1000000000.0"),
        ("prices.purchase", "reserved_3y", "topology.api.instance_type: 't3.medium'"),
        ("workload.requests_per_session", 1e308, "workload: inf"),
    ],
)
def test_a_price_that_the_book_lacks_is_one_error_naming_field_value_and_what_there_is(
    million: Scenario, path: str, value: object, expected: str
) -> None:
    text = refusal(changed(million, path, value))
    assert text.startswith(expected)
    assert "; allowed: " in text


@pytest.mark.parametrize("replicas", [0, -1, 10**7])
def test_an_impossible_number_of_replicas_is_refused(million: Scenario, replicas: int) -> None:
    assert refusal(million, replicas=replicas).startswith("replicas: ")


def test_two_stated_lines_for_one_component_are_refused(million: Scenario) -> None:
    twice = [{"item": x, "usd_per_month": 1.0, "component": "cache"} for x in "ab"]
    assert "prices.stated_bill" in refusal(changed(million, "prices.stated_bill", twice))


def test_a_scenario_without_requests_has_a_bill_but_no_cost_per_request(
    million: Scenario,
) -> None:
    idle = bill(changed(million, "workload.daily_active_fraction", 0.0), BOOK)
    assert idle.total_usd > 0
    with pytest.raises(InvalidScenario, match="without requests"):
        idle.per_million_requests_usd(idle.total_usd)


def test_the_stored_bill_carries_every_line_with_its_source(million: Scenario) -> None:
    stored = priced(million)
    assert stored.total_usd.value == pytest.approx(815.777333, abs=1e-6)
    assert stored.stated_total_usd == 975.0
    assert [row.item for row in stored.repriced] == [
        line.item for line in million.prices.stated_bill
    ]
    assert all(line.source and line.as_of and line.basis for line in stored.lines)
    database = next(line for line in stored.lines if line.component == "database")
    assert database.stated_usd == 300.0
    assert "backups" in stored.excluded


def test_traffic_requests_and_logs_are_lines_where_the_scenario_states_them(
    million: Scenario,
) -> None:
    stated = {
        "prices.nat_gateways": 2,
        "prices.nat_gib_per_month": 100.0,
        "prices.between_zones_gib_per_month": 50.0,
        "prices.object_reads_per_month": 2e6,
        "prices.object_writes_per_month": 1e5,
        "prices.log_gib_per_month": 30.0,
    }
    busy = million
    for path, value in stated.items():
        busy = changed(busy, path, value)
    plain, found = bill(million, BOOK), bill(busy, BOOK)
    more = {
        component: usd - by_component(plain).get(component, 0.0)
        for component, usd in by_component(found).items()
    }
    # 2 × 730 × 0.045 + 100 × 0.045, and 50 GB on either side at 0.01
    assert more["network"] == pytest.approx(65.7 + 4.5 + 1.0)
    assert more["objects_and_cdn"] == pytest.approx(2000 * 0.0004 + 100 * 0.005)
    assert more["observability"] == pytest.approx(30 * 0.10)
    assert {"NAT gateways", "log ingestion"} <= set(plain.excluded)
    assert not {"NAT gateways", "log ingestion"} & set(found.excluded)


def test_data_without_a_gateway_to_pass_it_is_refused(million: Scenario) -> None:
    lost = changed(million, "prices.nat_gib_per_month", 10.0)
    assert refusal(lost).startswith("prices.nat_gib_per_month: 10.0")


def test_a_spot_share_is_a_line_of_its_own_with_the_discounts_range(million: Scenario) -> None:
    half = changed(million, "prices.spot_fraction", 0.5)
    fixed, spot = (line for line in bill(half, BOOK).lines if line.component == "compute")
    all_on_demand = 3 * 0.0416 * 730
    assert fixed.usd_per_month == pytest.approx(all_on_demand / 2)
    assert spot.usd_per_month == pytest.approx(all_on_demand / 2 * 0.4)  # 30 to 90 % off
    assert spot.low_usd == pytest.approx(all_on_demand / 2 * 0.1 * 0.98)
    assert spot.high_usd == pytest.approx(all_on_demand / 2 * 0.7 * 1.02)
    assert "assumption" in spot.basis
    none_left = bill(changed(million, "prices.spot_fraction", 1.0), BOOK)
    assert none_left.lines[0].item == "EC2 t3.medium, spot"


def test_an_active_user_costs_the_total_over_the_active_ones(million: Scenario) -> None:
    found = bill(million, BOOK)
    assert found.per_active_user_usd(100.0) == pytest.approx(100.0 / 100_000)
    idle = bill(changed(million, "workload.daily_active_fraction", 0.0), BOOK)
    with pytest.raises(InvalidScenario, match="without active users"):
        idle.per_active_user_usd(1.0)


def test_a_bill_grows_with_its_traffic_and_servers_and_nothing_else(million: Scenario) -> None:
    cpu_s = 0.02
    one, ten = bill_growth(million, BOOK, (1.0, 10.0), api_cpu_s=(cpu_s, cpu_s, cpu_s))
    assert one.bill.lines[0].quantity == 3 * 730
    assert ten.load_per_s == pytest.approx(10 * one.load_per_s)
    # peak 144.7 requests/s × 20 ms = 2.9 servers' work, at most 60 % busy: 5
    assert (one.replicas, ten.replicas) == (3, 5)
    for same in (BillComponent.DATABASE, BillComponent.CACHE, BillComponent.SEARCH):
        assert one.usd(same) == ten.usd(same)
    assert ten.usd(BillComponent.COMPUTE) > one.usd(BillComponent.COMPUTE)
    # 10,000 GiB less 1 TiB free at 0.085
    transfer = [line for line in ten.bill.lines if "data out" in line.item]
    assert [line.usd_per_month for line in transfer] == pytest.approx([(10_000 - 1024) * 0.085])
    per_million = [p.bill.per_million_requests_usd(p.bill.total_usd) for p in (one, ten)]
    assert per_million[1] < per_million[0]


def test_without_a_known_cpu_time_servers_stay_as_designed(million: Scenario) -> None:
    assert [point.replicas for point in bill_growth(million, BOOK, (1.0, 20.0))] == [3, 3]
    for multiples in ((), (0.0,), (-1.0,)):
        with pytest.raises(InvalidScenario, match="multiple"):
            bill_growth(million, BOOK, multiples)
