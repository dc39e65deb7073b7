"""The generator against a small server of its own, whose every move the test knows."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stack.infra.catalogue import Catalogue
from stack.load.errors import InvalidTrace, StackUnreachable
from stack.load.requests import Credentials
from stack.load.run import LoadResult, read_result, run_load
from stack.load.trace import Users
from stack.load.validity import Limits

pytestmark = pytest.mark.alone

CREDENTIALS = Credentials("a test secret of more than 32 characters")
SERVER = """
import asyncio, socket, uvicorn
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    status = 404 if scope["path"].startswith("/api/v1/users") else 200
    if scope["path"] == "/api/v1/search":  # silence, then an error, then an answer
        attempt = dict(scope["headers"])[b"x-attempt"]
        status = {b"1": 503}.get(attempt, 200)
        if attempt == b"0":
            await asyncio.sleep(60)
    told = []
    if scope["path"] == "/api/v1/products":  # of an emulated machine: done before it is there
        told = [(b"x-left", b"%.6f" % (float(dict(scope["headers"])[b"x-due"]) + 0.04))]
        await asyncio.sleep(0.05)
    body = b"x" * 300
    headers = [(b"content-length", b"300"), (b"x-cache", b"miss"), (b"x-served-by", b"api-1"),
               (b"server-timing", b"cache;dur=0.5, db;dur=2, db;dur=3, coalesced, app;dur=7"),
               *told]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_keep_alive=60)
uvicorn.Server(config).run(sockets=[listener])
"""


class Server:
    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.url = f"http://127.0.0.1:{int(process.stdout.readline())}"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True
    ) as process:
        yield Server(process)
        process.kill()


def write_trace(path: Path, load_per_s: float, duration_s: float, operation: str) -> Path:
    rng = np.random.default_rng(7)
    count = int(load_per_s * duration_s)
    intended_s = np.sort(rng.random(count)) * duration_s
    table = {
        "request_id": np.arange(count),
        "intended_s": intended_s,
        "operation": [operation] * count,
        "key": rng.integers(0, 100, count),
        "user": rng.integers(0, 100, count),
    }
    pq.write_table(pa.table(table), path)
    return path


def offer(
    server: Server,
    folder: Path,
    load_per_s: float,
    duration_s: float,
    operation: str = "detail",
    **options: object,
) -> tuple[LoadResult, pd.DataFrame]:
    out = folder / "out.parquet"
    result = run_load(
        write_trace(folder / "trace.parquet", load_per_s, duration_s, operation),
        server.url,
        out,
        catalogue=Catalogue(),
        credentials=CREDENTIALS,
        run_id="test",
        pids_by_part={"server": [server.process.pid]},
        **options,  # type: ignore[arg-type]
    )
    return result, pq.read_table(out).to_pandas()


def test_every_request_is_sent_written_and_counted_by_locust_too(
    server: Server, tmp_path: Path
) -> None:
    result, rows = offer(server, tmp_path, 100, 3, warmup_s=1.0)
    assert rows["request_id"].tolist() == list(range(300))
    assert rows["error"].isna().all()
    assert (rows["status"] == 200).all()
    assert (rows["bytes"] == 300).all()
    assert (rows["body_crc32"] == crc32(b"x" * 300)).all()
    assert (rows["cache"] == "miss").all()
    assert (rows["replica"] == "api-1").all()
    assert rows["coalesced"].all()
    assert rows["db_s"].to_numpy() == pytest.approx(0.005)  # asked twice: 2 ms and 3 ms
    assert rows["search_s"].isna().all()
    assert (rows["latency_s"] == rows["done_s"] - rows["intended_s"]).all()
    assert (rows["sent_s"] <= rows["done_s"]).all()
    assert result.complete
    assert result.validity.requests == (rows["intended_s"] >= 1.0).sum()
    assert result.validity.answered == result.validity.requests
    assert result.validity.achieved_per_s == pytest.approx(result.validity.planned_per_s, rel=0.02)
    assert 0.0 < result.validity.dispatch_lag_p50_s <= result.validity.dispatch_lag_p99_s
    assert result.validity.dispatch_lag_p99_s <= result.validity.dispatch_lag_max_s
    assert result.cpu_s["generator"] > 0
    assert result.cpu_s["server"] > 0
    assert result.locust["detail"]["requests"] == 300
    assert result.locust["detail"]["failures"] == 0
    assert read_result(tmp_path / "out.parquet") == result
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == "."] == []


def test_a_server_that_stops_for_a_second_shows_in_the_tail(server: Server, tmp_path: Path) -> None:
    """Closed-loop load would report some milliseconds: it asks nothing while it waits."""
    process = server.process

    def stop_once(progress: object) -> None:
        if not stopped:
            stopped.append(progress)
            process.send_signal(signal.SIGSTOP)
            # Continued by a process of its own: this callback must not hold up the run.
            command = f"import os, time; time.sleep(1); os.kill({process.pid}, {signal.SIGCONT:d})"
            helpers.append(subprocess.Popen([sys.executable, "-c", command]))

    stopped: list[object] = []
    helpers: list[subprocess.Popen[bytes]] = []
    try:
        _, rows = offer(server, tmp_path, 200, 4, progress=stop_once)
    finally:
        for helper in helpers:
            helper.wait(timeout=20)
    assert rows["error"].isna().all()
    assert rows["latency_s"].quantile(0.99) >= 0.9
    assert (rows["latency_s"] > 0.1).sum() >= 0.8 * 200 * 0.9  # all that fell due meanwhile


def test_a_closed_load_has_as_many_under_way_as_it_was_told_and_stops_in_time(
    server: Server, tmp_path: Path
) -> None:
    limits = replace(Limits().closed(), steal_fraction=1.0, foreign_cpu_fraction=1.0)
    result, rows = offer(
        server, tmp_path, 20_000, 1.5, warmup_s=0.5, max_in_flight=8, is_closed=True, limits=limits
    )
    assert 100 < len(rows) < 30_000  # not all: it ended when the time was over
    assert rows["error"].isna().all()
    begins, ends = np.sort(rows["sent_s"]), np.sort(rows["done_s"])
    under_way = np.arange(1, len(rows) + 1) - np.searchsorted(ends, begins)
    assert under_way.max() == 8
    assert result.validity.dropped == 0
    judged = int((rows["sent_s"] >= 0.5).sum())
    assert judged - 8 <= result.validity.requests <= judged  # the last were sent past the end


def test_closed_users_think_about_an_answer_from_when_it_left_the_stack(
    server: Server, tmp_path: Path
) -> None:
    """By the emulated machines' own clock where the answer tells it, else when it is there."""
    users, visits, until_s, left_s = 6, 30, 1.5, 0.04
    rng = np.random.default_rng(5)
    think_s = rng.exponential(0.1, users * visits)
    first_s = np.sort(rng.random(users)) * 0.2
    trace = tmp_path / "users.parquet"
    table = {
        "request_id": np.arange(users * visits),
        "intended_s": np.concatenate([first_s, np.full(users * (visits - 1), until_s)]),
        "operation": [*["list", "detail"] * (users * visits // 2)],
        "key": rng.integers(0, 100, users * visits),
        "user": np.tile(np.arange(users), visits),
    }
    pq.write_table(pa.table(table), trace)
    out = tmp_path / "out.parquet"
    result = run_load(
        trace,
        server.url,
        out,
        catalogue=Catalogue(),
        credentials=CREDENTIALS,
        run_id="test",
        users=Users(users, think_s),
    )
    rows = pq.read_table(out).to_pandas()
    assert result.complete
    assert result.validity.failed == result.validity.wrong_status == 0
    assert len(rows) == result.requests > 4 * users
    assert rows["intended_s"].max() < until_s
    for user in range(users):
        own = rows[rows["request_id"] % users == user]
        assert own["request_id"].tolist() == list(range(user, user + users * len(own), users))
        due_s, thought_s = own["intended_s"].to_numpy(), think_s[own["request_id"]][1:]
        answered_s = own["done_s"].to_numpy()
        # Lists tell it; whoever was sent later than that is told nothing that can be.
        told = (own["operation"] == "list") & (own["sent_s"] < due_s + left_s - 0.001)
        answered_s = np.where(told, due_s + left_s, answered_s)
        np.testing.assert_allclose(due_s[1:], answered_s[:-1] + thought_s, atol=2e-6)
        assert told.any() or user % 2
        assert (own["sent_s"].to_numpy() >= due_s).all()


def test_users_that_are_not_those_of_the_trace_are_refused(server: Server, tmp_path: Path) -> None:
    for users in (Users(7, np.zeros(100)), Users(10, np.zeros(90)), Users(10, np.full(100, -1.0))):
        with pytest.raises(InvalidTrace):
            offer(server, tmp_path, 100, 1, users=users)


def test_a_request_is_sent_again_after_silence_and_after_an_error_and_counts_from_its_first_time(
    server: Server, tmp_path: Path
) -> None:
    waits_s = np.tile([0.1, 0.05, 60.0], (20, 1))
    result, rows = offer(
        server, tmp_path, 40, 0.5, operation="search", timeout_s=2.0, retry_wait_s=waits_s
    )
    assert rows["error"].isna().all()
    assert (rows["status"] == 200).all()
    assert (rows["attempts"] == 3).all()  # the third retry was not needed
    assert (rows["latency_s"] >= 2.0 + 0.1 + 0.05).all()
    assert result.validity.failed == 0


def test_wrong_status_codes_make_a_run_invalid(server: Server, tmp_path: Path) -> None:
    result, rows = offer(server, tmp_path, 100, 2, operation="favourites")
    assert (rows["status"] == 404).all()
    assert result.validity.answered == 0
    assert result.validity.wrong_status == 200
    assert not result.validity.valid
    reasons = "; ".join(result.validity.reasons)
    assert "no request was answered as expected" in reasons
    assert "wrong status codes: 100.00%" in reasons
    assert result.locust["favourites"]["failures"] == 200


def test_more_load_than_one_generator_can_time_is_invalid(server: Server, tmp_path: Path) -> None:
    result, _ = offer(server, tmp_path, 6000, 1.5)
    assert not result.validity.valid
    assert "one generator gives trustworthy tails" in "; ".join(result.validity.reasons)


def test_a_busy_neighbour_makes_a_run_invalid(server: Server, tmp_path: Path) -> None:
    hogs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        result, _ = offer(server, tmp_path, 50, 2)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert result.validity.foreign_cpu_fraction > 0.5
    assert any(reason.startswith("foreign CPU") for reason in result.validity.reasons)


def test_nobody_listening_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StackUnreachable, match="is the stack up"):
        run_load(
            write_trace(tmp_path / "trace.parquet", 10, 1, "detail"),
            "http://127.0.0.1:9",
            tmp_path / "out.parquet",
            catalogue=Catalogue(),
            credentials=CREDENTIALS,
            run_id="test",
        )
    assert not (tmp_path / "out.parquet").exists()


WORKBENCH = """
import sys
from pathlib import Path
from stack.infra.catalogue import Catalogue
from stack.load.requests import Credentials
from stack.load.run import run_load
run_load(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), catalogue=Catalogue(), run_id="test",
         credentials=Credentials("a test secret of more than 32 characters"),
         progress=lambda _: print("progress", flush=True))
"""


def started_workbench(server: Server, folder: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A process that offers a minute of load, seen sending; and its pids with those it started."""
    trace = write_trace(folder / "trace.parquet", 50, 60, "detail")
    process = subprocess.Popen(
        [sys.executable, "-c", WORKBENCH, str(trace), server.url, str(folder / "out.parquet")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "progress\n"
    children = psutil.Process(process.pid).children(recursive=True)
    locusts = [child.pid for child in children if "locust" in " ".join(child.cmdline())]
    assert len(locusts) == 1
    return process, locusts


def wait_until_gone(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 20.0)[0])
    finally:
        os.close(descriptor)


def test_killing_the_workbench_leaves_no_generator(server: Server, tmp_path: Path) -> None:
    workbench, (locust,) = started_workbench(server, tmp_path)
    workbench.kill()
    workbench.communicate()
    assert wait_until_gone(locust)
    assert {path.name for path in tmp_path.iterdir()} == {"trace.parquet"}


def test_ctrl_c_keeps_what_was_measured_and_says_it_is_incomplete(
    server: Server, tmp_path: Path
) -> None:
    workbench, (locust,) = started_workbench(server, tmp_path)
    workbench.send_signal(signal.SIGINT)
    workbench.communicate(timeout=60)
    assert workbench.returncode not in (0, None)
    assert wait_until_gone(locust)
    result = read_result(tmp_path / "out.parquet")
    assert not result.complete
    assert "the run was cut short" in result.validity.reasons
    rows = pq.read_table(tmp_path / "out.parquet").to_pandas()
    assert 0 < len(rows) < 3000
    assert rows["intended_s"].max() < 60


def test_the_stored_result_is_plain_json(server: Server, tmp_path: Path) -> None:
    offer(server, tmp_path, 40, 1)
    stored = pq.read_schema(tmp_path / "out.parquet").metadata[b"headroom.load"]
    assert json.loads(stored)["schema_version"] == 1
