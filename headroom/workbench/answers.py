"""What the workbench answers: a sentence, a tidy frame, a picture, and all of it as HTML."""

import html
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from headroom import charts
from headroom.artefacts import BillArtefact, JudgedLedger
from headroom.availability import AvailabilityArtefact, summary, tier_table, weak_point_table
from headroom.charts import palette, theme
from headroom.claims.tables import claim_table, counted
from headroom.plan_records import PlanArtefact
from headroom.plan_sections import (
    plan_answer,
    plan_breaking,
    plan_frontier,
    plan_rejected,
    what_if_table,
)
from headroom.plan_tables import assumption, sentences
from headroom.sections import (
    NO_MATHS,
    Html,
    bill_lines,
    cost_notes,
    folded,
    paragraph,
    pill,
    spaced,
    stated_and_repriced,
)
from headroom.whatif import WhatIfArtefact
from headroom.wording import digits, with_range
from headroom.workbench import frames
from headroom.workbench.cell import in_a_cell

NOTICED = 1.05  # times as long: what a reader would call slower

STYLE = (
    "<style>"
    ".headroom{--hr-line:rgba(128,128,128,.35)}"
    ".headroom .answer{font-size:1.12em;line-height:1.45;font-weight:600;margin:.2em 0 .6em}"
    ".headroom .pill{border:1px solid;border-radius:999px;padding:.05em .55em;font-size:.85em;"
    "white-space:nowrap}"
    ".headroom .pill.pass{color:#1a7f45}.headroom .pill.fail{color:#cf222e}"
    ".headroom .pill.invalid{color:#9a6700}"
    ".headroom .scroll{overflow-x:auto}"
    ".headroom table{border-collapse:collapse}"
    ".headroom th,.headroom td{text-align:left!important;vertical-align:top;padding:.25em .7em;"
    "border-bottom:1px solid var(--hr-line)}"
    ".headroom .n{text-align:right!important}"
    ".headroom .r{opacity:.75;font-size:.92em}"
    "</style>"
)


class Answer(ABC):
    """The answer to a question asked in a notebook.

    `sentence` says it, `frame` holds its figures, `plot()` draws it; a cell that ends with it shows
    the verdict first and the tables after.
    """

    status: str = ""  # PASS, FAIL or INVALID where it judges something

    @property
    @abstractmethod
    def sentence(self) -> str:
        """The answer in words."""

    @cached_property
    @abstractmethod
    def frame(self) -> pd.DataFrame:
        """The figures, a row each, with unit and interval."""

    @abstractmethod
    def _picture(self, what: str) -> go.Figure:
        """Draw it; `what` is one of `pictures`."""

    @abstractmethod
    def _details(self) -> str:
        """The tables below the sentence, as HTML."""

    pictures: Sequence[str] = ("",)

    @in_a_cell
    def plot(self, what: str = "") -> go.Figure:
        """The answer as a picture.

        Args:
            what: one of `pictures`; by default the first.
        Raises: ValueError when there is no such picture.
        """
        charts.use_theme()
        wanted = what or self.pictures[0]
        if wanted not in self.pictures:
            raise NoSuchPicture(what, self.pictures)
        return self._picture(wanted)

    def __repr__(self) -> str:
        said = f"{self.status}: {self.sentence}" if self.status else self.sentence
        return f"{type(self).__name__}: {said}"

    def _repr_html_(self) -> str:
        verdict = f"{pill(self.status)} " if self.status else ""
        said = html.escape(spaced(self.sentence))
        return Html(
            f'{STYLE}<div class="headroom {NO_MATHS}"><p class="answer">'
            f"<strong>{verdict}{said}</strong></p>{self._details()}</div>"
        )


class Bill(Answer):
    """What an architecture costs a month."""

    def __init__(self, found: BillArtefact) -> None:
        self.artefact = found
        stated = () if found.stated_total_usd is None else ("stated and re-priced",)
        self.pictures = (*stated, "lines")

    @property
    def sentence(self) -> str:
        """The total, beside what the document states."""
        found = self.artefact
        stated = found.stated_total_usd
        beside = "" if stated is None else f", where ${stated:,.0f} is stated"
        return (
            f"{with_range(found.total_usd, 'usd')} a month{beside}; "
            f"{with_range(found.usd_per_million_requests, 'usd')} for a million requests."
        )

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The lines of the bill."""
        return frames.of_bill(self.artefact)

    def _picture(self, what: str) -> go.Figure:
        if what == "lines":
            lines = sorted(self.artefact.lines, key=lambda line: line.usd_per_month.value)
            return bars(
                {line.item: line.usd_per_month for line in lines},
                "US dollars a month",
                f"Priced from the book {self.artefact.book}, with the range of its prices.",
                "usd",
            )
        return charts.stated_and_repriced(self.artefact)

    def _details(self) -> str:
        found = self.artefact
        stated = "" if found.stated_total_usd is None else stated_and_repriced(found)
        return stated + cost_notes(found) + folded("The bill, line by line", bill_lines(found))


class Availability(Answer):
    """What a month loses: a model on assumed failure rates."""

    def __init__(self, found: AvailabilityArtefact) -> None:
        self.artefact = found
        self.status = "PASS" if found.uptime.value >= found.target_fraction else "FAIL"

    @property
    def sentence(self) -> str:
        """Minutes lost beside minutes allowed."""
        found = self.artefact
        return (
            f"{digits(found.lost_min.value)} minutes a month lost in the mean, "
            f"{digits(found.budget_min)} allowed; {found.months_within_budget.value:.0%} of months "
            "keep it. A model on assumed failure rates."
        )

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Minutes a month of each tier."""
        return frames.of_availability(self.artefact)

    def _picture(self, what: str) -> go.Figure:
        tiers = sorted(self.artefact.tiers, key=lambda tier: tier.minutes.value)
        return bars(
            {tier.name: tier.minutes for tier in tiers},
            "Minutes a month away, by itself",
            "Model on assumed failure rates; whiskers: 95 % of futures.",
            "min",
        )

    def _details(self) -> str:
        found = self.artefact
        return weak_point_table(found) + folded(
            "Every tier, and what it rests on", summary(found) + tier_table(found)
        )


class Plan(Answer):
    """The cheapest architecture that meets every objective with a stated probability."""

    def __init__(self, found: PlanArtefact) -> None:
        self.artefact = found
        self.status = "PASS" if found.chosen is not None else "FAIL"

    @property
    def sentence(self) -> str:
        """What to buy; or that nothing does all, and what does the rest."""
        first, *others = sentences(self.artefact)
        rest = [text for text in others if text.startswith("What meets all the rest")]
        return " ".join([first, *rest])

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Every architecture that was looked at."""
        return frames.of_plan(self.artefact)

    def _picture(self, what: str) -> go.Figure:
        return charts.frontier(self.artefact)

    def _details(self) -> str:
        found = self.artefact
        return (
            plan_answer(found)
            + folded("The frontier of cost, p95 and availability", plan_frontier(found))
            + folded("Why not others", plan_rejected(found))
            + folded("What breaks first", plan_breaking(found))
        )


class WhatIfs(Answer):
    """What changes would do to an architecture."""

    pictures = ("p95_s", "usd_per_month", "headroom_fraction", "latencies")

    def __init__(self, found: WhatIfArtefact) -> None:
        self.artefact = found

    @property
    def sentence(self) -> str:
        """The change that hurts most, and the input that matters most."""
        found = self.artefact
        moved = [each for each in found.effects if each.p95_s.after is None]
        known = [each for each in found.effects if each.p95_s.change is not None]
        worst = max(known, key=lambda each: each.p95_s.change or 0.0, default=None)
        said = []
        if moved:
            said.append(f"Overloaded: {', '.join(each.words for each in moved)}.")
        if worst is not None and worst.p95_s.before is not None and worst.p95_s.after is not None:
            before, after = worst.p95_s.before * 1e3, worst.p95_s.after * 1e3
            said.append(
                f"p95 rises most, from {digits(before)} to {digits(after)} ms, by: {worst.words}."
                if after > before * NOTICED
                else "None of the others raises p95 by a twentieth."
            )
        bars_ = found.tornado["p95_s"].bars
        if bars_:
            said.append(f"The uncertain input that moves p95 most: {bars_[0].label}.")
        return " ".join(said) or "No change was asked for."

    @cached_property
    def frame(self) -> pd.DataFrame:
        """What each change does to each figure."""
        return frames.of_what_ifs(self.artefact)

    def _picture(self, what: str) -> go.Figure:
        if what == "latencies":
            return charts.what_if_latencies(self.artefact)
        return charts.tornado(self.artefact, what)

    def _details(self) -> str:
        found = self.artefact
        said = paragraph(assumption(found.demands)) if found.demands_assumed else ""
        return said + what_if_table(found)


class Claims(Answer):
    """Every figure that a document states, with its verdict."""

    def __init__(self, found: JudgedLedger) -> None:
        self.artefact = found

    @property
    def sentence(self) -> str:
        """How many claims hold."""
        return counted(self.artefact)

    @property
    def _counts(self) -> dict[str, int]:
        found = [each.verdict for each in self.artefact.claims]
        return {verdict: found.count(verdict) for verdict in dict.fromkeys(sorted(found))}

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Every claim with what was found."""
        return frames.of_claims(self.artefact)

    def _picture(self, what: str) -> go.Figure:
        drawn = theme.figure(height=110 + 34 * len(self._counts))
        drawn.add_trace(
            go.Bar(
                x=list(self._counts.values()),
                y=list(self._counts),
                orientation="h",
                marker={"color": palette.BLUE},
                text=list(self._counts.values()),
                textposition="outside",
                cliponaxis=False,
            )
        )
        drawn.update_layout(xaxis={"title": {"text": "Claims"}}, yaxis={"showgrid": False})
        rows = [[verdict, str(count)] for verdict, count in self._counts.items()]
        return theme.describe(
            drawn, "Claims by verdict.", self.sentence, ("verdict", "claims"), rows
        )

    def _details(self) -> str:
        return claim_table(self.artefact)


class NoSuchPicture(ValueError):
    """An answer has no picture of that name."""

    def __init__(self, asked: str, pictures: Sequence[str]) -> None:
        super().__init__(f"plot: {asked!r} is not allowed; allowed: {', '.join(pictures)}")

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def bars(values: dict[str, Any], title: str, caption: str, unit: str) -> go.Figure:
    """Estimates as horizontal bars with whiskers."""
    drawn = theme.figure(height=110 + 34 * max(len(values), 1))
    estimates = list(values.values())
    drawn.add_trace(
        go.Bar(
            x=[each.value for each in estimates],
            y=list(values),
            orientation="h",
            marker={"color": palette.BLUE, "opacity": 0.75},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [each.high - each.value for each in estimates],
                "arrayminus": [each.value - each.low for each in estimates],
                "color": palette.NEUTRAL,
            },
        )
    )
    drawn.update_layout(xaxis={"title": {"text": title}}, yaxis={"showgrid": False})
    rows = [[name, with_range(each, unit)] for name, each in reversed(values.items())]
    said = ", ".join(f"{name} {figure}" for name, figure in rows)
    return theme.describe(drawn, caption, f"{title}: {said}", ("", title), rows)
