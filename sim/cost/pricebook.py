"""A price book: dated, versioned list prices, each with its source, date and confidence.

The books live in `sim/data/prices/<book>.csv`; a book is named by the month it was put together.
Reading one is, beside reading a scenario, the only I/O of `sim`.
"""

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from sim.errors import InvalidScenario, Problem, require

HOURS_PER_MONTH = 730.0  # the convention of every price source in the book: 365 × 24 / 12

# How far a price may be off, as factors of it. A judgement, not a statistic: `high` is a figure
# that two sources agree on; `medium` has one source or an old one; `low` covers the
# contradictions met while collecting (the sources for Atlas M50 differ by 1.35, for Elastic by 3).
PRICE_RANGE: Mapping[str, tuple[float, float]] = {
    "high": (0.98, 1.02),
    "medium": (0.85, 1.15),
    "low": (0.5, 2.0),
}

# Regions of prices that do not depend on where the servers stand.
_EVERYWHERE = ("global", "US")

_COLUMNS = (
    "provider",
    "service",
    "sku",
    "vcpu",
    "memory_gib",
    "unit",
    "price_usd",
    "region",
    "as_of",
    "source",
    "confidence",
)
_HEADER = {"schema_version": "1", "currency": "USD"}


@dataclass(frozen=True)
class Price:
    """One list price: US dollars for one `unit` of a stock-keeping unit in a region."""

    provider: str
    service: str
    sku: str
    unit: str
    price_usd: float
    region: str
    as_of: str
    source: str
    confidence: str
    vcpu: int | None = None
    memory_gib: float | None = None
    carried: tuple[float, float] = (1.0, 1.0)  # further range of one carried from another region

    @property
    def low_usd(self) -> float:
        """Lower end of the range that the confidence in this price allows."""
        return self.price_usd * PRICE_RANGE[self.confidence][0] * self.carried[0]

    @property
    def high_usd(self) -> float:
        """Upper end of that range."""
        return self.price_usd * PRICE_RANGE[self.confidence][1] * self.carried[1]


@dataclass(frozen=True)
class RegionRatio:
    """Prices of one region over those of another, of what a book prices in both.

    Attributes:
        ratio: geometric mean of the single ratios.
        low, high: the least and the greatest of them.
        items: "service, SKU" of each, as the book spells them.
    """

    here: str
    there: str
    ratio: float
    low: float
    high: float
    items: tuple[str, ...]


class PriceBook:
    """All prices of one book, looked up by provider, service, SKU and region."""

    def __init__(self, name: str, prices: Iterable[Price]) -> None:
        self.name = name
        self.prices = tuple(prices)
        self._by_key = {(p.provider, p.service, p.sku, p.region): p for p in self.prices}
        if len(self._by_key) != len(self.prices):
            raise InvalidScenario(
                Problem("price book", name, "one row for each provider, service, SKU and region")
            )
        self._by_service: dict[tuple[str, str], dict[str, None]] = {}
        for price in self.prices:
            self._by_service.setdefault((price.provider, price.service), {})[price.sku] = None

    def find(
        self, provider: str, service: str, sku: str, region: str, *, unit: str, path: str
    ) -> Price:
        """The price of one SKU in a region.

        Args:
            provider, service, sku: as the book spells them.
            region: the region asked for; a price that holds everywhere is taken as well.
            unit: the unit the caller multiplies with; a book that prices by another is refused.
            path: the field of the scenario that asks, for the error.
        Returns: the price, with its source.
        Raises: InvalidScenario naming `path`, the SKU or region not found and what the book has.

        >>> book = price_book("2026-07")
        >>> book.find("AWS", "EC2 on-demand Linux", "t3.medium", "us-east-1",
        ...           unit="hour", path="topology.api.instance_type").price_usd
        0.0416
        """
        for where in (region, *_EVERYWHERE):
            price = self._by_key.get((provider, service, sku, where))
            if price is not None:
                require(
                    price.unit == unit or price.unit.startswith(f"{unit} ("),
                    path,
                    sku,
                    f"a price per {unit}; book {self.name} states it per {price.unit}",
                )
                return price
        wanted = (provider, service, sku)
        regions = sorted(p.region for p in self.prices if (p.provider, p.service, p.sku) == wanted)
        if regions:
            raise InvalidScenario(
                Problem(
                    "prices.region",
                    region,
                    f"{', '.join(regions)}; book {self.name} prices {service} {sku} nowhere else",
                )
            )
        known = self.skus(provider, service)
        raise InvalidScenario(
            Problem(
                path,
                sku,
                f"{', '.join(known) or 'nothing'}; book {self.name} has no other price for "
                f"{provider} {service}",
            )
        )

    def region_ratio(self, here: str, there: str) -> RegionRatio | None:
        """How prices of two regions compare, by what the book prices in both; None for nothing.

        >>> found = price_book("2026-07").region_ratio("us-east-1", "ap-southeast-1")
        >>> round(found.high, 2), len(found.items)  # NAT gateway: 0.059 / 0.045
        (1.31, 8)
        """
        pairs = {
            f"{price.service}, {price.sku}": other.price_usd / price.price_usd
            for price in self.prices
            if price.region == here and price.price_usd > 0
            for other in [self._by_key.get((price.provider, price.service, price.sku, there))]
            if other is not None and other.price_usd > 0 and other.unit == price.unit
        }
        if here == there or not pairs:
            return None
        ratios = pairs.values()
        mean = math.exp(sum(map(math.log, ratios)) / len(pairs))
        return RegionRatio(here, there, mean, min(ratios), max(ratios), tuple(sorted(pairs)))

    def carried(self, ratio: RegionRatio) -> "PriceBook":
        """This book with what it prices `here` alone priced `there` too, at a ratio of regions.

        Args:
            ratio: of `region_ratio`. Such a price says so in its source and has, beside the range
                of its confidence, that of the ratio.
        Returns: a book with all these prices.
        """

        def moved(price: Price) -> Price:
            return replace(
                price,
                price_usd=price.price_usd * ratio.ratio,
                region=ratio.there,
                source=f"{price.source} | carried from {ratio.here} × {ratio.ratio:.3g}",
                carried=(ratio.low / ratio.ratio, ratio.high / ratio.ratio),
            )

        missing = [
            moved(price)
            for price in self.prices
            if price.region == ratio.here
            and (price.provider, price.service, price.sku, ratio.there) not in self._by_key
        ]
        return PriceBook(self.name, [*self.prices, *missing])

    def skus(self, provider: str, service: str) -> tuple[str, ...]:
        """SKUs that the book prices for a service, in the order of the book."""
        return tuple(self._by_service.get((provider, service), ()))

    def has(self, provider: str, service: str, sku: str) -> bool:
        """Whether the book prices that SKU in any region."""
        return sku in self.skus(provider, service)


def price_book(name: str) -> PriceBook:
    """Load a shipped price book by name, such as "2026-07", or one's own by the path of its CSV.

    Args:
        name: of a shipped book, or a path that ends in .csv.
    Returns: the book.
    Raises: InvalidScenario naming `prices.book` and the books there are, or the faulty line.
    Source: the book's rows, each with its own.

    >>> price_book("2026-07").name
    '2026-07'
    """
    if name.endswith(".csv"):
        return load_price_book(Path(name))
    return _shipped(name)


@lru_cache(maxsize=8)
def _shipped(name: str) -> PriceBook:
    """A book of the package, read once: nothing changes it."""
    shelf = files("sim").joinpath("data", "prices")
    known = sorted(
        entry.name.removesuffix(".csv") for entry in shelf.iterdir() if entry.name.endswith(".csv")
    )
    allowed = f"one of {', '.join(known)}, or the path of a .csv file"
    require(name in known, "prices.book", name, allowed)
    return parse_price_book(
        name, shelf.joinpath(f"{name}.csv").read_text(encoding="utf-8"), source=f"{name}.csv"
    )


def load_price_book(path: Path) -> PriceBook:
    """Load a price book from a file of one's own, in the format of the shipped ones.

    Args:
        path: a CSV file, UTF-8.
    Returns: the book, named after the file.
    Raises: InvalidScenario when it cannot be read, or naming the first faulty line.
    Source: the file's rows, each with its own.

    >>> load_price_book(Path("no-such.csv"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidScenario: prices.book: 'no-such.csv' is not allowed; ...
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidScenario(
            Problem("prices.book", str(path), f"a readable CSV file ({error})")
        ) from error
    return parse_price_book(path.stem, text, source=str(path))


def parse_price_book(name: str, text: str, source: str) -> PriceBook:
    """Read a price book from its text: `# key: value` lines, a header line, one row per price.

    Args:
        name: of the book.
        text: in the format of the shipped books.
        source: its name in errors.
    Returns: the book.
    Raises: InvalidScenario naming column, line, value and what is allowed.
    Source: the text's rows, each with its own.

    >>> parse_price_book("mine", "provider,service", source="mine.csv")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidScenario: mine.csv: ...
    """
    lines = text.splitlines()
    head = [line for line in lines if line.startswith("#")]
    matches = (re.fullmatch(r"#\s*(\w+):\s*(\S+)\s*", line) for line in head)
    stated = {found[1]: found[2] for found in matches if found}
    for key, wanted in _HEADER.items():
        if stated.get(key) != wanted:
            raise InvalidScenario(
                Problem(key, stated.get(key), f"a line `# {key}: {wanted}` at the top", 1),
                source=source,
            )
    reader = csv.DictReader(line for line in lines if not line.startswith("#"))
    if tuple(reader.fieldnames or ()) != _COLUMNS:
        raise InvalidScenario(
            Problem("columns", reader.fieldnames, ",".join(_COLUMNS), len(head) + 1), source=source
        )
    return PriceBook(name, [_price(row, reader.line_num + len(head), source) for row in reader])


def _price(row: dict[str, str], line: int, source: str) -> Price:
    def refuse(column: str, allowed: str) -> InvalidScenario:
        return InvalidScenario(Problem(column, row[column], allowed, line), source=source)

    if None in row or None in row.values():
        raise InvalidScenario(
            Problem("row", row.get("sku"), f"{len(_COLUMNS)} columns", line), source=source
        )
    for column in ("provider", "service", "sku", "unit", "as_of", "source"):
        if not row[column].strip():
            raise refuse(column, "a text; every price states what it is and where it comes from")
    if row["confidence"] not in PRICE_RANGE:
        raise refuse("confidence", f"one of {', '.join(PRICE_RANGE)}")
    numbers: dict[str, float | None] = {}
    for column in ("price_usd", "vcpu", "memory_gib"):
        if not row[column] and column != "price_usd":
            numbers[column] = None
            continue
        try:
            value = float(row[column])
        except ValueError:
            raise refuse(column, "a number") from None
        if not math.isfinite(value) or value < 0:
            raise refuse(column, "a finite number, 0 or more")
        numbers[column] = value
    price, vcpu = numbers["price_usd"], numbers["vcpu"]
    assert price is not None
    return Price(
        provider=row["provider"],
        service=row["service"],
        sku=row["sku"],
        unit=row["unit"],
        price_usd=price,
        region=row["region"],
        as_of=row["as_of"],
        source=row["source"],
        confidence=row["confidence"],
        vcpu=None if vcpu is None else int(vcpu),
        memory_gib=numbers["memory_gib"],
    )
