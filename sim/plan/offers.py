"""What a price book sells for each part of an architecture."""

from collections.abc import Iterable

from sim.cost.lines import EC2_SERVICES
from sim.cost.pricebook import Price, PriceBook
from sim.cpu import cpu_scores
from sim.errors import require
from sim.scenario_plan import Purchase

# A replica is one event loop and its password threads: more than two vCPUs would idle.
API_VCPU = 2
PURCHASES: tuple[Purchase, ...] = ("on_demand", "reserved_1y", "reserved_3y")

_CACHE = ("AWS", "ElastiCache node Redis OSS/Memcached")
_SEARCH = ("AWS", "OpenSearch Service instance")


def core_of(sku: str) -> str:
    """The EC2 type whose processor a managed instance has: cache.m5.large has m5.large's.

    Args:
        sku: an instance type.
    Returns: the EC2 type; the name itself where none is known.
    Source: AWS names managed types after those of EC2.

    >>> core_of("cache.m5.large"), core_of("m6g.large.search"), core_of("M30")
    ('m5.large', 'm6g.large', 'M30')
    """
    return sku.removeprefix("cache.").removeprefix("db.").removesuffix(".search")


def types_for(book: PriceBook, region: str, option: str) -> tuple[str, ...]:
    """The instance types that a part of an architecture may be, by name.

    Args:
        book: prices.
        region: of the scenario, such as us-east-1; one without prices has no types.
        option: api_type, cache_type, database_type or search_type.
    Returns: those with a price, in alphabetical order; "none" is not among them.
    Raises: InvalidScenario for another option.
    Source: the price book's own rows.

    >>> from sim.cost import price_book
    >>> "M30" in types_for(price_book("2026-07"), "us-east-1", "database_type")
    True
    """
    known = ("api_type", "cache_type", "database_type", "search_type")
    require(option in known, "option", option, ", ".join(known))
    return tuple(sorted(Offers(book, region).all_of(option)))


class Offers:
    """Instance types of a price book in a region, by what they can be used for."""

    def __init__(self, book: PriceBook, region: str) -> None:
        self._here = [p for p in book.prices if p.region == region]

    def _of(self, provider: str, *services: str) -> list[Price]:
        return [p for p in self._here if p.provider == provider and p.service in services]

    def _ec2(self, purchases: Iterable[Purchase]) -> list[list[Price]]:
        return [
            [p for p in self._of("AWS", *EC2_SERVICES[way]) if p.sku in cpu_scores()]
            for way in purchases
        ]

    def all_of(self, name: str) -> set[str]:
        """Types with a price that an option may take, such as api_type."""
        ec2 = {p.sku for way in PURCHASES for p in self._of("AWS", *EC2_SERVICES[way])}
        more = {
            "api_type": [],
            "cache_type": self._of(*_CACHE),
            "database_type": self._of("MongoDB", "Atlas dedicated, 3-node replica set")
            + [p for p in self._of("AWS", "DocumentDB") if p.sku.startswith("db.")],
            "search_type": self._of(*_SEARCH),
        }[name]
        return ec2 | {p.sku for p in more if " with " not in p.sku}

    def servers(self, purchases: Iterable[Purchase], vcpu: int, memory_gib: float = 0) -> list[str]:
        """EC2 types that none beats in price and speed, by way of buying; bursting ones apart."""
        found: list[str] = []
        for prices in self._ec2(purchases):
            fit = [p for p in prices if p.vcpu == vcpu and (p.memory_gib or 0) >= memory_gib]
            found += _unbeaten([p for p in fit if not p.sku.startswith("t")])
            if memory_gib == 0:
                found += _unbeaten([p for p in fit if p.sku.startswith("t")])
        return list(dict.fromkeys(found))

    def databases(self, purchases: Iterable[Purchase]) -> list[str]:
        """The fastest EC2 type for its price with 8 GiB, by way of buying."""
        found = self.servers(purchases, vcpu=API_VCPU, memory_gib=8)
        scores = cpu_scores()
        prices = {p.sku: p.price_usd for way in self._ec2(purchases) for p in way}
        found.sort(key=lambda sku: prices[sku] / scores[sku].coremark_per_vcpu)
        return found[:2]

    def caches(self, count: int) -> list[str]:
        """The cheapest cache types."""
        return [p.sku for p in sorted(self._of(*_CACHE), key=lambda p: p.price_usd)][:count]

    def searches(self, count: int) -> list[str]:
        """The search types with a score that none beats in price and speed, cheapest first."""
        return _unbeaten([p for p in self._of(*_SEARCH) if core_of(p.sku) in cpu_scores()])[:count]


def _unbeaten(prices: list[Price]) -> list[str]:
    """Types in order of price, each faster than all cheaper ones."""
    scores, found, fastest = cpu_scores(), [], 0.0
    for price in sorted(prices, key=lambda p: (p.price_usd, p.sku)):
        speed = scores[core_of(price.sku)].coremark_per_vcpu
        if speed > fastest:
            found.append(price.sku)
            fastest = speed
    return found
