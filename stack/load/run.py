"""Offer a trace to a stack from a process of its own, and stamp what was measured."""

import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from stack.infra.catalogue import Catalogue
from stack.load.answer import CACHE_OUTCOMES
from stack.load.errors import GeneratorFailed, InvalidTrace, LoadError, StackUnreachable
from stack.load.generator import GENERATOR, Generator, Offered, Progress
from stack.load.plan import DROPPED, ERRORS, UNSENT, journal
from stack.load.requests import Credentials, RequestBook, address_of
from stack.load.trace import RequestTrace, Users, plan_of, read_trace
from stack.load.validity import Limits, Validity, Window, judge
from stack.observe.cpu import difference
from stack.observe.speed import machine_speed_per_s

MAX_IN_FLIGHT = 2_000
_METADATA = b"headroom.load"
_RUN_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


class LoadResult(BaseModel):
    """What one run measured; also stored inside its parquet file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_version: Literal[1] = 1
    run_id: str
    started_at: datetime  # when the first request's time began to count
    finished_at: datetime
    warmup_s: float
    window_s: float  # from the end of the warm-up to the last intended time
    requests: int  # rows of the file, warm-up included
    complete: bool
    cpu_s: dict[str, float]  # over the window, by part; the generator is "generator"
    ended_pids: tuple[int, ...]  # processes of the stack that ended during the window
    locust: dict[str, Any]  # Locust's own statistics by operation, warm-up included
    validity: Validity


def run_load(
    trace_path: Path,
    base_url: str,
    out_path: Path,
    *,
    catalogue: Catalogue,
    credentials: Credentials,
    run_id: str,
    warmup_s: float = 0.0,
    timeout_s: float = 10.0,
    pids_by_part: Mapping[str, Iterable[int]] | None = None,
    limits: Limits | None = None,
    is_punctual: bool = False,
    max_in_flight: int = MAX_IN_FLIGHT,
    is_closed: bool = False,
    retry_wait_s: NDArray[np.float64] | None = None,
    users: Users | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> LoadResult:
    """Send the trace, open loop, and write one row per request to `out_path`.

    Args:
        trace_path: parquet with request_id, intended_s (from 0), operation, key and user.
        base_url: http://host:port of the load balancer.
        out_path: parquet to write, at once; a file that is there is replaced.
        catalogue: what is stored; must be the one that was seeded.
        credentials: to speak for any user.
        run_id: letters, digits, `.` and `-`; request n carries `X-Request-Id: <run_id>-n`.
        warmup_s: requests intended before it are sent and written, but not judged.
        timeout_s: an answer later than this after sending counts as none.
        pids_by_part: processes of the stack, so that others' CPU can be told from theirs.
        limits: what a valid run keeps to.
        is_punctual: send in real time, where that is allowed: for emulated machines.
        max_in_flight: requests on their way at once; what is due beyond them is dropped.
        is_closed: to saturate a stack: always so many are on their way, for of a trace that is due
            too fast to be kept up with the next is sent when one is answered, until the trace's
            last time. What was not sent by then has no row.
        retry_wait_s: [request, retry] wait before each retry of a request that was not answered, or
            with a server error; None: there are no retries. A time limit is of one attempt.
        users: closed users, who ask, wait and think; None: the trace tells when all is due. What
            was not sent by its last time has no row; `intended_s` of a row is when the user had
            thought.
        progress: called about once a second.
    Returns: the result, stamped VALID or INVALID with reasons.
    Raises: InvalidTrace, StackUnreachable; GeneratorFailed when the generator died. That, and
        KeyboardInterrupt, after what was measured so far has been written, marked incomplete.
    """
    host, port = address_of(base_url)
    trace = read_trace(trace_path)
    last_s = float(trace.intended_s[-1])
    if not 0.0 <= warmup_s < last_s:
        raise InvalidTrace(what="warmup_s", value=warmup_s, allowed=f"0 to less than {last_s:g} s")
    if not _RUN_ID.fullmatch(run_id):
        raise InvalidTrace(what="run_id", value=run_id, allowed=_RUN_ID.pattern)
    if users is not None:
        users.check(len(trace))
    book = RequestBook(base_url, catalogue, credentials, run_id)
    address = (_resolved(base_url, host, port), port)
    plan = plan_of(
        trace,
        book,
        address,
        timeout_s=timeout_s,
        max_in_flight=max_in_flight,
        is_punctual=is_punctual,
        is_closed=is_closed,
        retry_wait_s=retry_wait_s,
        users=users,
    )
    patience_s = timeout_s  # from a request's time to its end
    if retry_wait_s is not None and retry_wait_s.size:
        patience_s += float((retry_wait_s + timeout_s).sum(axis=1).max())
    with tempfile.TemporaryFile() as plan_file, tempfile.TemporaryFile() as journal_file:
        plan.write(_binary(plan_file))
        rows = journal(_binary(journal_file), len(plan))
        speed_before_per_s = machine_speed_per_s()
        generator = Generator(
            plan_file.fileno(),
            journal_file.fileno(),
            base_url=base_url,
            last_s=last_s,
            warmup_s=warmup_s,
            timeout_s=patience_s,
            pids_by_part=pids_by_part or {},
            progress=progress,
        )
        failure: BaseException | None = None
        try:
            offered = generator.run()
        except (KeyboardInterrupt, GeneratorFailed) as error:
            failure = error
            offered = generator.offered()
        result = _result(
            trace,
            rows,
            offered,
            run_id=run_id,
            warmup_s=warmup_s,
            speeds_per_s=(speed_before_per_s, machine_speed_per_s()),
            limits=limits or Limits(),
            is_closed=is_closed,
            has_users=users is not None,
            expected_status=np.array(plan.expected_status, np.int16)[plan.operation],
        )
        due_s = trace.intended_s if users is None else np.array(rows["due_s"])
        _write(out_path, trace, rows, offered, result, due_s=due_s)
    if failure is not None:
        raise failure
    return result


def read_result(path: Path) -> LoadResult:
    """The result stored inside a file that `run_load` wrote."""
    stored = (pq.read_schema(path).metadata or {}).get(_METADATA)
    if stored is None:
        raise LoadError(f"{path} was not written by a load run")
    return LoadResult.model_validate_json(stored)


def _result(
    trace: RequestTrace,
    rows: NDArray[np.void],
    offered: Offered,
    *,
    run_id: str,
    warmup_s: float,
    speeds_per_s: tuple[float, float],
    limits: Limits,
    expected_status: NDArray[np.int16],
    is_closed: bool,
    has_users: bool,
) -> LoadResult:
    end_s = float(trace.intended_s[-1]) if offered.complete else offered.elapsed_s
    # A saturating load sends when it can: there the time that counts is when it did. Users who
    # think send when they have: rows that were not sent were never due.
    due_s = trace.intended_s
    if is_closed or has_users:
        counts_s = rows["sent_s"] if is_closed else rows["due_s"]
        due_s = np.where(rows["end"] != UNSENT, counts_s, -1.0)
    inside = (due_s >= warmup_s) & (due_s <= end_s)
    use = difference(offered.before, offered.after)
    window = Window(due_s[inside], rows[inside], expected_status[inside], warmup_s, end_s)
    validity = judge(
        window,
        use,
        generator=GENERATOR,
        speeds_per_s=speeds_per_s,
        complete=offered.complete,
        limits=limits,
    )
    return LoadResult(
        run_id=run_id,
        started_at=datetime.fromtimestamp(offered.started_unix_s, UTC),
        finished_at=datetime.now(UTC),
        warmup_s=warmup_s,
        window_s=max(0.0, end_s - warmup_s),
        requests=int((rows["end"] != UNSENT).sum()),
        complete=offered.complete,
        cpu_s=dict(use.cpu_s),
        ended_pids=use.ended,
        locust=offered.locust,
        validity=validity,
    )


def _write(
    path: Path,
    trace: RequestTrace,
    rows: NDArray[np.void],
    offered: Offered,
    result: LoadResult,
    *,
    due_s: NDArray[np.float64],
) -> None:
    """One row per request that was due, in order; empty where nothing is known."""
    kept = np.flatnonzero(rows["end"] != UNSENT)
    rows = rows[kept]
    answered = rows["status"] > 0
    sent_s = np.where(rows["end"] == DROPPED, np.nan, rows["sent_s"])
    intended_s = due_s[kept]
    columns = {
        "request_id": pa.array(trace.request_id[kept]),
        "operation": _named(trace.operation[kept], [str(name) for name in trace.operations]),
        "intended_s": pa.array(intended_s),
        "sent_s": _known(sent_s),
        "done_s": _known(rows["done_s"]),
        "latency_s": _known(rows["done_s"] - intended_s),
        "status": pa.array(rows["status"], mask=~answered),
        "cache": _named(rows["cache"], list(CACHE_OUTCOMES)),
        "coalesced": pa.array(rows["coalesced"]),
        "attempts": pa.array(rows["attempts"]),
        "replica": _named(rows["replica"], offered.replicas),
        "bytes": pa.array(rows["bytes"]),
        "body_crc32": pa.array(rows["body_crc32"]),
        **{name: _known(rows[name]) for name in ("cache_s", "db_s", "search_s", "app_s")},
        "error": _named(rows["end"], [name or "" for name in ERRORS], empty=""),
    }
    table = pa.table(columns).replace_schema_metadata(
        {_METADATA: result.model_dump_json().encode()}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    try:
        pq.write_table(table, draft, compression="zstd")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _known(values: NDArray[Any]) -> Any:
    return pa.array(values, from_pandas=True)  # NaN becomes an empty value


def _named(indices: NDArray[Any], names: list[str], *, empty: str | None = None) -> Any:
    unnamed = indices < 0
    if empty is not None:
        unnamed |= np.isin(indices, [i for i, name in enumerate(names) if name == empty])
    codes = pa.array(indices.astype(np.int32), mask=unnamed)
    return pa.DictionaryArray.from_arrays(codes, pa.array(names, pa.string()))


def _resolved(base_url: str, host: str, port: int) -> str:
    """The IPv4 address, once somebody there has taken a connection."""
    try:
        with socket.create_connection((host, port), timeout=5.0) as connection:
            return str(connection.getpeername()[0])
    except OSError as error:
        raise StackUnreachable(base_url, error.strerror or str(error)) from error


def _binary(file: Any) -> BinaryIO:
    return file  # type: ignore[no-any-return] # the stubs type a temporary file as a wrapper


if sys.platform != "linux":  # /proc, timerfd, parent-death signal
    raise ImportError(f"load can only be offered from Linux, not from {os.uname().sysname}")
