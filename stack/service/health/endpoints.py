"""Routes for the load balancer and the metrics collector."""

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from stack.service.health.schemas import Readiness
from stack.service.health.service import HealthService
from stack.service.metrics import Metrics
from stack.service.replies import json_reply


def health_routes(health: HealthService, metrics: Metrics) -> APIRouter:
    """The routes that serve `health` and `metrics`."""
    router = APIRouter(tags=["health"])

    @router.get("/livez")
    async def alive() -> Response:
        """Whether the process answers; asks nobody else."""
        return json_reply(b'{"status":"alive"}')

    @router.get("/readyz", responses={200: {"model": Readiness}, 503: {"model": Readiness}})
    async def ready() -> Response:
        """Whether the replica can serve: 503 without the database, `degraded` without the rest."""
        readiness = await health.readiness()
        status = 503 if readiness.status == "unavailable" else 200
        return json_reply(readiness.model_dump_json().encode(), status)

    @router.get("/metrics")
    async def measured() -> Response:
        """Metrics in the text format of Prometheus."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    return router
