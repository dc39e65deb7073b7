"""The indexer on real servers, with a database and an index of its own beside the stack's."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import uuid
from contextlib import asynccontextmanager
from random import Random

import pytest
from elasticsearch import ApiError
from lines import line_to
from replicas import until as reached

from stack.errors import RebuildRuns
from stack.infra.catalogue import Catalogue, product_id
from stack.infra.connections import elasticsearch_client, mongo_client
from stack.infra.documents import PRODUCTS, product_document
from stack.infra.search_index import (
    create_search_index,
    indices_behind,
    indices_of,
    numbered,
)
from stack.worker.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from stack.worker.index_metrics import IndexMetrics
from stack.worker.indexer import Indexer
from stack.worker.rebuild import Rebuild
from stack.worker.writer import IndexWriter

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
        for index in await indices_of(search, name):
            await search.indices.delete(index=index)
        await search.close()
        await mongo.close()


@asynccontextmanager
async def running(database, search, name):
    stop, metrics = asyncio.Event(), IndexMetrics()
    indexer = Indexer(database, search, None, stop, index=name, metrics=metrics)
    task = asyncio.create_task(indexer.run())
    try:
        yield metrics.registry.get_sample_value
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def until(expected, search, name):
    """Wait until exactly these products, with these titles, can be found."""
    async with asyncio.timeout(20):
        while True:
            try:
                answer = await search.search(index=name, size=1_000, ignore_unavailable=True)
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
        async with (
            room(live_stack.info) as (database, search, name),
            line_to(live_stack.info.elasticsearch_url) as (line, url),
        ):
            products, first, second = database[PRODUCTS], own_product(1), own_product(2)
            far = elasticsearch_client(url.removesuffix("/0"), timeout_s=30)
            await products.insert_one(first)
            async with running(database, far, name) as metric:
                await reached(lambda: metric("headroom_indexer_scans_total") == 1, 20)
                line.set(cut=True)
                await products.insert_one(second)  # it sees this one, and cannot write it
                await reached(lambda: metric("headroom_indexer_failures_total") >= 1, 20)
            line.set(cut=False)
            await products.delete_one({"_id": first["_id"]})
            async with running(database, far, name):
                await until(titles(second), search, name)
            await far.close()

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
            await search.indices.delete(index=(await indices_behind(search, name))[0])
            async with running(database, search, name):
                await until(titles(product), search, name)

    asyncio.run(scenario())


def test_an_index_deleted_under_a_running_indexer_is_built_anew_as_it_was(live_stack):
    async def scenario():
        async with room(live_stack.info) as (database, search, name):
            first, second = own_product(5), own_product(6)
            await database[PRODUCTS].insert_one(first)
            async with running(database, search, name) as metric:
                await until(titles(first), search, name)
                # What a scan wrote can be found before it has ended.
                await reached(lambda: metric("headroom_indexer_scans_total") == 1)
                await search.indices.delete(index=(await indices_behind(search, name))[0])
                await database[PRODUCTS].insert_one(second)
                await until(titles(first, second), search, name)
                await reached(lambda: metric("headroom_indexer_scans_total") == 2)
                assert metric("headroom_indexer_failures_total") >= 1
            # Not one that Elasticsearch made up for the name: that would have no such mapping.
            mapping = await search.indices.get_mapping(index=name)
            for index in mapping.values():
                assert index["mappings"]["dynamic"] == "strict"

    asyncio.run(scenario())


@pytest.mark.feature(
    "4 search: how far the index is behind is a metric",
    endpoint="GET /metrics of the indexer",
    module="stack/worker/index_metrics.py",
)
def test_the_lag_rises_while_the_index_cannot_be_written_and_falls_when_it_can(live_stack):
    async def scenario():
        async with (
            room(live_stack.info) as (database, search, name),
            line_to(live_stack.info.elasticsearch_url) as (line, url),
        ):
            product = own_product(7)
            await database[PRODUCTS].insert_one(product)
            far = elasticsearch_client(url.removesuffix("/0"), timeout_s=30)
            async with running(database, far, name) as metric:

                async def lag(holds):
                    await reached(lambda: holds(metric("headroom_indexer_lag_seconds")), 20)

                await until(titles(product), search, name)
                await lag(lambda lag_s: lag_s < 1.5)
                before = metric("headroom_indexer_changes_total")
                line.set(cut=True)
                await database[PRODUCTS].update_one({}, {"$set": {"title": "While it was away"}})
                await lag(lambda lag_s: lag_s > 2)
                assert metric("headroom_indexer_changes_total") == before
                line.set(cut=False)
                await until({str(product["_id"]): "While it was away"}, search, name)
                await lag(lambda lag_s: lag_s < 1.5)
                assert metric("headroom_indexer_changes_total") == before + 1
                assert metric("headroom_indexer_change_seconds_sum") > 1
            await far.close()

    asyncio.run(scenario())


async def write_all_the_time(products, stop, rng):
    """Change, delete and insert products until `stop`; numbers below 150 are changed only."""
    turn = 0
    while not stop.is_set():
        turn += 1
        number = rng.randrange(200)
        match rng.randrange(4) if number >= 150 else 0:
            case 1:
                await products.delete_one({"_id": product_id(number)})
            case 2:
                product = own_product(number) | {"title": f"Anew {turn}"}
                await products.replace_one({"_id": product["_id"]}, product, upsert=True)
            case _:
                change = {"$set": {"title": f"Turn {turn}"}}
                await products.update_one({"_id": product_id(number)}, change)
    return turn


async def search_all_the_time(search, name, stop):
    """Search until `stop`; the least that was ever found."""
    least = 200
    while not stop.is_set():
        answer = await search.search(index=name, size=0, track_total_hits=True)
        least = min(least, answer["hits"]["total"]["value"])
    return least


@pytest.mark.feature(
    "4 search: the index is rebuilt behind an alias, without downtime",
    endpoint="headroom reindex, POST /api/v1/admin/jobs",
    module="stack/worker/rebuild.py",
)
def test_rebuilds_under_writes_and_searches_lose_no_change_and_fail_no_search(live_stack):
    async def scenario():
        async with room(live_stack.info) as (database, search, name):
            products, stop = database[PRODUCTS], asyncio.Event()
            await products.insert_many([own_product(number) for number in range(200)])
            async with running(database, search, name):
                await until(titles(*[own_product(n) for n in range(200)]), search, name)
                writing = asyncio.create_task(write_all_the_time(products, stop, Random(3)))
                searching = asyncio.create_task(search_all_the_time(search, name, stop))
                behind = [await indices_behind(search, name)]
                for _ in range(4):
                    rebuilt = await Rebuild(database, search, alias=name).run()
                    behind.append(await indices_behind(search, name))
                    assert behind[-1] == [rebuilt.index]
                    assert rebuilt.removed == tuple(behind[-2])
                stop.set()
                turns = await writing
                assert await searching >= 150
                assert turns > 20
                expected = {str(p["_id"]): p["title"] async for p in products.find()}
                await until(expected, search, name)
            assert len({index for (index,) in behind}) == 5
            assert await indices_of(search, name) == behind[-1]

    asyncio.run(scenario())


def test_what_only_the_old_index_got_until_the_switch_is_in_the_new_one_too(live_stack):
    """No indexer runs here: whatever reaches the new index, the rebuild has brought itself."""

    async def scenario():
        async with room(live_stack.info) as (database, search, name):
            products = database[PRODUCTS]
            await products.insert_many([own_product(number) for number in range(3)])
            await create_search_index(search, name)
            work = Rebuild(database, search, alias=name)
            switch = work._drain

            async def late(stream, writer):
                # Between the first "there is no more" and the switch.
                await switch(stream, writer)
                if await products.count_documents({"title": "Late"}) == 0:
                    await products.update_one({"_id": product_id(1)}, {"$set": {"title": "Late"}})
                    await products.delete_one({"_id": product_id(2)})

            work._drain = late
            rebuilt = await work.run()
            assert rebuilt.changes == 2
            late_one = own_product(1) | {"title": "Late"}
            await until(titles(own_product(0), late_one), search, name)

    asyncio.run(scenario())


def test_two_rebuilds_do_not_run_at_once_and_what_a_dead_one_left_is_removed(live_stack):
    async def scenario():
        async with room(live_stack.info) as (database, search, name):
            await database[PRODUCTS].insert_one(own_product(1))
            await create_search_index(search, name)
            dead = Rebuild(database, search, alias=name, owner="search_rebuild:dead")
            await dead._take_turn()
            await search.indices.create(index=numbered(name, 2))  # as far as it came
            with pytest.raises(RebuildRuns, match="at work"):
                await Rebuild(database, search, alias=name).run()
            again = Rebuild(database, search, alias=name, owner="search_rebuild:dead")
            rebuilt = await again.run()  # the job is tried again under its own key
            assert rebuilt.index == numbered(name, 3)
            assert await indices_of(search, name) == [rebuilt.index]
            await until(titles(own_product(1)), search, name)

    asyncio.run(scenario())


def test_an_index_of_an_earlier_release_is_replaced_by_one_behind_an_alias(live_stack):
    async def scenario():
        async with room(live_stack.info) as (database, search, name):
            await database[PRODUCTS].insert_one(own_product(1))
            await search.index(index=name, id="x", document={"title": "Old"}, refresh=True)
            async with running(database, search, name):
                await until(titles(own_product(1)), search, name)
            assert await indices_behind(search, name) == [numbered(name, 1)]

    asyncio.run(scenario())


async def change_one(products, turn, rng):
    """Change one of 400 products; every eighth is deleted and made anew instead."""
    number = rng.randrange(400)
    if turn % 8 == 0:
        await products.delete_one({"_id": product_id(number)})
        await products.insert_one(own_product(number) | {"title": f"Anew {turn}"})
    else:
        change = {"title": f"Turn {turn}", "price_usd": turn + 0.5}
        await products.update_one({"_id": product_id(number)}, {"$set": change})


class OwnIndexer:
    """An indexer process on the database and index of a room, to be killed and started again."""

    def __init__(self, info, name):
        at, _, options = info.mongo_url.partition("/?")
        url = {"HEADROOM_MONGO_URL": f"{at}/{name}?{options}"}
        self._environment = {**os.environ, **info.service_environment(), **url}
        self._command = [sys.executable, "-m", "stack.worker.indexer", "--index", name]

    async def start(self):
        self._process = await asyncio.create_subprocess_exec(
            *self._command, env=self._environment, stderr=asyncio.subprocess.PIPE
        )
        said = [line async for line in until_said(self._process.stderr, b"following changes")]
        assert b"following changes" in said[-1], said

    async def kill(self):
        self._process.kill()
        await self._process.wait()


async def until_said(stream, words):
    async for line in stream:
        yield line
        if words in line:
            return


async def updates_among_kills(info, updates, kills):
    """Updates while the indexer dies again and again; how many products there are."""
    async with room(info) as (database, search, name):
        products, rng = database[PRODUCTS], Random(5)
        await products.insert_many([own_product(number) for number in range(400)])
        indexer = OwnIndexer(info, name)
        await indexer.start()
        for kill in range(kills):
            share = range(updates * kill // kills, updates * (kill + 1) // kills)
            for turn in share[: len(share) // 2]:
                await change_one(products, turn, rng)
            await indexer.kill()  # in the middle of whatever it does
            again = asyncio.create_task(indexer.start())
            for turn in share[len(share) // 2 :]:  # while it is dead, and while it catches up
                await change_one(products, turn, rng)
            await again
        expected = {str(p["_id"]): (p["title"], p["price_usd"]) async for p in products.find()}
        async with asyncio.timeout(60):
            while True:
                await search.indices.refresh(index=name)
                answer = await search.search(index=name, size=1_000)
                found = {
                    hit["_id"]: (hit["_source"]["title"], hit["_source"]["price_usd"])
                    for hit in answer["hits"]["hits"]
                }
                if found == expected:
                    break
        await indexer.kill()
        return len(expected)


@pytest.mark.feature(
    "4 search: an indexer that is killed loses no change, and none older wins",
    endpoint="–",
    module="stack/worker/indexer.py",
)
def test_updates_among_kills_of_the_indexer_are_all_in_the_index_afterwards(live_stack):
    assert asyncio.run(updates_among_kills(live_stack.info, 300, kills=1)) == 400


def test_what_is_older_and_comes_later_changes_nothing(live_stack):
    async def scenario():
        async with room(live_stack.info) as (_, search, name):
            await create_search_index(search, name)
            kept, gone = own_product(1), own_product(2)
            for versions, title in (((3, 5), "New"), ((2, 4), "Old")):
                writer = IndexWriter(search, name)
                writer.put(kept | {"title": title}, versions[0])
                if title == "New":
                    writer.remove(str(gone["_id"]), versions[1])
                else:
                    writer.put(gone, versions[1])
                await writer.flush(visible=True)
            await until(titles(kept | {"title": "New"}), search, name)
            late = IndexWriter(search, name)
            late.remove(str(kept["_id"]), 2)
            await late.flush(visible=True)
            await until(titles(kept | {"title": "New"}), search, name)

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_5000_updates_among_5_kills_of_the_indexer_are_all_in_the_index_afterwards(live_stack):
    assert asyncio.run(updates_among_kills(live_stack.info, 5_000, kills=5)) == 400


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
