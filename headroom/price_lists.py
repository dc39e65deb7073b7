"""Price lists of others, as parsed JSON, into prices: AWS offer files and Infracost breakdowns."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sim.cost import Price
from sim.errors import InvalidScenario, Problem

_HOURS_PER_YEAR = 8760.0


@dataclass(frozen=True)
class _Target:
    """Where a product stands in a book."""

    service: str
    sku: str
    unit: str


def aws_prices(data: dict[str, Any], *, source: str) -> tuple[list[Price], int]:
    """Prices of an AWS price-list offer file, and the number of products that no bill line uses.

    On demand for every service; for EC2 also the commitments that a scenario can ask for: one year
    standard without upfront payment, three years standard all upfront.

    Source: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/reading-service-price-list-file-for-services.html
    """
    products = _mapping(data, "products", source)
    terms = _mapping(data, "terms", source)
    on_demand = _mapping(terms, "OnDemand", source, above="terms.")
    reserved = terms.get("Reserved") or {}
    as_of = str(data.get("publicationDate", ""))[:10]
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", as_of):
        raise _refused(source, "publicationDate", data.get("publicationDate"), "an ISO date")
    found, skipped = [], 0
    for code, product in products.items():
        attributes = product.get("attributes") if isinstance(product, dict) else None
        if not isinstance(attributes, dict):
            raise _refused(source, f"products.{code}.attributes", attributes, "a mapping")
        target = _aws_target(product.get("productFamily", ""), attributes)
        if target is None or code not in on_demand:
            skipped += 1
            continue
        region = attributes.get("regionCode") or attributes.get("location")
        if not isinstance(region, str) or not region:
            raise _refused(source, f"products.{code}.attributes.regionCode", region, "a region")

        def price(
            where: _Target, usd: float, kind: str, region: str = region, code: str = code
        ) -> Price:
            return Price(
                provider="AWS",
                service=where.service,
                sku=where.sku,
                unit=where.unit,
                price_usd=usd,
                region=region,
                as_of=as_of,
                source=f"AWS price list {data['offerCode']}, {kind}, product {code} ({source})",
                confidence="high",
            )

        hourly = _hourly(on_demand[code], f"terms.OnDemand.{code}", source)
        found.append(price(target, hourly, "on demand"))
        if target.service == "EC2 on-demand Linux":
            place = f"terms.Reserved.{code}"
            for committed, usd in _committed(target, reserved.get(code) or {}, place, source):
                found.append(price(committed, usd, "reserved"))
    return found, skipped


# What a product must be, where its attributes say so, to be the plain server that a bill means.
_PLAIN = {
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
}
_SERVICES = {  # by product family, and the engine or service where the family has several
    ("Compute Instance", None): ("EC2 on-demand Linux", "hour"),
    ("Cache Instance", "Valkey"): ("ElastiCache node Valkey", "node-hour"),
    ("Cache Instance", "Redis"): ("ElastiCache node Redis OSS/Memcached", "node-hour"),
    ("Amazon OpenSearch Service Instance", None): ("OpenSearch Service instance", "instance-hour"),
    ("Elastic Search Instance", None): ("OpenSearch Service instance", "instance-hour"),
    ("Database Instance", "AmazonDocDB"): ("DocumentDB", "instance-hour"),
}


def _aws_target(family: str, attributes: dict[str, Any]) -> _Target | None:
    kind = attributes.get("instanceType")
    variant = {
        "Cache Instance": attributes.get("cacheEngine"),
        "Database Instance": attributes.get("servicecode"),
    }.get(family)
    found = _SERVICES.get((family, variant))
    plain = all(attributes.get(name, value) == value for name, value in _PLAIN.items())
    if found is None or not isinstance(kind, str) or not kind or not plain:
        return None
    return _Target(found[0], kind, found[1])


def _hourly(terms: Any, place: str, source: str) -> float:
    """The one hourly price of a product on demand."""
    for name, term in _items(terms, place, source):
        dimensions = _mapping(term, "priceDimensions", source, above=f"{place}.{name}.")
        for rate, dimension in dimensions.items():
            where = f"{place}.{name}.priceDimensions.{rate}"
            if dimension.get("unit") != "Hrs":
                raise _refused(source, f"{where}.unit", dimension.get("unit"), "Hrs")
            return _usd(dimension, where, source)
    raise _refused(source, place, terms, "one term with a price")


def _committed(
    target: _Target, terms: Any, place: str, source: str
) -> Iterator[tuple[_Target, float]]:
    """Commitments that a scenario can ask for, as a price an hour."""
    for name, term in _items(terms, place, source):
        bought = term.get("termAttributes") or {}
        wanted = tuple(
            bought.get(key) for key in ("LeaseContractLength", "OfferingClass", "PurchaseOption")
        )
        dimensions = _mapping(term, "priceDimensions", source, above=f"{place}.{name}.")
        hourly = upfront = 0.0
        for rate, dimension in dimensions.items():
            usd = _usd(dimension, f"{place}.{name}.priceDimensions.{rate}", source)
            if dimension.get("unit") == "Quantity":
                upfront = usd
            else:
                hourly = usd
        if wanted == ("1yr", "standard", "No Upfront"):
            service = "EC2 reserved 1yr no-upfront (standard RI)"
            yield _Target(service, target.sku, "hour"), hourly
        elif wanted == ("3yr", "standard", "All Upfront"):
            service = "EC2 3yr all-upfront (RI or EC2 Instance SP)"
            committed = _Target(service, target.sku, "hour (annual/8760)")
            yield committed, hourly + upfront / (3 * _HOURS_PER_YEAR)


def _usd(dimension: Any, place: str, source: str) -> float:
    prices = dimension.get("pricePerUnit") if isinstance(dimension, dict) else None
    if not isinstance(prices, dict) or "USD" not in prices:
        currencies = ", ".join(prices) if isinstance(prices, dict) else prices
        raise _refused(source, f"{place}.pricePerUnit", currencies, "a price in USD")
    return _amount(prices["USD"], f"{place}.pricePerUnit.USD", source)


# Infracost's names of cost components, and where each stands in a book.
_COMPONENTS: tuple[tuple[str, str, str, str, str], ...] = (
    (
        r"Instance usage \(Linux/UNIX, on-demand, (\S+)\)",
        "hours",
        "EC2 on-demand Linux",
        r"\1",
        "hour",
    ),
    (
        r"Instance usage \(Linux/UNIX, reserved, (\S+)\)",
        "hours",
        "EC2 reserved 1yr no-upfront (standard RI)",
        r"\1",
        "hour",
    ),
    (
        r"ElastiCache \(on-demand, (cache\.\S+)\)",
        "hours",
        "ElastiCache node Redis OSS/Memcached",
        r"\1",
        "node-hour",
    ),
    (
        r"Instance \(on-demand, (\S+\.search)\)",
        "hours",
        "OpenSearch Service instance",
        r"\1",
        "instance-hour",
    ),
    (
        r"Storage \(general purpose SSD, gp3\)",
        "GB",
        "EBS",
        "gp3 storage",
        "GB-month",
    ),
    (r"NAT gateway", "hours", "NAT gateway", "NAT gateway", "hour"),
    (r"Application load balancer", "hours", "Application Load Balancer", "ALB", "hour"),
)


def infracost_prices(data: dict[str, Any], *, source: str, region: str) -> tuple[list[Price], int]:
    """Prices of an Infracost breakdown (`--format json`), and the number of components skipped.

    Infracost does not name the region of a price, so the caller does. A price that several
    resources repeat is taken once; two prices for one SKU are refused.
    """
    if data.get("currency") != "USD":
        raise _refused(source, "currency", data.get("currency"), "USD; run infracost in USD")
    as_of = str(data.get("timeGenerated", ""))[:10]
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", as_of):
        raise _refused(source, "timeGenerated", data.get("timeGenerated"), "an ISO date")
    found: dict[tuple[str, str], Price] = {}
    skipped = 0
    for place, component in _components(data, source):
        target = _infracost_target(component, place, source)
        if target is None or component.get("price") is None:
            skipped += 1
            continue
        price = Price(
            provider="AWS",
            service=target.service,
            sku=target.sku,
            unit=target.unit,
            price_usd=_amount(component["price"], f"{place}.price", source),
            region=region,
            as_of=as_of,
            source=f"Infracost breakdown, {place} ({source})",
            confidence="high",
        )
        before = found.setdefault((price.service, price.sku), price)
        if before.price_usd != price.price_usd:
            allowed = f"{before.price_usd:g}, as earlier in the file: one region in one file"
            raise _refused(source, f"{place}.price", component["price"], allowed)
    return list(found.values()), skipped


def _components(data: dict[str, Any], source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    projects = data.get("projects")
    if not isinstance(projects, list):
        raise _refused(source, "projects", projects, "a list")
    for index, project in enumerate(projects):
        place = f"projects[{index}].breakdown"
        breakdown = project.get("breakdown") if isinstance(project, dict) else None
        if not isinstance(breakdown, dict):
            raise _refused(source, place, breakdown, "a mapping with `resources`")
        waiting = [
            (f"{place}.resources[{number}]", each)
            for number, each in enumerate(breakdown.get("resources") or [])
        ]
        while waiting:
            where, resource = waiting.pop(0)
            if not isinstance(resource, dict):
                raise _refused(source, where, resource, "a mapping")
            for number, component in enumerate(resource.get("costComponents") or []):
                own = f"{where}.costComponents[{number}]"
                if not isinstance(component, dict):
                    raise _refused(source, own, component, "a mapping")
                yield own, component
            waiting += [
                (f"{where}.subresources[{number}]", each)
                for number, each in enumerate(resource.get("subresources") or [])
            ]


def _infracost_target(component: dict[str, Any], place: str, source: str) -> _Target | None:
    name = str(component.get("name", ""))
    for pattern, unit, service, sku, own_unit in _COMPONENTS:
        match = re.fullmatch(pattern, name)
        if match:
            if component.get("unit") != unit:
                raise _refused(source, f"{place}.unit", component.get("unit"), unit)
            return _Target(service, match.expand(sku), own_unit)
    return None


def _mapping(data: Any, name: str, source: str, above: str = "") -> dict[str, Any]:
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, dict):
        raise _refused(source, f"{above}{name}", value, "a mapping")
    return value


def _items(data: Any, place: str, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(data, dict) or not all(isinstance(each, dict) for each in data.values()):
        raise _refused(source, place, data, "a mapping of terms")
    yield from data.items()


def _amount(value: Any, place: str, source: str) -> float:
    try:
        amount = float(value)
    except (TypeError, ValueError):
        amount = math.nan
    if isinstance(value, bool) or not math.isfinite(amount) or amount < 0:
        raise _refused(source, place, value, "a number, 0 or more")
    return amount


def _refused(source: str, place: str, value: object, allowed: str) -> InvalidScenario:
    shown = value if len(repr(value)) <= 80 else repr(value)[:77] + "…"
    return InvalidScenario(Problem(place, shown, allowed), source=source)
