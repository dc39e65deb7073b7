"""Search: Elasticsearch when there is one, MongoDB's text index when there is none or it fails."""

import logging
from collections.abc import Callable
from typing import Any

from elasticsearch import AsyncElasticsearch
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import OperationFailure

from stack.infra.cache_keys import EVERY_SEARCH
from stack.infra.connections import MAY_LAG
from stack.infra.documents import PRODUCTS, Document
from stack.infra.operations import Family, Operation
from stack.service.cache import Cache, Uncached
from stack.service.errors import DatabaseUnavailable, InvalidRequest
from stack.service.held import held
from stack.service.metrics import Metrics
from stack.service.products.service import SUMMARY
from stack.service.replies import encoded, public
from stack.service.search.cursor import SearchCursors
from stack.service.search.engine import Engine, SearchUnavailable, SnapshotGone
from stack.service.search.query import (
    Place,
    Wanted,
    better_spelling,
    completion_query,
    completions,
    elasticsearch_query,
    facet_values,
    marked,
    mistyped_query,
    mongo_page_after,
    mongo_query,
    normalised,
)
from stack.service.settings import Settings
from stack.service.trace import current_trace

# Elasticsearch's own limit on from + size; deeper pages of a search help nobody.
DEEPEST_RESULT = 10_000
_NO_INDEX = 27  # not seeded yet, or a large seeding is under way
DEGRADED = (b"x-degraded", b"search")
# Told of every search that was answered in full: its text and the answer.
Note = Callable[[str, bytes], None]
log = logging.getLogger(__name__)


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
        kept_s = settings.cache_ttl_s.get(Family.SEARCH, 0)
        self._engine = Engine(elasticsearch, kept_s) if elasticsearch is not None else None
        self._cache = cache
        self._metrics = metrics
        self._settings = settings
        self._cursors = cursors
        self._note = note

    @property
    def completes(self) -> bool:
        """Whether there is an engine that completes what is being typed."""
        return self._engine is not None

    async def page(self, wanted: Wanted, page: int) -> bytes:
        """One offset page of results as JSON. Raises InvalidRequest for too deep a page."""
        limit = self._settings.catalogue.page_size
        if page * limit > DEEPEST_RESULT:
            raise InvalidRequest(f"results past the {DEEPEST_RESULT}th are not shown; /api/v2 does")

        def answer(found: dict[str, Any]) -> bytes:
            del found["next"]
            return encoded(found | {"page": page, "limit": limit})

        place = Place((page - 1) * limit)
        entry = f"v1:{page}:{limit}:{wanted}"
        body = await self._found(entry, wanted, place, limit, answer, walks=False)
        if page == 1 and self._note is not None and not isinstance(body, Uncached):
            self._note(wanted.text, body)
        return body

    async def page_after(self, wanted: Wanted, cursor: str | None, limit: int) -> bytes:
        """The page of results that starts after `cursor` (None: the first) as JSON."""
        place = self._cursors.decode(wanted, cursor) if cursor else Place()

        def answer(found: dict[str, Any]) -> bytes:
            following = found.pop("next")
            cursor = self._cursors.encode(wanted, following) if following is not None else None
            return encoded(found | {"nextCursor": cursor, "hasMore": cursor is not None})

        entry = f"v2:{place.name}:{limit}:{wanted}"
        body = await self._found(entry, wanted, place, limit, answer, walks=True)
        if cursor is None and self._note is not None and not isinstance(body, Uncached):
            self._note(wanted.text, body)
        return body

    async def completed(self, beginning: str, limit: int) -> bytes:
        """What `beginning` may become, as JSON; nothing, marked, while the engine is away."""
        text = normalised(beginning)
        suggestions: list[str] = []
        degraded = False
        assert self._engine is not None
        try:
            for question in (completion_query(text, limit), mistyped_query(text, limit)):
                if text and question is not None and not suggestions:
                    suggestions = completions(await self._engine.ask(question), limit)
        except SearchUnavailable as error:
            log.warning("nothing is completed: %s", error.__cause__ or "left alone for a moment")
            degraded = True
            current_trace().headers = [*current_trace().headers, DEGRADED]
        return encoded({"query": text, "suggestions": suggestions, "degraded": degraded})

    async def _found(
        self,
        entry: str,
        wanted: Wanted,
        place: Place,
        limit: int,
        answer: Callable[[dict[str, Any]], bytes],
        *,
        walks: bool,
    ) -> bytes:
        """The answer to a search, from the cache or from who answers now.

        `walks`: more pages may follow by cursor.
        """

        async def fill(changed_lately: bool) -> bytes:
            if self._engine is None:
                return answer(await self._by_mongo(wanted, place, limit, changed_lately))
            try:
                ask = self._walk if walks else self._page
                found = await ask(self._engine, wanted, place, limit)
            except SearchUnavailable as error:
                log.warning("search is degraded: %s", error.__cause__ or "left alone for a moment")
                found = await self._by_mongo(wanted, place, limit, changed_lately)
                return Uncached(answer(found | {"degraded": True}))
            return answer(found)

        body = await self._cache.fetch(Family.SEARCH, entry, (EVERY_SEARCH,), fill)
        if isinstance(body, Uncached):
            current_trace().headers = [*current_trace().headers, DEGRADED]
        return body

    async def _page(
        self, engine: Engine, wanted: Wanted, place: Place, limit: int
    ) -> dict[str, Any]:
        """A page of the index as it is now."""
        answer = await engine.ask(elasticsearch_query(wanted, place, limit, overview=True))
        return _told(wanted, answer) | {"next": None}

    async def _walk(
        self, engine: Engine, wanted: Wanted, place: Place, limit: int
    ) -> dict[str, Any]:
        """A page of a walk that sees the index as it was when it began."""
        first = place.offset == 0
        try:
            answer, snapshot = await self._ask_on(engine, wanted, place, limit)
        except SnapshotGone:  # scores of then say nothing now: what was seen is counted
            answer, snapshot = await self._ask_on(engine, wanted, Place(place.offset), limit)
        hits = answer["hits"]["hits"]
        following = None
        if len(hits) > limit:
            hits.pop()
            score, product = hits[-1]["sort"][:2]
            following = Place(place.offset + limit, (score, product), snapshot)
        elif first:
            await engine.forget(snapshot)
        return _told(wanted, answer) | {"next": following}

    async def _ask_on(
        self, engine: Engine, wanted: Wanted, place: Place, limit: int
    ) -> tuple[Any, str]:
        """The results from `place` on, one more than `limit`, and their point in time."""
        if not place.is_of_elasticsearch and place.offset + limit >= DEEPEST_RESULT:
            raise SearchUnavailable  # deeper than Elasticsearch counts
        question = elasticsearch_query(wanted, place, limit + 1, overview=place.offset == 0)
        return await engine.ask_at(question, place.snapshot or await engine.now())

    async def _by_mongo(
        self, wanted: Wanted, place: Place, limit: int, changed_lately: bool
    ) -> dict[str, Any]:
        needs_newest = changed_lately or current_trace().reads_own_writes
        secondary = self._settings.reads_from_secondary(Operation.SEARCH) and not needs_newest
        collection = self._secondary if secondary else self._primary
        with self._metrics.database(Operation.SEARCH):
            async with held("mongo", secondary=secondary):
                try:
                    found, total = await _texts(collection, wanted, place, limit + 1)
                except OperationFailure as error:
                    if error.code != _NO_INDEX:
                        raise
                    raise DatabaseUnavailable("the text index is not there yet") from error
        following = None
        if len(found) > limit:
            found.pop()
            after = (found[-1]["score"], str(found[-1]["_id"]))
            following = Place(place.offset + limit, after)
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
            "next": following,
        }


async def _texts(
    collection: AsyncCollection[Document], wanted: Wanted, place: Place, limit: int
) -> tuple[list[Document], int]:
    """Products from `place` on with their scores, and how many there are in all."""
    query, score = mongo_query(wanted), {"score": {"$meta": "textScore"}}
    if place.after is not None and not place.is_of_elasticsearch:
        stages = mongo_page_after(wanted, SUMMARY, place, limit)
        found = await (await collection.aggregate(stages)).to_list()
    else:
        # By id among equals, or pages would overlap.
        cursor = collection.find(query, SUMMARY | score).sort([*score.items(), ("_id", -1)])
        found = await cursor.skip(place.offset).limit(limit).batch_size(limit + 1).to_list()
    return found, await collection.count_documents(query)


def _told(wanted: Wanted, answer: Any) -> dict[str, Any]:
    """What Elasticsearch's answer says; facets and spelling where they were asked for."""
    hits, facets = answer["hits"], answer.get("aggregations")
    return {
        "query": wanted.text,
        "products": [
            {"id": hit["_id"], **hit["_source"], "highlights": marked(hit)} for hit in hits["hits"]
        ],
        "total": hits["total"]["value"],
        "facets": {name: facet_values(facets[name]) for name in ("category", "price_usd")}
        if facets
        else None,
        "did_you_mean": better_spelling(answer["suggest"], wanted.text)
        if "suggest" in answer
        else None,
        "engine": "elasticsearch",
        "degraded": False,
    }
