"""A line of a bill, and the price of the EC2 type that a line may stand on."""

from dataclasses import dataclass

from sim.cost.pricebook import Price, PriceBook
from sim.errors import InvalidScenario, Problem
from sim.scenario import BillComponent, Scenario

EC2_SERVICES = {
    "on_demand": ("EC2 on-demand Linux",),
    "reserved_1y": (
        "EC2 reserved 1yr no-upfront (standard RI)",
        "EC2 1yr commitment (SP/RI; upfront option not stated)",
    ),
    "reserved_3y": ("EC2 3yr all-upfront (RI or EC2 Instance SP)",),
}


@dataclass(frozen=True)
class BillLine:
    """One line: `quantity` units at a unit price, per month, with the range of the price."""

    component: BillComponent
    item: str
    quantity: float
    unit: str
    unit_price_usd: float
    usd_per_month: float
    low_usd: float
    high_usd: float
    basis: str
    source: str
    as_of: str
    confidence: str


def bill_line(
    component: BillComponent,
    item: str,
    quantity: float,
    price: Price,
    basis: str,
    *,
    between: tuple[float, float] | None = None,
) -> BillLine:
    """A line of `quantity` units; `between` where the quantity itself is uncertain."""
    fewest, most = between or (quantity, quantity)
    return BillLine(
        component=component,
        item=item,
        quantity=quantity,
        unit=price.unit,
        unit_price_usd=price.price_usd,
        usd_per_month=quantity * price.price_usd,
        low_usd=fewest * price.low_usd,
        high_usd=most * price.high_usd,
        basis=basis,
        source=price.source,
        as_of=price.as_of,
        confidence=price.confidence,
    )


def ec2_price(scenario: Scenario, book: PriceBook, sku: str, path: str) -> Price:
    """The hourly price of an EC2 type under the scenario's way of buying."""
    prices = scenario.prices
    services = EC2_SERVICES[prices.purchase]
    for service in services:
        if book.has("AWS", service, sku):
            return book.find("AWS", service, sku, prices.region, unit="hour", path=path)
    known = sorted({s for service in services for s in book.skus("AWS", service)})
    raise InvalidScenario(
        Problem(path, sku, f"{', '.join(known)}: what book {book.name} prices as {prices.purchase}")
    )
