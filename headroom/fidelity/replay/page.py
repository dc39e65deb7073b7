"""A replayed crowd as a section of docs/fidelity.md, as rows, and as a page of its own."""

from collections.abc import Sequence
from statistics import median

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from headroom.charts import palette, theme
from headroom.fidelity.replay.crowd import machines_at
from headroom.fidelity.replay.records import MeasuredReplay, PredictedWindow, Serving
from headroom.sections import heading, paragraph, table

HEAD = """## A crowd, and machines that come and go

An emulation with two clocks. Demands, rates and timeouts are dilated, as in the cells below; the
demand curve, the lives of cached entries and the autoscaler's period, boot and cool-down all go by
faster than the day, by one factor, so that an hour takes minutes. The machines are as busy as on
the day; fewer requests come in a period than would, so that what the autoscaler sees scatters more.
The live autoscaler reads how busy each machine was from the replicas' metrics, once a period, and
starts or ends real API processes behind the real load balancer. Machines over time, latencies and
failed requests were foretold, and the prediction stored and hashed, before the first request.
"""
COLUMNS = (
    "until, s",
    "requests",
    "machines",
    "foretold",
    "p95, ms",
    "foretold",
    "nine of ten",
    "error",
    "failed",
)
WIDE = "0123456789abcdefghijklmnopqrstuvwxyz"


def replay_section(found: Sequence[MeasuredReplay]) -> str:
    """All replays of all occasions; empty where there is none."""
    if not found:
        return ""
    return "\n".join([HEAD, *(_one(each) for each in found)])


def _one(found: MeasuredReplay) -> str:
    said = found.prediction
    title, columns, rows = crowd_rows(found)
    lines = [
        f"### {title}\n",
        summary(found) + "\n",
        "Machines that served at the end of each period; at least and at most: nine of ten "
        "predictions for the same requests, with overheads from none to twice the fitted ones.\n",
        "```text",
        *chart(found),
        "```\n",
        "Latencies are modelled ms (divided by the scale).\n",
        f"| {' | '.join(columns)} |",
        "|" + "---|" * len(columns),
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"Overheads fitted before, at low load on {said.serving[0].machines} machines: "
        f"{said.constants.outside_s * 1e3:.1f} ms a request, {said.constants.visit_s * 1e3:.1f} ms "
        f"a hold (real time), {said.constants.overhead_fraction:.0%} of the holds. Prediction "
        f"`{found.prediction_sha256[:12]}`.\n",
    ]
    return "\n".join(lines)


def summary(found: MeasuredReplay) -> str:
    """What came of it, in sentences."""
    said = found.prediction
    valid = "" if found.valid else f" INVALID: {'; '.join(found.conditions.reasons)}."
    errors = [abs(error) for error in p95_errors(found)]
    correlation = "" if found.correlation is None else f", correlation {found.correlation:.3f}"
    return (
        f"{said.minutes:g} minutes around the highest one of `{said.scenario}`, "
        f"{said.times_the_day:.0f} times its crowd, in {said.minutes * 60 / said.speed:.0f} s; "
        f"emulation (dilated ×{said.scale:g}, the day ×{said.speed:g} faster).{valid} "
        f"As many machines as foretold {found.same_fraction:.0%} of the time, one more or less "
        f"{found.near_fraction:.0%}; lag {found.lag_periods:+.2f} periods. "
        f"Were overheads anything from none to twice the fitted ones, the model would agree with "
        f"itself {said.kin_fraction:.0%} of the time; at {found.kin_fraction:.0%} of the looks as "
        f"many served as nine of ten of those say. "
        f"{found.same_decisions} of {found.predicted_decisions} foretold decisions made at the "
        f"same look, {found.decisions} made in all. (By the mean curve alone, without queues and "
        f"chance, as many machines {found.plainer_fraction:.0%} of the time.) By their "
        f"own metrics the machines were busy {found.busy_error:+.2%} longer than foretold. "
        f"p95 of a window: median error {median(errors):.1%}, worst {max(errors):.1%}"
        f"{correlation}. Failed requests: {found.failed} of "
        f"{found.requests:,}, foretold {said.failed}. A machine served at most "
        f"{found.boot_late_s:.2f} s after it should have (real time, of a boot of "
        f"{said.boot_s:g} s)."
    )


def p95_errors(found: MeasuredReplay) -> list[float]:
    """Of each window with answers: predicted to measured, less one."""
    both = zip(found.prediction.windows, found.windows, strict=True)
    return [said.p95_s / seen.p95_s - 1 for said, seen in both if seen.p95_s and said.p95_s]


def chart(found: MeasuredReplay) -> list[str]:
    """A letter for each period: how many machines served at its end."""
    said = found.prediction
    periods = int(said.minutes * 60 / said.speed / said.period_s)
    ends_s = np.linspace(said.period_s, periods * said.period_s, periods)

    def line(name: str, serving: Sequence[Serving]) -> str:
        counts = machines_at(serving, ends_s - 1e-6)
        return f"{name:10}{''.join(map(_letter, counts))}"

    kin = [
        f"{name:10}{''.join(_letter(getattr(each, end)) for each in said.kin)}"
        for name, end in (("at least", "low"), ("at most", "high"))
    ]
    return [line("foretold", said.serving), line("live", found.serving), *kin]


def _letter(machines: float) -> str:
    return WIDE[min(int(machines), len(WIDE) - 1)]


def crowd_rows(found: MeasuredReplay) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """A title, columns, and a row for each window."""
    said = found.prediction
    pairs = zip(said.windows, found.windows, strict=True)
    title = f"{said.scenario}, {found.occasion}: emulation (dilated ×{said.scale:g})"
    return title, COLUMNS, [_row(*pair, scale=said.scale) for pair in pairs]


def _row(said: PredictedWindow, seen: PredictedWindow, scale: float) -> tuple[str, ...]:
    def ms(real_s: float) -> str:
        return f"{real_s * 1e3 / scale:.1f}"

    spread = said.p95_range_s
    return (
        f"{seen.until_s:.0f}",
        str(seen.requests),
        f"{seen.machines:.1f}",
        f"{said.machines:.1f}",
        ms(seen.p95_s),
        ms(said.p95_s),
        "–" if spread is None else f"{ms(spread.low)} to {ms(spread.high)}",
        f"{said.p95_s / seen.p95_s - 1:+.1%}" if seen.p95_s else "–",
        f"{seen.failed} ({said.failed})",
    )


def replay_html(found: MeasuredReplay) -> str:
    """A page that opens offline: the sentences, the picture, the rows."""
    title, columns, rows = crowd_rows(found)
    picture = _picture(found).to_html(full_html=False, include_plotlyjs=True)
    numeric = tuple(range(len(columns)))
    parts = (
        heading(title),
        paragraph(summary(found)),
        picture,
        table(columns, rows, numeric=numeric),
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"</head><body>{''.join(parts)}</body></html>\n"
    )


def _picture(found: MeasuredReplay) -> go.Figure:
    said = found.prediction
    end_s = said.minutes * 60 / said.speed
    drawn = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for serving, name, colour, dash in (
        (said.serving, "machines, foretold", palette.BLUE, "dash"),
        (found.serving, "machines, live", palette.GREEN, "solid"),
    ):
        drawn.add_trace(
            go.Scatter(
                x=[*(each.from_s for each in serving), end_s],
                y=[*(each.machines for each in serving), serving[-1].machines],
                line={"shape": "hv", "color": colour, "dash": dash},
                name=name,
            ),
            row=1,
            col=1,
        )
    for windows, name, colour, dash in (
        (said.windows, "p95, foretold", palette.BLUE, "dash"),
        (found.windows, "p95, live", palette.RED, "solid"),
    ):
        drawn.add_trace(
            go.Scatter(
                x=[each.until_s for each in windows],
                y=[each.p95_s * 1e3 / said.scale for each in windows],
                line={"color": colour, "dash": dash},
                name=name,
            ),
            row=2,
            col=1,
        )
    drawn.add_trace(
        go.Scatter(
            x=[look.at_s for look in found.looks],
            y=[look.used_fraction for look in found.looks],
            line={"color": palette.NEUTRAL},
            name="used, live",
        ),
        row=3,
        col=1,
    )
    titles = ("API machines", "p95 (modelled ms)", "Used share of slots")
    for row, text in enumerate(titles, 1):
        drawn.update_yaxes(title={"text": text}, rangemode="tozero", row=row, col=1)
    drawn.update_xaxes(title={"text": "Real seconds"}, row=3, col=1)
    drawn.update_layout(template=theme.template(), height=640)
    return drawn
