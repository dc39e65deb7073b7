"""What comes out of the recommendations."""

from typing import Literal

from pydantic import BaseModel

from stack.service.products.schemas import ProductSummary


class Recommendations(BaseModel):
    """Products that go with one product, best first.

    `co_favourites`: most users have both as favourites. `category`: nobody has yet, so these are
    the newest of its category.
    """

    products: list[ProductSummary]
    basis: Literal["co_favourites", "category"]
