"""The colours: contrast on both pages, and apart for readers of every kind of colour vision."""

import itertools
import json

import numpy as np
import plotly.graph_objects as go
import pytest
from numpy.typing import NDArray

from headroom.artefacts import Estimate
from headroom.charts.palette import (
    BLUE,
    DARK,
    DARK_PAGE,
    GREEN,
    INK,
    NEUTRAL,
    ORANGE,
    PAGE,
    PURPLE,
    RED,
    channels,
    in_scheme,
)
from headroom.charts.theme import figure, modelled

SERIES = (BLUE, GREEN, RED, ORANGE, PURPLE, NEUTRAL)
SCHEMES = {"light": (SERIES, PAGE), "dark": (tuple(DARK[c] for c in SERIES), DARK_PAGE)}

# Simulation of complete colour blindness on linear RGB [machado2009, table 1, severity 1.0]
VISIONS = {
    "full": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TOLD_APART = 10.0  # CIE 1976 difference; about 2.3 is just noticeable


def linear(colour: str) -> NDArray[np.float64]:
    parts = np.array(channels(colour)) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    weights = np.array([0.2126, 0.7152, 0.0722])
    darker, lighter = sorted(float(linear(colour) @ weights) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE L*a*b* of linear sRGB, white point D65."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_lines_have_three_to_one_and_text_four_and_a_half_to_one_contrast(scheme: str) -> None:
    colours, page = SCHEMES[scheme]
    assert all(contrast(colour, page) >= 3.0 for colour in colours)  # WCAG 2.1, 1.4.11
    ink = INK if scheme == "light" else DARK[INK]
    assert contrast(ink, page) >= 7.0
    labels = [c for c in colours if c not in (ORANGE, DARK[ORANGE])]
    assert all(contrast(colour, page) >= 4.5 for colour in labels)  # WCAG 2.1, 1.4.3


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_any_two_colours_are_told_apart_by_every_kind_of_colour_vision(
    scheme: str, vision: str
) -> None:
    seen = np.array(VISIONS[vision])
    colours, _ = SCHEMES[scheme]
    for one, other in itertools.combinations(colours, 2):
        apart = np.linalg.norm(lab(seen @ linear(one)) - lab(seen @ linear(other)))
        assert apart >= TOLD_APART, (one, other, vision)


def test_a_figure_for_a_dark_page_keeps_no_colour_of_the_light_one() -> None:
    drawn = figure()
    estimates = [Estimate(value=2.0, low=1.0, high=3.0)] * 2
    modelled(drawn, [1.0, 2.0], estimates, name="model")
    dark = in_scheme(drawn, "dark")
    text = json.dumps(dark.to_plotly_json(), default=list)
    for light, on_dark in DARK.items():
        assert light not in text or on_dark == light
    assert "rgba(0,114,178" not in text
    assert dark.data[1].line.color == DARK[BLUE]
    assert dark.layout.template.layout.paper_bgcolor == DARK_PAGE
    assert list(dark.data[1].y) == [2.0, 2.0]
    assert isinstance(in_scheme(drawn, "light"), go.Figure)
    assert in_scheme(drawn, "light").data[1].line.color == BLUE
