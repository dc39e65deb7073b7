"""Shares and errors: busy components, cache hits, how far the model is off."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from headroom.artefacts import ComparedCell, Estimate
from headroom.charts.palette import BLUE, NEUTRAL, RED, translucent
from headroom.charts.theme import (
    COMPONENT_LOOKS,
    describe,
    figure,
    label_ends,
    measured,
    modelled,
    template,
)
from headroom.wording import amount, metric_name, reading_order, with_range

PERCENT = 100.0


def utilisation_at_limit(utilisation: Mapping[str, float], bound_by: str, load: float) -> go.Figure:
    """How busy each component is when the objective is just met, the busiest on top."""
    ordered = sorted(utilisation.items(), key=lambda item: item[1])
    drawn = figure(height=90 + 34 * max(len(ordered), 1))
    drawn.add_trace(
        go.Bar(
            x=[share * PERCENT for _, share in ordered],
            y=[name for name, _ in ordered],
            orientation="h",
            marker={"color": [RED if name == bound_by else BLUE for name, _ in ordered]},
            text=[
                f"{amount(share, 'fraction')}{', binds' if name == bound_by else ''}"
                for name, share in ordered
            ],
            textposition="outside",
            cliponaxis=False,
        )
    )
    drawn.update_layout(
        xaxis={"title": {"text": "Busy share at the limit (%)"}, "range": [0, 100]},
        yaxis={"showgrid": False},
    )
    return describe(
        drawn,
        f"Model, at {load:,.0f} req/s: the load at which the p95 objective is just met.",
        "Busy share of each component at the limit: "
        + ", ".join(f"{name} {amount(share, 'fraction')}" for name, share in reversed(ordered)),
        ("component", "busy at the limit"),
        [[name, amount(share, "fraction")] for name, share in reversed(ordered)],
    )


def utilisation_against_load(cells: Sequence[ComparedCell], most: int = 4) -> go.Figure:
    """Cores used by one of each component over load, the busiest: measured points on the model."""
    peaks: dict[str, float] = {}
    for cell in cells:
        if cell.metric.startswith("utilisation."):
            peaks[cell.metric] = max(peaks.get(cell.metric, 0.0), cell.measured, cell.predicted)
    drawn = figure(height=400)
    shown = sorted(peaks, key=lambda metric: -peaks[metric])[: min(most, len(COMPONENT_LOOKS))]
    ends = []
    for metric, look in zip(shown, COMPONENT_LOOKS, strict=False):
        own = [cell for cell in cells if cell.metric == metric]
        loads = [cell.load_per_s for cell in own]
        name = metric.removeprefix("utilisation.")
        modelled(drawn, loads, [predicted_of(c) for c in own], name=name, look=look, scale=PERCENT)
        measured(
            drawn,
            loads,
            [measured_of(cell) for cell in own],
            [cell.valid for cell in own],
            name=f"{name}, measured",
            look=look,
            scale=PERCENT,
        )
        ends.append((name, own[-1].predicted * PERCENT, look.colour))
    top = 1.08 * PERCENT * max([peaks[metric] for metric in shown], default=1.0)
    label_ends(drawn, ends, (0.0, top))
    drawn.update_layout(
        xaxis={"title": {"text": "Offered load on this machine (req/s)"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "Busy (% of a core; host: of all)"}, "range": [0, top]},
    )
    return describe(
        drawn,
        "Points: measured CPU time. Lines: model. Of several equal parts, such as the API "
        "replicas, one is shown.",
        "CPU use of the busiest components against load, measured and modelled.",
        ("component", "load, req/s", "measured", "modelled"),
        [
            [
                cell.metric.removeprefix("utilisation."),
                f"{cell.load_per_s:g}",
                amount(cell.measured, "fraction"),
                amount(cell.predicted, "fraction"),
            ]
            for metric in sorted(peaks, key=lambda metric: -peaks[metric])
            for cell in cells
            if cell.metric == metric
        ],
    )


def hit_ratios(cells: Sequence[ComparedCell], target: float | None) -> go.Figure:
    """Hit ratio over load, one panel for each key family: measured points on the model's line."""
    families = list(dict.fromkeys(c.metric for c in cells if c.metric.startswith("hit_ratio.")))
    families.sort(key=lambda metric: (metric == "hit_ratio.all", metric))
    titles = [metric_name(metric).removeprefix("hit ratio, ") for metric in families]
    drawn = make_subplots(
        rows=1,
        cols=max(len(families), 1),
        shared_yaxes=True,
        subplot_titles=titles,
        horizontal_spacing=0.03,
    )
    drawn.update_layout(template=template(), height=360, margin={"r": 24, "t": 40})
    for column, metric in enumerate(families, start=1):
        panel = figure()
        own = [cell for cell in cells if cell.metric == metric]
        loads = [cell.load_per_s for cell in own]
        modelled(panel, loads, [predicted_of(cell) for cell in own], name="model", scale=PERCENT)
        measured(
            panel,
            loads,
            [measured_of(cell) for cell in own],
            [cell.valid for cell in own],
            name="measured",
            scale=PERCENT,
        )
        drawn.add_traces(panel.data, rows=1, cols=column)
        if target is not None and metric == "hit_ratio.all":
            drawn.add_hline(
                y=target * PERCENT,
                line={"color": NEUTRAL, "width": 2, "dash": "longdash"},
                annotation={
                    "text": f"objective {amount(target, 'fraction')}",
                    "font": {"size": 12},
                },
                annotation_position="top left",
                row=1,
                col=column,
            )
    drawn.update_xaxes(title_text="(req/s)", rangemode="tozero")
    drawn.update_xaxes(title_text="Offered load (req/s)", col=1)  # in all, they meet on paper
    drawn.update_yaxes(range=[0, 100])
    drawn.update_yaxes(ticks="")
    drawn.update_yaxes(title_text="Hit ratio (%)", ticks="outside", col=1)
    return describe(
        drawn,
        "Points: measured. Line: model, fed the same requests. Both start cold, so these are the "
        "ratios of the measured window, not of a warm day.",
        "Cache hit ratio for each key family against load, measured and modelled.",
        ("key family", "load, req/s", "measured", "modelled"),
        [
            [
                metric_name(cell.metric).removeprefix("hit ratio, "),
                f"{cell.load_per_s:g}",
                with_range(measured_of(cell), "fraction"),
                with_range(predicted_of(cell), "fraction"),
            ]
            for metric in families
            for cell in cells
            if cell.metric == metric
        ],
    )


def model_errors(cells: Sequence[ComparedCell]) -> go.Figure:
    """Prediction over measurement minus one, a point for each load, a row for each metric."""
    having = [
        cell
        for cell in cells
        if cell.error_fraction is not None and not cell.metric.startswith("utilisation.")
    ]
    having.sort(key=lambda cell: reading_order(cell.metric))
    metrics = list(dict.fromkeys(cell.metric for cell in having))
    drawn = figure(height=110 + 30 * max(len(metrics), 1))
    for low_high, opacity in ((25, 0.06), (10, 0.12)):
        drawn.add_vrect(
            x0=-low_high,
            x1=low_high,
            fillcolor=translucent(NEUTRAL, opacity),
            line={"width": 0},
            layer="below",
        )
    drawn.add_vline(x=0, line={"color": NEUTRAL, "width": 1.5})
    drawn.add_trace(
        go.Scatter(
            x=[(cell.error_fraction or 0.0) * PERCENT for cell in having],
            y=[metric_name(cell.metric) for cell in having],
            mode="markers",
            marker={
                "symbol": ["circle" if cell.valid else "circle-open" for cell in having],
                "size": 9,
                "color": BLUE,
                "line": {"width": 1.5, "color": BLUE},
            },
            text=[f"{cell.load_per_s:g} req/s" for cell in having],
            hovertemplate="%{y} at %{text}: %{x:+.1f} %<extra></extra>",
        )
    )
    drawn.update_layout(
        xaxis={"title": {"text": "Prediction − measurement (% of the measurement)"}},
        yaxis={
            "categoryorder": "array",
            "categoryarray": [metric_name(metric) for metric in reversed(metrics)],
        },
    )
    return describe(
        drawn,
        "Each point is one load (hollow: run not valid). Shaded: within 10 % and within 25 %.",
        "Relative error of the prediction for each metric and load.",
        ("metric", "load, req/s", "error"),
        [
            [
                metric_name(cell.metric),
                f"{cell.load_per_s:g}",
                f"{(cell.error_fraction or 0.0) * PERCENT:+.1f} %",
            ]
            for cell in having
        ],
    )


def measured_of(cell: ComparedCell) -> Estimate:
    """The measured side of a compared cell."""
    return Estimate(value=cell.measured, low=cell.measured_low, high=cell.measured_high)


def predicted_of(cell: ComparedCell) -> Estimate:
    """The predicted side of a compared cell."""
    return Estimate(value=cell.predicted, low=cell.predicted_low, high=cell.predicted_high)
