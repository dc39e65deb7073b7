"""A crowd that comes all at once: the recorded demand, the autoscaler, and who waits meanwhile."""

from functools import cached_property

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from headroom.artefacts import Calibration
from headroom.charts import palette, theme
from headroom.demands import Target, stack_model_at
from headroom.sections import paragraph, table
from headroom.wording import amount, digits
from headroom.workbench.answers import Answer
from sim.kernel import simulate
from sim.scenario import Scenario
from sim.workload import demand_of, demand_trace

MINUTE_S = 60.0
LEAD_IN_S = 1800.0  # before the highest minute, for caches to warm and the autoscaler to settle
AFTER_S = 1800.0
WARMING_S = 600.0  # of the lead-in, not judged


class Crowd(Answer):
    """The minutes around the highest one of a demand curve, by the simulation engine."""

    def __init__(self, scenario: Scenario, calibration: Calibration, *, assumed: bool) -> None:
        self.scenario, self.assumed = scenario, assumed
        curve = demand_of(scenario.workload)
        highest_s = float(np.argmax(curve.shape)) * curve.step_s
        start_s = max(0.0, highest_s - LEAD_IN_S)
        rng = np.random.default_rng(scenario.experiment.seed)
        trace = demand_trace(scenario.workload, highest_s - start_s + AFTER_S, rng, start_s)
        model = stack_model_at(scenario, calibration, Target.PRODUCTION, curve.peak_load_per_s)
        found = simulate(model, trace, seed=scenario.experiment.seed)
        self._arrival_s, self._sojourn_s = trace.arrival_s, found.sojourn_s
        self._ok = found.is_ok
        self.actions = tuple((at_s, count) for at_s, _, count in found.scaling)
        scaling = scenario.topology.api.autoscaling
        self._boot_s = scaling.boot_s if scaling else 0.0
        first = scenario.topology.api.replicas
        self._first = max(first, scaling.min_replicas) if scaling else first
        aims = scenario.objectives
        held = self.worst_p95_s <= aims.p95_s and self.error_fraction <= aims.error_fraction
        self.status = "PASS" if held else "FAIL"

    @cached_property
    def frame(self) -> pd.DataFrame:
        """A row a minute: requests, p95, failed requests, and the servers that serve."""
        minute: NDArray[np.intp] = (self._arrival_s // MINUTE_S).astype(np.intp)
        rows = []
        for number in range(int(minute[-1])):  # the last one is not whole
            own = minute == number
            ok = own & self._ok
            ends_s = (number + 1) * MINUTE_S
            rows.append(
                {
                    "minute": number,
                    "load_per_s": own.sum() / MINUTE_S,
                    "p95_s": float(np.quantile(self._sojourn_s[ok], 0.95)) if ok.any() else None,
                    "error_fraction": 1 - ok.sum() / max(1, own.sum()),
                    "servers": self.servers_at(ends_s),
                    "judged": number * MINUTE_S >= WARMING_S,
                }
            )
        return pd.DataFrame(rows)

    def servers_at(self, at_s: float) -> int:
        """API servers that serve at a time: one that was asked for serves once it has booted."""
        serving = self._first
        for asked_s, count in self.actions:
            ready_s = asked_s + (self._boot_s if count > serving else 0.0)
            serving = count if ready_s <= at_s else serving
        return serving

    @property
    def _judged(self) -> pd.DataFrame:
        return self.frame[self.frame.judged]

    @property
    def worst_p95_s(self) -> float:
        """The p95 of the worst minute."""
        return float(self._judged.p95_s.max())

    @property
    def servers_in_worst(self) -> int:
        """API servers that served in the worst minute: the autoscaler may have come too late."""
        return int(self._judged.sort_values("p95_s").servers.iloc[-1])

    @property
    def peak_per_s(self) -> float:
        """The load of the highest minute."""
        return float(self._judged.load_per_s.max())

    @property
    def error_fraction(self) -> float:
        """Failed requests among those judged."""
        judged = self._arrival_s >= WARMING_S
        return float(1 - self._ok[judged].mean())

    @property
    def most_servers(self) -> int:
        """The most that were asked for."""
        return max([self._first, *(count for _, count in self.actions)])

    @property
    def sentence(self) -> str:
        """The worst minute beside the objective, and what the autoscaler did."""
        grown = (
            f"the autoscaler goes from {self._first} to {self.most_servers} servers"
            if self.most_servers > self._first
            else f"the autoscaler leaves it at {self._first} servers"
        )
        return (
            f"At {digits(self.peak_per_s)} req/s in the highest minute {grown}; p95 of the worst "
            f"minute, with {self.servers_in_worst} of them serving, is "
            f"{amount(self.worst_p95_s, 's')}, "
            f"{amount(self.scenario.objectives.p95_s, 's')} allowed; "
            f"{amount(self.error_fraction, 'fraction')} of requests fail."
        )

    def _picture(self, what: str) -> go.Figure:
        frame, aims = self.frame, self.scenario.objectives
        drawn = make_subplots(rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06)
        lines = (
            (frame.load_per_s, "Load (req/s)", palette.BLUE, "linear"),
            (frame.p95_s * 1000, "p95 (ms)", palette.RED, "linear"),
            (frame.servers, "API servers", palette.GREEN, "hv"),
        )
        for row, (values, title, colour, shape) in enumerate(lines, 1):
            drawn.add_trace(
                go.Scatter(x=frame.minute, y=values, line={"color": colour, "shape": shape}),
                row=row,
                col=1,
            )
            drawn.update_yaxes(title={"text": title}, rangemode="tozero", row=row, col=1)
        drawn.add_hline(y=aims.p95_s * 1000, line={"color": palette.NEUTRAL, "dash": "dash"}, row=2)
        drawn.update_xaxes(title={"text": "Minutes"}, row=3, col=1)
        drawn.update_yaxes(dtick=1 if frame.servers.max() < 6 else None, row=3, col=1)
        drawn.update_layout(template=theme.template(), height=520, showlegend=False)
        rows = [
            [str(r["minute"]), digits(r["load_per_s"]), amount(r["p95_s"], "s"), str(r["servers"])]
            for r in self._judged.iloc[::5].to_dict("records")
        ]
        return theme.describe(
            drawn,
            "Model: the recorded demand, minute by minute; dashed: the p95 objective.",
            self.sentence,
            ("minute", "load, req/s", "p95", "API servers"),
            rows,
        )

    def _details(self) -> str:
        said = (
            "ASSUMPTION: service demands are the shipped example's, not measured here."
            if self.assumed
            else "Service demands as calibrated on the live stack."
        )
        rows = [(f"{at_s / 60:.1f}", str(count)) for at_s, count in self.actions]
        asked = table(("Minute", "Servers asked for"), rows, numeric=(0, 1)) if rows else ""
        return paragraph(said) + asked
