"""The explorer's figures as plain plotly data: light to make, so that they follow a slider.

The same look as every other figure (`headroom.charts`), written without plotly's checks, which
would take longer than the models do. Modelled values are lines and strokes, measured ones points.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headroom.artefacts import ComparedCell, Estimate
from headroom.charts.palette import BLUE, GREEN, NEUTRAL, ORANGE, translucent
from headroom.charts.theme import SHADE, log_axis, spread, stroke, template
from headroom.explorer.figures import Curve, Figures
from headroom.explorer.named import Plot, Row, by_name, note, plot, words
from headroom.explorer.refining import Refined
from headroom.plan_records import Figure
from headroom.wording import amount, digits
from sim.availability import MINUTES_PER_MONTH
from sim.plan import TIER_NAMES

TALLEST = 6.0  # times the objective, as in the report
MS = 1000.0


@dataclass(frozen=True)
class Seen:
    """A scenario with what is known of it, to be drawn."""

    figures: Figures
    refined: Refined = field(default_factory=Refined)


def look() -> str:
    """The theme's template as JSON, for the page to lay under every figure."""
    return json.dumps(template().to_plotly_json())


def figure_of(estimate: Estimate) -> Figure:
    """An estimate as a figure."""
    return Figure(value=estimate.value, low=estimate.low, high=estimate.high)


def _line(x: Sequence[float], y: Sequence[float | None], colour: str, dash: str, name: str) -> Plot:
    style = {"color": colour, "width": 2.5, "dash": dash}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": style, "name": name}


def _band(x: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str) -> Plot:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [*x, *reversed(x)],
        "y": [*high, *reversed(low)],
        "fill": "toself",
        "fillcolor": translucent(colour, 0.16),
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _points(x: Sequence[float], estimates: Sequence[Estimate], scale: float, name: str) -> Plot:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": [e.value * scale for e in estimates],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [(e.high - e.value) * scale for e in estimates],
            "arrayminus": [(e.value - e.low) * scale for e in estimates],
            "color": ORANGE,
            "thickness": 1.3,
            "width": 4,
        },
        "marker": {"size": 9, "color": ORANGE, "symbol": "circle"},
        "name": name,
    }


def latency(
    now: Seen, before: Seen | None, objective_s: float, cells: Sequence[ComparedCell] = ()
) -> Plot:
    """p95 over the load: formulas, engine, baseline; the objective and the daily peak."""
    top = TALLEST * objective_s * MS
    data: list[Plot] = []
    ends: list[tuple[str, float, str]] = []
    if before is not None:
        x, y, _, _ = _curve(before.figures.curve, top)
        data.append(_line(x, y, NEUTRAL, "dot", "baseline, formulas"))
        ends.append(("baseline", y[-1], NEUTRAL))
    x, y, low, high = _curve(now.figures.curve, top)
    data += [_band(x, low, high, BLUE), _line(x, y, BLUE, "solid", "p95, formulas")]
    ends.append(("formulas", y[-1], BLUE))
    data += _engine(now.refined, top, ends)
    shown = [c for c in cells if c.metric == "p95_s"]
    named: list[Plot] = []
    if shown:
        measured = [
            Estimate(value=c.measured, low=c.measured_low, high=c.measured_high) for c in shown
        ]
        loads = [c.load_per_s for c in shown]
        data.append(
            _points(loads, measured, MS, "p95, measured on this machine, not in production")
        )
        at = min(shown, key=lambda c: c.load_per_s)
        named.append(
            note("this machine", ORANGE, x=math.log10(at.load_per_s), xanchor="left", xshift=8,
                 y=math.log10(at.measured * MS), yanchor="bottom")
        )  # fmt: skip
    loads = [*now.figures.curve.load_per_s, *(c.load_per_s for c in shown)]
    axis = log_axis([*low, *(c.measured * MS for c in shown), objective_s * MS, top],
                    "p95 latency (ms, logarithmic)", most=top)  # fmt: skip
    layout = {
        "xaxis": log_axis(loads, "Load in production (req/s, logarithmic)"),
        "yaxis": axis,
        "margin": {"l": 64, "r": 84, "t": 20, "b": 52},
        **_marks(now.figures.peak_per_s, objective_s * MS, ends, axis["range"]),
    }
    layout["annotations"] += named
    points = (
        " ● measured by the last run on this machine, where all parts share its cores: "
        "not production, so they need not lie on the curve."
        if shown
        else ""
    )
    return plot(
        data,
        layout,
        "Solid with band: formulas, 90 % of the futures. Dashed: compiled engine, with the range "
        f"of its replications. Dotted grey: baseline.{points}",
        f"p95 latency over load; at the daily peak it is {words(now.figures.p95_s, 's')} where "
        f"the objective allows {amount(objective_s, 's')}.",
        height=400,
    )


def _curve(curve: Curve, top: float) -> tuple[list[float], list[float], list[float], list[float]]:
    """Loads and p95 with its range in ms; an overload stands above the axis."""
    beyond = top * 10

    def heights(end: str) -> list[float]:
        found = (getattr(each, end) for each in curve.p95_s)
        return [beyond if s is None else min(s * MS, beyond) for s in found]

    return list(curve.load_per_s), heights("value"), heights("low"), heights("high")


def _engine(refined: Refined, top: float, ends: list[tuple[str, float, str]]) -> list[Plot]:
    points = refined.curve or (() if refined.at_peak is None else (refined.at_peak,))
    having = [p for p in points if "p95_s" in p.metrics]
    if not having:
        return []
    found = [p.metrics["p95_s"] for p in having]
    x = [p.load_per_s for p in having]
    y = [min(e.value * MS, top * 10) for e in found]
    line = _line(x, y, GREEN, "dash", "p95, compiled engine")
    ends.append(("engine", y[-1], GREEN))
    if len(x) == 1:  # a stroke, for a line of one point is not seen
        return [line | {"mode": "markers", "marker": stroke(GREEN) | {"symbol": "line-ew-open"}}]
    return [_band(x, [e.low * MS for e in found], [e.high * MS for e in found], GREEN), line]


def _marks(
    peak: Figure, objective_ms: float, ends: Sequence[tuple[str, float, str]], axis: list[float]
) -> Plot:
    """The objective as a line, the daily peak with its range, names at the right edge."""
    assert peak.value is not None
    objective = {
        "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": objective_ms, "y1": objective_ms,
        "line": {"color": NEUTRAL, "width": 2, "dash": "longdash"},
    }  # fmt: skip
    line = {
        "type": "line", "yref": "paper", "x0": peak.value, "x1": peak.value, "y0": 0, "y1": 1,
        "line": {"color": NEUTRAL, "width": 1.5, "dash": "dot"},
    }  # fmt: skip
    shade = line | {
        "type": "rect", "x0": peak.low, "x1": peak.high, "fillcolor": SHADE, "line": {"width": 0},
        "layer": "below",
    }  # fmt: skip
    low, high = axis
    wanted = [min(math.log10(max(y, 1e-6)), high) for _, y, _ in ends]
    heights = spread(wanted, (high - low) * 15 / 320, high)
    names = [
        note(name, colour, xref="paper", x=1, xanchor="left", xshift=6, y=height)
        for (name, _, colour), height in zip(ends, heights, strict=True)
    ]
    notes = [
        note(f"objective: p95 ≤ {amount(objective_ms / MS, 's')}", xref="paper", x=0,
              xanchor="left", xshift=4, y=math.log10(objective_ms), yanchor="bottom"),
        note(f"daily peak {digits(peak.value)} req/s", x=math.log10(peak.value), xanchor="left",
              xshift=4, yref="paper", y=1, yanchor="top"),
    ]  # fmt: skip
    return {"shapes": [shade, line, objective], "annotations": [*names, *notes]}


def hit_ratios(
    now: Seen, before: Seen | None, target: float | None, measured: Mapping[str, Estimate]
) -> Plot:
    """Hit ratio by family and over all, with the objective."""
    old = before.figures.hit_ratio if before else {}
    rows = [
        Row("all" if name == "all" else name, figure, old.get(name), measured.get(name))
        for name, figure in now.figures.hit_ratio.items()
    ]
    full = "" if now.figures.cache_fits else " The node's memory is too small for all entries."
    points = " ● measured by the last run, cold start." if measured else ""
    return by_name(
        rows,
        "fraction",
        _per_cent("Hit ratio (% of look-ups)"),
        f"Long run at a day's mean load; range: ± the model's error.{full}{points}",
        "Hit ratio by family: "
        + ("; ".join(f"{r.name} {words(r.now, 'fraction')}" for r in rows) or "no cache"),
        scale=100.0,
        objective=None if target is None else (target, f"objective ≥ {target:.0%}"),
    )


def _per_cent(title: str) -> Plot:
    return {"title": {"text": title}, "range": [0, 100], "fixedrange": True}


def spare(now: Seen, before: Seen | None) -> Plot:
    """The share of each tier's capacity that the daily peak leaves."""
    old = before.figures.spare if before else {}
    rows = [
        Row(TIER_NAMES[tier].removeprefix("the "), figure, old.get(tier))
        for tier, figure in now.figures.spare.items()
    ]
    return by_name(
        rows,
        "fraction",
        _per_cent("Free at the daily peak (% of capacity)"),
        "What the daily peak leaves free; range: 90 % of the futures.",
        "Headroom by tier: " + "; ".join(f"{r.name} {words(r.now, 'fraction')}" for r in rows),
        scale=100.0,
    )


def monthly_bill(now: Seen, before: Seen | None) -> Plot:
    """Dollars a month by component and in all, with the range of the prices."""
    own, old = _by_component(now.figures), _by_component(before.figures) if before else {}
    rows = [Row(name, own.get(name, _NOTHING), old.get(name)) for name in {**own, **old}]
    rows.sort(key=lambda row: row.name == "total")
    most = max((row.now.high or 0.0) for row in rows)
    most = max([most, *(row.before.high or 0.0 for row in rows if row.before)])
    total = now.figures.bill.total_usd
    return by_name(
        rows,
        "usd",
        {"title": {"text": "US dollars a month"}, "range": [0, most * 1.05], "fixedrange": True},
        f"Price book {now.figures.bill.book}, {now.figures.bill.region}; range: of its prices.",
        f"Monthly bill {words(figure_of(total), 'usd')}: "
        + "; ".join(f"{r.name} {words(r.now, 'usd')}" for r in rows),
    )


_NOTHING = Figure(value=0.0, low=0.0, high=0.0)


def _by_component(figures: Figures) -> dict[str, Figure]:
    found: dict[str, list[float]] = {}
    for line in figures.bill.lines:
        usd = line.usd_per_month
        sums = found.setdefault((line.component or "other").replace("_", " "), [0.0, 0.0, 0.0])
        for place, value in enumerate((usd.value, usd.low, usd.high)):
            sums[place] += value
    parts = {name: Figure(value=v, low=lo, high=hi) for name, (v, lo, hi) in found.items()}
    return parts | {"total": figure_of(figures.bill.total_usd)}


def lost_minutes(now: Seen, before: Seen | None, target: float) -> Plot:
    """Minutes a month away: by the formula, in simulated months, and by tier."""
    rows = [
        Row("formula", lost(now.figures.availability),
            lost(before.figures.availability) if before else None)
    ]  # fmt: skip
    months = now.refined.availability
    old = before.refined.availability if before else None
    if months is not None:
        own = figure_of(months.lost_min)
        rows.append(Row("simulated", own, figure_of(old.lost_min) if old else None))
        known = {t.name: figure_of(t.minutes) for t in old.tiers} if old else {}
        rows += [
            Row(t.name, figure_of(t.minutes), known.get(t.name))
            for t in months.tiers
            if t.ends_service
        ]
    budget = (1.0 - target) * MINUTES_PER_MONTH
    seen = [f for row in rows for f in (row.now, row.before) if f is not None]
    ends = [v for f in seen for v in (f.value, f.low, f.high) if v is not None]
    axis = log_axis([max(v, 0.1) for v in [*ends, budget or 1.0]], "Minutes lost a month (log.)")
    return by_name(
        rows,
        "min",
        axis,
        "Assumed failure rates. Formula: 90 % of the futures; simulated: 95 % of months; tiers: "
        "each by itself.",
        f"Minutes lost a month: {words(lost(now.figures.availability), 'min')}; the objective "
        f"allows {digits(budget)}.",
        objective=(budget, f"objective ≤ {digits(budget)} min") if budget > 0 else None,
    )


def lost(uptime: Figure) -> Figure:
    """An availability as minutes lost a month."""
    value, low, high = (
        None if share is None else max(0.0, (1.0 - share) * MINUTES_PER_MONTH)
        for share in (uptime.value, uptime.high, uptime.low)
    )
    return Figure(value=value, low=low, high=high)
