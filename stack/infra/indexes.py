"""The indexes of the database, after item 9 of the design document."""

from pymongo import ASCENDING, DESCENDING, TEXT, IndexModel
from pymongo.asynchronous.database import AsyncDatabase

from stack.infra.documents import API_KEYS, PRODUCTS, RECOMMENDATIONS, USERS, Document

# The design names `category`; `_id` is appended because pages are read newest first by `_id`, and
# an index on `category` alone would make MongoDB sort the whole category for every page.
TEXT_INDEX = "text"
PRODUCT_INDEXES = (
    IndexModel([("category", ASCENDING), ("_id", DESCENDING)], name="category_newest"),
    IndexModel([("price_usd", ASCENDING)], name="price"),
    IndexModel([("created_at", DESCENDING)], name="created_newest"),
    IndexModel([("category", ASCENDING), ("price_usd", ASCENDING)], name="category_price"),
    IndexModel(
        [("title", TEXT), ("description", TEXT)],
        name=TEXT_INDEX,
        weights={"title": 3, "description": 1},
    ),
)
USER_INDEXES = (
    IndexModel([("email", ASCENDING)], name="email", unique=True),
    IndexModel([("favorites", ASCENDING)], name="favorites"),
)
# The job that computes them removes those of an earlier run.
RECOMMENDATION_INDEXES = (IndexModel([("computed_at", ASCENDING)], name="computed"),)
# A key is looked up by `_id`, the name in it; its owner lists what is his, newest first.
API_KEY_INDEXES = (
    IndexModel([("user", ASCENDING), ("created_at", DESCENDING)], name="user_newest"),
)


async def create_indexes(database: AsyncDatabase[Document]) -> None:
    """Create every index that is not there yet."""
    await database[PRODUCTS].create_indexes(list(PRODUCT_INDEXES))
    await database[USERS].create_indexes(list(USER_INDEXES))
    await database[RECOMMENDATIONS].create_indexes(list(RECOMMENDATION_INDEXES))
    await database[API_KEYS].create_indexes(list(API_KEY_INDEXES))
