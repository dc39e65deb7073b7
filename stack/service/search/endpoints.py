"""Routes of the search."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from stack.service.products.endpoints import Category, Limit
from stack.service.replies import json_reply
from stack.service.search.cursor import LONGEST_CURSOR
from stack.service.search.query import DEAREST_USD, Wanted
from stack.service.search.schemas import Completions, SearchCursorPage, SearchPage
from stack.service.search.service import SearchService

Text = Annotated[str, Query(min_length=1, max_length=100)]
PriceFrom = Annotated[
    float | None,
    Query(ge=0, le=DEAREST_USD, allow_inf_nan=False, description="US dollars, included"),
]
PriceTo = Annotated[
    float | None,
    Query(gt=0, le=DEAREST_USD, allow_inf_nan=False, description="US dollars, not included"),
]


def search_routes(search: SearchService, page_size: int, *, cursors: bool) -> APIRouter:
    """The routes that serve `search`; completing needs a search engine."""
    router = APIRouter(tags=["search"])

    @router.get("/api/v1/search", responses={200: {"model": SearchPage}})
    async def search_products(
        *,
        q: Text,
        category: Category = None,
        price_from: PriceFrom = None,
        price_to: PriceTo = None,
        page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    ) -> Response:
        """Products that fit the text, best first; typing errors are forgiven."""
        wanted = Wanted.of(q, category, price_from, price_to)
        return json_reply(await search.page(wanted, page))

    if cursors:

        @router.get("/api/v2/search", responses={200: {"model": SearchCursorPage}})
        async def search_products_after(
            *,
            q: Text,
            category: Category = None,
            price_from: PriceFrom = None,
            price_to: PriceTo = None,
            cursor: Annotated[str | None, Query(max_length=LONGEST_CURSOR)] = None,
            limit: Limit = None,
        ) -> Response:
            """Products that fit the text, from where `nextCursor` of the page before points.

            A walk shows each result once, as all were at its first page, if a page is asked for
            within two minutes of the one before; later, it goes on among the results of then.
            """
            wanted = Wanted.of(q, category, price_from, price_to)
            return json_reply(await search.page_after(wanted, cursor, limit or page_size))

    if search.completes:

        @router.get("/api/v1/search/suggestions", responses={200: {"model": Completions}})
        async def complete(
            q: Annotated[str, Query(min_length=1, max_length=50)],
            limit: Annotated[int, Query(ge=1, le=20)] = 8,
        ) -> Response:
            """What the beginning of a search may become, while it is being typed."""
            return json_reply(await search.completed(q, limit))

    return router
