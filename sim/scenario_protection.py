"""Sections of a scenario about what guards a stack under stress: limits, retries, breakers, pools.

The models follow them. Of these the live stack reads the limits alone: its pools have fixed sizes,
its callers do not retry.
"""

from typing import Annotated, Literal

from pydantic import Field

from sim.scenario_base import Count, NonNegative, Part, Positive

Guarded = Literal["redis", "mongo", "elasticsearch"]
PoolSize = Annotated[int, Field(ge=1, le=100_000)]


class Limits(Part):
    """Budgets of requests: any window of 60 s admits this many; what is over is answered with 429.

    Each user has an own budget for each of the four; who is not logged in is known by address.
    """

    auth_per_min: Count = 5  # login, registration, refresh: always by address
    search_per_min: Count = 30
    listing_per_min: Count = 60
    favourites_per_min: Count = 20
    # The load balancer's own, by address: a rate with room for a burst, and open connections.
    address_per_s: Annotated[int, Field(ge=1, le=10**6)] = 50
    address_burst: Annotated[int, Field(ge=1, le=10**6)] = 100
    address_connections: Annotated[int, Field(ge=1, le=60_000)] = 100


class Retrying(Part):
    """How callers try again (`api.retries` times) after a timeout, a full queue or a failure."""

    backoff_s: NonNegative = Field(
        default=0.1, description="Wait before the first retry, s; it doubles with each further one."
    )
    backoff_cap_s: NonNegative = Field(default=60.0, description="The longest such wait, s.")
    jitter: bool = Field(
        default=True, description="Draw each wait uniformly between 0 and its length."
    )
    budget_fraction: NonNegative | None = Field(
        default=None,
        description="Retries allowed as a share of first attempts; none: every retry is allowed.",
    )
    budget_cap: Annotated[float, Field(ge=1, le=1e9, allow_inf_nan=False)] = Field(
        default=100.0, description="Unused retries that the budget can save up, and starts with."
    )


class CircuitBreaker(Part):
    """Calls to a part are refused at once for a while after too many of them failed in a row."""

    failures: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=5, description="Failed or slow calls in a row that open the breaker."
    )
    slow_s: Positive | None = Field(
        default=None,
        description="A call that takes longer counts as failed, s; none: none does.",
    )
    open_s: Positive = Field(
        default=5.0, description="Time until one call is let through on trial, s."
    )


class Replication(Part):
    """How the secondaries of the replica set follow its primary."""

    lag_s: NonNegative = Field(
        description="From a write's acknowledgement until a secondary starts to apply it, mean, s."
    )
    apply_s: NonNegative = Field(
        default=0.0, description="Service time of applying it there, mean, s."
    )


class Job(Part):
    """Work that a request leaves behind for the workers."""

    mean_s: Positive = Field(description="Time it keeps a worker busy, mean, s.")
    cv: NonNegative = Field(
        default=1.0, description="Coefficient of variation of that time (lognormal): 0 is constant."
    )
