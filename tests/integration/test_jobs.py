"""Background jobs on the live stack: real queue, real worker processes, a real mail server."""

import asyncio
import signal
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import combinations

import httpx
import pytest
from elasticsearch import Elasticsearch
from mailbox_server import Mailbox
from processes import process, until
from pymongo import MongoClient
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from headroom.live import reindex_stack
from stack.infra.catalogue import product_id, user_email, user_id
from stack.infra.documents import PRODUCTS, USERS
from stack.infra.jobs import DEAD, DUE, HASH, JobKind, JobQueue
from stack.infra.search_index import INDEX
from stack.service.auth.tokens import mint_access_token
from stack.service.main import create_app
from stack.service.settings import Settings
from stack.worker.handlers import welcome
from stack.worker.job_metrics import WorkerMetrics
from stack.worker.job_settings import WorkerSettings
from stack.worker.runner import JobRunner
from stack.worker.schedule import Every
from stack.worker.tools import Tools

WORKER = "stack.worker.jobs"
JOBS = "/api/v1/admin/jobs"


@pytest.fixture(scope="module")
def database(live_stack):
    with MongoClient(live_stack.info.mongo_url) as client:
        yield client.get_default_database("headroom")


@pytest.fixture(autouse=True)
def _nobody_waits_for_a_welcome(database):
    """Accounts that other tests made are no news: a worker would look for them and send mail."""
    made_before = {"seeded": {"$ne": True}, "welcomed_at": None}
    database[USERS].update_many(made_before, {"$set": {"welcomed_at": datetime.now(UTC)}})


@pytest.fixture
def own_queue(live_stack):
    """A queue of the test's own: another database of the same Redis. Its URL."""
    url = live_stack.info.queue_url.removesuffix("/0") + "/1"
    with Redis.from_url(url) as redis:
        redis.flushdb()
        yield url
        redis.flushdb()


def on_queue(url, steps):
    """Run `steps(queue)` in a loop of its own."""

    async def run():
        async with AsyncRedis.from_url(url) as redis:
            return await steps(JobQueue(redis))

    return asyncio.run(run())


def ask_for_welcome(url, number, key=None):
    user = str(user_id(number))
    payload = {"user": user}
    return on_queue(url, lambda queue: queue.add(JobKind.WELCOME, key or user, payload))


def state_of(url, key):
    return on_queue(url, lambda queue: queue.state(key))


@pytest.fixture
def not_welcomed(database):
    """Shoppers whose welcome a test may send: as they were afterwards."""
    yield
    database[USERS].update_many({}, {"$unset": {"welcomed_at": 1}})


def done(api, admin, kind, **wanted):
    """Ask for a job through the API and wait for its end."""
    asked = api.post(JOBS, json={"kind": kind, **wanted}, headers=admin)
    assert asked.status_code == 202
    key = asked.json()["key"]
    until(
        lambda: api.get(f"{JOBS}/{key}", headers=admin).json()["state"] == "done", f"{key} is done"
    )


@pytest.mark.feature(
    "11 jobs: a welcome e-mail to every new account",
    endpoint="POST /api/v1/auth/register",
    module="stack/worker/handlers/welcome.py",
)
def test_a_new_account_gets_one_welcome_by_mail(api, mailbox, database):
    address = f"{uuid.uuid4().hex}@example.org"
    account = {"email": address, "password": "correct horse", "name": "Ada"}
    try:
        assert api.post("/api/v1/auth/register", json=account).status_code == 201
        [message] = mailbox.wait_for(address)
        assert message["Subject"] == "Welcome"
        assert "Hello Ada" in message.get_payload()
        until(
            lambda: database[USERS].find_one({"email": address}).get("welcomed_at") is not None,
            "the account notes its welcome",
        )
    finally:
        database[USERS].delete_one({"email": address})


@pytest.mark.feature(
    "11 jobs: a worker killed in mid-job loses nothing",
    endpoint="–",
    module="stack/infra/jobs.py",
)
def test_a_worker_killed_in_mid_job_loses_nothing(live_stack, own_queue, not_welcomed, tmp_path):
    settings = {"QUEUE_URL": own_queue, "JOB_LEASE_S": "1.5"}
    with Mailbox(held=True) as held, Mailbox() as mail:
        log = tmp_path / "worker.log"
        with process(WORKER, live_stack.info, log, SMTP_URL=held.url, **settings) as worker:
            for number in (1, 2, 3):
                ask_for_welcome(own_queue, number)
            held.wait_until_asked(3)  # all three are in the middle of their work
            worker.kill()
        with process(WORKER, live_stack.info, log, SMTP_URL=mail.url, **settings):
            for number in (1, 2, 3):
                assert len(mail.wait_for(user_email(number))) == 1
            for number in (1, 2, 3):
                key = f"welcome:{user_id(number)}"
                until(lambda key=key: state_of(own_queue, key) == "done", f"{key} is done")


def test_a_worker_that_is_stopped_ends_the_job_in_hand_and_claims_no_other(
    live_stack, own_queue, not_welcomed, tmp_path
):
    log = tmp_path / "worker.log"
    with (
        Mailbox(held=True) as mail,
        process(WORKER, live_stack.info, log, QUEUE_URL=own_queue, SMTP_URL=mail.url) as worker,
    ):
        ask_for_welcome(own_queue, 4)
        mail.wait_until_asked()
        worker.terminate()
        until(lambda: "stopping" in log.read_text(), "the worker stops")
        ask_for_welcome(own_queue, 5)
        mail.let_go()
        # Its web server ends by the signal it was asked with, after everything was put away.
        assert worker.exit_code() == -signal.SIGTERM
        assert state_of(own_queue, f"welcome:{user_id(4)}") == "done"
        assert state_of(own_queue, f"welcome:{user_id(5)}") == "waiting"
        assert len(mail.to(user_email(4))) == 1


@pytest.mark.feature(
    "11 jobs: retries with backoff, dead letters that can be revived",
    endpoint="POST /api/v1/admin/jobs/{key}/retry",
    module="stack/worker/runner.py",
)
def test_a_failing_job_is_tried_again_then_buried_with_its_error_and_can_be_revived(
    live_stack, own_queue, not_welcomed, tmp_path
):
    settings = {"QUEUE_URL": own_queue, "JOB_BACKOFF_S": "0.01", "JOB_ATTEMPTS": "3"}
    log = tmp_path / "worker.log"
    with (
        Mailbox(refused=2) as mail,
        process(WORKER, live_stack.info, log, SMTP_URL=mail.url, **settings) as worker,
    ):
        ask_for_welcome(own_queue, 6)
        assert len(mail.wait_for(user_email(6))) == 1  # at the third attempt
        mail.refused = 3
        ask_for_welcome(own_queue, 7)
        key = f"welcome:{user_id(7)}"
        until(lambda: state_of(own_queue, key) == "dead", f"{key} is given up")
        [letter] = on_queue(own_queue, lambda queue: queue.dead())
        assert (letter.key, letter.attempts) == (key, 3)
        assert "451" in letter.error
        assert mail.to(user_email(7)) == []
        assert on_queue(own_queue, lambda queue: queue.revive(key))
        assert len(mail.wait_for(user_email(7))) == 1
        until(lambda: state_of(own_queue, key) == "done", f"{key} is done")
        counted = worker.metrics()
    assert 'headroom_jobs_total{kind="welcome",outcome="retried"} 4.0' in counted
    assert 'headroom_jobs_total{kind="welcome",outcome="dead"} 1.0' in counted
    assert 'headroom_job_seconds_count{kind="welcome"} 7.0' in counted


@pytest.mark.feature(
    "11 jobs: one key is one job, however often it is asked for",
    endpoint="–",
    module="stack/infra/jobs.py",
)
def test_a_job_asked_for_twice_is_done_once(live_stack, own_queue, not_welcomed, tmp_path):
    with Mailbox() as mail:
        assert ask_for_welcome(own_queue, 8)
        assert not ask_for_welcome(own_queue, 8)
        log = tmp_path / "worker.log"
        with process(WORKER, live_stack.info, log, QUEUE_URL=own_queue, SMTP_URL=mail.url):
            mail.wait_for(user_email(8))
            until(lambda: state_of(own_queue, f"welcome:{user_id(8)}") == "done", "it is done")
            assert not ask_for_welcome(own_queue, 8)  # remembered
            # Even under another name: the account knows that it was welcomed.
            assert ask_for_welcome(own_queue, 8, "another")
            until(lambda: state_of(own_queue, "welcome:another") == "done", "it is done")
        assert len(mail.to(user_email(8))) == 1


@pytest.mark.feature(
    "11 jobs: a schedule that many workers keep and each slot runs once",
    endpoint="–",
    module="stack/worker/schedule.py",
)
def test_two_workers_keep_one_schedule_and_catch_up_with_one_job(own_queue):
    hourly = (Every(JobKind.RECOMMENDATIONS, 3600, 60),)

    async def steps():
        async with AsyncRedis.from_url(own_queue) as redis:
            queue = JobQueue(redis)
            settings = WorkerSettings(mongo_url="mongodb://nowhere/", queue_url=own_queue)
            tools = Tools(None, queue, None, None, None, None, None)
            workers = [JobRunner(tools, {}, settings, WorkerMetrics(), hourly) for _ in range(2)]
            keys = []
            for now_s in (3660.0, 3700.0, 7259.0, 7260.0, 90_000.0):  # then nothing for 22 hours
                for worker in workers:
                    await worker._ask_for_due(now_s)
                while (job := await queue.claim(30, "test", 8)) is not None:
                    keys.append(job.key)
                    await queue.finish(job)
            return keys

    slots = [1, 2, 24]
    assert asyncio.run(steps()) == [f"recommendations:slot:{slot}" for slot in slots]


@asynccontextmanager
async def own_runner(url, handler, **settings):
    """A runner of the test's own, whose image jobs are `handler`'s; its queue, and the Redis."""
    async with AsyncRedis.from_url(url) as redis:
        queue = JobQueue(redis)
        told = WorkerSettings(mongo_url="mongodb://nowhere/", queue_url=url, **settings)
        tools = Tools(None, queue, None, None, None, None, None)
        runner = JobRunner(tools, {JobKind.IMAGE: handler}, told, WorkerMetrics(), ())
        await queue.add(JobKind.IMAGE, "x")
        yield runner, queue, redis


def test_a_failed_job_waits_longer_before_each_next_try(own_queue):
    async def fails(_tools, _job):
        raise ConnectionError("for the moment")

    async def steps():
        waits = []
        async with own_runner(own_queue, fails, job_backoff_s=100) as (runner, queue, redis):
            for _ in range(3):
                job = await queue.claim(30, "test", 8)
                seconds, _ = await redis.time()
                await runner._work(job)
                waits.append(await redis.zscore(DUE, job.key) / 1000 - seconds)
                await redis.zadd(DUE, {job.key: 0})  # as if the time were over
        return waits

    waits = asyncio.run(steps())
    for wait, longest in zip(waits, (100, 400, 900), strict=True):  # no longer than 15 minutes
        assert longest / 2 <= wait <= longest + 60  # the machine may be slow


def test_a_job_that_takes_long_keeps_its_lease(own_queue):
    async def steps():
        over = asyncio.Event()

        async def long(_tools, _job):
            await over.wait()
            return "done"

        async with own_runner(own_queue, long, job_lease_s=0.3) as (runner, queue, redis):
            job = await queue.claim(30, "test", 8)
            before = await redis.zscore(DUE, job.key)
            working = asyncio.create_task(runner._work(job))
            async with asyncio.timeout(20):
                while await redis.zscore(DUE, job.key) == before:
                    pass
            over.set()
            await working
            return await queue.state(job.key)

    assert asyncio.run(steps()) == "done"


async def endless(_tools, _job):
    await asyncio.Event().wait()


def test_a_job_that_hangs_is_ended_with_an_error(own_queue, monkeypatch):
    monkeypatch.setattr("stack.worker.runner.LONGEST_S", 0.05)  # not five minutes of test

    async def steps():
        async with own_runner(own_queue, endless, job_attempts=1) as (runner, queue, _):
            async with asyncio.timeout(20):
                await runner._work(await queue.claim(30, "test", 8))
            return await queue.dead()

    [letter] = asyncio.run(steps())
    assert "TimeoutError" in letter.error


def test_a_worker_that_is_stopped_gives_back_what_takes_too_long(own_queue, monkeypatch):
    monkeypatch.setattr("stack.worker.runner.GRACE_S", 0.05)  # the same

    async def steps():
        async with own_runner(own_queue, endless) as (runner, queue, _):
            running = asyncio.create_task(runner.run())
            async with asyncio.timeout(20):
                while await queue.state("image:x") != "running":
                    pass
                runner.stop()
                await running
            return await queue.claim(30, "another", 8)

    assert asyncio.run(steps()).attempt == 1  # as if it had not been claimed before


def test_a_job_that_ends_its_workers_is_buried(own_queue):
    async def steps(queue):
        await queue.add(JobKind.IMAGE, "poison")
        for _ in range(3):
            assert await queue.claim(0.0, "a worker that ends", 3) is not None
        assert await queue.claim(0.0, "one more", 3) is None
        return await queue.dead()

    [letter] = on_queue(own_queue, steps)
    assert (letter.key, letter.attempts) == ("image:poison", 3)


def test_a_worker_whose_lease_is_over_can_end_the_job_of_nobody_else(own_queue):
    async def steps(queue):
        await queue.add(JobKind.IMAGE, "x")
        slow = await queue.claim(0.0, "slow", 8)
        quick = await queue.claim(30.0, "quick", 8)
        assert slow.key == quick.key
        late = [await queue.finish(slow), await queue.renew(slow, 30), await queue.bury(slow, "")]
        assert late == [False, False, False]
        assert await queue.finish(quick)
        return await queue.backlog()

    backlog = on_queue(own_queue, steps)
    assert (backlog.waiting, backlog.running, backlog.dead) == (0, 0, 0)


@pytest.fixture
def liked(database):
    """A product that twelve shoppers like, with one, two, three … of the same twelve others.

    Among the few who are seeded hardly two share more than one favourite.
    """
    product, *others = (product_id(number) for number in range(580, 593))
    shoppers = [
        {
            "email": f"{uuid.uuid4().hex}@example.org",
            "favorites": [product, *others[:count]],
            "seeded": True,
        }
        for count in range(1, 13)
    ]
    made = database[USERS].insert_many(shoppers).inserted_ids
    yield product
    database[USERS].delete_many({"_id": {"$in": made}})


@pytest.mark.feature(
    "11 jobs: recommendations from shared favourites",
    endpoint="GET /api/v1/products/{product}/recommendations",
    module="stack/worker/handlers/recommendations.py",
)
def test_recommended_is_what_most_users_have_beside_it_among_their_favourites(
    api, admin, database, liked
):
    done(api, admin, "recommendations")
    shared = Counter()
    for account in database[USERS].find({}, {"favorites": 1}):
        for one, other in combinations(account["favorites"][-50:], 2):
            shared[one, other] += 1
            shared[other, one] += 1
    body = api.get(f"/api/v1/products/{liked}/recommendations").json()
    assert body["basis"] == "co_favourites"
    found = [shared[liked, other] for other in map(_object_id, body["products"])]
    expected = sorted((n for (one, _), n in shared.items() if one == liked), reverse=True)
    assert len(expected) > 10
    assert found == expected[:10]
    assert found[0] >= 12


def test_a_product_that_nobody_shares_gets_its_category_and_an_unknown_one_404(
    api, admin, database
):
    liked = set(database[USERS].distinct("favorites"))
    alone = next(product_id(n) for n in range(600) if product_id(n) not in liked)
    body = api.get(f"/api/v1/products/{alone}/recommendations").json()
    category = database[PRODUCTS].find_one({"_id": alone})["category"]
    assert body["basis"] == "category"
    assert {product["category"] for product in body["products"]} == {category}
    assert str(alone) not in {product["id"] for product in body["products"]}
    assert api.get(f"/api/v1/products/{'0' * 24}/recommendations").status_code == 404


def _object_id(product):
    from bson import ObjectId

    return ObjectId(product["id"])


@pytest.mark.feature(
    "11 jobs: the search index is compared with the database and repaired",
    endpoint="POST /api/v1/admin/jobs",
    module="stack/worker/handlers/search_check.py",
)
def test_what_is_wrong_missing_or_too_much_in_the_search_index_is_repaired(api, admin, live_stack):
    wrong, missing, surplus = str(product_id(11)), str(product_id(12)), str(product_id(9_999))
    with Elasticsearch(live_stack.info.elasticsearch_url) as search:
        truth = {i: search.get(index=INDEX, id=i)["_source"] for i in (wrong, missing)}
        search.update(index=INDEX, id=wrong, doc={"title": "Changed by hand"})
        search.delete(index=INDEX, id=missing)
        search.index(index=INDEX, id=surplus, document=truth[wrong], refresh=True)
        done(api, admin, "search_check")
        assert search.get(index=INDEX, id=wrong)["_source"] == truth[wrong]
        assert search.get(index=INDEX, id=missing)["_source"] == truth[missing]
        assert not search.exists(index=INDEX, id=surplus)
        assert search.count(index=INDEX)["count"] == 600


@pytest.mark.feature(
    "11 jobs: the search index is built anew on demand",
    endpoint="POST /api/v1/admin/jobs, headroom reindex",
    module="stack/worker/handlers/search_rebuild.py",
)
def test_administrators_and_the_command_have_the_search_index_built_anew(api, admin, live_stack):
    def found():
        return api.get("/api/v1/search", params={"q": "lightweight"}).json()["total"]

    said, before = [], found()
    with Elasticsearch(live_stack.info.elasticsearch_url) as search:
        behind = [set(search.indices.get_alias(name=INDEX))]
        done(api, admin, "search_rebuild")
        behind.append(set(search.indices.get_alias(name=INDEX)))
        reindex_stack(live_stack.info, said.append)
        behind.append(set(search.indices.get_alias(name=INDEX)))
        assert [len(names) for names in behind] == [1, 1, 1]
        assert len(set.union(*behind)) == 3
        assert search.count(index=INDEX)["count"] == 600
    assert "with 600 products" in said[-1]
    assert found() == before > 0


@pytest.mark.feature(
    "11 jobs: sessions that have ended are forgotten",
    endpoint="POST /api/v1/admin/jobs",
    module="stack/worker/handlers/session_cleanup.py",
)
def test_an_ended_session_leaves_the_list_and_a_living_one_stays(api, admin, live_stack):
    index, prefix = f"auth:{user_id(9)}:sessions", f"auth:{user_id(9)}:session:"
    with Redis.from_url(live_stack.info.queue_url) as redis:
        redis.hset(prefix + "living", "seen", 1)
        redis.zadd(index, {"living": 1, "ended": 2})
        try:
            done(api, admin, "session_cleanup")
            assert redis.zrange(index, 0, -1) == [b"living"]
        finally:
            redis.delete(index, prefix + "living")


@pytest.mark.feature(
    "11 jobs: a report of each day",
    endpoint="GET /api/v1/admin/reports/{day}",
    module="stack/worker/handlers/report.py",
)
def test_the_report_of_a_day_counts_that_day_alone(api, admin):
    day = datetime.now(UTC).date() - timedelta(days=5)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    session, product = uuid.uuid4().hex, str(product_id(21))
    events = [
        {"kind": "view", "session": session, "product": product, "at": noon.isoformat()},
        {"kind": "search", "session": session, "query": "teapot", "at": noon.isoformat()},
        {
            "kind": "view",
            "session": session,
            "product": product,
            "at": (noon + timedelta(days=1)).isoformat(),
        },
    ]
    assert api.post("/api/v1/events", json={"events": events}).json()["dropped"] == 0

    def reported():
        done(api, admin, "report", day=day.isoformat())
        return api.get(f"/api/v1/admin/reports/{day}", headers=admin).json()

    until(lambda: reported()["events"] == {"view": 1, "search": 1}, "the day's events are there")
    report = reported()
    assert report["top_products"] == [{"name": product, "figure": 1.0}]
    assert report["top_searches"] == [{"name": "teapot", "figure": 1.0}]
    assert [step["sessions"] for step in report["funnel"]] == [1, 0, 0, 0]


@pytest.mark.feature(
    "11 jobs: the queue and its dead letters in view",
    endpoint="GET /api/v1/admin/jobs",
    module="stack/service/jobs/endpoints.py",
)
def test_administrators_see_the_dead_letters_and_nobody_else_does(api, admin, live_stack):
    key = f"image:{'0' * 64}"
    on_queue(
        live_stack.info.queue_url,
        lambda queue: queue.add(JobKind.IMAGE, "0" * 64, {"sha256": "0" * 64}),
    )
    try:
        until(
            lambda: api.get(JOBS, headers=admin).json()["dead"] > 0, "a job without hope is buried"
        )
        letters = api.get(JOBS, headers=admin).json()["dead_letters"]
        [letter] = [letter for letter in letters if letter["key"] == key]
        assert (letter["attempts"], "not in the object store" in letter["error"]) == (1, True)
        assert api.post(f"{JOBS}/{key}/retry", headers=admin).status_code == 202
        until(
            lambda: api.get(f"{JOBS}/{key}", headers=admin).json()["state"] == "dead",
            "the same again",
        )
    finally:
        with Redis.from_url(live_stack.info.queue_url) as redis:
            redis.zrem(DEAD, key)
            redis.delete(HASH + key)
    shopper = mint_access_token(live_stack.info.jwt_secret, user_id(1))
    assert api.get(JOBS).status_code == 401
    assert api.get(JOBS, headers={"Authorization": f"Bearer {shopper}"}).status_code == 403
    assert api.post(f"{JOBS}/welcome:nobody/retry", headers=admin).status_code == 409
    assert api.get(f"{JOBS}/welcome:nobody", headers=admin).status_code == 404


def test_an_account_made_while_the_queue_is_down_is_welcomed_later(
    live_stack, own_queue, database, monkeypatch
):
    address = f"{uuid.uuid4().hex}@example.org"
    monkeypatch.setattr(welcome, "YOUNGEST", timedelta(seconds=-5))
    nowhere = "redis://127.0.0.1:1/0"
    settings = Settings(
        mongo_url=live_stack.info.mongo_url,
        jwt_secret=live_stack.info.jwt_secret,
        queue_url=nowhere,
    )

    async def steps():
        from stack.infra.connections import database_of, mongo_client

        app = create_app(settings)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            account = {"email": address, "password": "correct horse", "name": "Ada"}
            answer = await client.post("/api/v1/auth/register", json=account)
        mongo = mongo_client(live_stack.info.mongo_url)
        async with AsyncRedis.from_url(own_queue) as redis:
            queue = JobQueue(redis)
            tools = Tools(database_of(mongo), queue, redis, None, None, object(), None)
            await welcome.ask_for_missed(tools, None)
            job = await queue.claim(30, "test", 8)
        await mongo.close()
        return answer, job

    try:
        answer, job = asyncio.run(steps())
        assert answer.status_code == 201
        assert job.payload == {"user": answer.json()["id"]}
    finally:
        database[USERS].delete_one({"email": address})
