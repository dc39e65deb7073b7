"""Product lists from the cache or the database, detail from the database, and updates."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import DESCENDING, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase

from stack.infra.cache_keys import EVERY_FAVOURITES, EVERY_SEARCH, listing_generation
from stack.infra.connections import MAY_LAG
from stack.infra.documents import PRODUCTS, Document
from stack.infra.operations import Family, Operation
from stack.infra.pictures import Size
from stack.service.cache import Cache
from stack.service.errors import NotFound
from stack.service.held import held
from stack.service.metrics import Metrics
from stack.service.own_writes import OwnWrites
from stack.service.products.cursor import CursorCodec
from stack.service.products.schemas import ProductChange
from stack.service.replies import encoded, public
from stack.service.settings import Settings
from stack.service.trace import current_trace

log = logging.getLogger(__name__)
SUMMARY = {
    "title": 1,
    "brand": 1,
    "category": 1,
    "price_usd": 1,
    "rating": 1,
    "ratings": 1,
    "thumbnail_url": 1,
}
DETAIL = SUMMARY | {
    "description": 1,
    "stock": 1,
    "image_url": 1,
    "created_at": 1,
    "updated_at": 1,
    "version": 1,
}


class ProductService:
    """Everything about products but search."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        cache: Cache,
        metrics: Metrics,
        settings: Settings,
        *,
        cursors: CursorCodec,
        own_writes: OwnWrites | None = None,
    ) -> None:
        self._primary = database[PRODUCTS]
        self._secondary = self._primary.with_options(read_preference=MAY_LAG)
        self._cache = cache
        self._metrics = metrics
        self._cursors = cursors
        self._settings = settings
        self._own_writes = own_writes

    async def page(self, category: str | None, page: int, limit: int) -> bytes:
        """Offset page `page`, from 1, newest first, as JSON."""

        async def fill(changed_lately: bool) -> bytes:
            collection = self._collection(Operation.LIST, changed_lately)
            found, more = await self._newest(
                Operation.LIST, collection, _in_category(category), (page - 1) * limit, limit
            )
            if not found and page == 1 and category:
                raise NotFound(f"there is no category {category!r}")
            body = {"products": found, "page": page, "limit": limit, "hasMore": more}
            return encoded(body)

        group = listing_generation(category)
        return await self._cache.fetch(
            Family.LISTING, f"v1:{category or ''}:{page}:{limit}", (group,), fill
        )

    async def page_after(self, category: str | None, cursor: str | None, limit: int) -> bytes:
        """The page that starts after `cursor` (None: the first), newest first, as JSON."""
        after = self._cursors.decode(category, cursor) if cursor else None

        async def fill(changed_lately: bool) -> bytes:
            collection = self._collection(Operation.LIST_CURSOR, changed_lately)
            query = _in_category(category) | ({"_id": {"$lt": after}} if after else {})
            found, more = await self._newest(Operation.LIST_CURSOR, collection, query, 0, limit)
            if not found and after is None and category:
                raise NotFound(f"there is no category {category!r}")
            following = self._cursors.encode(category, ObjectId(found[-1]["id"])) if more else None
            return encoded({"products": found, "nextCursor": following, "hasMore": more})

        group = listing_generation(category)
        return await self._cache.fetch(
            Family.LISTING, f"v2:{category or ''}:{after or ''}:{limit}", (group,), fill
        )

    async def detail(self, identifier: ObjectId) -> bytes:
        """One product as JSON; never cached. Raises NotFound."""
        collection = self._collection(Operation.DETAIL, False)
        with self._metrics.database(Operation.DETAIL):
            async with held("mongo", secondary=collection is self._secondary):
                found = await collection.find_one({"_id": identifier}, DETAIL)
        if found is None:
            raise NotFound(f"there is no product {identifier}")
        return encoded(public(found))

    async def several(self, identifiers: Sequence[ObjectId]) -> dict[ObjectId, Document]:
        """Those of these products that there are, by their ids, in one read."""
        collection = self._collection(Operation.DETAIL, False)
        with self._metrics.database(Operation.DETAIL):
            async with held("mongo", secondary=collection is self._secondary):
                cursor = collection.find({"_id": {"$in": list(identifiers)}}, DETAIL)
                found = await cursor.batch_size(len(identifiers) + 1).to_list()
        return {document["_id"]: document for document in found}

    async def update(self, identifier: ObjectId, change: ProductChange) -> bytes:
        """Change a product, clear what shows it, and return it as JSON. Raises NotFound."""
        return await self._changed(identifier, change.model_dump(exclude_none=True))

    async def show_image(self, identifier: ObjectId, urls: Mapping[Size, str]) -> bytes:
        """Show a product with these pictures, and return it as JSON. Raises NotFound."""
        shown = {"image_url": urls[Size.FULL], "thumbnail_url": urls[Size.THUMBNAIL]}
        return await self._changed(identifier, shown)

    async def _changed(self, identifier: ObjectId, changes: Mapping[str, Any]) -> bytes:
        fields = dict(changes)
        fields["updated_at"] = datetime.now(UTC)
        fields["changed_by"] = current_trace().request_id  # so that the indexer's log can name it
        with self._metrics.database(Operation.PRODUCT_UPDATE):
            async with held("mongo"):
                changed = await self._primary.find_one_and_update(
                    {"_id": identifier},
                    {"$set": fields, "$inc": {"version": 1}},
                    projection=DETAIL,
                    return_document=ReturnDocument.AFTER,
                )
        if changed is None:
            raise NotFound(f"there is no product {identifier}")
        if self._own_writes is not None:
            self._own_writes.note()
        await self._cache.clear(*self._shown_by(changed["category"]))
        log.info("product %s changed: %s", identifier, ", ".join(changes))
        return encoded(public(changed))

    def _shown_by(self, category: str) -> list[str]:
        """Generations of everything that may show a product of this category."""
        cleared = self._settings.cache_cleared_by_update
        generations = []
        if Family.LISTING in cleared:
            generations += [listing_generation(category), listing_generation(None)]
        if Family.FAVOURITES in cleared:
            generations.append(EVERY_FAVOURITES)
        # With Elasticsearch the indexer clears searches, when the change can be found: cleared
        # here, a search could be answered from the old index and stay for its whole TTL.
        if Family.SEARCH in cleared and self._settings.elasticsearch_url is None:
            generations.append(EVERY_SEARCH)
        return generations

    def _collection(self, operation: Operation, changed_lately: bool) -> AsyncCollection[Document]:
        needs_newest = changed_lately or current_trace().reads_own_writes
        secondary = self._settings.reads_from_secondary(operation) and not needs_newest
        return self._secondary if secondary else self._primary

    async def _newest(
        self,
        operation: Operation,
        collection: AsyncCollection[Document],
        query: Document,
        skip: int,
        limit: int,
    ) -> tuple[list[Document], bool]:
        """A page of summaries, and whether more follow (one more is read to know)."""
        with self._metrics.database(operation):
            cursor = collection.find(query, SUMMARY, sort=[("_id", DESCENDING)], skip=skip)
            # One batch, so that the page costs one round trip and leaves no cursor open.
            async with held("mongo", secondary=collection is self._secondary):
                found = await cursor.limit(limit + 1).batch_size(limit + 2).to_list()
        return [public(document) for document in found[:limit]], len(found) > limit


def _in_category(category: str | None) -> Document:
    return {"category": category} if category else {}
