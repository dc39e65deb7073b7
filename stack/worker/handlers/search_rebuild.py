"""Builds the search index anew, for administrators."""

from stack.errors import RebuildRuns
from stack.infra.jobs import Job
from stack.worker.rebuild import Rebuild
from stack.worker.tools import Tools


async def build_anew(tools: Tools, job: Job) -> str:
    """Rebuild the index behind its alias; another rebuild that is at work will do."""
    if tools.elasticsearch is None:
        return "off"
    work = Rebuild(tools.database, tools.elasticsearch, tools.cache, owner=job.key)
    try:
        await work.run()
    except RebuildRuns:
        return "skipped"
    return "done"
