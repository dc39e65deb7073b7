"""Experiments on what the design keeps: lives of entries, fresh reads, failover."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pymongo
import redis

from headroom.artefacts import Estimate, ExperimentResult
from headroom.claims.live import Client, Live, Results, exact
from headroom.live import catalogue_of
from sim.scenario import Family
from stack.infra.cache_keys import ENTRY_PREFIX
from stack.infra.catalogue import product_id
from stack.infra.connections import DATABASE
from stack.infra.documents import PRODUCTS
from stack.local import kill_part

UPDATES = 60
LAG_SAMPLES = 12
LAG_LIMIT_S = 20.0
FAILOVER_LIMIT_S = 60.0
WRITE_EVERY_S = 0.02


def lives_of_entries(live: Live) -> Results:
    """The longest life of an entry of each family, read from Redis."""
    client = Client(live.design)
    live.forget()
    client.log_in(live.design.admin_password)
    client.get("/api/v1/products", page=1)
    client.get("/api/v1/search", q="lamp")
    client.get("/api/v1/users/me/favourites")
    client.close()
    results: Results = {}
    assert live.design.redis_url is not None
    with redis.Redis.from_url(live.design.redis_url, decode_responses=True) as store:
        for family in Family:
            keys = list(store.scan_iter(f"{ENTRY_PREFIX}{family.value}:*"))
            lives_s = [store.pttl(key) / 1000 for key in keys]
            if lives_s:
                results[f"live.{family.value}_ttl_s"] = exact(
                    round(max(lives_s)), "s", len(lives_s), "PTTL in Redis just after the fill"
                )
    return results


def reads_after_updates(live: Live) -> Results:
    """Updates read back at once (from cached lists), and how long until a search shows them."""
    client = Client(live.design)
    client.log_in(live.design.admin_password)
    newest = catalogue_of(live.scenario).products - 1
    stale = 0
    lags_s: list[float] = []
    for number in range(UPDATES):
        client.get("/api/v2/products")  # cached before the update
        identifier = str(product_id(newest - number % 10))
        price_usd = 20.0 + number
        target = f"/api/v1/products/{identifier}"
        assert client.ask("PATCH", target, {"price_usd": price_usd}).status == 200
        acknowledged = time.perf_counter()
        listed = {p["id"]: p["price_usd"] for p in client.get("/api/v2/products").body["products"]}
        stale += listed[identifier] != price_usd
        if number < LAG_SAMPLES:
            title = client.get(target).body["title"]
            lag_s = _until_searched(client, title, identifier, price_usd, acknowledged)
            lags_s.append(lag_s)
    client.close()
    lags_s.sort()
    lag = Estimate(value=lags_s[len(lags_s) // 2], low=lags_s[0], high=lags_s[-1])
    how = f"{LAG_SAMPLES} updates of a product, each searched for until the answer shows it"
    return {
        "live.stale_reads": exact(
            stale, "reads", UPDATES, f"{UPDATES} updates, each read back at once from a cached list"
        ),
        "live.index_lag_s": ExperimentResult(value=lag, unit="s", samples=LAG_SAMPLES, how=how),
    }


def _until_searched(
    client: Client, title: str, identifier: str, price_usd: float, since: float
) -> float:
    while (waited_s := time.perf_counter() - since) < LAG_LIMIT_S:
        hits = client.get("/api/v1/search", q=title).body["products"]
        if any(hit["id"] == identifier and hit["price_usd"] == price_usd for hit in hits):
            return waited_s
        time.sleep(0.02)
    raise TimeoutError(f"a search did not show an update within {LAG_LIMIT_S:.0f} s")


@dataclass
class _Writer:
    """Writes one value a product, again and again, and remembers what was acknowledged."""

    live: Live
    acknowledged: dict[int, int] = field(default_factory=dict)
    at_s: list[float] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        client = Client(self.live.design)
        client.log_in(self.live.design.admin_password)
        number = 0
        while not self.stopped.wait(WRITE_EVERY_S):
            product, stock = number % 500, number
            try:
                answer = client.ask(
                    "PATCH", f"/api/v1/products/{product_id(product)}", {"stock": stock}
                )
            except OSError:
                continue
            finally:
                number += 1
            if answer.status == 200:
                self.acknowledged[product] = stock
                self.at_s.append(time.monotonic())
        client.close()


def failover(live: Live) -> Results:
    """Kill the primary under writes: the pause that a writer sees, and writes that were lost."""
    assert live.design.mongo_url is not None
    with pymongo.MongoClient[dict[str, object]](live.design.mongo_url) as database:
        database.admin.command("ping")
        assert database.primary is not None
        port = database.primary[1]
        primary = next(p.name for p in live.design.parts_of("mongo") if p.port == port)
        writer = _Writer(live)
        thread = threading.Thread(target=writer.run, daemon=True)
        thread.start()
        try:
            _wait(lambda: len(writer.at_s) > 100)
            kill_part(live.design.folder, primary)
            killed_s = time.monotonic()
            _wait(lambda: sum(at > killed_s for at in list(writer.at_s)) > 100)
        finally:
            writer.stopped.set()
            thread.join(timeout=60)
        stored = database[DATABASE][PRODUCTS]
        found = {
            number: stored.find_one({"_id": product_id(number)}, {"stock": 1})
            for number in writer.acknowledged
        }
    lost = sum(
        document is None or document["stock"] != writer.acknowledged[number]
        for number, document in found.items()
    )
    pause_s = max(b - a for a, b in zip(writer.at_s, writer.at_s[1:], strict=False))
    how = f"{primary}, the primary, killed under a write every {WRITE_EVERY_S * 1000:.0f} ms"
    return {
        "live.failover_s": exact(round(pause_s, 2), "s", 1, f"{how}: the longest gap"),
        "live.lost_writes": exact(
            lost, "writes", len(writer.at_s), f"{how}: of {len(writer.at_s):,} acknowledged"
        ),
    }


def _wait(done: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + FAILOVER_LIMIT_S
    while not done():
        if time.monotonic() > limit_s:
            raise TimeoutError(f"no write was acknowledged for {FAILOVER_LIMIT_S:.0f} s")
        time.sleep(0.05)
