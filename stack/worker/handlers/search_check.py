"""Compares the search index with the database and repairs what differs.

The change stream keeps the index in step; this finds what no stream can: an index restored from a
backup, a document changed by hand, a bug of ours. Both sides are read in batches, so a catalogue of
any size fits into memory.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Any

from bson import ObjectId
from elasticsearch import NotFoundError
from elasticsearch.helpers import async_scan

from stack.infra.documents import PRODUCTS, Document
from stack.infra.jobs import Job
from stack.infra.search_index import INDEX, external_version, search_document
from stack.worker.tools import Tools
from stack.worker.writer import IndexWriter

BATCH = 500
# A change of this age may still be on its way through the indexer and is no difference.
ON_ITS_WAY_S = 2.0
log = logging.getLogger(__name__)


async def check_and_repair(tools: Tools, _job: Job) -> str:
    """Index again what differs or is missing; remove what is gone."""
    if tools.elasticsearch is None:
        return "off"
    try:
        changed = await _repair_products(tools)
        removed = await _remove_vanished(tools)
    except NotFoundError:
        return "skipped"  # there is no index yet: the indexer is about to make it
    if changed or removed:
        log.warning("search index repaired: %d products indexed, %d removed", changed, removed)
        await tools.elasticsearch.indices.refresh(index=INDEX)
    return "done"


async def _repair_products(tools: Tools) -> int:
    assert tools.elasticsearch is not None
    changed = 0
    products = tools.database[PRODUCTS].find({}, sort=[("_id", 1)], batch_size=BATCH)
    async for batch in _batches(products):
        wrong = await _different(tools, batch)
        if wrong:
            await asyncio.sleep(ON_ITS_WAY_S)
            version = await _version(tools)
            again = await tools.database[PRODUCTS].find({"_id": {"$in": wrong}}).to_list()
            still = set(await _different(tools, again))
            writer = IndexWriter(tools.elasticsearch, INDEX)
            for product in again:
                if product["_id"] in still:
                    # As of before it was read: a change since then is newer, and wins.
                    writer.put(product, version)
            await writer.flush(visible=False)
            changed += len(still)
    return changed


async def _different(tools: Tools, products: Sequence[Document]) -> list[ObjectId]:
    """The products whose indexed form is missing or is not what it should be."""
    if not products:
        return []
    assert tools.elasticsearch is not None
    found = await tools.elasticsearch.mget(
        index=INDEX, ids=[str(product["_id"]) for product in products]
    )
    indexed = {entry["_id"]: entry.get("_source") for entry in found["docs"]}
    serializer = tools.elasticsearch.transport.serializers.get_serializer("application/json")
    wrong = []
    for product in products:
        # Through the client's own JSON, so that times compare as the text that they are stored as.
        wanted = serializer.loads(serializer.dumps(search_document(product)))
        if indexed.get(str(product["_id"])) != wanted:
            wrong.append(product["_id"])
    return wrong


async def _remove_vanished(tools: Tools) -> int:
    assert tools.elasticsearch is not None
    version = await _version(tools)
    removed = 0
    hits = async_scan(
        tools.elasticsearch, index=INDEX, query={"query": {"match_all": {}}}, _source=False
    )
    async for batch in _batches(hits):
        indexed = {ObjectId(hit["_id"]) for hit in batch}
        known = tools.database[PRODUCTS].find({"_id": {"$in": list(indexed)}}, {"_id": 1})
        gone = indexed - {product["_id"] async for product in known}
        writer = IndexWriter(tools.elasticsearch, INDEX)
        for identifier in gone:
            writer.remove(str(identifier), version)
        await writer.flush(visible=False)
        removed += len(gone)
    return removed


async def _version(tools: Tools) -> int:
    """The database's time now, as a version of documents that were read after it."""
    moment = (await tools.database.command("ping"))["operationTime"]
    return external_version(moment.time, moment.inc)


async def _batches(items: AsyncIterable[Any]) -> AsyncIterator[list[Any]]:
    batch = []
    async for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
