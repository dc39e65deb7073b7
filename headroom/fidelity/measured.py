"""One cell offered to the emulated stack: every request's time, and what the gates counted."""

import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families

from headroom.artefacts import Conditions, Run
from headroom.errors import CalibrationError
from headroom.fidelity.cells import Cell
from headroom.fidelity.closed import users_of
from headroom.fidelity.jobs import Jobs, jobs_of, leaving_jobs
from headroom.fidelity.predicted import alike, asked_of, retry_wait_s
from headroom.fidelity.topologies import Topology
from headroom.live import (
    catalogue_of,
    credentials_of,
    empty_cache,
    fresh_balancer,
    kind_of,
    pids_of,
)
from headroom.measure import conditions_of
from headroom.traces import write_trace
from sim.workload import Trace
from stack.gates.addressed import run_id_with_seed
from stack.load.generator import Progress
from stack.load.run import MAX_IN_FLIGHT, LoadResult, run_load
from stack.load.validity import Limits
from stack.local import StackInfo

OVERRUNS_LIMIT = 0.01  # of the holds: more, and the machines are not those that were emulated
SCRAPE_S = 5.0
IDLE_S = 240.0


@dataclass(frozen=True)
class Requests:
    """What became of each request of a cell, in the order of its trace.

    Args:
        arrival_s: when it was to be sent; NaN: a closed user's who did not come to it.
        latency_s: from the intended time; NaN where nothing was answered.
        answered: with a status that is no server's error.
        hit, looked_up: of the cache.
        part_s: time at what was called, by part, NaN where it was not.
    """

    arrival_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    answered: NDArray[np.bool_]
    hit: NDArray[np.bool_]
    looked_up: NDArray[np.bool_]
    missed: NDArray[np.bool_]  # and read itself: those who waited for another's read are not in it
    attempts: NDArray[np.int64]
    part_s: dict[str, NDArray[np.float64]]
    end_s: float  # when the last answer was there


@dataclass(frozen=True)
class Counted:
    """What the gates counted during a cell, by machine."""

    visits: dict[str, float]
    held_s: dict[str, float]
    overruns: dict[str, float]
    waited_s: dict[str, float] = field(default_factory=dict)

    @property
    def overruns_fraction(self) -> float:
        """Holds that were shorter than the real call inside them."""
        visits = sum(self.visits.values())
        return sum(self.overruns.values()) / visits if visits else 0.0


@dataclass(frozen=True)
class Offered:
    """A cell, offered."""

    result: LoadResult
    requests: Requests
    counted: Counted
    conditions: Conditions
    jobs: Jobs | None = None  # that the requests left behind


def offered(
    topology: Topology,
    cell: Cell,
    trace: Trace,
    info: StackInfo,
    folder: Path,
    *,
    during: Callable[[Progress], None] | None = None,
    max_in_flight: int = MAX_IN_FLIGHT,
) -> Offered:
    """Offer a cell's requests to the running stack, with a cold cache.

    The load balancer begins anew, too. `during` is called about once a second meanwhile.
    """
    assert info.base_url is not None
    until_idle(info)
    empty_cache(info)
    fresh_balancer(info)
    asked = asked_of(cell, topology) if cell.users else None
    path = write_trace(Run(folder), cell.name, trace if asked is None else asked.requests)
    out = folder / f"{cell.name}.load.parquet"
    waits_s = retry_wait_s(topology, cell, len(trace))
    limits = Limits().dilated()
    if waits_s is not None:  # who gives up in the end is counted, and was predicted
        limits = replace(limits, failed_fraction=1.0)
    before = _counters(info)
    result = run_load(
        path,
        info.base_url,
        out,
        catalogue=catalogue_of(topology.scenario),
        credentials=credentials_of(info),
        run_id=run_id_with_seed(f"{topology.name}-{cell.name}", cell.seed),
        warmup_s=cell.warmup_s,
        timeout_s=topology.scenario.topology.api.timeout_s * topology.scenario.time.scale,
        pids_by_part=pids_of(info),
        limits=limits,
        is_punctual=True,
        max_in_flight=max_in_flight,
        progress=during,
        retry_wait_s=waits_s,
        users=None if asked is None else users_of(asked),
    )
    after = _counters(info)
    counted = Counted(*(_difference(before.get(n, {}), after.get(n, {})) for n in _COUNTERS))
    requests = read_requests(out, len(trace))
    left = requests.answered & trace.is_operation(*leaving_jobs(topology))
    jobs = jobs_of(topology, info, result, left, requests.end_s)
    return Offered(result, requests, counted, _judged(result, counted), jobs)


def _judged(result: LoadResult, counted: Counted) -> Conditions:
    conditions = conditions_of(result.validity)
    if counted.overruns_fraction <= OVERRUNS_LIMIT:
        return conditions
    reason = (
        f"real work outlasted {counted.overruns_fraction:.1%} of the holds, "
        f"limit {OVERRUNS_LIMIT:.0%}"
    )
    return conditions.model_copy(update={"valid": False, "reasons": (*conditions.reasons, reason)})


def read_requests(path: Path, requests: int) -> Requests:
    """The rows of a load run, of so many requests; those that were not sent stay empty."""
    table = pq.read_table(path).to_pandas()
    if len(table) < requests:
        table = table.set_index("request_id").reindex(range(requests))
        table["coalesced"] = table["coalesced"] == True  # noqa: E712 - empty is not true
        table["attempts"] = table["attempts"].fillna(1)
    error = table["error"].isna().to_numpy()
    status = table["status"].fillna(599).to_numpy()
    cache = table["cache"].astype(str).to_numpy()
    coalesced = table["coalesced"].to_numpy(dtype=bool)
    done_s = table["done_s"].to_numpy(dtype=float)
    return Requests(
        arrival_s=table["intended_s"].to_numpy(dtype=float),
        latency_s=table["latency_s"].to_numpy(dtype=float),
        answered=error & (status < 500),
        hit=cache == "hit",
        looked_up=np.isin(cache, ("hit", "miss")),
        attempts=table["attempts"].to_numpy(dtype=int),
        missed=(cache == "miss") & ~coalesced,
        part_s={
            name: table[f"{name}_s"].to_numpy(dtype=float)
            for name in ("cache", "db", "search", "app")
        },
        end_s=float(np.nanmax(done_s)) if np.isfinite(done_s).any() else 0.0,
    )


def until_idle(info: StackInfo) -> None:
    """Wait until nobody is on the way who was given up in an earlier cell."""
    deadline_s = time.monotonic() + IDLE_S
    while sum(_samples(info, "headroom_held_requests").get("headroom_held_requests", {}).values()):
        if time.monotonic() > deadline_s:
            raise CalibrationError(f"the stack still answers earlier requests after {IDLE_S:g} s")
        time.sleep(0.2)


_COUNTERS = (
    "headroom_held_visits_total",
    "headroom_held_seconds_total",
    "headroom_held_overruns_total",
    "headroom_held_wait_seconds_total",
)


def _counters(info: StackInfo) -> dict[str, dict[str, float]]:
    """Counters of the gates by machine, summed over the replicas."""
    return _samples(info, *_COUNTERS)


def _samples(info: StackInfo, *names: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for part in info.parts_of("api"):
        with urllib.request.urlopen(f"{part.url}/metrics", timeout=SCRAPE_S) as answer:  # noqa: S310 - of our own stack
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in names:
                    sums = found.setdefault(sample.name, {})
                    machine = sample.labels.get("machine", "")
                    sums[machine] = sums.get(machine, 0.0) + sample.value
    return found


def _difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {machine: value - before.get(machine, 0.0) for machine, value in after.items()}


def utilisations(counted: Counted, slots: dict[str, int], end_s: float) -> dict[str, float]:
    """Held seconds over slots and time, by machine; of those that are alike the mean."""
    groups: dict[str, list[float]] = {}
    for machine, held_s in counted.held_s.items():
        utilisation = held_s / (slots[kind_of(machine)] * end_s)
        groups.setdefault(alike(machine), []).append(utilisation)
    return {f"utilisation.{name}": float(np.mean(values)) for name, values in groups.items()}
