"""Experiments on reads: depth of a list, search engines, cached against uncached."""

from headroom.claims.live import Client, Live, Results, exact, median_ratio
from headroom.live import catalogue_of, credentials_of
from headroom.proportion import wilson
from stack.infra.catalogue import department_of, query_text
from stack.service.products.cursor import CursorCodec, listing_cursor

DEEP_PAGE = 1_000
PAGES = 40
SEARCHES = 120
LISTS = 150


def depth_of_lists(live: Live) -> Results:
    """Offset pages near the 1,000th against cursor pages as deep and against first pages."""
    catalogue = catalogue_of(live.scenario)
    last = catalogue.products // catalogue.page_size
    deepest = min(DEEP_PAGE, last)
    # One long list of all products, so that a key's page number is the page of the list.
    whole = catalogue.model_copy(update={"pages_per_category": last})
    codec = CursorCodec(credentials_of(live.design).jwt_secret)
    client = Client(live.design)
    offset_s, cursor_s, first_s = [], [], []
    live.forget()
    for page in range(deepest - PAGES + 1, deepest + 1):
        cursor = listing_cursor(codec, whole, page - 1)
        assert cursor is not None
        offset = client.get("/api/v1/products", page=page)
        after = client.get("/api/v2/products", cursor=cursor)
        first = client.get("/api/v1/products", page=deepest - page + 1)
        ids = [[p["id"] for p in answer.body["products"]] for answer in (offset, after)]
        if ids[0] != ids[1]:
            raise ValueError(f"page {page} and its cursor differ: {ids[0][:1]} and {ids[1][:1]}")
        offset_s.append(offset.seconds)
        cursor_s.append(after.seconds)
        first_s.append(first.seconds)
    client.close()
    how = f"{PAGES} uncached pages up to page {deepest:,} of {catalogue.products:,} products"
    return {
        "live.offset_over_cursor": median_ratio(
            offset_s, cursor_s, live.rng, f"{how}: offset and cursor in turn, the same products"
        ),
        "live.offset_depth_cost": median_ratio(
            offset_s, first_s, live.rng, f"{how}: in turn with the first {PAGES} pages"
        ),
    }


def search_engines(live: Live) -> Results:
    """`$text` on the baseline against Elasticsearch on the design, in time and in what is found."""
    catalogue = catalogue_of(live.scenario)
    design, baseline = Client(live.design), Client(live.baseline)
    mistyped = [q for q in range(catalogue.search_queries) if q % 10 == 9]
    plain = [q for q in range(catalogue.search_queries) if q % 10 != 9]
    for query in plain[-20:]:  # both engines compile on their first queries
        for client in (design, baseline):
            client.get("/api/v1/search", q=query_text(catalogue, query))
    text_s, elastic_s = [], []
    live.forget()
    for query in live.rng.permutation(plain)[:SEARCHES]:
        words = query_text(catalogue, int(query))
        text_s.append(baseline.get("/api/v1/search", q=words).seconds)
        elastic_s.append(design.get("/api/v1/search", q=words).seconds)
    found = {"text": 0, "elasticsearch": 0}
    asked = [int(q) for q in live.rng.permutation(mistyped)[:SEARCHES]]
    for query in asked:
        noun = intended_noun(catalogue.categories, query)
        words = query_text(catalogue, query)
        for engine, client in (("text", baseline), ("elasticsearch", design)):
            products = client.get("/api/v1/search", q=words).body["products"]
            found[engine] += any(noun in p["title"].lower() for p in products[:10])
    design.close()
    baseline.close()
    how = f"{len(text_s)} uncached searches in turn, through the whole API of each stack"
    recall = f"{len(asked)} searches with two letters swapped: the meant product in the first ten"
    return {
        "live.text_over_elasticsearch": median_ratio(text_s, elastic_s, live.rng, how),
        **{
            f"live.{engine}_typo_recall": exact(0, "fraction", len(asked), recall).model_copy(
                update={"value": wilson(hits, len(asked))}
            )
            for engine, hits in found.items()
        },
    }


def intended_noun(categories: int, query: int) -> str:
    """The noun that a mistyped query of the catalogue means, lower case."""
    nouns = [noun for c in range(min(categories, 20)) for noun in department_of(c).nouns]
    return nouns[query % len(nouns)].lower()


def cached_against_uncached(live: Live) -> Results:
    """The same list pages from the baseline's database and from the design's cache."""
    design, baseline = Client(live.design), Client(live.baseline)
    pages = [int(p) for p in live.rng.integers(1, 11, LISTS)]
    for page in sorted(set(pages)):
        design.get("/api/v1/products", page=page)
    hit_s, database_s = [], []
    for page in pages:
        cached = design.get("/api/v1/products", page=page)
        if cached.headers.get("x-cache") != "hit":
            continue
        hit_s.append(cached.seconds)
        database_s.append(baseline.get("/api/v1/products", page=page).seconds)
    design.close()
    baseline.close()
    how = f"{len(hit_s)} list pages in turn, one client, through the whole API of each stack"
    return {"live.cached_speedup": median_ratio(database_s, hit_s, live.rng, how)}
