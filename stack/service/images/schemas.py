"""What comes out of the image endpoints."""

from typing import Literal

from pydantic import BaseModel


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
