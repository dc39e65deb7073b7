"""Everything about who may ask, put together for one replica."""

from collections.abc import Iterator

from fastapi import APIRouter
from pymongo.asynchronous.database import AsyncDatabase
from redis.asyncio import Redis

from stack.infra.connections import redis_client
from stack.infra.documents import Document
from stack.service.auth.bearer import Bearer
from stack.service.auth.endpoints import api_key_routes, auth_routes, session_routes
from stack.service.auth.keys import ApiKeys
from stack.service.auth.passwords import Passwords
from stack.service.auth.revocations import WAIT_S, Revocations
from stack.service.auth.service import AuthService
from stack.service.auth.sessions import Sessions
from stack.service.jobs.service import JobService
from stack.service.limits.budgets import Budgets
from stack.service.limits.window import SharedWindow
from stack.service.metrics import Metrics
from stack.service.origin import Origins
from stack.service.settings import Settings


class Access:
    """Accounts, tokens and budgets; with Redis also sessions and API keys.

    Sessions are kept where the jobs are, in the Redis that throws nothing out. Where the cache's
    is the only one they are there, and short of memory it may drop them: their users log in again.
    Without any Redis this is the assignment's topology: a login, a token of fifteen minutes, no
    more. Budgets are always counted in the cache's: to lose one costs nothing.
    """

    def __init__(
        self,
        settings: Settings,
        database: AsyncDatabase[Document],
        redis: Redis | None,
        queue: Redis | None,
        metrics: Metrics,
        *,
        jobs: JobService | None = None,
    ) -> None:
        secret = settings.jwt_secret.get_secret_value()
        self._passwords = Passwords()
        self._origins = Origins(settings.trusted_proxies)
        self._revocations: Revocations | None = None
        self._keys: ApiKeys | None = None
        self.budgets: Budgets | None = None
        sessions = None
        store, store_url = (
            (queue, settings.queue_url) if queue is not None else (redis, settings.redis_url)
        )
        if store is not None and store_url is not None:
            # A connection of its own: it waits for news, longer than a request may for an answer.
            news = redis_client(store_url, pool=1, answer_s=2 * WAIT_S)
            self._revocations = Revocations(news)
            self._keys = ApiKeys(database)
            sessions = Sessions(store, settings.sessions_per_user)
        self.bearer = Bearer(secret, revocations=self._revocations, keys=self._keys)
        if settings.limits is not None:
            window = SharedWindow(redis) if redis is not None else None
            self.budgets = Budgets(settings.limits, window, self.bearer, self._origins, metrics)
        self._service = AuthService(
            database,
            metrics,
            self._passwords,
            secret,
            sessions=sessions,
            revocations=self._revocations,
            jobs=jobs,
        )

    def routers(self) -> Iterator[APIRouter]:
        """The routes that this topology has."""
        yield auth_routes(self._service, self._origins)
        if self._keys is not None:
            yield session_routes(self._service, self.bearer)
            yield api_key_routes(self._service, self._keys, self.bearer)

    async def start(self) -> None:
        """Learn which tokens are void, and follow what comes."""
        if self._revocations is not None:
            await self._revocations.start()

    async def close(self) -> None:
        """Stop the background work."""
        self._passwords.close()
        if self._keys is not None:
            await self._keys.close()
        if self._revocations is not None:
            await self._revocations.stop()
