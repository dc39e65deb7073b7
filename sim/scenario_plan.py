"""The `plan` section of a scenario: what may be bought, and how sure the plan must be."""

from typing import Annotated, Literal

from pydantic import Field

from sim.scenario_base import Count, Part

Purchase = Literal["on_demand", "reserved_1y", "reserved_3y"]


class PlanSpace(Part):
    """Which options a plan may choose from; None derives them from the price book and the load.

    A cache of type "none" is no cache. A factor multiplies the TTL of every cached family.
    """

    api_types: tuple[str, ...] | None = None
    api_replicas: tuple[Annotated[int, Field(ge=1, le=1000)], ...] | None = None
    cache_types: tuple[str, ...] | None = None
    cache_nodes: tuple[Annotated[int, Field(ge=1, le=100)], ...] | None = None
    cache_ttl_factors: tuple[Annotated[float, Field(gt=0, le=1000)], ...] | None = None
    database_types: tuple[str, ...] | None = None
    database_members: tuple[Literal[1, 3, 5, 7], ...] | None = None
    search_types: tuple[str, ...] | None = None
    search_nodes: tuple[Annotated[int, Field(ge=1, le=100)], ...] | None = None
    purchases: tuple[Purchase, ...] | None = None
    zones: tuple[Annotated[int, Field(ge=1, le=6)], ...] | None = None  # None: the design's own


class ItemSizes(Part):
    """Mean size of a cached value by family, for the memory that a cache needs."""

    listing_bytes: Count = 8_000  # a page of 20 products
    search_bytes: Count = 10_000  # with its facets
    favourites_bytes: Count = 4_000


class Planning(Part):
    """How `headroom plan` and `headroom whatif` look for an architecture.

    The four factors are 1 or 0 in the scenario as it stands; an interval for one of them in
    `uncertainty` (`plan.growth_factor`, …) makes the plan hold over it.
    """

    confidence_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.9
    futures: Annotated[int, Field(ge=1, le=100_000)] = 1000
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 20261124
    survive: Literal["nothing", "replica", "zone"] = "nothing"
    space: PlanSpace = PlanSpace()
    items: ItemSizes = ItemSizes()
    calibrated_on: str | None = None  # instance type that the demands were measured on, if known
    growth_factor: Annotated[float, Field(gt=0, le=1000)] = 1.0  # of users
    demand_factor: Annotated[float, Field(gt=0, le=1000)] = 1.0  # of every service demand
    hit_ratio_shift: Annotated[float, Field(ge=-1, le=1)] = 0.0  # added to every family's
    price_factor: Annotated[float, Field(gt=0, le=1000)] = 1.0  # of every price
