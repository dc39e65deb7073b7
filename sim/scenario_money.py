"""The sections of a scenario on money and on failures: what is bought, and how often it breaks."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from sim.scenario_base import (
    Fraction,
    FractionInterval,
    NonNegative,
    Part,
    Positive,
    PositiveInterval,
)


class BillComponent(StrEnum):
    """What a line of a bill pays for; a stated line names one to be re-priced beside it."""

    COMPUTE = "compute"
    DATABASE = "database"
    CACHE = "cache"
    SEARCH = "search"
    LOAD_BALANCER = "load_balancer"
    OBJECTS_AND_CDN = "objects_and_cdn"
    OBSERVABILITY = "observability"
    NETWORK = "network"


class StatedLine(Part):
    """One line of the bill as the design document states it."""

    item: str
    usd_per_month: NonNegative
    component: BillComponent | None = None


class Prices(Part):
    """Which price book applies, and what the document claims it costs."""

    book: str = "2026-07"
    region: str = "us-east-1"
    oldest_months: Positive = 12.0  # a price older than that is named wherever it is used
    purchase: Literal["on_demand", "reserved_1y", "reserved_3y"] = "on_demand"
    objects_gib: NonNegative = 0.0
    egress_gib_per_month: NonNegative = 0.0
    credits: Literal["unlimited", "standard"] = "unlimited"  # of burstable types
    spot_fraction: Fraction = 0.0  # share of the API servers bought on the spot market
    # An assumption: AWS says no more than "up to 90 % off".
    spot_discount_fraction: FractionInterval = FractionInterval(low=0.3, high=0.9)
    load_balancer_rules: Annotated[int, Field(ge=0, le=1000)] = 0  # ten are free
    object_reads_per_month: NonNegative = 0.0
    object_writes_per_month: NonNegative = 0.0
    nat_gateways: Annotated[int, Field(ge=0, le=100)] = 0
    nat_gib_per_month: NonNegative = 0.0
    between_zones_gib_per_month: NonNegative = 0.0
    log_gib_per_month: NonNegative = 0.0
    monitored_hosts: Annotated[int, Field(ge=0, le=100_000)] = 0
    stated_bill: tuple[StatedLine, ...] = ()


class Reliability(Part):
    """How often parts fail and how long they stay away, and over how many zones they are spread.

    Each figure is a range, read as its 5 % and 95 % quantiles. Most defaults are assumptions, wide
    for want of published figures (sim/availability/futures.py names the sources there are);
    whoever has records of their own states them here.
    """

    zones: Annotated[int, Field(ge=1, le=6)] = 1  # of the servers one runs oneself
    server_between_failures_h: PositiveInterval = PositiveInterval(low=720.0, high=17_520.0)
    server_away_h: PositiveInterval = PositiveInterval(low=0.05, high=2.0)
    common_cause_fraction: FractionInterval = FractionInterval(low=0.02, high=0.10)
    election_beyond_timeout_s: PositiveInterval = PositiveInterval(low=0.5, high=8.0)
    zone_between_failures_h: PositiveInterval = PositiveInterval(low=8_760.0, high=87_600.0)
    zone_away_h: PositiveInterval = PositiveInterval(low=0.5, high=8.0)
    provider_to_sla_ratio: PositiveInterval = PositiveInterval(low=0.1, high=2.0)
    provider_away_h: PositiveInterval = PositiveInterval(low=0.1, high=4.0)
    planned_per_month: PositiveInterval = PositiveInterval(low=1.0, high=8.0)
    planned_s: PositiveInterval = PositiveInterval(low=10.0, high=120.0)
