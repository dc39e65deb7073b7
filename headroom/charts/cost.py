"""What the document states beside what the price book says."""

from collections.abc import Mapping

import plotly.graph_objects as go

from headroom.artefacts import BillArtefact, Estimate
from headroom.charts.palette import BLUE, NEUTRAL
from headroom.charts.theme import describe, figure, log_axis, modelled, stroke
from headroom.wording import digits, dollars, with_range


def cost_of_a_million_requests(by_load: Mapping[float, Estimate]) -> go.Figure:
    """Dollars for a million requests over the mean load that the architecture is given."""
    loads, prices = list(by_load), list(by_load.values())
    drawn = figure()
    modelled(drawn, loads, prices, name="cost of a million requests")
    drawn.update_layout(
        xaxis=log_axis(loads, "Mean load (req/s, logarithmic)"),
        yaxis={"title": {"text": "Cost of a million requests (US dollars)"}, "rangemode": "tozero"},
    )
    return describe(
        drawn,
        "Line: priced from the book, with the range of its prices.",
        f"A million requests cost {dollars(prices[0].value)} at {digits(loads[0])} req/s and "
        f"{dollars(prices[-1].value)} at {digits(loads[-1])} req/s.",
        ("mean load, req/s", "a million requests"),
        [[digits(load), with_range(price, "usd")] for load, price in by_load.items()],
    )


def stated_and_repriced(bill: BillArtefact) -> go.Figure:
    """Each line of the document's cost table (square) joined to its re-priced figure (stroke)."""
    rows = [row for row in bill.repriced if row.stated_usd is not None or row.repriced_usd]
    names = [row.item for row in rows]
    drawn = figure(height=120 + 34 * max(len(rows), 1))
    for row in rows:
        if row.stated_usd is not None and row.repriced_usd is not None:
            drawn.add_trace(
                go.Scatter(
                    x=[row.stated_usd, row.repriced_usd.value],
                    y=[row.item, row.item],
                    mode="lines",
                    line={"color": NEUTRAL, "width": 1.5},
                    hoverinfo="skip",
                )
            )
    stated = [row for row in rows if row.stated_usd is not None]
    drawn.add_trace(
        go.Scatter(
            x=[row.stated_usd for row in stated],
            y=[row.item for row in stated],
            mode="markers",
            marker={
                "symbol": "square-open",
                "size": 11,
                "color": NEUTRAL,
                "line": {"width": 2, "color": NEUTRAL},
            },
            name="stated",
        )
    )
    priced = [(row.item, row.repriced_usd) for row in rows if row.repriced_usd is not None]
    drawn.add_trace(
        go.Scatter(
            x=[usd.value for _, usd in priced],
            y=[item for item, _ in priced],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [usd.high - usd.value for _, usd in priced],
                "arrayminus": [usd.value - usd.low for _, usd in priced],
                "thickness": 1.3,
                "width": 4,
                "color": BLUE,
            },
            mode="markers",
            marker=stroke(BLUE),
            name="re-priced",
        )
    )
    drawn.update_layout(
        xaxis={"title": {"text": "US dollars a month"}, "rangemode": "tozero"},
        yaxis={"categoryorder": "array", "categoryarray": list(reversed(names))},
    )
    return describe(
        drawn,
        "□ as the document states it · ❘ re-priced from the price book, with the range that the "
        "confidence in its price allows.",
        "Monthly cost of each component, stated by the document and re-priced.",
        ("component", "stated", "re-priced"),
        [
            [
                row.item,
                "–" if row.stated_usd is None else dollars(row.stated_usd),
                "–" if row.repriced_usd is None else with_range(row.repriced_usd, "usd"),
            ]
            for row in rows
        ],
    )
