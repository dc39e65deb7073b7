"""The sections of the capacity report that are text and tables; charts stand in `headroom.charts`.

Every function takes typed artefacts and returns HTML; nothing here measures, models or prices.
"""

import html
import re
from collections.abc import Iterable, Sequence
from statistics import median

from headroom.artefacts import (
    BillArtefact,
    ComparedCell,
    Estimate,
    MeasuredCell,
    Prediction,
    RepricedRecord,
    Summary,
    Verdict,
)
from headroom.wording import (
    amount,
    cents,
    digits,
    metric_name,
    reading_order,
    span,
    unit_of,
    with_range,
)
from sim.scenario import Scenario

MARKS = {"PASS": "✓", "FAIL": "✗", "INVALID": "?", "UNTESTED": "–"}


# Two dollar signs are prices here: JupyterLab would set what stands between them as a formula.
NO_MATHS = "mathjax_ignore tex2jax_ignore"


class Html(str):
    """HTML text that a notebook shows as such."""

    def _repr_html_(self) -> str:
        return f'<div class="{NO_MATHS}">{self}</div>'


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numeric: Sequence[int] = (),
    total: Sequence[str] | None = None,
) -> Html:
    """An HTML table; cells are escaped unless they are Html. `numeric` columns align right."""

    def cell(tag: str, index: int, text: str) -> str:
        kind = ' class="n"' if index in numeric else ""
        return f"<{tag}{kind}>{text if isinstance(text, Html) else html.escape(text)}</{tag}>"

    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(cell(tag, i, text) for i, text in enumerate(cells)) + "</tr>"

    body = "".join(line("td", row) for row in rows)
    foot = f"<tfoot>{line('td', total)}</tfoot>" if total else ""
    return Html(
        f'<div class="scroll"><table><thead>{line("th", columns)}</thead>'
        f"<tbody>{body}</tbody>{foot}</table></div>"
    )


def pill(status: str) -> Html:
    """A status, told by sign and word as well as by colour."""
    return Html(f'<span class="pill {status.lower()}">{MARKS.get(status, "")} {status}</span>')


def spaced(text: str) -> str:
    """Text with a space before each per cent sign, as everywhere in the report.

    >>> spaced("97% headroom, 75 %")
    '97\\xa0% headroom, 75 %'
    """
    return re.sub(r"(?<=\d)%", "\u00a0%", text)


def paragraph(text: str) -> Html:
    """A paragraph of escaped text."""
    return Html(f"<p>{html.escape(text)}</p>")


def heading(text: str) -> Html:
    """A heading below the section's own."""
    return Html(f"<h3>{html.escape(text)}</h3>")


def folded(title: str, content: str) -> Html:
    """Content that a reader opens on demand."""
    return Html(f"<details><summary>{html.escape(title)}</summary>{content}</details>")


def verdict_banner(verdict: Verdict, scenario: Scenario) -> Html:
    """The answer: status, sentence, the figures behind it, three actions."""
    percent = Estimate(
        value=verdict.headroom_fraction.value,
        low=verdict.headroom_fraction.low,
        high=verdict.headroom_fraction.high,
    )
    tiles = (
        ("Capacity at the objective", verdict.capacity_per_s, "req/s"),
        ("Daily peak", verdict.peak_per_s, "req/s"),
        ("Headroom at the peak", percent, "fraction"),
        ("Price a month", verdict.usd_per_month, "usd"),
    )
    boxes = [
        _tile(title, amount(estimate.value, unit), _ends(estimate, unit))
        for title, estimate, unit in tiles
    ]
    boxes.insert(3, _tile("Bound by", verdict.bound_by, "what saturates first"))
    boxes.insert(
        4,
        _tile(
            "API servers for the peak",
            f"{verdict.instances} × {scenario.topology.api.instance_type}",
            f"of {scenario.topology.api.replicas} in the design",
        ),
    )
    actions = "".join(f"<li>{html.escape(spaced(action))}</li>" for action in verdict.actions)
    return Html(
        f'<section class="verdict {verdict.status.lower()}" id="verdict">'
        f'<p class="question">{html.escape(scenario.question)}</p>'
        f'<p class="answer">{pill(verdict.status)} {html.escape(spaced(verdict.sentence))}</p>'
        f'<div class="tiles">{"".join(boxes)}</div>'
        f'<h3>What to do next</h3><ol class="actions">{actions}</ol></section>'
    )


def objectives(verdict: Verdict) -> Html:
    """Every objective: target, measured with interval, model, status, remark."""
    return table(
        ("Objective", "Target", "Measured", "Model", "Status", "Remark"),
        [
            (
                objective.name,
                Html(f'<span class="nb">{html.escape(spaced(objective.target))}</span>'),
                _optional(objective.measured, objective.unit),
                _optional(objective.modelled, objective.unit),
                pill(objective.status),
                spaced(objective.note),
            )
            for objective in verdict.objectives
        ],
    )


def validity(summary: Summary) -> Html:
    """What was offered, what was disturbed, and which runs count."""
    cells = sorted(summary.cells, key=lambda cell: (cell.load_per_s, cell.repeat))
    valid = sum(cell.conditions.valid for cell in cells)
    text = (
        f"{valid} of {len(cells)} runs count. A run counts when the load was offered as planned "
        "and the machine left it alone; a run that does not is shown hollow and judges nothing."
    )
    if not summary.complete:
        text += " The measurement was interrupted: these are the runs made until then."
    return Html(
        paragraph(text)
        + table(
            (
                "Load, req/s",
                "Repeat",
                "Run",
                "Achieved, req/s",
                "Dispatch lag p99",
                "Generator CPU",
                "Stolen CPU",
                "Foreign CPU",
                "Dropped",
                "Wrong status",
                "Why it does not count",
            ),
            [_validity_row(cell) for cell in cells],
            numeric=(0, 1, *range(3, 10)),
        )
    )


def _validity_row(cell: MeasuredCell) -> tuple[str, ...]:
    found = cell.conditions
    return (
        digits(found.planned_per_s),
        str(cell.repeat + 1),
        Html('<span class="pill pass">✓ valid</span>') if found.valid else pill("INVALID"),
        digits(found.achieved_per_s),
        amount(found.dispatch_lag_p99_s, "s"),
        f"{found.generator_cpu_fraction * 100:.1f} %",
        f"{found.steal_fraction * 100:.1f} %",
        f"{found.foreign_cpu_fraction * 100:.1f} %",
        str(found.dropped),
        str(found.wrong_status),
        "; ".join(found.reasons),
    )


def steady_hit_ratios(scenario: Scenario, prediction: Prediction) -> Html:
    """What the cache reaches once it is warm, at the mean load of a day, by key family."""
    cache = scenario.topology.cache
    ttls = (
        {family.value: policy.ttl_s for family, policy in cache.families.items()} if cache else {}
    )
    ordered = sorted(prediction.steady_hit_ratio.items(), key=lambda item: item[0] == "all")
    return Html(
        paragraph(
            f"Steady state, by the model, at {digits(scenario.workload.mean_load_per_s)} req/s:"
        )
        + table(
            ("Key family", "TTL", "Hit ratio"),
            [
                (
                    "all families" if family == "all" else family,
                    amount(ttls[family], "s") if family in ttls else "–",
                    with_range(ratio, "fraction"),
                )
                for family, ratio in ordered
            ],
            numeric=(1, 2),
        )
    )


def error_summary(cells: Sequence[ComparedCell]) -> Html:
    """Model error for each metric, beside the spread of the measurement itself.

    Times and rates in per cent of the measurement; shares in percentage points, for a relative
    error of a small share says little.
    """
    rows = []
    for metric in sorted({cell.metric for cell in cells}, key=reading_order):
        own = [cell for cell in cells if cell.metric == metric and cell.valid]
        is_share = unit_of(metric) == "fraction"
        scaled = [(c, 1.0 if is_share else c.measured) for c in own if is_share or c.measured]
        errors = [abs(c.predicted - c.measured) / scale for c, scale in scaled]
        spread = [(c.measured_high - c.measured_low) / 2 / scale for c, scale in scaled]
        figures = (median(errors), max(errors), median(spread)) if errors else ()
        unit = "pp" if is_share else "%"
        texts = [f"{figure * 100:.1f} {unit}" for figure in figures] or ["–"] * 3
        rows.append((metric_name(metric), str(len(scaled)), *texts))
    return Html(
        table(
            ("Metric", "Valid loads", "Median error", "Worst error", "Spread of measurement, ±"),
            rows,
            numeric=range(1, 5),
        )
        + paragraph("pp: percentage points. The spread is half the interval of the measurement.")
    )


def scaling(scenario: Scenario, prediction: Prediction, verdict: Verdict) -> Html:
    """Servers in the design, for the peak, and with one lost."""
    needed, designed = prediction.replicas_for_peak, scenario.topology.api.replicas
    kind = scenario.topology.api.instance_type
    rows = [
        ("In the design", str(designed), "as the scenario states it"),
        (
            "For the daily peak",
            str(needed),
            f"{with_range(verdict.peak_per_s, 'req/s')} at p95 ≤ "
            f"{amount(scenario.objectives.p95_s, 's')}",
        ),
        (
            "For the peak with any one lost (N+1)",
            str(needed + 1),
            "the design holds it" if designed > needed else "the design does not hold it",
        ),
    ]
    if prediction.replicas_for_concurrent_users is not None:
        rows.append(
            (
                f"For {scenario.objectives.concurrent_users:,} concurrent users",
                str(prediction.replicas_for_concurrent_users),
                f"each asks once in {scenario.workload.think_time_s:g} s and a response time",
            )
        )
    return table(("Question", f"{kind} servers", "Basis"), rows, numeric=(1,))


def stated_and_repriced(bill: BillArtefact) -> Html:
    """The document's own table, line by line, beside the price book's."""
    rows = [_repriced_row(row) for row in bill.repriced]
    stated = bill.stated_total_usd
    return table(
        ("Component", "Stated", "Re-priced", "Range", "Difference"),
        rows,
        numeric=range(1, 5),
        total=(
            "Total a month",
            "–" if stated is None else cents(stated),
            cents(bill.total_usd.value),
            _cents_span(bill.total_usd),
            "–" if stated is None else _signed(bill.total_usd.value - stated),
        ),
    )


def _repriced_row(row: RepricedRecord) -> tuple[str, ...]:
    stated = "–" if row.stated_usd is None else cents(row.stated_usd)
    found = row.repriced_usd
    if found is None:
        return row.item, stated, "–", "–", "–"
    gap = "–" if row.stated_usd is None else _signed(found.value - row.stated_usd)
    return row.item, stated, cents(found.value), _cents_span(found), gap


def bill_lines(bill: BillArtefact) -> Html:
    """Every line of the bill with quantity, unit price, source, date and confidence."""
    return table(
        ("Item", "Quantity", "Unit", "Unit price", "A month", "Basis", "As of", "Confidence"),
        [
            (
                line.item,
                digits(line.quantity, 4),
                line.unit,
                f"${digits(line.unit_price_usd, 4)}",
                cents(line.usd_per_month.value),
                line.basis,
                line.as_of,
                line.confidence,
            )
            for line in bill.lines
        ],
        numeric=(1, 3, 4),
    )


def price_sources(bill: BillArtefact) -> Html:
    """Where each price comes from."""
    return folded(
        "Sources of the prices",
        table(("Item", "Source"), [(line.item, line.source) for line in bill.lines]),
    )


def stale_prices(bill: BillArtefact) -> Html:
    """Prices that are older than the scenario allows, or of unknown date; nothing where none is."""
    if not bill.stale:
        return Html("")
    listed = "".join(f"<li>{html.escape(text)}</li>" for text in bill.stale)
    return Html(
        paragraph(f"Prices older than {digits(bill.oldest_months)} months, or of unknown date:")
        + f"<ul>{listed}</ul>"
    )


def cost_notes(bill: BillArtefact) -> Html:
    """What a request and a user cost, how old the prices are, and what the bill leaves out."""
    active = (
        f" and {with_range(bill.usd_per_active_user, 'usd')} for one active on a mean day"
        if bill.usd_per_active_user
        else ""
    )
    text = (
        f"{with_range(bill.usd_per_million_requests, 'usd')} for a million requests, "
        f"{with_range(bill.usd_per_registered_user, 'usd')} a month for a registered user{active}. "
        f"Price book {bill.book}, region {bill.region}, bought {bill.purchase.replace('_', ' ')}. "
        f"Not in the bill: {', '.join(bill.excluded)}."
    )
    return Html(stale_prices(bill) + paragraph(text))


def _tile(title: str, figure: str, below: str) -> str:
    return (
        f'<div class="tile"><span class="t">{html.escape(title)}</span>'
        f'<span class="v">{html.escape(figure)}</span>'
        f'<span class="r">{html.escape(below)}</span></div>'
    )


def _ends(estimate: Estimate, unit: str) -> str:
    """The range of a figure; nothing where it has none."""
    return "" if estimate.low == estimate.high else span(estimate.low, estimate.high, unit)


def _optional(estimate: Estimate | None, unit: str) -> str:
    """A figure with its range on a second line, so that neither is broken."""
    if estimate is None:
        return "–"
    value, ends = amount(estimate.value, unit), span(estimate.low, estimate.high, unit)
    below = "" if ends == value else f'<br><span class="r">{html.escape(ends)}</span>'
    return Html(f'<span class="nb">{html.escape(value)}</span>{below}')


def _signed(value: float) -> str:
    return f"+{cents(value)}" if value > 0 else cents(value)


def _cents_span(estimate: Estimate) -> str:
    return f"{cents(estimate.low)}–{cents(estimate.high).removeprefix('$')}"
