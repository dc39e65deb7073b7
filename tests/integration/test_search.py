"""Search on the live stack: filters and their counts, cursor, spelling, completion, marks."""

import asyncio
import contextlib
import itertools
import re
import time
import uuid
from datetime import UTC, datetime, timedelta

import pymongo
import pytest
from lines import line_to
from replicas import replicas

from stack.infra.catalogue import category_slug, product_id
from stack.infra.connections import DATABASE, elasticsearch_client
from stack.infra.documents import PRODUCTS
from stack.service.search.cursor import SearchCursors
from stack.service.search.query import PRICE_BOUNDS_USD, Place, Wanted
from stack.service.search.schemas import Completions, SearchCursorPage, SearchPage

SEARCH, SEARCH_AFTER = "/api/v1/search", "/api/v2/search"
SUGGESTIONS = "/api/v1/search/suggestions"


@pytest.fixture(scope="module")
def products(live_stack):
    with pymongo.MongoClient(live_stack.info.mongo_url) as client:
        yield client[DATABASE][PRODUCTS]


def page(api, **params):
    """What the search engine finds; on a busy machine the fallback may answer for a moment."""
    for _ in range(60):
        answer = api.get(SEARCH, params=params)
        assert answer.status_code == 200, answer.text
        found = SearchPage.model_validate_json(answer.content)
        if not found.degraded:
            return found
    raise AssertionError("the search engine does not answer")


def counted(products, word, *conditions):
    """Products with this word, as the database counts them."""
    says = re.compile(rf"\b{word}\b", re.IGNORECASE)
    return products.count_documents(
        {"$and": [{"$or": [{"title": says}, {"description": says}]}, *conditions]}
    )


def price_values():
    bounds = (None, *PRICE_BOUNDS_USD, None)
    for low, high in itertools.pairwise(bounds):
        value = f"{low}+" if high is None else f"{low or 0}-{high}"
        limits = {"$gte": low or 0} | ({"$lt": high} if high else {})
        yield value, {"price_usd": limits}


def expected_facets(products, word, by_category, by_price):
    """Each facet under all filters but its own, counted by the database."""
    slugs = [category_slug(c) for c in range(6)]
    categories = {slug: counted(products, word, {"category": slug}, *by_price) for slug in slugs}
    prices = {
        value: counted(products, word, within, *by_category) for value, within in price_values()
    }
    return [{k: n for k, n in facet.items() if n} for facet in (categories, prices)]


@pytest.mark.feature(
    "4 search: every facet counts under all other filters",
    endpoint="GET /api/v1/search",
    module="stack/service/search/query.py",
)
@pytest.mark.parametrize("word", ["lightweight", "harrow"])
@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"category": category_slug(2)},
        {"price_from": 30, "price_to": 180},
        {"category": category_slug(3), "price_to": 59.99},
    ],
)
def test_facets_and_totals_under_filters_are_those_that_the_database_counts(
    api, products, word, filters
):
    by_category = [{"category": filters["category"]}] if "category" in filters else []
    low, high = filters.get("price_from", 0), filters.get("price_to", 1e9)
    by_price = (
        [{"price_usd": {"$gte": low, "$lt": high}}] if len(filters) > len(by_category) else []
    )

    def wanted():
        facets = expected_facets(products, word, by_category, by_price)
        return [*facets, counted(products, word, *by_category, *by_price)]

    for _ in range(600):  # what another test changed may still be on its way to the index
        found = page(api, q=word, **filters)
        facets = (found.facets.category, found.facets.price_usd)
        told = [{value.value: value.count for value in facet} for facet in facets]
        if [*told, found.total] == wanted():
            break
    assert [*told, found.total] == wanted()
    assert found.total > 0
    for product in found.products:
        assert not by_category or product.category == filters["category"]
        assert low <= product.price_usd < high


def test_a_range_of_the_price_facet_used_as_filter_finds_as_many_as_it_said(api):
    for value in page(api, q="wireless").facets.price_usd:
        low, _, high = value.value.rstrip("+").partition("-")
        limits = {"price_from": low} | ({"price_to": high} if high else {})
        assert page(api, q="wireless", **limits).total == value.count


def test_following_the_cursor_of_a_search_visits_every_result_once_in_the_order_of_pages(api):
    seen, cursor, sizes = [], None, []
    while True:
        params = {"q": "lightweight", "limit": 7} | ({"cursor": cursor} if cursor else {})
        found = SearchCursorPage.model_validate_json(api.get(SEARCH_AFTER, params=params).content)
        assert (found.facets is None) == (cursor is not None)
        seen += [product.id for product in found.products]
        sizes.append(len(found.products))
        cursor = found.nextCursor
        assert found.hasMore == (cursor is not None)
        if cursor is None:
            break
    first = page(api, q="lightweight")
    assert len(seen) == len(set(seen)) == found.total == first.total
    assert seen[:20] == [product.id for product in first.products]
    assert set(sizes[:-1]) == {7}


@contextlib.contextmanager
def changed(api, admin, products, numbers):
    """Lets a block change titles and descriptions of these products by `change(number, …)`."""
    before = {number: products.find_one({"_id": product_id(number)}) for number in numbers}

    def change(number, **fields):
        path = f"/api/v1/products/{product_id(number)}"
        assert api.patch(path, json=fields, headers=admin).status_code == 200

    try:
        yield before, change
    finally:
        for number, product in before.items():
            change(number, title=product["title"], description=product["description"])


def shown_first(api, word, condition):
    """The ids that a search for `word` finds, as soon as they are as `condition` says."""
    for _ in range(600):
        ids = [product.id for product in page(api, q=word).products]
        if condition(ids):
            return ids
    raise AssertionError(ids)


@pytest.mark.feature(
    "4 search: a walk by cursor sees the results as they were at its first page",
    endpoint="GET /api/v2/search",
    module="stack/service/search/engine.py",
)
def test_a_walk_meets_every_result_once_though_scores_change_between_its_pages(
    api, admin, products
):
    word = f"quokka{uuid.uuid4().hex[:8]}"
    rising, falling = 301, 308
    with changed(api, admin, products, range(300, 309)) as (before, change):
        for number, product in before.items():
            change(number, title=f"{product['title']} {word}")
        order = shown_first(api, word, lambda ids: len(ids) == 9)
        assert order[0] == str(product_id(falling))
        params = {"q": word, "limit": 3}
        found = SearchCursorPage.model_validate_json(api.get(SEARCH_AFTER, params=params).content)
        seen = [product.id for product in found.products]
        # One that was not shown yet moves in front of all, and one that was shown behind them.
        change(rising, title=f"{word} {word}")
        change(falling, title=before[falling]["title"], description=f"Like a {word}, or nearly")
        ends = [str(product_id(rising)), str(product_id(falling))]
        shown_first(api, word, lambda ids: len(ids) == 9 and [ids[0], ids[-1]] == ends)
        while found.nextCursor:
            answer = api.get(SEARCH_AFTER, params=params | {"cursor": found.nextCursor})
            found = SearchCursorPage.model_validate_json(answer.content)
            seen += [product.id for product in found.products]
    assert seen == order


def test_a_walk_whose_point_in_time_is_gone_goes_on_among_the_results_of_now(api, live_stack):
    params = {"q": "lightweight", "limit": 2}
    found = SearchCursorPage.model_validate_json(api.get(SEARCH_AFTER, params=params).content)
    codec, wanted = SearchCursors(live_stack.info.jwt_secret), Wanted.of("lightweight")
    place = codec.decode(wanted, found.nextCursor)

    async def end_it():
        client = elasticsearch_client(live_stack.info.elasticsearch_url)
        try:
            return await client.close_point_in_time(id=place.snapshot)
        finally:
            await client.close()

    assert asyncio.run(end_it())["num_freed"] == 1
    answer = api.get(SEARCH_AFTER, params=params | {"cursor": found.nextCursor})
    assert answer.status_code == 200, answer.text
    following = SearchCursorPage.model_validate_json(answer.content)
    assert (following.engine, following.degraded) == ("elasticsearch", False)
    assert not {p.id for p in found.products} & {p.id for p in following.products}
    again = codec.decode(wanted, following.nextCursor)
    assert again.snapshot not in ("", place.snapshot)


@pytest.mark.feature(
    "4 search: a cursor that is signed, opaque and good for one search",
    endpoint="GET /api/v2/search",
    module="stack/service/search/cursor.py",
)
def test_a_cursor_of_another_search_or_a_changed_one_is_refused(api, live_stack):
    codec = SearchCursors(live_stack.info.jwt_secret)
    place = Place(7, (3.25, str(product_id(5))), "abcdefgh")  # of a point in time long gone
    good = codec.encode(Wanted.of("lightweight"), place)
    assert codec.decode(Wanted.of("lightweight"), good) == place
    assert api.get(SEARCH_AFTER, params={"q": "lightweight", "cursor": good}).status_code == 200
    others = [
        {"q": "wireless", "cursor": good},
        {"q": "lightweight", "cursor": good, "category": category_slug(1)},
        {"q": "lightweight", "cursor": good, "price_to": 50},
        *({"q": "lightweight", "cursor": cursor} for cursor in ("AAAA", "é", good[:-4], good[4:])),
        {"q": "lightweight", "cursor": good[:10] + ("A" if good[10] != "A" else "B") + good[11:]},
        {"q": "lightweight", "cursor": SearchCursors("k" * 32).encode(Wanted.of("x"), place)},
    ]
    for params in others:
        assert api.get(SEARCH_AFTER, params=params).status_code == 422, params


@pytest.mark.feature(
    "4 search: did you mean",
    endpoint="GET /api/v1/search",
    module="stack/service/search/query.py",
)
def test_a_mistyped_word_is_answered_with_the_spelling_that_was_meant(api):
    assert page(api, q="wirelss headphnoes").did_you_mean == "wireless headphones"
    assert page(api, q="headphones").did_you_mean is None
    assert page(api, q="wireless").did_you_mean is None


@pytest.mark.feature(
    "4 search: what is being typed is completed, typing errors included",
    endpoint="GET /api/v1/search/suggestions",
    module="stack/service/search/service.py",
)
def test_a_beginning_is_completed_to_titles_and_their_last_words(api):
    def completed(text, **params):
        answer = api.get(SUGGESTIONS, params={"q": text, **params})
        assert answer.status_code == 200
        found = Completions.model_validate_json(answer.content)
        assert not found.degraded
        return found.suggestions

    assert completed("headp")[0] == "headphones"
    assert completed("studio headp")[0] == "studio headphones"
    assert "headphones" in completed("haedph")  # two letters swapped
    assert "headphones" in completed("headhp")
    assert "headphones" in completed("heafpho")  # another one
    # From the middle of a title, with an error in a word that is whole.
    middle = completed("vintaeg studio hea", limit=20)
    assert middle
    assert all("studio headphones" in text or "studio headset" in text for text in middle)
    found = completed("Harr", limit=5)
    assert len(found) == len(set(found)) == 5
    assert all(text.startswith("harrow ") for text in found)
    assert completed("qqqqzz") == []
    assert completed(".*") == completed("(") == completed("[a-z]{4}") == []  # text, no pattern


@pytest.mark.feature(
    "4 search: matches are marked, as HTML that is safe to show",
    endpoint="GET /api/v1/search",
    module="stack/service/search/query.py",
)
def test_matches_are_marked_and_what_a_product_says_cannot_become_markup(api, admin, products):
    word = f"numbat{uuid.uuid4().hex[:8]}"
    path = f"/api/v1/products/{product_id(77)}"
    before = products.find_one({"_id": product_id(77)})
    hostile = {
        "title": f'<img src=x onerror="alert(1)"> {word}',
        "description": f"</mark><script>alert('{word}')</script> & more",
    }
    assert api.patch(path, json=hostile, headers=admin).status_code == 200
    for _ in range(600):
        found = page(api, q=word)
        if found.total:
            break
    restored = {name: before[name] for name in hostile}
    assert api.patch(path, json=restored, headers=admin).status_code == 200
    marks = found.products[0].highlights
    assert f"<mark>{word}</mark>" in marks.title
    assert f"<mark>{word}</mark>" in marks.description
    for text in (marks.title, marks.description):
        assert "<" not in re.sub(r"</?mark>", "", text)
    assert "&lt;img src=x onerror=&quot;" in marks.title
    assert marks.description.count("</mark>") == 1
    assert found.products[0].title == hostile["title"]  # as it is: a client escapes it itself


@pytest.mark.feature(
    "4 search: analytics of frequent searches and of those without a result",
    endpoint="GET /api/v1/admin/analytics/top/{what}",
    module="stack/service/events/answered.py",
)
def test_administrators_see_what_was_searched_most_and_what_was_searched_in_vain(api, admin):
    begins = datetime.now(UTC) - timedelta(seconds=1)
    vain = f"bandicoot{uuid.uuid4().hex[:8]}"
    for text in (vain, f"  {vain.upper()} ", vain, "wireless headphones"):
        assert page(api, q=text).query in (vain, "wireless headphones")
    page(api, q=vain, page=2)  # turning the page is no new search
    SearchCursorPage.model_validate_json(api.get(SEARCH_AFTER, params={"q": vain}).content)

    def top(what):
        path = f"/api/v1/admin/analytics/top/{what}"
        answer = api.get(
            path,
            params={
                "start": begins.isoformat(),
                "end": (datetime.now(UTC) + timedelta(minutes=1)).isoformat(),
                "limit": 100,
            },
            headers=admin,
        )
        assert answer.status_code == 200, answer.text
        return {row["name"]: row["figure"] for row in answer.json()["first"]}

    deadline = time.monotonic() + 20
    while top("answered_searches").get(vain) != 4:
        assert time.monotonic() < deadline, top("answered_searches")
    assert top("searches_without_result")[vain] == 4
    assert top("answered_searches")["wireless headphones"] >= 1
    assert "wireless headphones" not in top("searches_without_result")
    assert api.get("/api/v1/admin/analytics/top/answered_searches").status_code == 401


@pytest.mark.feature(
    "4 search: an answer of the fallback says so in header and body",
    endpoint="GET /api/v1/search",
    module="stack/service/search/service.py",
)
def test_without_elasticsearch_filters_and_cursor_hold_and_header_and_body_say_degraded(live_stack):
    async def scenario():
        async with (
            line_to(live_stack.info.elasticsearch_url) as (line, url),
            replicas(live_stack.info, elasticsearch_url=url.removesuffix("/0")) as (replica,),
        ):
            where = {"q": "lightweight", "price_to": 120, "limit": 9}
            whole = await replica.get(SEARCH_AFTER, **where)
            assert "x-degraded" not in whole.headers
            line.set(cut=True)
            seen, cursor = [], whole.json()["nextCursor"]
            while cursor:  # a walk that began with Elasticsearch goes on without it
                answer = await replica.get(SEARCH_AFTER, **where, cursor=cursor)
                assert answer.status_code == 200
                assert answer.headers["x-degraded"] == "search"
                body = answer.json()
                assert (body["engine"], body["degraded"]) == ("mongo_text", True)
                assert all(product["price_usd"] < 120 for product in body["products"])
                seen += [product["id"] for product in body["products"]]
                cursor = body["nextCursor"]
            assert len(seen) == len(set(seen)) == body["total"] - 9
            graph = {"query": '{ search(q: "wireless") { total engine degraded } }'}
            found = (await replica.http.post("/graphql", json=graph)).json()["data"]["search"]
            assert (found["engine"], found["degraded"]) == ("mongo_text", True)
            assert found["total"] > 0
            nothing = await replica.get(SUGGESTIONS, q="head")
            assert nothing.status_code == 200
            assert nothing.headers["x-degraded"] == "search"
            assert nothing.json() == {"query": "head", "suggestions": [], "degraded": True}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (SEARCH, "q=desk&price_from=50&price_to=50"),
        (SEARCH, "q=desk&price_from=-1"),
        (SEARCH, "q=desk&price_to=nan"),
        (SEARCH, "q=desk&price_from=inf"),
        (SEARCH_AFTER, "q=desk&limit=101"),
        (SEARCH_AFTER, "q=%21%21"),
        (SUGGESTIONS, ""),
        (SUGGESTIONS, "q=a&limit=21"),
    ],
)
def test_an_impossible_search_is_refused_with_its_own_words(api, path, query):
    answer = api.get(f"{path}?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
