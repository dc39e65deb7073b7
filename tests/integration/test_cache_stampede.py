"""Many at once, near an end, against a change: the cache on a real Redis, with real replicas."""

import asyncio
import random
import uuid
from contextlib import asynccontextmanager

import pytest
from replicas import over_all, replicas, until

from stack.infra.cache_keys import ENTRY_PREFIX
from stack.infra.catalogue import admin_id, category_slug, product_id
from stack.infra.connections import redis_client
from stack.infra.operations import Family
from stack.service.cache import PATIENCE_S, Cache, FamilyPolicy
from stack.service.metrics import Metrics

pytestmark = pytest.mark.alone

LISTING = "/api/v1/products"


@asynccontextmanager
async def redis_of(info):
    client = redis_client(info.redis_url)
    try:
        yield client
    finally:
        await client.aclose()


class CountedCache(Cache):
    """A cache whose counters can be read."""

    def __init__(self, client, policies):
        self.metrics = Metrics("t")
        super().__init__(client, policies, self.metrics)


@asynccontextmanager
async def caches(info, count=2, **policy):
    """Caches as `count` replicas have them."""
    clients = [redis_client(info.redis_url) for _ in range(count)]
    policies = {Family.LISTING: FamilyPolicy(**{"ttl_s": 60.0, **policy})}
    found = [CountedCache(client, policies) for client in clients]
    try:
        yield found
    finally:
        for cache, client in zip(found, clients, strict=True):
            await cache.close()
            await client.aclose()


def sample(cache, name, **labels):
    return cache.metrics.registry.get_sample_value(name, {"family": "listing", **labels}) or 0


def fills(cache, how):
    return sample(cache, "headroom_cache_fills_total", how=how)


@pytest.mark.feature(
    "3 cache: 200 requests for one expired hot key, 3 replicas: two reads at most",
    endpoint="GET /api/v1/products",
    module="stack/service/entries.py",
)
def test_200_requests_for_one_expired_hot_key_read_the_database_twice_at_most(live_stack):
    key, where = "v1:{0}:1:9", {"category": category_slug(5), "limit": 9}

    async def scenario():
        async with replicas(live_stack.info, 3) as apis, redis_of(live_stack.info) as redis:
            bodies = set()
            for _ in range(4):
                await redis.delete(f"{ENTRY_PREFIX}listing:{key.format(category_slug(5))}")
                before = await over_all(apis, "headroom_database_seconds_count", operation="list")
                answers = await asyncio.gather(
                    *(apis[n % 3].get(LISTING, **where) for n in range(200))
                )
                after = await over_all(apis, "headroom_database_seconds_count", operation="list")
                assert {answer.status_code for answer in answers} == {200}
                assert 1 <= after - before <= 2
                bodies |= {answer.content for answer in answers}
            assert len(bodies) == 1
            assert await over_all(apis, "headroom_cache_fills_total", how="waited") >= 4

    asyncio.run(scenario())


async def race(apis, rounds, seed):
    """Updates that race 100 list requests each; the lists that show an old value afterwards."""
    rng = random.Random(seed)
    number = max(p for p in range(600) if p % 6 == 2)
    path, admin = f"{LISTING}/{product_id(number)}", apis[0].bearer(admin_id(), "admin")
    original = (await apis[0].get(path)).json()["title"]
    stale = []

    async def ask(limit):
        await asyncio.sleep(rng.uniform(0, 0.02))
        api = apis[rng.randrange(len(apis))]
        return await api.get(LISTING, category=category_slug(2), limit=limit)

    async def change(title):
        await asyncio.sleep(rng.uniform(0, 0.02))
        return await apis[0].http.patch(path, json={"title": title}, headers=admin)

    for turn in range(rounds):
        title = f"Race {turn}"
        changed, *asked = await asyncio.gather(change(title), *(ask(1 + n % 5) for n in range(100)))
        assert {answer.status_code for answer in (changed, *asked)} == {200}
        for limit in range(1, 6):
            seen = await apis[limit % len(apis)].get(
                LISTING, category=category_slug(2), limit=limit
            )
            if seen.json()["products"][0]["title"] != title:
                stale.append((turn, limit))
    await change(original)
    return stale


@pytest.mark.feature(
    "3 cache: a fill cannot overwrite a newer invalidation",
    endpoint="PATCH /api/v1/products/{product}",
    module="stack/service/cache.py",
)
def test_an_update_that_races_100_fills_never_leaves_the_old_value(live_stack):
    async def scenario():
        async with replicas(live_stack.info, 3) as apis:
            return await race(apis, 25, seed=1)

    assert asyncio.run(scenario()) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_1000_updates_that_race_100_fills_each_never_leave_the_old_value(live_stack):
    async def scenario():
        async with replicas(live_stack.info, 3) as apis:
            return await race(apis, 1_000, seed=2)

    assert asyncio.run(scenario()) == []


@pytest.mark.feature(
    "3 cache: replicas share one read of a missing entry",
    endpoint="topology.cache.listing.single_flight",
    module="stack/service/entries.py",
)
def test_replicas_that_miss_together_read_once_and_share_what_was_read(live_stack):
    key = f"test:{uuid.uuid4()}"

    async def scenario():
        async with caches(live_stack.info, 3, is_shared_flight=True) as found:
            reads, elsewhere = [], asyncio.Event()

            async def fill(_):
                reads.append(1)
                await elsewhere.wait()
                return b"body"

            asked = [
                asyncio.create_task(cache.fetch(Family.LISTING, key, (key,), fill))
                for cache in found
            ]
            misses = "headroom_cache_requests_total"
            await until(lambda: sum(sample(c, misses, result="miss") for c in found) == 3)
            elsewhere.set()
            assert await asyncio.gather(*asked) == [b"body"] * 3
            assert len(reads) == 1
            assert sum(fills(cache, "waited") for cache in found) == 2

    asyncio.run(scenario())


def test_a_reader_that_died_is_waited_for_a_bounded_time(live_stack):
    key = f"test:{uuid.uuid4()}"

    async def scenario():
        async with caches(live_stack.info, 2, is_shared_flight=True) as (dead, alive):
            asked = asyncio.Event()

            async def never(_):
                asked.set()
                await asyncio.Event().wait()

            async def fill(_):
                return b"read here"

            lost = asyncio.create_task(dead.fetch(Family.LISTING, key, (key,), never))
            await asked.wait()
            # It holds the lease and will not give it back: its process is gone, as far as we see.
            async with asyncio.timeout(PATIENCE_S + 2):
                assert await alive.fetch(Family.LISTING, key, (key,), fill) == b"read here"
            assert fills(alive, "gave_up") == 1
            lost.cancel()

    asyncio.run(scenario())


def test_a_failed_read_does_not_hold_up_the_other_replicas(live_stack):
    key = f"test:{uuid.uuid4()}"

    async def scenario():
        async with caches(live_stack.info, 2, is_shared_flight=True) as (one, two):

            async def fails(_):
                raise ValueError("the database said no")

            async def fill(_):
                return b"body"

            with pytest.raises(ValueError, match="said no"):
                await one.fetch(Family.LISTING, key, (key,), fails)
            assert await two.fetch(Family.LISTING, key, (key,), fill) == b"body"
            assert fills(two, "read") == 1

    asyncio.run(scenario())


@pytest.mark.feature(
    "3 cache: hot entries are read anew before their end",
    endpoint="topology.cache.listing.early_recompute_beta",
    module="stack/service/cache.py",
)
def test_near_its_end_an_entry_is_read_anew_by_one_winner_while_it_is_served(live_stack):
    key = f"test:{uuid.uuid4()}"

    async def scenario():
        # Eager enough that every look-up wants to: with 10 ms of cost, 1,000 s before the end.
        policy = {"ttl_s": 5.0, "early_recompute_beta": 100_000.0}
        async with caches(live_stack.info, 3, **policy) as found:
            reads, release = [], asyncio.Event()

            async def fill(_):
                reads.append(1)
                if len(reads) == 1:
                    await asyncio.sleep(0.01)  # what the read costs, as the entry will say
                else:
                    await release.wait()
                return f"read {len(reads)}".encode()

            async def ask(cache):
                return await cache.fetch(Family.LISTING, key, (key,), fill)

            assert await ask(found[0]) == b"read 1"
            served = await asyncio.gather(*(ask(found[n % 3]) for n in range(60)))
            assert served == [b"read 1"] * 60
            await until(lambda: len(reads) == 2)
            release.set()
            await until(lambda: sum(fills(cache, "early") for cache in found) == 1)
            assert len(reads) == 2

    asyncio.run(scenario())


def test_without_the_switch_nothing_is_read_before_its_end(live_stack):
    key = f"test:{uuid.uuid4()}"

    async def scenario():
        async with caches(live_stack.info, 1, ttl_s=5.0) as (cache,):

            async def fill(_):
                return b"body"

            await cache.fetch(Family.LISTING, key, (key,), fill)
            before = asyncio.all_tasks()
            for _ in range(20):
                await cache.fetch(Family.LISTING, key, (key,), fill)
                assert asyncio.all_tasks() == before  # nobody reads beside the answer
            assert fills(cache, "read") == 1

    asyncio.run(scenario())


@pytest.mark.feature(
    "3 cache: lives are spread (TTL jitter)",
    endpoint="topology.cache.listing.ttl_jitter_fraction",
    module="stack/service/cache.py",
)
def test_what_was_filled_together_ends_apart_only_with_the_jitter_switch(live_stack):
    async def lives_ms(jitter):
        async with (
            caches(live_stack.info, 1, ttl_jitter_fraction=jitter) as (cache,),
            redis_of(live_stack.info) as redis,
        ):
            keys = [f"test:{uuid.uuid4()}" for _ in range(40)]

            async def fill(_):
                return b"body"

            for key in keys:
                await cache.fetch(Family.LISTING, key, (keys[0],), fill)
            return [await redis.pttl(f"{ENTRY_PREFIX}listing:{key}") for key in keys]

    together, apart = asyncio.run(lives_ms(0.0)), asyncio.run(lives_ms(0.5))
    assert min(together) > 50_000
    assert 25_000 < min(apart) < 40_000
    assert 50_000 < max(apart) <= 60_000


@pytest.mark.feature(
    "3 cache: hit ratio by family",
    endpoint="GET /metrics",
    module="stack/service/metrics.py",
)
def test_the_hit_ratio_of_a_family_can_be_read_off_the_metrics(live_stack):
    where = {"category": category_slug(1), "limit": 13}

    async def scenario():
        async with replicas(live_stack.info) as (api,):
            await api.get(LISTING, **where)
            for _ in range(3):
                assert (await api.get(LISTING, **where)).headers["x-cache"] == "hit"
            return await api.metric("headroom_cache_hit_fraction", family="listing")

    assert asyncio.run(scenario()) == 0.75
