"""Clients of the servers, with the time limits that keep a slow part from taking the rest along."""

from collections.abc import Callable, Sequence
from typing import Any

from elasticsearch import AsyncElasticsearch, OrjsonSerializer
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.read_preferences import SecondaryPreferred
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from stack.infra.documents import Document

DATABASE = "headroom"
# Long enough for an election (a second or two after a primary dies is usual, ten the default).
MONGO_SELECTION_S = 12.0
MONGO_ANSWER_S = 10.0
# For reads that may be a little behind. The driver leaves out a secondary that is further behind
# than this, the least that it can be told.
MAY_LAG = SecondaryPreferred(max_staleness=90)
REDIS_TIMEOUT_S = 0.5
ELASTICSEARCH_TIMEOUT_S = 2.0


def mongo_client(
    url: str,
    *,
    pool: int = 100,
    answer_s: float | None = MONGO_ANSWER_S,
    preferred: Callable[[Sequence[Any]], Sequence[Any]] | None = None,
) -> AsyncMongoClient[Document]:
    """A client that writes to a majority, retries a write once and reads from the primary.

    `answer_s` limits each answer, None: not at all. `preferred` narrows the members down among
    which the driver chooses.
    """
    return AsyncMongoClient(
        url,
        tz_aware=True,
        w="majority",
        retryWrites=True,
        retryReads=True,
        maxPoolSize=pool,
        serverSelectionTimeoutMS=int(MONGO_SELECTION_S * 1000),
        connectTimeoutMS=2_000,
        socketTimeoutMS=None if answer_s is None else int(answer_s * 1000),
        waitQueueTimeoutMS=5_000,
        appname="headroom",
        server_selector=preferred,
    )


def database_of(client: AsyncMongoClient[Document]) -> AsyncDatabase[Document]:
    """The database that the URL names, else `headroom`."""
    return client.get_default_database(DATABASE)


def redis_client(url: str, *, pool: int = 64, answer_s: float = REDIS_TIMEOUT_S) -> Redis:
    """A client with short time limits and one retry, for a connection that a restart has closed."""
    connections: Any = BlockingConnectionPool.from_url(
        url,
        max_connections=pool,
        timeout=REDIS_TIMEOUT_S,
        socket_timeout=answer_s,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 1),
    )
    # from_pool: closing the client closes the pool's connections too.
    return Redis.from_pool(connections)


def elasticsearch_client(
    url: str, *, timeout_s: float = ELASTICSEARCH_TIMEOUT_S
) -> AsyncElasticsearch:
    """A client that never retries: the service has a fallback, the indexer a loop of its own."""
    return AsyncElasticsearch(
        url,
        request_timeout=timeout_s,
        max_retries=0,
        retry_on_timeout=False,
        connections_per_node=32,
        serializers={"application/json": OrjsonSerializer()},
    )
