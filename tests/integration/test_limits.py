"""Budgets on a live stack: by the application for each user, by the load balancer by address."""

import asyncio
import itertools
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
import redis
from lines import line_to
from replicas import replicas

from stack.infra.catalogue import SEEDED_PASSWORD, admin_id, product_id, user_email, user_id
from stack.infra.limits import Limits
from stack.service.auth.tokens import mint_access_token

SEARCH = "/api/v1/search?q=headphones"
LISTING = "/api/v1/products?limit=1"
MINE = "/api/v1/users/me/favourites"
LOGIN = "/api/v1/auth/login"
NOBODY = {"email": "nobody@example.com", "password": "wrong"}
LEFT = re.compile(r'"(\w+)";r=(\d+);t=(\d+)')

_numbers = itertools.count(1)


@pytest.fixture
def address():
    """An address that no other test uses."""
    number = next(_numbers)
    return f"10.1.{number // 256}.{number % 256}"


@pytest.fixture(scope="module")
def gate(guarded_stack):
    with httpx.Client(base_url=guarded_stack.info.base_url, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def either_replica(guarded_stack):
    """Requests past the load balancer, to the replicas in turn."""
    with httpx.Client(timeout=20) as client:
        urls = itertools.cycle([part.url for part in guarded_stack.info.parts_of("api")])

        def send(path, address, method="GET", **more):
            headers = {"X-Real-IP": address, **more.pop("headers", {})}
            return client.request(method, f"{next(urls)}{path}", headers=headers, **more)

        yield send


@pytest.fixture(scope="module")
def as_user(guarded_stack):
    def headers(number):
        token = mint_access_token(guarded_stack.info.jwt_secret, user_id(number))
        return {"Authorization": f"Bearer {token}"}

    return headers


@pytest.fixture(autouse=True)
def fresh_budgets(guarded_stack):
    with redis.Redis.from_url(guarded_stack.info.redis_url) as client:
        for key in client.scan_iter("limit:*"):
            client.delete(key)
        yield client


@pytest.mark.feature(
    "7 limits: four budgets per user",
    endpoint="GET /api/v1/search",
    module="stack/service/limits/budgets.py",
)
@pytest.mark.parametrize(
    ("of_the_design", "request_"),
    [
        (("auth", 5), ("POST", LOGIN, NOBODY, 401)),
        (("search", 30), ("GET", SEARCH, None, 200)),
        (("listing", 60), ("GET", LISTING, None, 200)),
        (("favourites", 20), ("GET", MINE, None, 200)),
    ],
    ids=["auth", "search", "listing", "favourites"],
)
def test_the_budget_of_the_design_is_admitted_and_the_next_refused(
    either_replica, as_user, address, of_the_design, request_
):
    name, budget = of_the_design
    method, path, body, served = request_

    def ask():
        return either_replica(path, address, method, json=body, headers=as_user(3))

    answers = [ask() for _ in range(budget)]
    assert [answer.status_code for answer in answers] == [served] * budget
    told = [LEFT.fullmatch(answer.headers["ratelimit"]) for answer in answers]
    assert [found[1] for found in told] == [name] * budget
    assert [int(found[2]) for found in told] == list(range(budget - 1, -1, -1))
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {
        f'"{name}";q={budget};w=60'
    }
    assert {answer.headers["x-served-by"] for answer in answers} == {"api-1", "api-2"}

    refused = ask()
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["title"] == "Too many requests"
    assert name in refused.json()["detail"]
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert LEFT.fullmatch(refused.headers["ratelimit"])[2] == "0"


@pytest.mark.feature(
    "7 limits: budgets are counted atomically",
    endpoint="GET /api/v1/search",
    module="stack/service/limits/window.py",
)
def test_of_many_requests_at_once_over_both_replicas_exactly_the_budget_is_admitted(
    guarded_stack, as_user
):
    async def all_at_once():
        async with httpx.AsyncClient(timeout=30, headers=as_user(4)) as client:
            urls = [part.url for part in guarded_stack.info.parts_of("api")] * 40
            return await asyncio.gather(*(client.get(f"{url}{SEARCH}") for url in urls))

    answers = asyncio.run(all_at_once())
    assert sorted(answer.status_code for answer in answers) == [200] * 30 + [429] * 50


def test_a_budget_is_the_users_own_wherever_the_user_is(either_replica, as_user):
    for number in range(30):
        answer = either_replica(SEARCH, f"10.2.0.{number}", headers=as_user(5))
        assert answer.status_code == 200
    assert either_replica(SEARCH, "10.2.0.99", headers=as_user(5)).status_code == 429
    assert either_replica(SEARCH, "10.2.0.1", headers=as_user(6)).status_code == 200
    assert either_replica(SEARCH, "10.2.0.1").status_code == 200  # the address's own budget
    assert either_replica(LISTING, "10.2.0.1", headers=as_user(5)).status_code == 200


def test_a_forged_token_or_key_buys_no_budget_of_its_own(either_replica, address):
    for number in range(30):
        token = mint_access_token("f" * 32, user_id(number))
        forged = ({"Authorization": f"Bearer {token}"}, {"X-API-Key": f"hrk_{number:012x}_x"})
        headers = forged[number % 2]
        assert either_replica(SEARCH, address, headers=headers).status_code == 200
    assert either_replica(SEARCH, address).status_code == 429


def test_an_api_key_shares_the_budget_of_its_user(guarded_stack, either_replica, as_user, address):
    wanted = {"name": "app", "scopes": ["favourites:read"]}
    made = either_replica("/api/v1/auth/keys", address, "POST", json=wanted, headers=as_user(7))
    key = {"X-API-Key": made.json()["key"]}
    for number in range(20):
        headers = key if number % 2 else as_user(7)
        assert either_replica(MINE, address, headers=headers).status_code == 200
    assert either_replica(MINE, address, headers=key).status_code == 429


def test_a_budget_comes_back_as_its_requests_leave_the_window(
    fresh_budgets, either_replica, as_user, address
):
    for _ in range(20):
        either_replica(MINE, address, headers=as_user(8))
    assert either_replica(MINE, address, headers=as_user(8)).status_code == 429
    key = f"limit:favourites:user:{user_id(8)}"
    counted = fresh_budgets.zrange(key, 0, 2, withscores=True)
    assert fresh_budgets.zcard(key) == 20  # what was refused does not count
    # As if the three oldest had come a minute earlier.
    fresh_budgets.zadd(key, {member: score - 60_000 for member, score in counted})
    answers = [either_replica(MINE, address, headers=as_user(8)).status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]


def test_what_has_no_budget_is_not_limited(either_replica, address):
    for path in (f"/api/v1/products/{product_id(3)}", "/readyz"):
        for _ in range(70):
            answer = either_replica(path, address)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers


def test_logging_out_and_looking_at_sessions_is_not_a_login(either_replica, as_user, address):
    answers = [
        either_replica("/api/v1/auth/sessions", address, headers=as_user(9)) for _ in range(10)
    ]
    assert {answer.status_code for answer in answers} == {200}


@pytest.mark.feature(
    "7 limits: Redis down: reads are admitted, logins counted by each replica",
    endpoint="POST /api/v1/auth/login",
    module="stack/service/limits/budgets.py",
)
def test_without_redis_reads_stay_open_and_what_checks_a_secret_stays_closed(guarded_stack):
    async def scenario():
        info = guarded_stack.info
        async with (
            line_to(info.redis_url) as (line, url),
            replicas(info, redis_url=url, limits=Limits()) as (one,),
        ):
            line.set(cut=True)
            reads = [await one.get("/api/v1/search", user_id(10), q="phones") for _ in range(40)]
            assert {answer.status_code for answer in reads} == {200}
            logins = [await one.http.post(LOGIN, json=NOBODY) for _ in range(7)]
            assert [answer.status_code for answer in logins] == [401] * 5 + [429] * 2
            assert 1 <= int(logins[-1].headers["retry-after"]) <= 60
            uncounted = await one.metric(
                "headroom_limits_total", budget="search", result="uncounted"
            )
            assert uncounted == 40
            refused = await one.metric("headroom_limits_total", budget="auth", result="refused")
            assert refused == 2

    asyncio.run(scenario())


def test_a_topology_without_redis_has_the_budgets_too(guarded_stack):
    async def scenario():
        async with replicas(guarded_stack.info, redis_url=None, limits=Limits()) as (one,):
            return [await one.get(LISTING, user_id(11)) for _ in range(61)]

    statuses = [answer.status_code for answer in asyncio.run(scenario())]
    assert statuses == [200] * 60 + [429]


def test_without_limits_in_the_scenario_nothing_is_counted_or_told(live_stack):
    with httpx.Client(base_url=live_stack.info.base_url, timeout=20) as api:
        answers = [api.get(LISTING) for _ in range(70)]
        assert {answer.status_code for answer in answers} == {200}
        assert "ratelimit" not in answers[-1].headers
    with redis.Redis.from_url(live_stack.info.redis_url) as client:
        assert list(client.scan_iter("limit:*")) == []


@pytest.mark.feature(
    "7 limits: nginx: logins by address",
    endpoint="POST /api/v1/auth/login",
    module="stack/infra/gateway.py",
)
def test_the_load_balancer_refuses_a_sixth_login_from_one_address(gate, fresh_budgets, address):
    def ask(whose):
        fresh_budgets.delete(f"limit:auth:address:{whose}")  # the application's own is not meant
        return gate.post(LOGIN, json=NOBODY, headers={"X-Forwarded-For": whose})

    answers = [ask(address) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    refused = answers[-1]
    assert "x-served-by" not in refused.headers
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "12"
    assert refused.json()["request_id"] == refused.headers["x-request-id"]
    assert ask("10.3.0.1").status_code == 401


@pytest.mark.feature(
    "7 limits: nginx: all requests by address",
    endpoint="GET /api/v1/products",
    module="stack/infra/gateway.py",
)
def test_the_load_balancer_refuses_a_flood_from_one_address_and_serves_the_others(gate, address):
    path = f"/api/v1/products/{product_id(3)}"
    with ThreadPoolExecutor(4) as pool:
        headers = {"X-Forwarded-For": address}
        answers = list(pool.map(lambda _: gate.get(path, headers=headers), range(120)))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(200) >= 60  # the burst
    assert 429 in statuses
    assert set(statuses) == {200, 429}
    refused = answers[statuses.index(429)]
    assert refused.headers["retry-after"] == "1"
    assert gate.get(path, headers={"X-Forwarded-For": "10.3.0.2"}).status_code == 200


@pytest.mark.feature(
    "7 limits: nginx: connections by address",
    endpoint="GET /api/v1/products",
    module="stack/infra/gateway.py",
)
def test_the_load_balancer_refuses_a_fifth_request_while_four_are_in_progress(gate, address):
    url = urlsplit(str(gate.base_url))
    unfinished = (
        f"PATCH /api/v1/products/{product_id(3)} HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"X-Forwarded-For: {address}\r\nContent-Type: application/json\r\n"
        "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    )
    held = []
    try:
        for _ in range(4):
            connection = socket.create_connection((url.hostname, url.port), timeout=20)
            held.append(connection)
            connection.sendall(unfinished.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 100")  # nginx waits for the body
        path = f"/api/v1/products/{product_id(3)}"
        answer = gate.get(path, headers={"X-Forwarded-For": address})
        assert answer.status_code == 429
        assert gate.get(path, headers={"X-Forwarded-For": "10.3.0.3"}).status_code == 200
    finally:
        for connection in held:
            connection.close()


@pytest.mark.feature(
    "7 limits: a client's own word on its address",
    endpoint="POST /api/v1/auth/login",
    module="stack/infra/nginx.py",
)
def test_only_a_stack_that_says_so_believes_what_a_client_says_of_its_address(
    live_stack, guarded_stack
):
    def seen_address(stack, user, **claimed):
        with httpx.Client(base_url=stack.info.base_url, timeout=20, headers=claimed) as client:
            account = {"email": user_email(user), "password": SEEDED_PASSWORD}
            token = client.post(LOGIN, json=account).json()["access_token"]
            bearer = {"Authorization": f"Bearer {token}"}
            sessions = client.get("/api/v1/auth/sessions", headers=bearer).json()["sessions"]
            return sessions[0]["address"]

    claimed = {"X-Forwarded-For": "10.4.0.1", "X-Real-IP": "10.4.0.2"}
    assert seen_address(guarded_stack, 20, **claimed) == "10.4.0.1"
    assert seen_address(live_stack, 20, **claimed) == "127.0.0.1"


def test_administrators_have_budgets_too(guarded_stack, either_replica, address):
    token = mint_access_token(guarded_stack.info.jwt_secret, admin_id(), "admin")
    headers = {"Authorization": f"Bearer {token}"}
    statuses = [either_replica(SEARCH, address, headers=headers).status_code for _ in range(31)]
    assert statuses == [200] * 30 + [429]
