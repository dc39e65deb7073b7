"""Traces and error reports, sent by a replica to processes that speak the real protocols."""

import asyncio
import json
import logging
import uuid

import httpx
import pytest
from catcher import catcher
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from stack.infra.catalogue import category_slug, product_id, user_id
from stack.infra.error_tracking import ErrorTracker
from stack.service.auth.tokens import mint_access_token
from stack.service.main import create_app
from stack.service.settings import Settings
from stack.service.telemetry import telemetry_of

REQUEST = "trace-1"
PARENT_TRACE, PARENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def settings_of(info, **more):
    return Settings.model_validate(
        {
            "mongo_url": info.mongo_url,
            "redis_url": info.redis_url,
            "elasticsearch_url": info.elasticsearch_url,
            "jwt_secret": info.jwt_secret,
            "cache_ttl_s": {"listing": 300, "search": 180},
            **more,
        }
    )


async def served(app, ask):
    """What `ask` gets from the app; its clients are closed and what waits is sent afterwards."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await ask(client)


def spans_in(caught):
    spans = []
    for each in caught:
        assert each.path == "/v1/traces"
        assert each.headers["content-type"] == "application/x-protobuf"
        sent = ExportTraceServiceRequest.FromString(each.body)
        for resource in sent.resource_spans:
            told = {attribute.key: attribute.value for attribute in resource.resource.attributes}
            assert told["service.instance.id"].string_value == "api-7"
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    return spans


def attributes(span):
    return {
        attribute.key: attribute.value.string_value or attribute.value.int_value
        for attribute in span.attributes
    }


@pytest.mark.feature(
    "8 observability: traces over OTLP, with spans of cache, database and search",
    endpoint="HEADROOM_OTLP_URL",
    module="stack/service/spans.py",
)
def test_a_request_is_a_span_with_its_cache_database_and_search_steps_inside(live_stack, tmp_path):
    async def ask(client):
        headers = {"X-Request-ID": REQUEST}
        headers["traceparent"] = f"00-{PARENT_TRACE}-{PARENT_SPAN}-01"
        limit = uuid.uuid4().int % 90 + 7  # a page that the shared cache may not have yet
        params = {"category": category_slug(0), "limit": limit}
        assert (await client.get("/api/v2/products", params=params, headers=headers)).is_success
        assert (await client.get("/api/v1/search", params={"q": uuid.uuid4().hex})).is_success

    with catcher(tmp_path) as receiver:
        otlp_url = f"http://127.0.0.1:{receiver.port}"
        app = create_app(settings_of(live_stack.info, replica="api-7", otlp_url=otlp_url))
        asyncio.run(served(app, ask))
        spans = spans_in(receiver.caught())
    server = {span.name: span for span in spans if span.kind == Span.SPAN_KIND_SERVER}
    listing, search = server["GET /api/v2/products"], server["GET /api/v1/search"]
    assert (listing.trace_id.hex(), listing.parent_span_id.hex()) == (PARENT_TRACE, PARENT_SPAN)
    told = attributes(listing)
    assert told["headroom.request_id"] == REQUEST
    assert told["http.response.status_code"] == 200
    steps = {span.name.split()[0]: span for span in spans if span.parent_span_id == listing.span_id}
    assert {"cache", "db"} <= steps.keys()
    assert steps["db"].name == "db list_cursor"
    assert attributes(steps["db"]) == {"db.system.name": "mongodb"}
    for step in steps.values():
        assert step.trace_id == listing.trace_id
        assert listing.start_time_unix_nano <= step.start_time_unix_nano
        assert step.end_time_unix_nano <= listing.end_time_unix_nano
    inside = {s.name.split()[0] for s in spans if s.parent_span_id == search.span_id}
    assert "search" in inside


@pytest.mark.feature(
    "8 observability: errors with stack trace, user, request and breadcrumbs",
    endpoint="HEADROOM_SENTRY_DSN",
    module="stack/infra/error_tracking.py",
)
def test_an_unexpected_error_is_reported_with_user_request_stack_and_breadcrumbs(
    live_stack, tmp_path
):
    info = live_stack.info

    async def ask(client):
        token = mint_access_token(info.jwt_secret, user_id(3), "user")
        headers = {"Authorization": f"Bearer {token}", "X-Request-ID": REQUEST}
        answer = await client.get("/api/v1/users/me/favourites?x=1", headers=headers)
        assert answer.status_code == 500
        assert "broken on purpose" not in answer.text
        counted = (await client.get("/metrics")).text.splitlines()
        label = 'method="GET",route="/api/v1/users/me/favourites"'
        assert f"headroom_errors_total{{{label}}} 1.0" in counted

    with catcher(tmp_path) as receiver:
        dsn = f"http://key@127.0.0.1:{receiver.port}/7"
        app = create_app(settings_of(info, sentry_dsn=dsn))

        @app.middleware("http")
        async def break_after(request, call_next):
            answer = await call_next(request)
            if request.url.path == "/metrics":
                return answer
            logging.getLogger("stack.test").warning("about to break")
            raise RuntimeError("broken on purpose")

        # Inside the one that observes, as an endpoint is.
        app.user_middleware.append(app.user_middleware.pop(0))
        asyncio.run(served(app, ask))
        (sent,) = receiver.caught()
    assert sent.path == "/api/7/envelope/"
    assert "sentry_key=key" in sent.headers["x-sentry-auth"]
    header, item, event = (json.loads(line) for line in sent.body.splitlines()[:3])
    assert item["type"] == "event"
    assert header["event_id"] == event["event_id"]
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("RuntimeError", "broken on purpose")
    assert error["stacktrace"]["frames"][-1]["function"] == "break_after"
    assert not [frame for frame in error["stacktrace"]["frames"] if "vars" in frame]  # secrets
    assert event["user"] == {"id": str(user_id(3))}
    assert event["tags"]["request_id"] == REQUEST
    request = event["request"]
    assert (request["method"], request["query_string"]) == ("GET", "x=1")
    assert request["url"] == "http://api/api/v1/users/me/favourites"
    assert "authorization" not in request["headers"]
    crumbs = [(crumb["category"], crumb["message"]) for crumb in event["breadcrumbs"]["values"]]
    assert crumbs[0] == ("db", "favourites")
    assert ("log", "WARNING about to break") in crumbs


def test_expected_errors_are_not_reported(live_stack, tmp_path):
    async def ask(client):
        assert (await client.get(f"/api/v1/products/{product_id(10**6)}")).status_code == 404

    with catcher(tmp_path) as receiver:
        dsn = f"http://key@127.0.0.1:{receiver.port}/7"
        asyncio.run(served(create_app(settings_of(live_stack.info, sentry_dsn=dsn)), ask))
        assert receiver.caught() == []


def test_a_tracker_that_is_not_there_costs_no_request(live_stack):
    async def ask(client):
        return (await client.get("/api/v1/products")).status_code

    gone = {"sentry_dsn": "http://key@127.0.0.1:9/7", "otlp_url": "http://127.0.0.1:9"}
    assert asyncio.run(served(create_app(settings_of(live_stack.info, **gone)), ask)) == 200
    ErrorTracker("http://key@127.0.0.1:9/7", "test").report(ValueError("lost"))


def test_nothing_is_kept_or_sent_unless_it_is_switched_on(live_stack):
    assert telemetry_of(settings_of(live_stack.info)) is None
