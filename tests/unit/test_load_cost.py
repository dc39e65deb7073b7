"""What the load does to a bill, how old its prices are, and what a reader is told of both."""

from datetime import date
from pathlib import Path

import pytest
from example_run import example_run

from headroom import chain, sections
from headroom.artefacts import BillArtefact, Estimate, Run
from headroom.load_cost import (
    LoadCost,
    api_cpu_of,
    credits_summary,
    growth_table,
    load_cost,
    triple,
)
from headroom.plan import example_demands
from headroom.price import priced
from sim.cost import price_book
from sim.cost.age import age_months
from sim.cpu import cpu_ratio
from sim.scenario import Scenario
from sim.scenario_file import load_scenario

BOOK = price_book("2026-07")


@pytest.fixture(scope="module")
def million() -> Scenario:
    return load_scenario(Path(__file__).parents[2] / "scenarios" / "million-users.yaml")


@pytest.mark.parametrize(
    ("as_of", "on", "months"),
    [
        ("2026-07-20", date(2026, 7, 20), 0.0),
        ("2026-07-20", date(2027, 7, 20), 12.0),
        ("2026-07", date(2027, 1, 1), 6.0),
        ("2026", date(2026, 7, 2), 6.0),
        ("2026-12", date(2026, 7, 2), 0.0),  # from later: not old
    ],
)
def test_the_age_of_a_price_is_counted_from_the_earliest_day_it_may_be_of(
    as_of: str, on: date, months: float
) -> None:
    assert age_months(as_of, on) == pytest.approx(months, abs=0.1)


@pytest.mark.parametrize("as_of", ["undated", "unknown", "2026-13", "2026-02-30", "20260720", ""])
def test_a_price_without_a_known_date_has_no_age(as_of: str) -> None:
    assert age_months(as_of, date(2026, 7, 20)) is None


def test_a_bill_names_each_price_that_is_older_than_its_scenario_allows(million: Scenario) -> None:
    young = priced(million, on=date(2026, 11, 25))
    assert [text.split(":")[0] for text in young.stale] == [
        "Atlas M30, 3 nodes",
        "OpenSearch Service gp3 storage",
        "S3 Standard storage",
        "CloudFront HTTPS requests",
    ]
    assert "date of the price not known" in young.stale[0]
    assert "29 months old" in young.stale[1]
    old = priced(million, on=date(2030, 1, 1))
    assert len(old.stale) == len(old.lines)
    patient = million.model_copy(
        update={"prices": million.prices.model_copy(update={"oldest_months": 60.0})}
    )
    assert [text.split(":")[0] for text in priced(patient, on=date(2026, 11, 25)).stale] == [
        "Atlas M30, 3 nodes"
    ]


def test_old_prices_are_said_where_the_cost_is_shown(million: Scenario) -> None:
    page = sections.cost_notes(priced(million, on=date(2026, 11, 25)))
    assert "Prices older than 12 months" in page
    assert "S3 Standard storage: price of 2024-07-01" in page
    fresh = priced(million, on=date(2026, 11, 25)).model_copy(update={"stale": ()})
    assert "older than" not in sections.cost_notes(fresh)


def test_a_demand_moves_to_another_type_by_cpu_score_and_keeps_its_error(
    million: Scenario,
) -> None:
    measured = example_demands()

    def on(sku: str) -> Estimate:
        api = million.topology.api.model_copy(update={"instance_type": sku})
        topology = million.topology.model_copy(update={"api": api})
        return api_cpu_of(million.model_copy(update={"topology": topology}), measured)

    here, there = on("m5.large"), on("c7g.large")
    ratio = cpu_ratio("m5.large", "c7g.large")
    assert there.value == pytest.approx(here.value / ratio.value)
    # The scores' own ±20 % come on top of everything that makes `here` uncertain.
    assert there.low == pytest.approx(here.low / ratio.high)
    assert there.high == pytest.approx(here.high / ratio.low)


def test_more_hits_take_less_of_the_api_and_lie_within_the_range_without_them(
    million: Scenario,
) -> None:
    measured = example_demands()
    blind = api_cpu_of(million, measured)
    families = ("listing", "search", "favourites")
    none, all_ = (api_cpu_of(million, measured, dict.fromkeys(families, r)) for r in (0.0, 1.0))
    assert all_.value < none.value
    assert none.value == pytest.approx(blind.value)
    assert blind.low <= all_.value <= none.value <= blind.high


def test_growth_and_credits_are_stored_as_the_bill_at_each_multiple(million: Scenario) -> None:
    cpu_s = Estimate(value=0.02, low=0.01, high=0.04)
    found = load_cost(million, BOOK, cpu_s, "a test", assumed=True)
    first = found.growth[0]
    alone = priced(million, api_cpu_s=triple(cpu_s))
    assert first.total_usd == alone.total_usd
    assert sum(first.usd.values()) == pytest.approx(first.total_usd.value)
    per_million = [point.usd_per_million_requests.value for point in found.growth]
    assert per_million == sorted(per_million, reverse=True)
    credits = found.credits
    assert credits is not None
    # 500,000 × 20 ms / 60 / 3 servers
    assert credits.spent_per_day == pytest.approx(500_000 * 0.02 / 60 / 3)
    assert (credits.earned_per_day, credits.dry_from_h) == (576.0, None)
    assert credits.surcharge_usd.value == 0


def test_credits_run_dry_from_the_cpu_time_that_is_named_and_not_before(
    million: Scenario,
) -> None:
    limit = load_cost(million, BOOK, Estimate.exact(0.02), "a test", assumed=True).credits
    assert limit is not None
    assert limit.dry_at_cpu_s is not None
    for factor, dry in ((0.99, False), (1.01, True)):
        at = Estimate.exact(limit.dry_at_cpu_s * factor)
        found = load_cost(million, BOOK, at, "a test", assumed=True).credits
        assert found is not None
        assert (found.dry_from_h is not None) is dry
        assert ("runs dry" in credits_summary(found)) is dry


def test_a_type_without_credits_is_said_to_have_none(million: Scenario) -> None:
    assert "no CPU credits" in credits_summary(None)


def test_a_judged_run_holds_what_its_load_costs(tmp_path: Path) -> None:
    run = example_run(tmp_path)
    chain.judge(run)
    found = Run.open(run.folder).read(LoadCost)
    bill = run.read(BillArtefact)
    assert found.growth[0].total_usd == bill.total_usd
    assert any("CPU credits" in line.item for line in bill.lines)
    table = growth_table(found)
    assert table.count("<tr>") == 1 + len(found.growth)
