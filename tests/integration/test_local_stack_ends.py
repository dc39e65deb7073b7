"""However a local stack ends, nothing of it stays: no process, no port, no folder."""

import asyncio
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from stack_footprint import Footprint, ended

from stack.errors import (
    DiskFull,
    ForeignFolder,
    MissingArtefacts,
    PartFailed,
    PortInUse,
    StackNotRunning,
    StackRunning,
    SupervisorLost,
)
from stack.local import (
    StackInfo,
    StackSpec,
    kill_part,
    start,
    start_detached,
    status,
    stop,
)
from stack.local.control import require_room
from stack.local.info import Request
from stack.local.parts import redis_part
from stack.local.ports import free_port
from stack.local.supervisor import Supervisor

SMALL = StackSpec(
    name="small",
    api_replicas=1,
    database_members=1,
    cache_memory_mib=None,
    search_engine="mongo_text",
)

OWNER = """
import sys
from pathlib import Path
from stack.local import StackSpec, start
spec = StackSpec.model_validate_json(sys.argv[1])
with start(spec, Path(sys.argv[2]), progress=lambda line: print(line, flush=True)) as running:
    print("up", flush=True)
    running.wait(lambda line: print(line, flush=True))
"""


@contextmanager
def owner(folder: Path, until: str, spec: StackSpec = SMALL) -> Iterator[subprocess.Popen[str]]:
    """A process that owns a stack, as far as the first line that matches `until`."""
    command = [sys.executable, "-c", OWNER, spec.model_dump_json(), str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if re.match(until, line):
                break
        else:
            pytest.fail(f"never said {until!r}: {seen}, {process.stderr}")
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stack_ends_with_the_process_that_owns_it(tmp_path: Path, number: signal.Signals) -> None:
    with owner(tmp_path / "s", "up") as process:
        footprint = Footprint.of(status(tmp_path / "s"))
        assert len(footprint.processes) >= 6  # guard, supervisor, mongod, API, nginx and its worker
        assert len(footprint.ports) == 3
        process.send_signal(number)
        process.wait(30)
        assert footprint.left() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stack_that_is_still_starting_ends_with_its_owner(
    tmp_path: Path, number: signal.Signals
) -> None:
    with owner(tmp_path / "s", "mongo-1 is ready") as process:
        footprint = Footprint.of(status(tmp_path / "s"))
        process.send_signal(number)
        process.wait(30)
        assert footprint.left() == []


@pytest.mark.parametrize("killed", ["supervisor", "guard"])
def test_killing_the_supervisor_or_its_guard_leaves_nothing(tmp_path: Path, killed: str) -> None:
    with start(SMALL, tmp_path / "s") as running:
        footprint = Footprint.of(running.info)
        os.kill(getattr(running.info, f"{killed}_pid"), signal.SIGKILL)
        assert isinstance(running.next_failure(), SupervisorLost)
        assert footprint.left() == []


def test_killing_supervisor_and_guard_at_once_leaves_no_process_and_the_next_start_cleans_up(
    tmp_path: Path,
) -> None:
    info = start_detached(SMALL, tmp_path / "s")
    footprint = Footprint.of(info)
    for process in (info.guard_pid, info.supervisor_pid):
        os.kill(process, signal.SIGSTOP)  # so that neither sees the other's end
    for process in (info.guard_pid, info.supervisor_pid):
        os.kill(process, signal.SIGKILL)
    assert [line for line in footprint.left() if not line.startswith("folder")] == []
    with pytest.raises(StackNotRunning):
        status(info.folder)
    with start(SMALL, tmp_path / "s") as running:
        assert running.info.supervisor_pid != info.supervisor_pid
        assert running.info.state == "ready"
    assert not info.folder.exists()


def test_killing_nginx_ends_its_worker_too_and_frees_the_port(tmp_path: Path) -> None:
    with start(SMALL, tmp_path / "s") as running:
        workers = [psutil.Process(pid) for pid in running.info.part("nginx").pids()[1:]]
        kill_part(tmp_path / "s", "nginx")
        assert workers
        assert all(ended(worker) for worker in workers)


def test_a_dead_mongod_is_reported_with_its_last_lines_and_the_rest_still_stops(
    tmp_path: Path,
) -> None:
    spec = SMALL.model_copy(update={"database_members": 3, "election_timeout_s": 1.0})
    with owner(tmp_path / "s", "up", spec) as process:
        info = status(tmp_path / "s")
        footprint = Footprint.of(info)
        kill_part(tmp_path / "s", "mongo-2")
        assert process.stdout is not None
        told = process.stdout.readline()
        assert told == "mongo-2 ended with signal SIGKILL; its last lines:\n"
        assert process.stdout.readline().startswith("  mongo-2 | ")
        after = status(tmp_path / "s")
        assert after.state == "degraded"
        assert after.part("mongo-2").state == "dead"
        assert after.part("mongo-2").exit_code == -signal.SIGKILL
        assert after.part("mongo-2").last_lines
        others = {part.state for part in after.parts if part.name != "mongo-2"}
        assert others == {"ready"}
        assert httpx.get(f"{info.base_url}/readyz").status_code == 200
        stop(tmp_path / "s")
        assert footprint.left() == []
        assert process.wait(30) == 0


@pytest.mark.feature(
    "1 balancing: a dead replica costs no repeatable request",
    endpoint="–",
    module="stack/infra/nginx.conf",
)
def test_a_dead_replica_costs_no_request_that_may_be_repeated(tmp_path: Path) -> None:
    spec = SMALL.model_copy(update={"api_replicas": 2})
    with start(spec, tmp_path / "s") as running, httpx.Client() as client:
        victim = psutil.Process(running.info.part("api-1").pid)
        kill_part(tmp_path / "s", "api-1")
        assert ended(victim)
        answers = [client.get(f"{running.info.base_url}/readyz") for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        assert {answer.json()["replica"] for answer in answers} == {"api-2"}
        running.stop()
        assert running.info.part("api-2").state == "ready"  # as it last was


def test_two_stacks_run_side_by_side_and_one_ends_without_the_other(tmp_path: Path) -> None:
    with start(SMALL, tmp_path / "a") as first:
        second = start_detached(SMALL.model_copy(update={"name": "other"}), tmp_path / "b")
        there, here = Footprint.of(second), Footprint.of(first.info)
        assert set(there.ports).isdisjoint(here.ports)
        with pytest.raises(StackRunning, match="a stack named 'small' already runs in"):
            start(SMALL, tmp_path / "a")
        stop(tmp_path / "b")
        assert there.left() == []
        assert httpx.get(f"{first.info.base_url}/readyz").status_code == 200
        assert status(tmp_path / "a").state == "ready"
    assert here.left() == []


def test_a_detached_stack_outlives_its_starter_until_it_is_stopped(tmp_path: Path) -> None:
    starter = OWNER.replace("with start(", "start_detached(").split(" as running:")[0]
    starter = starter.replace("import StackSpec, start", "import StackSpec, start_detached")
    command = [sys.executable, "-c", starter, SMALL.model_dump_json(), str(tmp_path / "s")]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    info = status(tmp_path / "s")
    footprint = Footprint.of(info)
    assert info.state == "ready"
    assert info.owner_pid is None
    assert httpx.get(f"{info.base_url}/readyz").status_code == 200
    stop(tmp_path / "s")
    assert footprint.left() == []
    with pytest.raises(StackNotRunning, match="start one with `headroom up`"):
        stop(tmp_path / "s")


def test_a_port_in_use_is_one_line_that_names_its_holder(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as holder:
        assert holder.stdout is not None
        assert "Serving" in holder.stdout.readline()
        with pytest.raises(PortInUse) as caught:
            start(SMALL.model_copy(update={"http_port": port}), tmp_path / "s")
        holder.kill()
    assert "\n" not in str(caught.value)
    assert f"port {port} on 127.0.0.1 is in use by python" in str(caught.value)
    assert f"(pid {holder.pid})" in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_the_port_that_was_asked_for_is_the_one_nginx_listens_on(tmp_path: Path) -> None:
    port = free_port()
    with start(SMALL.model_copy(update={"http_port": port}), tmp_path / "s") as running:
        assert running.info.base_url == f"http://127.0.0.1:{port}"
        assert httpx.get(f"http://127.0.0.1:{port}/lb-health").status_code == 200


def test_a_part_that_cannot_start_is_reported_with_its_own_words_and_nothing_stays(
    tmp_path: Path,
) -> None:
    broken = SMALL.model_copy(update={"service_env": {"HEADROOM_CACHE_TTL_S": "soon"}})
    told: list[StackInfo] = []

    def note(line: str) -> None:
        if line.startswith("replica set"):
            told.append(status(tmp_path / "s"))

    with pytest.raises(PartFailed, match=r"InvalidSettings: .*cache_ttl_s") as caught:
        start(broken, tmp_path / "s", progress=note)
    assert str(caught.value).startswith("api-1 ended with exit code 1 before it was ready; its")
    assert not (tmp_path / "s").exists()
    assert not psutil.pid_exists(told[0].supervisor_pid)


def test_missing_elasticsearch_artefacts_are_one_line_that_names_the_command(
    tmp_path: Path,
) -> None:
    spec = SMALL.model_copy(update={"search_engine": "elasticsearch"})
    with pytest.raises(MissingArtefacts) as caught:
        start(spec, tmp_path / "s", elasticsearch_home=tmp_path / "nothing")
    assert "\n" not in str(caught.value)
    assert "run `python -m stack.local.install`" in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ForeignFolder, match="is not empty and not a stack's folder"):
        start(SMALL, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_elasticsearch_closes_cleanly_and_a_part_that_ends_by_itself_is_reported_too(
    tmp_path: Path, elasticsearch_home: Path
) -> None:
    spec = SMALL.model_copy(update={"search_engine": "elasticsearch"})
    with start(spec, tmp_path / "s", elasticsearch_home=elasticsearch_home) as running:
        footprint = Footprint.of(running.info)
        node = psutil.Process(running.info.part("elasticsearch").pid)
        kill_part(tmp_path / "s", "elasticsearch", signal.SIGTERM)
        assert ended(node)
        assert str(running.next_failure()).startswith("elasticsearch ended with exit code 0")
        assert running.info.part("elasticsearch").exit_code == 0
        with pytest.raises(PartFailed, match="elasticsearch ended with exit code 0"):
            running.check()
        running.stop()
        assert footprint.left() == []


def test_a_server_that_finds_its_port_taken_is_started_again_on_another(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    tried: list[int] = []

    async def bring_up() -> StackInfo:
        request = Request(
            spec=SMALL.model_copy(update={"cache_memory_mib": 16}),
            elasticsearch_home=tmp_path,
            application="none",
            owner_pid=None,
        )
        supervisor = Supervisor(tmp_path, request, os.open(os.devnull, os.O_WRONLY))
        redis = redis_part(request.spec, supervisor.layout)

        def command(port: int) -> list[str]:
            tried.append(port)
            if len(tried) > 2:
                return redis.command(port)
            # Elasticsearch tells the reason before a long trace of calls; here numbers follow it.
            taken = redis.command(listener.getsockname()[1])
            return ["/bin/sh", "-c", '"$@"; code=$?; seq 99; exit $code', "sh", *taken]

        port = await supervisor.bring_up(dataclasses.replace(redis, command=command))
        assert port == tried[-1]
        info = supervisor.info
        await supervisor.stop()
        return info

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        info = asyncio.run(bring_up())
    assert len(tried) == 3
    assert info.part("redis").state == "ready"
    assert info.part("redis").port == tried[-1]


def test_too_little_room_on_the_disk_is_one_line_with_both_amounts(tmp_path: Path) -> None:
    with pytest.raises(
        DiskFull, match=r"has \d+ MiB free and the stack needs 1125899906842624 MiB"
    ):
        require_room(tmp_path, 2**50)
