"""What can be bought: the candidates of a plan, as options of each tier and their combinations."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from sim.cost.lines import EC2_SERVICES
from sim.cost.pricebook import PriceBook
from sim.cost.servers import SEARCH_DEFAULT
from sim.cpu import cpu_scores
from sim.errors import InvalidScenario, Problem, require
from sim.plan.offers import API_VCPU, PURCHASES, Offers, core_of
from sim.scenario import Scenario
from sim.scenario_plan import Purchase

NO_CACHE = "none"
MOST_CANDIDATES = 200_000
COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1000)
BUSY_FRACTION = 0.5  # how busy API servers may be for a count to be on the list of counts


@dataclass(frozen=True, order=True)
class Candidate:
    """One architecture to judge.

    Args:
        api_type, api_replicas: the API servers.
        cache_type, cache_nodes, cache_ttl_factor: Redis; type "none" is no cache.
        database_type, database_members: the replica set.
        search_type, search_nodes: Elasticsearch; None and 0 where MongoDB itself searches.
        purchase: how instances are bought.
        zones: over how many zones servers of one's own are spread.
    """

    api_type: str
    api_replicas: int
    cache_type: str
    cache_nodes: int
    cache_ttl_factor: float
    database_type: str
    database_members: int
    search_type: str | None
    search_nodes: int
    purchase: Purchase
    zones: int = 1

    def __str__(self) -> str:
        parts = [f"{self.api_replicas} × {self.api_type}"]
        if self.cache_type == NO_CACHE:
            parts.append("no cache")
        else:
            ttl = "" if self.cache_ttl_factor == 1 else f" (TTL × {self.cache_ttl_factor:g})"
            parts.append(f"{self.cache_nodes} × {self.cache_type}{ttl}")
        parts.append(f"{self.database_members} × {self.database_type}")
        if self.search_nodes:
            parts.append(f"{self.search_nodes} × {self.search_type}")
        if self.zones > 1:
            parts.append(f"over {self.zones} zones")
        return f"{', '.join(parts)}, {self.purchase.replace('_', ' ')}"

    def applied_to(self, scenario: Scenario) -> Scenario:
        """The scenario with this architecture; autoscaling is off, for the count is the plan's."""
        topology = scenario.topology
        api = topology.api.model_copy(
            update={
                "instance_type": self.api_type,
                "replicas": self.api_replicas,
                "autoscaling": None,
            }
        )
        cache = topology.cache
        if self.cache_type == NO_CACHE:
            cache = None
        elif cache is not None:
            cache = cache.model_copy(
                update={
                    "instance_type": self.cache_type,
                    "nodes": self.cache_nodes,
                    "families": {
                        family: policy.model_copy(
                            update={"ttl_s": policy.ttl_s * self.cache_ttl_factor}
                        )
                        for family, policy in cache.families.items()
                    },
                }
            )
        database = topology.database.model_copy(
            update={"instance_type": self.database_type, "members": self.database_members}
        )
        search = topology.search
        if self.search_nodes:
            search = search.model_copy(
                update={"instance_type": self.search_type, "nodes": self.search_nodes}
            )
        return scenario.model_copy(
            update={
                "topology": topology.model_copy(
                    update={"api": api, "cache": cache, "database": database, "search": search}
                ),
                "prices": scenario.prices.model_copy(update={"purchase": self.purchase}),
                "reliability": scenario.reliability.model_copy(update={"zones": self.zones}),
            }
        )


@dataclass(frozen=True)
class Space:
    """All candidates, and what left others out.

    Args:
        candidates: to judge, the scenario's own design among them where it can be priced.
        own: place of the scenario's own design, or None.
        empty: why there is no candidate at all; empty where there is one.
        not_sold: combinations left out, for an instance type is not sold that way.
    """

    candidates: tuple[Candidate, ...]
    own: int | None
    empty: tuple[str, ...] = ()
    not_sold: int = 0


def own_candidate(scenario: Scenario) -> Candidate:
    """The scenario's own architecture as a candidate.

    Args:
        scenario: its topology.
    Returns: the candidate, bought as `prices.purchase` says.
    Source: the scenario.

    >>> from sim.example import shop
    >>> str(own_candidate(shop()))
    '2 × m5.large, 1 × cache.m5.large, 3 × M30, on demand'
    """
    topology, cache = scenario.topology, scenario.topology.cache
    searches = topology.search.engine == "elasticsearch"
    return Candidate(
        api_type=topology.api.instance_type,
        api_replicas=topology.api.replicas,
        cache_type=NO_CACHE if cache is None else cache.instance_type,
        cache_nodes=0 if cache is None else cache.nodes,
        cache_ttl_factor=1.0,
        database_type=topology.database.instance_type,
        database_members=topology.database.members,
        search_type=(topology.search.instance_type or SEARCH_DEFAULT) if searches else None,
        search_nodes=topology.search.nodes if searches else 0,
        purchase=scenario.prices.purchase,
        zones=scenario.reliability.zones,
    )


def vcpu_of(book: PriceBook, sku: str) -> int:
    """vCPUs of an instance type by its score or its price; 2 where neither says."""
    score = cpu_scores().get(core_of(sku))
    if score is not None:
        return score.vcpu
    return next((p.vcpu for p in book.prices if p.sku == sku and p.vcpu), 2)


def space_of(scenario: Scenario, book: PriceBook, api_cpu_s: float, load_per_s: float) -> Space:
    """The candidates of a scenario's `plan.space`.

    Args:
        scenario: says what may be chosen; what it leaves open is derived: types with a price and a
            CPU score that no other type beats in both, counts around what the load needs.
        book: the price book.
        api_cpu_s: CPU time of a mean request at an API server, on the scenario's own type, s, > 0.
        load_per_s: the highest load to plan for, requests/s, > 0.
    Returns: the space; its `empty` says why it holds nothing.
    Raises: InvalidScenario for a type that the book does not price, or more than 200,000
        combinations.
    Source: the scenario and the book; derived counts by the utilisation law.

    >>> from sim.cost import price_book
    >>> from sim.example import shop
    >>> space = space_of(shop(), price_book("2026-07"), api_cpu_s=0.01, load_per_s=20.0)
    >>> len(space.candidates), space.own  # one, two or three servers; the shop has two
    (3, 1)
    """
    wanted, own = scenario.plan.space, own_candidate(scenario)
    options = _options(scenario, book, own, api_cpu_s, load_per_s)
    empty = tuple(
        f"plan.space.{_field(name)} lists nothing to choose from"
        for name, chosen in options.items()
        if not chosen
    )
    combinations = math.prod(len(chosen) for chosen in options.values())
    require(
        combinations <= MOST_CANDIDATES,
        "plan.space",
        combinations,
        f"at most {MOST_CANDIDATES} combinations",
    )
    candidates: dict[Candidate, None] = {}
    left_out = 0
    for candidate in _combined(options):
        if _is_sold(book, candidate):
            candidates[candidate] = None
        else:
            left_out += 1
    if not candidates and not empty:
        empty = ("plan.space: no combination is sold in any of the ways listed",)
    listed = any(getattr(wanted, name) is not None for name in type(wanted).model_fields)
    if not empty and not listed:
        candidates.setdefault(own)
    ordered = tuple(sorted(candidates, key=_order))
    return Space(ordered, ordered.index(own) if own in candidates else None, empty, left_out)


def _field(option: str) -> str:
    """The field of `plan.space` that lists an option."""
    return option if option.endswith("s") else f"{option}s"


def _order(candidate: Candidate) -> tuple[object, ...]:
    return tuple("" if value is None else value for value in vars(candidate).values())


def _combined(options: dict[str, tuple[object, ...]]) -> Iterator[Candidate]:
    for values in product(*options.values()):
        found = Candidate(**dict(zip(options, values, strict=True)))  # type: ignore[arg-type]
        if found.cache_type == NO_CACHE:
            found = replace(found, cache_nodes=0, cache_ttl_factor=1.0)
        if found.search_type is None:
            found = replace(found, search_nodes=0)
        yield found


def _options(
    scenario: Scenario, book: PriceBook, own: Candidate, api_cpu_s: float, load_per_s: float
) -> dict[str, tuple[object, ...]]:
    wanted, region = scenario.plan.space, scenario.prices.region
    cached, searches = scenario.topology.cache is not None, own.search_type is not None
    types = Offers(book, region)
    purchases = wanted.purchases if wanted.purchases is not None else PURCHASES
    derived: dict[str, tuple[object, ...]] = {
        "api_type": _with(own.api_type, types.servers(purchases, vcpu=API_VCPU)),
        "api_replicas": _with(own.api_replicas, counts_for(load_per_s * api_cpu_s)),
        "cache_type": _with(own.cache_type, types.caches(1)) if cached else (NO_CACHE,),
        "cache_nodes": _with(own.cache_nodes, (1, 2)) if cached else (0,),
        "cache_ttl_factor": (1.0,),
        "database_type": _with(own.database_type, types.databases(purchases)),
        "database_members": _with(own.database_members, (3,)),
        "search_type": _with(own.search_type, types.searches(2)) if searches else (None,),
        "search_nodes": _with(own.search_nodes, (1, 2)) if searches else (0,),
        "purchase": tuple(purchases),
        "zones": (own.zones,),
    }
    stated = {
        "api_type": wanted.api_types,
        "api_replicas": wanted.api_replicas,
        "cache_type": wanted.cache_types if cached else None,
        "cache_nodes": wanted.cache_nodes if cached else None,
        "cache_ttl_factor": wanted.cache_ttl_factors if cached else None,
        "database_type": wanted.database_types,
        "database_members": wanted.database_members,
        "search_type": wanted.search_types if searches else None,
        "search_nodes": wanted.search_nodes if searches else None,
        "zones": wanted.zones,
    }
    for name, values in stated.items():
        if values is not None:
            if name.endswith("_type"):
                _known_types(types, name, values)
            derived[name] = tuple(dict.fromkeys(values))
    return derived


def counts_for(busy_servers: float) -> tuple[int, ...]:
    """Numbers of servers to try for a load that keeps so many busy: to half busy, and one more.

    >>> counts_for(0.3), counts_for(5.0)
    ((1, 2), (3, 4, 6, 8, 12, 16))
    """
    enough = [n for n in COUNTS if n >= busy_servers / BUSY_FRACTION]
    top = COUNTS.index(enough[0]) + 1 if enough else len(COUNTS)
    lowest = max(0.6 * busy_servers, 1.0)
    return tuple(n for n in COUNTS[: top + 1] if n >= lowest) or COUNTS[-1:]


def _with(own: object, others: Iterable[object]) -> tuple[object, ...]:
    return tuple(dict.fromkeys((own, *others)))


def _is_sold(book: PriceBook, candidate: Candidate) -> bool:
    """Whether every EC2 type of a candidate has a price under its way of buying."""
    on_demand = book.skus("AWS", EC2_SERVICES["on_demand"][0])
    services = EC2_SERVICES[candidate.purchase]
    sold = {sku for service in services for sku in book.skus("AWS", service)}
    asked = (
        candidate.api_type,
        candidate.cache_type,
        candidate.database_type,
        candidate.search_type,
    )
    return candidate.api_type in sold and all(
        sku in sold for sku in asked if sku is not None and sku in on_demand
    )


def _known_types(types: Offers, name: str, values: tuple[object, ...]) -> None:
    known = types.all_of(name)
    problems = [
        Problem(
            f"plan.space.{_field(name)}", value, f"types with a price: {', '.join(sorted(known))}"
        )
        for value in values
        if value not in known and not (name == "cache_type" and value == NO_CACHE)
    ]
    if problems:
        raise InvalidScenario(*problems)
