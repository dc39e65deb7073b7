"""A whole local stack: what it consists of, how its parts are set, and what it tells."""

import ipaddress
import json
import stat
from collections import Counter

import httpx
import psutil
import pymongo
import pytest
import redis
from stack_footprint import Footprint

from stack.errors import UnknownPart
from stack.local import RunningStack, kill_part, logs, status


def test_all_parts_are_ready_and_none_waits(live_stack: RunningStack) -> None:
    info = status(live_stack.folder)
    assert info.state == "ready"
    assert Counter(part.kind for part in info.parts) == {
        "nginx": 1,
        "api": 2,
        "redis": 1,
        "mongo": 3,
        "elasticsearch": 1,
        "indexer": 1,
        "queue": 1,
        "worker": 1,
        "events": 1,
    }
    assert {(part.state, part.waits_for) for part in info.parts} == {("ready", None)}
    assert all(psutil.pid_exists(pid) for part in info.parts for pid in part.pids())


def test_nginx_works_in_a_process_of_its_own_that_is_counted_too(live_stack: RunningStack) -> None:
    master, *workers = live_stack.info.part("nginx").pids()
    assert psutil.Process(master).name() == "nginx"
    # The worker, and for a while those who look after the cached pictures.
    assert {psutil.Process(pid).name() for pid in workers} == {"nginx"}


@pytest.mark.feature(
    "1 balancing: requests are spread over all replicas",
    endpoint="GET /readyz",
    module="stack/infra/nginx.conf",
)
def test_the_load_balancer_reaches_every_replica_and_every_replica_its_servers(
    live_stack: RunningStack,
) -> None:
    answers = [httpx.get(f"{live_stack.info.base_url}/readyz") for _ in range(4)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["replica"] for answer in answers} == {"api-1", "api-2"}
    dependencies = {"mongo": "ok", "redis": "ok", "queue": "ok", "elasticsearch": "ok"}
    assert all(answer.json()["dependencies"] == dependencies for answer in answers)


def test_nothing_listens_beyond_the_loopback_interface(live_stack: RunningStack) -> None:
    guard = psutil.Process(live_stack.info.guard_pid)
    addresses = {
        connection.laddr.ip
        for process in guard.children(recursive=True)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses
    # Java speaks IPv4 through IPv6 sockets: ::ffff:127.0.0.1 is the loopback interface too.
    plain = {address.removeprefix("::ffff:") for address in addresses}
    assert all(ipaddress.ip_address(address).is_loopback for address in plain)


def test_every_listening_port_belongs_to_a_part_or_to_elasticsearch_transport(
    live_stack: RunningStack,
) -> None:
    known = {part.port for part in live_stack.info.parts if part.port}
    assert known < set(Footprint.of(live_stack.info).ports)
    assert len(set(Footprint.of(live_stack.info).ports) - known) == 1


@pytest.mark.feature(
    "2 database: one primary, two secondaries, elections",
    endpoint="–",
    module="stack/local/readiness.py",
)
def test_the_replica_set_has_one_primary_and_the_specified_election_timeout(
    live_stack: RunningStack,
) -> None:
    with pymongo.MongoClient(live_stack.info.mongo_url) as client:
        members = client.admin.command("replSetGetStatus")["members"]
        settings = client.admin.command("replSetGetConfig")["config"]["settings"]
    assert sorted(member["stateStr"] for member in members) == ["PRIMARY", "SECONDARY", "SECONDARY"]
    assert settings["electionTimeoutMillis"] == 2_000
    assert settings["heartbeatIntervalMillis"] == 1_000


@pytest.mark.feature(
    "3 cache: bounded memory, least recently used keys go first",
    endpoint="–",
    module="stack/local/parts.py",
)
def test_redis_has_the_specified_memory_and_evicts_the_least_recently_used(
    live_stack: RunningStack,
) -> None:
    assert live_stack.info.redis_url
    with redis.Redis.from_url(live_stack.info.redis_url) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(64 * 2**20)}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
        assert client.config_get("save") == {"save": ""}


@pytest.mark.parametrize(
    ("sent", "kept"), [("run-7.000042", True), ('forged","status":"200', False), ("x" * 129, False)]
)
def test_a_request_keeps_its_id_through_the_stack_unless_it_could_forge_a_log_line(
    live_stack: RunningStack, sent: str, kept: bool
) -> None:
    answer = httpx.get(f"{live_stack.info.base_url}/livez", headers={"X-Request-ID": sent})
    assert answer.status_code == 200
    assert len(answer.headers.get_list("x-request-id")) == 1
    assert (answer.headers["x-request-id"] == sent) == kept


@pytest.mark.feature(
    "8 observability: access log in JSON with the request id",
    endpoint="–",
    module="stack/infra/nginx.conf",
)
def test_the_access_log_is_json_with_the_request_id_and_the_replica(
    live_stack: RunningStack,
) -> None:
    info = live_stack.info
    httpx.get(f"{info.base_url}/livez?q=%22", headers={"X-Request-ID": "logged-1"})
    entry = None
    while entry is None:  # nginx writes at least once a second; pytest's timeout bounds the wait
        lines = info.access_log.read_text().splitlines(keepends=True)
        entries = [json.loads(line) for line in lines if line.endswith("\n")]
        entry = next((found for found in entries if found["request_id"] == "logged-1"), None)
    assert entry["status"] == 200
    assert entry["uri"] == "/livez?q=%22"
    assert entry["upstream"] in {f"127.0.0.1:{part.port}" for part in info.parts_of("api")}
    assert entry["request_s"] >= float(entry["upstream_s"]) - 0.002  # both rounded to milliseconds


@pytest.mark.feature(
    "1 balancing: the load balancer has a health check of its own",
    endpoint="GET /lb-health",
    module="stack/infra/nginx.conf",
)
def test_the_load_balancer_answers_for_itself(live_stack: RunningStack) -> None:
    answer = httpx.get(f"{live_stack.info.base_url}/lb-health")
    assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.feature(
    "7 limits: body size at the gateway",
    endpoint="POST /api/v1/auth/login",
    module="stack/infra/nginx.conf",
)
def test_a_body_larger_than_the_limit_is_refused_before_it_reaches_a_replica(
    live_stack: RunningStack,
) -> None:
    answer = httpx.post(f"{live_stack.info.base_url}/api/v1/auth/login", content=b"x" * (2**20 + 1))
    assert answer.status_code == 413


def test_logs_of_one_part_or_of_all_can_be_read(live_stack: RunningStack) -> None:
    assert any(
        "following changes" in line for line in logs(live_stack.folder, "indexer")["indexer"]
    )
    names = {part.name for part in live_stack.info.parts}
    assert logs(live_stack.folder, lines=1).keys() == names | {"supervisor"}


def test_an_unknown_part_is_refused_with_the_names_of_those_there_are(
    live_stack: RunningStack,
) -> None:
    with pytest.raises(UnknownPart, match="no part is named 'mongo-9'; parts: nginx, api-1, api-2"):
        kill_part(live_stack.folder, "mongo-9")
    with pytest.raises(UnknownPart, match="supervisor"):
        logs(live_stack.folder, "mongo-9")


def test_the_file_with_the_passwords_is_readable_by_its_owner_only(
    live_stack: RunningStack,
) -> None:
    info = live_stack.info
    assert stat.S_IMODE((info.folder / "stack.json").stat().st_mode) == 0o600
    assert len(info.admin_password) >= 20
    shown = "".join("".join(lines) for lines in logs(info.folder, lines=10_000).values())
    assert info.admin_password not in shown


def test_every_temporary_file_lies_in_the_stack_folder(live_stack: RunningStack) -> None:
    info = live_stack.info
    outside = {
        opened.path
        for process in psutil.Process(info.guard_pid).children(recursive=True)
        for opened in process.open_files()
        if getattr(opened, "mode", "r") != "r" and not opened.path.startswith(str(info.folder))
    }
    assert outside == set()
