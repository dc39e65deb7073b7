"""Search: Elasticsearch when there is one, MongoDB's text index when there is none or it fails."""

import logging
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError, AsyncElasticsearch
from pymongo import ReadPreference
from pymongo.asynchronous.database import AsyncDatabase

from stack.infra.cache_keys import EVERY_SEARCH
from stack.infra.documents import PRODUCTS, Document
from stack.infra.operations import Family, Operation
from stack.infra.search_index import INDEX
from stack.service.breaker import Breaker
from stack.service.cache import Cache, Uncached
from stack.service.errors import InvalidRequest
from stack.service.held import held
from stack.service.metrics import Metrics
from stack.service.products.service import SUMMARY
from stack.service.replies import encoded, public
from stack.service.search.query import (
    elasticsearch_query,
    facet_values,
    mongo_query,
    normalised,
)
from stack.service.settings import Settings
from stack.service.trace import current_trace

# Elasticsearch's own limit on from + size; deeper pages of a search help nobody.
DEEPEST_RESULT = 10_000
log = logging.getLogger(__name__)


class SearchUnavailable(Exception):
    """Elasticsearch does not answer."""


class SearchService:
    """Finds products by text."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        elasticsearch: AsyncElasticsearch | None,
        cache: Cache,
        metrics: Metrics,
        settings: Settings,
    ) -> None:
        self._primary = database[PRODUCTS]
        self._secondary = self._primary.with_options(
            read_preference=ReadPreference.SECONDARY_PREFERRED
        )
        self._elasticsearch = elasticsearch
        self._cache = cache
        self._metrics = metrics
        self._settings = settings
        self._breaker = Breaker(failures=3, pause_s=2.0)

    async def search(self, text: str, category: str | None, page: int) -> bytes:
        """One page of results as JSON. Raises InvalidRequest for an empty text."""
        limit = self._settings.catalogue.page_size
        text = normalised(text)
        if not any(letter.isalnum() for letter in text):
            raise InvalidRequest("`q` has no letter or digit to search for")
        if page * limit > DEEPEST_RESULT:
            raise InvalidRequest(f"results past the {DEEPEST_RESULT}th are not shown")

        async def fill(changed_lately: bool) -> bytes:
            if self._elasticsearch is None:
                return encoded(await self._by_mongo(text, category, page, limit, changed_lately))
            try:
                found = await self._by_elasticsearch(
                    self._elasticsearch, text, category, page, limit
                )
            except SearchUnavailable as error:
                log.warning("search is degraded: %s", error.__cause__ or "left alone for a moment")
                found = await self._by_mongo(text, category, page, limit, changed_lately)
                return Uncached(encoded(found | {"degraded": True}))
            return encoded(found)

        return await self._cache.fetch(
            Family.SEARCH, f"{category or ''}:{page}:{limit}:{text}", (EVERY_SEARCH,), fill
        )

    async def _by_elasticsearch(
        self, client: AsyncElasticsearch, text: str, category: str | None, page: int, limit: int
    ) -> dict[str, Any]:
        if self._breaker.is_open:
            raise SearchUnavailable
        try:
            with current_trace().timed("search"):
                async with held("elasticsearch"):
                    answer = await client.search(
                        index=INDEX, **elasticsearch_query(text, category, page, limit)
                    )
        except (TransportError, ApiError) as error:
            self._breaker.failed()
            raise SearchUnavailable from error
        self._breaker.worked()
        hits, facets = answer["hits"], answer["aggregations"]
        return {
            "query": text,
            "products": [{"id": hit["_id"], **hit["_source"]} for hit in hits["hits"]],
            "total": hits["total"]["value"],
            "page": page,
            "limit": limit,
            "facets": {
                "category": facet_values(facets["category"]["buckets"]),
                "price_usd": facet_values(facets["price_usd"]["buckets"]),
            },
            "engine": "elasticsearch",
            "degraded": False,
        }

    async def _by_mongo(
        self, text: str, category: str | None, page: int, limit: int, changed_lately: bool
    ) -> dict[str, Any]:
        secondary = self._settings.reads_from_secondary(Operation.SEARCH) and not changed_lately
        collection = self._secondary if secondary else self._primary
        query = mongo_query(text, category)
        score = {"score": {"$meta": "textScore"}}
        with self._metrics.database(Operation.SEARCH):
            # By id among equals, or pages would overlap.
            cursor = collection.find(query, SUMMARY | score).sort([*score.items(), ("_id", -1)])
            cursor = cursor.skip((page - 1) * limit).limit(limit).batch_size(limit + 1)
            async with held("mongo", secondary=secondary):
                found = await cursor.to_list()
                total = await collection.count_documents(query)
        for document in found:
            del document["score"]
        return {
            "query": text,
            "products": [public(document) for document in found],
            "total": total,
            "page": page,
            "limit": limit,
            "facets": None,
            "engine": "mongo_text",
            "degraded": False,
        }
