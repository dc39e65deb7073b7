"""The e-mail to a new account."""

from datetime import UTC, datetime, timedelta

from bson import ObjectId

from stack.infra.documents import USERS
from stack.infra.jobs import Job, JobKind
from stack.worker.tools import Tools

SUBJECT = "Welcome"
TEXT = """\
Hello {name},

your account is ready. Your favourites are kept with it.
"""
# Accounts of this age are looked at: younger ones are being welcomed, older ones have given up.
YOUNGEST, OLDEST = timedelta(minutes=2), timedelta(days=1)
MOST = 1_000


async def send_welcome(tools: Tools, job: Job) -> str:
    """Send it unless it was sent. The same message id marks a repetition after a crash as one."""
    users = tools.database[USERS]
    user = ObjectId(job.payload["user"])
    account = await users.find_one({"_id": user}, {"email": 1, "name": 1, "welcomed_at": 1})
    if account is None or account.get("welcomed_at"):
        return "skipped"
    if tools.mailer is None:
        return "off"
    text = TEXT.format(name=account["name"])
    await tools.mailer.send(account["email"], SUBJECT, text, f"welcome.{user}")
    await users.update_one({"_id": user}, {"$set": {"welcomed_at": datetime.now(UTC)}})
    return "done"


async def ask_for_missed(tools: Tools, _job: Job) -> str:
    """Ask for the welcomes of accounts that were made while the queue could not be reached."""
    if tools.mailer is None:
        return "off"
    now = datetime.now(UTC)
    made = {
        "$gte": ObjectId.from_datetime(now - OLDEST),
        "$lt": ObjectId.from_datetime(now - YOUNGEST),
    }
    query = {"_id": made, "seeded": {"$ne": True}, "welcomed_at": None}
    async for account in tools.database[USERS].find(query, {"_id": 1}, limit=MOST):
        # Where the job is known already, this asks for nothing.
        await tools.queue.add(JobKind.WELCOME, str(account["_id"]), {"user": str(account["_id"])})
    return "done"
