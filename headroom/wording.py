"""Figures in words: units and digits as the report prints them, everywhere alike."""

import math

from headroom.artefacts import Estimate

_METRICS = {
    "mean_s": "mean latency",
    "p50_s": "p50 latency",
    "p95_s": "p95 latency",
    "p99_s": "p99 latency",
    "error_fraction": "error rate",
    "throughput_per_s": "throughput",
    "capacity_per_s": "capacity in production",
    "local_capacity_per_s": "capacity of this machine",
    "price_usd": "price a month",
}
_SHARES = {
    "hit_ratio": "hit ratio",
    "steady_hit_ratio": "steady hit ratio",
    "utilisation": "utilisation",
}
_PREFIXES = _SHARES | {"time": "time of a request"}


def digits(value: float, significant: int = 3) -> str:
    """A number with thousands separators and about three significant digits.

    >>> digits(14.4676), digits(1234.5), digits(0.00081578), digits(0.0), digits(99.96)
    ('14.5', '1,234', '0.000816', '0', '100')
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "–"
    places = max(0, significant - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{places}f}".replace("-", "−")
    return text.rstrip("0").rstrip(".") if "." in text else text


def amount(value: float, unit: str) -> str:
    """A number with its unit, in the form a reader expects of that unit.

    >>> amount(0.2121, "s"), amount(3.25, "s"), amount(0.0008, "s")
    ('212 ms', '3.25 s', '0.8 ms')
    >>> amount(0.7512, "fraction"), amount(0.0004, "fraction"), amount(815.78, "usd")
    ('75.1 %', '0.04 %', '$816')
    >>> amount(0.99912, "uptime")
    '99.912 %'
    >>> amount(14.47, "req/s"), amount(10000.0, "users")
    ('14.5 req/s', '10,000 users')
    """
    if unit == "s":
        return f"{digits(value)} s" if abs(value) >= 1 else f"{digits(value * 1000)} ms"
    if unit == "fraction":
        return f"{digits(value * 100)} %"
    if unit == "usd":
        return dollars(value)
    if unit == "uptime":  # near 1, where three digits would say 100 %
        return f"{value * 100:.3f} %"
    return f"{digits(value)} {unit}"


def dollars(value: float) -> str:
    """Dollars: whole from 100 on, cents below, more digits below a cent.

    >>> dollars(815.78), dollars(24.425), dollars(0.00081578), dollars(-8.896), dollars(0.0)
    ('$816', '$24.43', '$0.000816', '−$8.90', '$0')
    """
    sign, size = ("−" if value < 0 else ""), abs(value)
    if size == 0:
        return "$0"
    if size >= 99.995:
        return f"{sign}${size:,.0f}"
    return f"{sign}${size + 1e-9:.2f}" if size >= 0.01 else f"{sign}${digits(size)}"


def cents(value: float) -> str:
    """Dollars to the cent, for columns of a bill.

    >>> cents(1234.5), cents(-0.575), cents(0.0)
    ('$1,234.50', '−$0.57', '$0.00')
    """
    return f"{'−' if value <= -0.005 else ''}${abs(value):,.2f}"


def span(low: float, high: float, unit: str) -> str:
    """Two ends of a range with their unit once, where both have the same.

    >>> span(0.18, 0.25, "s"), span(0.9, 1.2, "s"), span(0.838, 0.988, "fraction")
    ('180–250 ms', '900 ms–1.2 s', '83.8–98.8 %')
    >>> span(669.0, 834.0, "usd"), span(-0.1, 0.2, "fraction"), span(3.0, 3.0, "req/s")
    ('$669–834', '−10 to 20 %', '3 req/s')
    """
    first, last = amount(low, unit), amount(high, unit)
    if first == last:
        return first
    if unit == "usd" and low >= 0:
        return f"{first}–{last.removeprefix('$')}"
    value, _, common = first.partition(" ")
    if common and last.endswith(f" {common}"):
        return f"{value}{' to ' if low < 0 else '–'}{last}"
    return f"{first}{' to ' if low < 0 else '–'}{last}"


def with_range(estimate: Estimate, unit: str) -> str:
    """A figure with its range, where it has one.

    >>> with_range(Estimate(value=0.2, low=0.18, high=0.25), "s")
    '200 ms (180–250)'
    >>> with_range(Estimate(value=0.2, low=0.18, high=1.25), "s")
    '200 ms (180 ms–1.25 s)'
    >>> with_range(Estimate.exact(3.0), "req/s")
    '3 req/s'
    """
    text = amount(estimate.value, unit)
    ends = span(estimate.low, estimate.high, unit)
    if ends == text:
        return text
    unit_text = text.partition(" ")[2]
    if unit_text and ends.count(f" {unit_text}") == 1 and ends.endswith(f" {unit_text}"):
        ends = ends.removesuffix(f" {unit_text}")
    return f"{text} ({ends})"


def metric_name(metric: str) -> str:
    """The name of a metric of the artefacts, as a reader knows it.

    >>> metric_name("p95_s"), metric_name("hit_ratio.listing"), metric_name("hit_ratio.all")
    ('p95 latency', 'hit ratio, listing', 'hit ratio, all families')
    """
    if metric in _METRICS:
        return _METRICS[metric]
    family, _, of = metric.partition(".")
    if of:
        name = "all families" if of == "all" else of.replace("_", " ")
        return f"{_PREFIXES.get(family, family.replace('_', ' '))}, {name}"
    return metric.replace("_", " ")


def reading_order(metric: str) -> tuple[int, str]:
    """Where a metric stands in a list: latencies, throughput, errors, then shares by name.

    >>> sorted(["hit_ratio.all", "p95_s", "error_fraction", "mean_s"], key=reading_order)
    ['mean_s', 'p95_s', 'error_fraction', 'hit_ratio.all']
    """
    first = ("mean_s", "p50_s", "p95_s", "p99_s", "throughput_per_s", "error_fraction")
    return (first.index(metric) if metric in first else len(first), metric)


def unit_of(metric: str) -> str:
    """The unit of a metric, from its name.

    >>> unit_of("p95_s"), unit_of("hit_ratio.all"), unit_of("throughput_per_s")
    ('s', 'fraction', 'req/s')
    >>> unit_of("time.database"), unit_of("price_usd")
    ('s', 'usd')
    """
    if metric.endswith("_usd"):
        return "usd"
    if metric.endswith("_per_s"):
        return "req/s"
    if metric.endswith("_s") or metric.startswith("time."):
        return "s"
    if metric.endswith("_fraction") or metric.split(".", maxsplit=1)[0] in _SHARES:
        return "fraction"
    return ""
