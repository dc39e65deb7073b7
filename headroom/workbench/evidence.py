"""Predicted, measured, and the two beside each other."""

from functools import cached_property
from typing import get_args

import pandas as pd
import plotly.graph_objects as go

from headroom import charts
from headroom.artefacts import (
    Calibration,
    ComparedCell,
    Demand,
    MeasuredCell,
    PredictedCell,
    Prediction,
    Run,
    Status,
    Summary,
    Verdict,
)
from headroom.charts import theme
from headroom.compare import compared
from headroom.sections import Html, error_summary, objectives, paragraph, pill, table, validity
from headroom.verdict import peak_estimate
from headroom.wording import amount, with_range
from headroom.workbench import frames
from headroom.workbench.answers import Answer

SHOWN = ("mean_s", "p95_s", "p99_s")


class Calibrated(Answer):
    """What one request of each kind costs, measured at low load."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.artefact = run.read(Calibration)

    @property
    def sentence(self) -> str:
        """The dearest request, and the part that most of its time goes to."""
        totals = self._totals
        dearest = max(totals, key=lambda kind: totals[kind])
        own = [d for d in self.artefact.demands if _kind(d) == dearest]
        most = max(own, key=lambda demand: demand.cpu_s.value)
        return (
            f"{dearest} costs most: {amount(totals[dearest], 's')} of CPU, "
            f"{amount(most.cpu_s.value, 's')} of it in {most.component}."
        )

    @cached_property
    def frame(self) -> pd.DataFrame:
        """CPU time of each kind of request at each component."""
        return pd.DataFrame(
            {
                "operation": each.operation,
                "outcome": each.outcome,
                "component": each.component,
                "cpu_s": each.cpu_s.value,
                "low": each.cpu_s.low,
                "high": each.cpu_s.high,
                "samples": each.samples,
            }
            for each in self.artefact.demands
        )

    @property
    def _totals(self) -> dict[str, float]:
        totals: dict[str, float] = {}
        for each in self.artefact.demands:
            if each.component != "secondaries":
                totals[_kind(each)] = totals.get(_kind(each), 0.0) + each.cpu_s.value
        return dict(sorted(totals.items(), key=lambda item: item[1]))

    def _picture(self, what: str) -> go.Figure:
        parts = [d for d in self.artefact.demands if d.component != "secondaries"]
        drawn = theme.figure(height=130 + 30 * len(self._totals))
        for component in dict.fromkeys(each.component for each in parts):
            own = {_kind(d): d.cpu_s.value * 1e3 for d in parts if d.component == component}
            drawn.add_trace(
                go.Bar(
                    x=[own.get(kind, 0.0) for kind in self._totals],
                    y=list(self._totals),
                    orientation="h",
                    name=component.replace("_", " "),
                )
            )
        drawn.update_layout(
            barmode="stack",
            showlegend=True,
            legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
            xaxis={"title": {"text": "CPU time of one request (ms)"}},
            yaxis={"showgrid": False},
        )
        rows = [[kind, amount(cpu_s, "s")] for kind, cpu_s in reversed(self._totals.items())]
        return theme.describe(
            drawn,
            "Measured at low load, by component.",
            f"CPU time of one request: {', '.join(' '.join(row) for row in rows)}",
            ("request", "CPU time"),
            rows,
        )

    def _details(self) -> str:
        demands = sorted(self.artefact.demands, key=_kind)
        rows = [
            (_kind(each), each.component, with_range(each.cpu_s, "s"), str(each.samples))
            for each in demands
            if each.cpu_s.value > 1e-5
        ]
        return table(("Request", "Component", "CPU time of one", "Samples"), rows, numeric=(2, 3))


def _kind(demand: Demand) -> str:
    known = {"none": "", "hit": ", from the cache", "miss": ", not in the cache"}
    return f"{demand.operation.replace('_', ' ')}{known[demand.outcome]}"


class Forecast(Answer):
    """What the live stack will do, said before anything is offered to it."""

    pictures = ("here", "production")

    def __init__(self, run: Run, *, assumed: bool) -> None:
        self.run = run
        self.scenario = run.scenario
        self.artefact = run.read(Prediction)
        self.assumed = assumed
        able = self.artefact.production.load_per_s.value >= peak_estimate(self.scenario).value
        self.status = "PASS" if able else "FAIL"

    @property
    def sentence(self) -> str:
        """The load that production carries, beside the peak."""
        found, aims = self.artefact.production, self.scenario.objectives
        return (
            f"The model says {with_range(found.load_per_s, 'req/s')} at p95 ≤ "
            f"{amount(aims.p95_s, 's')}, bound by {found.bound_by}, for a peak of "
            f"{with_range(peak_estimate(self.scenario), 'req/s')}; "
            f"{self.artefact.replicas_for_peak} × {self.scenario.topology.api.instance_type} "
            "carry that."
        )

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Every figure of every load, here and in production."""
        return frames.of_prediction(self.artefact)

    @property
    def cells(self) -> tuple[PredictedCell, ...]:
        """What is foretold of each load that will be offered."""
        return self.artefact.cells

    def _picture(self, what: str) -> go.Figure:
        found, scenario = self.artefact, self.scenario
        if what == "production":
            return charts.production_latency(
                found.production_curve,
                scenario.objectives.p95_s,
                found.production,
                peak_estimate(scenario),
            )
        return charts.latency_against_load(
            (), found.curve, scenario.objectives.p95_s, found.local, "this machine"
        )

    def _details(self) -> str:
        rest = (
            "ASSUMPTION: service demands are the shipped example's, not measured here; "
            "hr.predict(s, live) calibrates first."
            if self.assumed
            else f"Calibrated on {self.run.read(Calibration).cores} cores of this machine, stored "
            f"and hashed at {self.artefact.created_at:%H:%M:%S} UTC, before any load."
        )
        rows = [
            (f"{cell.load_per_s:g}", *(with_range(cell.metrics[name], "s") for name in SHOWN))
            for cell in self.cells
            if all(name in cell.metrics for name in SHOWN)
        ]
        columns = ("Load here, req/s", "Mean", "p95", "p99")
        return paragraph(rest) + table(columns, rows, numeric=range(4))


class Measurement(Answer):
    """What the live stack did."""

    pictures = ("latency", "hit ratio", "utilisation", "errors")

    def __init__(self, run: Run, forecast: Forecast) -> None:
        self.run, self.forecast = run, forecast
        self.scenario = run.scenario
        self.artefact = run.read(Summary)
        self.status = "" if self._valid else "INVALID"

    @property
    def cells(self) -> tuple[MeasuredCell, ...]:
        """Each load with what was measured."""
        return self.artefact.cells

    @property
    def _valid(self) -> list[MeasuredCell]:
        return [cell for cell in self.cells if cell.conditions.valid]

    @property
    def sentence(self) -> str:
        """The highest load that counts, with its p95."""
        counted = f"{len(self._valid)} of {len(self.cells)} runs count"
        having = [cell for cell in self._valid if "p95_s" in cell.metrics]
        if not having:
            reasons = [reason for cell in self.cells for reason in cell.conditions.reasons]
            return f"{counted}: {reasons[0]}." if reasons else f"{counted}."
        top = max(having, key=lambda cell: cell.load_per_s)
        return (
            f"At {top.load_per_s:g} req/s p95 is {with_range(top.metrics['p95_s'], 's')}, "
            f"{amount(self.scenario.objectives.p95_s, 's')} allowed; {counted}."
        )

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Every figure of every load and repeat."""
        return frames.of_measurement(self.artefact)

    def _picture(self, what: str) -> go.Figure:
        return picture(self.forecast, tuple(self._compared), what)

    @property
    def _compared(self) -> tuple[ComparedCell, ...]:
        return compared(self.forecast.artefact, self.artefact)

    def _details(self) -> str:
        rows = [
            (
                f"{cell.load_per_s:g}",
                f"{cell.requests:,}",
                *(with_range(cell.metrics[n], "s") if n in cell.metrics else "–" for n in SHOWN),
                pill("PASS" if cell.conditions.valid else "INVALID"),
                "; ".join(cell.conditions.reasons),
            )
            for cell in sorted(self.cells, key=lambda cell: (cell.load_per_s, cell.repeat))
        ]
        columns = ("Load, req/s", "Requests", "Mean", "p95", "p99", "Counts", "Why not")
        return table(columns, rows, numeric=range(5))


class Comparison(Answer):
    """Prediction beside measurement, and the verdict on the run."""

    pictures = ("latency", "hit ratio", "utilisation", "errors")

    def __init__(self, forecast: Forecast, measurement: Measurement, found: Verdict | None) -> None:
        self.forecast, self.measurement, self.verdict = forecast, measurement, found
        self.cells = compared(forecast.artefact, measurement.artefact)
        if found is not None:
            assert found.status in get_args(Status)
            self.status = found.status

    @property
    def blind(self) -> bool:
        """Whether the prediction was there before the first of these loads."""
        first = min(cell.started_at for cell in self.measurement.cells)
        return self.forecast.artefact.created_at < first

    @property
    def sentence(self) -> str:
        """The verdict; and how far the foretold p95 was off."""
        said = "" if self.verdict is None else f"{self.verdict.sentence}. "
        errors = [
            cell.error_fraction
            for cell in self.cells
            if cell.metric == "mean_s" and cell.valid and cell.error_fraction is not None
        ]
        when = "before" if self.blind else "AFTER"
        if not errors:
            return f"{said}No valid run to judge the model by."
        worst = max(errors, key=abs)
        return f"{said}The mean latency, foretold {when} the load, was off by {worst:+.0%} at most."

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Predicted beside measured, for each metric and load."""
        return frames.of_comparison(self.cells)

    def _picture(self, what: str) -> go.Figure:
        return picture(self.forecast, self.cells, what)

    def _details(self) -> str:
        found = ""
        if self.verdict is not None:
            actions = "".join(f"<li>{text}</li>" for text in self.verdict.actions)
            found = objectives(self.verdict) + f"<p>What to do next:</p><ol>{actions}</ol>"
        return Html(
            found
            + f"<details><summary>How far the model is off</summary>{error_summary(self.cells)}"
            + "</details><details><summary>Which runs count</summary>"
            + f"{validity(self.measurement.artefact)}</details>"
        )


def picture(forecast: Forecast, cells: tuple[ComparedCell, ...], what: str) -> go.Figure:
    """One of the pictures of a comparison."""
    found, aims = forecast.artefact, forecast.scenario.objectives
    match what:
        case "hit ratio":
            return charts.hit_ratios(cells, aims.hit_ratio_fraction)
        case "utilisation":
            return charts.utilisation_against_load(cells)
        case "errors":
            return charts.model_errors(cells)
        case _:
            return charts.latency_against_load(
                cells, found.curve, aims.p95_s, found.local, "this machine"
            )
