"""Refresh tokens: a session's name, a number that rises with each use, and a seal over both.

Nothing of a token is stored but its session's number, so whoever reads the database can make none.
And since a token follows from its number, a client that asks twice at once gets the same answer.
"""

import base64
import hashlib
import hmac
from typing import NamedTuple

from bson import ObjectId

from stack.service.errors import Unauthorised

MARK = "hrr_"


class RefreshToken(NamedTuple):
    """What a refresh token says."""

    user: ObjectId
    session: str
    generation: int


class RefreshTokens:
    """Writes and reads refresh tokens."""

    def __init__(self, secret: str) -> None:
        # A key of its own: no access token is ever a seal, nor the other way round.
        self._key = hmac.digest(secret.encode(), b"refresh tokens", hashlib.sha256)

    def written(self, token: RefreshToken) -> str:
        """The token as text."""
        said = f"{MARK}{token.user}.{token.session}.{token.generation}"
        return f"{said}.{self._seal(said)}"

    def read(self, text: str) -> RefreshToken:
        """What the token says. Raises Unauthorised unless it was written here."""
        said, _, seal = text.rpartition(".")
        if not hmac.compare_digest(self._seal(said).encode(), seal.encode()):
            raise Unauthorised("this is not a refresh token of ours")
        user, session, generation = said.removeprefix(MARK).split(".")
        return RefreshToken(ObjectId(user), session, int(generation))

    def access_id(self, token: RefreshToken) -> str:
        """The id of the access token that was given out together with this one."""
        return self._seal(f"access {token.session} {token.generation}")[:22]

    def _seal(self, said: str) -> str:
        digest = hmac.digest(self._key, said.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
