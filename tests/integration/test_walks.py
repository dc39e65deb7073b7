"""Walking all pages by cursor while products come and go."""

import asyncio
import itertools
import random
import uuid
from collections import Counter
from contextlib import asynccontextmanager

import pytest
from bson import ObjectId
from replicas import replicas

from stack.infra.catalogue import Catalogue, product_id
from stack.infra.connections import mongo_client
from stack.infra.documents import PRODUCTS, product_document
from stack.infra.indexes import PRODUCT_INDEXES

CATALOGUE = Catalogue(products=40_000, categories=5)
CHANGES_BETWEEN_PAGES = 6


@asynccontextmanager
async def shop(info, products, indexes=PRODUCT_INDEXES[:1]):
    """A replica without cache on a database of its own, with even-numbered products in it."""
    name = f"walk-{uuid.uuid4().hex[:12]}"
    at, _, options = info.mongo_url.partition("/?")
    mongo = mongo_client(info.mongo_url)
    try:
        collection = mongo[name][PRODUCTS]
        documents = [product_document(2 * number, CATALOGUE) for number in range(products)]
        await collection.insert_many(documents, ordered=False)
        await collection.create_indexes(list(indexes))
        own = {"mongo_url": f"{at}/{name}?{options}", "redis_url": None, "elasticsearch_url": None}
        async with replicas(info, **own) as (api,):
            yield api, collection
    finally:
        await mongo.drop_database(name)
        await mongo.close()


async def come_and_go(collection, numbers, stop, rng, turns):
    """Insert and delete products of these numbers until `stop`; counted in `turns`."""
    there = {number for number in numbers if number % 2 == 0}
    while not stop.is_set():
        number = rng.choice(numbers)
        if number in there:
            there.remove(number)
            await collection.delete_one({"_id": product_id(number)})
        else:
            there.add(number)
            await collection.insert_one(product_document(number, CATALOGUE))
        turns[number] += 1
        await asyncio.sleep(0)


async def walked(api, turns):
    """Every product that the pages show, in order; some changes lie between any two pages."""
    seen, params = [], {"limit": 100}
    while True:
        earlier = turns.total()
        async with asyncio.timeout(30):
            while turns.total() < earlier + CHANGES_BETWEEN_PAGES:  # noqa: ASYNC110 - a counter
                await asyncio.sleep(0.001)
        page = (await api.get("/api/v2/products", **params)).json()
        seen += [product["id"] for product in page["products"]]
        if not page["hasMore"]:
            return seen
        params["cursor"] = page["nextCursor"]


async def walk_among_changes(info, products):
    rng = random.Random(11)
    # Odd numbers come and go between those that stay; every tenth even one goes and comes back.
    restless = [n for n in range(2 * products) if n % 2 or n % 20 == 0]
    stable = [n for n in range(0, 2 * products, 2) if n % 20]
    async with shop(info, products) as (api, collection):
        stop, turns = asyncio.Event(), Counter()
        changing = [
            asyncio.create_task(come_and_go(collection, restless[k::3], stop, rng, turns))
            for k in range(3)
        ]
        seen = await walked(api, turns)
        stop.set()
        await asyncio.gather(*changing)
    return seen, {str(product_id(number)) for number in stable}, turns.total()


@pytest.mark.feature(
    "9 indexes: a cursor walk is stable under inserts and deletes",
    endpoint="GET /api/v2/products",
    module="stack/service/products/cursor.py",
)
def test_a_walk_of_2000_products_sees_none_twice_and_misses_none_that_stayed(live_stack):
    seen, stable, turns = asyncio.run(walk_among_changes(live_stack.info, 2_000))
    assert len(seen) == len(set(seen))
    assert stable <= set(seen)
    assert seen == sorted(seen, reverse=True)
    assert turns > 100


@pytest.mark.feature(
    "4 search: a walk of MongoDB's results is stable under inserts and deletes",
    endpoint="GET /api/v2/search",
    module="stack/service/search/query.py",
)
def test_a_walk_of_mongodbs_results_sees_none_twice_and_misses_none_that_stayed(live_stack):
    async def scenario():
        async with shop(live_stack.info, 200, PRODUCT_INDEXES) as (api, collection):
            everywhere = await collection.distinct("title")
            word = everywhere[0].split()[0]  # a brand: some titles have it
            stable = {str(p["_id"]) async for p in collection.find({"brand": word}, {"_id": 1})}
            seen, params = [], {"q": word, "limit": 4}
            for come in itertools.count(1, 2):
                page = (await api.get("/api/v2/search", **params)).json()
                assert page["engine"] == "mongo_text"
                seen += [product["id"] for product in page["products"]]
                if not page["hasMore"]:
                    return seen, stable
                params["cursor"] = page["nextCursor"]
                # Two better ones come in front, and one that was shown goes.
                for number in (come, 10_001 + come):
                    best = {"title": f"{word} {word}", "description": word, "brand": "none"}
                    await collection.insert_one(product_document(number, CATALOGUE) | best)
                stable.remove(seen[-4])
                await collection.delete_one({"_id": ObjectId(seen[-4])})

    seen, stable = asyncio.run(scenario())
    assert len(seen) == len(set(seen))
    assert len(stable) >= 4
    assert stable <= set(seen)


def test_without_a_text_index_a_search_of_mongodb_says_that_it_cannot_answer_yet(live_stack):
    async def scenario():
        async with shop(live_stack.info, 10) as (api, _):
            return await api.get("/api/v1/search", q="desk")

    answer = asyncio.run(scenario())
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "the text index is not there yet"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_walk_of_20000_products_sees_none_twice_and_misses_none_that_stayed(live_stack):
    seen, stable, turns = asyncio.run(walk_among_changes(live_stack.info, 20_000))
    assert len(seen) == len(set(seen))
    assert len(stable) == 18_000
    assert stable <= set(seen)
    assert seen == sorted(seen, reverse=True)
    assert turns > 1_000
