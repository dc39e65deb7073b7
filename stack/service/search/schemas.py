"""What comes out of a search."""

from typing import Literal

from pydantic import BaseModel

from stack.service.products.schemas import ProductSummary


class FacetValue(BaseModel):
    """One value of a facet and how many results have it."""

    value: str
    count: int


class Facets(BaseModel):
    """How the results divide."""

    category: list[FacetValue]
    price_usd: list[FacetValue]


class SearchPage(BaseModel):
    """One page of results, best first."""

    query: str
    products: list[ProductSummary]
    total: int
    page: int
    limit: int
    facets: Facets | None  # MongoDB's text search has none
    engine: Literal["elasticsearch", "mongo_text"]
    degraded: bool  # whether the fallback answered
