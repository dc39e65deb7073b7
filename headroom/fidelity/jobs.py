"""The jobs that a cell's requests left behind: how long each took, as the workers' logs tell."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headroom.errors import CalibrationError
from headroom.fidelity.topologies import Topology
from sim.scenario import Operation
from stack.load.run import LoadResult
from stack.local import StackInfo

ENDED_S = 240.0  # within which the last job of a cell has ended
LOOK_S = 0.2
_HELD = re.compile(r"held: (\d+\.\d+) (\d+\.\d+) (\d+\.\d+)")


@dataclass(frozen=True)
class Jobs:
    """What became of the job of each request of a cell.

    Args:
        took_s: from when it was asked for to its end; NaN: there is none, or it ended after the
            last answer.
        busy_s: of all workers together, up to the last answer.
        slots: of all workers.
        end_s: when the last answer was there.
    """

    took_s: NDArray[np.float64]
    busy_s: float
    slots: int
    end_s: float

    @property
    def utilisation(self) -> float:
        """Busy share of the workers."""
        return self.busy_s / (self.slots * self.end_s)


def leaving_jobs(topology: Topology) -> tuple[Operation, ...]:
    """The operations of the mix that leave a job behind."""
    worker = topology.scenario.topology.worker
    mix = topology.scenario.workload.mix
    return () if worker is None else tuple(each for each in worker.jobs if mix.get(each))


def jobs_of(
    topology: Topology,
    info: StackInfo,
    result: LoadResult,
    asked: NDArray[np.bool_],
    end_s: float,
) -> Jobs | None:
    """The jobs of a run, once all have ended; None where requests leave none behind.

    Args:
        asked: which requests were answered that leave one.
        end_s: from the run's start to its last answer.
    Raises: CalibrationError when some job does not end.
    """
    worker = topology.scenario.topology.worker
    if worker is None or not leaving_jobs(topology):
        return None
    began_s = result.started_at.timestamp() - (time.time() - time.monotonic())
    took_s, busy_s = np.full(asked.size, np.nan), 0.0
    for request, (asked_s, start_s, ended_s) in _all_held(info, result.run_id, asked).items():
        last_s = began_s + end_s
        busy_s += max(0.0, min(ended_s, last_s) - start_s)
        if ended_s <= last_s:
            took_s[request] = ended_s - asked_s
    return Jobs(took_s, busy_s, worker.replicas, end_s)


def job_figures(took_s: NDArray[np.float64]) -> dict[str, float]:
    """Mean and p95 of jobs; none without jobs that have ended."""
    known_s = took_s[np.isfinite(took_s)]
    if not known_s.size:
        return {}
    return {"job_mean_s": float(known_s.mean()), "job_p95_s": float(np.quantile(known_s, 0.95))}


Times = tuple[float, float, float]  # asked for, started, ended


def _all_held(info: StackInfo, run_id: str, asked: NDArray[np.bool_]) -> dict[int, Times]:
    deadline_s = time.monotonic() + ENDED_S
    logs = [part.log for part in info.parts_of("worker")]
    while True:
        found = {number: times for log in logs for number, times in held_in(log, run_id)}
        missing = set(np.flatnonzero(asked).tolist()) - found.keys()
        if not missing:
            return found
        if time.monotonic() > deadline_s:
            raise CalibrationError(f"{len(missing)} jobs of {run_id} did not end in {ENDED_S:g} s")
        time.sleep(LOOK_S)


def held_in(log: Path, run_id: str) -> Iterator[tuple[int, Times]]:
    """The held jobs of one run that a worker's log tells of, by request."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if run_id not in line or "held: " not in line:
            continue
        entry = json.loads(line)
        told = _HELD.fullmatch(entry["message"])
        run, _, number = entry["request_id"].rpartition("-")
        if told is not None and run == run_id:
            asked_s, start_s, ended_s = map(float, told.groups())
            yield int(number), (asked_s, start_s, ended_s)
