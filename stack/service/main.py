"""The service, put together: `uvicorn --factory stack.service.main:create_app`."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.datastructures import Headers

from stack.gates.emulation import EmulatedStack
from stack.infra.connections import (
    database_of,
    elasticsearch_client,
    mongo_client,
    redis_client,
)
from stack.infra.faults import FaultsFile
from stack.infra.logs import log_as_json
from stack.service.auth.access import Access
from stack.service.background import Background
from stack.service.cache import Cache
from stack.service.errors import install_handlers
from stack.service.faulty import Faulty
from stack.service.favourites.endpoints import favourite_routes
from stack.service.favourites.service import FavouriteService
from stack.service.graphql.endpoint import graph_routes
from stack.service.graphql.loaders import Reading
from stack.service.graphql.schema import schema_of
from stack.service.health.endpoints import health_routes
from stack.service.health.service import HealthService
from stack.service.held import Emulated, Gated
from stack.service.hot import HotReads
from stack.service.metrics import Metrics
from stack.service.middleware import Observed
from stack.service.openapi import describe
from stack.service.own_writes import OwnWrites
from stack.service.products.cursor import CursorCodec
from stack.service.products.endpoints import product_routes
from stack.service.products.service import ProductService
from stack.service.sample.endpoints import sample_routes
from stack.service.search.cursor import SearchCursors
from stack.service.search.endpoints import search_routes
from stack.service.search.service import SearchService
from stack.service.settings import Settings
from stack.service.telemetry import telemetry_of
from stack.service.trace import current_request_id

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The API of one replica, with settings from the environment unless given.

    Connects to nothing yet: the clients do so at their first call.
    Raises InvalidSettings that names every fault of the environment.
    """
    settings = settings or Settings.from_environment()
    log_as_json(settings.replica, current_request_id, settings.log_level)
    telemetry = telemetry_of(settings)
    secret = settings.jwt_secret.get_secret_value()
    metrics = Metrics(settings.replica)
    faults = FaultsFile(settings.faults_file)
    emulated = emulated_machine(settings, metrics, faults)
    mongo = mongo_client(settings.mongo_url, preferred=emulated.preferred if emulated else None)
    if emulated is not None:
        emulated.database = mongo
    database = database_of(mongo)
    redis = redis_client(settings.redis_url) if settings.redis_url else None
    queue = redis_client(settings.queue_url) if settings.queue_url else None
    elasticsearch = (
        elasticsearch_client(settings.elasticsearch_url) if settings.elasticsearch_url else None
    )
    cache = Cache(redis, settings.cache_policies(), metrics, faults)
    background = Background(settings, database, metrics, queue)
    access = Access(settings, database, redis, queue, metrics, jobs=background.jobs)
    bearer = access.bearer

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await access.start()
        calm_garbage_collection()
        yield
        await background.close()
        await cache.close()
        await access.close()
        for client in (redis, queue):
            if client is not None:
                await client.aclose()
        if elasticsearch is not None:
            await elasticsearch.close()
        await mongo.close()
        if telemetry is not None:
            await asyncio.to_thread(telemetry.close)
        if emulated is not None:
            await emulated.close()

    app = FastAPIOffline(
        title="Headroom catalogue",
        version="1",
        lifespan=lifespan,
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/static",
        generate_unique_id_function=lambda route: route.name,  # the client's names
    )
    install_handlers(app)
    page_size, cursors = settings.catalogue.page_size, settings.paging == "cursor"
    # Where every read goes to the primary nobody can miss an own write.
    own_writes = OwnWrites(secret) if settings.read_from_secondaries else None
    products = ProductService(
        database, cache, metrics, settings, cursors=CursorCodec(secret), own_writes=own_writes
    )
    search = SearchService(
        database,
        elasticsearch,
        cache,
        metrics,
        settings,
        cursors=SearchCursors(secret),
        note=background.searched,
    )
    favourites = FavouriteService(database, cache, metrics, settings, own_writes=own_writes)
    health = HealthService(settings.replica, database, redis, queue, elasticsearch)
    app.add_middleware(
        Observed,
        metrics=metrics,
        replica=settings.replica,
        budgets=access.budgets,
        telemetry=telemetry,
        hot=HotReads(products, search, page_size, cursors=cursors),
        own_writes=own_writes,
    )
    stand_outside(app, settings, emulated, faults)
    schema = schema_of(
        products,
        search,
        favourites,
        page_size=page_size,
        introspection=settings.graphql_introspection,
    )

    def reading(headers: Headers) -> Reading:
        return Reading(headers, bearer, products, database, metrics)

    for routes in (
        product_routes(products, bearer, page_size, cursors=cursors),
        search_routes(search, page_size, cursors=cursors),
        favourite_routes(favourites, bearer),
        *access.routers(),
        *background.routers(bearer, products),
        *([graph_routes(schema, reading, telemetry)] if cursors else []),
        health_routes(health, metrics),
        sample_routes(products),
    ):
        app.include_router(routes)
    describe(app)
    return app


def emulated_machine(settings: Settings, metrics: Metrics, faults: FaultsFile) -> Emulated | None:
    """This replica as an emulated machine, where the stack was started as an emulation."""
    if settings.emulation_file is None:
        return None
    stack = EmulatedStack.read(settings.emulation_file)
    log.warning(
        "emulation (dilated ×%g): times are not those of this machine", stack.emulation.scale
    )
    return Emulated(stack, settings.replica, metrics.registry, faults)


def stand_outside(
    app: FastAPI, settings: Settings, emulated: Emulated | None, faults: FaultsFile
) -> None:
    """What a request meets before the service: the faults that are switched on, the machine."""
    if emulated is not None:
        app.add_middleware(Gated, emulated=emulated)
    if settings.faults_file is not None:
        app.add_middleware(Faulty, faults=faults, replica=settings.replica)


def calm_garbage_collection() -> None:
    """Keep the collector from stopping the event loop while it serves.

    With the default thresholds full collections paused a replica for 50-117 ms, visible as p99.
    What start-up made lives for ever, so it is frozen out of the collector's sight; what requests
    make dies by reference counting, so rare collections are enough for the few cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
