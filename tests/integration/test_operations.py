"""Operations on a running stack: scale, rolling restart, kill and start again, under load."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pymongo
import pytest
import redis

from stack.errors import ScaleRefused, UnknownPart
from stack.infra.catalogue import Catalogue
from stack.infra.operations import Operation
from stack.load.requests import EXPECTED_STATUS, Credentials
from stack.load.run import run_load
from stack.local import RunningStack, kill_part, restart, scale, start_part, status
from stack.local.info import PartInfo

pytestmark = pytest.mark.alone

# Reads, a write that may be repeated, and one that may not: nginx sends a POST once only.
SHARES = {
    "list": 0.30,
    "list_cursor": 0.20,
    "detail": 0.28,
    "favourites": 0.10,
    "search": 0.05,
    "favourite_add": 0.05,
    "login": 0.02,
}
LOAD_PER_S = 160.0


@pytest.fixture
def stack_of_two(live_stack: RunningStack) -> Iterator[RunningStack]:
    yield live_stack
    scale(live_stack.folder, "api", 2)
    assert status(live_stack.folder).state == "ready"


def offered_during(
    change: Callable[[], object],
    running: RunningStack,
    catalogue: Catalogue,
    folder: Path,
    seconds: float,
) -> pd.DataFrame:
    """What became of each request of an open-loop load while `change` went on."""
    rng = np.random.default_rng(5)
    count = int(LOAD_PER_S * seconds)
    operations = rng.choice(list(SHARES), size=count, p=list(SHARES.values()))
    users = rng.integers(0, catalogue.users, count)
    limits = {"list": catalogue.listing_keys, "list_cursor": catalogue.listing_keys}
    limits |= {"search": catalogue.search_queries}
    keys = np.array([rng.integers(0, limits.get(op, catalogue.users)) for op in operations])
    keys = np.where(operations == "favourite_add", users, keys)  # one favourite for each user
    trace = {
        "request_id": np.arange(count),
        "intended_s": np.sort(rng.random(count)) * seconds,
        "operation": operations,
        "key": keys,
        "user": users,
    }
    pq.write_table(pa.table(trace), folder / "trace.parquet")
    info = running.info
    assert info.base_url is not None
    found = []
    with ThreadPoolExecutor(1) as side:
        changing = side.submit(change)
        while not found or not changing.done():  # a slow machine needs a second window
            run_load(
                folder / "trace.parquet",
                info.base_url,
                folder / "out.parquet",
                catalogue=catalogue,
                credentials=Credentials(info.jwt_secret),
                run_id=f"rollout-{len(found)}",
                timeout_s=30.0,
            )
            found.append(pq.read_table(folder / "out.parquet").to_pandas())
        changing.result()
    assert {len(window) for window in found} == {count}
    return pd.concat(found, ignore_index=True)


def assert_nothing_failed(found: pd.DataFrame) -> None:
    expected = found["operation"].map(lambda name: EXPECTED_STATUS[Operation(name)]).astype(int)
    assert found["error"].dropna().unique().tolist() == []
    assert found[found["status"] != expected]["status"].tolist() == []


def restarted_and_scaled(running: RunningStack) -> list[int | None]:
    before = [part.pid for part in status(running.folder).parts_of("api")]
    restart(running.folder, "api")
    after = [part.pid for part in status(running.folder).parts_of("api")]
    assert not set(before) & set(after)
    assert len(scale(running.folder, "api", 3).parts_of("api")) == 3
    assert len(scale(running.folder, "api", 1).parts_of("api")) == 1
    return after


@pytest.mark.parametrize("seconds", [20, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.feature(
    "1 balancing: rolling restart and scaling under load lose no request",
    endpoint="headroom restart api, headroom scale api N",
    module="stack/local/rollout.py",
)
def test_a_rolling_restart_and_scaling_to_3_and_1_under_load_fail_no_request(
    stack_of_two: RunningStack, catalogue: Catalogue, tmp_path: Path, seconds: int
) -> None:
    found = offered_during(
        lambda: restarted_and_scaled(stack_of_two), stack_of_two, catalogue, tmp_path, seconds
    )
    assert_nothing_failed(found)
    assert set(found["replica"]) == {"api-1", "api-2", "api-3"}
    assert set(found["replica"].iloc[-100:]) == {"api-1"}


@pytest.mark.feature(
    "1 balancing: a part that died is reported, and started again on request",
    endpoint="headroom kill api-2, headroom start api-2",
    module="stack/local/control.py",
)
def test_a_dead_replica_is_started_again_and_serves(stack_of_two: RunningStack) -> None:
    folder = stack_of_two.folder
    before = kill_part(folder, "api-2")
    while status(folder).part("api-2").state != "dead":
        pass
    assert status(folder).state == "degraded"
    info = start_part(folder, "api-2")
    assert info.state == "ready"
    assert info.part("api-2").pid != before.pid
    answers = [httpx.get(f"{info.base_url}/readyz").json()["replica"] for _ in range(4)]
    assert set(answers) == {"api-1", "api-2"}


@pytest.mark.feature(
    "1 balancing: a server that died comes back with its data",
    endpoint="headroom kill PART, headroom start PART",
    module="stack/local/control.py",
)
@pytest.mark.parametrize("part", ["queue", "nginx", "mongo-3"])
def test_a_server_comes_back_at_its_address_with_its_data(
    live_stack: RunningStack, part: str
) -> None:
    folder = live_stack.folder
    with noted_in(live_stack.info.part(part)) as is_noted:
        before = kill_part(folder, part)
        while status(folder).part(part).state != "dead":
            pass
        info = start_part(folder, part)
        assert (info.state, info.part(part).port) == ("ready", before.port)
        assert is_noted()
    answer = httpx.get(f"{info.base_url}/api/v1/products?limit=3")
    assert (answer.status_code, len(answer.json()["products"])) == (200, 3)


@contextmanager
def noted_in(part: PartInfo) -> Iterator[Callable[[], bool]]:
    """Something that this server alone knows, while the block lasts; whether it knows it now."""
    if part.kind == "queue":
        with redis.Redis(port=part.port) as queue:
            queue.set("noted", "here")
            yield lambda: queue.get("noted") == b"here"
            queue.delete("noted")
    elif part.kind == "mongo":
        address = "127.0.0.1", part.port
        with pymongo.MongoClient[dict[str, str]](*address, directConnection=True, w=1) as member:
            notes = member["local"]["noted"]  # members do not send each other this one

            def is_noted() -> bool:
                while not member.admin.command("hello")["secondary"]:
                    pass
                return notes.find_one() == {"_id": "here"}

            notes.insert_one({"_id": "here"})
            member.admin.command("fsync")  # a new collection is not in the journal yet
            yield is_noted
            notes.drop()
    else:
        yield lambda: True


@pytest.mark.feature(
    "1 balancing: graceful shutdown",
    endpoint="–",
    module="stack/service/serve.py",
)
def test_a_replica_that_is_asked_to_end_answers_what_it_has_and_says_to_close(
    stack_of_two: RunningStack,
) -> None:
    folder = stack_of_two.folder
    scale(folder, "api", 3)
    replica = status(folder).part("api-3")
    with httpx.Client(base_url=str(replica.url)) as client:
        assert "connection" not in client.get("/livez").headers
        assert replica.pid is not None
        os.kill(replica.pid, signal.SIGTERM)
        while "connection" not in (answer := client.get("/livez")).headers:
            pass
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        with pytest.raises(httpx.ConnectError):  # it takes no new connection
            client.get("/livez")
    while status(folder).part("api-3").state != "dead":
        pass
    # Uvicorn ends by the signal that it was sent, once it has finished.
    assert status(folder).part("api-3").exit_code == -signal.SIGTERM
    start_part(folder, "api-3")


@pytest.mark.parametrize(("kind", "count"), [("mongo", 3), ("api", 0), ("api", 65)])
def test_what_cannot_be_scaled_is_refused_with_what_can(
    live_stack: RunningStack, kind: str, count: int
) -> None:
    with pytest.raises(ScaleRefused, match=f"cannot run {count} of '{kind}'; allowed: api: 1 to"):
        scale(live_stack.folder, kind, count)
    with pytest.raises(UnknownPart, match="no part is named 'api-9'"):
        start_part(live_stack.folder, "api-9")
