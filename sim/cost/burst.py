"""The API tier's CPU credits under a scenario's own demand, and their line of the bill."""

from sim.cost.credits import CreditDay, burstable_types, credit_day
from sim.cost.lines import BillLine, bill_line
from sim.cost.pricebook import Price, PriceBook
from sim.errors import require
from sim.queueing.domain import positive
from sim.scenario import BillComponent, Scenario
from sim.workload import demand_of

CREDITS_SERVICE = "EC2 CPU credits beyond the baseline"
# One event loop a replica: it can keep one vCPU busy, whatever the type has.
LOOPS = 1.0


def api_credit_day(
    scenario: Scenario, cpu_s: float, replicas: int | None = None
) -> CreditDay | None:
    """The credits of one API server along the scenario's demand curve.

    Args:
        scenario: workload, instance type, and `prices.credits` for the mode.
        cpu_s: CPU time that one request takes of the API on that type, s, > 0, averaged over the
            mix.
        replicas: API servers that share the load; the scenario's own number by default.
    Returns: the day (the whole recording for a recorded curve); None for a type without credits.
    Raises: InvalidScenario outside those domains.
    Source: `credit_day` along `demand_of`.

    >>> from sim.cost.credits import credit_day
    >>> credit_day("t3.medium", [0.4], 86_400.0).balance.tolist()  # 2 × 20 %: full
    [576.0]
    """
    api = scenario.topology.api
    if api.instance_type not in burstable_types():
        return None
    each = positive("cpu_s", cpu_s)
    servers = api.replicas if replicas is None else replicas
    require(servers >= 1, "replicas", servers, "1 or more")
    demand = demand_of(scenario.workload)
    busy = demand.shape * (demand.mean_load_per_s * each / servers)
    return credit_day(
        api.instance_type, busy.clip(max=LOOPS), demand.step_s, mode=scenario.prices.credits
    )


def credit_lines(
    scenario: Scenario, book: PriceBook, cpu_s: tuple[float, float, float], replicas: int
) -> list[BillLine]:
    """The surcharge of unlimited mode as a line; none for other types or for standard mode.

    Args:
        scenario, book: as for the bill.
        cpu_s: low end, value and high end of the API's CPU time for a request, s, > 0.
        replicas: API servers that share the load.
    Returns: one line, or none.
    Raises: InvalidScenario when the book has no price for it.
    Source: the book's price of a vCPU hour beyond the baseline.

    >>> from sim.cost.pricebook import price_book
    >>> from sim.example import shop
    >>> credit_lines(shop(), price_book("2026-07"), (0.01, 0.01, 0.01), 2)  # m5 knows no credits
    []
    """
    sku = scenario.topology.api.instance_type
    days = [api_credit_day(scenario, each, replicas) for each in cpu_s]
    if scenario.prices.credits != "unlimited" or None in days:
        return []
    low, value, high = (day.charged_per_month / 60.0 * replicas for day in days if day is not None)
    price = credit_price(scenario, book, sku)
    return [
        bill_line(
            BillComponent.COMPUTE,
            f"CPU credits of {replicas} × {sku} beyond the baseline",
            value,
            price,
            f"{cpu_s[1] * 1000:.3g} ms of CPU a request along the workload's own curve, "
            "unlimited mode",
            between=(low, high),
        )
    ]


def credit_price(scenario: Scenario, book: PriceBook, sku: str) -> Price:
    """What a vCPU-hour beyond the baseline of a bursting type costs in the scenario's region.

    Args:
        scenario: its region.
        book: the price book.
        sku: a type with CPU credits, such as "t3.medium".
    Returns: the price, dollars a vCPU-hour, with its source.
    Raises: InvalidScenario where the book has no such price.
    Source: the book's row, which names its own.

    >>> from sim.cost import price_book
    >>> from sim.example import shop
    >>> credit_price(shop(), price_book("2026-07"), "t3.medium").price_usd
    0.05
    """
    family = "T4g Linux" if sku.startswith("t4g.") else "T3 Linux"
    return book.find(
        "AWS",
        CREDITS_SERVICE,
        family,
        scenario.prices.region,
        unit="vCPU-hour",
        path="topology.api.instance_type",
    )
