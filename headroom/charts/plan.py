"""What to buy and what matters: frontier of cost and latency, what-ifs, tornado."""

import math

import plotly.graph_objects as go

from headroom.charts.palette import BLUE, GREEN, NEUTRAL, RED, translucent
from headroom.charts.theme import describe, figure, level, limit, log_axis, stroke
from headroom.plan_records import PlanArtefact, PlannedRecord
from headroom.plan_tables import PLAN_COLUMNS, candidate_row
from headroom.whatif import TornadoRecord, WhatIfArtefact
from headroom.whatif_tables import (
    FIGURE_SCALES,
    TORNADO_COLUMNS,
    TORNADO_NAMES,
    bar_rows,
    change_text,
)
from headroom.wording import amount

MOST_BARS = 8


def frontier(plan: PlanArtefact) -> go.Figure:
    """Cost against p95 of every architecture that answers: the frontier, the choice, the design."""
    drawn = figure(height=440)
    objective_ms = plan.targets.get("p95_s", 0.0) * 1000
    answering = [c for c in plan.candidates if c.figures["p95_s"].value is not None]
    _dots(drawn, answering, "others", NEUTRAL, "circle-open", size=4, opacity=0.5)
    best = [plan.candidates[place] for place in plan.frontier]
    drawn.add_trace(
        go.Scatter(
            x=[c.usd_per_month.value for c in best],
            y=[_ms(c) for c in best],
            mode="lines+markers",
            line={"color": BLUE, "width": 1.5},
            marker={"color": BLUE, "symbol": "circle-open", "size": 9, "line": {"width": 2}},
            name="frontier",
            text=[c.architecture for c in best],
        )
    )
    answer = "chosen" if plan.chosen is not None else "meets what can be met"
    named = ((plan.answer, answer), (plan.own, "the design"))
    looks = ((GREEN, "star-open"), (RED, "diamond-open"))
    for (place, name), (colour, symbol) in zip(named, looks, strict=True):
        if place is not None and _ms(plan.candidates[place]) is not None:
            candidate = plan.candidates[place]
            _dots(drawn, [candidate], name, colour, symbol, size=14)
            drawn.add_annotation(
                x=candidate.usd_per_month.value,
                y=math.log10(max(_ms(candidate) or 0.0, 1e-3)),
                text=name,
                showarrow=False,
                yshift=16,
                font={"color": colour, "size": 12},
            )
    drawn.update_layout(
        xaxis={"title": {"text": "US dollars a month"}, "rangemode": "tozero"},
        yaxis=log_axis(
            [*(_ms(c) or 0.0 for c in answering), *([objective_ms] if objective_ms else [])],
            "Median p95 at the peak (ms, logarithmic)",
        ),
    )
    if objective_ms:
        level(
            drawn,
            objective_ms,
            f"objective: p95 ≤ {amount(plan.targets['p95_s'], 's')}",
            log_y=True,
        )
    return describe(
        drawn,
        "○–○ the frontier: nothing is better in cost, p95 and availability together · ◦ all others "
        f"that answer, over {plan.futures:,} futures · ☆ the answer · ◇ the design as it stands. "
        "All are modelled.",
        f"Cost against p95 of {len(answering):,} architectures; {len(best)} are on the frontier.",
        PLAN_COLUMNS,
        [candidate_row(plan, place) for place in plan.frontier],
    )


def _dots(
    drawn: go.Figure,
    candidates: list[PlannedRecord],
    name: str,
    colour: str,
    symbol: str,
    *,
    size: int,
    opacity: float = 1.0,
) -> None:
    drawn.add_trace(
        go.Scatter(
            x=[round(c.usd_per_month.value, 1) for c in candidates],
            y=[_ms(c) for c in candidates],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": size, "opacity": opacity},
            name=name,
        )
    )


def _ms(candidate: PlannedRecord) -> float | None:
    value = candidate.figures["p95_s"].value
    return None if value is None else round(value * 1000, 3)


def what_if_latencies(found: WhatIfArtefact, objective_s: float | None = None) -> go.Figure:
    """p95 before and after each change, with the range of the change."""
    shown = [e for e in found.effects if e.p95_s.before is not None and e.p95_s.after is not None]
    names = [e.words for e in shown]
    drawn = figure(height=120 + 30 * max(len(shown), 1))
    before = [(e.p95_s.before or 0.0) * 1000 for e in shown]
    after = [(e.p95_s.after or 0.0) * 1000 for e in shown]
    for name, low, high in zip(names, before, after, strict=True):
        drawn.add_trace(
            go.Scatter(
                x=[low, high],
                y=[name, name],
                mode="lines",
                line={"color": NEUTRAL, "width": 1.5},
                hoverinfo="skip",
            )
        )
    box = {"symbol": "square-open", "size": 10, "color": NEUTRAL, "line": {"width": 2}}
    drawn.add_trace(go.Scatter(x=before, y=names, mode="markers", marker=box, name="before"))
    lows = [max(b + (e.p95_s.low or 0.0) * 1000, 1e-3) for b, e in zip(before, shown, strict=True)]
    highs = [b + (e.p95_s.high or 0.0) * 1000 for b, e in zip(before, shown, strict=True)]
    drawn.add_trace(
        go.Scatter(
            x=after,
            y=names,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [max(h - a, 0.0) for h, a in zip(highs, after, strict=True)],
                "arrayminus": [max(a - low, 0.0) for low, a in zip(lows, after, strict=True)],
                "thickness": 1.3,
                "width": 4,
                "color": BLUE,
            },
            mode="markers",
            marker=stroke(BLUE),
            name="after",
        )
    )
    objective = [objective_s * 1000] if objective_s else []
    drawn.update_layout(
        xaxis=log_axis(
            [*before, *after, *lows, *highs, *objective], "p95 at the daily peak (ms, logarithmic)"
        ),
        yaxis={"categoryorder": "array", "categoryarray": list(reversed(names))},
    )
    if objective_s:
        text = f"objective: p95 ≤ {amount(objective_s, 's')}"
        limit(drawn, objective_s * 1000, text, log_x=True)
    return describe(
        drawn,
        "□ before · ❘ after the change, with its range in 90 % of the futures; disturbances in the "
        "minutes that follow them. All are modelled.",
        "p95 before and after each change: "
        + ", ".join(f"{n} {high:.0f} ms" for n, high in zip(names, after, strict=True)),
        ("change", "p95 after (the change; 90 % of the futures)", "errors"),
        [
            (
                e.words,
                change_text(e.p95_s, "p95_s"),
                change_text(e.error_fraction, "error_fraction"),
            )
            for e in found.effects
        ],
    )


def tornado(found: WhatIfArtefact, figure_name: str = "p95_s") -> go.Figure:
    """How far one figure moves when each input alone goes over its interval."""
    record: TornadoRecord = found.tornado[figure_name]
    factor, unit = FIGURE_SCALES[figure_name]
    bars = [b for b in record.bars[:MOST_BARS] if b.at_low is not None and b.at_high is not None]
    centre = (record.centre or 0.0) * factor
    names = [bar.label for bar in bars]
    drawn = figure(height=120 + 30 * max(len(bars), 1))
    ends = (("at_low", BLUE, "low end", ""), ("at_high", RED, "high end", "/"))
    for end, colour, name, pattern in ends:
        values = [getattr(bar, end) * factor for bar in bars]
        drawn.add_trace(
            go.Bar(
                x=[value - centre for value in values],
                base=centre,
                y=names,
                orientation="h",
                marker={
                    "color": translucent(colour, 0.75),
                    "line": {"color": colour, "width": 1.2},
                    "pattern": {
                        "shape": pattern,
                        "fgcolor": colour,
                        "bgcolor": translucent(colour, 0.15),
                        "size": 6,
                    },
                },
                name=f"input at its {name}",
            )
        )
    title = f"{TORNADO_NAMES[figure_name]} ({unit})"
    drawn.update_layout(
        barmode="overlay",
        xaxis={"title": {"text": title[0].upper() + title[1:]}},
        yaxis={"categoryorder": "array", "categoryarray": list(reversed(names))},
    )
    return describe(
        drawn,
        "Each input alone at its 5 % (plain, blue) and 95 % quantile (hatched, red), the "
        "others at their centre; what inputs do together is left out.",
        f"{TORNADO_NAMES[figure_name]}: {', '.join(names[:3])} matter most.",
        TORNADO_COLUMNS,
        bar_rows(found, figure_name, MOST_BARS),
    )
