"""The least that FastAPI can do for the same read: one endpoint, the same look-up, nothing around.

Started by bench/api_reads.py in the way that the stack starts its replicas.
"""

import os
import secrets

import orjson
from fastapi import FastAPI, Response
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

TTL_S = 300
SUMMARY = dict.fromkeys(
    ("title", "brand", "category", "price_usd", "rating", "ratings", "thumbnail_url"), 1
)


def create_app():
    app = FastAPI()
    products = AsyncMongoClient(os.environ["MONGO_URL"])["headroom"]["products"]
    url = os.environ.get("REDIS_URL")
    redis = Redis.from_url(url) if url else None

    async def read(category, page, limit):
        query = {"category": category} if category else {}
        cursor = products.find(query, SUMMARY, sort=[("_id", -1)], skip=(page - 1) * limit)
        found = await cursor.limit(limit + 1).batch_size(limit + 2).to_list()
        shown = [{"id": str(one.pop("_id")), **one} for one in found[:limit]]
        more = len(found) > limit
        return orjson.dumps({"products": shown, "page": page, "limit": limit, "hasMore": more})

    @app.get("/api/v1/products")
    async def listing(category: str | None = None, page: int = 1, limit: int = 20):
        if redis is None:
            return Response(await read(category, page, limit), media_type="application/json")
        generation = f"bare:generation:{category}"
        entry = f"bare:{category}:{page}:{limit}"
        token, stored = await redis.mget([generation, entry])
        if token is not None and stored is not None and stored.startswith(token):
            return Response(stored[len(token) :], media_type="application/json")
        if token is None:
            token = secrets.token_hex(8).encode()
            await redis.set(generation, token, ex=TTL_S + 60)
        body = await read(category, page, limit)
        await redis.set(entry, token + body, ex=TTL_S)
        return Response(body, media_type="application/json")

    return app
