"""The logs of all parts in one view: merged by time, searched, followed."""

import contextlib
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from stack.errors import InvalidLogSearch, UnknownPart
from stack.infra.catalogue import admin_id, product_id
from stack.local import RunningStack, logbook
from stack.local.logbook import Entry, LogSearch, entry_of, followed, found_in_logs
from stack.service.auth.tokens import mint_access_token

NOTHING = Entry(0.0, "x", "INFO", None, "")


def until(found: Callable[[], list[Entry]], parts: set[str]) -> list[Entry]:
    """Logs are written in blocks, the indexer gathers changes; pytest's timeout is the limit."""
    while True:
        entries = found()
        if parts <= {entry.part for entry in entries}:
            return entries


@pytest.fixture
def changed_product(live_stack: RunningStack) -> str:
    """The id of a request that has changed a product (to what it is)."""
    info, request = live_stack.info, f"log-{uuid.uuid4().hex}"
    token = mint_access_token(info.jwt_secret, admin_id(), "admin")
    path = f"{info.base_url}/api/v1/products/{product_id(7)}"
    stock = httpx.get(path).json()["stock"]
    headers = {"Authorization": f"Bearer {token}", "X-Request-ID": request}
    assert httpx.patch(path, json={"stock": stock}, headers=headers).status_code == 200
    return request


@pytest.mark.feature(
    "8 observability: one request's id in the logs of nginx, API and indexer, in one view",
    endpoint="headroom logs --request ID",
    module="stack/local/logbook.py",
)
def test_a_request_can_be_followed_through_nginx_api_and_indexer_by_its_id(
    live_stack: RunningStack, changed_product: str
) -> None:
    search = LogSearch(request=changed_product)
    entries = until(lambda: found_in_logs(live_stack.folder, search, 100), {"nginx", "indexer"})
    parts = [entry.part for entry in entries]
    assert len([part for part in parts if part.startswith("api-")]) == 1
    assert {entry.request_id for entry in entries} == {changed_product}
    times = [entry.epoch_s for entry in entries]
    assert times == sorted(times)
    assert f"product {product_id(7)} is in the index" in entries[-1].line or parts[-1] == "nginx"


def test_a_job_is_logged_under_the_id_of_the_request_that_asked_for_it(
    live_stack: RunningStack,
) -> None:
    info, request = live_stack.info, f"log-{uuid.uuid4().hex}"
    token = mint_access_token(info.jwt_secret, admin_id(), "admin")
    headers = {"Authorization": f"Bearer {token}", "X-Request-ID": request}
    wanted = {"kind": "session_cleanup"}
    asked = httpx.post(f"{info.base_url}/api/v1/admin/jobs", json=wanted, headers=headers)
    assert asked.status_code == 202
    search = LogSearch(part="worker-1", request=request)
    (entry,) = until(lambda: found_in_logs(live_stack.folder, search, 9), {"worker-1"})
    assert asked.json()["key"] in entry.line


@pytest.mark.feature(
    "8 observability: logs of all parts searched by level, text and time",
    endpoint="headroom logs --level --grep --since",
    module="stack/local/logbook.py",
)
def test_every_part_is_in_the_view_with_a_time_and_a_level_of_its_own(
    live_stack: RunningStack,
) -> None:
    folder, began = live_stack.folder, time.time()
    httpx.get(f"{live_stack.info.base_url}/no-such-path")
    every = until(
        lambda: found_in_logs(folder, LogSearch(), 10**6), {"nginx", "redis", "mongo-1", "indexer"}
    )
    assert all(entry.epoch_s > began - 3600 for entry in every if entry.line[0] != " ")
    wrong = until(
        lambda: found_in_logs(folder, LogSearch(level="WARN", since=began - 1, grep="no-such"), 9),
        {"nginx"},
    )
    assert {(entry.part, entry.level) for entry in wrong} == {("nginx", "WARN")}
    assert found_in_logs(folder, LogSearch(level="ERROR", grep="no-such-path"), 9) == []
    assert found_in_logs(folder, LogSearch(since=time.time() + 60), 9) == []
    assert [entry.part for entry in found_in_logs(folder, LogSearch(part="redis"), 1)] == ["redis"]


def test_following_gives_what_is_written_meanwhile(live_stack: RunningStack) -> None:
    first, second = (f"followed-{uuid.uuid4().hex}" for _ in range(2))
    url = f"{live_stack.info.base_url}/livez"
    httpx.get(url, headers={"X-Request-ID": first})
    with contextlib.closing(followed(live_stack.folder, LogSearch(grep="followed-"), 1000)) as new:
        assert next(new).request_id == first
        httpx.get(url, headers={"X-Request-ID": second})
        assert next(new).request_id == second


def test_the_command_prints_one_json_object_for_each_entry(
    live_stack: RunningStack, changed_product: str, tmp_path: Path
) -> None:
    search = LogSearch(request=changed_product)
    until(lambda: found_in_logs(live_stack.folder, search, 9), {"nginx", "indexer"})
    (tmp_path / ".headroom" / "stacks").mkdir(parents=True)
    (tmp_path / ".headroom" / "stacks" / "live").symlink_to(live_stack.folder)
    command = [Path(sys.executable).with_name("headroom"), "logs", "--name", "live"]
    done = subprocess.run(
        [*command, "--request", changed_product, "--json", "--since", "10m"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert {entry["request_id"] for entry in entries} == {changed_product}
    assert {"nginx", "indexer"} < {entry["part"] for entry in entries}


LINES = [
    ("redis", "12:M 25 Nov 2026 04:28:43.123 # WARNING overcommit", "WARN"),
    ("redis", "12:M 25 Nov 2026 04:28:43.123 * Ready", "INFO"),
    ("nginx", "2026/11/25 04:28:43 [emerg] 12#0: bind() failed", "ERROR"),
    ("nginx", '{"epoch_s":1795580923.5,"request_id":"r","status":503}', "ERROR"),
    ("nginx", '{"epoch_s":1795580923.5,"request_id":"r","status":404}', "WARN"),
    ("mongo-1", '{"t":{"$date":"2026-11-25T04:28:43.123+00:00"},"s":"D2","msg":"x"}', "DEBUG"),
    ("elasticsearch", "[2026-11-25T04:28:43,123][WARN ][o.e.x] slow", "WARN"),
    ("api-1", '{"time":"2026-11-25T04:28:43.123+00:00","level":"WARN","message":"m"}', "WARN"),
]


@pytest.mark.parametrize(("part", "line", "level"), LINES)
def test_each_servers_own_form_tells_time_and_level(part: str, line: str, level: str) -> None:
    entry = entry_of(part, line, NOTHING)
    assert (entry.level, entry.part, entry.line) == (level, part, line)
    assert entry.epoch_s == pytest.approx(1795580923.3, abs=86_400)  # local time, whatever zone


def test_a_line_without_a_time_belongs_to_the_one_before() -> None:
    before = entry_of("api-1", LINES[-1][1], NOTHING)
    entry = entry_of("api-1", "Traceback (most recent call last):", before)
    assert (entry.epoch_s, entry.level) == (before.epoch_s, "WARN")


def test_since_means_how_long_ago_or_a_moment() -> None:
    assert logbook.since("90s", 1000.0) == 910.0
    assert logbook.since("1.5h", 10_000.0) == 4_600.0
    assert logbook.since("1970-01-01T00:01:00+00:00", 0.0) == 60.0


def test_what_cannot_be_searched_for_is_refused_with_what_can(live_stack: RunningStack) -> None:
    with pytest.raises(InvalidLogSearch, match=r"since: 'yesterday'; allowed: a time such as"):
        logbook.since("yesterday", 0.0)
    with pytest.raises(InvalidLogSearch, match=r"level: 'LOUD'; allowed: DEBUG, INFO, WARN, ERROR"):
        LogSearch(level="LOUD")  # type: ignore[arg-type]
    with pytest.raises(InvalidLogSearch, match=r"grep: '\('; allowed"):
        LogSearch(grep="(")
    with pytest.raises(UnknownPart, match="no part is named 'mongo-9'"):
        found_in_logs(live_stack.folder, LogSearch(part="mongo-9"), 1)
