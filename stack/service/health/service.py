"""Readiness: each part is asked, with a time limit, all at once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from elasticsearch import AsyncElasticsearch
from pymongo.asynchronous.database import AsyncDatabase
from redis.asyncio import Redis

from stack.infra.documents import Document
from stack.service.health.schemas import Readiness, State, Status

PROBE_S = 1.0
# Without the database nothing works; without the others the service is slower, but right.
REQUIRED = "mongo"
Probe = Callable[[], Awaitable[object]]


class HealthService:
    """Asks the parts this replica depends on."""

    def __init__(
        self,
        replica: str,
        database: AsyncDatabase[Document],
        redis: Redis | None,
        queue: Redis | None,
        elasticsearch: AsyncElasticsearch | None,
    ) -> None:
        self._replica = replica
        probes: dict[str, Probe] = {REQUIRED: lambda: database.command("ping")}
        if redis is not None:
            probes["redis"] = lambda: redis.get("probe")
        if queue is not None:
            probes["queue"] = lambda: queue.get("probe")
        if elasticsearch is not None:
            # The bundled node has no `GET /`, so the client's own ping() would not work there.
            probes["elasticsearch"] = elasticsearch.cluster.health
        self._probes: Mapping[str, Probe] = probes

    async def readiness(self) -> Readiness:
        """The state of each part, and what follows from it."""
        states = await asyncio.gather(*(_state(probe) for probe in self._probes.values()))
        found = dict(zip(self._probes, states, strict=True))
        status: Status = "ready" if set(states) == {"ok"} else "degraded"
        if found[REQUIRED] != "ok":
            status = "unavailable"
        return Readiness(status=status, replica=self._replica, dependencies=found)


async def _state(probe: Probe) -> State:
    try:
        async with asyncio.timeout(PROBE_S):
            await probe()
    except Exception:  # whatever a driver raises, the part is not there for us
        return "unavailable"
    return "ok"
