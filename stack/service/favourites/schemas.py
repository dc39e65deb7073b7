"""What comes out of the favourites endpoints."""

from pydantic import BaseModel

from stack.service.products.schemas import ProductSummary


class Favourites(BaseModel):
    """The newest favourites of a user, newest first, and how many there are in all."""

    products: list[ProductSummary]
    total: int
