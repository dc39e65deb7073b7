"""What moves between the parts and to their logs, as lines of a bill."""

from collections.abc import Iterator

from sim.cost.lines import BillLine, bill_line
from sim.cost.pricebook import HOURS_PER_MONTH, PriceBook
from sim.errors import require
from sim.scenario import BillComponent, Scenario


def network_lines(scenario: Scenario, book: PriceBook) -> Iterator[BillLine]:
    """NAT gateways and traffic between zones, where the scenario states any."""
    prices, component = scenario.prices, BillComponent.NETWORK
    path = "prices.nat_gib_per_month"
    require(
        prices.nat_gateways > 0 or prices.nat_gib_per_month == 0,
        path,
        prices.nat_gib_per_month,
        "0 without a NAT gateway; prices.nat_gateways states how many there are",
    )
    if prices.nat_gateways > 0:
        hours = book.find(
            "AWS",
            "NAT gateway",
            "NAT gateway",
            prices.region,
            unit="hour",
            path="prices.nat_gateways",
        )
        yield bill_line(
            component,
            "NAT gateway",
            prices.nat_gateways * HOURS_PER_MONTH,
            hours,
            f"{prices.nat_gateways} × {HOURS_PER_MONTH:g} h",
        )
        data = book.find(
            "AWS", "NAT gateway", "data processed", prices.region, unit="GB", path=path
        )
        yield bill_line(
            component,
            "NAT gateway, data processed",
            prices.nat_gib_per_month,
            data,
            f"{prices.nat_gib_per_month:g} GB in both directions",
        )
    if prices.between_zones_gib_per_month > 0:
        path = "prices.between_zones_gib_per_month"
        price = book.find(
            "AWS", "Inter-AZ data transfer", "each direction", prices.region, unit="GB", path=path
        )
        yield bill_line(
            component,
            "Traffic between zones",
            2 * prices.between_zones_gib_per_month,
            price,
            f"{prices.between_zones_gib_per_month:g} GB, billed on either side",
        )


def object_request_lines(scenario: Scenario, book: PriceBook) -> Iterator[BillLine]:
    """Requests to the object store, where the scenario states any."""
    prices = scenario.prices
    for sku, item, number, path in (
        (
            "PUT/COPY/POST/LIST",
            "S3 Standard writes",
            prices.object_writes_per_month,
            "prices.object_writes_per_month",
        ),
        (
            "GET and other",
            "S3 Standard reads",
            prices.object_reads_per_month,
            "prices.object_reads_per_month",
        ),
    ):
        if number > 0:
            price = book.find(
                "AWS", "S3 Standard", sku, prices.region, unit="1000 requests", path=path
            )
            yield bill_line(
                BillComponent.OBJECTS_AND_CDN,
                item,
                number / 1000.0,
                price,
                f"{number:,.0f} requests",
            )


def log_lines(scenario: Scenario, book: PriceBook) -> Iterator[BillLine]:
    """Logs taken in by the monitoring service, where the scenario states any."""
    prices, path = scenario.prices, "prices.log_gib_per_month"
    if prices.log_gib_per_month > 0:
        price = book.find("Datadog", "Logs", "ingest", prices.region, unit="GB", path=path)
        yield bill_line(
            BillComponent.OBSERVABILITY,
            "Datadog log ingestion",
            prices.log_gib_per_month,
            price,
            f"{prices.log_gib_per_month:g} GB taken in; indexing not counted",
        )
