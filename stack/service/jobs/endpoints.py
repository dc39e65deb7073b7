"""Routes of the background jobs, for administrators."""

from dataclasses import asdict
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi import Path as InPath
from pymongo.asynchronous.database import AsyncDatabase
from starlette.responses import Response

from stack.infra.documents import REPORTS, Document
from stack.infra.jobs import JobKind
from stack.service.auth.bearer import Bearer
from stack.service.auth.principal import Principal
from stack.service.errors import NotFound
from stack.service.jobs.schemas import JobOverview, JobRequest, JobState
from stack.service.jobs.service import JobService
from stack.service.replies import encoded, json_reply

JobKey = Annotated[str, InPath(pattern=r"^[a-z_]{1,32}:[A-Za-z0-9:._-]{1,160}$")]


def job_routes(jobs: JobService, database: AsyncDatabase[Document], bearer: Bearer) -> APIRouter:
    """The routes that look after the queue, and read what its jobs have written."""
    router = APIRouter(tags=["jobs"])
    Asking = Annotated[Principal, Depends(bearer)]  # noqa: N806 - a type

    @router.get("/api/v1/admin/jobs", responses={200: {"model": JobOverview}})
    async def overview(
        principal: Asking, limit: Annotated[int, Query(ge=0, le=1000)] = 100
    ) -> Response:
        """The queue's length, and the dead letters, newest first."""
        principal.require_role("admin")
        backlog, dead = await jobs.overview(limit)
        return json_reply(
            encoded({**asdict(backlog), "dead_letters": [asdict(job) for job in dead]})
        )

    @router.post("/api/v1/admin/jobs", status_code=202, responses={202: {"model": JobState}})
    async def ask(wanted: JobRequest, principal: Asking) -> Response:
        """Ask for a scheduled job now."""
        principal.require_role("admin")
        payload = {"day": wanted.day.isoformat()} if wanted.day else {}
        key = await jobs.ask_on_demand(JobKind(wanted.kind), payload)
        return json_reply(encoded({"key": key, "state": "waiting"}), 202)

    @router.get("/api/v1/admin/jobs/{key}", responses={200: {"model": JobState}})
    async def state(key: JobKey, principal: Asking) -> Response:
        """Where a job is; a job that is done is remembered for two days."""
        principal.require_role("admin")
        return json_reply(encoded({"key": key, "state": await jobs.state(key)}))

    @router.post("/api/v1/admin/jobs/{key}/retry", status_code=202)
    async def retry(key: JobKey, principal: Asking) -> Response:
        """Let a dead job run again."""
        principal.require_role("admin")
        await jobs.revive(key)
        return json_reply(encoded({"key": key, "state": "waiting"}), 202)

    @router.get("/api/v1/admin/reports/{day}")
    async def report(day: date, principal: Asking) -> Response:
        """The figures of one day, as the nightly job wrote them."""
        principal.require_role("admin")
        found = await database[REPORTS].find_one({"_id": day.isoformat()})
        if found is None:
            raise NotFound(f"there is no report of {day}")
        found["day"] = found.pop("_id")
        return json_reply(encoded(found))

    return router
