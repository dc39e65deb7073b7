"""Which budget a request counts against, and whose."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import Headers
from starlette.types import Scope

from stack.infra.limits import Limits
from stack.service.auth.bearer import Bearer
from stack.service.errors import ServiceError, Unauthorised
from stack.service.limits.window import (
    WINDOW_S,
    OwnWindow,
    SharedWindow,
    Standing,
    WindowUnavailable,
)
from stack.service.metrics import Metrics
from stack.service.origin import Origins
from stack.service.trace import current_trace

BudgetName = Literal["auth", "search", "listing", "favourites"]

# What costs a search or a listing counts as one, by whatever version it is asked for. Completing
# is asked for at every key that is pressed, and costs less than a listing.
_BUDGETS: tuple[tuple[re.Pattern[str], str, BudgetName], ...] = (
    (re.compile(r"/api/v\d+/auth/(login|register|refresh)"), "POST", "auth"),
    (re.compile(r"/api/v\d+/search/suggestions"), "GET", "listing"),
    (re.compile(r"/api/v\d+/search(/.*)?"), "GET", "search"),
    (re.compile(r"/api/v\d+/products"), "GET", "listing"),
    (re.compile(r"/graphql/?"), "GET POST", "listing"),
    (re.compile(r"/api/v\d+/users/me/favourites(/.*)?"), "GET PUT DELETE", "favourites"),
)


class TooManyRequests(ServiceError):
    """The budget of this minute is spent."""

    status, title = 429, "Too many requests"

    def __init__(self, detail: str, wait_s: int) -> None:
        super().__init__(detail)
        self.headers = {"Retry-After": str(wait_s)}


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget and its size."""

    name: BudgetName
    quota: int


class Budgets:
    """Admits requests, or refuses those over budget.

    While Redis is away, search, listing and favourites are admitted uncounted (open: the load
    balancer's own limits stand), and what checks a secret is counted by each replica for itself
    (closed). Where the topology has no Redis, every replica counts everything for itself.
    """

    def __init__(
        self,
        limits: Limits,
        window: SharedWindow | None,
        bearer: Bearer,
        origins: Origins,
        metrics: Metrics,
    ) -> None:
        self._quotas: dict[BudgetName, int] = {
            "auth": limits.auth_per_min,
            "search": limits.search_per_min,
            "listing": limits.listing_per_min,
            "favourites": limits.favourites_per_min,
        }
        self._window = window
        self._own = OwnWindow()
        self._bearer = bearer
        self._origins = origins
        self._metrics = metrics

    async def admit(self, scope: Scope) -> None:
        """Count this request. Raises TooManyRequests; otherwise the answer will tell the rest."""
        name = budget_of(scope["method"], scope["path"])
        if name is None:
            return
        quota = self._quotas[name]
        key = f"{name}:{await self._client(name, scope)}"
        try:
            if self._window is None:
                standing = self._own.ask(key, quota)
            else:
                standing = await self._window.ask(key, quota)
        except WindowUnavailable:
            if name != "auth":
                self._metrics.budget_asked(name, "uncounted")
                return
            standing = self._own.ask(key, quota)
        current_trace().headers = _headers(name, quota, standing)
        self._metrics.budget_asked(name, "admitted" if standing.admitted else "refused")
        if not standing.admitted:
            raise TooManyRequests(
                f"{quota} requests a minute are allowed for {name}",
                math.ceil(standing.more_in_s),
            )

    async def _client(self, name: BudgetName, scope: Scope) -> str:
        """The user, if the token or key is good; else the address: a forged name buys nothing."""
        if name != "auth":
            try:
                principal = await self._bearer.principal(Headers(scope=scope))
            except Unauthorised:
                pass
            else:
                return f"user:{principal.user}"
        return f"address:{self._origins.address(scope)}"


def budget_of(method: str, path: str) -> BudgetName | None:
    """The budget that a request counts against; None for what has none (a product's page …)."""
    for pattern, methods, name in _BUDGETS:
        if method in methods.split() and pattern.fullmatch(path.rstrip("/")):
            return name
    return None


def _headers(name: str, quota: int, standing: Standing) -> list[tuple[bytes, bytes]]:
    # The two fields of draft-ietf-httpapi-ratelimit-headers: what is allowed, and what is left.
    left = f'"{name}";r={standing.remaining};t={math.ceil(standing.more_in_s)}'
    return [
        (b"ratelimit-policy", f'"{name}";q={quota};w={WINDOW_S:.0f}'.encode()),
        (b"ratelimit", left.encode()),
    ]
