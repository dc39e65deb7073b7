"""The graph: products, search, and the user who asks."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import orjson
import strawberry
from bson import ObjectId
from strawberry.extensions import (
    DisableIntrospection,
    MaxAliasesLimiter,
    MaxTokensLimiter,
    QueryDepthLimiter,
)

from stack.service.errors import InvalidRequest, NotFound, Unauthorised
from stack.service.favourites.service import FavouriteService
from stack.service.graphql.cost import CostLimit
from stack.service.graphql.loaders import Reading
from stack.service.products.service import ProductService
from stack.service.search.query import DEAREST_USD, Wanted
from stack.service.search.service import SearchService

DEEPEST, MOST_TOKENS, MOST_ALIASES = 8, 1_000, 15
_SLUG = re.compile(r"[a-z0-9-]{1,64}")
_ID = re.compile(r"[0-9a-f]{24}")
Info = strawberry.Info[Reading, None]


@strawberry.type(description="A product. What lists do not show is read once for all that ask.")
class Product:
    """A product, from its summary; the rest is loaded when it is asked for."""

    id: strawberry.ID
    title: str
    brand: str
    category: str
    price_usd: float
    rating: float
    ratings: int
    thumbnail_url: str

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """From the fields that lists and details share."""
        shared = ("title", "brand", "category", "price_usd", "rating", "ratings", "thumbnail_url")
        identifier = strawberry.ID(str(stored.get("_id", stored.get("id"))))
        return cls(id=identifier, **{name: stored[name] for name in shared})

    @strawberry.field
    async def description(self, info: Info) -> str | None:
        """What it is."""
        return await _detail(self, info, "description")

    @strawberry.field
    async def stock(self, info: Info) -> int | None:
        """How many there are."""
        return await _detail(self, info, "stock")

    @strawberry.field
    async def image_url(self, info: Info) -> str | None:
        """The large picture."""
        return await _detail(self, info, "image_url")

    @strawberry.field
    async def created_at(self, info: Info) -> datetime | None:
        """Since when it is sold."""
        return await _detail(self, info, "created_at")

    @strawberry.field
    async def updated_at(self, info: Info) -> datetime | None:
        """When it last changed."""
        return await _detail(self, info, "updated_at")

    @strawberry.field
    async def version(self, info: Info) -> int | None:
        """How often it has changed."""
        return await _detail(self, info, "version")


async def _detail(product: Product, info: Info, name: str) -> Any:
    stored = await info.context.product.load(ObjectId(str(product.id)))
    return stored[name] if stored is not None else None  # gone since the list was kept


@strawberry.type
class ProductPage:
    """One page of products, newest first."""

    products: list[Product]
    page: int
    limit: int
    has_more: bool


@strawberry.type
class SearchResult:
    """One page of what was found, best first."""

    products: list[Product]
    total: int
    page: int
    did_you_mean: str | None
    engine: str
    degraded: bool


@strawberry.type
class User:
    """The user who asks."""

    id: strawberry.ID
    email: str
    name: str
    role: str


def schema_of(
    products: ProductService,
    search: SearchService,
    favourites: FavouriteService,
    *,
    page_size: int,
    introspection: bool,
) -> strawberry.Schema:
    """The schema over these services, with its limits."""

    @strawberry.type(name="User")
    class Me(User):
        @strawberry.field(name="favourites", description="The newest favourites, newest first.")
        async def favourites_of(self, info: Info, limit: int = 100) -> list[Product]:
            principal = await info.context.principal("favourites:read")
            found = _read(await favourites.of_user(principal.user))
            return [Product.of(each) for each in found["products"][: _within("limit", limit, 100)]]

    @strawberry.type
    class Query:
        @strawberry.field(name="products", description="One page of products, newest first.")
        async def listed(
            self, page: int = 1, limit: int = page_size, category: str | None = None
        ) -> ProductPage:
            page, limit = _within("page", page, 100_000), _within("limit", limit, 100)
            found = _read(await products.page(_category(category), page, limit))
            shown = [Product.of(each) for each in found["products"]]
            return ProductPage(products=shown, page=page, limit=limit, has_more=found["hasMore"])

        @strawberry.field(description="One product; null when there is none.")
        async def product(self, info: Info, id: strawberry.ID) -> Product | None:
            found = await info.context.product.load(_identifier(id))
            return Product.of(found) if found is not None else None

        @strawberry.field(
            name="search",
            description="Products that fit a text, best first; `priceTo` is not included.",
        )
        async def found(
            self,
            q: str,
            category: str | None = None,
            page: int = 1,
            price_from: float | None = None,
            price_to: float | None = None,
        ) -> SearchResult:
            if not 1 <= len(q) <= 100:
                raise InvalidRequest("`q` must have 1 to 100 letters")
            page = _within("page", page, 10_000)
            prices = _price("priceFrom", price_from), _price("priceTo", price_to)
            wanted = Wanted.of(q, _category(category), *prices)
            answer = _read(await search.page(wanted, page))
            return SearchResult(
                products=[Product.of(each) for each in answer["products"]],
                total=answer["total"],
                page=page,
                did_you_mean=answer["did_you_mean"],
                engine=answer["engine"],
                degraded=answer["degraded"],
            )

        @strawberry.field(description="The user whose token came with the request.")
        async def me(self, info: Info) -> Me:
            principal = await info.context.principal("favourites:read")
            account = await info.context.account.load(principal.user)
            if account is None:
                raise Unauthorised("the account of this token is gone")
            told = {name: account[name] for name in ("email", "name", "role")}
            return Me(id=strawberry.ID(str(account["_id"])), **told)

    @strawberry.type
    class Mutation:
        @strawberry.mutation(description="Make a product a favourite; again is no error.")
        async def add_favourite(self, info: Info, product: strawberry.ID) -> bool:
            principal = await info.context.principal("favourites:write")
            await favourites.add(principal.user, _identifier(product))
            return True

        @strawberry.mutation(description="Make a product no favourite; again is no error.")
        async def remove_favourite(self, info: Info, product: strawberry.ID) -> bool:
            principal = await info.context.principal("favourites:write")
            await favourites.remove(principal.user, _identifier(product))
            return True

    extensions: list[Any] = [
        lambda: QueryDepthLimiter(max_depth=DEEPEST),
        lambda: MaxTokensLimiter(max_token_count=MOST_TOKENS),
        lambda: MaxAliasesLimiter(max_alias_count=MOST_ALIASES),
        CostLimit,
    ]
    if not introspection:
        extensions.append(DisableIntrospection)
    return strawberry.Schema(query=Query, mutation=Mutation, extensions=extensions)


def _read(body: bytes) -> Any:
    # A view: orjson takes bytes, but not a kind of them, as an answer of the fallback is.
    return orjson.loads(memoryview(body))


def _within(name: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise InvalidRequest(f"`{name}` must be 1 to {most}")
    return value


def _price(name: str, usd: float | None) -> float | None:
    if usd is not None and not 0 <= usd <= DEAREST_USD:
        raise InvalidRequest(f"`{name}` must be 0 to {DEAREST_USD:,} US dollars")
    return usd


def _category(slug: str | None) -> str | None:
    if slug is not None and _SLUG.fullmatch(slug) is None:
        raise InvalidRequest("`category` must be letters, digits and `-`")
    return slug


def _identifier(text: str) -> ObjectId:
    if _ID.fullmatch(str(text)) is None:
        raise NotFound(f"there is no product {str(text)[:40]!r}")
    return ObjectId(str(text))
