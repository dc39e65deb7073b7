"""How a bill grows with the load on the same design.

Assumes: traffic grows with the requests, API servers with the peak; the rest stays as designed.
Lies when: database, cache or search must grow too: whether they carry the load is the plan's
    question.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim.cost.bill import Bill, bill
from sim.cost.pricebook import PriceBook
from sim.errors import require
from sim.queueing.domain import open_fraction, positive
from sim.scenario import BillComponent, Scenario

MULTIPLES = (1.0, 2.0, 5.0, 10.0, 20.0)
BUSY_FRACTION = 0.6  # of an API server at the daily peak, as autoscalers aim at

# Quantities of the scenario that grow with the requests.
_WITH_LOAD = (
    "egress_gib_per_month",
    "nat_gib_per_month",
    "between_zones_gib_per_month",
    "object_reads_per_month",
    "log_gib_per_month",
)


@dataclass(frozen=True)
class GrowthPoint:
    """The bill at a multiple of the load."""

    multiple: float
    load_per_s: float
    replicas: int
    bill: Bill

    def usd(self, component: BillComponent) -> float:
        """Dollars a month of one component."""
        own = (line.usd_per_month for line in self.bill.lines if line.component == component)
        return math.fsum(own)


def at_multiple(scenario: Scenario, multiple: float) -> Scenario:
    """The same scenario with more sessions and the traffic that comes with them.

    Raises: InvalidScenario unless `multiple` is above 0.
    """
    factor = positive("multiple", multiple)
    workload, prices = scenario.workload, scenario.prices
    sessions = workload.sessions_per_active_user_per_day * factor
    grown = {name: getattr(prices, name) * factor for name in _WITH_LOAD}
    return scenario.model_copy(
        update={
            "workload": workload.model_copy(update={"sessions_per_active_user_per_day": sessions}),
            "prices": prices.model_copy(update=grown),
        }
    )


def servers_for(scenario: Scenario, cpu_s: float, busy_fraction: float = BUSY_FRACTION) -> int:
    """API servers, one event loop each, that are no busier than `busy_fraction` at the daily peak.

    Args:
        scenario: its workload gives the peak.
        cpu_s: CPU time of the API for a request on the scenario's instance type, s, > 0.
        busy_fraction: strictly between 0 and 1.
    Returns: at least the number in the design.
    Raises: InvalidScenario outside those domains.
    Source: utilisation law: busy servers are load × service time.

    >>> from sim.queueing.domain import positive
    >>> math.ceil(100 * positive("cpu_s", 0.03) / 0.6)  # 100 requests/s of 30 ms: 3 busy, so 5
    5
    """
    work = scenario.workload.peak_load_per_s * positive("cpu_s", cpu_s)
    needed = math.ceil(work / open_fraction("busy_fraction", busy_fraction))
    return max(scenario.topology.api.replicas, needed)


def bill_growth(
    scenario: Scenario,
    book: PriceBook,
    multiples: Sequence[float] = MULTIPLES,
    *,
    api_cpu_s: tuple[float, float, float] | None = None,
) -> tuple[GrowthPoint, ...]:
    """The bill at multiples of the load: traffic and API servers grow, the rest is as designed.

    Whether database, cache and search carry the load is a question of capacity, not of this bill.

    Args:
        scenario: the design.
        book: the price book.
        multiples: of the scenario's own load, each > 0, at least one.
        api_cpu_s: low end, value and high end of the API's CPU time for a request, s; without it
            the API servers stay as designed and CPU credits are not priced.
    Returns: one point for each multiple, in the order given.
    Raises: InvalidScenario outside those domains, or where the book prices no more of something.
    Source: `bill`, for each multiple.

    >>> from sim.cost import price_book
    >>> from sim.example import shop
    >>> points = bill_growth(shop(), price_book("2026-07"), (1.0, 10.0))
    >>> [point.load_per_s for point in points]
    [10.0, 100.0]
    >>> points[1].bill.total_usd > points[0].bill.total_usd
    True
    """
    require(len(multiples) > 0, "multiples", list(multiples), "at least one number above 0")
    points = []
    for multiple in multiples:
        grown = at_multiple(scenario, multiple)
        replicas = scenario.topology.api.replicas
        if api_cpu_s is not None:
            replicas = servers_for(grown, api_cpu_s[1])
        found = bill(grown, book, replicas=replicas, api_cpu_s=api_cpu_s)
        points.append(GrowthPoint(multiple, grown.workload.mean_load_per_s, replicas, found))
    return tuple(points)
