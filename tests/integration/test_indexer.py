"""The indexer on real servers, with a database and an index of its own beside the stack's."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager

import pytest
from elasticsearch import ApiError

from stack.infra.catalogue import Catalogue, product_id
from stack.infra.connections import elasticsearch_client, mongo_client
from stack.infra.documents import PRODUCTS, product_document
from stack.infra.search_index import create_search_index
from stack.worker.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stack.worker.indexer import Indexer

CATALOGUE = Catalogue(products=10, categories=2)


def own_product(number):
    """A product that no seeding has indexed."""
    return product_document(number, CATALOGUE) | {"seeded": False}


@asynccontextmanager
async def room(info):
    """A database and the name of an index that nobody else uses; both are removed."""
    name = f"indexer-{uuid.uuid4().hex[:12]}"
    mongo = mongo_client(info.mongo_url)
    search = elasticsearch_client(info.elasticsearch_url, timeout_s=30)
    try:
        yield mongo[name], search, name
    finally:
        await mongo.drop_database(name)
        await search.indices.delete(index=name, ignore_unavailable=True)
        await search.close()
        await mongo.close()


@asynccontextmanager
async def running(database, search, name):
    stop = asyncio.Event()
    task = asyncio.create_task(Indexer(database, search, None, stop, index=name).run())
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def until(expected, search, name):
    """Wait until exactly these products, with these titles, can be found."""
    async with asyncio.timeout(20):
        while True:
            try:
                answer = await search.search(index=name, size=100, ignore_unavailable=True)
            except ApiError as error:
                if error.status_code != 503:  # 503: the index is being made
                    raise
                continue
            found = {hit["_id"]: hit["_source"]["title"] for hit in answer["hits"]["hits"]}
            if found == expected:
                return


async def lost_place(database):
    """A well-formed checkpoint whose event is not in the server's history (any more)."""
    now = (await database.command("ping"))["operationTime"]
    async with await database[PRODUCTS].watch() as stream:
        await database[PRODUCTS].update_one({}, {"$set": {"stock": 1}})
        token = (await stream.next())["_id"]["_data"]
    # After the type byte come time and counter of the event, four bytes each.
    return Checkpoint(now, {"_data": f"{token[:2]}{1:08x}{1:08x}{token[18:]}"})


def titles(*products):
    return {str(product["_id"]): product["title"] for product in products}


@pytest.mark.feature(
    "4 search: the index follows the change stream",
    endpoint="–",
    module="stack/worker/indexer.py",
)
def test_the_index_follows_inserts_updates_and_deletes(live_stack):
    async def scenario():
        async with room(live_stack.info) as (database, search, name):
            products = database[PRODUCTS]
            first, second, third = (own_product(number) for number in range(3))
            await products.insert_one(first)  # before: found by the scan
            async with running(database, search, name):
                await until(titles(first), search, name)
                await products.insert_many([second, third])
                await products.update_one({"_id": second["_id"]}, {"$set": {"title": "New"}})
                await products.delete_one({"_id": third["_id"]})
                await until(titles(first, second | {"title": "New"}), search, name)

    asyncio.run(scenario())


@pytest.mark.feature(
    "4 search: the resume token is saved after the flush",
    endpoint="–",
    module="stack/worker/checkpoint.py",
)
def test_a_stopped_indexer_goes_on_where_it_was(live_stack):
    async def scenario():
        async with room(live_stack.info) as (database, search, name):
            products, first, second = database[PRODUCTS], own_product(1), own_product(2)
            async with running(database, search, name):
                await products.insert_one(first)
                await until(titles(first), search, name)
            await products.insert_one(second)
            await products.delete_one({"_id": first["_id"]})
            async with running(database, search, name):
                await until(titles(second), search, name)

    asyncio.run(scenario())


@pytest.mark.feature(
    "4 search: a scan where the oplog is gone",
    endpoint="–",
    module="stack/worker/indexer.py",
)
def test_lost_history_starts_a_full_scan_that_also_removes_what_is_gone(live_stack):
    async def scenario():
        async with room(live_stack.info) as (database, search, name):
            product = own_product(4)
            await database[PRODUCTS].insert_one(product)
            await create_search_index(search, name)
            await search.index(index=name, id=str(product_id(9)), document={"title": "Gone"})
            # A place in the stream that the server does not have, and no product indexed.
            lost = await lost_place(database)
            await save_checkpoint(database, lost)
            async with running(database, search, name):
                await until(titles(product), search, name)
            checkpoint = await load_checkpoint(database)
            assert checkpoint.started_at > lost.started_at

    asyncio.run(scenario())


def test_a_deleted_index_is_built_anew_by_the_next_indexer(live_stack):
    async def scenario():
        async with room(live_stack.info) as (database, search, name):
            product = own_product(5)
            await database[PRODUCTS].insert_one(product)
            async with running(database, search, name):
                await until(titles(product), search, name)
            await search.indices.delete(index=name)
            async with running(database, search, name):
                await until(titles(product), search, name)

    asyncio.run(scenario())


def test_sigterm_ends_the_process_with_exit_code_0(live_stack):
    environment = {**os.environ, **live_stack.info.service_environment()}
    command = [sys.executable, "-m", "stack.worker.indexer"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        said = b""
        while b"following changes" not in said:
            assert select.select([process.stderr], [], [], 30)[0], said
            said += os.read(process.stderr.fileno(), 65_536)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        alive = subprocess.run(
            [*command, "--check"], env=environment, check=False, timeout=30
        ).returncode
    assert alive == 0
