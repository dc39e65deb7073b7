"""Search: Elasticsearch when there is one, MongoDB's text index when there is none or it fails."""

import logging
from collections.abc import Callable
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError, AsyncElasticsearch
from pymongo.asynchronous.database import AsyncDatabase

from stack.infra.cache_keys import EVERY_SEARCH
from stack.infra.connections import MAY_LAG
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
from stack.service.search.cursor import SearchCursors
from stack.service.search.query import (
    Place,
    Wanted,
    better_spelling,
    completion_query,
    elasticsearch_query,
    facet_values,
    marked,
    mongo_query,
    normalised,
)
from stack.service.settings import Settings
from stack.service.trace import current_trace

# Elasticsearch's own limit on from + size; deeper pages of a search help nobody.
DEEPEST_RESULT = 10_000
DEGRADED = (b"x-degraded", b"search")
# Told of every search that was answered in full: its text and the answer.
Note = Callable[[str, bytes], None]
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
        *,
        cursors: SearchCursors,
        note: Note | None = None,
    ) -> None:
        self._primary = database[PRODUCTS]
        self._secondary = self._primary.with_options(read_preference=MAY_LAG)
        self._elasticsearch = elasticsearch
        self._cache = cache
        self._metrics = metrics
        self._settings = settings
        self._cursors = cursors
        self._note = note
        self._breaker = Breaker(failures=3, pause_s=2.0)

    @property
    def completes(self) -> bool:
        """Whether there is an engine that completes what is being typed."""
        return self._elasticsearch is not None

    async def page(self, wanted: Wanted, page: int) -> bytes:
        """One offset page of results as JSON. Raises InvalidRequest for too deep a page."""
        limit = self._settings.catalogue.page_size
        if page * limit > DEEPEST_RESULT:
            raise InvalidRequest(f"results past the {DEEPEST_RESULT}th are not shown; /api/v2 does")

        def answer(found: dict[str, Any], _: int) -> bytes:
            found["products"] = found["products"][:limit]
            del found["last"]
            return encoded(found | {"page": page, "limit": limit})

        place = Place((page - 1) * limit)
        body = await self._found(f"v1:{page}:{limit}:{wanted}", wanted, place, limit, answer)
        if page == 1 and self._note is not None and not isinstance(body, Uncached):
            self._note(wanted.text, body)
        return body

    async def page_after(self, wanted: Wanted, cursor: str | None, limit: int) -> bytes:
        """The page of results that starts after `cursor` (None: the first) as JSON."""
        place = self._cursors.decode(wanted, cursor) if cursor else Place()

        def answer(found: dict[str, Any], offset: int) -> bytes:
            last, following = found.pop("last"), None
            more = len(found["products"]) > limit
            if more:
                found["products"] = found["products"][:limit]
                following = self._cursors.encode(wanted, Place(offset + limit, last))
            return encoded(found | {"nextCursor": following, "hasMore": more})

        entry = f"v2:{place.offset}:{place.after or ''}:{limit}:{wanted}"
        body = await self._found(entry, wanted, place, limit, answer, one_more=True)
        if cursor is None and self._note is not None and not isinstance(body, Uncached):
            self._note(wanted.text, body)
        return body

    async def completed(self, beginning: str, limit: int) -> bytes:
        """What `beginning` may become, as JSON; nothing, marked, while the engine is away."""
        text = normalised(beginning)
        options: list[dict[str, Any]] = []
        degraded = False
        try:
            answer = await self._ask(completion_query(text, limit))
            options = answer["suggest"]["completion"][0]["options"] if text else []
        except SearchUnavailable as error:
            log.warning("nothing is completed: %s", error.__cause__ or "left alone for a moment")
            degraded = True
            current_trace().headers = [*current_trace().headers, DEGRADED]
        suggestions = [option["text"] for option in options]
        return encoded({"query": text, "suggestions": suggestions, "degraded": degraded})

    async def _found(
        self,
        entry: str,
        wanted: Wanted,
        place: Place,
        limit: int,
        answer: Callable[[dict[str, Any], int], bytes],
        *,
        one_more: bool = False,
    ) -> bytes:
        """The answer to a search, from the cache or from who answers now."""
        size = limit + 1 if one_more else limit

        async def fill(changed_lately: bool) -> bytes:
            if self._elasticsearch is None:
                return answer(
                    await self._by_mongo(wanted, place, size, changed_lately), place.offset
                )
            try:
                found = await self._by_elasticsearch(
                    wanted, place, limit, size, overview=place.offset == 0 or not one_more
                )
            except SearchUnavailable as error:
                log.warning("search is degraded: %s", error.__cause__ or "left alone for a moment")
                found = await self._by_mongo(wanted, place, size, changed_lately)
                return Uncached(answer(found | {"degraded": True}, place.offset))
            return answer(found, place.offset)

        body = await self._cache.fetch(Family.SEARCH, entry, (EVERY_SEARCH,), fill)
        if isinstance(body, Uncached):
            current_trace().headers = [*current_trace().headers, DEGRADED]
        return body

    async def _ask(self, question: dict[str, Any]) -> Any:
        """Elasticsearch's answer. Raises SearchUnavailable."""
        if self._elasticsearch is None or self._breaker.is_open:
            raise SearchUnavailable
        try:
            with current_trace().timed("search"):
                async with held("elasticsearch"):
                    answer = await self._elasticsearch.search(index=INDEX, **question)
        except (TransportError, ApiError) as error:
            self._breaker.failed()
            raise SearchUnavailable from error
        self._breaker.worked()
        return answer

    async def _by_elasticsearch(
        self, wanted: Wanted, place: Place, limit: int, size: int, *, overview: bool
    ) -> dict[str, Any]:
        if place.after is None and place.offset + size > DEEPEST_RESULT:
            raise SearchUnavailable  # a cursor of MongoDB's, deeper than Elasticsearch counts
        answer = await self._ask(elasticsearch_query(wanted, place, size, overview=overview))
        hits, facets = answer["hits"], answer.get("aggregations")
        shown = hits["hits"][:limit]
        return {
            "query": wanted.text,
            "products": [
                {"id": hit["_id"], **hit["_source"], "highlights": marked(hit)}
                for hit in hits["hits"]
            ],
            "total": hits["total"]["value"],
            "facets": {name: facet_values(facets[name]) for name in ("category", "price_usd")}
            if facets
            else None,
            "did_you_mean": better_spelling(answer["suggest"], wanted.text) if overview else None,
            "engine": "elasticsearch",
            "degraded": False,
            "last": tuple(shown[-1]["sort"]) if shown else None,
        }

    async def _by_mongo(
        self, wanted: Wanted, place: Place, size: int, changed_lately: bool
    ) -> dict[str, Any]:
        needs_newest = changed_lately or current_trace().reads_own_writes
        secondary = self._settings.reads_from_secondary(Operation.SEARCH) and not needs_newest
        collection = self._secondary if secondary else self._primary
        query = mongo_query(wanted)
        score = {"score": {"$meta": "textScore"}}
        with self._metrics.database(Operation.SEARCH):
            # By id among equals, or pages would overlap.
            cursor = collection.find(query, SUMMARY | score).sort([*score.items(), ("_id", -1)])
            cursor = cursor.skip(place.offset).limit(size).batch_size(size + 1)
            async with held("mongo", secondary=secondary):
                found = await cursor.to_list()
                total = await collection.count_documents(query)
        for document in found:
            del document["score"]
        return {
            "query": wanted.text,
            "products": [public(document) | {"highlights": None} for document in found],
            "total": total,
            "facets": None,
            "did_you_mean": None,
            "engine": "mongo_text",
            "degraded": False,
            "last": None,
        }
