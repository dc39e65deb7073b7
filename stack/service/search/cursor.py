"""Cursors of a search: where its next page starts, signed, and good for this one search only."""

import base64
import binascii
import hmac
import struct

from bson import ObjectId

from stack.service.errors import InvalidRequest
from stack.service.search.query import Place, Wanted

_MAC_BYTES = 12
# How many results came before, the last one's score and id; then, where Elasticsearch found them,
# its point in time.
_AFTER = struct.Struct(">Id12s")
LONGEST_CURSOR = 2_000


class SearchCursors:
    """Writes and reads the cursors of searches."""

    def __init__(self, secret: str) -> None:
        # A key of its own, so that a cursor's signature is never one of a token or of a list.
        self._key = hmac.digest(secret.encode(), b"search cursor", "sha256")

    def encode(self, wanted: Wanted, place: Place) -> str:
        """The cursor of the page that starts at `place`, which names the result before it."""
        assert place.after is not None
        score, product = place.after
        body = _AFTER.pack(place.offset, score, bytes.fromhex(product)) + _packed(place.snapshot)
        return base64.urlsafe_b64encode(body + self._mac(wanted, body)).decode()

    def decode(self, wanted: Wanted, cursor: str) -> Place:
        """Where the page starts. Raises InvalidRequest for a foreign cursor."""
        try:
            raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise InvalidRequest("`cursor` is not one that this API gave out") from error
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(body) < _AFTER.size or not hmac.compare_digest(mac, self._mac(wanted, body)):
            raise InvalidRequest("`cursor` is not one that this API gave out for this search")
        offset, score, product = _AFTER.unpack_from(body)
        return Place(offset, (score, str(ObjectId(product))), _unpacked(body[_AFTER.size :]))

    def _mac(self, wanted: Wanted, body: bytes) -> bytes:
        said = str(wanted).encode() + b"\0" + body
        return hmac.digest(self._key, said, "sha256")[:_MAC_BYTES]


def _packed(snapshot: str) -> bytes:
    """The name of a point in time in three quarters of its length."""
    return base64.urlsafe_b64decode(snapshot)


def _unpacked(packed: bytes) -> str:
    return base64.urlsafe_b64encode(packed).decode()
