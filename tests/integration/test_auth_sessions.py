"""Sessions and tokens on the live stack: what keeps a login alive, and what ends it."""

import asyncio
import base64
import json
import time

import httpx
import jwt
import pytest
from accounts import AUTH, MINE, bearer, login, refresh, session_of
from bson import ObjectId
from replicas import replicas

from stack.infra.catalogue import SEEDED_PASSWORD, admin_id, product_id, user_email, user_id
from stack.service.auth.sessions import ALLOWANCE_S
from stack.service.auth.tokens import mint_access_token


@pytest.fixture(scope="module")
def each_replica(live_stack):
    clients = [
        httpx.Client(base_url=part.url, timeout=20) for part in live_stack.info.parts_of("api")
    ]
    yield clients
    for client in clients:
        client.close()


def wait_until_refused(each_replica, tokens):
    """Every replica refuses the token; the news needs some milliseconds to the others."""
    for client in each_replica:
        until = time.monotonic() + 20
        while (answer := client.get(MINE, headers=bearer(tokens))).status_code != 401:
            assert time.monotonic() < until, "the token is still taken"
        assert answer.json()["detail"] == "the access token has been taken back"


@pytest.mark.feature(
    "6 auth: access token of 15 minutes, refresh token of 7 days",
    endpoint="POST /api/v1/auth/login",
    module="stack/service/auth/service.py",
)
def test_an_access_token_lives_fifteen_minutes_and_a_refresh_token_seven_days(api, account, store):
    tokens = login(api, account)
    assert 890 <= tokens["expires_in"] <= 900
    assert tokens["refresh_expires_in"] == 7 * 86_400
    key = f"auth:{account['id']}:session:{session_of(tokens)}"
    assert 7 * 86_400 - 60 < store.ttl(key) <= 7 * 86_400
    store.expire(key, 100)
    refresh(api, tokens["refresh_token"])
    assert 7 * 86_400 - 60 < store.ttl(key) <= 7 * 86_400  # seven days from each use


@pytest.mark.feature(
    "6 auth: refresh tokens rotate on use",
    endpoint="POST /api/v1/auth/refresh",
    module="stack/service/auth/sessions.py",
)
def test_a_refresh_gives_new_tokens_that_work_and_can_be_refreshed(api, account):
    tokens = login(api, account)
    seen = {tokens["refresh_token"]}
    for _ in range(3):
        answer = refresh(api, tokens["refresh_token"])
        assert answer.headers["cache-control"] == "no-store"
        tokens = answer.json()
        assert tokens["refresh_token"] not in seen
        seen.add(tokens["refresh_token"])
        assert api.get(MINE, headers=bearer(tokens)).status_code == 200


@pytest.mark.feature(
    "6 auth: concurrent refreshes get the same answer",
    endpoint="POST /api/v1/auth/refresh",
    module="stack/service/auth/sessions.py",
)
def test_refreshes_at_the_same_time_get_the_same_tokens_from_both_replicas(
    live_stack, account, api
):
    token = login(api, account)["refresh_token"]

    async def all_at_once():
        async with httpx.AsyncClient(timeout=20) as client:
            urls = [part.url for part in live_stack.info.parts_of("api")] * 10
            body = {"refresh_token": token}
            return await asyncio.gather(
                *(client.post(f"{url}{AUTH}/refresh", json=body) for url in urls)
            )

    answers = asyncio.run(all_at_once())
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["x-served-by"] for answer in answers}) == 2
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert len({answer.json()["access_token"] for answer in answers}) == 1
    assert refresh(api, answers[0].json()["refresh_token"]).status_code == 200


@pytest.mark.feature(
    "6 auth: a replayed refresh token ends its family",
    endpoint="POST /api/v1/auth/refresh",
    module="stack/service/auth/sessions.py",
)
def test_a_replay_ends_the_whole_family_and_its_access_tokens(api, account, each_replica):
    first = login(api, account)
    second = refresh(api, first["refresh_token"]).json()
    third = refresh(api, second["refresh_token"]).json()
    other = login(api, account)  # another device: not touched
    replay = refresh(api, first["refresh_token"])
    assert replay.status_code == 401
    assert "used before" in replay.json()["detail"]
    newest = refresh(api, third["refresh_token"])
    assert newest.status_code == 401
    assert "has ended" in newest.json()["detail"]
    for tokens in (first, second, third):
        wait_until_refused(each_replica, tokens)
    assert api.get(MINE, headers=bearer(other)).status_code == 200


def test_the_token_just_used_is_a_replay_once_the_allowance_is_over(api, account, store):
    first = login(api, account)
    second = refresh(api, first["refresh_token"]).json()
    assert refresh(api, first["refresh_token"]).json()["refresh_token"] == second["refresh_token"]
    key = f"auth:{account['id']}:session:{session_of(first)}"
    store.hincrby(key, "rotated", -round(ALLOWANCE_S * 1000) - 1)  # as if it were longer ago
    assert refresh(api, first["refresh_token"]).status_code == 401
    assert refresh(api, second["refresh_token"]).status_code == 401


def test_a_session_ends_after_ninety_days_however_often_it_is_used(api, account, store):
    tokens = login(api, account)
    key = f"auth:{account['id']}:session:{session_of(tokens)}"
    store.hincrby(key, "created", -91 * 86_400_000)
    assert refresh(api, tokens["refresh_token"]).status_code == 401
    assert not store.exists(key)


@pytest.mark.parametrize(
    "forged",
    [
        lambda token: "",
        lambda token: "nonsense",
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: token.replace(".0.", ".1."),
        lambda token: token.replace(token.split(".")[0], f"hrr_{user_id(1)}"),
        lambda token: "hrr_$ne.a.0.b",
    ],
    ids=["empty", "nonsense", "seal", "number", "user", "operator"],
)
def test_a_forged_refresh_token_is_refused_and_does_no_harm(api, account, forged):
    tokens = login(api, account)
    answer = refresh(api, forged(tokens["refresh_token"]))
    assert answer.status_code in {401, 422}
    assert answer.headers["content-type"] == "application/problem+json"
    assert refresh(api, tokens["access_token"]).status_code in {401, 422}
    assert refresh(api, tokens["refresh_token"]).status_code == 200


@pytest.mark.feature(
    "6 auth: logging out voids the access token everywhere",
    endpoint="POST /api/v1/auth/logout",
    module="stack/service/auth/revocations.py",
)
def test_after_logging_out_no_replica_takes_the_token_any_more(api, account, each_replica):
    tokens = login(api, account)
    earlier, tokens = tokens, refresh(api, tokens["refresh_token"]).json()
    assert api.post(f"{AUTH}/logout", headers=bearer(tokens)).status_code == 204
    wait_until_refused(each_replica, tokens)
    wait_until_refused(each_replica, earlier)  # all tokens of the session, not this one alone
    assert refresh(api, tokens["refresh_token"]).status_code == 401
    assert api.get(MINE, headers=bearer(login(api, account))).status_code == 200


def test_a_replica_that_starts_later_knows_who_has_logged_out(live_stack, api, account):
    tokens = login(api, account)
    assert api.post(f"{AUTH}/logout", headers=bearer(tokens)).status_code == 204

    async def scenario():
        async with replicas(live_stack.info) as (late,):
            return await late.http.get(MINE, headers=bearer(tokens))

    assert asyncio.run(scenario()).status_code == 401


@pytest.mark.feature(
    "6 auth: active sessions with their devices, one can be ended",
    endpoint="GET /api/v1/auth/sessions",
    module="stack/service/auth/endpoints.py",
)
def test_sessions_are_listed_with_their_devices_and_one_can_be_ended(api, account, each_replica):
    phone = login(api, account, "Phone/1.0")
    laptop = login(api, account, "Laptop/2.0")
    listed = api.get(f"{AUTH}/sessions", headers=bearer(laptop)).json()["sessions"]
    assert [session["user_agent"] for session in listed] == ["Laptop/2.0", "Phone/1.0"]
    assert [session["current"] for session in listed] == [True, False]
    assert {session["address"] for session in listed} == {"127.0.0.1"}
    assert [session["id"] for session in listed] == [session_of(laptop), session_of(phone)]
    phone = refresh(api, phone["refresh_token"]).json()
    again = api.get(f"{AUTH}/sessions", headers=bearer(laptop)).json()["sessions"]
    assert [session["user_agent"] for session in again] == ["Phone/1.0", "Laptop/2.0"]
    assert again[0]["last_seen_at"] > listed[1]["last_seen_at"]
    assert again[0]["created_at"] == listed[1]["created_at"]
    ended = f"{AUTH}/sessions/{session_of(phone)}"
    assert api.delete(ended, headers=bearer(laptop)).status_code == 204
    wait_until_refused(each_replica, phone)
    assert refresh(api, phone["refresh_token"]).status_code == 401
    assert api.delete(ended, headers=bearer(laptop)).status_code == 404
    left = api.get(f"{AUTH}/sessions", headers=bearer(laptop)).json()["sessions"]
    assert [session["user_agent"] for session in left] == ["Laptop/2.0"]


def test_nobody_can_end_or_see_the_session_of_somebody_else(api, account):
    mine = login(api, account)
    other = login(api, {"email": user_email(5), "password": SEEDED_PASSWORD})
    path = f"{AUTH}/sessions/{session_of(mine)}"
    assert api.delete(path, headers=bearer(other)).status_code == 404
    listed = api.get(f"{AUTH}/sessions", headers=bearer(other)).json()["sessions"]
    assert session_of(mine) not in [session["id"] for session in listed]
    assert api.get(MINE, headers=bearer(mine)).status_code == 200


@pytest.mark.feature(
    "6 auth: log out of all devices",
    endpoint="DELETE /api/v1/auth/sessions",
    module="stack/service/auth/service.py",
)
def test_logging_out_of_all_devices_leaves_none(api, account, each_replica):
    devices = [login(api, account, f"Device/{number}") for number in range(3)]
    answer = api.delete(f"{AUTH}/sessions", headers=bearer(devices[0]))
    assert answer.json() == {"ended": 3}
    for tokens in devices:
        wait_until_refused(each_replica, tokens)
        assert refresh(api, tokens["refresh_token"]).status_code == 401
    fresh = login(api, account)  # in the same second, and not caught by it
    assert len(api.get(f"{AUTH}/sessions", headers=bearer(fresh)).json()["sessions"]) == 1


@pytest.mark.feature(
    "6 auth: concurrent sessions per user are limited",
    endpoint="POST /api/v1/auth/login",
    module="stack/service/auth/sessions.py",
)
def test_one_login_too_many_ends_the_session_that_was_unused_for_longest(
    api, account, each_replica
):
    first, second, *others = [login(api, account) for _ in range(10)]
    first = refresh(api, first["refresh_token"]).json()  # used again: now the second is the oldest
    eleventh = login(api, account)
    wait_until_refused(each_replica, second)
    assert refresh(api, second["refresh_token"]).status_code == 401
    for tokens in (first, *others, eleventh):
        assert api.get(MINE, headers=bearer(tokens)).status_code == 200


@pytest.mark.parametrize(("limit", "kept"), [(0, 12), (2, 2)], ids=["no limit", "two"])
def test_the_limit_of_sessions_is_a_setting(live_stack, account, limit, kept):
    async def scenario():
        async with replicas(live_stack.info, sessions_per_user=limit) as (one,):
            credentials = {name: account[name] for name in ("email", "password")}
            for number in range(12):
                headers = {"User-Agent": f"Device/{number}"}
                last = await one.http.post(f"{AUTH}/login", json=credentials, headers=headers)
            return (await one.http.get(f"{AUTH}/sessions", headers=bearer(last.json()))).json()

    found = asyncio.run(scenario())["sessions"]
    newest = [f"Device/{number}" for number in range(12)][-kept:]
    assert [session["user_agent"] for session in found] == newest[::-1]


@pytest.mark.feature(
    "6 auth: roles are read anew at each refresh",
    endpoint="POST /api/v1/auth/refresh",
    module="stack/service/auth/service.py",
)
def test_a_role_that_is_given_or_taken_counts_from_the_next_refresh(api, account, users):
    tokens = login(api, account)
    path = f"/api/v1/products/{product_id(31)}"
    assert api.patch(path, json={"stock": 1}, headers=bearer(tokens)).status_code == 403
    for role, status in (("admin", 200), ("user", 403)):
        users.update_one({"_id": ObjectId(account["id"])}, {"$set": {"role": role}})
        tokens = refresh(api, tokens["refresh_token"]).json()
        answer = api.patch(path, json={"stock": 1}, headers=bearer(tokens))
        assert answer.status_code == status


def test_the_session_of_an_account_that_is_gone_cannot_be_refreshed(api, account, users, store):
    tokens = login(api, account)
    users.delete_one({"_id": ObjectId(account["id"])})
    assert refresh(api, tokens["refresh_token"]).status_code == 401
    assert not store.exists(f"auth:{account['id']}:session:{session_of(tokens)}")


def unsigned(claims):
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in parts]
    return b".".join([*encoded, b""]).decode()


CLAIMS = {"sub": str(user_id(1)), "role": "admin", "type": "access", "iat": 1, "exp": 9e9}


@pytest.mark.feature(
    "6 auth: forged and expired tokens are refused",
    endpoint="GET /api/v1/users/me/favourites",
    module="stack/service/auth/tokens.py",
)
@pytest.mark.parametrize(
    ("forge", "said"),
    [
        (lambda secret: unsigned(CLAIMS), "must be signed with HS256"),
        (lambda secret: jwt.encode(CLAIMS, secret + "x" * 40, "HS512"), "signed with HS256"),
        (lambda secret: mint_access_token("f" * 32, user_id(1)), "was not signed here"),
        (lambda secret: mint_access_token(secret, user_id(1), now_s=1), "has expired"),
        (lambda secret: "not.a.token", "is not a JWT"),
        (lambda secret: "é", "is not a JWT"),
        (lambda secret: jwt.encode(CLAIMS | {"sub": "$ne"}, secret), "does not say what it must"),
        (lambda secret: jwt.encode(CLAIMS | {"type": "x"}, secret), "this is not an access token"),
        (lambda secret: "hrk_0123456789ab_secret", "the API key is not valid"),
    ],
    ids=[
        *("alg none", "other algorithm", "foreign key", "expired", "malformed", "not ascii"),
        *("no user", "other type", "api key"),
    ],
)
def test_a_token_that_is_not_ours_is_refused_with_its_reason(live_stack, api, forge, said):
    token = forge(live_stack.info.jwt_secret)
    for method, path in (("GET", MINE), ("PATCH", f"/api/v1/products/{product_id(1)}")):
        headers = {"Authorization": f"Bearer {token}".encode()}
        answer = api.request(method, path, headers=headers, json={"stock": 1})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert said in answer.json()["detail"]


def test_the_administrator_logs_in_with_the_password_of_the_stack(live_stack, api):
    account = {"email": "admin@example.com", "password": live_stack.info.admin_password}
    claims = jwt.decode(login(api, account)["access_token"], options={"verify_signature": False})
    assert claims["role"] == "admin"
    assert claims["sub"] == str(admin_id())
