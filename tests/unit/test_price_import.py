"""Prices of a user's own, from the three kinds of files, into a book that a scenario names."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from headroom.price import priced
from headroom.price_import import COLUMNS as CSV_COLUMNS
from headroom.price_import import OPTIONAL, imported, write_book
from sim.cost import price_book
from sim.errors import InvalidScenario
from sim.scenario_file import load_scenario

BASE = price_book("2026-07")
MILLION = Path(__file__).parents[2] / "scenarios" / "million-users.yaml"
COLUMNS = "provider,service,sku,unit,price,currency,region,as_of\n"
OWN = "AWS,EC2 on-demand Linux,t3.medium,hour,0.03,USD,us-east-1,2026-11-01\n"

AWS_FILE: dict[str, Any] = {
    "formatVersion": "v1.0",
    "offerCode": "AmazonEC2",
    "publicationDate": "2026-11-20T00:00:00Z",
    "products": {
        "AAA": {
            "sku": "AAA",
            "productFamily": "Compute Instance",
            "attributes": {
                "instanceType": "t3.medium",
                "operatingSystem": "Linux",
                "tenancy": "Shared",
                "preInstalledSw": "NA",
                "capacitystatus": "Used",
                "regionCode": "us-east-1",
            },
        },
        "WIN": {
            "sku": "WIN",
            "productFamily": "Compute Instance",
            "attributes": {
                "instanceType": "t3.medium",
                "operatingSystem": "Windows",
                "tenancy": "Shared",
                "regionCode": "us-east-1",
            },
        },
    },
    "terms": {
        "OnDemand": {
            "AAA": {
                "AAA.T": {
                    "priceDimensions": {"AAA.T.R": {"unit": "Hrs", "pricePerUnit": {"USD": "0.05"}}}
                }
            }
        },
        "Reserved": {
            "AAA": {
                "AAA.ONE": {
                    "termAttributes": {
                        "LeaseContractLength": "1yr",
                        "OfferingClass": "standard",
                        "PurchaseOption": "No Upfront",
                    },
                    "priceDimensions": {"R": {"unit": "Hrs", "pricePerUnit": {"USD": "0.031"}}},
                },
                "AAA.THREE": {
                    "termAttributes": {
                        "LeaseContractLength": "3yr",
                        "OfferingClass": "standard",
                        "PurchaseOption": "All Upfront",
                    },
                    "priceDimensions": {
                        "U": {"unit": "Quantity", "pricePerUnit": {"USD": "525.60"}},
                        "H": {"unit": "Hrs", "pricePerUnit": {"USD": "0.0"}},
                    },
                },
            }
        },
    },
}

INFRACOST_FILE: dict[str, Any] = {
    "version": "0.2",
    "currency": "USD",
    "timeGenerated": "2026-11-22T10:00:00Z",
    "projects": [
        {
            "breakdown": {
                "resources": [
                    {
                        "name": "aws_instance.api",
                        "costComponents": [
                            {
                                "name": "Instance usage (Linux/UNIX, on-demand, t3.medium)",
                                "unit": "hours",
                                "price": "0.044",
                            },
                            {"name": "CPU credits", "unit": "vCPU-hours", "price": "0.05"},
                        ],
                        "subresources": [
                            {
                                "name": "root_block_device",
                                "costComponents": [
                                    {
                                        "name": "Storage (general purpose SSD, gp3)",
                                        "unit": "GB",
                                        "price": "0.09",
                                    }
                                ],
                            }
                        ],
                    },
                    {
                        "name": "aws_elasticache_cluster.cache",
                        "costComponents": [
                            {
                                "name": "ElastiCache (on-demand, cache.m5.large)",
                                "unit": "hours",
                                "price": "0.16",
                            }
                        ],
                    },
                ]
            }
        }
    ],
}


def file(folder: Path, name: str, content: str | dict[str, Any]) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InvalidScenario) as caught:
        imported(path, BASE, region="us-east-1")
    assert len(caught.value.problems) == 1
    return str(caught.value)


def test_ones_own_csv_becomes_a_book_that_a_scenario_is_priced_with(tmp_path: Path) -> None:
    found = imported(file(tmp_path, "own.csv", COLUMNS + OWN), BASE, region="us-east-1")
    assert found.before(found.prices[0], BASE) == 0.0416
    book = tmp_path / "mine-2026-11.csv"
    write_book(book, BASE, found.prices)
    scenario = load_scenario(MILLION)
    own = scenario.model_copy(
        update={"prices": scenario.prices.model_copy(update={"book": str(book)})}
    )
    before, after = priced(scenario), priced(own)
    assert after.book == "mine-2026-11"
    assert after.lines[0].usd_per_month.value == pytest.approx(3 * 0.03 * 730)
    assert after.lines[0].source == "own price, own.csv line 2"
    # All else comes from the base.
    assert [x.usd_per_month for x in after.lines[1:]] == [x.usd_per_month for x in before.lines[1:]]


def test_an_aws_offer_file_gives_the_plain_price_and_both_commitments(tmp_path: Path) -> None:
    found = imported(file(tmp_path, "index.json", AWS_FILE), BASE, region="ignored")
    by_service = {price.service: price for price in found.prices}
    assert by_service["EC2 on-demand Linux"].price_usd == 0.05
    assert by_service["EC2 reserved 1yr no-upfront (standard RI)"].price_usd == 0.031
    three = by_service["EC2 3yr all-upfront (RI or EC2 Instance SP)"]
    assert three.price_usd == pytest.approx(525.60 / (3 * 8760))  # 0.02 an hour
    assert (three.region, three.as_of) == ("us-east-1", "2026-11-20")
    assert found.skipped == 1  # Windows


def test_an_infracost_breakdown_gives_the_prices_of_its_components(tmp_path: Path) -> None:
    found = imported(file(tmp_path, "infracost.json", INFRACOST_FILE), BASE, region="eu-west-1")
    assert {(p.service, p.sku, p.price_usd) for p in found.prices} == {
        ("EC2 on-demand Linux", "t3.medium", 0.044),
        ("EBS", "gp3 storage", 0.09),
        ("ElastiCache node Redis OSS/Memcached", "cache.m5.large", 0.16),
    }
    assert {p.region for p in found.prices} == {"eu-west-1"}
    assert found.skipped == 1  # CPU credits, which Infracost names without their family


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "columns (line 1)"),
        ("a,b\n1,2\n", "columns (line 1): 'a, b'"),
        (COLUMNS + OWN.replace("USD", "EUR"), "currency (line 2): 'EUR'"),
        (COLUMNS + OWN.replace("0.03", "cheap"), "price (line 2): 'cheap'"),
        (COLUMNS + OWN.replace("0.03", "-1"), "price (line 2): '-1'"),
        (COLUMNS + OWN.replace("0.03", "nan"), "price (line 2): 'nan'"),
        (COLUMNS + OWN.replace("2026-11-01", "lately"), "as_of (line 2): 'lately'"),
        (COLUMNS + OWN.replace("t3.medium", ""), "sku (line 2): ''"),
        (COLUMNS + OWN.replace(",hour,", ",month,"), "price 1 (EC2 on-demand Linux t3.medium), un"),
        (COLUMNS + OWN + OWN, "price 2 (EC2 on-demand Linux t3.medium): 'us-east-1'"),
        (COLUMNS + "AWS,EC2\n", "row (line 2): None"),
        (COLUMNS, "file: 'own.csv'"),
    ],
)
def test_a_fault_of_a_csv_is_one_error_naming_its_row(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = file(tmp_path, "own.csv", text)
    assert refusal(path).startswith(f"{path}: {expected}")


def changed(data: dict[str, Any], path: list[Any], value: object) -> dict[str, Any]:
    copied = copy.deepcopy(data)
    section: Any = copied
    for name in path[:-1]:
        section = section[name]
    section[path[-1]] = value
    return copied


DIMENSION = ["terms", "OnDemand", "AAA", "AAA.T", "priceDimensions", "AAA.T.R"]
COMPONENT = ["projects", 0, "breakdown", "resources", 0, "costComponents", 0]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            changed(AWS_FILE, [*DIMENSION, "pricePerUnit"], {"CNY": "0.3"}),
            "terms.OnDemand.AAA.AAA.T.priceDimensions.AAA.T.R.pricePerUnit: 'CNY'",
        ),
        (
            changed(AWS_FILE, [*DIMENSION, "unit"], "Month"),
            "terms.OnDemand.AAA.AAA.T.priceDimensions.AAA.T.R.unit: 'Month'",
        ),
        (
            changed(AWS_FILE, [*DIMENSION, "pricePerUnit"], {"USD": "free"}),
            "terms.OnDemand.AAA.AAA.T.priceDimensions.AAA.T.R.pricePerUnit.USD: 'free'",
        ),
        (changed(AWS_FILE, ["publicationDate"], "soon"), "publicationDate: 'soon'"),
        (changed(AWS_FILE, ["products"], []), "products: []"),
        (changed(AWS_FILE, ["terms"], {}), "terms.OnDemand: None"),
        (changed(AWS_FILE, ["products"], {}), "file: 'list.json'"),
        (changed(INFRACOST_FILE, ["currency"], "EUR"), "currency: 'EUR'"),
        (changed(INFRACOST_FILE, ["timeGenerated"], None), "timeGenerated: None"),
        (changed(INFRACOST_FILE, ["projects"], {}), "projects: {}"),
        (
            changed(INFRACOST_FILE, [*COMPONENT, "unit"], "months"),
            "projects[0].breakdown.resources[0].costComponents[0].unit: 'months'",
        ),
        (
            changed(INFRACOST_FILE, [*COMPONENT, "price"], "-1"),
            "projects[0].breakdown.resources[0].costComponents[0].price: '-1'",
        ),
        ({"bill": 1}, "file: ['bill']"),
    ],
)
def test_a_fault_of_a_price_list_is_one_error_naming_its_path(
    tmp_path: Path, data: dict[str, Any], expected: str
) -> None:
    path = file(tmp_path, "list.json", data)
    assert expected in refusal(path)


@pytest.mark.parametrize("content", ["not json", "[" * 100_000, '"text"', "[1]"])
def test_a_file_that_is_no_price_list_is_refused(tmp_path: Path, content: str) -> None:
    assert "file: " in refusal(file(tmp_path, "list.json", content))
    assert "a readable text file" in refusal(tmp_path / "missing.json")


def test_two_prices_for_one_sku_in_an_infracost_file_are_refused(tmp_path: Path) -> None:
    twice = copy.deepcopy(INFRACOST_FILE)
    resources = twice["projects"][0]["breakdown"]["resources"]
    other = copy.deepcopy(resources[1])
    other["costComponents"][0]["price"] = "0.17"
    resources.append(other)
    assert "one region in one file" in refusal(file(tmp_path, "two.json", twice))


def test_a_book_is_written_to_a_csv_file_only(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match=r"ends in \.csv"):
        write_book(tmp_path / "book.txt", BASE, ())


def test_the_example_of_the_documentation_is_imported_as_it_stands(tmp_path: Path) -> None:
    page = (MILLION.parents[1] / "docs" / "price-books.md").read_text(encoding="utf-8")
    example = page.split("```csv\n")[1].split("```")[0]
    found = imported(file(tmp_path, "own.csv", example), BASE, region="us-east-1")
    assert [(p.sku, p.price_usd) for p in found.prices] == [("t3.medium", 0.0374), ("M30", 0.5)]
    assert all(name in page for name in (*CSV_COLUMNS, *OPTIONAL))
