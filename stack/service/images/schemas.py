"""What goes in and out of the image endpoints."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Image(BaseModel):
    """An upload. Its URLs answer once `state` is `ready`, and never change what they answer."""

    id: str  # SHA-256 of the upload
    state: Literal["waiting", "ready", "refused"]
    reason: str | None  # why it was refused
    media_type: str
    width: int
    height: int
    bytes: int
    urls: dict[Literal["thumbnail", "medium", "full"], str]


class ProductImage(BaseModel):
    """The upload that a product is to be shown with."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
