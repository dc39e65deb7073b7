"""What is answered before routing is answered as the routes would have done it."""

import asyncio
import random

import pytest
from fastapi import APIRouter
from replicas import replicas

from stack.infra.catalogue import category_slug, product_id
from stack.service.hot import HotReads
from stack.service.products.cursor import CursorCodec

FINDER = HotReads(None, None, 20)
# A parameter that no route has: routes let it pass, hot reads leave such a request alone.
PLAIN = "plain=1"


def found(path, query=""):
    scope = {"path": path, "query_string": query.encode("latin-1")}
    return FINDER.find(scope), scope.get("route")


@pytest.mark.parametrize(
    ("path", "query", "route"),
    [
        ("/api/v1/products", "", "/api/v1/products"),
        ("/api/v1/products", "limit=100&page=7&category=toys-2", "/api/v1/products"),
        ("/api/v2/products", "category=toys&cursor=AAAA", "/api/v2/products"),
        (f"/api/v1/products/{product_id(1)}", "", "/api/v1/products/{product}"),
        ("/api/v1/search", "q=wireless+headphones&category=toys", "/api/v1/search"),
    ],
)
def test_a_plain_read_is_hot_and_is_counted_under_its_route(path, query, route):
    read, counted = found(path, query)
    assert read is not None
    assert counted.path == route


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/v1/products", "page=0"),
        ("/api/v1/products", "page=01"),
        ("/api/v1/products", "page=1&page=2"),
        ("/api/v1/products", "limit=101"),
        ("/api/v1/products", "category[$ne]=x"),
        ("/api/v1/products", "category=Toys"),
        ("/api/v1/products", "cursor=AAAA"),
        ("/api/v1/products", PLAIN),
        ("/api/v1/products", "&"),
        ("/api/v1/products/", ""),
        ("/api/v2/products", "cursor="),
        ("/api/v2/products", "cursor=é"),
        ("/api/v1/products/nonsense", ""),
        ("/api/v1/search", ""),
        ("/api/v1/search", "category=toys"),
        ("/api/v1/search", "q=%24where"),
        ("/api/v1/users/me/favourites", ""),
        ("/livez", ""),
    ],
)
def test_whatever_is_not_plainly_right_is_left_to_the_routes(path, query):
    assert found(path, query) == (None, None)


@pytest.mark.feature(
    "3 cache: cached reads are answered before routing",
    endpoint="GET /api/v1/products, GET /api/v1/search",
    module="stack/service/hot.py",
)
def test_hot_reads_and_routes_give_the_same_answers(live_stack, monkeypatch):
    rng = random.Random(7)
    codec = CursorCodec(live_stack.info.jwt_secret)
    routed, route = [], APIRouter.__call__

    async def noted(router, scope, receive, send):
        routed.append(scope["query_string"].decode())
        await route(router, scope, receive, send)

    monkeypatch.setattr(APIRouter, "__call__", noted)  # notes, then routes as ever
    slugs = [category_slug(c) for c in range(6)] + ["no-such"]

    def listing():
        slug = rng.choice(slugs)
        yield f"/api/v1/products?category={slug}&page={rng.randrange(1, 9)}"
        yield f"/api/v1/products?limit={rng.randrange(1, 101)}&category={slug}"
        cursor = codec.encode(rng.choice(slugs), product_id(rng.randrange(600)))
        yield f"/api/v2/products?category={slug}&cursor={cursor}&limit={rng.randrange(1, 30)}"
        yield f"/api/v1/products/{product_id(rng.randrange(700))}?"
        text = rng.choice(("headphones", "portible", "zzz"))
        yield f"/api/v1/search?q={text}&page={rng.randrange(1, 4)}"

    async def scenario():
        async with replicas(live_stack.info) as (api,):
            statuses = set()
            for path in (path for _ in range(8) for path in listing()):
                same_id = {"X-Request-Id": "the-same"}
                await api.http.get(path.rstrip("?"))  # what can be cached is cached
                hot = await api.http.get(path.rstrip("?"), headers=same_id)
                plain = await api.http.get(f"{path}&{PLAIN}", headers=same_id)
                assert hot.status_code == plain.status_code, path
                assert hot.content == plain.content, path
                told = [
                    {k: v for k, v in answer.headers.items() if k != "server-timing"}
                    for answer in (hot, plain)
                ]
                assert told[0] == told[1], path
                statuses.add(hot.status_code)
            return statuses

    assert asyncio.run(scenario()) == {200, 404, 422}
    assert len(routed) == 40  # the plain ones, and not one of those that are hot
    assert all(PLAIN in query for query in routed)
