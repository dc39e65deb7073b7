"""Opaque page cursors: where the next page starts, with a signature so that they stay opaque."""

import base64
import binascii
import hmac

from bson import ObjectId

from stack.infra.catalogue import Catalogue, last_product_before, listing_page, product_id
from stack.service.errors import InvalidRequest

_ID_BYTES = 12
_MAC_BYTES = 12


class CursorCodec:
    """Writes and reads cursors. A cursor is only good for the category it was given out for."""

    def __init__(self, secret: str) -> None:
        # A key of its own, so that a cursor's signature is never one of a token.
        self._key = hmac.digest(secret.encode(), b"page cursor", "sha256")

    def encode(self, category: str | None, after: ObjectId) -> str:
        """The cursor of the page that follows product `after`."""
        raw = after.binary + self._mac(category, after)
        return base64.urlsafe_b64encode(raw).decode()

    def decode(self, category: str | None, cursor: str) -> ObjectId:
        """The product after which the page starts. Raises InvalidRequest for a foreign cursor."""
        try:
            raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise InvalidRequest("`cursor` is not one that this API gave out") from error
        after = ObjectId(raw[:_ID_BYTES]) if len(raw) == _ID_BYTES + _MAC_BYTES else None
        if after is None or not hmac.compare_digest(raw[_ID_BYTES:], self._mac(category, after)):
            raise InvalidRequest("`cursor` is not one that this API gave out for this category")
        return after

    def _mac(self, category: str | None, after: ObjectId) -> bytes:
        said = (category or "").encode() + b"\0" + after.binary
        return hmac.digest(self._key, said, "sha256")[:_MAC_BYTES]


def listing_cursor(codec: CursorCodec, catalogue: Catalogue, key: int) -> str | None:
    """The cursor of listing key `key`, None for a first page; for the load generator."""
    after = last_product_before(catalogue, key)
    if after is None:
        return None
    return codec.encode(listing_page(catalogue, key)[0], product_id(after))
