"""Fill database and search index with a believable catalogue: `python -m stack.infra.seed`.

Deterministic, and idempotent by fixed keys: seeding again writes the same documents under the same
ids. When the same catalogue is already there nothing is written, unless it is asked for (`--again`,
which also takes back what users and administrators changed since).
"""

import argparse
import asyncio
import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from argon2.exceptions import Argon2Error, InvalidHashError
from elastic_transport import TransportError
from elasticsearch import ApiError, AsyncElasticsearch
from pymongo import ReplaceOne, WriteConcern
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError
from redis.asyncio import Redis

from stack.errors import SeedingFailed
from stack.infra.cache_keys import GENERATION_PREFIX
from stack.infra.catalogue import ADMIN_EMAIL, SEEDED_PASSWORD, Catalogue, product_id
from stack.infra.connections import (
    database_of,
    elasticsearch_client,
    mongo_client,
    redis_client,
)
from stack.infra.documents import (
    PRODUCTS,
    USERS,
    Document,
    admin_document,
    product_documents,
    user_documents,
)
from stack.infra.indexes import TEXT_INDEX, create_indexes
from stack.infra.passwords import HASHER
from stack.infra.search_index import (
    INDEX,
    bulk_delete,
    bulk_index,
    create_search_index,
    external_version,
)
from stack.infra.settings import InvalidSettings, SeedSettings

# Raise it when the documents of a catalogue change, so that an old seeding is not taken for a new.
REVISION = 3
STATE = "seedings"
BATCH = 1_000
# From so many new products on the text index is left out and built at the end: keeping it up with
# every batch makes the seeding of a million several times as slow. Meanwhile MongoDB cannot answer
# searches (503); Elasticsearch does.
MANY = 100_000
BULK_TIMEOUT_S = 60.0
# How long to wait each time that Elasticsearch is too busy for a batch (429).
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_BUSY = 429

T = TypeVar("T")
# Called with what is being written, how many are done, and how many there are.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Seeded:
    """What a seeding did."""

    products: int
    users: int
    indexed: int
    written: bool  # False: the same catalogue was already there
    duration_s: float


def seed(
    settings: SeedSettings,
    catalogue: Catalogue,
    progress: Progress | None = None,
    *,
    again: bool = False,
) -> Seeded:
    """Fill the servers of `settings` with `catalogue`; see the module's text."""
    work = seed_async(settings, catalogue, progress, again=again)
    with ThreadPoolExecutor(max_workers=1) as thread:  # a notebook's own thread has a loop already
        return thread.submit(asyncio.run, work).result()


async def seed_async(
    settings: SeedSettings,
    catalogue: Catalogue,
    progress: Progress | None = None,
    *,
    again: bool = False,
) -> Seeded:
    """As `seed`, inside a running event loop."""
    began = time.monotonic()
    # Making an index of a million products takes minutes.
    mongo = mongo_client(settings.mongo_url, answer_s=None)
    search = (
        elasticsearch_client(settings.elasticsearch_url, timeout_s=BULK_TIMEOUT_S)
        if settings.elasticsearch_url
        else None
    )
    try:
        database = database_of(mongo)
        # Always, because the password may have changed; it is not part of the catalogue.
        await _write_admin(database, settings.admin_password.get_secret_value())
        written = again or not await _is_seeded(database, search, catalogue)
        if written:
            await _write(database, search, catalogue, progress or _silent)
            if settings.redis_url:
                await _forget_cached(settings.redis_url)
    finally:
        await mongo.close()
        if search is not None:
            await search.close()
    return Seeded(
        products=catalogue.products,
        users=catalogue.users,
        indexed=catalogue.products if search is not None else 0,
        written=written,
        duration_s=time.monotonic() - began,
    )


async def _write(
    database: AsyncDatabase[Document],
    search: AsyncElasticsearch | None,
    catalogue: Catalogue,
    progress: Progress,
) -> None:
    version = await _operation_version(database)
    await database[STATE].delete_one({"_id": "catalogue"})
    surplus = await _surplus_numbers(database, catalogue)
    # Side by side: MongoDB mostly waits for its members, Elasticsearch for its own threads.
    try:
        async with asyncio.TaskGroup() as parts:
            parts.create_task(_write_database(database, catalogue, progress))
            if search is not None:
                parts.create_task(_write_index(search, catalogue, version, surplus, progress))
    except ExceptionGroup as errors:  # the first stops the other part
        raise _told(errors.exceptions[0]) from errors
    # Acknowledged by a majority, and with it everything above: the oplog is replicated in order.
    await database[STATE].replace_one(
        {"_id": "catalogue"}, {"fingerprint": fingerprint(catalogue)}, upsert=True
    )


def _told(error: Exception) -> Exception:
    """In terms of the seeding, what a server's client says."""
    if isinstance(error, (TransportError, ApiError)):
        return SeedingFailed("Elasticsearch", str(error))
    return SeedingFailed("MongoDB", str(error)) if isinstance(error, PyMongoError) else error


async def _write_database(
    database: AsyncDatabase[Document], catalogue: Catalogue, progress: Progress
) -> None:
    # One hash for all shoppers, with the real parameters and a fixed salt: two thousand hashes of
    # 20 ms would take most of a minute, and a cheaper hash would make the measured login too fast.
    password_hash = HASHER.hash(SEEDED_PASSWORD, salt=hashlib.sha256(b"shoppers").digest()[:16])
    await _leave_out_text_index(database, catalogue)
    await _replace_all(
        database, PRODUCTS, product_documents(catalogue), catalogue.products, progress
    )
    await _replace_all(
        database, USERS, user_documents(catalogue, password_hash), catalogue.users, progress
    )
    await database[PRODUCTS].delete_many({"number": {"$gte": catalogue.products}})
    progress("indexes", 0, 1)
    await create_indexes(database)
    progress("indexes", 1, 1)


async def _leave_out_text_index(database: AsyncDatabase[Document], catalogue: Catalogue) -> None:
    stored = database[PRODUCTS]
    if catalogue.products - await stored.estimated_document_count() < MANY:
        return
    if TEXT_INDEX in await stored.index_information():
        await stored.drop_index(TEXT_INDEX)


async def _replace_all(
    database: AsyncDatabase[Document],
    name: str,
    documents: Iterator[Document],
    total: int,
    progress: Progress,
) -> None:
    # Acknowledged by one member is enough here; the last write of the seeding waits for the rest.
    collection = database[name].with_options(write_concern=WriteConcern(w=1))
    # Ids of products rise: past the last one there is nothing to replace.
    last = await collection.find_one({}, {"_id": 1}, sort=[("_id", -1)])
    done = 0
    for batch in _batches(documents):
        if name == PRODUCTS and (last is None or batch[0]["_id"] > last["_id"]):
            await collection.insert_many(batch, ordered=False)
        else:
            await collection.bulk_write(
                [ReplaceOne({"_id": document["_id"]}, document, upsert=True) for document in batch],
                ordered=False,
            )
        done += len(batch)
        progress(name, done, total)


async def _write_index(
    search: AsyncElasticsearch,
    catalogue: Catalogue,
    version: int,
    surplus: Iterable[int],
    progress: Progress,
) -> None:
    await create_search_index(search)
    await search.indices.put_settings(index=INDEX, settings={"refresh_interval": "-1"})
    try:
        done = 0
        for batch in _batches(product_documents(catalogue)):
            lines = [line for product in batch for line in bulk_index(product, version)]
            await write_in_bulk(search, lines)
            done += len(batch)
            progress("search index", done, catalogue.products)
        for numbers in _batches(surplus):
            await write_in_bulk(
                search, [bulk_delete(str(product_id(number)), version) for number in numbers]
            )
    finally:
        await search.indices.put_settings(index=INDEX, settings={"refresh_interval": None})
    await search.indices.refresh(index=INDEX)


async def write_in_bulk(
    search: AsyncElasticsearch,
    lines: list[dict[str, Any]],
    pauses_s: Iterable[float] = PAUSES_S,
) -> None:
    """Send action and source lines until the search node takes them. Raises SeedingFailed."""
    for pause_s in pauses_s:
        refused = await _refused(search, lines)
        if all(result["status"] != _BUSY for result in refused):
            break
        await asyncio.sleep(pause_s)
    else:
        refused = await _refused(search, lines)
    if refused:
        reason = f"it refused lines, such as this: {refused[0]['error']}"
        raise SeedingFailed("Elasticsearch", reason)


async def _refused(search: AsyncElasticsearch, lines: list[dict[str, Any]]) -> list[Any]:
    """What of these lines is not in the index; the lines may be sent again."""
    try:
        answer = await search.bulk(operations=lines, require_alias=True)
    except ApiError as error:
        if error.status_code != _BUSY:
            raise
        return [{"status": _BUSY, "error": error.message}]
    results = (next(iter(item.values())) for item in answer["items"])
    # 409: the indexer has written something newer. A deletion of what is gone is no error.
    return [r for r in results if "error" in r and r["status"] != 409]


async def _write_admin(database: AsyncDatabase[Document], password: str) -> None:
    stored = await database[USERS].find_one({"email": ADMIN_EMAIL}, {"password_hash": 1})
    if stored and _verifies(stored["password_hash"], password):
        return
    admin = admin_document(HASHER.hash(password))
    await database[USERS].replace_one({"_id": admin["_id"]}, admin, upsert=True)


def _verifies(password_hash: str, password: str) -> bool:
    try:
        return HASHER.verify(password_hash, password)
    except (Argon2Error, InvalidHashError):
        return False


async def _is_seeded(
    database: AsyncDatabase[Document], search: AsyncElasticsearch | None, catalogue: Catalogue
) -> bool:
    state = await database[STATE].find_one({"_id": "catalogue"})
    if state is None or state["fingerprint"] != fingerprint(catalogue):
        return False
    if await database[PRODUCTS].estimated_document_count() != catalogue.products:
        return False
    if search is None:
        return True
    if not await search.indices.exists_alias(name=INDEX):
        return False
    counted = await search.count(index=INDEX)
    return bool(counted["count"] == catalogue.products)


def fingerprint(catalogue: Catalogue) -> str:
    """Names what a seeding of this catalogue stores; catalogues that store the same share it."""
    stored = f"{REVISION}:{catalogue.products}:{catalogue.users}:{catalogue.categories}"
    return hashlib.sha256(stored.encode()).hexdigest()


async def _surplus_numbers(database: AsyncDatabase[Document], catalogue: Catalogue) -> list[int]:
    """Numbers of stored products that a larger catalogue left behind."""
    cursor = database[PRODUCTS].find(
        {"_id": {"$gte": product_id(catalogue.products)}}, {"number": 1}
    )
    return [document["number"] async for document in cursor]


async def _operation_version(database: AsyncDatabase[Document]) -> int:
    """A document version older than every change from now on."""
    answer = await database.command("ping")
    moment = answer.get("operationTime")
    if moment is None:  # a single mongod keeps no operation time
        return external_version(int(time.time()), 0)
    return external_version(moment.time, moment.inc)


async def _forget_cached(url: str) -> None:
    """Void every cached answer: without its generation no entry counts."""
    redis: Redis = redis_client(url)
    try:
        async for name in redis.scan_iter(match=f"{GENERATION_PREFIX}*", count=1_000):
            await redis.unlink(name)
    finally:
        await redis.aclose()


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def _silent(what: str, done: int, total: int) -> None:
    """No progress shown."""


def main() -> int:
    """Seed from the environment and say what was done."""
    arguments = argparse.ArgumentParser(description="Fill the stack with its catalogue.")
    arguments.add_argument("--again", action="store_true", help="write even what is there already")
    again: bool = arguments.parse_args().again
    try:
        settings = SeedSettings.from_environment()
    except InvalidSettings as error:
        sys.stderr.write(f"seed: {error}\n")
        return 2

    def show(what: str, done: int, total: int) -> None:
        sys.stderr.write(f"{what}: {done:,} of {total:,}\n")

    try:
        seeded = seed(settings, settings.catalogue, show, again=again)
    except SeedingFailed as error:
        sys.stderr.write(f"seed: {error}\n")
        return 1
    did = "seeded" if seeded.written else "already there:"
    sys.stdout.write(
        f"{did} {seeded.products:,} products, {seeded.users:,} users, "
        f"{seeded.indexed:,} in the search index, {seeded.duration_s:.1f} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
