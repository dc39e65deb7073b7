"""Elasticsearch as searches ask it: a breaker around it, and points in time for walks."""

import contextlib
from typing import Any

from elastic_transport import TransportError
from elasticsearch import ApiError, AsyncElasticsearch, NotFoundError

from stack.infra.search_index import INDEX
from stack.service.breaker import Breaker
from stack.service.held import held
from stack.service.trace import current_trace

# A point in time sorts by the place in the index last, which nothing is left for: ids differ.
_LAST_PLACE = 2**62
# How long a walk may pause between two pages.
PAUSE_S = 120
_LONGEST_S = 3_600  # an open point in time keeps what was deleted since on disk


class SearchUnavailable(Exception):
    """Elasticsearch does not answer."""


class SnapshotGone(SearchUnavailable):
    """That point in time was kept long enough; or the node, or the whole index, is another one."""


class Engine:
    """The search engine; left alone for a moment when it fails several times in a row."""

    def __init__(self, client: AsyncElasticsearch, first_page_kept_s: float) -> None:
        self._client = client
        self._breaker = Breaker(failures=3, pause_s=2.0)
        # Whoever gets a first page from the cache, an instant before it ends there, walks on too.
        self._kept = f"{int(min(first_page_kept_s + PAUSE_S, _LONGEST_S))}s"

    async def ask(self, question: dict[str, Any]) -> Any:
        """The answer of the index as it is now. Raises SearchUnavailable."""
        return await self._answered(index=INDEX, **question)

    async def ask_at(self, question: dict[str, Any], snapshot: str) -> tuple[Any, str]:
        """The answer as of a point in time, and that point's name from now on.

        Raises SnapshotGone, SearchUnavailable.
        """
        if "search_after" in question:
            question = question | {"search_after": [*question["search_after"], _LAST_PLACE]}
        try:
            answer = await self._answered(
                pit={"id": snapshot, "keep_alive": self._kept}, **question
            )
        except NotFoundError as error:
            raise SnapshotGone from error
        return answer, str(answer["pit_id"])

    async def now(self) -> str:
        """A point in time: now. Raises SearchUnavailable."""
        self._refuse_when_open()
        try:
            opened = await self._client.open_point_in_time(index=INDEX, keep_alive=self._kept)
        except (TransportError, ApiError) as error:
            self._breaker.failed()
            raise SearchUnavailable from error
        return str(opened["id"])

    async def forget(self, snapshot: str) -> None:
        """Give up a point in time that nobody will ask for; if it fails it ends by itself."""
        with contextlib.suppress(TransportError, ApiError):
            await self._client.close_point_in_time(id=snapshot)

    async def _answered(self, **question: Any) -> Any:
        self._refuse_when_open()
        try:
            with current_trace().timed("search"):
                async with held("elasticsearch"):
                    answer = await self._client.search(**question)
        except NotFoundError as error:
            if "pit" in question:
                raise
            self._breaker.failed()
            raise SearchUnavailable from error
        except (TransportError, ApiError) as error:
            self._breaker.failed()
            raise SearchUnavailable from error
        self._breaker.worked()
        return answer

    def _refuse_when_open(self) -> None:
        if self._breaker.is_open:
            raise SearchUnavailable
