"""What an architecture costs a month: a scenario's topology priced line by line from a book.

Assumes: list prices of the book's date; a month of 730 h; quantities of the scenario.
Lies when: discounts are negotiated; tax, support and what `excluded` lists; prices have changed
    since (see age).
"""

import math
from dataclasses import dataclass

from sim.cost.burst import credit_lines
from sim.cost.edge import load_balancer_lines, objects_and_cdn_lines, observability_lines
from sim.cost.lines import BillLine
from sim.cost.network import network_lines
from sim.cost.pricebook import HOURS_PER_MONTH, PriceBook
from sim.cost.servers import cache_lines, compute_lines, database_lines, search_lines
from sim.errors import require
from sim.scenario import BillComponent, Scenario

DAYS_PER_MONTH = HOURS_PER_MONTH / 24

# What no bill has, said wherever one is shown; `Bill.excluded` adds what this one lacks.
EXCLUDED = (
    "disks of the API servers",
    "indexing of logs and tracing",
    "backups",
    "support and tax",
)


@dataclass(frozen=True)
class RepricedLine:
    """A line as the document states it, beside what the book makes of the same component.

    `repriced_usd` is None where the document names no component or the topology has none of it;
    `stated_usd` is None for a component that the document's table leaves out.
    """

    component: BillComponent | None
    item: str
    stated_usd: float | None
    repriced_usd: float | None
    low_usd: float | None
    high_usd: float | None

    @property
    def difference_usd(self) -> float | None:
        """Re-priced minus stated."""
        if self.stated_usd is None or self.repriced_usd is None:
            return None
        return self.repriced_usd - self.stated_usd


@dataclass(frozen=True)
class Bill:
    """A month's bill, list prices without tax; see EXCLUDED for what is not in it."""

    book: str
    region: str
    purchase: str
    replicas: int
    lines: tuple[BillLine, ...]
    repriced: tuple[RepricedLine, ...]
    requests_per_month: float
    registered_users: int
    active_users: float
    excluded: tuple[str, ...]

    @property
    def total_usd(self) -> float:
        """Sum of all lines, dollars a month."""
        return math.fsum(line.usd_per_month for line in self.lines)

    @property
    def low_usd(self) -> float:
        """Sum of the lines' lower ends: all prices low at once, so wider than likely."""
        return math.fsum(line.low_usd for line in self.lines)

    @property
    def high_usd(self) -> float:
        """Sum of the lines' upper ends."""
        return math.fsum(line.high_usd for line in self.lines)

    @property
    def stated_total_usd(self) -> float | None:
        """What the document's own lines sum to; None where it states none."""
        stated = [line.stated_usd for line in self.repriced if line.stated_usd is not None]
        return math.fsum(stated) if stated else None

    def per_million_requests_usd(self, usd_per_month: float) -> float:
        """Dollars per million requests at the scenario's mean demand.

        Raises: InvalidScenario when the scenario has no requests.
        """
        require(
            self.requests_per_month > 0,
            "workload",
            self.requests_per_month,
            "a demand above 0 requests a month; without requests none has a cost",
        )
        return usd_per_month / self.requests_per_month * 1e6

    def per_registered_user_usd(self, usd_per_month: float) -> float:
        """Dollars a month per registered user."""
        return usd_per_month / self.registered_users

    def per_active_user_usd(self, usd_per_month: float) -> float:
        """Dollars a month per user who is active on a mean day.

        Raises: InvalidScenario when the scenario has none.
        """
        require(
            self.active_users > 0,
            "workload.daily_active_fraction",
            self.active_users,
            "above 0; without active users none has a cost",
        )
        return usd_per_month / self.active_users


def bill(
    scenario: Scenario,
    book: PriceBook,
    *,
    replicas: int | None = None,
    api_cpu_s: tuple[float, float, float] | None = None,
) -> Bill:
    """Price the topology of a scenario for one month of 730 h.

    Args:
        scenario: its topology says what runs, its `prices` in which region and how it is bought.
        book: the price book; `scenario.prices.book` names the one to load.
        replicas: API servers, in place of the scenario's own number; >= 1.
        api_cpu_s: low end, value and high end of the API's CPU time for a request on its instance
            type, s; with it, the CPU credits of a burstable type are priced.
    Returns: the bill, with the document's stated lines beside their re-priced components. A
        commitment applies to EC2 (and to Datadog, as its yearly price); the book has none for the
        rest, which stays on demand. EXCLUDED lists what is left out.
    Raises: InvalidScenario naming the field whose price the book does not have, or whose value is
        outside the priced tiers.
    Source: the book's prices, each with its own source.

    >>> from sim.cost import price_book
    >>> from sim.scenario_file import parse_scenario
    >>> s = parse_scenario('''
    ... name: doc
    ... question: "?"
    ... workload: {registered_users: 1000, daily_active_fraction: 0.1, requests_per_session: 5,
    ...            mix: {list: 1.0}}
    ... topology: {api: {replicas: 3}, cache: null, database: {}, search: {engine: mongo_text}}
    ... objectives: {p95_s: 0.2, availability_fraction: 0.999, error_fraction: 0.001}
    ... experiment: {loads_per_s: [1, 2, 3, 4]}
    ... ''')
    >>> b = bill(s, price_book("2026-07"))
    >>> [(x.item, round(x.usd_per_month, 2)) for x in b.lines][:2]  # 3 × 0.0416 × 730, 0.54 × 730
    [('EC2 t3.medium', 91.1), ('Atlas M30, 3 nodes', 394.2)]
    """
    count = scenario.topology.api.replicas if replicas is None else replicas
    require(
        isinstance(count, int) and 1 <= count <= 10**6,
        "replicas",
        count,
        "a whole number, 1 to 10⁶",
    )
    monthly = scenario.workload.requests_per_day * DAYS_PER_MONTH
    require(
        math.isfinite(monthly), "workload", monthly, "a demand that fits a floating-point number"
    )
    lines = (
        *compute_lines(scenario, book, count, chosen=replicas is not None),
        *database_lines(scenario, book),
        *cache_lines(scenario, book),
        *search_lines(scenario, book),
        *(credit_lines(scenario, book, api_cpu_s, count) if api_cpu_s else ()),
        *load_balancer_lines(scenario, book),
        *objects_and_cdn_lines(scenario, book, monthly),
        *network_lines(scenario, book),
        *observability_lines(scenario, book),
    )
    return Bill(
        book=book.name,
        region=scenario.prices.region,
        purchase=scenario.prices.purchase,
        replicas=count,
        lines=lines,
        repriced=_repriced(scenario, lines),
        requests_per_month=monthly,
        registered_users=scenario.workload.registered_users,
        active_users=scenario.workload.registered_users * scenario.workload.daily_active_fraction,
        excluded=_excluded(scenario, priced_credits=api_cpu_s is not None),
    )


def _excluded(scenario: Scenario, *, priced_credits: bool) -> tuple[str, ...]:
    """What this bill leaves out: what none has, and what its scenario states nothing of."""
    prices = scenario.prices
    left_out = {
        "NAT gateways": prices.nat_gateways == 0,
        "traffic between zones": prices.between_zones_gib_per_month == 0,
        "requests to the object store": prices.object_reads_per_month == 0,
        "log ingestion": prices.log_gib_per_month == 0,
        "CPU credits of burstable types beyond their baseline": not priced_credits,
    }
    return (*(text for text, missing in left_out.items() if missing), *EXCLUDED)


def _repriced(scenario: Scenario, lines: tuple[BillLine, ...]) -> tuple[RepricedLine, ...]:
    """The document's lines in its order, then the components it leaves out."""
    stated = scenario.prices.stated_bill
    named = [line.component for line in stated if line.component is not None]
    twice = sorted({component for component in named if named.count(component) > 1})
    require(not twice, "prices.stated_bill", twice, "each component in one stated line at most")

    def row(component: BillComponent | None, item: str, usd: float | None) -> RepricedLine:
        own = [line for line in lines if component is not None and line.component == component]
        return RepricedLine(
            component=component,
            item=item,
            stated_usd=usd,
            repriced_usd=math.fsum(line.usd_per_month for line in own) if own else None,
            low_usd=math.fsum(line.low_usd for line in own) if own else None,
            high_usd=math.fsum(line.high_usd for line in own) if own else None,
        )

    rows = [row(line.component, line.item, line.usd_per_month) for line in stated]
    present = {line.component: None for line in lines}
    left_out = [component for component in present if component not in named]
    rows += [row(component, component.replace("_", " "), None) for component in left_out]
    return tuple(rows)
