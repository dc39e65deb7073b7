"""The API through the load balancer of a live stack: two replicas, all servers real."""

import asyncio
import uuid

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from stack.infra.catalogue import (
    SEEDED_PASSWORD,
    admin_id,
    category_slug,
    product_id,
    query_text,
    user_email,
    user_id,
)
from stack.infra.connections import redis_client
from stack.infra.operations import Family
from stack.service.cache import Cache, FamilyPolicy
from stack.service.favourites.service import MOST
from stack.service.metrics import Metrics
from stack.service.products.cursor import CursorCodec, listing_cursor
from stack.service.products.schemas import Product, ProductCursorPage, ProductPage
from stack.service.search.schemas import SearchPage

FAVOURITES = "/api/v1/users/me/favourites"


def change(api, as_user, number, **fields):
    answer = api.patch(
        f"/api/v1/products/{product_id(number)}", json=fields, headers=as_user(admin_id(), "admin")
    )
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.feature(
    "10 api: v1 with offset pages, v2 with `{products, nextCursor, hasMore}`",
    endpoint="GET /api/v1/products, GET /api/v2/products",
    module="stack/service/products/endpoints.py",
)
def test_offset_and_cursor_pages_show_the_same_products(api, live_stack, catalogue):
    codec = CursorCodec(live_stack.info.jwt_secret)
    for key in (0, 1, 7):
        group, page = divmod(key, catalogue.pages_per_category)
        where = {"category": category_slug(group - 1)} if group else {}
        first = ProductPage.model_validate_json(
            api.get("/api/v1/products", params={**where, "page": page + 1}).content
        )
        cursor = listing_cursor(codec, catalogue, key)
        second = ProductCursorPage.model_validate_json(
            api.get(
                "/api/v2/products", params=where | ({"cursor": cursor} if cursor else {})
            ).content
        )
        assert first.products == second.products
        assert len(first.products) == catalogue.page_size


@pytest.mark.feature(
    "9 indexes: cursor pages by `_id`",
    endpoint="GET /api/v2/products",
    module="stack/service/products/cursor.py",
)
def test_following_the_cursor_visits_every_product_of_a_category_once(api, catalogue):
    seen, cursor = [], None
    while True:
        params = {"category": category_slug(2), "limit": 30} | (
            {"cursor": cursor} if cursor else {}
        )
        page = api.get("/api/v2/products", params=params).json()
        seen += [product["id"] for product in page["products"]]
        cursor = page["nextCursor"]
        if not page["hasMore"]:
            break
    expected = [str(product_id(p)) for p in range(catalogue.products) if p % 6 == 2]
    assert seen == expected[::-1]
    assert cursor is None


@pytest.mark.feature(
    "3 cache: product listings",
    endpoint="GET /api/v1/products",
    module="stack/service/cache.py",
)
def test_a_list_is_answered_from_the_cache_the_second_time_by_either_replica(api):
    params = {"category": category_slug(1), "limit": 7}
    answers = [api.get("/api/v1/products", params=params) for _ in range(5)]
    assert [answer.headers["x-cache"] for answer in answers] == ["miss"] + ["hit"] * 4
    assert len({answer.headers["x-served-by"] for answer in answers}) == 2
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.feature(
    "3 cache: an update clears related keys",
    endpoint="PATCH /api/v1/products/{product}",
    module="stack/service/cache.py",
)
def test_an_update_clears_the_lists_that_show_the_product_and_no_other(api, as_user):
    lists = [{"category": category_slug(0)}, {}, {"category": category_slug(4)}]
    for params in lists:
        api.get("/api/v1/products", params=params)
    changed = change(api, as_user, 594, stock=17)
    outcomes = [api.get("/api/v1/products", params=p).headers["x-cache"] for p in lists]
    assert outcomes == ["miss", "miss", "hit"]
    detail = api.get(f"/api/v1/products/{product_id(594)}")
    assert detail.headers["x-cache"] == "none"
    assert Product.model_validate_json(detail.content).stock == 17
    assert detail.json()["version"] == changed["version"]


@pytest.mark.feature(
    "3 cache: search results, void once the index has changed",
    endpoint="GET /api/v1/search",
    module="stack/worker/indexer.py",
)
def test_a_changed_title_can_be_searched_and_old_results_are_void(api, as_user):
    word = f"quokka{uuid.uuid4().hex[:8]}"
    before = api.get(f"/api/v1/products/{product_id(11)}").json()["title"]
    assert api.get("/api/v1/search", params={"q": word}).json()["total"] == 0
    change(api, as_user, 11, title=f"Grand {word}")
    for _ in range(600):  # each try is a request; the indexer needs some tenths of a second
        found = api.get("/api/v1/search", params={"q": word}).json()
        if found["total"] and not found["degraded"]:
            break
    change(api, as_user, 11, title=before)
    assert [product["id"] for product in found["products"]] == [str(product_id(11))]
    assert found["engine"] == "elasticsearch"


@pytest.mark.feature(
    "4 search: typing errors, facets",
    endpoint="GET /api/v1/search",
    module="stack/service/search/query.py",
)
def test_a_typing_error_is_forgiven_and_facets_count_the_results(api):
    def found(text):
        for _ in range(60):  # on a busy machine the fallback may answer for a moment
            answer = api.get("/api/v1/search", params={"q": text})
            page = SearchPage.model_validate_json(answer.content)
            if not page.degraded:
                return page
        raise AssertionError("the search engine does not answer")

    right, wrong = found("headphones"), found("haedphones")
    assert right.total > 0
    assert {p.id for p in wrong.products} & {p.id for p in right.products}
    assert sum(value.count for value in right.facets.price_usd) == right.total


def test_seeded_queries_find_something_even_when_mistyped(api, catalogue):
    totals = [
        api.get("/api/v1/search", params={"q": query_text(catalogue, query)}).json()["total"]
        for query in range(20)
    ]
    assert sum(total > 0 for total in totals) >= 15


@pytest.mark.feature(
    "3 cache: favourites of a user, read back at once after a write",
    endpoint="GET /api/v1/users/me/favourites",
    module="stack/service/favourites/service.py",
)
def test_a_user_sees_an_own_favourite_at_once_and_others_do_not(api, as_user):
    mine, other = as_user(user_id(7)), as_user(user_id(8))
    product = str(product_id(123))
    before = api.get(FAVOURITES, headers=mine).json()
    api.get(FAVOURITES, headers=other)
    assert api.put(f"{FAVOURITES}/{product}", headers=mine).status_code == 204
    after = api.get(FAVOURITES, headers=mine)
    assert after.headers["x-cache"] == "miss"
    assert after.json()["products"][0]["id"] == product
    assert api.get(FAVOURITES, headers=other).headers["x-cache"] == "hit"
    assert api.delete(f"{FAVOURITES}/{product}", headers=mine).status_code == 204
    assert api.get(FAVOURITES, headers=mine).json() == before


def test_a_full_list_of_favourites_takes_no_more_and_keeps_what_it_has(api, as_user, users):
    mine, account = as_user(user_id(12)), {"_id": user_id(12)}
    before = users.find_one(account)["favorites"]
    full = [product_id(number) for number in range(100, 100 + MOST)]
    users.update_one(account, {"$set": {"favorites": full}})
    try:
        assert api.put(f"{FAVOURITES}/{product_id(5)}", headers=mine).status_code == 409
        assert api.put(f"{FAVOURITES}/{product_id(105)}", headers=mine).status_code == 204
        assert users.find_one(account)["favorites"] == full
    finally:
        users.update_one(account, {"$set": {"favorites": before}})


@pytest.mark.feature(
    "6 auth: registration and login",
    endpoint="POST /api/v1/auth/register, POST /api/v1/auth/login",
    module="stack/service/auth/service.py",
)
def test_registration_login_and_a_favourite_work_together(api):
    account = {"email": f"{uuid.uuid4().hex}@example.com", "password": "a long enough one"}
    assert api.post("/api/v1/auth/register", json=account | {"name": "New"}).status_code == 201
    again = api.post("/api/v1/auth/register", json=account | {"name": "New"})
    assert again.status_code == 409
    token = api.post("/api/v1/auth/login", json=account).json()["access_token"]
    mine = api.get(FAVOURITES, headers={"Authorization": f"Bearer {token}"})
    assert mine.json() == {"products": [], "total": 0}


def test_a_wrong_password_and_an_unknown_address_are_answered_alike(api):
    answers = [
        api.post("/api/v1/auth/login", json={"email": email, "password": "wrong"})
        for email in (user_email(1), "nobody@example.com")
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]
    good = {"email": user_email(1), "password": SEEDED_PASSWORD}
    assert api.post("/api/v1/auth/login", json=good).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/products?page=0", None, 422),
        ("GET", "/api/v1/products?limit=101", None, 422),
        ("GET", "/api/v1/products?category=no-such", None, 404),
        ("GET", "/api/v1/products?category[$ne]=x&category=$ne", None, 422),
        ("GET", "/api/v2/products?cursor=forged", None, 422),
        ("GET", "/api/v1/products/nonsense", None, 422),
        ("GET", f"/api/v1/products/{'0' * 24}", None, 404),
        ("GET", "/api/v1/search", None, 422),
        ("GET", "/api/v1/search?q=%21%21", None, 422),
        ("GET", FAVOURITES, None, 401),
        ("POST", "/api/v1/auth/login", {"email": {"$ne": ""}, "password": {"$ne": ""}}, 422),
        ("POST", "/api/v1/auth/register", {"email": "no", "password": "x", "name": ""}, 422),
        ("PATCH", f"/api/v1/products/{product_id(1)}", {"stock": 1}, 401),
        ("GET", "/nowhere", None, 404),
    ],
)
def test_what_cannot_be_served_is_a_problem_document(api, method, path, body, status):
    answer = api.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


@pytest.mark.feature(
    "6 auth: roles",
    endpoint="PATCH /api/v1/products/{product}",
    module="stack/service/auth/tokens.py",
)
def test_only_administrators_change_products_and_only_known_fields(api, as_user):
    path = f"/api/v1/products/{product_id(1)}"
    shopper, admin = as_user(user_id(1)), as_user(admin_id(), "admin")
    assert api.patch(path, json={"stock": 1}, headers=shopper).status_code == 403
    for body in ({}, {"category": "toys"}, {"price_usd": -1}, {"price_usd": "1"}):
        assert api.patch(path, json=body, headers=admin).status_code == 422


@pytest.mark.feature(
    "10 api: HEAD tells what GET would send",
    endpoint="HEAD /api/v1/products",
    module="stack/service/middleware.py",
)
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/products?limit=3",
        f"/api/v1/products/{product_id(3)}",
        f"/api/v1/products/{product_id(10**7)}",
        "/images/products/3/thumbnail.webp",
        "/openapi.json",
    ],
)
def test_head_says_what_get_would_send_and_sends_nothing(api, path):
    whole = api.get(path)
    head = api.head(path)
    assert head.status_code == whole.status_code
    for name in ("content-type", "content-length"):
        assert head.headers[name] == whole.headers[name]
    assert int(head.headers["content-length"]) > 0
    assert head.content == b""
    assert api.get(path).content[:1] == whole.content[:1]  # nothing is left in the connection


def samples(replica):
    """What a replica's metrics say, by name and labels."""
    text = httpx.get(f"{replica}/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.feature(
    "8 observability: the seven metrics",
    endpoint="GET /metrics",
    module="stack/service/metrics.py",
)
def test_readiness_names_every_dependency_and_metrics_the_seven_of_the_design(
    api, live_stack, as_user
):
    ready = api.get("/readyz").json()
    assert ready["status"] == "ready"
    assert ready["dependencies"] == dict.fromkeys(
        ("mongo", "redis", "queue", "elasticsearch"), "ok"
    )
    replica = live_stack.info.parts_of("api")[0].url
    route = {"method": "GET", "route": FAVOURITES}
    before = samples(replica)
    assert httpx.get(f"{replica}{FAVOURITES}", headers=as_user(user_id(9))).status_code == 200
    after = samples(replica)
    for name, labels in (
        ("headroom_requests_total", {"status": "200"}),
        ("headroom_request_seconds_count", {}),
        ("headroom_request_seconds_bucket", {"le": "+Inf"}),
    ):
        at = name, frozenset((route | labels).items())
        assert after[at] == before.get(at, 0) + 1
    assert after["headroom_active_users", frozenset()] >= 1
    metrics = httpx.get(f"{replica}/metrics").text
    for name in (
        'headroom_requests_total{method="GET",route="/api/v1/products"',
        'headroom_request_seconds_bucket{le="0.0005",method="GET",route="/api/v1/products/{product}',
        "headroom_errors_total",
        'headroom_database_seconds_count{operation="list"}',
        'headroom_cache_requests_total{family="listing",result="hit"}',
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "headroom_active_users",
    ):
        assert name in metrics


def with_cache(live_stack, scenario, metrics=None):
    """Run `scenario(cache, other)` with two caches, as two replicas have, on the real Redis."""
    counted = metrics or Metrics("t")

    async def run():
        clients = [redis_client(live_stack.info.redis_url) for _ in range(2)]
        caches = [Cache(c, {Family.LISTING: FamilyPolicy(60.0)}, counted) for c in clients]
        try:
            return await scenario(*caches)
        finally:
            for cache, client in zip(caches, clients, strict=True):
                await cache.close()
                await client.aclose()

    return asyncio.run(run())


def test_a_read_that_began_before_a_change_is_never_served_after_it(live_stack):
    group, key = f"test:{uuid.uuid4()}", f"test:{uuid.uuid4()}"

    async def scenario(one, two):
        reading, changed = asyncio.Event(), asyncio.Event()

        async def slow(_):
            reading.set()
            await changed.wait()
            return b"old"

        async def fresh(_):
            return b"new"

        late = asyncio.create_task(one.fetch(Family.LISTING, key, (group,), slow))
        await reading.wait()
        await two.clear(group)
        during = await one.fetch(Family.LISTING, key, (group,), fresh)
        changed.set()
        assert await late == b"old"  # it asked before the change
        return during, await two.fetch(Family.LISTING, key, (group,), fresh)

    assert with_cache(live_stack, scenario) == (b"new", b"new")


@pytest.mark.feature(
    "3 cache: requests that miss together read once",
    endpoint="GET /api/v1/products",
    module="stack/service/cache.py",
)
def test_requests_that_miss_together_read_once(live_stack):
    key, reads, metrics = f"test:{uuid.uuid4()}", [], Metrics("t")

    async def scenario(one, _):
        def joined():
            labels = {"family": "listing", "result": "coalesced"}
            name = "headroom_cache_requests_total"
            return metrics.registry.get_sample_value(name, labels) or 0

        async def fill(_):
            reads.append(1)
            while joined() < 19:  # noqa: ASYNC110 - they joined when the counter says so
                await asyncio.sleep(0)
            return b"body"

        return await asyncio.gather(
            *(one.fetch(Family.LISTING, key, (f"{key}:group",), fill) for _ in range(20))
        )

    assert with_cache(live_stack, scenario, metrics) == [b"body"] * 20
    assert len(reads) == 1
