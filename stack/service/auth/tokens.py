"""Access tokens: short-lived JWTs, checked without asking the database."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jwt
from bson import ObjectId
from bson.errors import InvalidId
from fastapi import Request
from fastapi.security import HTTPBearer

from stack.service.errors import Forbidden, Unauthorised
from stack.service.trace import current_trace

ALGORITHM = "HS256"
ACCESS_TOKEN_S = 900.0
# Verified tokens are remembered, so that a signature is checked once and not at every request.
REMEMBERED = 10_000

Role = Literal["user", "admin"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    user: ObjectId
    role: str
    expires_s: float

    def require_role(self, role: Role) -> None:
        """Raise Forbidden unless the user has this role."""
        if self.role != role:
            raise Forbidden(f"this needs the role {role!r}")


def mint_access_token(
    secret: str,
    user: ObjectId,
    role: Role = "user",
    *,
    lifetime_s: float = ACCESS_TOKEN_S,
    now_s: float | None = None,
) -> str:
    """A signed access token; whoever holds the secret can mint one (login, load generator)."""
    issued_s = time.time() if now_s is None else now_s
    claims = {
        "sub": str(user),
        "role": role,
        "type": "access",
        "iat": int(issued_s),
        "exp": int(issued_s + lifetime_s),
    }
    return jwt.encode(claims, secret, ALGORITHM)


class Bearer(HTTPBearer):
    """The dependency that turns an Authorization header into a Principal."""

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__(auto_error=False, bearerFormat="JWT")
        self._secret = secret
        self._clock = clock
        self._verified: dict[str, Principal] = {}

    async def __call__(self, request: Request) -> Principal:  # type: ignore[override] # ours knows more
        """Who asks. Raises Unauthorised."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorised("send an access token: `Authorization: Bearer …`")
        principal = self._verified.get(token)
        if principal is None:
            principal = self._verify(token)
        if principal.expires_s <= self._clock():
            raise Unauthorised("the access token has expired")
        current_trace().user = str(principal.user)
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
            expires_s = float(claims["exp"])
            principal = Principal(ObjectId(claims["sub"]), str(claims["role"]), expires_s)
        except (jwt.InvalidTokenError, InvalidId, KeyError, ValueError, TypeError) as error:
            raise Unauthorised("the access token is not valid") from error
        if len(self._verified) >= REMEMBERED:
            self._verified.clear()
        self._verified[token] = principal
        return principal
