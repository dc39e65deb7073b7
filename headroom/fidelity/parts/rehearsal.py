"""What is seen of a stack before its first kill: usual times, and how long Redis takes to start."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from headroom.artefacts import Run
from headroom.failover import FailoverLost
from headroom.fidelity.parts.breakers import Usual
from headroom.fidelity.parts.forecasts import LENGTH_S, LOAD_PER_S, even_trace
from headroom.live import catalogue_of, credentials_of, pids_of
from headroom.traces import write_trace
from sim.scenario import Scenario
from sim.workload import Trace
from stack.load.generator import Progress
from stack.load.run import LoadResult, run_load
from stack.local import StackInfo, kill_part, start_part, status

USUAL_S, USUAL_SEED = 3.0, 0  # of load without a kill
STARTS = 6  # of Redis, in a load of their own
STARTS_S, PAUSE_S = 6.0, 0.3
LEAST_REFUSED_S = 2e-4  # who leaves Redis alone asks nobody, and takes some microseconds
BACK_WITHIN_S, LOOKS_EVERY_S = 30.0, 0.005


def usual_of(part: str, scenario: Scenario, info: StackInfo, folder: Path) -> Usual:
    """Times of a running stack; for Redis also those of its starts, while a load goes on."""
    if part == "cache":
        return Usual()  # its forecast needs none
    loaded(scenario, info, folder, "usual", _first(even_trace(scenario, USUAL_SEED), USUAL_S))
    rows = pq.read_table(folder / "usual.load.parquet").to_pandas()
    found = with_times(Usual(latency_s=float(rows["latency_s"].mean())), rows)
    if part != "redis":
        return found
    rehearsal = _Rehearsal(info)
    trace = _first(even_trace(scenario, USUAL_SEED), STARTS_S)
    loaded(scenario, info, folder, "starts", trace, progress=rehearsal)
    rows = pq.read_table(folder / "starts.load.parquet").to_pandas()
    return with_times(rehearsal.known_to(found), rows)


def with_times(usual: Usual, rows: Any) -> Usual:
    """With the times of these requests, too: to their look-ups, and of those that were refused."""
    good = rows[rows["status"].between(200, 299)]
    cache_s = good["cache_s"].fillna(0.0)
    before_s = (good["latency_s"] - cache_s - good["db_s"].fillna(0.0)) / 2  # as much after it
    is_lookup = good["operation"].isin(["list", "favourites"])
    is_refused = is_lookup & (good["cache"].astype(str) == "none") & (cache_s > LEAST_REFUSED_S)
    return replace(
        usual,
        before_s=(*usual.before_s, *before_s.clip(lower=0.0).tolist()),
        refused_s=(*usual.refused_s, *cache_s[is_refused].tolist()),
    )


def loaded(
    scenario: Scenario,
    info: StackInfo,
    folder: Path,
    name: str,
    trace: Trace,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> LoadResult:
    """Offer the requests; their rows are in `<name>.load.parquet`."""
    assert info.base_url is not None
    return run_load(
        write_trace(Run(folder), name, trace),
        info.base_url,
        folder / f"{name}.load.parquet",
        catalogue=catalogue_of(scenario),
        credentials=credentials_of(info),
        run_id=name,
        timeout_s=LENGTH_S,
        pids_by_part=pids_of(info),
        progress=progress,
    )


def started_s(info: StackInfo, member: str) -> float:
    """Start a dead part; seconds until it takes connections. Returns once it is ready."""
    asked_s = time.monotonic()
    starter = threading.Thread(target=start_part, args=(info.folder, member))
    starter.start()
    try:
        _taking_connections(info.part(member).port)
        return time.monotonic() - asked_s
    finally:
        starter.join()


@dataclass
class _Rehearsal:
    """Kills Redis and starts it again, once a load is under way."""

    info: StackInfo
    kills_s: list[float] = field(default_factory=list, init=False)
    starts_s: list[float] = field(default_factory=list, init=False)
    thread: threading.Thread | None = field(default=None, init=False)

    def __call__(self, progress: Progress) -> None:
        if self.thread is None and progress.sent:
            self.thread = threading.Thread(target=self._play)
            self.thread.start()

    def _play(self) -> None:
        for _ in range(STARTS):
            began_s = time.monotonic()
            kill_part(self.info.folder, "redis")
            self.kills_s.append(time.monotonic() - began_s)
            while status(self.info.folder).part("redis").state == "ready":
                time.sleep(LOOKS_EVERY_S)
            time.sleep(PAUSE_S)
            self.starts_s.append(started_s(self.info, "redis"))

    def known_to(self, usual: Usual) -> Usual:
        """With the times of the starts, once all are made."""
        if self.thread is not None:
            self.thread.join()
        if len(self.starts_s) < STARTS:
            raise FailoverLost(f"Redis was started {len(self.starts_s)} of {STARTS} times")
        return replace(usual, kills_s=tuple(self.kills_s), starts_s=tuple(self.starts_s))


def _first(trace: Trace, seconds: float) -> Trace:
    """The requests of its first seconds."""
    count = int(seconds * LOAD_PER_S)
    names = ("arrival_s", "operation", "key", "user")
    return replace(trace, **{name: getattr(trace, name)[:count] for name in names})


def _taking_connections(port: int | None) -> None:
    """Return when a server on this machine takes connections again."""
    deadline_s = time.monotonic() + BACK_WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(("127.0.0.1", port or 0), timeout=BACK_WITHIN_S).close()
            return
        except ConnectionRefusedError:
            time.sleep(LOOKS_EVERY_S)
    raise FailoverLost(f"nobody takes connections at port {port} after {BACK_WITHIN_S:g} s")
