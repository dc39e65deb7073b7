"""The Elasticsearch index: its definition, and products as search documents.

Only core features are used (no language analyser, no script, no plugin), so that one definition
serves the bundled node of the local stack and the official image.
"""

from typing import Any

from elasticsearch import AsyncElasticsearch, BadRequestError

from stack.infra.documents import Document

INDEX = "products"

SETTINGS: dict[str, Any] = {
    "number_of_shards": 1,
    "number_of_replicas": 0,
    "analysis": {
        "analyzer": {
            "words": {
                "type": "custom",
                "tokenizer": "standard",
                # `asciifolding` is no core filter (the published artefacts lack its module).
                "filter": ["lowercase", "stop"],
            }
        }
    },
}
_WORDS = {"type": "text", "analyzer": "words"}
_KEYWORD = {"type": "keyword"}
_STORED = {"type": "keyword", "index": False, "doc_values": False}
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
    },
}
FIELDS = tuple(MAPPINGS["properties"])


def search_document(product: Document) -> dict[str, Any]:
    """The part of a stored product that is searched and shown in results."""
    return {field: product[field] for field in FIELDS if field in product}


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


async def create_search_index(client: AsyncElasticsearch, index: str = INDEX) -> bool:
    """Create the index unless it is there; whether we did. Two processes may try at once."""
    if await client.indices.exists(index=index):
        return False
    try:
        await client.indices.create(index=index, settings=SETTINGS, mappings=MAPPINGS)
    except BadRequestError as error:
        if error.error != "resource_already_exists_exception":
            raise
        return False
    return True
