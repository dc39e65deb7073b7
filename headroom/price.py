"""The bill of a scenario as an artefact: a price book joined with the topology."""

from datetime import date

from headroom.artefacts import BillArtefact, BillLine, Estimate, RepricedRecord, now
from sim.cost import Bill, RepricedLine, bill, price_book
from sim.cost.age import stale_prices
from sim.scenario import Scenario


def priced(
    scenario: Scenario,
    replicas: int | None = None,
    *,
    api_cpu_s: tuple[float, float, float] | None = None,
    on: date | None = None,
) -> BillArtefact:
    """Price a scenario with the book that it names; raises InvalidScenario on a missing price.

    With the API's CPU time for a request (low end, value, high end) the CPU credits of burstable
    types are priced too. `on` is the day of which prices are called old: today by default.
    """
    book = price_book(scenario.prices.book)
    found = bill(scenario, book, replicas=replicas, api_cpu_s=api_cpu_s)
    return bill_artefact(found, scenario.prices.oldest_months, on or now().date())


def bill_artefact(found: Bill, oldest_months: float, on: date) -> BillArtefact:
    """A bill in the form in which a run stores it."""
    total = Estimate(value=found.total_usd, low=found.low_usd, high=found.high_usd)
    stated = _stated_of_single_lines(found)
    return BillArtefact(
        book=found.book,
        region=found.region,
        purchase=found.purchase,
        lines=tuple(
            BillLine(
                item=line.item,
                quantity=line.quantity,
                unit=line.unit,
                unit_price_usd=line.unit_price_usd,
                usd_per_month=Estimate(
                    value=line.usd_per_month, low=line.low_usd, high=line.high_usd
                ),
                source=line.source,
                as_of=line.as_of,
                confidence=line.confidence,
                stated_usd=stated.get(line.component),
                component=line.component,
                basis=line.basis,
            )
            for line in found.lines
        ),
        total_usd=total,
        stated_total_usd=found.stated_total_usd,
        usd_per_million_requests=Estimate(
            value=found.per_million_requests_usd(total.value),
            low=found.per_million_requests_usd(total.low),
            high=found.per_million_requests_usd(total.high),
        ),
        usd_per_registered_user=Estimate(
            value=found.per_registered_user_usd(total.value),
            low=found.per_registered_user_usd(total.low),
            high=found.per_registered_user_usd(total.high),
        ),
        repriced=tuple(
            RepricedRecord(
                item=row.item, stated_usd=row.stated_usd, repriced_usd=_repriced_estimate(row)
            )
            for row in found.repriced
        ),
        excluded=found.excluded,
        usd_per_active_user=(
            Estimate(
                value=found.per_active_user_usd(total.value),
                low=found.per_active_user_usd(total.low),
                high=found.per_active_user_usd(total.high),
            )
            if found.active_users > 0
            else None
        ),
        stale=tuple(str(price) for price in stale_prices(found.lines, on, oldest_months)),
        oldest_months=oldest_months,
    )


def _repriced_estimate(row: RepricedLine) -> Estimate | None:
    if row.repriced_usd is None or row.low_usd is None or row.high_usd is None:
        return None
    return Estimate(value=row.repriced_usd, low=row.low_usd, high=row.high_usd)


def _stated_of_single_lines(found: Bill) -> dict[str, float]:
    """Stated dollars by component, where one line makes up the component: only then comparable."""
    components = [line.component for line in found.lines]
    return {
        row.component: row.stated_usd
        for row in found.repriced
        if row.component and row.stated_usd is not None and components.count(row.component) == 1
    }
