"""A measured cell beside its prediction: figures, single requests, and whose the residual is."""

from collections.abc import Iterator
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from headroom.fidelity.artefacts import (
    ComparedMetric,
    MeasuredFidelity,
    PredictedFidelity,
    WarmUp,
)
from headroom.fidelity.cells import Cell
from headroom.fidelity.jobs import job_figures
from headroom.fidelity.measured import Offered, utilisations
from headroom.fidelity.predicted import Simulated, last_s, latencies
from headroom.fidelity.topologies import Topology
from sim.model import CacheOutcome
from sim.scenario import FAMILY_OF

# What is promised of a valid cell: relative, but for ratios in points.
TOLERANCES = {
    "throughput_per_s": 0.01,
    "mean_s": 0.02,
    "p95_s": 0.03,
    "p99_s": 0.05,
    "utilisation": 0.01,
    "hit_ratio": 0.005,
}
IN_POINTS = ("utilisation", "hit_ratio", "error_fraction")
STRETCHES = 8  # of a cell that is judged from an empty cache on
NOTABLE_S = 0.001  # a mean residual below it is explained by nothing and needs no word


def compared(
    topology: Topology,
    cell: Cell,
    exact: Simulated,
    found: Offered,
    *,
    prediction: PredictedFidelity,
    prediction_sha256: str,
    machine_sha256: str,
) -> MeasuredFidelity:
    """What was predicted beside what was measured."""
    judged = (exact.trace.arrival_s >= cell.warmup_s)[: found.requests.latency_s.size]
    both = judged & found.requests.answered & exact.run.is_ok[: judged.size]
    residual_s = (found.requests.latency_s - exact.run.sojourn_s[: judged.size])[both]
    parts = _by_called(exact, found, both)
    started: datetime = found.result.started_at
    return MeasuredFidelity(
        topology=topology.name,
        cell=cell.name,
        target=cell.target,
        scale=topology.scenario.time.scale,
        load_per_s=cell.load_per_s,
        prediction_sha256=prediction_sha256,
        predicted_at=prediction.created_at,
        started_at=started,
        finished_at=found.result.finished_at,
        requests=int(judged.sum()),
        conditions=found.conditions,
        overruns_fraction=found.counted.overruns_fraction,
        metrics=tuple(_metrics(prediction, measured_metrics(topology, cell, exact, found))),
        correlation=_correlation(
            exact.run.sojourn_s[: judged.size][both], found.requests.latency_s[both]
        ),
        residual_p50_s=float(np.median(np.abs(residual_s))) if residual_s.size else 0.0,
        residual_p95_s=float(np.quantile(np.abs(residual_s), 0.95)) if residual_s.size else 0.0,
        residual_s_by_part=parts,
        same_outcome_fraction=_same_outcomes(exact, found, judged),
        says=_in_words(parts),
        warm_up=() if cell.warmup_s else tuple(_warm_up(exact, found, cell.duration_s)),
        machine_sha256=machine_sha256,
    )


def measured_metrics(
    topology: Topology, cell: Cell, exact: Simulated, found: Offered
) -> dict[str, float]:
    """The figures of a measured cell, named and defined as those of a simulated one."""
    requests = found.requests
    judged = requests.arrival_s >= cell.warmup_s
    answered = judged & requests.answered
    # Where the last request comes when it does, both count until then.
    window_s = last_s(requests.arrival_s if cell.users else exact.trace.arrival_s) - cell.warmup_s
    metrics = {
        "throughput_per_s": float(answered.sum()) / window_s,
        "error_fraction": 1.0 - float(answered.sum()) / max(1, int(judged.sum())),
        "attempts_per_request": float(requests.attempts[judged].mean()),
    }
    metrics |= latencies(requests.latency_s[answered])
    for family in (*sorted({family.value for family in FAMILY_OF.values()}), "all"):
        names = [o for o, f in FAMILY_OF.items() if family in (f.value, "all")]
        asked = judged & requests.looked_up & exact.trace.is_operation(*names)[: judged.size]
        if asked.any():
            metrics[f"hit_ratio.{family}"] = float(requests.hit[asked].mean())
    if not answered[judged].all():
        return metrics  # work goes on for who gave up, beyond the end of the cell
    slots = dict(topology.demands.slots)
    metrics |= utilisations(found.counted, slots, requests.end_s)
    if found.jobs is not None:
        metrics |= job_figures(found.jobs.took_s[judged])
        metrics["utilisation.worker"] = found.jobs.utilisation
    return metrics


def _metrics(prediction: PredictedFidelity, measured: dict[str, float]) -> list[ComparedMetric]:
    cells = []
    for metric, value in prediction.metrics.items():
        if metric not in measured:
            continue
        kind = metric.partition(".")[0]
        is_points = kind in IN_POINTS
        seen = measured[metric]
        cells.append(
            ComparedMetric(
                metric=metric,
                predicted=value,
                measured=seen,
                error=value - seen if is_points or seen == 0 else value / seen - 1,
                is_points=is_points,
                tolerance=TOLERANCES.get(kind),
                covered=prediction.low[metric] <= seen <= prediction.high[metric]
                if metric in prediction.low
                else None,
            )
        )
    return cells


def _correlation(predicted_s: NDArray[np.float64], measured_s: NDArray[np.float64]) -> float | None:
    if predicted_s.size < 2 or not predicted_s.std() or not measured_s.std():
        return None
    return float(np.corrcoef(predicted_s, measured_s)[0, 1])


def _same_outcomes(exact: Simulated, found: Offered, judged: NDArray[np.bool_]) -> float:
    """Of the look-ups, how many found what they were predicted to find."""
    outcome = exact.run.cache_outcome[: judged.size]
    asked = judged & found.requests.looked_up
    if not asked.any():
        return 1.0
    return float(((outcome == CacheOutcome.HIT) == found.requests.hit)[asked].mean())


def _warm_up(exact: Simulated, found: Offered, duration_s: float) -> Iterator[WarmUp]:
    """How the cache filled, stretch by stretch, by the requests' times of arrival."""
    asked = found.requests.looked_up
    arrival_s = exact.trace.arrival_s[: asked.size]
    hit = exact.run.cache_outcome[: asked.size] == CacheOutcome.HIT
    for number in range(STRETCHES):
        from_s, until_s = (duration_s * n / STRETCHES for n in (number, number + 1))
        inside = asked & (arrival_s >= from_s) & (arrival_s < until_s)
        if inside.any():
            yield WarmUp(
                until_s=until_s,
                lookups=int(inside.sum()),
                predicted=float(hit[inside].mean()),
                measured=float(found.requests.hit[inside].mean()),
            )


def _by_called(exact: Simulated, found: Offered, both: NDArray[np.bool_]) -> dict[str, float]:
    """Mean residual of the requests by what they called, the wrongly predicted look-ups apart."""
    requests = found.requests
    residual_s = requests.latency_s - exact.run.sojourn_s[: both.size]
    outcome = exact.run.cache_outcome[: both.size]
    differs = requests.looked_up & ((outcome == CacheOutcome.HIT) != requests.hit)
    called = {
        "cache prediction": differs,
        "search": ~differs & np.isfinite(requests.part_s["search"]),
        "database": ~differs & np.isfinite(requests.part_s["db"]),
    }
    rest = both & ~np.any(list(called.values()), axis=0)
    masks = {name: both & mask for name, mask in called.items()} | {"API and cache": rest}
    return {
        name: float(residual_s[mask].sum() / both.sum())
        for name, mask in masks.items()
        if mask.any()
    }


def _in_words(parts: dict[str, float]) -> str:
    if not parts:
        return "no request was answered on both sides"
    name, value = max(parts.items(), key=lambda item: abs(item[1]))
    total = sum(parts.values())
    if abs(total) < NOTABLE_S and abs(value) < NOTABLE_S:
        return "no part stands out"
    slower = "slower" if value > 0 else "faster"
    return (
        f"requests were {abs(total) * 1e3:.1f} ms {'slower' if total > 0 else 'faster'} on average "
        f"than predicted, of which {abs(value) * 1e3:.1f} ms {slower} with {name}"
    )
