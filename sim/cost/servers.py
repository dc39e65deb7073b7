"""The servers of a topology as lines of a bill: API, database, cache, search."""

from collections.abc import Iterator

from sim.cost.lines import EC2_SERVICES, BillLine, bill_line, ec2_price
from sim.cost.pricebook import HOURS_PER_MONTH, Price, PriceBook
from sim.errors import InvalidScenario, Problem
from sim.scenario import BillComponent, Scenario

SEARCH_DEFAULT = "m6g.large.search"  # where the scenario names no type: 8 GiB, price confirmed
SEARCH_STORAGE_GIB = 10.0  # per node: the smallest volume that OpenSearch Service attaches
ATLAS_STORAGE_GIB = 40.0  # what the M30 price includes
ATLAS_NODES = 3

_ATLAS = "Atlas dedicated, 3-node replica set"


def compute_lines(
    scenario: Scenario, book: PriceBook, replicas: int, *, chosen: bool
) -> Iterator[BillLine]:
    """The API servers; the quantity ranges over the autoscaler's limits unless they were chosen."""
    api = scenario.topology.api
    price = ec2_price(scenario, book, api.instance_type, "topology.api.instance_type")
    scaling = None if chosen else api.autoscaling
    basis = f"{replicas} × {HOURS_PER_MONTH:g} h, {scenario.prices.purchase.replace('_', ' ')}"
    between = None
    if scaling is not None:
        ends = (min(scaling.min_replicas, replicas), max(scaling.max_replicas, replicas))
        between = (ends[0] * HOURS_PER_MONTH, ends[1] * HOURS_PER_MONTH)
        basis += f"; autoscaled between {ends[0]} and {ends[1]}"
    spot = scenario.prices.spot_fraction
    item = f"EC2 {api.instance_type}"
    if spot < 1:
        yield bill_line(
            BillComponent.COMPUTE,
            item,
            (1 - spot) * replicas * HOURS_PER_MONTH,
            price,
            basis + (f"; {1 - spot:.0%} of the servers" if spot else ""),
            between=None if between is None else ((1 - spot) * between[0], (1 - spot) * between[1]),
        )
    if spot > 0:
        yield _spot_line(scenario, book, replicas, between)


def _spot_line(
    scenario: Scenario, book: PriceBook, replicas: int, between: tuple[float, float] | None
) -> BillLine:
    """The share of the API servers on the spot market: on demand less a discount that varies."""
    api, prices = scenario.topology.api, scenario.prices
    path = "topology.api.instance_type"
    listed = book.find(
        "AWS",
        EC2_SERVICES["on_demand"][0],
        api.instance_type,
        prices.region,
        unit="hour",
        path=path,
    )
    least, most = prices.spot_discount_fraction.low, prices.spot_discount_fraction.high
    middle = (least + most) / 2
    hours = prices.spot_fraction * replicas * HOURS_PER_MONTH
    fewest, largest = between or (replicas * HOURS_PER_MONTH, replicas * HOURS_PER_MONTH)
    usd = hours * listed.price_usd
    return BillLine(
        component=BillComponent.COMPUTE,
        item=f"EC2 {api.instance_type}, spot",
        quantity=hours,
        unit=listed.unit,
        unit_price_usd=listed.price_usd * (1 - middle),
        usd_per_month=usd * (1 - middle),
        low_usd=prices.spot_fraction * fewest * listed.low_usd * (1 - most),
        high_usd=prices.spot_fraction * largest * listed.high_usd * (1 - least),
        basis=f"{prices.spot_fraction:.0%} of the servers, {least:.0%} to {most:.0%} under the "
        "price on demand: an assumption of the scenario",
        source=listed.source,
        as_of=listed.as_of,
        confidence="low",
    )


def database_lines(scenario: Scenario, book: PriceBook) -> Iterator[BillLine]:
    """The database: Atlas by tier name (M30), DocumentDB (db.…), or mongod on an EC2 type."""
    database, region = scenario.topology.database, scenario.prices.region
    sku, path = database.instance_type, "topology.database.instance_type"
    component = BillComponent.DATABASE
    if sku.startswith("db."):
        node = book.find("AWS", "DocumentDB", sku, region, unit="instance-hour", path=path)
        yield bill_line(
            component,
            f"DocumentDB {sku}",
            database.members * HOURS_PER_MONTH,
            node,
            f"{database.members} members × {HOURS_PER_MONTH:g} h",
        )
        disk = book.find(
            "AWS", "DocumentDB", "storage (standard)", region, unit="GB-month", path=path
        )
        yield bill_line(
            component,
            "DocumentDB storage",
            database.storage_gib,
            disk,
            f"{database.storage_gib:g} GiB, shared by the members; I/O not counted",
        )
    elif book.has("AWS", EC2_SERVICES["on_demand"][0], sku):
        node = ec2_price(scenario, book, sku, path)
        bought = scenario.prices.purchase.replace("_", " ")
        yield bill_line(
            component,
            f"EC2 {sku} with mongod",
            database.members * HOURS_PER_MONTH,
            node,
            f"{database.members} members × {HOURS_PER_MONTH:g} h, {bought}",
        )
        disk = book.find("AWS", "EBS", "gp3 storage", region, unit="GB-month", path=path)
        yield bill_line(
            component,
            "EBS gp3",
            database.members * database.storage_gib,
            disk,
            f"{database.storage_gib:g} GiB on each of {database.members} members",
        )
    else:
        yield from _atlas(scenario, book)


def _atlas(scenario: Scenario, book: PriceBook) -> Iterator[BillLine]:
    database, region = scenario.topology.database, scenario.prices.region
    sku, path = database.instance_type, "topology.database.instance_type"
    cluster = book.find("MongoDB", _ATLAS, sku, region, unit="cluster-hour", path=path)
    nodes = max(database.members, ATLAS_NODES)
    hours = HOURS_PER_MONTH * nodes / ATLAS_NODES
    basis = f"cluster of {ATLAS_NODES} nodes × {HOURS_PER_MONTH:g} h"
    if database.members < ATLAS_NODES:
        basis += f"; Atlas sells no cluster of {database.members}, so {ATLAS_NODES} are billed"
    elif database.members > ATLAS_NODES:
        basis += f" × {nodes}/{ATLAS_NODES}"
    yield bill_line(BillComponent.DATABASE, f"Atlas {sku}, {nodes} nodes", hours, cluster, basis)
    more_gib = database.storage_gib - ATLAS_STORAGE_GIB
    if more_gib <= 0:
        return
    large = f"{sku} with 200 GB storage"
    if not book.has("MongoDB", _ATLAS, large):
        raise InvalidScenario(
            Problem(
                "topology.database.storage_gib",
                database.storage_gib,
                f"at most {ATLAS_STORAGE_GIB:g} with Atlas {sku}: book {book.name} has no price "
                "for more",
            )
        )
    bigger = book.find("MongoDB", _ATLAS, large, region, unit="cluster-hour", path=path)
    per_gib_h = (bigger.price_usd - cluster.price_usd) / (200.0 - ATLAS_STORAGE_GIB)
    disk = Price(
        provider="MongoDB",
        service=_ATLAS,
        sku=f"{sku} storage",
        unit="GB-hour",
        price_usd=per_gib_h,
        region=bigger.region,
        as_of=bigger.as_of,
        source=bigger.source,
        confidence=bigger.confidence,
    )
    yield bill_line(
        BillComponent.DATABASE,
        f"Atlas {sku} storage",
        more_gib * hours,
        disk,
        f"{more_gib:g} GiB beyond {ATLAS_STORAGE_GIB:g}, by the difference of two listed sizes",
    )


def cache_lines(scenario: Scenario, book: PriceBook) -> Iterator[BillLine]:
    """Redis nodes: ElastiCache (cache.…) or an EC2 type."""
    cache = scenario.topology.cache
    if cache is None:
        return
    sku, path = cache.instance_type, "topology.cache.instance_type"
    if book.has("AWS", EC2_SERVICES["on_demand"][0], sku):
        node, item = ec2_price(scenario, book, sku, path), f"EC2 {sku} with Redis"
    else:
        node = book.find(
            "AWS",
            "ElastiCache node Redis OSS/Memcached",
            sku,
            scenario.prices.region,
            unit="node-hour",
            path=path,
        )
        item = f"ElastiCache {sku}"
    basis = f"{cache.nodes} × {HOURS_PER_MONTH:g} h"
    yield bill_line(BillComponent.CACHE, item, cache.nodes * HOURS_PER_MONTH, node, basis)


def search_lines(scenario: Scenario, book: PriceBook) -> Iterator[BillLine]:
    """Search nodes with their disks: OpenSearch Service or an EC2 type; none for `$text`."""
    search, region = scenario.topology.search, scenario.prices.region
    if search.engine != "elasticsearch":
        return
    sku, path = search.instance_type or SEARCH_DEFAULT, "topology.search.instance_type"
    basis = f"{search.nodes} × {HOURS_PER_MONTH:g} h"
    if book.has("AWS", EC2_SERVICES["on_demand"][0], sku):
        node, item = ec2_price(scenario, book, sku, path), f"EC2 {sku} with Elasticsearch"
        disk_of, disk_sku = "EBS", "gp3 storage"
    else:
        node = book.find(
            "AWS", "OpenSearch Service instance", sku, region, unit="instance-hour", path=path
        )
        item, disk_of, disk_sku = f"OpenSearch Service {sku}", "OpenSearch Service storage", "gp3"
        if search.instance_type is None:
            basis += "; type not in the scenario; nearest managed service with a confirmed price"
    yield bill_line(BillComponent.SEARCH, item, search.nodes * HOURS_PER_MONTH, node, basis)
    disk = book.find("AWS", disk_of, disk_sku, region, unit="GB-month", path=path)
    yield bill_line(
        BillComponent.SEARCH,
        f"{disk_of.removesuffix(' storage')} gp3 storage",
        search.nodes * SEARCH_STORAGE_GIB,
        disk,
        f"{SEARCH_STORAGE_GIB:g} GiB for each node, the smallest volume",
    )
