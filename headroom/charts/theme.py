"""One look for every figure: measured = points, modelled = lines with a band, objective = a line.

Series are labelled where they end, not in a legend; symbol and dash repeat what colour says.
Figures are made for a light page; the report exchanges the colours on a dark one.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio

from headroom.artefacts import Estimate
from headroom.charts.palette import (
    BLUE,
    GREEN,
    INK,
    NEUTRAL,
    ORANGE,
    PAGE,
    PURPLE,
    RED,
    translucent,
)

GRID, SHADE = translucent(NEUTRAL, 0.22), translucent(NEUTRAL, 0.14)
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Look:
    """How one series is drawn: the same series looks alike in every figure."""

    colour: str
    symbol: str
    dash: str


LOOKS = {
    "p50_s": Look(GREEN, "circle", "dash"),
    "p95_s": Look(BLUE, "square", "solid"),
    "p99_s": Look(RED, "diamond", "dot"),
    "mean_s": Look(PURPLE, "triangle-up", "dashdot"),
}
COMPONENT_LOOKS = (
    *LOOKS.values(),
    Look(ORANGE, "x", "longdash"),
    Look(INK, "cross", "longdashdot"),
    Look(GREEN, "star", "2px,6px"),
    Look(RED, "hexagon", "12px,3px,3px,3px"),
)
PLAIN = Look(BLUE, "circle", "solid")


def template() -> go.layout.Template:
    """The plotly template of all figures."""
    axis = {
        "showgrid": True,
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": NEUTRAL,
        "ticks": "outside",
        "tickcolor": NEUTRAL,
        "title": {"standoff": 10},
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": INK},
            "paper_bgcolor": PAGE,
            "plot_bgcolor": PAGE,
            "colorway": [BLUE, RED, GREEN, ORANGE, PURPLE],
            "showlegend": False,
            "margin": {"l": 64, "r": 96, "t": 24, "b": 56},
            "hovermode": "closest",
            "xaxis": axis,
            "yaxis": axis,
        }
    )


def use_theme() -> None:
    """Make the theme plotly's default and let figures travel as data, not as scripts."""
    pio.templates["headroom"] = template()
    pio.templates.default = "headroom"
    pio.renderers.default = "plotly_mimetype"


def stroke(colour: str) -> dict[str, Any]:
    """The marker of a modelled value on an axis of names, where a line has no place.

    A stroke, because dots are what was measured.
    """
    return {
        "symbol": "line-ns-open",
        "size": 16,
        "color": colour,
        "line": {"width": 3.5, "color": colour},
    }


def figure(height: int = 400) -> go.Figure:
    """An empty figure in the theme."""
    return go.Figure(layout={"template": template(), "height": height})


def describe(
    drawn: go.Figure,
    caption: str,
    alternative: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
) -> go.Figure:
    """Attach what a reader without the picture needs: caption, text and the figure's own data.

    The report shows them under the figure, and in its place where no script runs.
    """
    drawn.update_layout(
        meta={
            "caption": caption,
            "alternative": alternative,
            "columns": list(columns),
            "rows": [list(row) for row in rows],
        }
    )
    return drawn


def band(
    drawn: go.Figure,
    x: Sequence[float],
    estimates: Sequence[Estimate],
    look: Look,
    scale: float = 1,
) -> None:
    """The range of a modelled series, filled behind its line."""
    drawn.add_trace(
        go.Scatter(
            x=[*x, *reversed(x)],
            y=[e.high * scale for e in estimates] + [e.low * scale for e in reversed(estimates)],
            fill="toself",
            fillcolor=translucent(look.colour, 0.16),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
        )
    )


def modelled(
    drawn: go.Figure,
    x: Sequence[float],
    estimates: Sequence[Estimate],
    *,
    name: str,
    look: Look = PLAIN,
    scale: float = 1,
) -> None:
    """A modelled series: a line on its band."""
    band(drawn, x, estimates, look, scale)
    drawn.add_trace(
        go.Scatter(
            x=list(x),
            y=[e.value * scale for e in estimates],
            mode="lines",
            line={"color": look.colour, "width": 2, "dash": look.dash},
            name=name,
        )
    )


def measured(
    drawn: go.Figure,
    x: Sequence[float],
    estimates: Sequence[Estimate],
    valid: Sequence[bool],
    *,
    name: str,
    look: Look = PLAIN,
    scale: float = 1,
) -> None:
    """A measured series: points with intervals; hollow where the run is not valid."""
    drawn.add_trace(
        go.Scatter(
            x=list(x),
            y=[e.value * scale for e in estimates],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [(e.high - e.value) * scale for e in estimates],
                "arrayminus": [(e.value - e.low) * scale for e in estimates],
                "thickness": 1.3,
                "width": 4,
                "color": look.colour,
            },
            mode="markers",
            marker={
                "symbol": [look.symbol if ok else f"{look.symbol}-open" for ok in valid],
                "size": 9,
                "color": look.colour,
                "line": {"width": 1.5, "color": look.colour},
            },
            name=name,
        )
    )


def level(drawn: go.Figure, y: float, text: str, *, log_y: bool = False) -> None:
    """A horizontal line across the figure, such as an objective, named above its left end."""
    drawn.add_shape(
        type="line",
        xref="paper",
        x0=0,
        x1=1,
        y0=y,
        y1=y,
        line={"color": NEUTRAL, "width": 2, "dash": "longdash"},
    )
    drawn.add_annotation(
        xref="paper",
        x=0,
        xanchor="left",
        xshift=4,
        y=math.log10(y) if log_y else y,
        yanchor="bottom",
        text=text,
        showarrow=False,
        font={"size": 12},
    )


def limit(drawn: go.Figure, x: float, text: str, *, log_x: bool = False) -> None:
    """A vertical line up the figure, such as an objective of latency, named beside its foot."""
    drawn.add_shape(
        type="line",
        yref="paper",
        x0=x,
        x1=x,
        y0=0,
        y1=1,
        line={"color": NEUTRAL, "width": 2, "dash": "longdash"},
    )
    drawn.add_annotation(
        x=math.log10(x) if log_x else x,
        yref="paper",
        y=1,
        yanchor="bottom",
        text=text,
        showarrow=False,
        font={"size": 12},
    )


def mark(
    drawn: go.Figure,
    x: Estimate,
    text: str,
    *,
    log_x: bool = False,
    top: float = 1.0,
    side: str = "right",
) -> None:
    """A vertical line at a load with its range shaded, named near the top on one side of it.

    A logarithmic axis has no place for 0: nothing is drawn there.
    """
    if log_x and x.value <= 0:
        return
    if x.high > x.low:
        drawn.add_shape(
            type="rect",
            yref="paper",
            x0=max(x.low, x.value / 1000) if log_x else x.low,
            x1=x.high,
            y0=0,
            y1=1,
            fillcolor=SHADE,
            line={"width": 0},
            layer="below",
        )
    drawn.add_shape(
        type="line",
        yref="paper",
        x0=x.value,
        x1=x.value,
        y0=0,
        y1=1,
        line={"color": NEUTRAL, "width": 1.5, "dash": "dot"},
    )
    drawn.add_annotation(
        x=math.log10(x.value) if log_x else x.value,
        yref="paper",
        y=top,
        xanchor="left" if side == "right" else "right",
        yanchor="top",
        xshift=4 if side == "right" else -4,
        text=text,
        showarrow=False,
        align="left" if side == "right" else "right",
        font={"size": 12},
    )


def log_ticks(low: float, high: float) -> list[float]:
    """The 1–2–5 series over a range, so that a logarithmic axis shows whole numbers.

    >>> log_ticks(3, 60)
    [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    series = [
        float(f"{step}e{power}") for power in range(first - 1, last + 1) for step in (1, 2, 5)
    ]
    below = [tick for tick in series if tick <= low]
    above = [tick for tick in series if tick >= high]
    return [tick for tick in series if below[-1] <= tick <= above[0]]


def log_axis(values: Iterable[float], title: str, most: float = math.inf) -> dict[str, Any]:
    """A logarithmic axis over positive values up to `most`, ticked 1–2–5 (1–10 on many decades)."""
    positive = [min(value, most) for value in values if value > 0] or [1.0]
    low, high = min(positive) / 1.1, max(positive) * 1.1
    ticks = log_ticks(low, high)
    if high / low > 2e3:
        ticks = [tick for tick in ticks if f"{tick:e}"[0] == "1"] or ticks
    inside = [tick for tick in ticks if low <= tick <= high] or ticks
    return {
        "type": "log",
        "title": {"text": title},
        "tickvals": inside,
        "ticktext": [f"{tick:g}" for tick in inside],
        "range": [math.log10(low), math.log10(high)],
    }


def spread(wanted: Sequence[float], gap: float, top: float) -> list[float]:
    """Heights as near as possible to those wanted, at most `top`, and at least `gap` apart.

    >>> spread([10.0, 10.5, 3.0], gap=2.0, top=10.0)
    [8.0, 10.0, 3.0]
    """
    placed = [0.0] * len(wanted)
    ceiling = top
    for index in sorted(range(len(wanted)), key=lambda i: -wanted[i]):
        placed[index] = min(wanted[index], ceiling)
        ceiling = placed[index] - gap
    return placed


def label_ends(
    drawn: go.Figure, ends: Sequence[tuple[str, float, str]], axis: tuple[float, float]
) -> None:
    """Name series at the right edge, each at the height where it ends, none over another.

    Args:
        ends: name, height and colour of each series; the height as the axis counts it, which on a
            logarithmic axis is the logarithm.
        axis: lower and upper end of the axis, counted alike.
    """
    low, high = axis
    room = float(drawn.layout.height or 400) - 80
    heights = spread([height for _, height, _ in ends], (high - low) * 15 / room, high)
    for (name, _, colour), height in zip(ends, heights, strict=True):
        drawn.add_annotation(
            xref="paper",
            x=1,
            xanchor="left",
            xshift=6,
            y=height,
            text=name,
            showarrow=False,
            font={"size": 12, "color": colour},
        )
