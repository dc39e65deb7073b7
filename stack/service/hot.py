"""The reads that make up most traffic, answered before routing, dependencies and validation.

These cost a replica more than a cached read itself. A hot read answers what is plainly right and
leaves everything else to the route of the same path, which then says what is wrong: the rules and
their documentation stay with the routes, and a test holds that both answer alike.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote_plus

from bson import ObjectId
from starlette.types import Scope

from stack.service.errors import EXPECTED, answer_to
from stack.service.products.deprecation import tell_successor
from stack.service.products.service import ProductService
from stack.service.search.query import Wanted
from stack.service.search.service import SearchService

# Query strings are few and come again; what a stranger invents must not fill the memory.
REMEMBERED = 4_096
JSON = (b"content-type", b"application/json")
Read = Callable[[], Awaitable[bytes]]
Values = Mapping[str, str]

_SLUG = re.compile(r"[a-z0-9-]{1,64}")
_PAGE = re.compile(r"[1-9][0-9]{0,4}")
_SEARCH_PAGE = re.compile(r"[1-9][0-9]{0,3}")
_LIMIT = re.compile(r"[1-9][0-9]?|100")
_CURSOR = re.compile(r"[A-Za-z0-9_=-]{1,64}")
_TEXT = re.compile(r"[A-Za-z0-9 ]{1,100}")
_DETAIL = re.compile(r"/api/v1/products/([0-9a-f]{24})")


@dataclass(frozen=True, slots=True)
class HotRoute:
    """One hot read: the path of its route, what its parameters look like, and what it reads."""

    path: str
    parameters: Mapping[str, re.Pattern[str]]
    read: Callable[[Values], Awaitable[bytes]]
    required: frozenset[str] = frozenset()


class HotReads:
    """Finds the hot read that answers a request."""

    def __init__(
        self,
        products: ProductService,
        search: SearchService,
        page_size: int,
        *,
        cursors: bool = True,
    ) -> None:
        size = str(page_size)

        def listing(values: Values) -> Awaitable[bytes]:
            if cursors:
                tell_successor("/api/v1/products")
            page, limit = int(values.get("page", "1")), int(values.get("limit", size))
            return products.page(values.get("category"), page, limit)

        def listing_after(values: Values) -> Awaitable[bytes]:
            limit = int(values.get("limit", size))
            return products.page_after(values.get("category"), values.get("cursor"), limit)

        def found(values: Values) -> Awaitable[bytes]:
            wanted = Wanted.of(values["q"], values.get("category"))
            return search.page(wanted, int(values.get("page", "1")))

        shown = {"category": _SLUG, "limit": _LIMIT}
        text = {"q": _TEXT, "category": _SLUG, "page": _SEARCH_PAGE}
        routes = (
            HotRoute("/api/v1/products", shown | {"page": _PAGE}, listing),
            HotRoute("/api/v2/products", shown | {"cursor": _CURSOR}, listing_after),
            HotRoute("/api/v1/search", text, found, frozenset({"q"})),
        )
        self._routes = {
            route.path: route
            for route in routes
            if cursors or not route.path.startswith("/api/v2/")
        }
        self._detail = HotRoute(
            "/api/v1/products/{product}",
            {},
            lambda values: products.detail(ObjectId(values["product"])),
        )
        self._values = lru_cache(maxsize=REMEMBERED)(self._parsed)

    def find(self, scope: Scope) -> Read | None:
        """What answers this request; None: the routes do. Names the route in `scope`."""
        path: str = scope["path"]
        route = self._routes.get(path)
        if route is not None:
            values = self._values(path, scope["query_string"])
        else:
            match = _DETAIL.fullmatch(path)
            if match is None or scope["query_string"]:
                return None
            route, values = self._detail, {"product": match[1]}
        if values is None:
            return None
        scope["route"] = route
        return lambda: route.read(values)

    def _parsed(self, path: str, query: bytes) -> Values | None:
        route = self._routes[path]
        values: dict[str, str] = {}
        for pair in query.decode("latin-1").split("&") if query else ():
            name, _, value = pair.partition("=")
            value = unquote_plus(value) if name == "q" else value
            pattern = route.parameters.get(name)
            if pattern is None or name in values or pattern.fullmatch(value) is None:
                return None
            values[name] = value
        return values if route.required <= values.keys() else None


async def body_or_problem(read: Read) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Status, body and headers of a hot read's answer."""
    try:
        status, body, headers = 200, await read(), [JSON]
    except EXPECTED as error:
        answer = answer_to(error)
        return answer.status_code, bytes(answer.body), answer.raw_headers
    headers.append((b"content-length", b"%d" % len(body)))
    return status, body, headers
