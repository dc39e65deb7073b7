"""How a bill grows with the load, and how CPU credits come and go along the day."""

import math
from itertools import cycle

import plotly.graph_objects as go

from headroom.charts.palette import NEUTRAL
from headroom.charts.theme import (
    COMPONENT_LOOKS,
    Look,
    describe,
    figure,
    label_ends,
    level,
    log_axis,
    modelled,
)
from headroom.load_cost import CreditsRecord, LoadCost
from headroom.wording import amount, cents, digits


def bill_growth(found: LoadCost) -> go.Figure:
    """Dollars a month of each part of the bill over the mean load, both axes logarithmic."""
    loads = [point.load_per_s for point in found.growth]
    names = [name for name, usd in found.growth[-1].usd.items() if usd > 0]
    drawn = figure(height=440)
    totals = [point.total_usd for point in found.growth]
    modelled(drawn, loads, totals, name="total", look=Look(NEUTRAL, "circle", "solid"))
    ends = [("total", math.log10(totals[-1].value), NEUTRAL)]
    values = [end for usd in totals for end in (usd.low, usd.high)]
    for name, look in zip(names, cycle(COMPONENT_LOOKS), strict=False):
        own = [point.usd.get(name, 0.0) for point in found.growth]
        shown = [usd if usd > 0 else None for usd in own]  # a logarithm has no place for 0
        drawn.add_trace(
            go.Scatter(
                x=loads,
                y=shown,
                mode="lines",
                line={"color": look.colour, "width": 2, "dash": look.dash},
                name=name.replace("_", " "),
            )
        )
        values += [usd for usd in own if usd > 0]
        ends.append((name.replace("_", " "), math.log10(own[-1]), look.colour))
    drawn.update_layout(
        xaxis=log_axis(loads, "Mean load (req/s, logarithmic)"),
        yaxis=log_axis(values, "US dollars a month (logarithmic)"),
        margin={"r": 150},
    )
    low, high = drawn.layout.yaxis.range
    label_ends(drawn, ends, (low, high))
    first, last = found.growth[0], found.growth[-1]
    return describe(
        drawn,
        "Lines: each part of the bill and the total with the range of its prices, when traffic and "
        "API servers grow with the load and the rest stays as designed.",
        f"From {digits(first.load_per_s)} to {digits(last.load_per_s)} req/s the bill grows from "
        f"{cents(first.total_usd.value)} to {cents(last.total_usd.value)} a month.",
        ("mean load, req/s", "API servers", *(name.replace("_", " ") for name in names), "total"),
        [
            [
                digits(point.load_per_s),
                str(point.replicas),
                *(cents(point.usd.get(name, 0.0)) for name in names),
                cents(point.total_usd.value),
            ]
            for point in found.growth
        ],
    )


def credit_balance(found: CreditsRecord) -> go.Figure:
    """Credits of one server along the demand curve; below 0 are surplus credits owed."""
    drawn = figure(height=320)
    drawn.add_trace(
        go.Scatter(
            x=list(found.hours),
            y=list(found.balance),
            mode="lines",
            line={"color": COMPONENT_LOOKS[1].colour, "width": 2},
            name="credits kept",
        )
    )
    level(drawn, 0.0, "nothing kept")
    drawn.update_layout(
        xaxis={"title": {"text": "Time since midnight of the first day (h)"}},
        yaxis={"title": {"text": "CPU credits (vCPU-minutes)"}},
    )
    few = range(0, len(found.hours), max(1, len(found.hours) // 24))
    return describe(
        drawn,
        f"Line: credits of one {found.instance_type} at {amount(found.cpu_s.value, 's')} of CPU a "
        "request, along the demand curve of the scenario.",
        f"Credits of one {found.instance_type}: lowest {digits(min(found.balance))}, highest "
        f"{digits(max(found.balance))}.",
        ("hour", "credits"),
        [[digits(found.hours[i]), digits(found.balance[i], 4)] for i in few],
    )
