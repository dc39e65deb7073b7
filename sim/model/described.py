"""A Scenario and measured demands, turned into the StackModel of its architecture."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sim.draws import Demand, Distribution
from sim.errors import require
from sim.model.parts import (
    Autoscaler,
    CacheFamily,
    Discipline,
    Group,
    Host,
    ReplicaSet,
    Station,
)
from sim.model.protected import (
    WORKER,
    breakers,
    client,
    guarded_route,
    has_jobs,
    pools,
    protected,
    rate_limits,
    replication,
)
from sim.model.stack import StackModel
from sim.model.steps import Beat, Delay, Fill, Invalidate, Lookup, Spawn, Step, Visit
from sim.scenario import FAMILY_OF, Family, Operation, Scenario

COMPONENTS = ("nginx", "api", "api_threads", "redis", "mongo", "elasticsearch")
OUTCOMES = ("hit", "miss", "none")
HOST = "host"
# Slots of parts that serve many requests at once, on a shared host (where cores are the limit):
# nginx: one worker per core; mongod: its default of tickets; Elasticsearch: a search pool.
MONGO_TICKETS = 128
PASSWORD_THREADS = 2  # of each API process: Argon2 runs beside its event loop
VARIANT_OF = {Operation.LIST: 0, Operation.LIST_CURSOR: 1}


@dataclass(frozen=True)
class VisitDemand:
    """One visit of a route as measured: which component, for how long.

    Args:
        component: nginx, api (its event loop), api_threads (its password threads), redis, mongo or
            elasticsearch.
        mean_s, cv, distribution: of the service demand, as in `sim.draws.Demand`.
    """

    component: str
    mean_s: float
    cv: float = 1.0
    distribution: Distribution = "lognormal"
    quantiles_s: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require(
            self.component in COMPONENTS, "demands.component", self.component, ", ".join(COMPONENTS)
        )
        assert self.demand  # checks the numbers

    @property
    def demand(self) -> Demand:
        """The service demand alone."""
        return Demand(self.mean_s, self.cv, self.distribution, self.quantiles_s)


@dataclass(frozen=True)
class Demands:
    """What calibration found: visits in order per (operation, outcome), and where they run.

    Args:
        visits: for (operation, outcome) the visits in order; outcome is hit or miss for operations
            that the scenario caches, else none. A miss starts with the same components as a hit up
            to the first visit to redis, the lookup.
        delay_s: for (operation, outcome) time outside all queues, s; missing means 0.
        host_cores: cores that all parts share (the native local stack), or None: each instance has
            a machine of its own (production).
        background_fraction: share of the shared cores that foreign work takes, in [0, 1).
        slots: with host_cores None, servers of one instance of a component (vCPUs; processes of
            one event loop each for the API); missing means 1.
        index_lag_s: from a product's update until searches are cleared (Elasticsearch only).
        beat_s: answers leave the API at multiples of it, s; 0: when they are ready.
    """

    visits: Mapping[tuple[str, str], tuple[VisitDemand, ...]]
    delay_s: Mapping[tuple[str, str], float] = field(default_factory=dict)
    host_cores: int | None = None
    background_fraction: float = 0.0
    slots: Mapping[str, int] = field(default_factory=dict)
    index_lag_s: float = 0.0
    beat_s: float = 0.0

    def __post_init__(self) -> None:
        for operation, outcome in (*self.visits, *self.delay_s):
            where = f"demands.{operation}.{outcome}"
            known = operation in set(Operation)
            require(known, where, operation, ", ".join(Operation))
            require(outcome in OUTCOMES, where, outcome, ", ".join(OUTCOMES))
        for component in self.slots:
            require(component in COMPONENTS, "demands.slots", component, ", ".join(COMPONENTS))

    def to_json(self) -> dict[str, Any]:
        """Plain data for an artefact; `from_json` reads it back."""
        return {
            "visits": {
                f"{operation}.{outcome}": [asdict(visit) for visit in visits]
                for (operation, outcome), visits in self.visits.items()
            },
            "delay_s": {f"{op}.{outcome}": value for (op, outcome), value in self.delay_s.items()},
            "host_cores": self.host_cores,
            "background_fraction": self.background_fraction,
            "slots": dict(self.slots),
            "index_lag_s": self.index_lag_s,
            "beat_s": self.beat_s,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Demands":
        """The demands that `to_json` wrote."""

        def pair(key: str) -> tuple[str, str]:
            operation, _, outcome = key.partition(".")
            return operation, outcome

        return cls(
            visits={
                pair(key): tuple(
                    VisitDemand(**{**visit, "quantiles_s": tuple(visit["quantiles_s"])})
                    for visit in visits
                )
                for key, visits in data["visits"].items()
            },
            delay_s={pair(key): value for key, value in data["delay_s"].items()},
            host_cores=data["host_cores"],
            background_fraction=data["background_fraction"],
            slots=data["slots"],
            index_lag_s=data["index_lag_s"],
            beat_s=data.get("beat_s", 0.0),
        )


def stack_model(scenario: Scenario, demands: Demands) -> StackModel:
    """The stack of a scenario's topology, with measured demands.

    Args:
        scenario: architecture, cache policies, catalogue; every operation of its mix is routed.
        demands: visits of every operation of the mix: for a cached one (its family is in
            `topology.cache.families`) under hit and miss, else under none.
    Returns: the model; its stations are nginx, api-1 …, redis, mongo-1 …, elasticsearch-1 …, of
        which those that no visit names are left out.
    Raises: InvalidScenario when a route is missing, or its hit and miss start differently; or for
        an API of processor sharing on a shared host.
    Assumes: an entry is looked up at the end of the first visit to redis, stored at the end of
        the last one of a miss, cleared at the end of the last one of a write; all parts are equal
        among their replicas; a mongod write is acknowledged by its primary alone. A user has one
        address. A budget of n requests a minute is a bucket of n tokens that fills in a minute:
        beside the live sliding window it lets a burst after silence through alike, and up to
        2n in a minute that begins with a full bucket. What is refused costs the API nothing;
        open connections per address are not limited. Workers take jobs in order, one each.
    Source: the scenario; tests hold it against the live stack.

    >>> from sim.calibrate import demands
    >>> from sim.example import shop, shop_demands
    >>> s = shop()
    >>> model = stack_model(s, demands(shop_demands().for_scenario(s), host_cores=None))
    >>> [station.name for station in model.stations]
    ['api-1', 'api-2', 'redis', 'mongo-1', 'mongo-2', 'mongo-3']
    """
    operations = [operation for operation, share in scenario.workload.mix.items() if share > 0]
    routes = tuple(guarded_route(scenario, op, _steps(scenario, demands, op)) for op in operations)
    used = {
        visit.component
        for (operation, _), visits in demands.visits.items()
        for visit in visits
        if operation in set(operations)
    }
    stations, groups, replica_sets = _parts(scenario, demands, used)
    cores = demands.host_cores
    worker = scenario.topology.worker
    if worker is not None and has_jobs(scenario, operations):
        host = None if cores is None else HOST
        stations = (*stations, Station(WORKER, worker.replicas, host=host))
    hosts = () if cores is None else (Host(HOST, cores, demands.background_fraction),)
    api, scaling = scenario.topology.api, scenario.topology.api.autoscaling
    return StackModel(
        stations=stations,
        hosts=hosts,
        groups=groups,
        replica_sets=replica_sets,
        families=_families(scenario, used),
        pools=pools(scenario, used),
        limits=rate_limits(scenario, operations),
        breakers=breakers(scenario, used),
        routes=routes,
        client=client(scenario),
        autoscalers=()
        if scaling is None or cores is not None
        else (
            Autoscaler(
                "api",
                min_replicas=scaling.min_replicas,
                max_replicas=scaling.max_replicas,
                initial=min(max(api.replicas, scaling.min_replicas), scaling.max_replicas),
                target_fraction=scaling.target_cpu_fraction,
                period_s=scaling.evaluation_period_s,
                boot_s=scaling.boot_s,
                cooldown_s=scaling.cooldown_s,
            ),
        ),
    )


def _parts(
    scenario: Scenario, demands: Demands, used: set[str]
) -> tuple[tuple[Station, ...], tuple[Group, ...], tuple[ReplicaSet, ...]]:
    topology = scenario.topology
    scaling = topology.api.autoscaling
    replicas = topology.api.replicas
    if scaling is not None and demands.host_cores is None:
        replicas = max(replicas, scaling.max_replicas)
    cores = demands.host_cores
    shared = {  # slots of one instance where the cores of a shared host are the limit
        "nginx": cores or 1,
        "api": 1,
        "api_threads": PASSWORD_THREADS,
        "redis": 1,
        "mongo": MONGO_TICKETS,
        "elasticsearch": (cores or 1) * 3 // 2 + 1,
    }
    counts = {
        "nginx": 1,
        "api": replicas,
        "api_threads": replicas,
        "redis": 1,
        "mongo": topology.database.members,
        "elasticsearch": topology.search.nodes,
    }
    policies = {
        "api": topology.load_balancer.policy,
        "api_threads": "round_robin",  # the threads of the request's own replica, nearly
        "elasticsearch": "round_robin",
    }
    stations: list[Station] = []
    groups: list[Group] = []
    sets: list[ReplicaSet] = []
    for component in COMPONENTS:
        if component not in used:
            continue
        slots = demands.slots.get(component, 1) if cores is None else shared[component]
        plural = component in policies or component == "mongo"
        names = tuple(f"{component}-{i + 1}" for i in range(counts[component]))
        names = names if plural else (component,)
        host = None if cores is None else HOST
        shares = component == "api" and topology.api.discipline == "processor_sharing"
        allowed = "fifo on a shared host, where each replica is one event loop"
        require(
            not shares or cores is None, "topology.api.discipline", "processor_sharing", allowed
        )
        discipline: Discipline = "ps" if shares else "fifo"
        stations += [Station(name, slots, discipline, host=host) for name in names]
        if component in policies:
            groups.append(Group(component, names, policies[component]))
        elif component == "mongo":
            election_s = topology.database.election_timeout_s
            keys = scenario.workload.catalogue.products
            sets.append(ReplicaSet("mongo", names, election_s, keys))
    return tuple(stations), tuple(groups), tuple(sets)


def _families(scenario: Scenario, used: set[str]) -> tuple[CacheFamily, ...]:
    """The cached families; `ttl_jitter_fraction` and `early_recompute_beta` are left out."""
    cache, catalogue = scenario.topology.cache, scenario.workload.catalogue
    if cache is None:
        return ()
    keys = {
        Family.LISTING: (catalogue.listing_keys, "key", catalogue.pages_per_category),
        Family.SEARCH: (catalogue.search_queries, "key", catalogue.search_queries),
        Family.FAVOURITES: (catalogue.users, "user", 1),
    }
    return tuple(
        CacheFamily(
            family.value,
            policy.ttl_s,
            keys[family][0],
            keys[family][1],  # type: ignore[arg-type]
            keys[family][2],
            coalesce=True,
            # None: one flight at a time over all replicas
            flights_per="api" if "api" in used and policy.single_flight == "replica" else None,
        )
        for family, policy in cache.families.items()
    )


def _steps(scenario: Scenario, demands: Demands, operation: Operation) -> tuple[Step, ...]:
    cache = scenario.topology.cache
    family = FAMILY_OF.get(operation)
    if cache is None or family is None or family not in cache.families:
        return _plain_steps(scenario, demands, operation)
    hit, miss = (_measured(demands, operation, outcome) for outcome in ("hit", "miss"))
    where = f"demands.{operation}"
    lookup = _lookup_position(hit, f"{where}.hit")
    same = [v.component for v in hit[:lookup]] == [v.component for v in miss[:lookup]]
    require(same, f"{where}.miss", [v.component for v in miss], "the start of the hit's visits")
    store = max(i for i, visit in enumerate(miss) if visit.component == "redis")
    if store < lookup:  # nothing is stored in a visit of its own
        store = len(miss) - 1
    variant = VARIANT_OF.get(operation, 0)
    read = [_visit(scenario, operation, visit) for visit in miss]
    return (
        *(_visit(scenario, operation, visit) for visit in hit[:lookup]),
        Lookup(
            family.value,
            hit=(
                *(_visit(scenario, operation, visit) for visit in hit[lookup:]),
                *_delay(demands, operation, "hit"),
            ),
            miss=(
                *read[lookup : store + 1],
                Fill(family.value, variant),
                *read[store + 1 :],
                *_delay(demands, operation, "miss"),
            ),
            variant=variant,
        ),
    )


def _plain_steps(scenario: Scenario, demands: Demands, operation: Operation) -> tuple[Step, ...]:
    visits = _measured(demands, operation, "none")
    used = {visit.component for visit in visits}
    places = [i for i, visit in enumerate(visits) if visit.component in ("redis", "mongo")]
    clear = places[-1] + 1 if places else len(visits)
    steps = [_visit(scenario, operation, visit) for visit in visits]
    return (
        *steps[:clear],
        *(replication(scenario, operation) if "mongo" in used else ()),
        *_clearing(scenario, demands, operation),
        *steps[clear:],
        *_delay(demands, operation, "none"),
    )


def _clearing(scenario: Scenario, demands: Demands, operation: Operation) -> tuple[Step, ...]:
    """What a write clears: the service's rules, of the families that are cached."""
    cache, catalogue = scenario.topology.cache, scenario.workload.catalogue
    families = {} if cache is None else cache.families
    if operation is Operation.FAVOURITE_ADD and Family.FAVOURITES in families:
        own = Invalidate("favourites", modulus=catalogue.users, by="user")
        return (own,)
    if operation is not Operation.PRODUCT_UPDATE:
        return ()
    steps: list[Step] = []
    cleared = {name for name, policy in families.items() if policy.cleared_by_product_update}
    if Family.LISTING in cleared:
        steps.append(Invalidate("listing"))  # group 0: all products together
        steps.append(Invalidate("listing", first_group=1, modulus=catalogue.categories))
    if Family.FAVOURITES in cleared:
        steps.append(Invalidate("favourites", everything=True))
    if Family.SEARCH in cleared:
        clear = Invalidate("search", everything=True)
        lag_s = demands.index_lag_s
        indexed = scenario.topology.search.engine == "elasticsearch" and lag_s > 0
        lag = Delay(Demand(lag_s, distribution="deterministic"))
        steps.append(Spawn((lag, clear)) if indexed else clear)
    return tuple(steps)


def _measured(demands: Demands, operation: Operation, outcome: str) -> tuple[VisitDemand, ...]:
    visits = demands.visits.get((operation.value, outcome))
    where = f"demands.{operation}.{outcome}"
    require(bool(visits), where, visits, "the visits of this operation and outcome, in order")
    assert visits is not None
    return visits


def _lookup_position(hit: tuple[VisitDemand, ...], where: str) -> int:
    places = [i for i, visit in enumerate(hit) if visit.component == "redis"]
    require(bool(places), where, [v.component for v in hit], "a visit to redis, the lookup")
    return places[0] + 1


def _visit(scenario: Scenario, operation: Operation, visit: VisitDemand) -> Step:
    secondary = operation in scenario.topology.database.read_from_secondaries
    prefer: Literal["primary", "secondary"] = "secondary" if secondary else "primary"
    return protected(scenario, Visit(visit.component, visit.demand, prefer))


def _delay(demands: Demands, operation: Operation, outcome: str) -> tuple[Step, ...]:
    delay_s = demands.delay_s.get((operation.value, outcome), 0.0)
    beat = (Beat(demands.beat_s),) if demands.beat_s > 0 else ()
    delay = (Delay(Demand(delay_s, distribution="deterministic")),) if delay_s > 0 else ()
    return (*beat, *delay)
