"""Routes of the events: taking them in, and asking about them."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime
from starlette.responses import Response

from stack.infra.analytics import Analytics, AnalyticsUnavailable
from stack.infra.event_stream import Row, moment
from stack.service.auth.bearer import Bearer
from stack.service.auth.principal import Principal
from stack.service.errors import InvalidRequest, ServiceError
from stack.service.events.buffer import EventBuffer
from stack.service.events.schemas import Event, EventBatch, Funnel, Ranking, Taken, What
from stack.service.replies import encoded, json_reply

# An older time is a client's wrong clock; it is not taken as said.
OLDEST = timedelta(days=7)
DAY = timedelta(days=1)
LONGEST = timedelta(days=400)
Start = Annotated[AwareDatetime | None, Query(description="default: a day before `end`")]
End = Annotated[AwareDatetime | None, Query(description="default: now; not included")]


class AnalyticsDown(ServiceError):
    """The owner of the events does not answer."""

    status, title = 503, "Analytics unavailable"
    headers = {"Retry-After": "5"}  # noqa: RUF012 - a constant of the class, never changed


def event_routes(buffer: EventBuffer, analytics: Analytics, bearer: Bearer) -> APIRouter:
    """The routes that fill `buffer` and ask `analytics`."""
    router = APIRouter(tags=["events"])
    Asking = Annotated[Principal, Depends(bearer)]  # noqa: N806 - a type

    @router.post("/api/v1/events", status_code=202, responses={202: {"model": Taken}})
    async def take(batch: EventBatch, request: Request) -> Response:
        """Take what a shopper did, up to 100 events. A token says who it was; none is needed."""
        signed_in = "authorization" in request.headers
        user = str((await bearer(request)).user) if signed_in else ""
        now = datetime.now(UTC)
        accepted = buffer.add([_row(event, user, now) for event in batch.events])
        taken = Taken(accepted=accepted, dropped=len(batch.events) - accepted)
        return json_reply(taken.model_dump_json().encode(), 202)

    @router.get("/api/v1/admin/analytics/funnel", responses={200: {"model": Funnel}})
    async def funnel(principal: Asking, start: Start = None, end: End = None) -> Response:
        """How many sessions came how far: view, favourite, cart, purchase."""
        principal.require_role("admin")
        begins, ends = _period(start, end)
        try:
            steps = await analytics.funnel(begins, ends)
        except AnalyticsUnavailable as error:
            raise AnalyticsDown("the owner of the events does not answer; try again") from error
        return json_reply(encoded({"start": begins, "end": ends, "steps": steps}))

    @router.get("/api/v1/admin/analytics/top/{what}", responses={200: {"model": Ranking}})
    async def top(
        what: What,
        principal: Asking,
        start: Start = None,
        end: End = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 10,
    ) -> Response:
        """The most viewed or favoured products, frequent and vain searches, the longest looks."""
        principal.require_role("admin")
        begins, ends = _period(start, end)
        try:
            first = await analytics.top(what, begins, ends, limit)
        except AnalyticsUnavailable as error:
            raise AnalyticsDown("the owner of the events does not answer; try again") from error
        return json_reply(encoded({"what": what, "start": begins, "end": ends, "first": first}))

    return router


def _row(event: Event, user: str, now: datetime) -> Row:
    at = now if event.at is None or not now - OLDEST <= event.at <= now else event.at
    return {
        "id": str(event.id or uuid4()),
        "at": moment(at.astimezone(UTC)),
        "kind": event.kind.value,
        "session": event.session,
        "user": user,
        "product": event.product or "",
        "query": event.query or "",
        "seconds": event.seconds or 0.0,
    }


def _period(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    ends = end or datetime.now(UTC)
    for given in (start, ends):
        if given is not None and not 1971 <= given.year <= 2200:
            raise InvalidRequest("`start` and `end` must lie in the years 1971 to 2200")
    begins = start or ends - DAY
    if not timedelta() < ends - begins <= LONGEST:
        raise InvalidRequest(f"`start` must be before `end`, by {LONGEST.days} days at most")
    return begins.astimezone(UTC), ends.astimezone(UTC)
