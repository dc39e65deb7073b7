"""Routes of the products."""

from typing import Annotated

from bson import ObjectId
from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from stack.service.auth.bearer import Bearer
from stack.service.auth.principal import Principal
from stack.service.products.deprecation import tell_successor
from stack.service.products.schemas import (
    Product,
    ProductChange,
    ProductCursorPage,
    ProductPage,
)
from stack.service.products.service import ProductService
from stack.service.replies import json_reply

Category = Annotated[str | None, Query(pattern=r"^[a-z0-9-]{1,64}$")]
Limit = Annotated[int | None, Query(ge=1, le=100)]
ProductId = Annotated[str, Path(pattern=r"^[0-9a-f]{24}$")]


def product_routes(
    products: ProductService, bearer: Bearer, page_size: int, *, cursors: bool
) -> APIRouter:
    """The routes that serve `products`; the schemas document the bodies, which are ready bytes.

    Without `cursors` there are numbered pages only, and nothing else to leave them for.
    """
    router = APIRouter(tags=["products"])

    @router.get("/api/v1/products", responses={200: {"model": ProductPage}}, deprecated=cursors)
    async def list_products(
        category: Category = None,
        page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        limit: Limit = None,
    ) -> Response:
        """One page of products, newest first; deep pages are slow, use v2 for them."""
        if cursors:
            tell_successor("/api/v1/products")
        return json_reply(await products.page(category, page, limit or page_size))

    if cursors:

        @router.get("/api/v2/products", responses={200: {"model": ProductCursorPage}})
        async def list_products_after(
            category: Category = None,
            cursor: Annotated[str | None, Query(max_length=64)] = None,
            limit: Limit = None,
        ) -> Response:
            """One page of products, newest first, from where `nextCursor` before points."""
            return json_reply(await products.page_after(category, cursor, limit or page_size))

    @router.get("/api/v1/products/{product}", responses={200: {"model": Product}})
    async def product_detail(product: ProductId) -> Response:
        """One product."""
        return json_reply(await products.detail(ObjectId(product)))

    @router.patch("/api/v1/products/{product}", responses={200: {"model": Product}})
    async def update_product(
        product: ProductId,
        change: ProductChange,
        principal: Annotated[Principal, Depends(bearer.allowing("products:write"))],
    ) -> Response:
        """Change a product (administrators only)."""
        principal.require_role("admin")
        return json_reply(await products.update(ObjectId(product), change))

    return router
