"""The architectures whose predictions are put to the test, all emulated in dilated time.

Demands are stated, not calibrated: an emulated machine is as fast as it is told to be, and what is
tested is the structure of the model. Times are of the modelled world; `scale` stretches them so
that holds are long beside the real work (50 ms and more at the machines that queue).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headroom.fidelity.cells import WARMUP_S
from sim.model import Demands, VisitDemand
from sim.scenario import FAMILY_OF, Family, Operation, Scenario

SCALE = 40.0
SLOTS = {"api": 2, "redis": 1, "mongo": 4, "elasticsearch": 4}  # vCPUs; Redis has one thread
TTL_S = {"listing": 0.5, "favourites": 0.75, "search": 0.375}  # entries expire within a cell
READS = {"list": 0.30, "list_cursor": 0.10, "detail": 0.15, "search": 0.15, "favourites": 0.15}
WRITES = {"favourite_add": 0.10, "product_update": 0.02, "login": 0.03}
WRITE_HEAVY = {
    "list": 0.20,
    "detail": 0.10,
    "favourites": 0.20,
    "favourite_add": 0.35,
    "product_update": 0.15,
}
SEARCH_HEAVY = {"list": 0.15, "detail": 0.10, "search": 0.65, "favourite_add": 0.10}
FROM_DATABASE = {"list": 0.3, "list_cursor": 0.1, "detail": 0.4, "favourites": 0.1}
FROM_DATABASE |= {"favourite_add": 0.1}
# Mean service demands in ms: the API before its look-up or call and after it, and what is called.
API_BEFORE_MS, API_AFTER_MS, PASSWORD_MS, REDIS_MS = 1.5, 2.5, 15.0, 0.4
DATABASE_MS = {"list": 4.0, "list_cursor": 3.0, "detail": 2.5, "favourites": 4.0, "search": 6.0}
DATABASE_MS |= {
    "image_upload": 5.0,
    "favourite_add": 5.0,
    "product_update": 5.0,
    "login": 2.5,
    "register": 4.0,
}
ELASTICSEARCH_MS = 5.0
BEAT_MS = 0.5  # 20 real ms: longer than anything real that comes between two events at a balancer


@dataclass(frozen=True)
class Topology:
    """One architecture under test.

    Args:
        name: in file names and on the page.
        says: what it is, in words.
        scenario: in modelled time, with its scale.
        demands: in modelled time, with the slots of each machine.
        targets: utilisations of the busiest machine at which it is tested.
        warmup_s: real seconds at the start of a cell that are not judged.
    """

    name: str
    says: str
    scenario: Scenario
    demands: Demands
    targets: tuple[float, ...]
    warmup_s: float = WARMUP_S

    @property
    def is_closed(self) -> bool:
        """Whether users wait for their answers before they ask again."""
        return self.scenario.workload.kind == "closed"


TARGETS = (0.30, 0.50, 0.70, 0.80, 0.90, 0.95)
FEWER = (0.30, 0.50, 0.70, 0.90)
CATALOGUE = {
    "products": 600,
    "users": 200,
    "categories": 6,
    "pages_per_category": 5,
    "page_size": 10,
    "search_queries": 300,
}
SKEW = {"products_zipf": 0.9, "listing_zipf": 1.0, "search_zipf": 0.9, "users_zipf": 0.6}


@dataclass(frozen=True)
class _Design:
    """What differs between one topology and the next."""

    says: str
    replicas: int = 3
    balancing: str = "round_robin"
    ttl_s: Mapping[str, float] | None = field(default_factory=lambda: TTL_S)
    members: int = 3
    from_secondaries: tuple[str, ...] = ()
    engine: str = "mongo_text"
    mix: Mapping[str, float] = field(default_factory=lambda: READS | WRITES)
    api_factor: float = 1.0  # on the API's demands: many replicas must be the busy ones
    database_factor: float = 1.0
    catalogue: Mapping[str, int] = field(default_factory=lambda: CATALOGUE)
    skew: Mapping[str, float] = field(default_factory=lambda: SKEW)
    slower: float = 1.0  # all machines
    discipline: str = "fifo"  # of the API servers
    warmup_s: float = WARMUP_S
    timeout_s: float = 5.0
    retries: int = 0  # of whoever was not answered in time, after 50 ms and more
    beat_ms: float = 0.0  # answers leave at multiples of it, requests come between them
    workers: int = 0
    job_ms: float = 0.0  # of a worker, for the sizes of an uploaded image
    think_s: float | None = None  # of closed users; None: requests come whatever is answered
    targets: tuple[float, ...] = TARGETS


DESIGNS = {
    "one-replica": _Design("one API server, cache, replica set", replicas=1, targets=FEWER),
    "two-replicas": _Design("two API servers, round robin", replicas=2, targets=FEWER),
    "three-replicas": _Design("three API servers, round robin"),
    "ten-replicas": _Design("ten API servers, round robin", replicas=10, api_factor=3.0),
    "least-connections": _Design(
        "three API servers, least connections",
        balancing="least_connections",
        api_factor=1.5,
        targets=(0.50, 0.80),
    ),
    "least-connections-on-a-beat": _Design(
        "the same, but answers leave on a beat, and requests come between the beats",
        balancing="least_connections",
        api_factor=1.5,
        beat_ms=BEAT_MS,
        targets=(0.50, 0.80, 0.90),
    ),
    "processor-sharing": _Design(
        "three API servers that serve all their requests at once, each the slower for it",
        discipline="processor_sharing",
        mix=READS | WRITES | {"detail": 0.18, "login": 0.0},  # nobody goes on at the same machine
        ttl_s={family: ttl_s * 2 for family, ttl_s in TTL_S.items()},
        slower=2.0,  # an end that depends on who comes is told late: longer holds bear it
        api_factor=1.5,
        targets=(0.50, 0.80, 0.90),
    ),
    "no-cache": _Design("three API servers without a cache", ttl_s=None, targets=FEWER),
    "cold-cache": _Design(
        "an empty cache that fills, judged from its first request; entries outlive the cell",
        ttl_s={family: ttl_s * 20 for family, ttl_s in TTL_S.items()},
        warmup_s=0.0,
        targets=(0.50, 0.80),
    ),
    "short-lived-cache": _Design(
        "TTLs a fifth as long: the cache stays half cold",
        ttl_s={family: ttl_s / 5 for family, ttl_s in TTL_S.items()},
        api_factor=1.5,
    ),
    "secondaries": _Design(
        "list and detail read from the secondaries, no cache",
        ttl_s=None,
        from_secondaries=("list", "list_cursor", "detail"),
        mix=FROM_DATABASE,
        api_factor=1.5,
        targets=FEWER,
    ),
    "search-heavy": _Design(
        "two of three requests search, in Elasticsearch", engine="elasticsearch", mix=SEARCH_HEAVY
    ),
    "write-heavy": _Design("half of the requests write", mix=WRITE_HEAVY, replicas=2),
    "many-updates": _Design(
        "one in eight requests updates a product, which clears all lists",
        mix=READS | WRITES | {"detail": 0.05, "product_update": 0.12},
        targets=(0.50, 0.80),
    ),
    "large-catalogue": _Design(
        "ten times the products, lists and queries: most of them are not in the cache",
        catalogue=CATALOGUE | {"products": 6000, "pages_per_category": 50, "search_queries": 3000},
        targets=(0.50, 0.80),
    ),
    "even-interest": _Design(
        "no list, query or user is much more popular than another",
        skew=dict.fromkeys(SKEW, 0.3),
        targets=(0.50, 0.80),
    ),
    "retry-storm": _Design(
        "more than it can bear: callers give up after 100 ms and try again twice, while the "
        "servers go on with what they were asked",
        timeout_s=0.1,
        retries=2,
        targets=(0.90, 1.10, 1.30),
    ),
    "image-jobs": _Design(
        "one in twelve requests uploads an image, whose sizes two workers make in the background",
        mix=READS | WRITES | {"list": 0.22, "image_upload": 0.08},
        workers=2,
        job_ms=25.0,
        targets=(0.50, 0.80),
    ),
    "closed-users": _Design(
        "closed users: each thinks for a while, then asks again, once it has the answer",
        think_s=0.1,
        targets=(0.50, 0.80, 0.90),
    ),
    "assignment": _Design(
        "the baseline: one API server, one mongod, no cache, text search in the database",
        replicas=1,
        ttl_s=None,
        members=1,
        targets=FEWER,
    ),
}


def topologies() -> tuple[Topology, ...]:
    """All topologies, in the order of the page."""
    return tuple(topology(name) for name in DESIGNS)


def topology(name: str, scale: float = SCALE) -> Topology:
    """The topology of that name, at a scale; KeyError when there is none."""
    design = DESIGNS[name]
    scenario = _scenario(name, design, scale)
    demands = _demands(scenario, design)
    return Topology(name, design.says, scenario, demands, design.targets, design.warmup_s)


def stated(scenario: Scenario, *, api_factor: float = 1.0) -> Topology:
    """Any scenario with the demands that are stated here, on machines of their own."""
    design = _Design(
        scenario.question, engine=scenario.topology.search.engine, api_factor=api_factor
    )
    return Topology(scenario.name, design.says, scenario, _demands(scenario, design), TARGETS)


def _scenario(name: str, design: _Design, scale: float) -> Scenario:
    families = {
        Family(family): {"ttl_s": ttl_s, "cleared_by_product_update": family != "favourites"}
        for family, ttl_s in (design.ttl_s or {}).items()
    }
    written: dict[str, Any] = {
        "name": f"fidelity-{name}",
        "question": "Does the stack do what the model says it will?",
        "workload": {
            "registered_users": 200,
            "daily_active_fraction": 1.0,
            "requests_per_session": 1.0,
            "mix": {Operation(operation): share for operation, share in design.mix.items()},
            "catalogue": dict(design.catalogue),
            "popularity": dict(design.skew),
            **_users(design),
        },
        "topology": {
            "load_balancer": {"policy": design.balancing},
            "api": {
                "discipline": design.discipline,
                "replicas": design.replicas,
                "timeout_s": design.timeout_s,
                "retries": design.retries,
                "retrying": {"backoff_s": 0.05},
            },
            "cache": {"families": families} if families else None,
            "database": {
                "members": design.members,
                "election_timeout_s": 10.0,
                "read_from_secondaries": frozenset(map(Operation, design.from_secondaries)),
            },
            "search": {"engine": design.engine},
            "worker": _workers(design),
        },
        "objectives": {"p95_s": 0.2, "availability_fraction": 0.999, "error_fraction": 0.001},
        # Not used: each cell's load follows from the utilisation that is wanted.
        "experiment": {"loads_per_s": tuple(scale * load for load in (10.0, 20.0, 30.0, 40.0))},
        "time": {"scale": scale},
    }
    return Scenario.model_validate(written)


def _workers(design: _Design) -> dict[str, Any] | None:
    if not design.workers:
        return None
    job = {"mean_s": design.job_ms / 1e3, "cv": 0.5}
    return {"replicas": design.workers, "jobs": {Operation.IMAGE_UPLOAD: job}}


def _users(design: _Design) -> dict[str, Any]:
    return {} if design.think_s is None else {"kind": "closed", "think_time_s": design.think_s}


def _demands(scenario: Scenario, design: _Design) -> Demands:
    cache = scenario.topology.cache
    visits: dict[tuple[str, str], tuple[VisitDemand, ...]] = {}
    for operation in scenario.workload.mix:
        read = _called(operation, design)
        before, after = _api(API_BEFORE_MS, design), _api(API_AFTER_MS, design)
        redis = VisitDemand("redis", REDIS_MS * design.slower / 1e3, cv=0.5)
        family = FAMILY_OF.get(operation)
        if cache is not None and family in cache.families:
            visits[operation.value, "hit"] = (before, redis, after)
            visits[operation.value, "miss"] = (before, redis, read, redis, after)
        elif operation in (Operation.LOGIN, Operation.REGISTER):
            password = VisitDemand("api", PASSWORD_MS * design.slower / 1e3, cv=0.3)
            both = (read, password) if operation is Operation.LOGIN else (password, read)
            visits[operation.value, "none"] = (before, *both, after)
        else:
            clears = cache is not None and operation in _CLEARING
            middle = (read, redis) if clears else (read,)
            visits[operation.value, "none"] = (before, *middle, after)
    return Demands(
        visits=visits,
        slots=SLOTS,
        index_lag_s=0.3,
        beat_s=design.beat_ms / 1e3,
    )


_CLEARING = (Operation.FAVOURITE_ADD, Operation.PRODUCT_UPDATE)


def _api(mean_ms: float, design: _Design) -> VisitDemand:
    return VisitDemand("api", mean_ms * design.api_factor * design.slower / 1e3, cv=1.0)


def _called(operation: Operation, design: _Design) -> VisitDemand:
    if operation is Operation.SEARCH and design.engine == "elasticsearch":
        return VisitDemand("elasticsearch", ELASTICSEARCH_MS * design.slower / 1e3, cv=1.0)
    mean_ms = DATABASE_MS[operation.value] * design.database_factor * design.slower
    return VisitDemand("mongo", mean_ms / 1e3, cv=1.0)
