"""The colours of all figures, for light pages and for dark ones.

After Okabe and Ito [okabe2008], darker on white and lighter on black, so that a line has the
contrast that WCAG 2.1, 1.4.11 asks for, and that colour-blind readers tell any two apart
(tests/unit/test_palette.py computes both). Colour is never alone: symbol, dash, pattern and words
say the same, so a figure reads on grey paper.

Figures are made for a light page; `in_scheme` gives the same figure for a dark one.
"""

import json
import re
from typing import Final, Literal

import plotly.graph_objects as go

Scheme = Literal["light", "dark"]

BLUE, GREEN, RED, ORANGE, PURPLE = "#0072B2", "#006B4F", "#C23B00", "#B58900", "#8E2F7A"
NEUTRAL = "#6B7280"
INK, PAGE = "#1B1F24", "#FFFFFF"
DARK_PAGE = "#0F1419"  # also --bg of the report's stylesheet

DARK: Final = {  # what stands on a dark page in place of each colour
    BLUE: "#56B4E9",
    GREEN: "#2FD39B",
    RED: "#F0743A",
    ORANGE: "#F2D25C",
    PURPLE: "#DB6FC0",
    NEUTRAL: "#9AA5B1",
    INK: "#E6EDF3",
    PAGE: DARK_PAGE,
}


def channels(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of a #rrggbb colour, 0 to 255.

    >>> channels("#0072B2")
    (0, 114, 178)
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue


def translucent(colour: str, opacity: float) -> str:
    """A #rrggbb colour as rgba text.

    >>> translucent("#0072B2", 0.5)
    'rgba(0,114,178,0.5)'
    """
    return f"rgba({','.join(str(part) for part in channels(colour))},{opacity:g})"


def exchanges() -> dict[str, str]:
    """What to replace in the text of a figure to have it on a dark page, opaque and translucent."""
    opaque = dict(DARK)
    seen_through = {_beginning(light): _beginning(dark) for light, dark in DARK.items()}
    return opaque | seen_through


def _beginning(colour: str) -> str:
    return translucent(colour, 0).removesuffix("0)")


def in_scheme(drawn: go.Figure, scheme: Scheme) -> go.Figure:
    """The same figure in the colours of a light or a dark page."""
    if scheme == "light":
        return drawn
    table = exchanges()
    found = re.compile("|".join(re.escape(colour) for colour in table))
    text: str = drawn.to_json()
    return go.Figure(json.loads(found.sub(lambda match: table[match[0]], text)))
