"""One whole live stack for all tests that only use it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pymongo
import pytest
import redis
from accounts import new_account
from bson import ObjectId
from mailbox_server import Mailbox
from pymongo.collection import Collection

from stack.infra.catalogue import Catalogue, admin_id
from stack.infra.connections import DATABASE
from stack.infra.documents import USERS
from stack.infra.limits import Limits
from stack.local import RunningStack, StackSpec, start
from stack.local.artefacts import default_home, lay_out
from stack.service.auth.tokens import mint_access_token

CATALOGUE = Catalogue(products=600, users=40, categories=6, pages_per_category=5)


@pytest.fixture(scope="session")
def elasticsearch_home() -> Path:
    """Elasticsearch's artefacts, fetched at their first use."""
    lay_out(default_home(), progress=lambda _line: None)
    return default_home()


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """What `live_stack` is seeded with."""
    return CATALOGUE


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    """The mail server of `live_stack`."""
    with Mailbox() as box:
        yield box


@pytest.fixture(scope="session")
def live_stack(
    tmp_path_factory: pytest.TempPathFactory, elasticsearch_home: Path, mailbox: Mailbox
) -> Iterator[RunningStack]:
    """A seeded stack of all parts: 2 replicas, Redis, 3 mongods, Elasticsearch, the indexer,
    queue, worker, object folder, and the owner of the events.

    Shared by the whole session: leave it as it was (seeded data, all parts alive).
    """
    spec = StackSpec(
        name="live",
        api_replicas=2,
        database_members=3,
        election_timeout_s=2.0,
        cache_memory_mib=64,
        workers=1,
        images=True,
        events=True,
        service_env={
            "HEADROOM_CATALOGUE": CATALOGUE.model_dump_json(),
            "HEADROOM_SMTP_URL": mailbox.url,
        },
    )
    folder = tmp_path_factory.mktemp("stacks") / "live"
    with start(spec, folder, elasticsearch_home=elasticsearch_home) as running:
        command = [sys.executable, "-m", "stack.infra.seed"]
        environment = {**os.environ, **running.info.service_environment()}
        subprocess.run(command, env=environment, check=True, timeout=60, capture_output=True)
        yield running


@pytest.fixture(scope="module")
def api(live_stack: RunningStack) -> Iterator[httpx.Client]:
    """A client of `live_stack` that nobody else uses."""
    with httpx.Client(base_url=live_stack.info.base_url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def as_user(live_stack: RunningStack) -> Callable[..., dict[str, str]]:
    """Headers that speak for a user."""

    def headers(user: ObjectId, role: Literal["user", "admin"] = "user") -> dict[str, str]:
        token = mint_access_token(live_stack.info.jwt_secret, user, role)
        return {"Authorization": f"Bearer {token}"}

    return headers


@pytest.fixture(scope="module")
def admin(as_user: Callable[..., dict[str, str]]) -> dict[str, str]:
    """Headers that speak for an administrator."""
    return as_user(admin_id(), "admin")


@pytest.fixture
def account(api: httpx.Client) -> dict[str, str]:
    """A new account of `live_stack`."""
    return new_account(api)


@pytest.fixture(scope="module")
def store(live_stack: RunningStack) -> Iterator[redis.Redis]:
    """The Redis of `live_stack` that evicts nothing: jobs, sessions, budgets."""
    with redis.Redis.from_url(live_stack.info.queue_url) as client:
        yield client


@pytest.fixture(scope="module")
def users(live_stack: RunningStack) -> Iterator[Collection[dict[str, Any]]]:
    """The accounts in the database of `live_stack`."""
    with pymongo.MongoClient[dict[str, Any]](live_stack.info.mongo_url) as client:
        yield client[DATABASE][USERS]


@pytest.fixture(scope="session")
def guarded_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A small seeded stack that is on its guard: budgets, TLS, CORS; one mongod, no search node.

    Clients name their own address, so that each test has a budget of its own.
    """
    spec = StackSpec(
        name="guarded",
        api_replicas=2,
        database_members=1,
        search_engine="mongo_text",
        cache_memory_mib=32,
        tls=True,
        cors_origins=("https://shop.example.com",),
        # Few by address, so that a slow machine overruns them too.
        limits=Limits(address_per_s=1, address_burst=60, address_connections=4),
        trust_forwarded_for=True,
        service_env={"HEADROOM_CATALOGUE": CATALOGUE.model_dump_json()},
    )
    folder = tmp_path_factory.mktemp("stacks") / "guarded"
    with start(spec, folder) as running:
        command = [sys.executable, "-m", "stack.infra.seed"]
        environment = {**os.environ, **running.info.service_environment()}
        subprocess.run(command, env=environment, check=True, timeout=60, capture_output=True)
        yield running
