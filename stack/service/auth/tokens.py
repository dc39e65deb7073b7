"""Access tokens: short-lived JWTs, checked without asking a server."""

import time
from typing import Any

import jwt
from bson import ObjectId

from stack.service.auth.principal import Role

ALGORITHM = "HS256"
ACCESS_TOKEN_S = 900.0


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
