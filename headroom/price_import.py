"""A user's own prices into a price book: CSV, AWS price-list offer files, Infracost JSON.

All are files on disk; nothing is fetched. A fault is one error that names the row or the path in
the file. Prices are US dollars: another currency is refused, not converted.
"""

import csv
import io
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from headroom.artefacts import now, replacing
from headroom.price_lists import aws_prices, infracost_prices
from sim.cost import PRICE_RANGE, Price, PriceBook, parse_price_book
from sim.cost.age import age_months
from sim.errors import InvalidScenario, Problem

# Columns of a CSV of one's own. The second group may be left out.
COLUMNS = ("provider", "service", "sku", "unit", "price", "currency", "region", "as_of")
OPTIONAL = ("vcpu", "memory_gib", "source", "confidence")
LARGEST_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Imported:
    """Prices of a file, and how many of its entries no line of a bill uses."""

    kind: str
    prices: tuple[Price, ...]
    skipped: int

    def before(self, price: Price, book: PriceBook) -> float | None:
        """What the base book says of the same thing."""
        for other in book.prices:
            if _key(other) == _key(price):
                return other.price_usd
        return None


def imported(path: Path, base: PriceBook, *, region: str) -> Imported:
    """The prices of a file, checked against the units that the base book uses.

    Raises: InvalidScenario naming the row or the path in the file of the first fault, or that the
        file holds no price that a bill uses.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise _refused(path, "size", path.stat().st_size, f"at most {LARGEST_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, "file", str(path), f"a readable text file ({error})") from error
    if path.suffix.lower() == ".csv":
        prices, skipped, kind = _csv_prices(path, text), 0, "CSV"
    else:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _refused(path, "file", path.name, f"a .csv or JSON file ({error})") from error
        if isinstance(data, dict) and "offerCode" in data:
            kind = "AWS price list"
            prices, skipped = aws_prices(data, source=path.name)
        elif isinstance(data, dict) and "projects" in data:
            kind = "Infracost"
            prices, skipped = infracost_prices(data, source=path.name, region=region)
        else:
            raise _refused(
                path,
                "file",
                sorted(data)[:5] if isinstance(data, dict) else type(data).__name__,
                "an AWS offer file (`offerCode`) or Infracost's breakdown (`projects`)",
            )
    _check(path, prices, base)
    if not prices:
        raise _refused(path, "file", path.name, "at least one price that a line of a bill uses")
    return Imported(kind, tuple(prices), skipped)


def write_book(path: Path, base: PriceBook, prices: tuple[Price, ...]) -> None:
    """A book with the given prices over those of the base, in the format of the shipped ones."""
    if path.suffix != ".csv":
        raise InvalidScenario(Problem("to", str(path), "a path that ends in .csv"))
    own = {_key(price): price for price in prices}
    merged = [own.pop(_key(price), price) for price in base.prices] + list(own.values())
    text = io.StringIO()
    text.write("# schema_version: 1\n# currency: USD\n")
    columns = (
        *("provider", "service", "sku", "vcpu", "memory_gib", "unit", "price_usd"),
        *("region", "as_of", "source", "confidence"),
    )
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for price in merged:
        row = {name: getattr(price, name) for name in columns}
        row["price_usd"] = repr(price.price_usd)
        writer.writerow({name: "" if value is None else value for name, value in row.items()})
    parse_price_book(path.stem, text.getvalue(), source=str(path))  # what is written can be read
    with replacing(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def _key(price: Price) -> tuple[str, str, str, str]:
    return price.provider, price.service, price.sku, price.region


def _refused(
    path: Path, where: str, value: object, allowed: str, line: int | None = None
) -> InvalidScenario:
    return InvalidScenario(Problem(where, value, allowed, line), source=str(path))


def _check(path: Path, prices: list[Price], base: PriceBook) -> None:
    """Units as the base book has them for the same service, and nothing priced twice."""
    units: dict[tuple[str, str, str], str] = {}
    of_service: dict[tuple[str, str], set[str]] = {}
    for price in base.prices:
        units[price.provider, price.service, price.sku] = price.unit
        of_service.setdefault((price.provider, price.service), set()).add(price.unit)
    seen: set[tuple[str, str, str, str]] = set()
    for number, price in enumerate(prices, 1):
        where = f"price {number} ({price.service} {price.sku})"
        if _key(price) in seen:
            raise _refused(path, where, price.region, "each SKU once in a region")
        seen.add(_key(price))
        exact = units.get((price.provider, price.service, price.sku))
        known = {exact} if exact else of_service.get((price.provider, price.service), set())
        if known and price.unit not in known:
            allowed = f"{' or '.join(sorted(known))}, as book {base.name} prices it"
            raise _refused(path, f"{where}, unit", price.unit, allowed)


def _csv_prices(path: Path, text: str) -> list[Price]:
    reader = csv.DictReader(io.StringIO(text))
    names = tuple(reader.fieldnames or ())
    unknown = [name for name in names if name not in (*COLUMNS, *OPTIONAL)]
    missing = [name for name in COLUMNS if name not in names]
    if missing or unknown:
        allowed = f"{', '.join(COLUMNS)}; optional: {', '.join(OPTIONAL)}"
        raise _refused(path, "columns", ", ".join(names), allowed, 1)
    try:
        return [_csv_price(path, row, reader.line_num) for row in reader]
    except csv.Error as error:
        raise _refused(path, "row", str(error), "well-formed CSV", reader.line_num) from error


def _csv_price(path: Path, row: dict[str, str], line: int) -> Price:
    if None in row or None in row.values():
        raise _refused(path, "row", row.get("sku"), "as many values as columns", line)
    for name in COLUMNS:
        if not row[name].strip():
            raise _refused(path, name, row[name], "a value", line)
    if row["currency"].strip().upper() != "USD":
        raise _refused(path, "currency", row["currency"], "USD; convert other prices first", line)
    if age_months(row["as_of"], now().date()) is None:
        raise _refused(path, "as_of", row["as_of"], "a date such as 2026-11-25 or 2026-11", line)
    confidence = row.get("confidence") or "high"
    if confidence not in PRICE_RANGE:
        raise _refused(path, "confidence", confidence, f"one of {', '.join(PRICE_RANGE)}", line)
    vcpu = _number(path, row, "vcpu", line) if row.get("vcpu") else None
    return Price(
        provider=row["provider"].strip(),
        service=row["service"].strip(),
        sku=row["sku"].strip(),
        unit=row["unit"].strip(),
        price_usd=_number(path, row, "price", line),
        region=row["region"].strip(),
        as_of=row["as_of"].strip(),
        source=row.get("source") or f"own price, {path.name} line {line}",
        confidence=confidence,
        vcpu=None if vcpu is None else int(vcpu),
        memory_gib=_number(path, row, "memory_gib", line) if row.get("memory_gib") else None,
    )


def _number(path: Path, row: dict[str, str], column: str, line: int) -> float:
    text = row[column].strip()
    value = float(text) if re.fullmatch(r"\d+(\.\d+)?([eE][+-]?\d+)?", text) else math.nan
    if not math.isfinite(value):
        raise _refused(path, column, row[column], "a number such as 0.0416, 0 or more", line)
    return value
