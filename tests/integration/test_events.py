"""Shoppers' events on the live stack: from a browser's batch to ClickHouse and back as figures."""

import asyncio
import itertools
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from processes import process, until
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from stack.infra.catalogue import product_id, user_id
from stack.infra.event_stream import STREAM, EventStream, moment
from stack.service.auth.tokens import mint_access_token
from stack.service.events.buffer import EventBuffer
from stack.service.metrics import Metrics

EVENTS = "/api/v1/events"
ANALYTICS = "/api/v1/admin/analytics"
HOURS = itertools.count()


@pytest.fixture
def hour():
    """An hour that no other test's events lie in."""
    start = datetime.now(UTC) - timedelta(days=2) + timedelta(hours=2 * next(HOURS))
    return start.replace(microsecond=0), start.replace(microsecond=0) + timedelta(hours=1)


class Shopper:
    """A browser that sends what it sees; `at` moves on with every event."""

    def __init__(self, api, start):
        self.api, self.at = api, start
        self.session = uuid.uuid4().hex

    def did(self, *events):
        sent = []
        for event in events:
            self.at += timedelta(seconds=1)
            sent.append({"session": self.session, "at": self.at.isoformat(), **event})
        answer = self.api.post(EVENTS, json={"events": sent})
        assert answer.status_code == 202
        assert answer.json() == {"accepted": len(events), "dropped": 0}


def of(kind, number, **more):
    return {"kind": kind, "product": str(product_id(number)), **more}


@pytest.fixture
def asked(api, admin, hour):
    def answer(path, **params):
        start, end = hour
        period = {"start": start.isoformat(), "end": end.isoformat()}
        found = api.get(f"{ANALYTICS}{path}", params=period | params, headers=admin)
        assert found.status_code == 200
        return found.json()

    return answer


@pytest.mark.feature(
    "12 events: the funnel from view to purchase",
    endpoint="GET /api/v1/admin/analytics/funnel",
    module="stack/worker/event_store.py",
)
def test_the_funnel_counts_sessions_by_the_step_they_reached_in_order(api, hour, asked):
    start, _ = hour
    Shopper(api, start).did(of("view", 1), of("favourite", 1), of("cart", 1), of("purchase", 1))
    Shopper(api, start).did(of("view", 1), of("view", 2), of("favourite", 2), of("cart", 2))
    Shopper(api, start).did(of("view", 3))
    Shopper(api, start).did(of("cart", 4), of("view", 4))  # in the wrong order: viewed, no more

    def reached():
        return {step["step"]: step["sessions"] for step in asked("/funnel")["steps"]}

    expected = {"view": 4, "favourite": 2, "cart": 2, "purchase": 1}
    until(lambda: reached() == expected, "all are stored", reached)
    assert list(reached()) == ["view", "favourite", "cart", "purchase"]


@pytest.mark.feature(
    "12 events: most viewed, most favoured, most searched, longest looked at",
    endpoint="GET /api/v1/admin/analytics/top/{what}",
    module="stack/worker/event_store.py",
)
def test_rankings_count_views_favourites_searches_and_mean_the_time_on_page(api, hour, asked):
    start, _ = hour
    shopper = Shopper(api, start)
    shopper.did(*[of("view", 5)] * 3, of("view", 6), of("favourite", 6))
    shopper.did(*({"kind": "search", "query": query} for query in ("Lamp", "lamp", "it's 5\" {x}")))
    shopper.did(of("time_on_page", 5, seconds=10), of("time_on_page", 5, seconds=20))

    def first(what, **params):
        return [(r["name"], r["figure"]) for r in asked(f"/top/{what}", **params)["first"]]

    five, six = str(product_id(5)), str(product_id(6))
    until(lambda: first("seconds_on_product") == [(five, 15.0)], "all are stored")
    assert first("viewed_products") == [(five, 3.0), (six, 1.0)]
    assert first("viewed_products", limit=1) == [(five, 3.0)]
    assert first("favourite_products") == [(six, 1.0)]
    assert first("searches") == [("lamp", 2.0), ("it's 5\" {x}", 1.0)]


def test_an_event_that_is_sent_twice_counts_once(api, hour, asked):
    start, _ = hour
    once = of("view", 7, id=str(uuid.uuid4()))
    for _ in range(3):
        Shopper(api, start).did(once)
    Shopper(api, start).did(of("view", 8))

    def viewed():
        found = asked("/top/viewed_products")["first"]
        return {ranked["name"]: ranked["figure"] for ranked in found}

    eight = str(product_id(8))
    until(lambda: eight in viewed(), "the last one is stored")
    assert viewed() == {str(product_id(7)): 1.0, eight: 1.0}


@pytest.mark.parametrize(
    "event",
    [
        {"kind": "view"},
        {"kind": "search", "query": ""},
        {"kind": "search", "query": "x", "product": str(product_id(1))},
        {"kind": "time_on_page", "product": str(product_id(1))},
        {"kind": "view", "product": str(product_id(1)), "seconds": 1},
        {"kind": "view", "product": "1"},
        {"kind": "view", "product": str(product_id(1)), "id": str(uuid.uuid4())},
        {"kind": "stroll", "product": str(product_id(1))},
        {"kind": "view", "product": str(product_id(1)), "session": "' OR 1 = 1"},
    ],
)
def test_an_event_that_makes_no_sense_is_refused(api, event):
    answer = api.post(EVENTS, json={"events": [{"session": "s", **event}]})
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_batch_is_bounded_and_figures_are_for_administrators(api, live_stack, admin):
    view = {"session": "s", **of("view", 1)}
    for count in (0, 101):
        assert api.post(EVENTS, json={"events": [view] * count}).status_code == 422
    token = mint_access_token(live_stack.info.jwt_secret, user_id(1))
    for path in ("/funnel", "/top/searches"):
        assert api.get(ANALYTICS + path).status_code == 401
        as_user = {"Authorization": f"Bearer {token}"}
        assert api.get(ANALYTICS + path, headers=as_user).status_code == 403
    for bad in ({"end": "0001-01-01T00:00:00Z"}, {"start": "2999-01-01T00:00:00Z"}):
        assert api.get(f"{ANALYTICS}/funnel", params=bad, headers=admin).status_code == 422
    assert api.get(f"{ANALYTICS}/top/secrets", headers=admin).status_code == 422


def rows(count):
    now = datetime.now(UTC)
    return [
        {
            "id": str(uuid.uuid4()),
            "at": moment(now),
            "kind": "view",
            "session": "s",
            "user": "",
            "product": str(number),
            "query": "",
            "seconds": 0.0,
        }
        for number in range(count)
    ]


def counted(metrics, result):
    name = "headroom_events_total"
    return metrics.registry.get_sample_value(name, {"result": result}) or 0.0


@pytest.mark.feature(
    "12 events: a bounded buffer, and every loss is counted",
    endpoint="POST /api/v1/events",
    module="stack/service/events/buffer.py",
)
def test_what_the_buffer_has_no_room_for_is_counted_and_the_rest_waits_for_the_stream(live_stack):
    url = live_stack.info.queue_url.removesuffix("/0") + "/2"

    async def steps():
        metrics = Metrics("test")
        async with AsyncRedis.from_url("redis://127.0.0.1:1/0") as nowhere:
            buffer = EventBuffer(EventStream(nowhere), metrics, most=1_000)
            assert buffer.add(rows(700)) == 700
            assert buffer.add(rows(700)) == 300
            assert counted(metrics, "dropped") == 400
            await buffer.close()  # the stream is still not there: now they are lost, and counted
            assert counted(metrics, "dropped") == 1_400
        async with AsyncRedis.from_url(url) as redis:
            await redis.flushdb()
            metrics = Metrics("test")
            buffer = EventBuffer(EventStream(redis, longest=2), metrics)
            buffer.add(rows(1_200))  # three batches, and the stream takes two
            await buffer.close()
            found = [counted(metrics, result) for result in ("handed_over", "dropped")]
            assert (found, await redis.xlen(STREAM)) == ([1_000.0, 200.0], 2)
            await redis.flushdb()

    asyncio.run(steps())


def test_a_failing_stream_delays_events_and_changes_neither_their_order_nor_their_number():
    class Failing:
        def __init__(self):
            self.failures, self.taken = 3, []

        async def add(self, batch):
            if self.failures:
                self.failures -= 1
                raise ConnectionError("for the moment")
            self.taken += batch
            return True

    async def steps():
        stream = Failing()
        buffer = EventBuffer(stream, Metrics("test"))
        sent = rows(1_100)
        buffer.add(sent)
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await buffer._hand_over()
        await buffer.close()
        return sent, stream.taken

    sent, taken = asyncio.run(steps())
    assert taken == sent


@pytest.mark.feature(
    "12 events: batches into ClickHouse, none lost when their owner is killed",
    endpoint="–",
    module="stack/worker/events.py",
)
def test_an_owner_killed_among_batches_loses_none_and_counts_none_twice(live_stack, tmp_path):
    url = live_stack.info.queue_url.removesuffix("/0") + "/3"
    settings = {"QUEUE_URL": url, "CLICKHOUSE_URL": f"chdb://{tmp_path}/chdb"}
    module, log = "stack.worker.events", tmp_path / "events.log"
    period = {"start": "2026-01-01T00:00:00+00:00", "end": "2199-01-01T00:00:00+00:00"}

    def hand_over(batches):
        async def steps():
            async with AsyncRedis.from_url(url) as redis:
                stream = EventStream(redis)
                for _ in range(batches):
                    assert await stream.add(rows(50))

        asyncio.run(steps())

    with Redis.from_url(url) as redis:
        redis.flushdb()
        hand_over(200)
        with process(module, live_stack.info, log, **settings) as owner:
            until(lambda: redis.xlen(STREAM) < 200, "the first batches are stored")
            owner.kill()
        # As a kill between storing and acknowledging leaves it: read, stored, and still pending.
        hand_over(100)
        redis.xreadgroup("clickhouse", "owner", {STREAM: ">"}, count=30)
        with process(module, live_stack.info, log, **settings) as owner:
            until(lambda: redis.xlen(STREAM) == 0, "all are stored")
            found = httpx.get(f"{owner.url}/kinds", params=period).json()
            assert "headroom_events_stored_total" in owner.metrics()
        redis.flushdb()
    assert found == {"view": 15_000}
