"""The tiers of a scenario as parts that can be away: what each is of and what its loss means."""

from dataclasses import dataclass, replace

from sim.availability.sla import Sla, sla
from sim.errors import require
from sim.scenario import BillComponent, Scenario

# A request can do without these: answers come uncached, searches from MongoDB's own text index.
# tests/integration/test_service_failures.py holds the service to it.
DEGRADING = frozenset({BillComponent.CACHE, BillComponent.SEARCH})


@dataclass(frozen=True)
class Tier:
    """One tier: servers of one's own, a replica set, a provider's service, or a mixture.

    Attributes:
        component: which part of the topology.
        name: how a reader calls it.
        members: servers of it that fail one by one; 0 where only the provider's promise is known.
        needed: members that must be up.
        elects: whether the members elect a primary, without which writes stop.
        zoned: whether its members stand in the zones of the scenario and go with them.
        promise: the provider's service level agreement, where one applies.
        election_timeout_s: time until the members notice a lost primary, s; 0 without elections.
    """

    component: BillComponent
    name: str
    members: int = 0
    needed: int = 0
    elects: bool = False
    zoned: bool = False
    promise: Sla | None = None
    election_timeout_s: float = 0.0

    @property
    def ends_service(self) -> bool:
        """Whether its loss stops the service, rather than slowing or coarsening its answers."""
        return self.component not in DEGRADING

    @property
    def has_spare(self) -> bool:
        """Whether a member may be away, for a failure or for planned work, without an outage."""
        return self.members == 0 or self.members > self.needed


def tiers_of(scenario: Scenario, api_needed: int = 1) -> tuple[Tier, ...]:
    """The tiers of a topology, in the order in which a request meets them.

    Args:
        scenario: its topology says what runs, its `reliability.zones` where.
        api_needed: API servers that the demand takes, >= 1; more than there are counts as all.
    Returns: the tiers; a cache or search tier is there only if the topology has one.
    Raises: InvalidScenario for api_needed below 1.
    Source: the scenario; promises from sim/data/sla.csv.

    >>> from sim.example import shop
    >>> [(str(t.component), t.members, t.needed) for t in tiers_of(shop()) if t.members]
    [('compute', 2, 1), ('database', 3, 2)]
    """
    require(isinstance(api_needed, int) and api_needed >= 1, "api_needed", api_needed, "1 or more")
    api = scenario.topology.api
    found = [
        *_edge(scenario),
        Tier(
            BillComponent.COMPUTE,
            f"API, {api.replicas} × {api.instance_type}",
            members=api.replicas,
            needed=min(api_needed, api.replicas),
            zoned=True,
        ),
        _database(scenario),
        *_cache(scenario),
        *_search(scenario),
    ]
    return tuple(found)


def _edge(scenario: Scenario) -> list[Tier]:
    found = []
    if scenario.prices.egress_gib_per_month > 0:  # the bill has all requests pass it as well
        found.append(
            Tier(
                BillComponent.OBJECTS_AND_CDN,
                "CDN, CloudFront",
                promise=sla("CloudFront", "error-rate based"),
            )
        )
    kind = scenario.topology.load_balancer.instance_type
    if kind is not None:
        own = Tier(BillComponent.LOAD_BALANCER, f"load balancer, nginx on {kind}", 1, 1, zoned=True)
        return [*found, own]
    several = scenario.reliability.zones > 1
    promise = (
        sla("Elastic Load Balancing (ALB/NLB)", "multi-AZ")
        if several
        else sla("Elastic Load Balancing (ALB/NLB/GWLB)", "single AZ")
    )
    managed = Tier(BillComponent.LOAD_BALANCER, "load balancer, managed", promise=promise)
    return [*found, managed]


def _database(scenario: Scenario) -> Tier:
    database = scenario.topology.database
    own = Tier(
        BillComponent.DATABASE,
        f"database, {database.members} × {database.instance_type}",
        members=database.members,
        needed=database.members // 2 + 1,
        elects=database.members > 1,
        zoned=True,
        election_timeout_s=database.election_timeout_s if database.members > 1 else 0.0,
    )
    if database.members == 1:
        return own  # no provider promises anything for a single mongod
    if database.instance_type.startswith("db."):
        return replace(own, zoned=False, promise=sla("DocumentDB", "multi-AZ"))
    if database.instance_type.startswith("M"):  # Atlas spreads a cluster over zones by itself
        return replace(own, zoned=False, promise=sla("Atlas", "M10 and above"))
    return own


def _cache(scenario: Scenario) -> list[Tier]:
    cache = scenario.topology.cache
    if cache is None:
        return []
    name = f"cache, {cache.nodes} × {cache.instance_type}"
    if not cache.instance_type.startswith("cache."):
        return [Tier(BillComponent.CACHE, name, cache.nodes, cache.nodes, zoned=True)]
    kept = "multi-AZ with automatic failover" if cache.nodes > 1 else "single AZ"
    return [Tier(BillComponent.CACHE, name, promise=sla("ElastiCache", kept))]


def _search(scenario: Scenario) -> list[Tier]:
    search = scenario.topology.search
    if search.engine != "elasticsearch":
        return []
    kind = search.instance_type
    name = f"search, {search.nodes} × {kind or 'managed node'}"
    managed = kind is None or kind.endswith(".search")
    # One of three or more may be away: the rest elect a master and hold a copy of each shard.
    needed = search.nodes if search.nodes < 3 else search.nodes - 1
    return [
        Tier(
            BillComponent.SEARCH,
            name,
            search.nodes,
            needed,
            zoned=True,
            promise=sla("OpenSearch Service", "following best practices, without standby")
            if managed
            else None,
        )
    ]
