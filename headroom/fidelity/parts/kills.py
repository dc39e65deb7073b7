"""Kill an API server or Redis, or empty the cache, under load: forecast beside what happened."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from headroom.artefacts import Artefact, Estimate, Record
from headroom.failover import FailoverLost
from headroom.fidelity.artefacts import read, stored
from headroom.fidelity.parts.breakers import Usual
from headroom.fidelity.parts.forecasts import (
    LOAD_PER_S,
    MAX_FAILS,
    RETURNS_AFTER_S,
    even_trace,
    forecast,
    in_window,
    scenario_of,
)
from headroom.fidelity.parts.rehearsal import loaded, started_s, usual_of, with_times
from headroom.live import empty_cache, running_stack
from sim.scenario import Scenario
from stack.load.generator import Progress
from stack.load.run import LoadResult
from stack.local import StackInfo, kill_part, start_part

Say = Callable[[str], None]
PARTS = ("api", "redis", "cache")
KILLS = 10
EARLIEST_S, LATEST_S = 3.5, 4.5  # of a kill, within the run
AHEAD_S = 1.5  # the clock for the kill is set when it is so near
LOG_WITHIN_S = 15.0  # the balancer writes its log in blocks


class StatedForecast(Artefact):
    """What was said of one kill before it.

    `starts_s`: how long Redis took to start at all times known then; none: its servers' pauses
    were spread evenly instead, as the first occasion had it.
    """

    part: str
    at_s: float
    outage_s: Estimate
    failed: Estimate
    slowed: Estimate
    starts_s: tuple[float, ...] = ()


class PartKill(Record):
    """One kill, and what was said of it."""

    member: str
    forecast: StatedForecast
    forecast_sha256: str
    requests: int
    outage_s: float
    failed: int
    slowed: int
    start_s: float | None = None  # of Redis, this time

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
            usual = usual_of(part, scenario, info, folder)
            for number in range(len(found), kills):
                this = seed * 1_000 + number
                known = replace(usual, starts_s=usual.starts_s + _starts_s(found))
                experiment = _Experiment(part, scenario, info, folder, this, known)
                kill = experiment.kill()
                if part == "redis":  # what it took this time is known the next time
                    usual = with_times(usual, experiment.rows())
                found.append(kill)
                say(line(kill))
                result = PartKills(
                    occasion=occasion, part=part, load_per_s=LOAD_PER_S, kills=tuple(found)
                )
                stored(path, result)
    return read(path, PartKills)


def _starts_s(kills: Sequence[PartKill]) -> tuple[float, ...]:
    return tuple(kill.start_s for kill in kills if kill.start_s is not None)


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
    usual: Usual
    asked_unix_s: float = field(default=0.0, init=False)  # for Redis to be started
    start_s: float | None = field(default=None, init=False)

    def kill(self) -> PartKill:
        """Say what will happen, let it happen under load, and put the part right again."""
        rng = np.random.default_rng(self.seed)
        name = f"{self.part}-{self.seed}"
        at_s = float(rng.uniform(EARLIEST_S, LATEST_S))
        trace = even_trace(self.scenario, self.seed)
        told = forecast(self.part, self.scenario, trace, at_s, self.seed, usual=self.usual)
        said = StatedForecast(
            part=self.part,
            at_s=at_s,
            outage_s=told.outage_s,
            failed=told.failed,
            slowed=told.slowed,
            starts_s=self.usual.starts_s,
        )
        sha256 = stored(self.folder / f"{name}.forecast.json", said)
        replicas = [part.name for part in self.info.parts_of("api")]
        member = str(rng.choice(replicas)) if self.part == "api" else self.part
        strike = _Strike(at_s, lambda: self._act(member))
        empty_cache(self.info)
        result = loaded(self.scenario, self.info, self.folder, name, trace, progress=strike)
        struck_s = strike.finished() - result.started_at.timestamp()
        if self.part == "api":
            start_part(self.info.folder, member)
        rows = self.rows()
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
            start_s=self.start_s,
        )

    def rows(self) -> Any:
        """Its requests, once it is done."""
        path = self.folder / f"{self.part}-{self.seed}.load.parquet"
        return pq.read_table(path).to_pandas()

    def _act(self, member: str) -> float:
        if self.part == "cache":
            empty_cache(self.info)
            return time.time()
        kill_part(self.info.folder, member)
        struck_unix_s = time.time()
        if self.part == "redis":
            time.sleep(RETURNS_AFTER_S)
            self.asked_unix_s = time.time()
            self.start_s = started_s(self.info, member)
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
            return self._past_redis(rows[asked], self.asked_unix_s - start_unix_s)
        after = in_window(rows["intended_s"].to_numpy(dtype=float), struck_s)
        return 0.0, int((asked & after & (cache == "miss")).sum())

    def _past_redis(self, lookups: Any, asked_s: float) -> tuple[float, int]:
        """From its return to the last look-up past it, and how many there were.

        It is back when it took a connection of ours or answered a server, whichever was first: on
        a busy machine we may come late.
        """
        assert self.start_s is not None
        past = lookups["cache"].astype(str) == "none"
        answered = lookups["done_s"][~past & (lookups["sent_s"] > asked_s)]
        self.start_s = min(self.start_s, float(answered.min()) - asked_s)
        back_s = asked_s + self.start_s
        # By when they were sent: an answer from the database may be slow for its own reasons.
        sent_s = lookups["sent_s"][past]
        return (float(sent_s.max()) - back_s if len(sent_s) else 0.0), len(sent_s)


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
