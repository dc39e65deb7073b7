"""What a bearer token is: an access token, or an API key where the route allows one."""

import time
from collections.abc import Callable

import jwt
from bson import ObjectId
from bson.errors import InvalidId
from fastapi import Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers

from stack.service.auth.keys import KEY_MARK, ApiKeys
from stack.service.auth.principal import Principal
from stack.service.auth.revocations import Revocations
from stack.service.auth.tokens import ALGORITHM
from stack.service.errors import Unauthorised
from stack.service.trace import current_trace

# Verified tokens are remembered, so that a signature is checked once and not at every request.
REMEMBERED = 10_000


class Bearer(HTTPBearer):
    """The dependency that turns an Authorization header into a Principal.

    As it is, it takes access tokens only; `allowing` makes one that takes API keys of a scope too.
    """

    def __init__(
        self,
        secret: str,
        clock: Callable[[], float] = time.time,
        *,
        revocations: Revocations | None = None,
        keys: ApiKeys | None = None,
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
