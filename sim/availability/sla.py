"""What providers promise: the table of service level agreements, and how promises compose."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sim.availability.structure import series
from sim.errors import InvalidScenario, Problem


@dataclass(frozen=True)
class Sla:
    """One promise: a share of the month, below which the provider pays back a part of the bill."""

    provider: str
    service: str
    configuration: str
    uptime_fraction: float
    as_of: str
    source: str
    confidence: str

    @property
    def allowed_unavailability(self) -> float:
        """Share of the month that may be lost before the promise is broken."""
        return 1.0 - self.uptime_fraction


@cache
def sla_table() -> tuple[Sla, ...]:
    """All promises of sim/data/sla.csv, each with its source and date.

    Returns: one row a promise; read from the package once.
    Source: each row names its own.

    >>> all(0 < row.uptime_fraction < 1 and row.source for row in sla_table())
    True
    """
    text = files("sim").joinpath("data", "sla.csv").read_text(encoding="utf-8")
    return tuple(
        Sla(
            provider=row["provider"],
            service=row["service"],
            configuration=row["configuration"],
            uptime_fraction=float(row["monthly_uptime_pct"]) / 100.0,
            as_of=row["as_of"],
            source=row["source"],
            confidence=row["confidence"],
        )
        for row in csv.DictReader(text.splitlines())
    )


def sla(service: str, configuration: str) -> Sla:
    """The promise for a service in a configuration, as the table spells them.

    Args:
        service: such as "CloudFront".
        configuration: such as "multi-AZ".
    Returns: the promise, with its source and date.
    Raises: InvalidScenario naming what there is.
    Source: the providers' agreements; each row of sim/data/sla.csv names its own.

    >>> round(sla("CloudFront", "error-rate based").uptime_fraction, 6)
    0.999
    """
    for row in sla_table():
        if (row.service, row.configuration) == (service, configuration):
            return row
    known = ", ".join(f"{row.service} ({row.configuration})" for row in sla_table())
    raise InvalidScenario(Problem("sla", f"{service} ({configuration})", f"one of {known}"))


def promised_together(promises: Iterable[Sla]) -> float:
    """Uptime that promises in series add up to when each is just kept and faults do not overlap.

    Args:
        promises: one for each service that a request needs.
    Returns: share of the month, 0..1; 1 for none.
    Source: `series`, of promises instead of parts.

    >>> a, b = sla("CloudFront", "error-rate based"), sla("Atlas", "M10 and above")
    >>> round(promised_together([a, b]), 8)  # 0.999 × 0.99995
    0.99895005
    """
    return 1.0 - float(series([promise.allowed_unavailability for promise in promises]))
