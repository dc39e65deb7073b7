"""A scenario: one question about one architecture, as frozen, validated data.

The same object configures the live stack (through `headroom`) and the models. Units are field-name
suffixes: `_s` seconds, `_per_s` rates, `_fraction` ratios in 0..1, `_usd` dollars.
"""

import math
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sim.scenario_base import (
    Count,
    FieldError,
    Fraction,
    FractionInterval,
    Interval,
    NonNegative,
    Part,
    Positive,
    PositiveInterval,
    number_at,
)
from sim.scenario_catalogue import Catalogue, Popularity, Profile
from sim.scenario_money import BillComponent, Prices, Reliability, StatedLine
from sim.scenario_plan import Planning, PlanSpace, Purchase
from sim.scenario_protection import (
    CircuitBreaker,
    Guarded,
    Job,
    Limits,
    PoolSize,
    Replication,
    Retrying,
)

__all__ = [
    "FAMILY_OF",
    "WRITES",
    "Api",
    "Autoscaling",
    "BillComponent",
    "Cache",
    "CachePolicy",
    "Catalogue",
    "CircuitBreaker",
    "Count",
    "Database",
    "Experiment",
    "Family",
    "FieldError",
    "Fraction",
    "FractionInterval",
    "Interval",
    "Job",
    "Limits",
    "LoadBalancer",
    "NonNegative",
    "Objectives",
    "Operation",
    "Part",
    "PlanSpace",
    "Planning",
    "Popularity",
    "Positive",
    "PositiveInterval",
    "Prices",
    "Profile",
    "Purchase",
    "Reliability",
    "Replication",
    "Retrying",
    "Scenario",
    "Search",
    "StatedLine",
    "Topology",
    "Worker",
    "Workload",
    "number_at",
]


FEWEST_REQUESTS = 20  # of which a 95 % quantile can be read


class Operation(StrEnum):
    """What a user can ask of the API; the load, the service and the models share these names."""

    LIST = "list"  # GET /api/v1/products: offset page of a category
    LIST_CURSOR = "list_cursor"  # GET /api/v2/products: cursor page of a category
    DETAIL = "detail"  # GET /api/v1/products/{id}
    SEARCH = "search"  # GET /api/v1/search
    FAVOURITES = "favourites"  # GET /api/v1/users/me/favourites
    FAVOURITE_ADD = "favourite_add"  # PUT /api/v1/users/me/favourites/{product}
    PRODUCT_UPDATE = "product_update"  # PATCH /api/v1/products/{id}, by an administrator
    LOGIN = "login"  # POST /api/v1/auth/login
    REGISTER = "register"  # POST /api/v1/auth/register
    IMAGE_UPLOAD = "image_upload"  # POST /api/v1/images, by an administrator


WRITES = frozenset(
    {
        Operation.FAVOURITE_ADD,
        Operation.PRODUCT_UPDATE,
        Operation.LOGIN,
        Operation.REGISTER,
        Operation.IMAGE_UPLOAD,
    }
)


class Family(StrEnum):
    """The cached key families of the design document."""

    LISTING = "listing"
    SEARCH = "search"
    FAVOURITES = "favourites"


FAMILY_OF: dict[Operation, Family] = {
    Operation.LIST: Family.LISTING,
    Operation.LIST_CURSOR: Family.LISTING,
    Operation.SEARCH: Family.SEARCH,
    Operation.FAVOURITES: Family.FAVOURITES,
}


class Workload(Part):
    """Who comes, how often, and what they ask for."""

    registered_users: Count
    daily_active_fraction: Fraction
    sessions_per_active_user_per_day: Positive = 1.0
    requests_per_session: Positive
    think_time_s: NonNegative = 30.0
    kind: Literal["open", "closed"] = Field(
        default="open",
        description="`open`: requests come whatever became of those before; `closed`: a fixed "
        "number of users who each wait for the answer, think, and ask again (in dilated time).",
    )
    profile: Profile = Profile()
    mix: dict[Operation, NonNegative]
    popularity: Popularity = Popularity()
    catalogue: Catalogue = Catalogue()

    @model_validator(mode="after")
    def _mix_sums_to_one(self) -> Self:
        if not self.mix or not math.isclose(sum(self.mix.values()), 1.0, abs_tol=1e-6):
            total = sum(self.mix.values())
            found = {operation.value: share for operation, share in self.mix.items()}
            raise FieldError(("mix",), found, f"fractions that sum to 1; these sum to {total:g}")
        return self

    @model_validator(mode="after")
    def _closed_users_think(self) -> Self:
        if self.kind == "closed" and self.think_time_s == 0:
            allowed = "a number > 0: users of `kind: closed` think before they ask again"
            raise FieldError(("think_time_s",), self.think_time_s, allowed)
        return self

    @property
    def requests_per_day(self) -> float:
        """Requests on a mean day: registered × active × sessions × requests per session."""
        return (
            self.registered_users
            * self.daily_active_fraction
            * self.sessions_per_active_user_per_day
            * self.requests_per_session
        )

    @property
    def active_users_per_day(self) -> int:
        """Users who come on a mean day, at least one."""
        return max(1, round(self.registered_users * self.daily_active_fraction))

    def asked_by_all_of_a_day(self) -> "Workload":
        """The workload with a key for each user of a day, not only for those who are seeded."""
        catalogue = self.catalogue.model_copy(update={"users": self.active_users_per_day})
        return self.model_copy(update={"catalogue": catalogue})

    @property
    def mean_load_per_s(self) -> float:
        """Arrival rate averaged over a day, requests/s."""
        return self.requests_per_day / 86_400

    @property
    def peak_load_per_s(self) -> float:
        """Arrival rate at the daily peak of the profile, requests/s."""
        factor = 1.0 if self.profile.kind == "constant" else self.profile.peak_to_mean
        return self.mean_load_per_s * factor


class LoadBalancer(Part):
    """The reverse proxy in front of the API replicas."""

    policy: Literal["round_robin", "least_connections", "power_of_two"] = "round_robin"
    instance_type: str | None = None


class Autoscaling(Part):
    """Target tracking on CPU, as cloud autoscalers do it."""

    min_replicas: Annotated[int, Field(ge=1, le=1000)]
    max_replicas: Annotated[int, Field(ge=1, le=1000)]
    target_cpu_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.6
    evaluation_period_s: Positive = 60.0
    boot_s: NonNegative = 90.0
    cooldown_s: NonNegative = 300.0

    @model_validator(mode="after")
    def _range_in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError("`min_replicas` is larger than `max_replicas`")
        return self


class Api(Part):
    """The API servers: one single-threaded event loop per replica."""

    discipline: Literal["fifo", "processor_sharing"] = Field(
        default="fifo",
        description="How a replica serves what is there: `fifo`, one after the other in each slot, "
        "as an event loop does; `processor_sharing`, all at once, each the slower for it, as "
        "threads on shared cores do (machines of their own, modelled or emulated).",
    )
    replicas: Annotated[int, Field(ge=1, le=1000)]
    instance_type: str = "t3.medium"
    paging: Literal["cursor", "offset"] = Field(
        default="cursor",
        description="`offset`: the design's baseline, v1 with numbered pages and nothing beyond; "
        "`cursor`: v2 and GraphQL too.",
    )
    autoscaling: Autoscaling | None = None
    timeout_s: Positive = 10.0
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    retrying: Retrying = Retrying()
    breakers: dict[Guarded, CircuitBreaker] = Field(
        default_factory=dict, description="A circuit breaker around all calls to a part."
    )
    connections: dict[Guarded, PoolSize] = Field(
        default_factory=dict,
        description="Connections of each replica to a part, for one call at a time each; "
        "a part that is not named has no such limit.",
    )


class CachePolicy(Part):
    """How one key family is cached."""

    ttl_s: Positive
    cleared_by_product_update: bool = True
    # Against stampedes. An entry lives between (1 - ttl_jitter_fraction) · ttl_s and ttl_s; beta is
    # the eagerness to read it anew before its end (0: never, 1: the optimum of XFetch); with
    # `replicas`, one replica reads a missing entry and the others wait for it.
    ttl_jitter_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    early_recompute_beta: Annotated[float, Field(ge=0, le=100)] = 0.0
    single_flight: Literal["replica", "replicas"] = "replica"


class Cache(Part):
    """Redis, with the key families it holds."""

    instance_type: str = "cache.m5.large"
    memory_mib: Annotated[int, Field(ge=1, le=10**7)] = 256
    nodes: Annotated[int, Field(ge=1, le=100)] = 1
    families: dict[Family, CachePolicy]


class Database(Part):
    """A MongoDB replica set, or one mongod when `members` is 1."""

    members: Literal[1, 3, 5, 7] = 3
    instance_type: str = "M30"
    storage_gib: NonNegative = 40.0
    read_from_secondaries: frozenset[Operation] = frozenset()
    election_timeout_s: Positive = 10.0
    replication: Replication | None = None  # none: secondaries are never behind


class Search(Part):
    """Who answers a search: Elasticsearch, or MongoDB's own text index."""

    engine: Literal["elasticsearch", "mongo_text"] = "elasticsearch"
    nodes: Annotated[int, Field(ge=1, le=100)] = 1
    instance_type: str | None = None


class Worker(Part):
    """The workers of background jobs, with a queue of their own."""

    replicas: Annotated[int, Field(ge=1, le=64)] = 1
    images: bool = True  # uploads, made into every size by a job
    jobs: dict[Operation, Job] = Field(
        default_factory=dict,
        description="Models only: for each operation the job that a request leaves behind.",
    )


class Topology(Part):
    """The architecture under test."""

    load_balancer: LoadBalancer = LoadBalancer()
    api: Api
    cache: Cache | None
    database: Database
    search: Search
    limits: Limits | None = None  # off: every request is admitted
    worker: Worker | None = None  # off: no jobs, and no uploads
    events: bool = False  # what shoppers do, kept for analytics


class Objectives(Part):
    """What must hold."""

    p95_s: Positive
    availability_fraction: Fraction
    error_fraction: Fraction
    hit_ratio_fraction: Fraction | None = None
    concurrent_users: Count | None = None


class Experiment(Part):
    """How the live stack is measured."""

    loads_per_s: Annotated[tuple[Positive, ...], Field(min_length=4, max_length=40)]
    cell_s: Annotated[float, Field(ge=5, le=3600)] = 20.0
    warmup_s: Annotated[float, Field(ge=0, le=600)] = 5.0
    repeats: Annotated[int, Field(ge=1, le=20)] = 2
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 1

    @model_validator(mode="after")
    def _every_cell_has_requests(self) -> Self:
        lowest = min(self.loads_per_s)
        if lowest * self.cell_s < FEWEST_REQUESTS:
            allowed = (
                f"loads of at least {FEWEST_REQUESTS / self.cell_s:g} requests/s: a cell of "
                f"{self.cell_s:g} s needs {FEWEST_REQUESTS} requests to be judged"
            )
            raise FieldError(("loads_per_s",), lowest, allowed)
        return self


class TimeScale(Part):
    """How live time is tied to modelled time.

    Above 1 the stack is an emulation in dilated time: each machine holds a request in one of its
    slots for the (stretched) service demand, and TTLs, timeouts, think times, arrival gaps,
    elections and autoscaler periods stretch alike. Kept: utilisations, queue lengths, hit ratios,
    every time as a multiple of another. Not kept: what no gate holds (kernel, network, the real
    work beside a hold), which weighs less the larger the scale.
    """

    scale: Annotated[float, Field(ge=1, le=10_000)] = 1.0  # real seconds per modelled second


class Scenario(Part):
    """One question about one architecture."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    question: str
    workload: Workload
    topology: Topology
    objectives: Objectives
    prices: Prices = Prices()
    reliability: Reliability = Reliability()
    uncertainty: dict[str, Interval] = Field(default_factory=dict)
    plan: Planning = Planning()
    experiment: Experiment
    time: TimeScale = TimeScale()

    @model_validator(mode="after")
    def _uncertain_fields_exist(self) -> Self:
        for path in self.uncertainty:
            number_at(self, path)
        return self

    @model_validator(mode="after")
    def _uploads_are_made_into_sizes(self) -> Self:
        worker = self.topology.worker
        share = self.workload.mix.get(Operation.IMAGE_UPLOAD, 0.0)
        if share and (worker is None or not worker.images):
            allowed = "0 without `topology.worker` and its `images`, which make the sizes"
            raise FieldError(("workload", "mix", "image_upload"), share, allowed)
        return self
