"""Latency against offered load: on this machine, measured and modelled; in production, modelled."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from headroom.artefacts import Capacity, ComparedCell, CurvePoint, Estimate
from headroom.charts.theme import (
    LOOKS,
    describe,
    figure,
    label_ends,
    level,
    log_axis,
    mark,
    measured,
    modelled,
)
from headroom.wording import amount, digits, metric_name, with_range

TALLEST = 6.0  # times the objective: what lies beyond it is of no use to anybody
PERCENTILES = ("p50_s", "p95_s", "p99_s")
MS = 1000.0


def latency_against_load(
    cells: Sequence[ComparedCell],
    curve: Sequence[CurvePoint],
    objective_s: float,
    capacity: Capacity,
    place: str,
) -> go.Figure:
    """p50, p95 and p99 over load: measured points on the modelled curve, objective and knee."""
    drawn = figure(height=440)
    seen = [objective_s * MS]
    most = max([cell.load_per_s for cell in cells] + [capacity.load_per_s.value], default=1.0)
    shown = [point for point in curve if point.load_per_s <= most * 1.2] or list(curve)
    for metric in PERCENTILES:
        seen += _model_line(drawn, shown, metric)
        own = [cell for cell in cells if cell.metric == metric]
        estimates = [
            Estimate(value=c.measured, low=c.measured_low, high=c.measured_high) for c in own
        ]
        measured(
            drawn,
            [cell.load_per_s for cell in own],
            estimates,
            [cell.valid for cell in own],
            name=f"{metric_name(metric)}, measured",
            look=LOOKS[metric],
            scale=MS,
        )
        seen += [value * MS for e in estimates for value in (e.value, e.low, e.high)]
    loads = [point.load_per_s for point in shown] + [cell.load_per_s for cell in cells]
    _finish(drawn, seen, loads, objective_s, f"Offered load on {place} (req/s, logarithmic)")
    mark(drawn, capacity.load_per_s, _knee_text(capacity), log_x=True, side="left")
    _label_lines(drawn, shown)
    rows = [
        [
            metric_name(cell.metric),
            f"{cell.load_per_s:g}",
            with_range(
                Estimate(value=cell.measured, low=cell.measured_low, high=cell.measured_high), "s"
            ),
            with_range(
                Estimate(value=cell.predicted, low=cell.predicted_low, high=cell.predicted_high),
                "s",
            ),
            "valid" if cell.valid else "INVALID",
        ]
        for cell in cells
        if cell.metric in PERCENTILES
    ]
    return describe(
        drawn,
        "Points: measured, with the interval over repeats (hollow: run not valid). "
        "Lines: predicted before the first measurement, with their band.",
        f"Latency percentiles against offered load on {place}; the p95 objective of "
        f"{amount(objective_s, 's')} is predicted to hold up to "
        f"{with_range(capacity.load_per_s, 'req/s')}.",
        ("metric", "load, req/s", "measured", "predicted", "run"),
        rows,
    )


def production_latency(
    curve: Sequence[CurvePoint], objective_s: float, capacity: Capacity, peak: Estimate
) -> go.Figure:
    """The modelled percentiles of the production topology, with the daily peak and the limit."""
    drawn = figure(height=420)
    seen = [objective_s * MS]
    loads = [point.load_per_s for point in curve] + [peak.value, capacity.load_per_s.value]
    for metric in PERCENTILES:
        seen += _model_line(drawn, curve, metric)
    _finish(drawn, seen, loads, objective_s, "Offered load in production (req/s, logarithmic)")
    mark(drawn, peak, f"daily peak<br>{digits(peak.value)} req/s", log_x=True)
    mark(drawn, capacity.load_per_s, _knee_text(capacity), log_x=True, side="left", top=0.9)
    _label_lines(drawn, curve)
    return describe(
        drawn,
        "Model only: every instance on a machine of its own. Shaded: the range of the daily peak "
        "and of the limit.",
        f"Modelled latency of the production topology: the objective holds up to "
        f"{with_range(capacity.load_per_s, 'req/s')}; the daily peak is "
        f"{with_range(peak, 'req/s')}.",
        ("load, req/s", *(metric_name(metric) for metric in PERCENTILES)),
        [
            [
                digits(point.load_per_s),
                *(
                    with_range(point.metrics[metric], "s") if metric in point.metrics else "–"
                    for metric in PERCENTILES
                ),
            ]
            for point in curve
        ],
    )


def _model_line(drawn: go.Figure, curve: Sequence[CurvePoint], metric: str) -> list[float]:
    """Draw one percentile of a curve; returns the values that its band spans, ms."""
    having = [point for point in curve if metric in point.metrics]
    if not having:
        return []
    estimates = [point.metrics[metric] for point in having]
    modelled(
        drawn,
        [point.load_per_s for point in having],
        estimates,
        name=f"{metric_name(metric)}, model",
        look=LOOKS[metric],
        scale=MS,
    )
    return [e.low * MS for e in estimates] + [e.high * MS for e in estimates]


def _finish(
    drawn: go.Figure, seen: Sequence[float], loads: Sequence[float], objective_s: float, title: str
) -> None:
    """Axes that hold what matters, and the objective."""
    top = TALLEST * objective_s * MS
    drawn.update_layout(
        yaxis=log_axis([*seen, top], "Latency (ms, logarithmic)", most=top),
        xaxis=log_axis(loads, title),
    )
    level(drawn, objective_s * MS, f"objective: p95 ≤ {amount(objective_s, 's')}", log_y=True)


def _label_lines(drawn: go.Figure, curve: Sequence[CurvePoint]) -> None:
    ends = []
    for metric in PERCENTILES:
        having = [point for point in curve if metric in point.metrics]
        if having:
            height = math.log10(max(having[-1].metrics[metric].value * MS, 1e-6))
            ends.append((f"{metric.removesuffix('_s')} model", height, LOOKS[metric].colour))
    low, high = drawn.layout.yaxis.range
    label_ends(drawn, ends, (low, high))


def _knee_text(capacity: Capacity) -> str:
    return f"limit {digits(capacity.load_per_s.value)} req/s<br>bound by {capacity.bound_by}"
