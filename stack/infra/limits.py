"""How much one client may ask for; the same fields as `topology.limits` of a scenario."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Budget = Annotated[int, Field(ge=1, le=10**12)]


class Limits(BaseModel):
    """Budgets of the API, per user and minute, and those of the load balancer, per address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    auth_per_min: Budget = 5  # login, registration, refresh: always by address
    search_per_min: Budget = 30
    listing_per_min: Budget = 60
    favourites_per_min: Budget = 20
    address_per_s: Annotated[int, Field(ge=1, le=10**6)] = 50
    address_burst: Annotated[int, Field(ge=1, le=10**6)] = 100
    address_connections: Annotated[int, Field(ge=1, le=60_000)] = 100
