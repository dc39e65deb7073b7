"""How a search is put to Elasticsearch and to MongoDB."""

import re
import unicodedata
from itertools import pairwise
from typing import Any

from stack.infra.documents import Document

PRICE_BOUNDS_USD = (25, 50, 100, 250)
RESULT_FIELDS = [
    "title",
    "brand",
    "category",
    "price_usd",
    "rating",
    "ratings",
    "thumbnail_url",
]
_WORD = re.compile(r"\w+")


def normalised(text: str) -> str:
    """The text as it is searched and cached: one spelling for what a user cannot tell apart."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def elasticsearch_query(text: str, category: str | None, page: int, limit: int) -> dict[str, Any]:
    """Arguments of a search: fuzzy, best field wins, with facets over all matches.

    The first letter must fit and few spellings are tried: a fuzzy search is otherwise several
    times as slow. The category narrows the results after the facets are counted, so that the
    category facet keeps showing the others.
    """
    request: dict[str, Any] = {
        "query": {
            "multi_match": {
                "query": text,
                "fields": ["title^3", "description"],
                "operator": "and",
                "fuzziness": "AUTO",
                "prefix_length": 1,
                "max_expansions": 20,
            }
        },
        "aggs": {
            "category": {"terms": {"field": "category", "size": 20}},
            "price_usd": {"range": {"field": "price_usd", "ranges": _price_ranges()}},
        },
        "source": RESULT_FIELDS,
        "from_": (page - 1) * limit,
        "size": limit,
        "track_total_hits": True,
    }
    if category:
        request["post_filter"] = {"term": {"category": category}}
    return request


def mongo_query(text: str, category: str | None) -> Document:
    """A filter for the text index; words only, so that `-word` and quotes mean nothing special."""
    query: Document = {"$text": {"$search": " ".join(_WORD.findall(text))}}
    return query | ({"category": category} if category else {})


def facet_values(buckets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A facet from an aggregation's buckets, without the empty ones."""
    return [
        {"value": bucket["key"], "count": bucket["doc_count"]}
        for bucket in buckets
        if bucket["doc_count"]
    ]


def _price_ranges() -> list[dict[str, Any]]:
    low, high = PRICE_BOUNDS_USD[0], PRICE_BOUNDS_USD[-1]
    between = [
        {"key": f"{start}-{end}", "from": start, "to": end}
        for start, end in pairwise(PRICE_BOUNDS_USD)
    ]
    return [{"key": f"0-{low}", "to": low}, *between, {"key": f"{high}+", "from": high}]
