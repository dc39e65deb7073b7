"""Price book, bill of materials and monthly bill."""

from sim.cost.bill import DAYS_PER_MONTH, EXCLUDED, Bill, RepricedLine, bill
from sim.cost.burst import api_credit_day
from sim.cost.capacity_units import CapacityUnits, capacity_units
from sim.cost.credits import CreditDay, burstable, burstable_types, credit_day
from sim.cost.edge import lcu_mean
from sim.cost.growth import MULTIPLES, GrowthPoint, bill_growth, servers_for
from sim.cost.lines import BillLine
from sim.cost.pricebook import (
    HOURS_PER_MONTH,
    PRICE_RANGE,
    Price,
    PriceBook,
    load_price_book,
    parse_price_book,
    price_book,
)

__all__ = [
    "DAYS_PER_MONTH",
    "EXCLUDED",
    "HOURS_PER_MONTH",
    "MULTIPLES",
    "PRICE_RANGE",
    "Bill",
    "BillLine",
    "CapacityUnits",
    "CreditDay",
    "GrowthPoint",
    "Price",
    "PriceBook",
    "RepricedLine",
    "api_credit_day",
    "bill",
    "bill_growth",
    "burstable",
    "burstable_types",
    "capacity_units",
    "credit_day",
    "lcu_mean",
    "load_price_book",
    "parse_price_book",
    "price_book",
    "servers_for",
]
