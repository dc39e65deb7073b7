"""How the database carries out the service's reads: its own plan, and which indexes are there."""

from typing import Any, NamedTuple

from pymongo import DESCENDING, MongoClient

from stack.infra.documents import PRODUCTS
from stack.infra.indexes import PRODUCT_INDEXES

PAGE = 11  # documents: one page and the one that tells whether more follow


class ReadPlans(NamedTuple):
    """What is seen of a list of one category, the read that needs an index most.

    `examined_per_returned`: documents looked at for each that is returned; 1 with its index.
    """

    examined_per_returned: float
    missing_indexes: tuple[str, ...]


def read_plans(mongo_url: str) -> ReadPlans:
    """Ask the primary to carry out the read and to tell what it took."""
    with MongoClient[dict[str, Any]](mongo_url) as client:
        database = client.get_default_database("headroom")
        products = database[PRODUCTS]
        there = products.index_information()
        one = products.find_one({}, {"category": 1}) or {}
        query = {
            "find": PRODUCTS,
            "filter": {"category": one.get("category")},
            "sort": {"_id": DESCENDING},
            "limit": PAGE,
        }
        told = database.command("explain", query, verbosity="executionStats")
    wanted = [str(index.document["name"]) for index in PRODUCT_INDEXES]
    seen = told["executionStats"]
    return ReadPlans(
        seen["totalDocsExamined"] / max(1, seen["nReturned"]),
        tuple(name for name in wanted if name not in there),
    )
