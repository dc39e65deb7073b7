"""API keys on the live stack: what one may do, who may have one, and how it ends."""

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta

import pymongo
import pytest
from replicas import replicas

from stack.infra.catalogue import admin_id, product_id, user_id
from stack.service.auth import keys
from stack.service.auth.keys import MOST

KEYS = "/api/v1/auth/keys"
MINE = "/api/v1/users/me/favourites"
PRODUCT = f"/api/v1/products/{product_id(41)}"


@pytest.fixture(scope="module")
def stored(live_stack):
    with pymongo.MongoClient(live_stack.info.mongo_url) as client:
        yield client["headroom"]["api_keys"]


@pytest.fixture(autouse=True)
def no_keys_before(stored):
    stored.delete_many({})


def make(api, headers, *scopes, **more):
    wanted = {"name": "phone app", "scopes": list(scopes), **more}
    answer = api.post(KEYS, json=wanted, headers=headers)
    assert answer.status_code == 201
    return answer.json()


def sent(key):
    return {"X-API-Key": key["key"]}


@pytest.mark.feature(
    "7 limits: API keys with scopes",
    endpoint="POST /api/v1/auth/keys",
    module="stack/service/auth/keys.py",
)
def test_a_key_may_do_what_its_scopes_say_and_nothing_else(api, as_user):
    reading = make(api, as_user(user_id(9)), "favourites:read")
    both = make(api, as_user(user_id(9)), "favourites:read", "favourites:write")
    product = f"{MINE}/{product_id(7)}"
    assert api.get(MINE, headers=sent(reading)).status_code == 200
    assert api.put(product, headers=sent(reading)).status_code == 403
    assert api.put(product, headers=sent(both)).status_code == 204
    assert api.get(MINE, headers=sent(both)).json()["products"][0]["id"] == str(product_id(7))
    assert api.delete(product, headers=sent(both)).status_code == 204
    for key in (reading, both):
        assert api.patch(PRODUCT, json={"stock": 1}, headers=sent(key)).status_code == 403
        for method, path in (("GET", KEYS), ("GET", "/api/v1/auth/sessions")):
            answer = api.request(method, path, headers=sent(key))
            assert answer.status_code == 403
            assert "API key" in answer.json()["detail"]
    as_bearer = {"Authorization": f"Bearer {reading['key']}"}
    assert api.get(MINE, headers=as_bearer).status_code == 200


def test_only_an_administrator_can_have_a_key_that_changes_products(api, as_user):
    wanted = {"name": "import", "scopes": ["products:write"]}
    assert api.post(KEYS, json=wanted, headers=as_user(user_id(9))).status_code == 403
    key = make(api, as_user(admin_id(), "admin"), "products:write")
    assert api.patch(PRODUCT, json={"stock": 2}, headers=sent(key)).status_code == 200
    assert api.get(MINE, headers=sent(key)).status_code == 403


@pytest.mark.feature(
    "7 limits: API keys are stored as hashes, shown by their prefix",
    endpoint="GET /api/v1/auth/keys",
    module="stack/service/auth/keys.py",
)
def test_a_key_is_shown_whole_once_and_nowhere_stored(api, as_user, stored):
    key = make(api, as_user(user_id(10)), "favourites:read")
    secret = key["key"].removeprefix(key["prefix"] + "_")
    assert len(secret) >= 43  # 256 bits
    listed = api.get(KEYS, headers=as_user(user_id(10)))
    assert [entry["prefix"] for entry in listed.json()["keys"]] == [key["prefix"]]
    assert secret not in listed.text
    assert secret not in str(stored.find_one({"_id": key["id"]}))
    assert api.get(KEYS, headers=as_user(user_id(11))).json() == {"keys": []}


def test_the_last_use_of_a_key_is_shown(api, as_user):
    key = make(api, as_user(user_id(10)), "favourites:read")
    assert key["last_used_at"] is None
    api.get(MINE, headers=sent(key))
    until = time.monotonic() + 20
    while (used := api.get(KEYS, headers=as_user(user_id(10))).json()["keys"][0])[
        "last_used_at"
    ] is None:
        assert time.monotonic() < until, "the use was never noted"
    assert used["last_used_at"] >= used["created_at"]


@pytest.mark.feature(
    "7 limits: API keys can be taken back",
    endpoint="DELETE /api/v1/auth/keys/{key}",
    module="stack/service/auth/keys.py",
)
def test_a_key_that_was_taken_back_is_refused_by_every_replica(
    live_stack, api, as_user, monkeypatch
):
    monkeypatch.setattr(keys, "REMEMBERED_S", 3_600.0)  # so that a replica must be told
    key = make(api, as_user(user_id(10)), "favourites:read")
    place, owner = f"{KEYS}/{key['id']}", as_user(user_id(10))

    async def scenario():
        async with replicas(live_stack.info, 2) as found:

            async def answered(replica):
                return (await replica.http.get(MINE, headers=sent(key))).status_code

            assert [await answered(replica) for replica in found] == [200, 200]  # both remember it
            one, _ = found
            other = await one.http.delete(place, headers=as_user(user_id(11)))
            assert other.status_code == 404
            assert [await answered(replica) for replica in found] == [200, 200]
            assert (await one.http.delete(place, headers=owner)).status_code == 204
            for replica in found:
                async with asyncio.timeout(20):
                    while await answered(replica) != 401:
                        pass
            assert (await one.http.delete(place, headers=owner)).status_code == 404

    asyncio.run(scenario())


def test_an_expired_key_is_refused(api, as_user, stored):
    key = make(api, as_user(user_id(10)), "favourites:read", expires_in_days=1)
    expires = datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])
    assert expires == timedelta(days=1)
    past = datetime.now(UTC) - timedelta(seconds=1)
    stored.update_one({"_id": key["id"]}, {"$set": {"expires_at": past}})
    answer = api.get(MINE, headers=sent(key))
    assert answer.status_code == 401
    assert "expired" in answer.json()["detail"]


def test_the_secret_of_another_key_or_of_none_is_refused(api, as_user):
    key, other = (make(api, as_user(user_id(10)), "favourites:read") for _ in range(2))
    secret = other["key"].removeprefix(other["prefix"] + "_")
    for forged in (
        f"{key['prefix']}_{secret}",
        f"{key['prefix']}_",
        key["prefix"],
        f"hrk_{uuid.uuid4().hex[:12]}_{secret}",
        "hrk_$ne_x",
        key["key"].removeprefix("hrk_"),
    ):
        answer = api.get(MINE, headers={"X-API-Key": forged})
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["everything"]},
        {"name": "", "scopes": ["favourites:read"]},
        {"name": "x", "scopes": ["favourites:read"], "expires_in_days": 366},
        {"name": "x", "scopes": ["favourites:read"], "user": str(admin_id())},
    ],
)
def test_a_key_without_purpose_or_end_is_not_made(api, as_user, wanted):
    assert api.post(KEYS, json=wanted, headers=as_user(user_id(10))).status_code == 422


def test_a_user_has_a_bounded_number_of_keys(api, as_user):
    for _ in range(MOST):
        make(api, as_user(user_id(10)), "favourites:read")
    wanted = {"name": "one more", "scopes": ["favourites:read"]}
    assert api.post(KEYS, json=wanted, headers=as_user(user_id(10))).status_code == 409
