"""Who asks, and what they may do."""

from dataclasses import dataclass
from typing import Literal

from bson import ObjectId

from stack.service.errors import Forbidden

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
