"""How a search is put to Elasticsearch and to MongoDB."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bson import ObjectId

from stack.infra.documents import Document
from stack.service.errors import InvalidRequest

PRICE_BOUNDS_USD = (25, 50, 100, 250)
DEAREST_USD = 1_000_000
RESULT_FIELDS = [
    "title",
    "brand",
    "category",
    "price_usd",
    "rating",
    "ratings",
    "thumbnail_url",
]
# By the text's fit, and among equals the newest first: an order that pages cannot overlap in.
ORDER = [{"_score": "desc"}, {"key": "desc"}]
SNIPPET_LETTERS = 120
# A beginning with a typing error: shorter, and it fits everything; longer, and the pattern of all
# that it may stand for is more than Elasticsearch takes (1,000 letters).
SHORTEST_FORGIVEN, LONGEST_FORGIVEN = 4, 14
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched for: a text, and what narrows it down."""

    text: str
    category: str | None = None
    price_from_usd: float | None = None  # included
    price_to_usd: float | None = None  # not included

    @classmethod
    def of(
        cls,
        text: str,
        category: str | None = None,
        price_from_usd: float | None = None,
        price_to_usd: float | None = None,
    ) -> "Wanted":
        """What a user asked for, in one spelling. Raises InvalidRequest."""
        text = normalised(text)
        if not any(letter.isalnum() for letter in text):
            raise InvalidRequest("`q` has no letter or digit to search for")
        if (price_from_usd or 0) >= (price_to_usd or float("inf")):
            raise InvalidRequest("the price to start from must be below the one to end at")
        return cls(text, category, price_from_usd, price_to_usd)

    def __str__(self) -> str:
        """A name that no other search has."""
        prices = f"{_price(self.price_from_usd)}:{_price(self.price_to_usd)}"
        return f"{self.category or ''}:{prices}:{self.text}"

    @property
    def price_range(self) -> dict[str, float]:
        """The bounds of the price as both databases' range operators, without `$`; may be empty."""
        bounds = {"gte": self.price_from_usd, "lt": self.price_to_usd}
        return {name: bound for name, bound in bounds.items() if bound is not None}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of results starts: after `offset` others, the last of which is named, if known.

    The name (its score, and the product) is how a walk goes on without counting again what came
    before, which would be wrong as soon as products come, go or change. Scores are those of one
    engine: Elasticsearch's where a snapshot is named, else MongoDB's. When the other engine has to
    go on it counts.
    """

    offset: int = 0
    after: tuple[float, str] | None = None
    # Elasticsearch's point in time: the whole walk sees the index as it was at the first page,
    # because every change of a product moves the scores of all others.
    snapshot: str = ""

    @property
    def is_of_elasticsearch(self) -> bool:
        """Whether the score in it is Elasticsearch's."""
        return bool(self.snapshot)

    @property
    def name(self) -> str:
        """A name that no other place has."""
        seen = hashlib.sha256(self.snapshot.encode()).hexdigest()[:16] if self.snapshot else ""
        return f"{self.offset}:{self.after or ''}:{seen}"


def normalised(text: str) -> str:
    """The text as it is searched and cached: one spelling for what a user cannot tell apart."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def elasticsearch_query(
    wanted: Wanted, place: Place, limit: int, *, overview: bool
) -> dict[str, Any]:
    """Arguments of a search: fuzzy, best field wins, matches marked.

    The first letter must fit and few spellings are tried: a fuzzy search is otherwise several
    times as slow. The filters narrow the results after the facets are counted, so that each facet
    is counted under all filters but its own. `overview` asks for facets and for a better spelling.
    """
    fits = {
        "query": wanted.text,
        "fields": ["title^3", "description"],
        "operator": "and",
    }
    fuzzy = fits | {"fuzziness": "AUTO", "prefix_length": 1, "max_expansions": 20}
    request: dict[str, Any] = {
        "query": {"multi_match": fuzzy},
        "sort": ORDER,
        "source": RESULT_FIELDS,
        "size": limit,
        "track_total_hits": True,
        # Only what fits to the letter: marking fuzzy matches makes a search ten times as slow.
        "highlight": _marks({"multi_match": fits | {"operator": "or"}}),
    }
    if place.after is not None and place.is_of_elasticsearch:
        request["search_after"] = list(place.after)
    else:
        request["from_"] = place.offset
    by_category = {"term": {"category": wanted.category}} if wanted.category else None
    by_price = {"range": {"price_usd": wanted.price_range}} if wanted.price_range else None
    filters = [found for found in (by_category, by_price) if found is not None]
    if filters:
        request["post_filter"] = {"bool": {"filter": filters}}
    if overview:
        request["aggs"] = {
            "category": _under(by_price, {"terms": {"field": "category", "size": 20}}),
            "price_usd": _under(
                by_category, {"range": {"field": "price_usd", "ranges": _price_ranges()}}
            ),
        }
        request["suggest"] = {"spelling": _better_spelling(wanted.text)}
    return request


def completion_query(beginning: str, limit: int) -> dict[str, Any]:
    """Arguments of a search for what `beginning` may become.

    All words but the last are whole, and a typing error in them is forgiven; the last one is a
    beginning. What most products are comes first, then titles, those of the best known first.
    """
    return {
        "query": {
            "match_bool_prefix": {
                "title": {
                    "query": beginning,
                    "operator": "and",
                    "fuzziness": "AUTO",
                    "prefix_length": 1,
                    "max_expansions": 20,
                }
            }
        },
        "sort": [{"ratings": "desc"}, {"key": "desc"}],
        "source": ["title"],
        "size": 2 * limit,  # titles may be alike
        "track_total_hits": False,
        "aggs": {"endings": _endings(_literal(beginning), limit)},
    }


def mistyped_query(beginning: str, limit: int) -> dict[str, Any] | None:
    """Arguments of a search for endings of which all but one letter fit; None: too short or long.

    Two neighbours swapped are one error too; the first letter must fit.
    """
    if not SHORTEST_FORGIVEN <= len(beginning) <= LONGEST_FORGIVEN:
        return None
    near: list[str] = []
    for at in range(1, len(beginning)):
        before, after = beginning[:at], beginning[at + 1 :]
        # Another letter, one too many, or one left out; then two that may be swapped.
        near.append(f"{_literal(before)}.{{0,2}}{_literal(after)}")
        if after:
            swapped = f"{before}{after[0]}{beginning[at]}{after[1:]}"
            near.append(_literal(swapped))
    pattern = "|".join(near)
    return {
        "query": {"regexp": {"endings": {"value": f"({pattern}).*"}}},
        "size": 0,
        "source": False,
        "track_total_hits": False,
        "aggs": {"endings": _endings(f"({pattern})", limit)},
    }


def completions(answer: Any, limit: int) -> list[str]:
    """What a beginning may become, from the answer to one of those questions."""
    endings = [bucket["key"] for bucket in answer["aggregations"]["endings"]["buckets"]]
    titles = [normalised(hit["_source"]["title"]) for hit in answer["hits"]["hits"]]
    return list(dict.fromkeys([*endings, *titles]))[:limit]


def mongo_query(wanted: Wanted) -> Document:
    """A filter for the text index; words only, so that `-word` and quotes mean nothing special."""
    query: Document = {"$text": {"$search": " ".join(_WORD.findall(wanted.text))}}
    if wanted.category:
        query["category"] = wanted.category
    if wanted.price_range:
        query["price_usd"] = {f"${name}": bound for name, bound in wanted.price_range.items()}
    return query


def mongo_page_after(wanted: Wanted, summary: Document, place: Place, limit: int) -> list[Document]:
    """Stages that find the results behind the one that `place` names, best first, with scores.

    A text score is of one product alone, so such a page misses none and repeats none, whatever
    becomes of the other products meanwhile.
    """
    assert place.after is not None
    score, product = place.after
    behind = [{"score": {"$lt": score}}, {"score": score, "_id": {"$lt": ObjectId(product)}}]
    return [
        {"$match": mongo_query(wanted)},
        {"$project": summary | {"score": {"$meta": "textScore"}}},
        {"$match": {"$or": behind}},
        {"$sort": {"score": -1, "_id": -1}},
        {"$limit": limit},
    ]


def facet_values(facet: dict[str, Any]) -> list[dict[str, Any]]:
    """A facet from the answer to its question, without the empty values."""
    return [
        {"value": bucket["key"], "count": bucket["doc_count"]}
        for bucket in facet["values"]["buckets"]
        if bucket["doc_count"]
    ]


def better_spelling(suggest: dict[str, Any], text: str) -> str | None:
    """What was probably meant by `text`; None: there is nothing better."""
    for entry in suggest["spelling"]:
        for option in entry["options"]:
            if option["text"] != text:
                return str(option["text"])
    return None


def marked(hit: dict[str, Any]) -> dict[str, str | None]:
    """The result's texts as safe HTML, matches in <mark>; None: none in it fits to the letter."""
    found = hit.get("highlight", {})
    return {name: found[name][0] if name in found else None for name in ("title", "description")}


def _marks(query: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "unified",
        "encoder": "html",  # what products say is text: only our own tags are tags
        "pre_tags": ["<mark>"],
        "post_tags": ["</mark>"],
        "highlight_query": query,
        "fields": {
            "title": {"number_of_fragments": 0},
            "description": {"number_of_fragments": 1, "fragment_size": SNIPPET_LETTERS},
        },
    }


def _better_spelling(text: str) -> dict[str, Any]:
    """Word pairs that occur are likelier than words that merely exist; known words stay."""
    return {
        "text": text,
        "phrase": {
            "field": "spelling.pairs",
            "size": 1,
            "max_errors": 2,
            "confidence": 1.0,
            "direct_generator": [
                {"field": "spelling", "suggest_mode": "missing", "prefix_length": 1}
            ],
        },
    }


def _under(condition: dict[str, Any] | None, facet: dict[str, Any]) -> dict[str, Any]:
    return {"filter": condition or {"match_all": {}}, "aggs": {"values": facet}}


def _endings(pattern: str, limit: int) -> dict[str, Any]:
    return {"terms": {"field": "endings", "include": f"{pattern}.*", "size": limit}}


def _literal(text: str) -> str:
    """The text as a regular expression of Lucene that fits nothing else."""
    return "".join(
        letter if letter.isalnum() or letter == " " else f"\\{letter}" for letter in text
    )


def _price(usd: float | None) -> str:
    return "" if usd is None else f"{usd:.10g}"


def _price_ranges() -> list[dict[str, Any]]:
    low, high = PRICE_BOUNDS_USD[0], PRICE_BOUNDS_USD[-1]
    between = [
        {"key": f"{start}-{end}", "from": start, "to": end}
        for start, end in pairwise(PRICE_BOUNDS_USD)
    ]
    return [{"key": f"0-{low}", "to": low}, *between, {"key": f"{high}+", "from": high}]
