"""What goes in and out of the product endpoints."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ProductSummary(BaseModel):
    """A product as lists show it."""

    id: str
    title: str
    brand: str
    category: str
    price_usd: float
    rating: float
    ratings: int
    thumbnail_url: str


class Product(ProductSummary):
    """A product with everything that is public."""

    description: str
    stock: int
    image_url: str
    created_at: datetime
    updated_at: datetime
    version: int


class ProductPage(BaseModel):
    """One offset page (v1)."""

    products: list[ProductSummary]
    page: int
    limit: int
    hasMore: bool  # noqa: N815 - the name of the design document


class ProductCursorPage(BaseModel):
    """One cursor page (v2)."""

    products: list[ProductSummary]
    nextCursor: str | None  # noqa: N815 - the name of the design document
    hasMore: bool  # noqa: N815 - the name of the design document


class ProductChange(BaseModel):
    """What an administrator may change; at least one field."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    description: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    price_usd: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] | None = None
    stock: Annotated[int, Field(ge=0, le=10**9)] | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError(f"change at least one of {', '.join(type(self).model_fields)}")
        return self
