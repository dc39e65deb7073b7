"""Seeding into a database of its own, without the index, which the stack's seeding fills."""

import asyncio
import contextlib
import uuid
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from stack.errors import SeedingFailed
from stack.infra.catalogue import Catalogue, product_id, user_id
from stack.infra.connections import elasticsearch_client
from stack.infra.documents import product_document
from stack.infra.search_index import FIRST, bulk_index, create_search_index, numbered
from stack.infra.seed import seed, write_in_bulk
from stack.infra.settings import SeedSettings

CATALOGUE = Catalogue(products=120, users=8, categories=4)


@pytest.fixture
def settings(live_stack):
    name = f"seed-{uuid.uuid4().hex[:12]}"
    url = urlsplit(live_stack.info.mongo_url)._replace(path=f"/{name}").geturl()
    yield SeedSettings(mongo_url=url, admin_password="a" * 12)
    with MongoClient(url) as client:
        client.drop_database(name)


@pytest.fixture
def database(settings):
    with MongoClient(settings.mongo_url, tz_aware=True) as client:
        yield client.get_default_database()


@pytest.mark.feature(
    "2 database: seeding writes once",
    endpoint="headroom seed",
    module="stack/infra/seed.py",
)
def test_seeding_twice_writes_once_and_stores_what_the_functions_say(settings, database):
    assert seed(settings, CATALOGUE).written
    assert not seed(settings, CATALOGUE).written
    stored = {product["number"]: product for product in database.products.find()}
    assert stored == {number: product_document(number, CATALOGUE) for number in range(120)}
    assert database.users.count_documents({}) == 8 + 1


def test_seeding_again_takes_back_what_was_changed(settings, database):
    seed(settings, CATALOGUE)
    database.products.update_one({"_id": product_id(3)}, {"$set": {"title": "Changed"}})
    database.users.update_one({"_id": user_id(3)}, {"$set": {"favorites": []}})
    before = seed(settings, CATALOGUE, again=True)
    assert before.written
    found = database.products.find_one({"_id": product_id(3)})
    assert found == product_document(3, CATALOGUE)


def test_a_larger_catalogue_adds_what_is_missing_and_takes_back_what_was_changed(
    settings, database
):
    seed(settings, CATALOGUE)
    database.products.update_one({"_id": product_id(3)}, {"$set": {"title": "Changed"}})
    larger = Catalogue(products=2_500, users=8, categories=4)  # more than one batch
    assert seed(settings, larger).written
    stored = {product["number"]: product for product in database.products.find()}
    assert stored == {number: product_document(number, larger) for number in range(2_500)}


def test_many_new_products_are_written_without_the_text_index_which_is_there_at_the_end(
    settings, database, monkeypatch
):
    seed(settings, CATALOGUE)
    seen = []

    def look(what, done, total):
        if what == "products":
            seen.append((done, "text" in database.products.index_information()))

    seed(settings, Catalogue(products=1_500, users=8, categories=4), look)
    assert seen == [(1_000, True), (1_500, True)]  # few: searches go on meanwhile
    seen.clear()
    # A catalogue that counts as large, without seeding 100,000 products for it.
    monkeypatch.setattr("stack.infra.seed.MANY", 1_000)
    seed(settings, Catalogue(products=2_600, users=8, categories=4), look)
    assert seen == [(1_000, False), (2_000, False), (2_600, False)]
    assert "text" in database.products.index_information()


def test_a_smaller_catalogue_removes_the_surplus(settings, database):
    seed(settings, CATALOGUE)
    smaller = Catalogue(products=50, users=8, categories=4)
    assert seed(settings, smaller).written
    assert database.products.count_documents({}) == 50


@pytest.mark.feature(
    "9 indexes: the indexes of the design",
    endpoint="headroom seed",
    module="stack/infra/indexes.py",
)
def test_the_indexes_are_those_of_the_design_document(settings, database):
    seed(settings, CATALOGUE)
    assert set(database.products.index_information()) == {
        *("_id_", "category_newest", "price", "created_newest", "category_price", "text")
    }
    users = database.users.index_information()
    assert users["email"]["unique"]
    assert "favorites" in users


@pytest.mark.feature(
    "2 database: seeding tells its progress",
    endpoint="headroom seed --products N",
    module="stack/infra/seed.py",
)
def test_progress_is_told_up_to_the_last_product(settings):
    told = []
    seed(settings, CATALOGUE, lambda *step: told.append(step))
    assert ("products", 120, 120) in told
    assert ("users", 8, 8) in told


def test_the_stack_is_seeded_with_every_product_in_the_search_index(live_stack, catalogue):
    async def count():
        client = elasticsearch_client(live_stack.info.elasticsearch_url)
        try:
            return (await client.count(index="products"))["count"]
        finally:
            await client.close()

    assert asyncio.run(count()) == catalogue.products


@contextlib.asynccontextmanager
async def full_disk(info):
    """A client of the search node, an index that takes nothing, and how to end that.

    As Elasticsearch itself does it for an index on a disk that is nearly full.
    """
    client = elasticsearch_client(info.elasticsearch_url, timeout_s=20)
    alias = f"seed-{uuid.uuid4().hex[:12]}"

    async def block(value):
        setting = {"index.blocks.read_only_allow_delete": value}
        await client.indices.put_settings(index=alias, settings=setting)

    try:
        await create_search_index(client, alias)
        await block(True)
        yield client, alias, lambda: block(None)
    finally:
        await client.indices.delete(index=numbered(alias, FIRST))
        await client.close()


def lines_for(alias, products):
    documents = (product_document(number, CATALOGUE) for number in range(products))
    return [line for product in documents for line in bulk_index(product, 1, alias)]


def test_a_batch_that_the_search_node_does_not_take_now_is_sent_again_until_it_is_in(live_stack):
    async def scenario():
        async with full_disk(live_stack.info) as (client, alias, end_it):
            tries = []

            def pauses():
                for number in range(1_000):
                    tries.append(number)
                    yield 0.02

            writing = asyncio.create_task(write_in_bulk(client, lines_for(alias, 50), pauses()))
            async with asyncio.timeout(30):
                while len(tries) < 3:  # noqa: ASYNC110 - a counter
                    await asyncio.sleep(0.001)
            assert not writing.done()
            await end_it()
            await writing
            await client.indices.refresh(index=alias)
            return (await client.count(index=alias))["count"]

    assert asyncio.run(scenario()) == 50


def test_a_search_node_that_takes_nothing_for_long_ends_a_seeding_with_what_to_do(live_stack):
    async def scenario():
        async with full_disk(live_stack.info) as (client, alias, _):
            with pytest.raises(SeedingFailed) as failed:
                await write_in_bulk(client, lines_for(alias, 50), (0.01, 0.01))
            return str(failed.value)

    said = asyncio.run(scenario())
    assert said.startswith("Elasticsearch did not take all of the catalogue: it refused lines")
    assert "read-only-allow-delete" in said
    assert said.endswith("seed again: what is there already is no hindrance")
