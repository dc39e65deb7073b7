"""What CPU credits add to a plan's bill: the surcharge of bursting types by how busy they are.

A day of credits is walked once for each of a list of loads; between them the surcharge is
interpolated, so that a thousand futures cost no more than one. A test holds it to the bill.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sim.cost import PriceBook, burstable_types
from sim.cost.burst import credit_price
from sim.cost.credits import bought_vcpu_h
from sim.scenario import Scenario
from sim.workload import demand_of

Floats = NDArray[np.float64]
POINTS = 400  # loads at which a day is walked, from idle to one busy vCPU


class CreditTable:
    """Surcharges of the API's bursting types along a scenario's own daily curve.

    Args:
        scenario: its workload gives the curve, `prices.credits` the mode.
        book: prices of the credits; asked for only where some are bought.
    """

    def __init__(self, scenario: Scenario, book: PriceBook) -> None:
        self._scenario, self._book = scenario, book

    def applies_to(self, sku: str) -> bool:
        """Whether a type buys credits when it has none left."""
        return sku in burstable_types() and self._scenario.prices.credits == "unlimited"

    def usd_per_month(self, sku: str, busy: Floats, servers: int, place: Floats) -> Floats:
        """The surcharge of all API servers of a type, US dollars a month, by future.

        Args:
            sku: a type that `applies_to` holds for.
            busy: vCPUs that the mean load keeps busy on one server, >= 0.
            servers: how many there are.
            place: of the price in its range: 0 as listed, -1 the low end, 1 the high end.
        Raises: InvalidScenario where credits are bought and the book has no price of them.
        """
        at, hours = self._table(sku)
        bought = np.interp(busy, at, hours) * servers
        if not bought.any():
            return bought
        price = credit_price(self._scenario, self._book, sku)
        end = np.where(place < 0, price.low_usd, price.high_usd) / price.price_usd
        return np.asarray(bought * price.price_usd * end ** np.abs(place))

    def _table(self, sku: str) -> tuple[Floats, Floats]:
        """Loads of one server, in busy vCPUs, and the vCPU-hours that each buys in a month."""
        demand = demand_of(self._scenario.workload)
        return _walked(sku, demand.shape.tobytes(), demand.step_s)


@lru_cache(maxsize=64)
def _walked(sku: str, shape: bytes, step_s: float) -> tuple[Floats, Floats]:
    """The table of a type along a curve; equal curves, whatever their users, are walked once."""
    at = np.linspace(0.0, 1.0, POINTS + 1)
    hours = bought_vcpu_h(sku, np.frombuffer(shape), at, step_s)
    for shared in (at, hours):
        shared.setflags(write=False)
    return at, hours
