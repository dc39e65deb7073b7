"""Access tokens: short-lived JWTs, checked without asking a server.

What is presented as a bearer token is an access token, or an API key where the route allows one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import jwt
from bson import ObjectId
from bson.errors import InvalidId
from fastapi import Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers

from stack.service.errors import Forbidden, Unauthorised
from stack.service.trace import current_trace

if TYPE_CHECKING:
    from stack.service.auth.keys import ApiKeys
    from stack.service.auth.revocations import Revocations

ALGORITHM = "HS256"
ACCESS_TOKEN_S = 900.0
# Verified tokens are remembered, so that a signature is checked once and not at every request.
REMEMBERED = 10_000
KEY_MARK = "hrk_"

Role = Literal["user", "admin"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    user: ObjectId
    role: str
    expires_s: float
    session: str | None = None  # the login that the token came from
    token: str | None = None  # the token's own id, or the API key's
    scopes: frozenset[str] | None = None  # what an API key may do; None: no key, all of the role

    def require_role(self, role: Role) -> None:
        """Raise Forbidden unless the user has this role."""
        if self.role != role:
            raise Forbidden(f"this needs the role {role!r}")

    def require_scope(self, scope: str | None) -> None:
        """Raise Forbidden unless this is no API key, or one with the scope (None: no key may)."""
        if self.scopes is None or scope in self.scopes:
            return
        if scope is None:
            raise Forbidden("an API key may not do this; log in")
        raise Forbidden(f"this needs an API key with the scope {scope!r}")


def mint_access_token(
    secret: str,
    user: ObjectId,
    role: Role = "user",
    *,
    lifetime_s: float = ACCESS_TOKEN_S,
    now_s: float | None = None,
    session: str | None = None,
    token: str | None = None,
) -> str:
    """A signed access token; whoever holds the secret can mint one (login, load generator).

    Only a token that names its session or itself can be taken back before it expires.
    """
    issued_s = time.time() if now_s is None else now_s
    claims: dict[str, Any] = {
        "sub": str(user),
        "role": role,
        "type": "access",
        "iat": int(issued_s),
        "exp": int(issued_s + lifetime_s),
    }
    if session is not None:
        claims["sid"] = session
    if token is not None:
        claims["jti"] = token
    return jwt.encode(claims, secret, ALGORITHM)


class Bearer(HTTPBearer):
    """The dependency that turns an Authorization header into a Principal.

    As it is, it takes access tokens only; `allowing` makes one that takes API keys of a scope too.
    """

    def __init__(
        self,
        secret: str,
        clock: Callable[[], float] = time.time,
        *,
        revocations: "Revocations | None" = None,
        keys: "ApiKeys | None" = None,
        scope: str | None = None,
    ) -> None:
        super().__init__(auto_error=False, bearerFormat="JWT")
        self._secret = secret
        self._clock = clock
        self._revocations = revocations
        self._keys = keys
        self._scope = scope
        self._verified: dict[str, Principal] = {}

    def allowing(self, scope: str) -> "Bearer":
        """The same, but API keys that have this scope are let in too."""
        other = Bearer(
            self._secret,
            self._clock,
            revocations=self._revocations,
            keys=self._keys,
            scope=scope,
        )
        other._verified = self._verified
        return other

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override] # ours knows more
        """Who asks. Raises Unauthorised, Forbidden."""
        principal = await self.principal(request.headers)
        principal.require_scope(self._scope)
        current_trace().user = str(principal.user)
        return principal

    async def principal(self, headers: Headers) -> Principal:
        """Whose token or key these headers carry. Raises Unauthorised."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if not scheme:
            token = headers.get("x-api-key", "")
        elif scheme.lower() != "bearer":
            token = ""
        if not token:
            raise Unauthorised("send an access token: `Authorization: Bearer …`")
        if self._keys is not None and token.startswith(KEY_MARK):
            principal = await self._keys.principal(token)
        else:
            principal = self._verified.get(token) or self._verify(token)
        if principal.expires_s <= self._clock():
            raise Unauthorised("the access token has expired")
        if self._revocations is not None and self._revocations.cover(principal):
            what = "access token" if principal.scopes is None else "API key"
            raise Unauthorised(f"the {what} has been taken back")
        return principal

    def _verify(self, token: str) -> Principal:
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                # Expiry is checked at every request, remembered or not, by the caller.
                options={"require": ["sub", "exp", "iat"], "verify_exp": False},
            )
            if claims.get("type") != "access":
                raise Unauthorised("this is not an access token")
            principal = Principal(
                ObjectId(claims["sub"]),
                str(claims["role"]),
                float(claims["exp"]),
                claims.get("sid"),
                claims.get("jti"),
            )
        except jwt.InvalidAlgorithmError as error:
            raise Unauthorised(f"the access token must be signed with {ALGORITHM}") from error
        except jwt.InvalidSignatureError as error:
            raise Unauthorised("the access token was not signed here") from error
        except jwt.DecodeError as error:
            raise Unauthorised("the access token is not a JWT") from error
        except (jwt.InvalidTokenError, InvalidId, KeyError, ValueError, TypeError) as error:
            raise Unauthorised("the access token does not say what it must") from error
        if len(self._verified) >= REMEMBERED:
            self._verified.clear()
        self._verified[token] = principal
        return principal
