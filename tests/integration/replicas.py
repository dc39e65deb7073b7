"""Several API replicas in one process, each with clients of its own, on a live stack's servers."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from prometheus_client.parser import text_string_to_metric_families

from stack.infra.catalogue import Catalogue
from stack.service.auth.tokens import mint_access_token
from stack.service.main import create_app
from stack.service.settings import Settings


class Replica:
    """One replica: HTTP without sockets, and its metrics."""

    def __init__(self, client, secret):
        self.http = client
        self._secret = secret

    async def get(self, path, user=None, **params):
        return await self.http.get(path, params=params, headers=self.bearer(user))

    def bearer(self, user, role="user"):
        if user is None:
            return {}
        return {"Authorization": f"Bearer {mint_access_token(self._secret, user, role)}"}

    async def metric(self, name, **labels):
        """The value of one sample; 0 when it is not there."""
        text = (await self.http.get("/metrics")).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@asynccontextmanager
async def replicas(info, count=1, **settings):
    """`count` replicas with these settings; the servers are the stack's unless given."""
    servers = {
        "mongo_url": info.mongo_url,
        "redis_url": info.redis_url,
        "queue_url": info.queue_url,
        "elasticsearch_url": info.elasticsearch_url,
        "catalogue": info.spec.service_env.get("HEADROOM_CATALOGUE"),
        "jwt_secret": info.jwt_secret,
    }
    servers["catalogue"] = Catalogue.model_validate_json(servers["catalogue"] or "{}")
    async with AsyncExitStack() as opened:
        found = []
        for number in range(count):
            app = create_app(Settings(**{**servers, **settings, "replica": f"own-{number + 1}"}))
            await opened.enter_async_context(app.router.lifespan_context(app))
            transport = httpx.ASGITransport(app)
            client = httpx.AsyncClient(transport=transport, base_url="http://replica", timeout=30)
            found.append(Replica(await opened.enter_async_context(client), info.jwt_secret))
        yield found


async def over_all(found, name, **labels):
    """The sum of one sample over replicas."""
    return sum([await replica.metric(name, **labels) for replica in found])


async def until(condition, limit_s=10.0):
    """Let others work until `condition()` holds."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - counters have no event to wait for
            await asyncio.sleep(0.001)
