"""The Elasticsearch index: its definition, and products as search documents.

Only core features are used (no language analyser, no script, no plugin), so that one definition
serves the bundled node of the local stack and the official image.

`products` is an alias. The index behind it carries a number, so that a rebuilt one can take its
place in one step while everybody reads and writes on (`stack.worker.rebuild`).
"""

from typing import Any

from elasticsearch import AsyncElasticsearch, BadRequestError

from stack.infra.documents import Document

INDEX = "products"
FIRST = 1

SETTINGS: dict[str, Any] = {
    "number_of_shards": 1,
    "number_of_replicas": 0,
    "analysis": {
        "filter": {
            "pairs": {"type": "shingle", "min_shingle_size": 2, "max_shingle_size": 2},
        },
        "analyzer": {
            "words": {
                "type": "custom",
                "tokenizer": "standard",
                # `asciifolding` is no core filter (the published artefacts lack its module).
                "filter": ["lowercase", "stop"],
            },
            "pairs": {
                "type": "custom",
                "tokenizer": "standard",
                "filter": ["lowercase", "stop", "pairs"],
            },
        },
    },
}
_KEYWORD = {"type": "keyword"}
_STORED = {"type": "keyword", "index": False, "doc_values": False}
_WORDS = {"type": "text", "analyzer": "words", "copy_to": "spelling"}
MAPPINGS: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {
        "title": _WORDS,
        "brand": {"type": "keyword"},
        "category": _KEYWORD,
        "description": _WORDS,
        "price_usd": {"type": "double"},
        "rating": {"type": "float"},
        "ratings": {"type": "integer"},
        "thumbnail_url": _STORED,
        "created_at": {"type": "date"},
        # Not of the product: its id, to order equals by (`_id` itself cannot be sorted by) …
        "key": {"type": "keyword", "index": False},
        # … the words and word pairs that there are, for "did you mean" …
        "spelling": {
            "type": "text",
            "analyzer": "words",
            "norms": False,
            "index_options": "freqs",
            "fields": {
                "pairs": {
                    "type": "text",
                    "analyzer": "pairs",
                    "norms": False,
                    "index_options": "freqs",
                }
            },
        },
        # … and how its title ends, to complete what is being typed with. No `completion` field: it
        # lives on the heap, and a million products do not fit into a small one.
        "endings": _KEYWORD,
    },
}
PRODUCT_FIELDS = tuple(MAPPINGS["properties"])[:9]
LONGEST_ENDING = 50  # letters


def search_document(product: Document) -> dict[str, Any]:
    """The part of a stored product that is searched and shown in results."""
    document = {field: product[field] for field in PRODUCT_FIELDS if field in product}
    document["key"] = str(product["_id"])
    document["endings"] = endings(product.get("title", ""))
    return document


def endings(title: str) -> list[str]:
    """What a title says the product is: its last word, and its last two.

    >>> endings("Harrow Wireless Studio Headphones")
    ['headphones', 'studio headphones']
    """
    words = title.lower().split()
    ends = [" ".join(words[-1:]), " ".join(words[-2:])]
    return [
        text
        for text in dict.fromkeys(ends)
        if len(text) <= LONGEST_ENDING and any(map(str.isalnum, text))
    ]


def external_version(seconds: int, increment: int) -> int:
    """An Elasticsearch document version that rises with the database's operation time."""
    return seconds << 32 | increment


def bulk_index(
    product: Document, version: int, index: str = INDEX
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Action and source lines that index `product` unless a newer version is already there."""
    action = {
        "_index": index,
        "_id": str(product["_id"]),
        "version": version,
        "version_type": "external_gte",
    }
    return {"index": action}, search_document(product)


def bulk_delete(identifier: str, version: int, index: str = INDEX) -> dict[str, Any]:
    """The action line that deletes a product unless a newer version is already there."""
    action = {
        "_index": index,
        "_id": identifier,
        "version": version,
        "version_type": "external_gte",
    }
    return {"delete": action}


async def create_search_index(client: AsyncElasticsearch, alias: str = INDEX) -> bool:
    """Make an empty index behind `alias` unless there is one; whether we did.

    Two processes may try at once. An index that itself has the alias's name is of an earlier
    release, and is replaced.
    """
    if await client.indices.exists_alias(name=alias):
        return False
    made = numbered(alias, FIRST)
    replaces = bool(await client.indices.exists(index=alias))
    aliases: dict[str, Any] = {} if replaces else {alias: {}}
    try:
        await client.indices.create(
            index=made, settings=SETTINGS, mappings=MAPPINGS, aliases=aliases
        )
    except BadRequestError as error:
        if error.error != "resource_already_exists_exception":
            raise
        return False
    if replaces:
        await client.indices.update_aliases(
            actions=[
                {"remove_index": {"index": alias}},
                {"add": {"index": made, "alias": alias}},
            ]
        )
    return True


async def point_alias(client: AsyncElasticsearch, alias: str, index: str) -> None:
    """Let `alias` mean `index` and no other, from one moment to the next."""
    actions: list[dict[str, Any]] = [
        {"remove": {"index": old, "alias": alias}}
        for old in await indices_behind(client, alias)
        if old != index
    ]
    actions.append({"add": {"index": index, "alias": alias}})
    await client.indices.update_aliases(actions=actions)


async def indices_behind(client: AsyncElasticsearch, alias: str) -> list[str]:
    """The indices that `alias` means: one, or none while there is no index yet."""
    if not await client.indices.exists_alias(name=alias):
        return []
    return sorted(await client.indices.get_alias(name=alias))


async def indices_of(client: AsyncElasticsearch, alias: str) -> list[str]:
    """All numbered indices of `alias`, also those that it does not mean (any more)."""
    found = await client.indices.get(index=f"{alias}-*", features="aliases")
    return sorted(name for name in found if number_of(alias, name) is not None)


def numbered(alias: str, number: int) -> str:
    """The name of index `number` of an alias."""
    return f"{alias}-{number:06d}"


def number_of(alias: str, index: str) -> int | None:
    """The number in an index's name; None: it is no index of this alias.

    >>> number_of("products", "products-000012"), number_of("products", "products-old")
    (12, None)
    """
    _, _, number = index.removeprefix(alias).rpartition("-")
    return int(number) if index == f"{alias}-{number}" and number.isdecimal() else None
