"""What changed between two runs: each figure's change with its interval, beside none at all."""

import plotly.graph_objects as go

from headroom.charts.palette import BLUE, NEUTRAL
from headroom.charts.theme import describe, figure
from headroom.diff.records import RunDiff
from headroom.diff.sentence import COLUMNS, rows, title_of

PERCENT = 100.0
WIDEST = 3.0  # times the largest change: an interval that says nothing is cut there


def changes(found: RunDiff) -> go.Figure:
    """A row for each figure: its change as a point on its interval; filled where significant."""
    shown = [change for change in found.changes if change.valid] or list(found.changes)
    names = [title_of(change) for change in shown]
    drawn = figure(height=120 + 26 * max(len(shown), 1))
    drawn.add_vline(x=0, line={"color": NEUTRAL, "width": 1.5})
    drawn.add_trace(
        go.Scatter(
            x=[change.change.value * PERCENT for change in shown],
            y=names,
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [(c.change.high - c.change.value) * PERCENT for c in shown],
                "arrayminus": [(c.change.value - c.change.low) * PERCENT for c in shown],
                "thickness": 1.3,
                "width": 4,
                "color": BLUE,
            },
            mode="markers",
            marker={
                "symbol": ["circle" if c.significant else "circle-open" for c in shown],
                "size": 9,
                "color": BLUE,
                "line": {"width": 1.5, "color": BLUE},
            },
            name="change",
        )
    )
    reach = max([abs(c.change.value) for c in shown] + [0.1]) * WIDEST * PERCENT
    drawn.update_layout(
        xaxis={
            "title": {"text": "Change (% of the figure before; shares: percentage points)"},
            "range": [-min(reach, PERCENT), reach],
        },
        yaxis={"categoryorder": "array", "categoryarray": list(reversed(names))},
    )
    return describe(
        drawn,
        "Points: the second run against the first, with the interval in which all changes lie "
        "together at 95 %. Filled: significant.",
        found.sentence,
        COLUMNS,
        rows(found),
    )
