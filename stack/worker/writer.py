"""Writes products to the search index in bulk, each with the time of its change as version."""

import logging
from typing import Any

from elasticsearch import AsyncElasticsearch

from stack.infra.documents import Document
from stack.infra.search_index import bulk_delete, bulk_index

# Answers that do not mean a fault: a newer version is there; what is to be deleted is gone.
_NEWER, _GONE = 409, 404
# Answers that mean "later": the whole batch is sent again.
_BUSY = frozenset({429, 502, 503, 504})
log = logging.getLogger(__name__)


class IndexBusy(Exception):
    """Elasticsearch asks us to come back later."""


class IndexMissing(IndexBusy):
    """There is no index any more; what was written is lost with it, and what is written now too."""


class IndexWriter:
    """Collects changes, the last one for each product, and sends them as one request."""

    def __init__(self, client: AsyncElasticsearch, index: str, *, is_alias: bool = True) -> None:
        self._client = client
        self._index = index
        self._is_alias = is_alias
        self._pending: dict[str, list[dict[str, Any]]] = {}
        self._ordered_by: dict[str, str] = {}  # the request behind a change, for the log

    def __len__(self) -> int:
        return len(self._pending)

    def put(self, product: Document, version: int) -> None:
        """Index this product with the next flush."""
        identifier = str(product["_id"])
        self._pending[identifier] = list(bulk_index(product, version, self._index))
        if request := product.get("changed_by"):
            self._ordered_by[identifier] = request

    def remove(self, identifier: str, version: int) -> None:
        """Delete this product with the next flush."""
        self._pending[identifier] = [bulk_delete(identifier, version, self._index)]

    async def flush(self, *, visible: bool) -> None:
        """Send what is pending; `visible`: return when searches find it.

        Raises IndexBusy, IndexMissing.

        A product that the index refuses for good is logged and left out: one bad document must
        not stop all later ones.
        """
        if not self._pending:
            return
        lines = [line for lines in self._pending.values() for line in lines]
        # Elasticsearch would make an index of its own, unlike ours, for a name that is gone.
        answer = await self._client.bulk(
            operations=lines, refresh=visible, require_alias=self._is_alias
        )
        if answer["errors"]:
            self._judge([next(iter(item.values())) for item in answer["items"]])
        self._pending.clear()
        for identifier, request in self._ordered_by.items():
            log.info("product %s is in the index", identifier, extra={"request_id": request})
        self._ordered_by.clear()

    @staticmethod
    def _judge(results: list[dict[str, Any]]) -> None:
        for result in results:
            if result["status"] == _GONE and "error" in result:
                raise IndexMissing(str(result["error"]))
            if result["status"] in _BUSY:
                raise IndexBusy(str(result.get("error", result["status"])))
            if result["status"] >= 400 and result["status"] not in (_NEWER, _GONE):
                log.error("product %s was refused: %s", result["_id"], result.get("error"))
