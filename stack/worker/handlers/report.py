"""The figures of one day, from the events and the accounts."""

from datetime import UTC, datetime, time, timedelta

from bson import ObjectId

from stack.infra.documents import REPORTS, USERS
from stack.infra.jobs import Job
from stack.worker.tools import Tools

MOST = 20


async def write_report(tools: Tools, job: Job) -> str:
    """Write the report of `payload.day`, or of the day before the job was due."""
    if tools.analytics is None:
        return "off"
    day = job.payload.get("day")
    date = (
        datetime.fromisoformat(day).date()
        if day
        else (datetime.fromtimestamp(job.due_s, UTC) - timedelta(days=1)).date()
    )
    start = datetime.combine(date, time(), UTC)
    end = start + timedelta(days=1)
    made = {"$gte": ObjectId.from_datetime(start), "$lt": ObjectId.from_datetime(end)}
    report = {
        "_id": date.isoformat(),
        "events": await tools.analytics.kinds(start, end),
        "top_products": await tools.analytics.top("viewed_products", start, end, MOST),
        "top_favourites": await tools.analytics.top("favourite_products", start, end, MOST),
        "top_searches": await tools.analytics.top("searches", start, end, MOST),
        "funnel": await tools.analytics.funnel(start, end),
        "new_accounts": await tools.database[USERS].count_documents(
            {"_id": made, "seeded": {"$ne": True}}
        ),
        "written_at": datetime.now(UTC),
    }
    await tools.database[REPORTS].replace_one({"_id": report["_id"]}, report, upsert=True)
    return "done"
