"""One load, offered once to a live stack: what a question needs that needs no whole run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headroom.artefacts import ComparedCell, MeasuredCell, Run
from headroom.live import catalogue_of, credentials_of, empty_cache, pids_of
from headroom.measure import measured_cell
from headroom.traces import Cell, write_trace
from sim.cache import replayed_hit_ratios
from sim.scenario import Scenario
from sim.workload import Trace, open_trace
from stack.load.run import run_load
from stack.local import StackInfo

TRIAL_STREAM = 20  # child of the experiment's seed, apart from those of a run's cells


@dataclass(frozen=True)
class Trial:
    """What was offered, and what was measured of it once the warm-up was over."""

    trace: Trace
    measured: MeasuredCell
    cpu_s: dict[str, float]  # of each part of the stack over the measured window

    def cpu_per_request_s(self, part: str) -> float:
        """CPU time that all processes of a part, such as `api`, took for one request."""
        used = sum(cpu for name, cpu in self.cpu_s.items() if name.split("-")[0] == part)
        return used / self.measured.requests


def offered(scenario: Scenario, load_per_s: float, duration_s: float) -> Trace:
    """The seeded requests of a trial: a pure function of its arguments, so known beforehand."""
    seed = np.random.SeedSequence(
        scenario.experiment.seed, spawn_key=(TRIAL_STREAM, round(load_per_s * 1000))
    )
    return open_trace(scenario.workload, load_per_s, duration_s, np.random.default_rng(seed))


def trial(
    scenario: Scenario,
    info: StackInfo,
    folder: Path,
    load_per_s: float,
    duration_s: float,
    *,
    warmup_s: float = 0.0,
) -> Trial:
    """Offer the scenario's mix at one load, open loop, from a Locust process, with a cold cache.

    Args:
        folder: where the trace and the times of all requests are kept.
        load_per_s: requests/s offered.
        duration_s: how long, warm-up included.
        warmup_s: from the start, sent but not judged.
    Returns: the seeded requests and what was measured; INVALID is stated in its conditions.
    """
    cell = Cell(f"trial-{load_per_s:g}-per-s", load_per_s, warmup_s, duration_s)
    trace = offered(scenario, load_per_s, duration_s)
    empty_cache(info)
    assert info.base_url is not None
    out = folder / f"{cell.name}.parquet"
    result = run_load(
        write_trace(Run(folder), cell.name, trace),
        info.base_url,
        out,
        catalogue=catalogue_of(scenario),
        credentials=credentials_of(info),
        run_id=cell.name,
        warmup_s=warmup_s,
        timeout_s=scenario.topology.api.timeout_s,
        pids_by_part=pids_of(info),
    )
    return Trial(trace, measured_cell(cell, 0, result, out), result.cpu_s)


def replayed(
    scenario: Scenario, load_per_s: float, duration_s: float, warmup_s: float = 0.0
) -> dict[str, float]:
    """Hit ratios that a trial will find, by replaying its requests through a cold TTL cache."""
    counts = replayed_hit_ratios(
        offered(scenario, load_per_s, duration_s),
        scenario.workload.catalogue,
        scenario.topology.cache,
        (warmup_s, duration_s),
    )
    hits, lookups = (sum(getattr(c, name) for c in counts.values()) for name in ("hits", "lookups"))
    ratios = {f"hit_ratio.{family}": found.fraction for family, found in counts.items()}
    return ratios | {"hit_ratio.all": hits / lookups if lookups else 0.0}


def beside(predicted: Mapping[str, float], measured: MeasuredCell) -> tuple[ComparedCell, ...]:
    """Predicted figures beside those that were measured, for the metrics that both have."""
    cells = []
    for metric, value in predicted.items():
        found = measured.metrics.get(metric)
        if found is not None:
            cells.append(
                ComparedCell(
                    metric=metric,
                    load_per_s=measured.load_per_s,
                    predicted=value,
                    predicted_low=value,
                    predicted_high=value,
                    measured=found.value,
                    measured_low=found.low,
                    measured_high=found.high,
                    error_fraction=value / found.value - 1 if found.value else None,
                    valid=measured.conditions.valid,
                )
            )
    return tuple(cells)
