"""Forgets sessions that have ended by themselves.

Redis drops a session's own key when its refresh token's time is over; its name stays in the user's
list of sessions until that user comes back. Users who do not come back are what this is for.
"""

from collections.abc import Awaitable
from typing import cast

from stack.infra.jobs import Job
from stack.worker.tools import Tools

LISTS = "auth:*:sessions"
AT_ONCE = 500


async def forget_ended(tools: Tools, _job: Job) -> str:
    """Take the names of sessions that are gone out of the lists."""
    redis = tools.sessions
    async for index in redis.scan_iter(match=LISTS, count=AT_ONCE):
        names = await cast(Awaitable[list[bytes]], redis.zrange(index, 0, -1))
        prefix = index.removesuffix(b"sessions") + b"session:"
        pipeline = redis.pipeline(transaction=False)
        for name in names:
            pipeline.exists(prefix + name)
        # A session's key is made with its name in one step, so a name without a key is an old one.
        alive = await pipeline.execute() if names else []
        ended = [name for name, there in zip(names, alive, strict=True) if not there]
        if ended:
            await redis.zrem(index, *ended)
    return "done"
