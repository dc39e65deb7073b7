"""The price book, the CPU scores and the SLAs that ship with the models."""

import csv
from importlib.resources import files
from pathlib import Path

import pytest

from sim.cost import PRICE_RANGE, load_price_book, parse_price_book, price_book
from sim.cpu import cpu_ratio, cpu_scores
from sim.errors import InvalidScenario

HEAD = "# schema_version: 1\n# currency: USD\n"
COLUMNS = "provider,service,sku,vcpu,memory_gib,unit,price_usd,region,as_of,source,confidence\n"
ROW = "P,S,k,2,4,hour,0.5,r1,2026-01,https://example.org,high\n"


def refusal(text: str) -> str:
    with pytest.raises(InvalidScenario) as caught:
        parse_price_book("mine", text, source="mine.csv")
    return str(caught.value)


def test_every_shipped_price_states_its_source_date_and_confidence() -> None:
    book = price_book("2026-07")
    assert len(book.prices) == 133
    for price in book.prices:
        assert price.source
        assert price.as_of
        assert price.unit
        assert price.low_usd <= price.price_usd <= price.high_usd
        assert price.confidence in PRICE_RANGE


def test_less_confidence_means_a_wider_range() -> None:
    widths = [PRICE_RANGE[c][1] - PRICE_RANGE[c][0] for c in ("high", "medium", "low")]
    assert widths == sorted(widths)


def test_an_unknown_book_is_named_beside_those_there_are() -> None:
    with pytest.raises(InvalidScenario, match=r"prices\.book: '1999-01'.*one of 2026-07"):
        price_book("1999-01")
    with pytest.raises(InvalidScenario, match=r"prices\.book"):
        price_book("../../etc/passwd")


def test_a_price_in_another_unit_than_asked_for_is_refused() -> None:
    book = parse_price_book("mine", HEAD + COLUMNS + ROW, source="mine.csv")
    assert book.find("P", "S", "k", "r1", unit="hour", path="x").price_usd == 0.5
    with pytest.raises(InvalidScenario, match=r"x: .k. is not allowed.*per month"):
        book.find("P", "S", "k", "r1", unit="month", path="x")


def test_a_region_without_a_price_is_named_beside_those_that_have_one() -> None:
    book = parse_price_book("mine", HEAD + COLUMNS + ROW, source="mine.csv")
    with pytest.raises(InvalidScenario, match=r"prices\.region: 'r2'.*allowed: r1"):
        book.find("P", "S", "k", "r2", unit="hour", path="x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "schema_version (line 1): None"),
        ("# schema_version: 2\n# currency: USD\n" + COLUMNS + ROW, "schema_version (line 1): '2'"),
        ("# schema_version: 1\n# currency: EUR\n" + COLUMNS + ROW, "currency (line 1): 'EUR'"),
        (HEAD + "a,b\n1,2\n", "columns (line 3)"),
        (HEAD + COLUMNS + ROW.replace("0.5", "free"), "price_usd (line 4): 'free'"),
        (HEAD + COLUMNS + ROW.replace("0.5", "-1"), "price_usd (line 4): '-1'"),
        (HEAD + COLUMNS + ROW.replace("0.5", "nan"), "price_usd (line 4): 'nan'"),
        (HEAD + COLUMNS + ROW.replace("0.5", "inf"), "price_usd (line 4): 'inf'"),
        (HEAD + COLUMNS + ROW.replace("0.5", ""), "price_usd (line 4): ''"),
        (HEAD + COLUMNS + ROW.replace("high", "sure"), "confidence (line 4): 'sure'"),
        (HEAD + COLUMNS + ROW.replace("https://example.org", ""), "source (line 4): ''"),
        (HEAD + COLUMNS + "P,S,k\n", "row (line 4): 'k'"),
        (HEAD + COLUMNS + ROW.strip() + ",more\n", "row (line 4): 'k'"),
        (HEAD + COLUMNS + ROW + ROW, "price book: 'mine'"),
    ],
)
def test_a_broken_price_book_is_one_error_naming_column_line_and_value(
    text: str, expected: str
) -> None:
    assert expected in refusal(text)


def test_a_book_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(HEAD + COLUMNS + ROW, encoding="utf-8")
    assert load_price_book(path).name == "own"
    with pytest.raises(InvalidScenario, match="a readable CSV file"):
        load_price_book(tmp_path / "missing.csv")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidScenario, match="a readable CSV file"):
        load_price_book(path)


def test_cpu_ratios_are_reciprocal_and_carry_twenty_per_cent() -> None:
    up, down = cpu_ratio("t3.medium", "m7g.large"), cpu_ratio("m7g.large", "t3.medium")
    assert up.value == pytest.approx(25830 / 14582)
    assert up.value * down.value == pytest.approx(1.0)
    assert up.low == pytest.approx(0.8 * up.value)
    assert up.high == pytest.approx(1.2 * up.value)


def test_every_cpu_score_belongs_to_a_whole_machine_and_has_a_source() -> None:
    for score in cpu_scores().values():
        assert score.vcpu >= 2
        assert score.coremark_per_vcpu > 10_000
        assert score.source


@pytest.mark.parametrize(("a", "b"), [("abacus", "m5.large"), ("m5.large", ""), ("M5.LARGE", "x")])
def test_a_type_without_a_cpu_score_is_refused_with_the_known_ones(a: str, b: str) -> None:
    with pytest.raises(InvalidScenario, match=r"one of c6g\.large"):
        cpu_ratio(a, b)


def test_every_sla_states_a_monthly_uptime_with_its_source() -> None:
    text = files("sim").joinpath("data", "sla.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) >= 15
    for row in rows:
        assert 99.0 <= float(row["monthly_uptime_pct"]) <= 100.0
        assert row["source"]
        assert row["confidence"] in PRICE_RANGE
