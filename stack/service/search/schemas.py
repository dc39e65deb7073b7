"""What comes out of a search."""

from typing import Literal

from pydantic import BaseModel

from stack.service.products.schemas import ProductSummary


class FacetValue(BaseModel):
    """One value of a facet and how many results have it."""

    value: str
    count: int


class Facets(BaseModel):
    """How the results divide. Each facet is counted under all filters but its own."""

    category: list[FacetValue]
    price_usd: list[FacetValue]


class Highlights(BaseModel):
    """The result's texts as safe HTML with matches in <mark>; null: nothing in it is a match."""

    title: str | None
    description: str | None


class FoundProduct(ProductSummary):
    """A product as search results show it."""

    highlights: Highlights | None  # MongoDB's text search marks nothing


class _Results(BaseModel):
    query: str
    products: list[FoundProduct]
    total: int
    facets: Facets | None  # MongoDB's text search has none
    did_you_mean: str | None  # a spelling that fits the catalogue better
    engine: Literal["elasticsearch", "mongo_text"]
    degraded: bool  # whether the fallback answered


class SearchPage(_Results):
    """One offset page of results (v1), best first."""

    page: int
    limit: int


class SearchCursorPage(_Results):
    """One cursor page of results (v2), best first. Facets and spelling come with the first."""

    nextCursor: str | None  # noqa: N815 - the name of the design document
    hasMore: bool  # noqa: N815 - the name of the design document


class Completions(BaseModel):
    """What a beginning may be completed to, the best known first."""

    query: str
    suggestions: list[str]
    degraded: bool  # there are none because the search engine does not answer
