"""What is stored of accounts and logins, where, and what happens when that place is away."""

import asyncio

import argon2
import pytest
import redis
from accounts import AUTH, MINE, PASSWORD, bearer, login, new_account, refresh, session_of
from lines import line_to
from replicas import replicas

from stack.infra.catalogue import SEEDED_PASSWORD, user_email


@pytest.mark.feature(
    "6 auth: passwords are stored as Argon2id",
    endpoint="POST /api/v1/auth/register",
    module="stack/service/auth/passwords.py",
)
def test_a_password_is_stored_as_argon2id_with_its_own_salt(api, account, users):
    emails = [account["email"], new_account(api)["email"]]
    stored = [users.find_one({"email": email})["password_hash"] for email in emails]
    for written in stored:  # OWASP's least: 19 MiB, two passes
        assert written.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert argon2.PasswordHasher().verify(written, PASSWORD)
    assert len(set(stored)) == 2


def test_nothing_in_redis_could_be_used_as_a_token(api, account, store):
    tokens = login(api, account)
    tokens = refresh(api, tokens["refresh_token"]).json()
    key = f"auth:{account['id']}:session:{session_of(tokens)}"
    stored = b" ".join(part for pair in store.hgetall(key).items() for part in pair)
    assert tokens["refresh_token"].rpartition(".")[2].encode() not in stored
    assert tokens["access_token"].encode() not in stored


@pytest.mark.feature(
    "6 auth: sessions are kept where nothing is thrown out",
    endpoint="POST /api/v1/auth/login",
    module="stack/service/auth/access.py",
)
def test_a_full_cache_ends_no_session_unless_there_is_no_other_place(live_stack, api, account):
    info, keys = live_stack.info, f"auth:{account['id']}:*"

    async def with_the_cache_alone():
        async with replicas(info, queue_url=None) as (one,):
            credentials = {name: account[name] for name in ("email", "password")}
            tokens = (await one.http.post(f"{AUTH}/login", json=credentials)).json()
            body = {"refresh_token": tokens["refresh_token"]}
            return (await one.http.post(f"{AUTH}/refresh", json=body)).status_code

    with (
        redis.Redis.from_url(info.redis_url) as cache,
        redis.Redis.from_url(info.queue_url) as kept,
    ):
        tokens = login(api, account)
        assert list(cache.scan_iter(keys)) == []
        assert len(list(kept.scan_iter(keys))) == 2  # the session, and the list it is in
        assert kept.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        cache.flushdb()
        assert refresh(api, tokens["refresh_token"]).status_code == 200
        assert asyncio.run(with_the_cache_alone()) == 200
        assert len(list(cache.scan_iter(keys))) == 2


@pytest.mark.feature(
    "6 auth: without Redis one can log in, but not stay logged in nor log out",
    endpoint="POST /api/v1/auth/login",
    module="stack/service/auth/service.py",
)
def test_without_redis_a_login_gives_an_access_token_and_what_needs_sessions_says_so(live_stack):
    async def scenario():
        async with (
            line_to(live_stack.info.queue_url) as (line, url),
            replicas(live_stack.info, queue_url=url) as (one,),
        ):
            credentials = {"email": user_email(6), "password": SEEDED_PASSWORD}
            before = (await one.http.post(f"{AUTH}/login", json=credentials)).json()
            line.set(cut=True)
            during = await one.http.post(f"{AUTH}/login", json=credentials)
            assert during.status_code == 200
            assert "refresh_token" not in during.json()
            body = {"refresh_token": before["refresh_token"]}
            for tokens in (before, during.json()):
                headers = bearer(tokens)
                assert (await one.http.get(MINE, headers=headers)).status_code == 200
                refused = await one.http.post(f"{AUTH}/logout", headers=headers)
                assert refused.status_code == 503
                assert refused.headers["retry-after"] == "1"
            assert (await one.http.post(f"{AUTH}/refresh", json=body)).status_code == 503
            line.set(cut=False)
            assert (await one.http.post(f"{AUTH}/refresh", json=body)).status_code == 200
            # The token without a session can be taken back too, by its own name.
            headers = bearer(during.json())
            assert (await one.http.post(f"{AUTH}/logout", headers=headers)).status_code == 204
            assert (await one.http.get(MINE, headers=headers)).status_code == 401

    asyncio.run(scenario())


@pytest.mark.feature(
    "6 auth: the assignment has a login and nothing more",
    endpoint="POST /api/v1/auth/login",
    module="stack/service/auth/access.py",
)
def test_without_a_cache_in_the_topology_there_is_the_login_alone(live_stack):
    async def scenario():
        async with replicas(live_stack.info, redis_url=None, queue_url=None) as (one,):
            credentials = {"email": user_email(6), "password": SEEDED_PASSWORD}
            tokens = (await one.http.post(f"{AUTH}/login", json=credentials)).json()
            assert tokens.keys() == {"access_token", "token_type", "expires_in"}
            headers = bearer(tokens)
            assert (await one.http.get(MINE, headers=headers)).status_code == 200
            for method, path in (
                ("POST", "refresh"),
                ("POST", "logout"),
                ("GET", "sessions"),
                ("GET", "keys"),
            ):
                answer = await one.http.request(method, f"{AUTH}/{path}", headers=headers)
                assert answer.status_code == 404

    asyncio.run(scenario())
