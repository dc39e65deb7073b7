"""Offer the cells of a run to the live stack and keep what was measured."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headroom.artefacts import (
    Conditions,
    Estimate,
    MeasuredCell,
    Prediction,
    Run,
    Summary,
    replacing,
)
from headroom.live import (
    by_component,
    catalogue_of,
    credentials_of,
    empty_cache,
    kind_of,
    pids_of,
)
from headroom.metrics import hit_ratios, latency_estimates
from headroom.proportion import wilson
from headroom.traces import Cell, cells_of, offered_order, trace_of, write_trace
from stack.load.run import LoadResult, run_load
from stack.load.validity import Validity
from stack.local import StackInfo

Say = Callable[[str], None]
EXTRA_TRIES = 2  # runs offered again in all, when some are INVALID; every one is kept and shown


def measure(run: Run, info: StackInfo, say: Say) -> Summary:
    """Offer every cell `repeats` times, in shuffled order, and store the summary.

    Needs the prediction to be there: its hash goes into the summary, so that anybody can see that
    it was made before. A cell of which no repeat is valid is offered again, `EXTRA_TRIES` times in
    all. Ctrl-C keeps what was measured: the summary is stored as incomplete, and another call goes
    on from there.
    """
    scenario = run.scenario
    prediction, sha256 = run.read(Prediction), run.sha256(Prediction)
    measured: list[MeasuredCell] = []
    if run.has(Summary) and (before := run.read(Summary)).prediction_sha256 == sha256:
        measured += before.cells
    done = {(cell.cell, cell.repeat) for cell in measured}
    complete = False
    order = [pair for pair in offered_order(scenario) if (pair[0].name, pair[1]) not in done]
    extra = EXTRA_TRIES
    try:
        for cell in cells_of(scenario):
            write_trace(run, cell.name, trace_of(scenario, cell))
        while order:
            cell, repeat = order.pop(0)
            measured.append(_offered(run, info, cell, repeat, say))
            if not order and extra:
                again = _never_valid(measured)[:extra]
                extra -= len(again)
                order = [(cell_named(run, name), repeat) for name, repeat in again]
        complete = True
    finally:
        summary = Summary(
            scenario_sha256=run.scenario_sha256,
            prediction_sha256=sha256,
            prediction_at=prediction.created_at,
            cells=tuple(measured),
            complete=complete,
        )
        if measured:
            _join(run)
            run.write(summary)
    return summary


def cell_named(run: Run, name: str) -> Cell:
    """The cell of that name."""
    return next(cell for cell in cells_of(run.scenario) if cell.name == name)


def _never_valid(measured: list[MeasuredCell]) -> list[tuple[str, int]]:
    """(cell, next repeat) of the cells without a valid repeat."""
    names = sorted({cell.cell for cell in measured})
    repeats = {name: [cell for cell in measured if cell.cell == name] for name in names}
    return [
        (name, max(cell.repeat for cell in cells) + 1)
        for name, cells in repeats.items()
        if not any(cell.conditions.valid for cell in cells)
    ]


def _offered(run: Run, info: StackInfo, cell: Cell, repeat: int, say: Say) -> MeasuredCell:
    scenario = run.scenario
    empty_cache(info)
    assert info.base_url is not None
    out = run.folder / "load" / f"{cell.name}-{repeat}.parquet"
    result = run_load(
        run.folder / "traces" / f"{cell.name}.parquet",
        info.base_url,
        out,
        catalogue=catalogue_of(scenario),
        credentials=credentials_of(info),
        run_id=f"{run.folder.name}-{cell.name}-{repeat}"[-64:].lstrip(".-"),
        warmup_s=cell.warmup_s,
        timeout_s=scenario.topology.api.timeout_s,
        pids_by_part=pids_of(info),
    )
    found = measured_cell(cell, repeat, result, out)
    p95 = found.metrics.get("p95_s")
    state = "valid" if found.conditions.valid else f"INVALID: {'; '.join(found.conditions.reasons)}"
    say(
        f"{cell.load_per_s:g} req/s, repeat {repeat + 1}: {found.requests:,} requests, "
        f"p95 {p95.value * 1000:.1f} ms, {state}"
        if p95
        else f"{cell.load_per_s:g} req/s, repeat {repeat + 1}: no answer, {state}"
    )
    return found


def measured_cell(cell: Cell, repeat: int, result: LoadResult, path: Path) -> MeasuredCell:
    """The figures of one load run; the warm-up is left out."""
    table = pq.read_table(path)
    table = table.filter(pc.greater_equal(table["intended_s"], cell.warmup_s))
    is_answered = np.asarray(
        pc.and_(pc.is_null(table["error"]), pc.less(pc.fill_null(table["status"], 599), 500))
    )
    latency_s = table["latency_s"].to_numpy()[is_answered]
    operation = np.array(table["operation"].to_pylist(), dtype=np.str_)
    cache = np.array(table["cache"].to_pylist(), dtype=np.str_)
    requests = len(table)
    metrics = latency_estimates(latency_s)
    metrics["throughput_per_s"] = Estimate.exact(is_answered.sum() / result.window_s)
    if requests:
        metrics["error_fraction"] = wilson(int((~is_answered).sum()), requests)
    metrics |= hit_ratios(operation, cache == "hit", np.isin(cache, ("hit", "miss")))
    metrics |= utilisations(result)
    return MeasuredCell(
        cell=cell.name,
        load_per_s=cell.load_per_s,
        repeat=repeat,
        started_at=result.started_at,
        finished_at=result.finished_at,
        requests=requests,
        metrics=metrics,
        conditions=conditions_of(result.validity),
    )


def conditions_of(validity: Validity) -> Conditions:
    """The stamp of a load run, as a run stores it."""
    return Conditions.model_validate(
        {name: getattr(validity, name) for name in Conditions.model_fields}
    )


def utilisations(result: LoadResult) -> dict[str, Estimate]:
    """Cores used by each component: of the API the mean of its replicas, else the sum.

    `utilisation.host` is the busy share of all cores, foreign work excluded and the load generator
    included, for it runs there too.
    """
    cores = {name: cpu_s / result.window_s for name, cpu_s in by_component(result.cpu_s).items()}
    host = sum(cores.values()) / (os.cpu_count() or 1)
    replicas = sum(kind_of(part) == "api" for part in result.cpu_s)
    cores["api"] = cores.get("api", 0.0) / max(1, replicas)
    return {f"utilisation.{name}": Estimate.exact(used) for name, used in cores.items()} | {
        "utilisation.host": Estimate.exact(host)
    }


def _join(run: Run) -> None:
    """All requests of all cells in `measurement.parquet`, with cell and repeat beside them."""
    tables = []
    for path in sorted((run.folder / "load").glob("*.parquet")):
        table = pq.read_table(path).replace_schema_metadata(None)
        cell, _, repeat = path.stem.rpartition("-")
        tables.append(
            table.append_column("cell", pa.array([cell] * len(table))).append_column(
                "repeat", pa.array([int(repeat)] * len(table))
            )
        )
    if tables:
        with replacing(run.folder / "measurement.parquet") as path:
            pq.write_table(pa.concat_tables(tables).unify_dictionaries(), path, compression="zstd")
