"""The evidence of a run of a report, as far as it goes: no machine's visits and waits are counted.

Native times drift with the machine by factors, so the limits are wide, and a run cannot tell some
faults from others; `CANNOT_TELL` says which.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headroom.artefacts import Calibration, MeasuredCell, PredictedCell, Prediction, Run, Summary
from headroom.demands import Target, stack_model_at
from headroom.diagnose.entries import Lookups, lives_of
from headroom.diagnose.limits import Limits
from headroom.diagnose.records import EntryLives, Evidence, Figure, Measure
from headroom.measure import cell_named
from headroom.traces import trace_of
from sim.kernel import simulate
from sim.model import CacheOutcome
from sim.scenario import FAMILY_OF, Operation, Scenario
from stack.load.validity import Limits as RunLimits

CANNOT_TELL = (
    "fewer slots, a slow hop and a slow disk: all are longer waiting here",
    "a lost index: it shows as a slower database, if at all",
    "retries by the load balancer: the replicas' own counts are not kept",
)
# A day of a shared machine moves its CPU times by a factor of two and means of latency by more
# (docs/fidelity.md); ratios and counts do not move with it.
LEAST_CORES = 0.05  # more than predicted: less is the share of a timer
NATIVE_FLOORS: Mapping[Measure, float] = {
    "dropped": 0.005,
    "unsent": 1 - RunLimits().achieved_fraction,
    "generator_cpu": RunLimits().generator_cpu_fraction,
    "lag": RunLimits().dispatch_lag_p99_s,
    "foreign_cpu": RunLimits().foreign_cpu_fraction,
    "wrong_status": RunLimits().wrong_status_fraction,
    "errors": 0.01,
    "share": 0.08,
    "hits": 0.05,
    "cpu": 1.5,
    "wait": 4.0,
}


def native_limits() -> Limits:
    """From where on a figure of a native run is out of its limit."""
    return Limits(healthy={}, floors=NATIVE_FLOORS)


def evidence_of_run(run: Run) -> tuple[Evidence, ...]:
    """What each measured load of a run tells; raises ArtefactError when a step is missing."""
    scenario = run.scenario
    predicted = {cell.cell: cell for cell in run.read(Prediction).cells}
    return tuple(
        _evidence(run, scenario, cell, predicted[cell.cell]) for cell in run.read(Summary).cells
    )


def _evidence(
    run: Run, scenario: Scenario, cell: MeasuredCell, expected: PredictedCell
) -> Evidence:
    shares = _replica_counts(run, cell)
    return Evidence(
        run=f"{run.folder.name}, {cell.load_per_s:g} req/s, repeat {cell.repeat + 1}",
        source="native",
        figures=(
            *_of_the_load(cell, expected),
            *_shares(shares, scenario.topology.api.replicas),
            *_of_components(cell, expected),
        ),
        lives=tuple(_lives(run, scenario, cell)),
        valid=cell.conditions.valid,
        reasons=cell.conditions.reasons,
        cannot_tell=CANNOT_TELL,
    )


def _of_the_load(cell: MeasuredCell, expected: PredictedCell) -> Iterator[Figure]:
    seen, requests = cell.conditions, max(1, cell.requests)
    failed, foretold = (
        metrics["error_fraction"].value if "error_fraction" in metrics else 0.0
        for metrics in (cell.metrics, expected.metrics)
    )
    values: dict[Measure, tuple[float, float]] = {
        "dropped": (0.0, seen.dropped / requests),
        "unsent": (0.0, max(0.0, 1 - seen.achieved_per_s / max(1e-9, seen.planned_per_s))),
        "generator_cpu": (0.0, seen.generator_cpu_fraction),
        "lag": (0.0, seen.dispatch_lag_p99_s),
        "foreign_cpu": (0.0, seen.foreign_cpu_fraction),
        "wrong_status": (0.0, seen.wrong_status / requests),
        "errors": (foretold, failed),
    }
    for measure, (predicted, measured) in values.items():
        yield Figure(
            measure=measure,
            predicted=predicted,
            measured=measured,
            deviation=measured - predicted,
        )


def _replica_counts(run: Run, cell: MeasuredCell) -> dict[str, int]:
    path = run.folder / "load" / f"{cell.cell}-{cell.repeat}.parquet"
    if not path.is_file():
        return {}
    counted = pc.value_counts(pq.read_table(path, columns=["replica"])["replica"].drop_null())
    return {str(each["values"]): int(each["counts"]) for each in counted.to_pylist()}


def _shares(counts: dict[str, int], wanted: int) -> Iterator[Figure]:
    if wanted < 2 or not counts:
        return
    missing = max(0, wanted - len(counts))
    name, least = ("one of them", 0) if missing else min(counts.items(), key=lambda item: item[1])
    share = least / sum(counts.values())
    yield Figure(
        measure="share",
        where=name,
        predicted=1 / wanted,
        measured=share,
        deviation=share - 1 / wanted,
    )


def _of_components(cell: MeasuredCell, expected: PredictedCell) -> Iterator[Figure]:
    """Hit ratios by family, CPU by component, and how much longer the whole takes."""
    for name, seen in cell.metrics.items():
        kind, _, where = name.partition(".")
        if name not in expected.metrics or where in ("all", "host"):
            continue
        foretold = expected.metrics[name]
        if kind == "hit_ratio":
            yield Figure(
                measure="hits",
                where=where,
                predicted=foretold.value,
                measured=seen.value,
                deviation=min(0.0, seen.value - foretold.low),
            )
        elif kind == "utilisation" and foretold.value > 0:
            more = max(0.0, seen.value - foretold.high)
            yield Figure(
                measure="cpu",
                where=where,
                predicted=foretold.value,
                measured=seen.value,
                deviation=more / foretold.value if more >= LEAST_CORES else 0.0,
            )
        elif name == "mean_s":
            yield Figure(
                measure="wait",
                where="of the whole",
                predicted=foretold.value,
                measured=seen.value,
                deviation=max(0.0, seen.value - foretold.high) / foretold.value,
            )


def _lives(run: Run, scenario: Scenario, cell: MeasuredCell) -> Iterator[EntryLives]:
    path = run.folder / "load" / f"{cell.cell}-{cell.repeat}.parquet"
    cache = scenario.topology.cache
    if cache is None or not path.is_file() or not run.has(Calibration):
        return
    wanted = cell_named(run, cell.cell)
    trace = trace_of(scenario, wanted)
    model = stack_model_at(scenario, run.read(Calibration), Target.HERE, cell.load_per_s, None)
    expected = simulate(model, trace, seed=scenario.experiment.seed).cache_outcome
    columns = ["cache", "coalesced", "done_s"]
    table = pq.read_table(path, columns=columns).to_pandas()
    outcome = table["cache"].astype(str).to_numpy()
    coalesced = table["coalesced"].to_numpy(dtype=bool)
    done_s = table["done_s"].to_numpy(dtype=float)
    for family, policy in cache.families.items():
        names = [operation for operation, each in FAMILY_OF.items() if each is family]
        asked = trace.is_operation(*names)[: len(table)] & np.isin(outcome, ("hit", "miss"))
        places = np.flatnonzero(asked)
        by_user = family is FAMILY_OF[Operation.FAVOURITES]
        keys = (trace.user if by_user else trace.key)[places]
        entries = zip(trace.operation[places].tolist(), keys.tolist(), strict=True)
        yield lives_of(
            family.value,
            policy.ttl_s,
            Lookups(
                at_s=trace.arrival_s[places],
                done_s=np.nan_to_num(done_s[places]),
                entry=list(entries),
                hit=outcome[places] == "hit",
                filled=(outcome[places] == "miss") & ~coalesced[places],
                expected=expected[places] == CacheOutcome.HIT,
            ),
        )
