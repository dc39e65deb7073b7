"""What each option of each tier costs a month, read from the bill once instead of per candidate.

A bill is a sum over components, and each component's lines depend on that component's own options,
on how instances are bought, and on the load. So a table of component costs over a few loads gives
the bill of every combination in every future; a test holds both equal.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.cost import Bill, PriceBook, bill
from sim.plan.space import Candidate
from sim.scenario import BillComponent, Scenario

Floats = NDArray[np.float64]
GRID = 12


@dataclass(frozen=True)
class ComponentCost:
    """Dollars a month of one component over the table's growth, and the range of its prices.

    Args:
        usd: at each growth of the table.
        low, high: ends of the range of its prices, as factors.
    """

    usd: Floats
    low: float
    high: float


class CostTable:
    """Component costs of a scenario's candidates, worked out when first asked for.

    Between the growths of its grid a bill is interpolated, which is exact but for the kinks where
    a tier of the CDN's prices ends.
    """

    def __init__(
        self, scenario: Scenario, book: PriceBook, lowest: float = 1.0, highest: float = 1.0
    ) -> None:
        self._scenario, self._book = scenario, book
        ends = np.geomspace(min(lowest, 1.0), max(highest, 1.0), GRID)
        self.growth = np.unique(np.append(ends, 1.0)) if ends[0] < ends[-1] else np.ones(1)
        self._centre = int(np.searchsorted(self.growth, 1.0))
        self._known: dict[tuple[object, ...], ComponentCost] = {}

    def components(self, candidate: Candidate) -> dict[BillComponent, ComponentCost]:
        """The costs of a candidate by component."""
        found = {}
        for component in BillComponent:
            key = (component, *_options(component, candidate))
            if key not in self._known:
                self._add(candidate)
            found[component] = self._known[key]
        return found

    def usd_per_month(
        self, candidate: Candidate, growth: Floats, price: dict[BillComponent, Floats]
    ) -> Floats:
        """A candidate's bill in each future.

        Args:
            candidate: what is bought.
            growth: of requests and traffic, as a factor on the scenario's, inside the table's.
            price: factor on each component's prices: 0 is as listed, -1 the low end of their
                range, 1 the high end.
        """
        total = np.zeros_like(growth)
        for component, cost in self.components(candidate).items():
            if not cost.usd.any():
                continue
            usd = np.interp(growth, self.growth, cost.usd) if np.ptp(cost.usd) else cost.usd[0]
            place = price[component]
            spread = np.where(place < 0, cost.low ** np.abs(place), cost.high ** np.abs(place))
            total += usd * spread
        return total

    def _add(self, candidate: Candidate) -> None:
        """Price a candidate at every growth and keep each of its components."""
        bills = [self._priced(candidate, float(factor)) for factor in self.growth]
        for component in BillComponent:
            usd = np.array([_usd(b, component, "usd_per_month") for b in bills])
            centre, here = usd[self._centre], bills[self._centre]
            low = _usd(here, component, "low_usd") / centre if centre > 0 else 1.0
            high = _usd(here, component, "high_usd") / centre if centre > 0 else 1.0
            key = (component, *_options(component, candidate))
            self._known[key] = ComponentCost(usd, max(low, 1e-3), high)

    def _priced(self, candidate: Candidate, growth: float) -> Bill:
        scenario = candidate.applied_to(self._scenario)
        return bill(grown(scenario, growth), self._book)


def grown(scenario: Scenario, factor: float) -> Scenario:
    """The scenario with requests and traffic multiplied, by sessions per user."""
    workload, prices = scenario.workload, scenario.prices
    return scenario.model_copy(
        update={
            "workload": workload.model_copy(
                update={
                    "sessions_per_active_user_per_day": workload.sessions_per_active_user_per_day
                    * factor
                }
            ),
            "prices": prices.model_copy(
                update={"egress_gib_per_month": prices.egress_gib_per_month * factor}
            ),
        }
    )


def _usd(found: Bill, component: BillComponent, field: str) -> float:
    return float(sum(getattr(x, field) for x in found.lines if x.component == component))


def _options(component: BillComponent, candidate: Candidate) -> tuple[object, ...]:
    """What of a candidate a component's lines depend on."""
    own: dict[BillComponent, tuple[object, ...]] = {
        BillComponent.COMPUTE: (candidate.api_type, candidate.api_replicas),
        BillComponent.DATABASE: (candidate.database_type, candidate.database_members),
        BillComponent.CACHE: (candidate.cache_type, candidate.cache_nodes),
        BillComponent.SEARCH: (candidate.search_type, candidate.search_nodes),
    }
    return (*own.get(component, ()), candidate.purchase)
