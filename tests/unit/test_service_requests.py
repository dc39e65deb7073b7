import asyncio
import base64
import json
import time
from itertools import pairwise

import httpx
import jwt
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from stack.infra.catalogue import Catalogue, product_id, user_id
from stack.service.auth.bearer import Bearer
from stack.service.auth.tokens import mint_access_token
from stack.service.breaker import Breaker
from stack.service.errors import Forbidden, InvalidRequest, Unauthorised
from stack.service.metrics import Metrics
from stack.service.middleware import Observed
from stack.service.products.cursor import CursorCodec, listing_cursor
from stack.service.search.query import Place, Wanted, elasticsearch_query, mongo_query, normalised

SECRET = "k" * 32


def principal_of(token, scheme="Bearer", secret=SECRET):
    headers = [(b"authorization", f"{scheme} {token}".encode())]
    request = Request({"type": "http", "headers": headers})
    return asyncio.run(Bearer(secret)(request))


def test_a_minted_token_names_its_user_and_role():
    principal = principal_of(mint_access_token(SECRET, user_id(3), "admin"))
    assert principal.user == user_id(3)
    principal.require_role("admin")


def test_a_shopper_is_not_an_administrator():
    with pytest.raises(Forbidden):
        principal_of(mint_access_token(SECRET, user_id(3))).require_role("admin")


def test_an_access_token_lives_fifteen_minutes():
    token = mint_access_token(SECRET, user_id(1), now_s=1_000)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 900


def unsigned(claims):
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in parts]
    return b".".join([*encoded, b""]).decode()


@pytest.mark.parametrize(
    ("token", "scheme"),
    [
        ("", "Bearer"),
        ("not.a.token", "Bearer"),
        (mint_access_token(SECRET, user_id(1)), "Basic"),
        (mint_access_token("x" * 32, user_id(1)), "Bearer"),
        (mint_access_token(SECRET, user_id(1), now_s=0), "Bearer"),
        (unsigned({"sub": str(user_id(1)), "exp": 9e9, "iat": 1, "type": "access"}), "Bearer"),
        (jwt.encode({"sub": "1" * 24, "iat": 1, "exp": 9e9, "type": "refresh"}, SECRET), "Bearer"),
        (jwt.encode({"sub": "$ne", "iat": 1, "exp": 9e9, "type": "access"}, SECRET), "Bearer"),
        (jwt.encode({"sub": "1" * 24, "iat": 1, "type": "access"}, SECRET), "Bearer"),
    ],
    ids=[
        *("empty", "garbage", "scheme", "foreign", "expired"),
        *("unsigned", "refresh", "injection", "endless"),
    ],
)
def test_anything_but_a_valid_access_token_is_refused(token, scheme):
    with pytest.raises(Unauthorised):
        principal_of(token, scheme)


def test_a_remembered_token_still_expires():
    now_s = time.time()
    clock = iter([now_s + 99, now_s + 101])
    bearer = Bearer(SECRET, lambda: next(clock))
    token = mint_access_token(SECRET, user_id(1), lifetime_s=100, now_s=now_s)
    headers = [(b"authorization", b"Bearer " + token.encode())]
    request = Request({"type": "http", "headers": headers})
    assert asyncio.run(bearer(request)).user == user_id(1)
    with pytest.raises(Unauthorised, match="expired"):
        asyncio.run(bearer(request))


def test_a_cursor_leads_back_to_its_product():
    codec = CursorCodec(SECRET)
    for category in (None, "headphones"):
        assert codec.decode(category, codec.encode(category, product_id(9))) == product_id(9)


def test_a_cursor_shows_nothing_of_the_secret_and_fits_in_a_url():
    cursor = CursorCodec(SECRET).encode("headphones", product_id(9))
    assert len(cursor) == 32
    assert httpx.QueryParams({"cursor": cursor})["cursor"] == cursor


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "abc",
        "é",
        "A" * 32,
        str(product_id(9)),
        CursorCodec(SECRET).encode(None, product_id(9)),
        CursorCodec(SECRET).encode("laptops", product_id(9)),
        CursorCodec("other" * 8).encode("headphones", product_id(9)),
        CursorCodec(SECRET).encode("headphones", product_id(9))[:-4],
    ],
)
def test_a_foreign_or_altered_cursor_is_refused(cursor):
    with pytest.raises(InvalidRequest):
        CursorCodec(SECRET).decode("headphones", cursor)


@pytest.mark.feature(
    "10 api: cursors are opaque and signed",
    endpoint="GET /api/v2/products",
    module="stack/service/products/cursor.py",
)
def test_every_single_changed_letter_spoils_a_cursor():
    codec = CursorCodec(SECRET)
    cursor = codec.encode("headphones", product_id(9))
    for at, letter in enumerate(cursor):
        altered = cursor[:at] + ("A" if letter != "A" else "B") + cursor[at + 1 :]
        with pytest.raises(InvalidRequest):
            codec.decode("headphones", altered)


def test_first_pages_need_no_cursor():
    catalogue = Catalogue(products=100, categories=2, pages_per_category=3, page_size=5)
    codec = CursorCodec(SECRET)
    without = [
        key
        for key in range(catalogue.listing_keys)
        if listing_cursor(codec, catalogue, key) is None
    ]
    assert without == [0, 3, 6]


def test_searches_that_look_alike_share_one_key():
    assert normalised("  Wireless\tHEADPHONES ") == normalised("wireless headphones")
    assert normalised("ﬁne") == "fine"


def test_a_text_search_cannot_smuggle_operators_into_mongodb():
    query = mongo_query(Wanted('headphones -cheap "exact" $where'))
    assert query == {"$text": {"$search": "headphones cheap exact where"}}


def test_price_facets_leave_no_gap():
    query = elasticsearch_query(Wanted("x"), Place(), 20, overview=True)
    ranges = query["aggs"]["price_usd"]["aggs"]["values"]["range"]["ranges"]
    assert "from" not in ranges[0]
    assert "to" not in ranges[-1]
    for lower, upper in pairwise(ranges):
        assert lower["to"] == upper["from"]


def test_a_breaker_opens_after_failures_in_a_row_only():
    breaker = Breaker(failures=2, pause_s=1000)
    breaker.failed()
    breaker.worked()
    breaker.failed()
    assert not breaker.is_open
    breaker.failed()
    assert breaker.is_open


def answered(path, headers=None):
    async def fails(_):
        raise RuntimeError("a secret detail")

    async def works(_):
        return PlainTextResponse("fine")

    metrics = Metrics("api-7")
    app = Starlette(
        routes=[Route("/fails", fails), Route("/works", works)],
        middleware=[Middleware(Observed, metrics=metrics, replica="api-7")],
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://stack")

    async def get():
        async with client:
            return await client.get(path, headers=headers)

    return asyncio.run(get()), metrics.exposition().decode()


def test_an_unexpected_error_is_a_problem_document_that_tells_nothing_but_its_id():
    answer, metrics = answered("/fails", {"X-Request-Id": "mine-1"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == "mine-1"
    assert "secret" not in answer.text
    assert 'headroom_errors_total{method="GET",route="/fails"} 1.0' in metrics


def test_a_request_id_is_echoed_and_an_unusable_one_replaced():
    answer, _ = answered("/works", {"X-Request-Id": "a1b2"})
    assert answer.headers["x-request-id"] == "a1b2"
    answer, _ = answered("/works", {"X-Request-Id": "<script>"})
    assert answer.headers["x-request-id"] != "<script>"
    assert len(answer.headers["x-request-id"]) == 16


def test_an_answer_says_who_served_it_and_how_long_it_took():
    answer, _ = answered("/works")
    assert answer.headers["x-served-by"] == "api-7"
    assert answer.headers["x-cache"] == "none"
    assert answer.headers["server-timing"].startswith("app;dur=")


def test_unknown_paths_share_one_metric():
    for path in ("/wp-admin", "/.env"):
        _, metrics = answered(path)
        assert 'route="(none)"' in metrics
        assert path not in metrics
