"""Which products are favourites of the same people."""

from datetime import UTC, datetime
from typing import Any

from stack.infra.documents import RECOMMENDATIONS, USERS, Document
from stack.infra.jobs import Job
from stack.worker.tools import Tools

SHOWN = 10
# A user's newest favourites; pairs grow with the square of their number.
NEWEST = 50


def pipeline(now: datetime) -> list[Document]:
    """Pairs of favourites by the number of users who share them, the best of each product."""
    newest: dict[str, Any] = {"$slice": ["$favorites", -NEWEST]}
    best = {
        "$topN": {
            "n": SHOWN,
            "sortBy": {"users": -1, "_id.other": -1},
            "output": {"product": "$_id.other", "users": "$users"},
        }
    }
    return [
        {"$match": {"favorites.1": {"$exists": True}}},
        {"$project": {"product": newest, "other": newest}},
        {"$unwind": "$product"},
        {"$unwind": "$other"},
        {"$match": {"$expr": {"$ne": ["$product", "$other"]}}},
        {"$group": {"_id": {"product": "$product", "other": "$other"}, "users": {"$sum": 1}}},
        {"$group": {"_id": "$_id.product", "products": best}},
        {"$set": {"computed_at": now}},
        {"$merge": {"into": RECOMMENDATIONS, "whenMatched": "replace"}},
    ]


async def compute(tools: Tools, _job: Job) -> str:
    """Compute all, then forget those of products that nobody shares any more."""
    now = datetime.now(UTC).replace(microsecond=0)
    found = await tools.database[USERS].aggregate(pipeline(now), allowDiskUse=True)
    await found.to_list()  # nothing comes, the database has merged it; this waits for the end
    await tools.database[RECOMMENDATIONS].delete_many({"computed_at": {"$lt": now}})
    return "done"
