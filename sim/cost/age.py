"""How old the prices behind a bill are on the day that it is made."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from sim.cost.lines import BillLine

_DAYS_PER_MONTH = 365.25 / 12
_DATE = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")


@dataclass(frozen=True)
class StalePrice:
    """A line whose price is older than wanted; `months` is None where its date is not known."""

    item: str
    as_of: str
    months: float | None

    def __str__(self) -> str:
        if self.months is None:
            return f"{self.item}: date of the price not known ({self.as_of})"
        return f"{self.item}: price of {self.as_of}, {self.months:.0f} months old"


def age_months(as_of: str, on: date) -> float | None:
    """Months from the date of a price to a day; the earliest day that its date may mean.

    Args:
        as_of: "2026", "2026-07" or "2026-07-20"; anything else has no known date.
        on: the day asked about.
    Returns: months, 0 where the price is from later; None for a date that is not known.
    Source: the calendar: a month is a twelfth of 365.25 days.

    >>> round(age_months("2026-07", date(2027, 7, 1)))
    12
    >>> age_months("undated", date(2027, 7, 1)) is None
    True
    """
    found = _DATE.fullmatch(as_of.strip())
    if found is None:
        return None
    year, month, day = (int(part) if part else 1 for part in found.groups())
    try:
        begun = date(year, month, day)
    except ValueError:
        return None
    return max(0.0, (on - begun).days / _DAYS_PER_MONTH)


def stale_prices(lines: Iterable[BillLine], on: date, most_months: float) -> tuple[StalePrice, ...]:
    """Lines whose price is older than `most_months` on a day, or of unknown date.

    Args:
        lines: of a bill.
        on: the day asked about.
        most_months: age up to which a price counts as current, months, >= 0.
    Returns: the lines that are older, in their order.
    Source: `age_months`.

    >>> from sim.cost import bill, price_book
    >>> from sim.example import shop
    >>> lines = bill(shop(), price_book("2026-07")).lines
    >>> stale = stale_prices(lines, date(2026, 8, 1), most_months=12.0)
    >>> [price.item for price in stale]  # Atlas does not date its price
    ['Atlas M30, 3 nodes']
    >>> len(stale_prices(lines, date(2036, 8, 1), most_months=12.0)) == len(lines)
    True
    """
    ages = ((line, age_months(line.as_of, on)) for line in lines)
    return tuple(
        StalePrice(line.item, line.as_of, months)
        for line, months in ages
        if months is None or months > most_months
    )
