"""The measured figures of a run, with the time that requests spend at each component."""

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from headroom.artefacts import Estimate, Machine, Run, Summary
from headroom.diff.records import LoadFigures, RunFigures
from sim.replicate import batch_means_interval, mean_interval

TIMED = {"cache": "cache_s", "database": "db_s", "search": "search_s"}
BATCHES = 20
BATCHED_FROM = 10 * BATCHES  # requests; fewer are taken as independent of each other
LEAST_REQUESTS = 30


def figures_of(run: Run) -> RunFigures:
    """Every load of a run as it was offered, each time. Raises ArtefactError without a summary."""
    summary = run.read(Summary)
    found = []
    for cell in summary.cells:
        warmup_s = run.scenario.experiment.warmup_s
        times = component_times(run, cell.cell, cell.repeat, warmup_s)
        found.append(
            LoadFigures(
                load_per_s=cell.load_per_s,
                repeat=cell.repeat,
                valid=cell.conditions.valid,
                requests=cell.requests,
                metrics=cell.metrics | times,
            )
        )
    machine = run.read(Machine).sha256 if run.has(Machine) else ""
    return RunFigures(name=run.folder.name, machine=machine, loads=tuple(found))


def component_times(run: Run, cell: str, repeat: int, warmup_s: float) -> dict[str, Estimate]:
    """Mean seconds of a request at each component, as `time.<component>`; they add up to the mean.

    From the service's own clocks (Server-Timing): cache, database, search; what is left of the
    replica's time is `api`; what is left of the latency is `front`: load balancer, network, and
    waiting before a replica takes the request. Empty where a run keeps no requests.
    """
    path = run.folder / "load" / f"{cell}-{repeat}.parquet"
    if not path.is_file():
        return {}
    columns = ["intended_s", "latency_s", "error", "app_s", *TIMED.values()]
    table = pq.read_table(path, columns=columns)
    table = table.filter(
        pc.and_(
            pc.greater_equal(table["intended_s"], warmup_s),
            pc.and_(pc.is_null(table["error"]), pc.is_valid(table["app_s"])),
        )
    )
    if len(table) < LEAST_REQUESTS:
        return {}

    def seconds(name: str) -> NDArray[np.float64]:
        values: NDArray[np.float64] = table[name].to_numpy().astype(np.float64)
        return np.nan_to_num(values)

    lanes = {component: seconds(column) for component, column in TIMED.items()}
    inside = seconds("app_s")
    lanes["api"] = inside - np.sum(list(lanes.values()), axis=0)
    lanes["front"] = seconds("latency_s") - inside
    return {f"time.{name}": _mean(values) for name, values in lanes.items()}


def _mean(values: NDArray[np.float64]) -> Estimate:
    if len(values) >= BATCHED_FROM:
        found = batch_means_interval(values.tolist(), batches=BATCHES)
    else:
        found = mean_interval(values.tolist())
    return Estimate(value=found.estimate, low=found.low, high=found.high)
