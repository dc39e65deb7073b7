"""Route of the search."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from stack.service.products.endpoints import Category
from stack.service.replies import json_reply
from stack.service.search.schemas import SearchPage
from stack.service.search.service import SearchService


def search_routes(search: SearchService) -> APIRouter:
    """The route that serves `search`."""
    router = APIRouter(tags=["search"])

    @router.get("/api/v1/search", responses={200: {"model": SearchPage}})
    async def search_products(
        q: Annotated[str, Query(min_length=1, max_length=100)],
        category: Category = None,
        page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    ) -> Response:
        """Products that fit the text, best first; typing errors are forgiven."""
        return json_reply(await search.search(q, category, page))

    return router
