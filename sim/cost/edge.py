"""What surrounds the servers as lines of a bill: load balancer, objects and CDN, monitoring."""

from collections.abc import Iterator

from sim.cost.capacity_units import CapacityUnits, capacity_units
from sim.cost.lines import BillLine, bill_line, ec2_price
from sim.cost.network import log_lines, object_request_lines
from sim.cost.pricebook import HOURS_PER_MONTH, PriceBook
from sim.errors import require
from sim.scenario import BillComponent, Scenario

CDN_FREE_GIB, CDN_FREE_REQUESTS = 1024.0, 10_000_000.0
CDN_EDGES = "US/Mexico/Canada edges"
CDN_TIERS = (  # SKU in the book and width of the tier in GiB
    ("data out first 10 TB", 10 * 1024.0),
    ("data out next 40 TB", 40 * 1024.0),
    ("data out next 100 TB", 100 * 1024.0),
)
S3_PRICED_GIB = 50 * 1024.0


def load_balancer_lines(scenario: Scenario, book: PriceBook) -> Iterator[BillLine]:
    """The load balancer: hours and capacity units, or nginx on an EC2 type."""
    sku, path = (
        scenario.topology.load_balancer.instance_type,
        "topology.load_balancer.instance_type",
    )
    component, region = BillComponent.LOAD_BALANCER, scenario.prices.region
    if sku is not None:
        node = ec2_price(scenario, book, sku, path)
        yield bill_line(
            component, f"EC2 {sku} with nginx", HOURS_PER_MONTH, node, f"1 × {HOURS_PER_MONTH:g} h"
        )
        return
    service = "Application Load Balancer"
    hours = book.find("AWS", service, "ALB", region, unit="hour", path=path)
    yield bill_line(component, service, HOURS_PER_MONTH, hours, f"1 × {HOURS_PER_MONTH:g} h")
    listed = [sku for sku in book.skus("AWS", service) if sku.startswith("LCU")]
    require(
        len(listed) == 1, path, None, f"a type; book {book.name} has no LCU price for an {service}"
    )
    lcu = book.find("AWS", service, listed[0], region, unit="LCU-hour", path=path)
    units = lcu_mean(scenario)
    used = units.billed
    yield bill_line(
        component,
        "Load balancer capacity units",
        used * HOURS_PER_MONTH,
        lcu,
        f"{used:.3g} units on average, by {units.dimension}"
        + (": all egress passes it, an upper bound" if "bytes" in units.dimension else ""),
        between=(units.by_connections_and_rules * HOURS_PER_MONTH, used * HOURS_PER_MONTH),
    )


def lcu_mean(scenario: Scenario) -> CapacityUnits:
    """Load balancer capacity units used on average, by dimension.

    An hour is billed by the largest. All grow with the load alike, so the month's sum is 730 times
    the largest mean. One connection per session; it counts as active for the session's think times
    and the minute in which it is counted. All egress is taken to pass the balancer, which bounds
    the bytes from above (images come from the object store).

    Args:
        scenario: workload, egress and rules.
    Returns: units by dimension, a mean over the month.
    Raises: InvalidScenario outside the domains of `capacity_units`.
    Source: Elastic Load Balancing pricing: see `capacity_units`.

    >>> from sim.example import shop
    >>> lcu_mean(shop()).new_connections  # one session a second, 25 to a unit
    0.04
    """
    workload = scenario.workload
    return capacity_units(
        new_connections_per_s=workload.mean_load_per_s / workload.requests_per_session,
        connection_s=workload.requests_per_session * workload.think_time_s + 60.0,
        gib_per_h=scenario.prices.egress_gib_per_month / HOURS_PER_MONTH,
        requests_per_s=workload.mean_load_per_s,
        rules=scenario.prices.load_balancer_rules,
    )


def objects_and_cdn_lines(
    scenario: Scenario, book: PriceBook, requests_per_month: float
) -> Iterator[BillLine]:
    """Object storage and the CDN in front of everything."""
    prices, component = scenario.prices, BillComponent.OBJECTS_AND_CDN
    if prices.objects_gib > 0:
        path = "prices.objects_gib"
        require(
            prices.objects_gib <= S3_PRICED_GIB,
            path,
            prices.objects_gib,
            f"at most {S3_PRICED_GIB:g}: book {book.name} has no price for more",
        )
        storage = book.find(
            "AWS", "S3 Standard", "storage first 50 TB", prices.region, unit="GB-month", path=path
        )
        yield bill_line(
            component,
            "S3 Standard storage",
            prices.objects_gib,
            storage,
            f"{prices.objects_gib:g} GiB",
        )
    yield from object_request_lines(scenario, book)
    if prices.egress_gib_per_month > 0:
        yield from _cdn(scenario, book, requests_per_month)


def _cdn(scenario: Scenario, book: PriceBook, requests_per_month: float) -> Iterator[BillLine]:
    """CloudFront: transfer and HTTPS requests beyond its monthly free tier."""
    component, service = BillComponent.OBJECTS_AND_CDN, "CloudFront pay-as-you-go"
    egress, path = scenario.prices.egress_gib_per_month, "prices.egress_gib_per_month"
    priced = CDN_FREE_GIB + sum(width for _, width in CDN_TIERS)
    require(
        egress <= priced,
        path,
        egress,
        f"at most {priced:g}: book {book.name} has no price for more",
    )
    free = [sku for sku in book.skus("AWS", service) if sku.startswith("free tier")]
    left = egress
    if free:
        allowance = book.find("AWS", service, free[0], "global", unit="month", path=path)
        yield bill_line(
            component,
            "CloudFront free tier",
            1.0,
            allowance,
            f"{min(egress, CDN_FREE_GIB):,.0f} GiB out and "
            f"{min(requests_per_month, CDN_FREE_REQUESTS):,.0f} requests",
        )
        left -= CDN_FREE_GIB
        requests_per_month -= CDN_FREE_REQUESTS
    for sku, width in CDN_TIERS:
        if left <= 0:
            break
        price = book.find("AWS", service, sku, CDN_EDGES, unit="GB", path=path)
        part = min(left, width)
        yield bill_line(component, f"CloudFront {sku}", part, price, f"{part:g} GiB to {CDN_EDGES}")
        left -= width
    if requests_per_month > 0:
        price = book.find(
            "AWS", service, "HTTPS requests", CDN_EDGES, unit="10k requests", path=path
        )
        yield bill_line(
            component,
            "CloudFront HTTPS requests",
            requests_per_month / 10_000,
            price,
            f"{requests_per_month:,.0f} API requests beyond the free tier; images not counted",
        )


def observability_lines(scenario: Scenario, book: PriceBook) -> Iterator[BillLine]:
    """Monitoring, per host; month to month on demand, else at the yearly price."""
    prices = scenario.prices
    yield from log_lines(scenario, book)
    if prices.monitored_hosts == 0:
        return
    sku = "Pro month-to-month" if prices.purchase == "on_demand" else "Pro billed annually"
    price = book.find(
        "Datadog",
        "Infrastructure",
        sku,
        prices.region,
        unit="host-month",
        path="prices.monitored_hosts",
    )
    yield bill_line(
        BillComponent.OBSERVABILITY,
        f"Datadog Infrastructure {sku}",
        float(prices.monitored_hosts),
        price,
        f"{prices.monitored_hosts} hosts",
    )
