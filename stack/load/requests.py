"""From an operation and its numbers to the bytes of an HTTP request."""

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPMethod
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from stack.infra.catalogue import (
    SEEDED_PASSWORD,
    Catalogue,
    admin_id,
    listing_page,
    product_id,
    query_text,
    user_email,
    user_id,
)
from stack.infra.operations import Operation
from stack.infra.pictures import noise_picture
from stack.load.errors import InvalidTrace
from stack.service.auth.tokens import mint_access_token
from stack.service.products.cursor import CursorCodec, listing_cursor

# The status with which the service answers a request that it has carried out.
EXPECTED_STATUS: Mapping[Operation, int] = {
    Operation.LIST: 200,
    Operation.LIST_CURSOR: 200,
    Operation.DETAIL: 200,
    Operation.SEARCH: 200,
    Operation.FAVOURITES: 200,
    Operation.FAVOURITE_ADD: 204,
    Operation.PRODUCT_UPDATE: 200,
    Operation.LOGIN: 200,
    Operation.REGISTER: 201,
    Operation.IMAGE_UPLOAD: 202,
}
TOKEN_LIFETIME_S = 86_400.0  # a run is shorter; a shopper's own token lives 15 minutes
STOCK_VALUES = 400  # stock is set to one of these, so that an update nearly always changes it
_BODY_TYPE = "Content-Type: application/json\r\n"


@dataclass(frozen=True)
class Credentials:
    """What the load generator needs to speak for any user: the secret that signs their tokens.

    Where the stack counts requests by address, each user must have one too, and is believed.
    """

    jwt_secret: str
    own_addresses: bool = False

    def __repr__(self) -> str:
        return "Credentials(…)"


class PreparedRequest(NamedTuple):
    """A request in three pieces; `X-Request-Id` and an empty line go before the body.

    `authorization` is what says who asks: a token, and an address where those count.
    """

    head: bytes
    authorization: bytes
    body: bytes

    def on_the_wire(self, request_id: str) -> bytes:
        """All bytes of the request."""
        identity = f"X-Request-Id: {request_id}\r\n\r\n".encode()
        return self.head + self.authorization + identity + self.body


def address_of(base_url: str) -> tuple[str, int]:
    """Host and port of a base URL; only plain HTTP without a path is spoken."""
    url = urlsplit(base_url)
    if url.scheme != "http" or not url.hostname or url.path not in ("", "/"):
        raise ValueError(f"{base_url!r} is no base URL; allowed: http://host:port")
    return url.hostname, url.port or 80


class RequestBook:
    """Requests to one stack with one catalogue. The same numbers give the same bytes.

    But for pictures: each book has others.
    """

    def __init__(
        self, base_url: str, catalogue: Catalogue, credentials: Credentials, run_id: str
    ) -> None:
        host, port = address_of(base_url)
        self.catalogue = catalogue
        self.run_id = run_id
        self._fixed = f"Host: {host}:{port}\r\nUser-Agent: headroom-load\r\nAccept: */*\r\n"
        self._secret = credentials.jwt_secret
        self._own_addresses = credentials.own_addresses
        self._once = secrets.token_hex(8)
        self._issued_s = time.time() // 3600 * 3600
        self._cursors = CursorCodec(credentials.jwt_secret)
        self._bearer = lru_cache(maxsize=None)(self._bearer_line)
        self._page = lru_cache(maxsize=None)(self._page_head)

    def request(
        self, operation: Operation, key: int, user: int, request_id: int
    ) -> PreparedRequest:
        """The request for `key` by `user`. Raises InvalidTrace for numbers that are not stored."""
        self._check(operation, key, user)
        prepared = self._prepared(operation, key, user, request_id)
        if not self._own_addresses:
            return prepared
        return prepared._replace(authorization=prepared.authorization + _address_line(user))

    def _prepared(
        self, operation: Operation, key: int, user: int, request_id: int
    ) -> PreparedRequest:
        if operation in {Operation.LIST, Operation.LIST_CURSOR}:
            return PreparedRequest(self._page(operation, key), b"", b"")
        if operation in {Operation.LOGIN, Operation.REGISTER}:
            return self._account(operation, key)
        return self._product_or_own(operation, key, user, request_id)

    def _product_or_own(
        self, operation: Operation, key: int, user: int, request_id: int
    ) -> PreparedRequest:
        favourites = "/api/v1/users/me/favourites"
        match operation:
            case Operation.SEARCH:
                return self._get(f"/api/v1/search?q={quote(query_text(self.catalogue, key))}")
            case Operation.FAVOURITES:
                return self._get(favourites, self._bearer(user))
            case Operation.FAVOURITE_ADD:
                path = f"{favourites}/{product_id(key)}"
                return self._send(HTTPMethod.PUT, path, None, self._bearer(user))
            case Operation.PRODUCT_UPDATE:
                change = {"stock": request_id % STOCK_VALUES}
                path = f"/api/v1/products/{product_id(key)}"
                return self._send(HTTPMethod.PATCH, path, change, self._bearer(None))
            case Operation.IMAGE_UPLOAD:
                return self._upload(key)
            case _:
                return self._get(f"/api/v1/products/{product_id(key)}")

    def _upload(self, key: int) -> PreparedRequest:
        """A picture of this book's own: what was uploaded before is made into no sizes again."""
        picture = noise_picture(f"{self._once}-{key}")
        mark = hashlib.sha256(picture).hexdigest()[:32]
        opening = (
            f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{key}.png"\r\n'
            "Content-Type: image/png\r\n\r\n"
        )
        body = opening.encode() + picture + f"\r\n--{mark}--\r\n".encode()
        head = (
            f"POST /api/v1/images HTTP/1.1\r\n{self._fixed}"
            f"Content-Type: multipart/form-data; boundary={mark}\r\n"
            f"Content-Length: {len(body)}\r\n"
        )
        return PreparedRequest(head.encode(), self._bearer(None), body)

    def _account(self, operation: Operation, key: int) -> PreparedRequest:
        if operation is Operation.LOGIN:
            login = {"email": user_email(key), "password": SEEDED_PASSWORD}
            return self._send(HTTPMethod.POST, "/api/v1/auth/login", login)
        # An address of this run's own: the same trace can be sent to the same stack again.
        account = {
            "email": f"new.{self.run_id}.{key}@example.com",
            "password": SEEDED_PASSWORD,
            "name": f"New shopper {key}",
        }
        return self._send(HTTPMethod.POST, "/api/v1/auth/register", account)

    def _check(self, operation: Operation, key: int, user: int) -> None:
        stored = self.catalogue
        limit = {
            Operation.LIST: stored.listing_keys,
            Operation.LIST_CURSOR: stored.listing_keys,
            Operation.SEARCH: stored.search_queries,
            Operation.FAVOURITES: stored.users,
            Operation.LOGIN: stored.users,
            Operation.REGISTER: 2**63,
            Operation.IMAGE_UPLOAD: 2**63,
        }.get(operation, stored.products)
        if not 0 <= key < limit:
            raise InvalidTrace(what=f"{operation} key", value=key, allowed=f"0 to {limit - 1}")
        if not 0 <= user < stored.users:
            allowed = f"0 to {stored.users - 1}"
            raise InvalidTrace(what=f"{operation} user", value=user, allowed=allowed)

    def _page_head(self, operation: Operation, key: int) -> bytes:
        category, page = listing_page(self.catalogue, key)
        query: dict[str, str | int] = {} if category is None else {"category": category}
        if operation is Operation.LIST:
            query["page"] = page
            return self._get(f"/api/v1/products?{urlencode(query)}").head
        cursor = listing_cursor(self._cursors, self.catalogue, key)
        if cursor is not None:
            query["cursor"] = cursor
        return self._get(f"/api/v2/products?{urlencode(query)}".rstrip("?")).head

    def _get(self, target: str, authorization: bytes = b"") -> PreparedRequest:
        head = f"GET {target} HTTP/1.1\r\n{self._fixed}"
        return PreparedRequest(head.encode(), authorization, b"")

    def _send(
        self,
        method: HTTPMethod,
        target: str,
        content: Mapping[str, object] | None,
        authorization: bytes = b"",
    ) -> PreparedRequest:
        body = b"" if content is None else json.dumps(content).encode()
        kind = _BODY_TYPE if body else ""
        length = f"Content-Length: {len(body)}\r\n"
        head = f"{method} {target} HTTP/1.1\r\n{self._fixed}{kind}{length}"
        return PreparedRequest(head.encode(), authorization, body)

    def _bearer_line(self, user: int | None) -> bytes:
        """The Authorization header of a shopper, or of the administrator for None."""
        token = mint_access_token(
            self._secret,
            admin_id() if user is None else user_id(user),
            "admin" if user is None else "user",
            lifetime_s=TOKEN_LIFETIME_S,
            # To the hour: repeated runs send the same tokens, which the service remembers.
            now_s=self._issued_s,
        )
        return f"Authorization: Bearer {token}\r\n".encode()


def _address_line(user: int) -> bytes:
    """An address of the user's own in 10.0.0.0/8; past 16 million users they are used again."""
    first, rest = divmod(user % 2**24, 2**16)
    return f"X-Forwarded-For: 10.{first}.{rest // 256}.{rest % 256}\r\n".encode()
