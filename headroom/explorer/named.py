"""Values by name as plain plotly data: a stroke on its range, the baseline in grey below it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headroom.artefacts import Estimate
from headroom.charts.palette import BLUE, NEUTRAL, ORANGE, translucent
from headroom.charts.theme import stroke
from headroom.plan_records import Figure
from headroom.wording import amount, span

ROW = 34  # height of one, px
APART = 0.24  # of a row, between a value and its baseline

Plot = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One line of a chart of values by name."""

    name: str
    now: Figure
    before: Figure | None = None
    measured: Estimate | None = None


@dataclass(frozen=True)
class _Style:
    """How the strokes of one series are drawn; `down` is how far below the middle of a row."""

    down: float
    colour: str
    width: int
    name: str


NOW = _Style(0.0, BLUE, 9, "now")
BEFORE = _Style(APART, NEUTRAL, 4, "baseline")


def words(figure: Figure, unit: str) -> str:
    """A figure with its range; an overload in words.

    >>> words(Figure(value=0.02, low=0.01, high=None), "s")
    '20 ms (from 10 ms)'
    """
    if figure.value is None:
        return "overloaded"
    text = amount(figure.value, unit)
    if figure.low is None or figure.low == figure.high:
        return text
    ends = f"from {amount(figure.low, unit)}"
    if figure.high is not None:
        ends = span(figure.low, figure.high, unit)
    return text if ends == text else f"{text} ({ends})"


def plot(data: list[Plot], layout: Plot, caption: str, alternative: str, height: int = 300) -> Plot:
    """A figure as the page draws it, with what a reader without the picture needs."""
    whole = {"height": height, "showlegend": False, "uirevision": "kept"} | layout
    return {"data": data, "layout": whole, "caption": caption, "alternative": alternative}


def note(text: str, colour: str | None = None, **where: object) -> Plot:
    """A text in a figure."""
    font: Plot = {"size": 12} | ({"color": colour} if colour else {})
    return {"text": text, "showarrow": False, "font": font, **where}


def by_name(
    rows: Sequence[Row],
    unit: str,
    axis: Mapping[str, Any],
    caption: str,
    alternative: str,
    *,
    scale: float = 1.0,
    objective: tuple[float, str] | None = None,
) -> Plot:
    """Values by name: a stroke on its range, the baseline in grey below it."""
    names = [row.name for row in rows]
    data = [*_strokes([row.now for row in rows], NOW, scale, names)]
    before = [row.before for row in rows]
    if any(before):
        data += _strokes(before, BEFORE, scale, names)
    data += _dots(rows, scale)
    labels = [
        note(_label(row, unit), xref="paper", x=1, xanchor="left", xshift=8, y=place,
              align="left")
        for place, row in enumerate(rows)
    ]  # fmt: skip
    shapes = []
    if objective is not None:
        at, text = objective
        shapes = [{
            "type": "line", "yref": "paper", "x0": at * scale, "x1": at * scale, "y0": 0, "y1": 1,
            "line": {"color": NEUTRAL, "width": 2, "dash": "longdash"},
        }]  # fmt: skip
        x = math.log10(at * scale) if axis.get("type") == "log" else at * scale
        labels.append(note(text, x=x, xanchor="left", xshift=4, yref="paper", y=1.0,
                            yanchor="bottom"))  # fmt: skip
    layout = {
        "xaxis": {"nticks": 6, **axis},
        "yaxis": {
            "tickvals": list(range(len(rows))),
            "ticktext": names,
            "range": [len(rows) - 0.4, -0.6],
            "showgrid": False,
            "ticks": "",
            "fixedrange": True,
            "automargin": True,
        },
        "margin": {"l": 112, "r": 132, "t": 26, "b": 44},
        "shapes": shapes,
        "annotations": labels,
    }
    return plot(data, layout, caption, alternative, height=84 + ROW * max(len(rows), 1))


def _label(row: Row, unit: str) -> str:
    text, was = _short(row.now, unit), "" if row.before is None else _short(row.before, unit)
    if was and was != text:
        text += f'<span style="color:{NEUTRAL}"> was {was}</span>'
    return text.replace("$", "&#36;")  # two dollar signs would be a formula


def _short(figure: Figure, unit: str) -> str:
    return "overloaded" if figure.value is None else amount(figure.value, unit)


def _strokes(
    figures: Iterable[Figure | None],
    style: _Style,
    scale: float,
    names: Sequence[str],
) -> list[Plot]:
    down, colour, width, name = style.down, style.colour, style.width, style.name
    ranges_x: list[float | None] = []
    ranges_y: list[float | None] = []
    x: list[float] = []
    y: list[float] = []
    texts: list[str] = []
    for place, (figure, own) in enumerate(zip(figures, names, strict=True)):
        if figure is None:
            continue
        if figure.low is not None and figure.high is not None:
            ranges_x += [figure.low * scale, figure.high * scale, None]
            ranges_y += [place + down, place + down, None]
        if figure.value is not None:
            x.append(figure.value * scale)
            y.append(place + down)
            texts.append(f"{own}, {name}")
    mark = stroke(colour)
    mark["size"] = 7 + width
    return [
        {
            "type": "scatter", "mode": "lines", "x": ranges_x, "y": ranges_y, "hoverinfo": "skip",
            "line": {"color": translucent(colour, 0.35), "width": width},
        },
        {
            "type": "scatter", "mode": "markers", "x": x, "y": y, "marker": mark, "name": name,
            "text": texts, "hovertemplate": "%{text}: %{x:.4g}<extra></extra>",
        },
    ]  # fmt: skip


def _dots(rows: Sequence[Row], scale: float) -> list[Plot]:
    found = [(place, row.measured) for place, row in enumerate(rows) if row.measured is not None]
    if not found:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [m.value * scale for _, m in found],
            "y": [place - APART for place, _ in found],
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [(m.high - m.value) * scale for _, m in found],
                "arrayminus": [(m.value - m.low) * scale for _, m in found],
                "color": ORANGE,
            },
            "marker": {"size": 9, "color": ORANGE, "symbol": "circle"},
            "name": "measured",
        }
    ]
