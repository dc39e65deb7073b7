"""Price book, bill of materials and monthly bill."""

from sim.cost.bill import DAYS_PER_MONTH, EXCLUDED, Bill, RepricedLine, bill
from sim.cost.edge import lcu_mean
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
    "PRICE_RANGE",
    "Bill",
    "BillLine",
    "Price",
    "PriceBook",
    "RepricedLine",
    "bill",
    "lcu_mean",
    "load_price_book",
    "parse_price_book",
    "price_book",
]
