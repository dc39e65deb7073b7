"""Price calculations that others published, met to the cent from the book's own prices."""

import pytest

from sim.cost import capacity_units, price_book
from sim.cost.network import network_lines
from sim.scenario import Scenario
from sim.scenario_file import parse_scenario

BOOK = price_book("2026-07")


def priced_with(prices: str) -> Scenario:
    return parse_scenario(f"""
name: published
question: "?"
workload: {{registered_users: 1, daily_active_fraction: 1, requests_per_session: 1,
           mix: {{list: 1.0}}}}
topology: {{api: {{replicas: 1}}, cache: null, database: {{members: 1}},
           search: {{engine: mongo_text}}}}
objectives: {{p95_s: 0.2, availability_fraction: 0.99, error_fraction: 0.01}}
prices: {{{prices}}}
experiment: {{loads_per_s: [1, 2, 3, 4], cell_s: 60}}
""")


def load_balancer_usd(units: float, hours: float) -> float:
    service = "Application Load Balancer"
    hour = BOOK.find("AWS", service, "ALB", "us-east-1", unit="hour", path="x")
    (sku,) = [sku for sku in BOOK.skus("AWS", service) if sku.startswith("LCU")]
    unit = BOOK.find("AWS", service, sku, "us-east-1", unit="LCU-hour", path="x")
    return hours * (hour.price_usd + units * unit.price_usd)


def test_awss_first_load_balancer_example_costs_22_42_a_month() -> None:
    # https://aws.amazon.com/elasticloadbalancing/pricing/ , Application Load Balancer, example 1:
    # 1 new connection/s of 2 minutes, 5 requests/s, 300 KB/s, 60 rules, 24 × 30 hours; read in
    # several public notes that work the page's example through to 16.20 + 6.22 = 22.42 USD.
    units = capacity_units(
        new_connections_per_s=1,
        connection_s=120,
        gib_per_h=300 * 3600 / 1e6,
        requests_per_s=5,
        rules=60,
    )
    assert units.new_connections == pytest.approx(0.04)
    assert units.active_connections == pytest.approx(0.04)
    assert units.processed_bytes == pytest.approx(1.08)
    assert units.rule_evaluations == pytest.approx(0.25)
    assert units.dimension == "processed bytes"
    assert round(load_balancer_usd(units.billed, 720), 2) == 22.42


def test_tencents_example_of_the_same_units_is_bound_by_active_connections() -> None:
    # https://intl.cloud.tencent.com/document/product/214/41563 : 100 new connections/s of 3
    # minutes, 400 requests/s, 1,000 KB/s, 20 rules: 4, 6, 3.6 and 4 units, of which 6 are billed;
    # at their price of 0.0072 USD an LCU-hour that is 31.104 USD a month of 720 h.
    units = capacity_units(
        new_connections_per_s=100,
        connection_s=180,
        gib_per_h=3.6,
        requests_per_s=400,
        rules=20,
    )
    assert list(vars(units).values()) == pytest.approx([4.0, 6.0, 3.6, 4.0])
    assert units.dimension == "active connections"
    assert round(units.billed * 0.0072 * 720, 3) == 31.104


@pytest.mark.parametrize(
    ("gateways", "gib", "hours_usd", "data_usd", "total_usd"),
    [
        (1, 500, 32.85, 22.50, 55.35),
        (3, 2048, 98.55, 92.16, 190.71),
        (3, 20_480, 98.55, 921.60, 1020.15),
    ],
)
def test_three_published_nat_gateway_bills_are_met_line_by_line(
    gateways: int, gib: float, hours_usd: float, data_usd: float, total_usd: float
) -> None:
    # https://basavytix.com/blog/aws-nat-gateway-pricing , "What That Costs Per Month: Real
    # Examples", us-east-1, 730 h.
    scenario = priced_with(f"nat_gateways: {gateways}, nat_gib_per_month: {gib}")
    lines = list(network_lines(scenario, BOOK))
    assert [round(line.usd_per_month, 2) for line in lines] == [hours_usd, data_usd]
    assert round(sum(line.usd_per_month for line in lines), 2) == total_usd
