"""The database behind the API: indexes, secondaries, own writes, and a primary that dies."""

import asyncio
import itertools
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import httpx
import pymongo
import pytest
from database_commands import (
    WRITES,
    Commands,
    indexes_used,
    one_secondary_late,
    primary_and_secondaries,
    shape,
)
from replicas import replicas

from stack.infra.catalogue import (
    SEEDED_PASSWORD,
    admin_id,
    category_slug,
    product_id,
    user_email,
    user_id,
)
from stack.infra.connections import DATABASE
from stack.infra.documents import IMAGES, PRODUCTS, REPORTS, USERS
from stack.infra.operations import Operation
from stack.local import kill_part, start_part, status
from stack.service.auth.tokens import mint_access_token
from stack.service.own_writes import PRIMARY_S, OwnWrites

COMMANDS = Commands()
FAVOURITES = "/api/v1/users/me/favourites"


@pytest.fixture(scope="module")
def database(live_stack):
    with pymongo.MongoClient(live_stack.info.mongo_url) as client:
        yield client[DATABASE]


def product_path(number):
    return f"/api/v1/products/{product_id(number)}"


# --- indexes


@pytest.mark.feature(
    "9 indexes: the indexes of the design document",
    endpoint="–",
    module="stack/infra/indexes.py",
)
def test_the_indexes_that_the_design_names_exist(database):
    def keys(name):
        return {tuple(index["key"].items()) for index in database[name].list_indexes()}

    described = [dict(i) for i in database[PRODUCTS].list_indexes() if i["name"] == "text"]
    assert set(described[0]["weights"]) == {"title", "description"}
    assert {
        (("price_usd", 1),),
        (("created_at", -1),),
        (("category", 1), ("price_usd", 1)),
    } <= keys(PRODUCTS)
    assert any(key[0] == ("category", 1) for key in keys(PRODUCTS))
    assert {(("email", 1),), (("favorites", 1),)} <= keys(USERS)
    assert [i["unique"] for i in database[USERS].list_indexes() if i["name"] == "email"] == [True]


# Every query of the service: collection, command, fields asked for, order -> the index it uses.
PLANS = {
    ("api_keys", "aggregate", ("user",), ()): {"user_newest"},
    ("api_keys", "delete", ("_id", "user"), ()): {"_id_"},
    ("api_keys", "find", ("_id",), ()): {"_id_"},
    ("api_keys", "find", ("user",), ("created_at",)): {"user_newest"},
    ("api_keys", "update", ("_id",), ()): {"_id_"},
    ("images", "find", ("_id",), ()): {"_id_"},
    ("products", "aggregate", ("$text",), ()): {"text"},
    ("products", "aggregate", ("$text", "category"), ()): {"text"},
    ("products", "aggregate", ("$text", "category", "price_usd"), ()): {"text"},
    ("products", "aggregate", ("$text", "price_usd"), ()): {"text"},
    ("products", "find", (), ("_id",)): {"_id_"},
    ("products", "find", ("$text",), ("score", "_id")): {"SORT", "text"},
    ("products", "find", ("$text", "category"), ("score", "_id")): {"SORT", "text"},
    ("products", "find", ("$text", "category", "price_usd"), ("score", "_id")): {"SORT", "text"},
    ("products", "find", ("$text", "price_usd"), ("score", "_id")): {"SORT", "text"},
    ("products", "find", ("_id",), ()): {"_id_"},
    ("products", "find", ("_id",), ("_id",)): {"_id_"},
    ("products", "find", ("_id", "category"), ("_id",)): {"category_newest"},
    ("products", "find", ("category",), ("_id",)): {"category_newest"},
    ("products", "findAndModify", ("_id",), ()): {"_id_"},
    ("recommendations", "find", ("_id",), ()): {"_id_"},
    ("reports", "find", ("_id",), ()): {"_id_"},
    ("users", "find", ("_id",), ()): {"_id_"},
    ("users", "find", ("email",), ()): {"email"},
    ("users", "update", ("$or", "_id"), ()): {"_id_"},
    ("users", "update", ("_id",), ()): {"_id_"},
}


async def ask_everything(api, fallback, info):
    """Each request that reaches the database, with what it needs to get there."""
    user, product = user_id(31), product_id(31)
    admin = api.bearer(admin_id(), "admin")
    first = await api.get("/api/v2/products", category=category_slug(1), limit=3)
    for params in (
        {"category": category_slug(1)},
        {"category": category_slug(1), "page": 2},
        {},
    ):
        await api.get("/api/v1/products", **params)
    await api.get("/api/v2/products")
    cursor = first.json()["nextCursor"]
    await api.get("/api/v2/products", category=category_slug(1), limit=3, cursor=cursor)
    whole = (await api.get("/api/v2/products", limit=3)).json()["nextCursor"]
    await api.get("/api/v2/products", limit=3, cursor=whole)
    await api.get(product_path(31))
    await api.get(f"{product_path(31)}/recommendations")
    stock = (await api.get(product_path(31))).json()["stock"]
    await api.http.patch(product_path(31), json={"stock": stock}, headers=admin)
    for params in ({}, {"category": category_slug(1)}, {"price_from": 10, "price_to": 90}):
        await fallback.get("/api/v1/search", q="lightweight", **params)
    narrow = {"q": "lightweight", "category": category_slug(1), "price_to": 90, "limit": 1}
    found = (await fallback.get("/api/v2/search", **narrow)).json()
    await fallback.get("/api/v2/search", **narrow, cursor=found["nextCursor"])
    # Favourites, as they were.
    mine = api.bearer(user)
    had = (await api.http.get(FAVOURITES, headers=mine)).json()["products"]
    await api.http.put(f"{FAVOURITES}/{product}", headers=mine)
    await api.http.get(FAVOURITES, headers=mine)
    if str(product) not in {each["id"] for each in had}:
        await api.http.delete(f"{FAVOURITES}/{product}", headers=mine)
    # Accounts, sessions and keys.
    account = {"email": f"{uuid.uuid4().hex}@example.com", "password": "a long password"}
    await api.http.post("/api/v1/auth/register", json=account | {"name": "Plan"})
    seeded = {"email": user_email(31), "password": SEEDED_PASSWORD}
    tokens = (await api.http.post("/api/v1/auth/login", json=seeded)).json()
    await api.http.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    key = {"name": "plans", "scopes": ["favourites:read"]}
    made = (await api.http.post("/api/v1/auth/keys", json=key, headers=mine)).json()
    await api.http.get("/api/v1/auth/keys", headers=mine)
    await api.http.get(FAVOURITES, headers={"X-API-Key": made["key"]})
    await api.http.delete(f"/api/v1/auth/keys/{made['id']}", headers=mine)
    graph = "{ products(limit: 3) { products { title stock } } me { name favourites { title } } }"
    await api.http.post("/graphql", json={"query": graph}, headers=mine)
    await api.http.get("/api/v1/admin/reports/2026-01-01", headers=admin)
    await api.http.get(f"/api/v1/images/{'0' * 64}")


@pytest.mark.feature(
    "9 indexes: every query of the service uses its index, says `explain`",
    endpoint="–",
    module="stack/infra/indexes.py",
)
def test_every_query_of_the_service_uses_the_index_it_is_meant_to(live_stack, database):
    info = live_stack.info
    pymongo.monitoring.register(COMMANDS)
    for name in (IMAGES, REPORTS):  # without a collection there is no plan
        database[name].insert_one({"_id": "plan"})
        database[name].delete_one({"_id": "plan"})
    background = {"queue_url": info.queue_url, "objects_url": info.objects_url}

    async def scenario():
        async with (
            # Without the cache every request reaches the database.
            replicas(info, cache_ttl_s={}, **background) as (api,),
            replicas(info, elasticsearch_url=None, redis_url=None) as (fallback,),
        ):
            COMMANDS.is_noting = True
            await ask_everything(api, fallback, info)

    try:
        asyncio.run(scenario())
    finally:
        noted = COMMANDS.take()
    used = {}
    for name, command, _ in noted:
        assert name == DATABASE
        kind = next(iter(command))
        if kind in WRITES:
            assert command["writeConcern"] == {"w": "majority"}
            assert "txnNumber" in command  # sent again after a failover it is done once
        if kind == "find" and command["find"] in (PRODUCTS, USERS):
            assert command["projection"]  # what is shown, and no more
        if kind != "insert":
            used.setdefault(shape(command), set()).update(indexes_used(database, command))
    assert used == PLANS


# --- secondaries and own writes


def either_secondary(info):
    """Where the database is, for a client that asks a slow secondary as often as a fast one."""
    return f"{info.mongo_url}&localThresholdMS=60000"


@pytest.mark.feature(
    "2 database: reads from secondaries, for the operations that the scenario names",
    endpoint="topology.database.read_from_secondaries",
    module="stack/service/settings.py",
)
def test_only_the_operations_that_may_lag_read_from_secondaries(live_stack):
    pymongo.monitoring.register(COMMANDS)
    may_lag = {Operation.LIST, Operation.SEARCH}

    async def scenario():
        settings = {"cache_ttl_s": {}, "elasticsearch_url": None}
        settings["mongo_url"] = either_secondary(live_stack.info)
        async with replicas(live_stack.info, read_from_secondaries=may_lag, **settings) as (api,):
            asked, met = {}, set()
            _, secondaries = primary_and_secondaries(live_stack.info.mongo_url)
            # A client that has met no secondary yet prefers one in vain.
            for _ in range(500):
                COMMANDS.is_noting = True
                await api.http.get("/api/v1/products")
                met |= {address for _, _, address in COMMANDS.take()}
                if met >= secondaries:
                    break
            for name, path in (
                ("list", "/api/v1/products"),
                ("search", "/api/v1/search?q=lightweight"),
                ("list_cursor", "/api/v2/products"),
                ("detail", product_path(3)),
                ("favourites", FAVOURITES),
            ):
                asked[name] = set()
                for turn in itertools.count(1):
                    COMMANDS.is_noting = True
                    answer = await api.http.get(path, headers=api.bearer(user_id(3)))
                    assert answer.status_code == 200
                    asked[name] |= {address for _, _, address in COMMANDS.take()}
                    if turn >= 20 and (len(asked[name]) > 1 or turn == 500 or name not in may_lag):
                        break
            return asked

    asked = asyncio.run(scenario())
    primary, secondaries = primary_and_secondaries(live_stack.info.mongo_url)
    assert asked == {
        "list": secondaries,  # spread over both
        "search": secondaries,
        "list_cursor": {primary},
        "detail": {primary},
        "favourites": {primary},
    }


@pytest.mark.feature(
    "2 database: whoever wrote reads what they wrote",
    endpoint="X-Wrote, or the cookie of the same meaning",
    module="stack/service/own_writes.py",
)
def test_who_wrote_reads_it_at_once_though_a_secondary_is_late(live_stack):
    may_lag = {Operation.DETAIL, Operation.FAVOURITES}
    settings = {"cache_ttl_s": {}, "read_from_secondaries": may_lag}
    settings["mongo_url"] = either_secondary(live_stack.info)

    async def scenario():
        async with replicas(live_stack.info, 2, **settings) as (api, other):
            path, admin = product_path(41), api.bearer(admin_id(), "admin")
            before = (await api.http.get(path)).json()["stock"]

            async def stocks(replica, **headers):
                """What 40 reads see."""
                replica.http.cookies.clear()
                answers = [await replica.http.get(path, headers=headers) for _ in range(40)]
                return {answer.json()["stock"] for answer in answers}

            changed = await api.http.patch(path, json={"stock": before + 1}, headers=admin)
            assert {(await api.http.get(path)).json()["stock"] for _ in range(40)} == {before + 1}
            token = changed.headers["x-wrote"]
            assert changed.cookies["headroom_wrote"] == token
            # Without it, and with what is none (any more), a secondary answers, late or not.
            late = {before, before + 1}
            assert await stocks(other, **{"X-Wrote": token}) == {before + 1}
            own = OwnWrites(live_stack.info.jwt_secret)
            old, forged = own.token(time.time() - PRIMARY_S), OwnWrites("f" * 32).token(time.time())
            for useless in ("", token[:-1], old, forged, "é"):
                assert await stocks(other, **{"X-Wrote": useless.encode()}) == late
            mine, favourite = api.bearer(user_id(33)), f"{FAVOURITES}/{product_id(599)}"
            total = (await api.http.get(FAVOURITES, headers=mine)).json()["total"]
            await api.http.put(favourite, headers=mine)
            for _ in range(40):
                seen = await api.http.get(FAVOURITES, headers=mine)
                assert seen.json()["total"] == total + 1
            await api.http.delete(favourite, headers=mine)
            await api.http.patch(path, json={"stock": before}, headers=admin)

    with one_secondary_late(live_stack.info.mongo_url):
        asyncio.run(scenario())


def test_a_list_that_is_filled_after_a_change_shows_it_to_everybody_though_a_secondary_is_late(
    live_stack,
):
    where = {"category": category_slug(5), "limit": 11}
    number = max(n for n in range(600) if n % 6 == 5)
    settings = {"read_from_secondaries": {Operation.LIST}}
    settings["mongo_url"] = either_secondary(live_stack.info)

    async def scenario():
        async with replicas(live_stack.info, 2, **settings) as apis:
            admin = apis[0].bearer(admin_id(), "admin")
            before = (await apis[0].get(product_path(number))).json()["title"]
            for turn in range(8):
                title = before if turn == 7 else f"Turn {turn}"
                await apis[0].http.patch(product_path(number), json={"title": title}, headers=admin)
                for api in apis:
                    api.http.cookies.clear()
                    shown = await api.get("/api/v1/products", **where)
                    assert shown.json()["products"][0]["title"] == title

    with one_secondary_late(live_stack.info.mongo_url):
        asyncio.run(scenario())


def test_without_secondaries_nobody_is_given_a_token_of_writing(live_stack):
    async def scenario():
        async with replicas(live_stack.info) as (api,):
            stock = (await api.get(product_path(42))).json()["stock"]
            admin = api.bearer(admin_id(), "admin")
            return await api.http.patch(product_path(42), json={"stock": stock}, headers=admin)

    answer = asyncio.run(scenario())
    assert answer.status_code == 200
    assert {"x-wrote", "set-cookie"}.isdisjoint(answer.headers)


# --- a primary that dies

TRIES = 3


class Writer:
    """Changes one product again and again, and counts what was acknowledged and what was not."""

    def __init__(self, info, number):
        self.path, self.acknowledged, self.refused, self.last = product_path(number), 0, 0, None
        token = mint_access_token(info.jwt_secret, admin_id(), "admin")
        self._client = httpx.Client(
            base_url=info.base_url, timeout=40, headers={"Authorization": f"Bearer {token}"}
        )
        self.statuses = set()

    def write_until(self, stop):
        turn = 0
        with self._client:
            while not stop.is_set():
                turn += 1
                for _ in range(TRIES):
                    answer = self._client.patch(self.path, json={"stock": turn})
                    self.statuses.add(answer.status_code)
                    if answer.status_code == 200:
                        self.acknowledged, self.last = self.acknowledged + 1, turn
                        break
                    assert answer.status_code == 503
                    self.refused += 1
                    stop.wait(float(answer.headers["retry-after"]))
                else:
                    raise AssertionError(f"{TRIES} tries were not enough")


def read_until(info, stop):
    """Lists, details and searches; every status that was seen."""
    statuses = set()
    paths = ("/api/v1/products?limit=2", product_path(9), "/api/v1/search?q=desk")
    with httpx.Client(base_url=info.base_url, timeout=40) as client:
        while not stop.is_set():
            for path in paths:
                for _ in range(TRIES):
                    answer = client.get(path)
                    if answer.status_code != 503:
                        break
                    stop.wait(float(answer.headers["retry-after"]))
                statuses.add(answer.status_code)
    return statuses


@pytest.mark.feature(
    "2 database: a failover is a pause for clients, and loses no acknowledged write",
    endpoint="headroom kill mongo-1",
    module="stack/infra/connections.py",
)
def test_a_killed_primary_is_a_pause_and_no_acknowledged_write_is_lost_or_done_twice(
    live_stack, database
):
    info, stop = live_stack.info, Event()
    numbers = (71, 72, 73, 74)
    before = {n: database[PRODUCTS].find_one({"_id": product_id(n)}) for n in numbers}
    writers = [Writer(info, number) for number in numbers]
    with ThreadPoolExecutor(6) as pool:
        writing = [pool.submit(writer.write_until, stop) for writer in writers]
        reading = [pool.submit(read_until, info, stop) for _ in range(2)]
        try:
            reached(lambda: min(writer.acknowledged for writer in writers) >= 5)
            (_, port), _ = primary_and_secondaries(info.mongo_url)
            (dead,) = (part.name for part in info.parts_of("mongo") if part.port == port)
            assert kill_part(live_stack.folder, dead).state == "ready"
            marks = {writer: writer.acknowledged + 5 for writer in writers}
            reached(lambda: all(writer.acknowledged > mark for writer, mark in marks.items()))
            assert primary_and_secondaries(info.mongo_url)[0] != ("127.0.0.1", port)
        finally:
            stop.set()
            for part in status(live_stack.folder).parts:
                if part.state == "dead":
                    start_part(live_stack.folder, part.name)
        for each in writing:
            each.result()
        assert {status for each in reading for status in each.result()} == {200}
    assert status(live_stack.folder).state == "ready"
    for number, writer in zip(numbers, writers, strict=True):
        stored = database[PRODUCTS].find_one({"_id": product_id(number)})
        done = stored["version"] - before[number]["version"]
        assert stored["stock"] == writer.last
        # A refused write may have been done all the same; one that was acknowledged was, once.
        assert writer.acknowledged <= done <= writer.acknowledged + writer.refused
        database[PRODUCTS].replace_one({"_id": product_id(number)}, before[number])


def reached(condition, limit_s=60.0):
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
