"""Servers that go away: a proxy in between is cut, the servers themselves are real and stay up."""

import asyncio
from contextlib import asynccontextmanager

import httpx
import pytest
from lines import Line

from stack.infra.catalogue import admin_id, category_slug, product_id
from stack.service.auth.tokens import mint_access_token
from stack.service.main import create_app
from stack.service.settings import Settings

SECRET = "j" * 32


@asynccontextmanager
async def replica(info):
    """One replica in this process, with cuttable lines to Redis and Elasticsearch."""
    redis, search = Line(info.redis_url), Line(info.elasticsearch_url)
    settings = Settings(
        mongo_url=info.mongo_url,
        redis_url=f"redis://127.0.0.1:{await redis.start()}/0",
        elasticsearch_url=f"http://127.0.0.1:{await search.start()}",
        jwt_secret=SECRET,
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
            yield client, redis, search
    await redis.stop()
    await search.stop()


@pytest.mark.feature(
    "3 cache: Redis down is slower, never wrong, never an error",
    endpoint="–",
    module="stack/service/cache.py",
)
def test_without_redis_answers_are_uncached_right_and_never_an_error(live_stack):
    async def scenario():
        async with replica(live_stack.info) as (api, redis, _):
            where = {"category": category_slug(3), "limit": 3}
            number = max(p for p in range(600) if p % 6 == 3)
            admin = mint_access_token(SECRET, admin_id(), "admin")
            path, headers = f"/api/v1/products/{product_id(number)}", _bearer(admin)
            title = (await api.get(path)).json()["title"]
            await api.get("/api/v1/products", params=where)
            assert (await api.get("/api/v1/products", params=where)).headers["x-cache"] == "hit"

            redis.set(cut=True)
            changed = await api.patch(path, json={"title": "Changed meanwhile"}, headers=headers)
            assert changed.status_code == 200
            for _ in range(3):
                answer = await api.get("/api/v1/products", params=where)
                assert answer.status_code == 200
                assert answer.headers["x-cache"] == "none"
                assert answer.json()["products"][0]["title"] == "Changed meanwhile"
            assert (await api.get("/readyz")).json()["status"] == "degraded"

            redis.set(cut=False)
            # Whatever the cache says from now on, the entry from before must never come back.
            outcome = "none"
            async with asyncio.timeout(20):
                while outcome != "hit":
                    answer = await api.get("/api/v1/products", params=where)
                    assert answer.json()["products"][0]["title"] == "Changed meanwhile"
                    outcome = answer.headers["x-cache"]
            restored = await api.patch(path, json={"title": title}, headers=headers)
            assert restored.status_code == 200

    asyncio.run(scenario())


@pytest.mark.feature(
    "4 search: without Elasticsearch MongoDB answers, marked degraded",
    endpoint="GET /api/v1/search",
    module="stack/service/search/service.py",
)
def test_without_elasticsearch_mongodb_answers_and_the_answer_is_marked_and_not_kept(live_stack):
    async def scenario():
        async with replica(live_stack.info) as (api, _, search):
            search.set(cut=True)
            for _ in range(5):  # past the breaker's limit
                answer = await api.get("/api/v1/search", params={"q": "portable headphones"})
                assert answer.status_code == 200
                assert answer.json()["degraded"] is True
                assert answer.json()["engine"] == "mongo_text"
                assert answer.json()["total"] > 0
            search.set(cut=False)
            async with asyncio.timeout(20):
                while answer.json()["degraded"]:
                    answer = await api.get("/api/v1/search", params={"q": "portable headphones"})
            assert answer.json()["facets"]["category"]

    asyncio.run(scenario())


def _bearer(token):
    return {"Authorization": f"Bearer {token}"}
