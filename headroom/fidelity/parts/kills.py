"""Kill an API server or Redis, or empty the cache, under load: forecast beside what happened."""

import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from headroom.artefacts import Artefact, Estimate, Record, Run
from headroom.failover import FailoverLost
from headroom.fidelity.artefacts import read, stored
from headroom.fidelity.parts.forecasts import (
    LENGTH_S,
    LOAD_PER_S,
    MAX_FAILS,
    RETURNS_AFTER_S,
    even_trace,
    forecast,
    in_window,
    scenario_of,
)
from headroom.live import catalogue_of, credentials_of, empty_cache, pids_of, running_stack
from headroom.traces import write_trace
from sim.scenario import Scenario
from sim.workload import Trace
from stack.load.generator import Progress
from stack.load.run import LoadResult, run_load
from stack.local import StackInfo, kill_part, start_part

Say = Callable[[str], None]
PARTS = ("api", "redis", "cache")
KILLS = 10
EARLIEST_S, LATEST_S = 3.5, 4.5  # of a kill, within the run
AHEAD_S = 1.5  # the clock for the kill is set when it is so near
USUAL_S, USUAL_SEED = 3.0, 0  # of load without a kill, for the usual latency
BACK_WITHIN_S, LOOKS_EVERY_S = 30.0, 0.005
LOG_WITHIN_S = 15.0  # the balancer writes its log in blocks


class StatedForecast(Artefact):
    """What was said of one kill before it."""

    part: str
    at_s: float
    outage_s: Estimate
    failed: Estimate
    slowed: Estimate


class PartKill(Record):
    """One kill, and what was said of it."""

    member: str
    forecast: StatedForecast
    forecast_sha256: str
    requests: int
    outage_s: float
    failed: int
    slowed: int

    @property
    def inside(self) -> tuple[bool, bool, bool]:
        """Whether outage, failed and slowed requests are in the range that was said."""
        said = self.forecast
        return (
            _in(said.outage_s, self.outage_s),
            _in(said.failed, self.failed),
            _in(said.slowed, self.slowed),
        )


class PartKills(Artefact):
    """All kills of one part on an occasion."""

    occasion: str
    part: str
    load_per_s: float
    kills: tuple[PartKill, ...]


def _in(said: Estimate, seen: float) -> bool:
    return said.low - 1e-9 <= seen <= said.high + 1e-9


def part_kills(
    part: str, folder: Path, occasion: str, say: Say, *, kills: int = KILLS, seed: int = 1
) -> PartKills:
    """Forecast a kill, do it under load, and so on; stores each. Those that are there are kept."""
    scenario = scenario_of(part)
    found: list[PartKill] = []
    path = folder / f"{part}.json"
    if path.is_file():
        found += read(path, PartKills).kills
    if len(found) < kills:
        with running_stack(scenario, lambda _line: None, name=f"failover-{part}") as info:
            latency_s = _usual_latency_s(scenario, info, folder) if part == "api" else 0.0
            for number in range(len(found), kills):
                this = seed * 1_000 + number
                kill = _Experiment(part, scenario, info, folder, this, latency_s).kill()
                found.append(kill)
                say(line(kill))
                result = PartKills(
                    occasion=occasion, part=part, load_per_s=LOAD_PER_S, kills=tuple(found)
                )
                stored(path, result)
    return read(path, PartKills)


def line(kill: PartKill) -> str:
    """One kill in one line."""
    said = kill.forecast
    return (
        f"{kill.member}: {kill.outage_s:.2f} s (said {said.outage_s.low:.2f} to "
        f"{said.outage_s.high:.2f}), {kill.failed} failed of {kill.requests} (said "
        f"{said.failed.value:.0f}), {kill.slowed} took a longer way (said {said.slowed.low:.0f} to "
        f"{said.slowed.high:.0f})"
    )


@dataclass
class _Strike:
    """Does it once, when its time has come, while the load goes on."""

    at_s: float
    act: Callable[[], float]  # when it was done, s since 1970
    struck_unix_s: float = 0.0
    timer: threading.Timer | None = field(default=None, init=False)

    def __call__(self, progress: Progress) -> None:
        if self.timer is None and progress.elapsed_s >= self.at_s - AHEAD_S:
            self.timer = threading.Timer(max(0.0, self.at_s - progress.elapsed_s), self._strike)
            self.timer.start()

    def _strike(self) -> None:
        self.struck_unix_s = self.act()

    def finished(self) -> float:
        """When it struck, after it has."""
        if self.timer is None:
            raise FailoverLost("the load ended before the kill")
        self.timer.join()
        if not self.struck_unix_s:
            raise FailoverLost("the kill failed: the part may not have been there")
        return self.struck_unix_s


@dataclass
class _Experiment:
    """One kill on a running stack."""

    part: str
    scenario: Scenario
    info: StackInfo
    folder: Path
    seed: int
    latency_s: float  # usual one, seen before the first kill
    back_unix_s: float = field(default=0.0, init=False)

    def kill(self) -> PartKill:
        """Say what will happen, let it happen under load, and put the part right again."""
        rng = np.random.default_rng(self.seed)
        name = f"{self.part}-{self.seed}"
        at_s = float(rng.uniform(EARLIEST_S, LATEST_S))
        trace = even_trace(self.scenario, self.seed)
        told = forecast(self.part, self.scenario, trace, at_s, self.seed, latency_s=self.latency_s)
        said = StatedForecast(
            part=self.part,
            at_s=at_s,
            outage_s=told.outage_s,
            failed=told.failed,
            slowed=told.slowed,
        )
        sha256 = stored(self.folder / f"{name}.forecast.json", said)
        replicas = [part.name for part in self.info.parts_of("api")]
        member = str(rng.choice(replicas)) if self.part == "api" else self.part
        strike = _Strike(at_s, lambda: self._act(member))
        empty_cache(self.info)
        out = self.folder / f"{name}.load.parquet"
        result = loaded(self.scenario, self.info, self.folder, name, trace, progress=strike)
        struck_s = strike.finished() - result.started_at.timestamp()
        if self.part == "api":
            start_part(self.info.folder, member)
        rows = pq.read_table(out).to_pandas()
        is_good = rows["status"].between(200, 299).to_numpy()
        outage_s, slowed = self._seen(rows, result, struck_s)
        return PartKill(
            member=member,
            forecast=said,
            forecast_sha256=sha256,
            requests=len(rows),
            outage_s=outage_s,
            failed=int((~is_good).sum()),
            slowed=slowed,
        )

    def _act(self, member: str) -> float:
        if self.part == "cache":
            empty_cache(self.info)
            return time.time()
        kill_part(self.info.folder, member)
        struck_unix_s = time.time()
        if self.part == "redis":
            time.sleep(RETURNS_AFTER_S)
            starter = threading.Thread(target=start_part, args=(self.info.folder, member))
            starter.start()
            self.back_unix_s = _taking_connections(self.info.part(member).port)
            starter.join()
        return struck_unix_s

    def _seen(self, rows: Any, result: LoadResult, struck_s: float) -> tuple[float, int]:
        """How long it lasted, and how many took a longer way."""
        start_unix_s = result.started_at.timestamp()
        if self.part == "api":
            tries = _tried_twice(self.info.access_log, start_unix_s, len(rows))
            later_s = sorted(t - start_unix_s - struck_s for t in tries)
            return (later_s[min(len(later_s), MAX_FAILS) - 1] if later_s else 0.0), len(later_s)
        asked = rows["operation"].isin(["list", "favourites"]).to_numpy()
        cache = rows["cache"].astype(str).to_numpy()
        if self.part == "redis":
            # By when they were sent: an answer from the database may be slow for its own reasons.
            past = rows["sent_s"].to_numpy(dtype=float)[asked & (cache == "none")]
            back_s = self.back_unix_s - start_unix_s
            return (float(past.max()) - back_s if past.size else 0.0), int(past.size)
        after = in_window(rows["intended_s"].to_numpy(dtype=float), struck_s)
        return 0.0, int((asked & after & (cache == "miss")).sum())


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


def _usual_latency_s(scenario: Scenario, info: StackInfo, folder: Path) -> float:
    """Of a request while all parts live, mean."""
    trace = even_trace(scenario, USUAL_SEED)
    count = int(USUAL_S * LOAD_PER_S)
    few = replace(
        trace,
        **{
            name: getattr(trace, name)[:count] for name in ("arrival_s", "operation", "key", "user")
        },
    )
    loaded(scenario, info, folder, "usual", few)
    rows = pq.read_table(folder / "usual.load.parquet").to_pandas()
    return float(rows["latency_s"].mean())


def _taking_connections(port: int | None) -> float:
    """When a server on this machine takes connections again, s since 1970."""
    deadline_s = time.monotonic() + BACK_WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(("127.0.0.1", port or 0), timeout=BACK_WITHIN_S).close()
            return time.time()
        except ConnectionRefusedError:
            time.sleep(LOOKS_EVERY_S)
    raise FailoverLost(f"nobody takes connections at port {port} after {BACK_WITHIN_S:g} s")


def _tried_twice(log: Path, since_unix_s: float, requests: int) -> list[float]:
    """When those requests of a run came that the balancer took to a second server."""
    deadline_s = time.monotonic() + LOG_WITHIN_S
    while True:
        text = log.read_text(encoding="utf-8", errors="replace")
        complete = text[: text.rfind("\n") + 1].splitlines()
        found = [json.loads(one) for one in complete[-4 * requests :]]
        mine = [one for one in found if one["epoch_s"] >= since_unix_s]
        if len(mine) >= requests or time.monotonic() > deadline_s:
            # When they came: who is dead refuses at once, and the second try takes its own time.
            return [one["epoch_s"] - one["request_s"] for one in mine if "," in one["upstream"]]
        time.sleep(0.1)
