"""Whoever wrote reads what they wrote, also where reads go to secondaries that may lag.

A write's answer carries a token with its moment, as header and as cookie: a browser sends the
cookie back by itself, another client the header. For `PRIMARY_S` after that moment requests with
the token are read from the primary. The client carries it, so every replica knows, without a store
of its own. It is signed: invented tokens cannot move others' reads to the primary.

A cached answer needs none of this: a write voids what shows it, and what is read anew soon after
that is read from the primary for everybody.
"""

import hmac
import time
from http.cookies import CookieError, SimpleCookie

from starlette.types import Scope

from stack.service.trace import current_trace

HEADER = b"x-wrote"
COOKIE = "headroom_wrote"
# Far longer than a healthy secondary lags.
PRIMARY_S = 10.0
_MAC_LETTERS = 24


class OwnWrites:
    """Gives out tokens, and knows them again."""

    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), b"own writes", "sha256")

    def note(self) -> None:
        """Let the answer to the current request say that it wrote."""
        token = self.token(time.time())
        cookie = f"{COOKIE}={token}; Max-Age={PRIMARY_S:.0f}; Path=/; HttpOnly; SameSite=Lax"
        trace = current_trace()
        trace.headers = [
            *trace.headers,
            (HEADER, token.encode()),
            (b"set-cookie", cookie.encode()),
        ]

    def token(self, at_s: float) -> str:
        """The token of a write at this moment."""
        moment = f"{int(at_s * 1000):x}"
        return f"{moment}.{self._mac(moment)}"

    def are_said_in(self, scope: Scope) -> bool:
        """Whether this request comes from someone who wrote a moment ago."""
        for name, value in scope["headers"]:
            if name == HEADER:
                text = value.decode("latin-1")
            elif name == b"cookie" and COOKIE.encode() in value:
                text = _cookie(value.decode("latin-1"))
            else:
                continue
            if self._is_fresh(text):
                return True
        return False

    def _is_fresh(self, token: str) -> bool:
        moment, _, mac = token.partition(".")
        if not hmac.compare_digest(mac.encode("latin-1"), self._mac(moment).encode()):
            return False
        return time.time() - int(moment, 16) / 1000 < PRIMARY_S

    def _mac(self, moment: str) -> str:
        return hmac.digest(self._key, moment.encode("latin-1"), "sha256").hex()[:_MAC_LETTERS]


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
