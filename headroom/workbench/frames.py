"""Results as tidy frames: one row a figure, with its unit and the ends of its interval."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pandas as pd

from headroom.artefacts import (
    BillArtefact,
    ComparedCell,
    CurvePoint,
    Estimate,
    JudgedLedger,
    Prediction,
    Summary,
)
from headroom.availability import AvailabilityArtefact
from headroom.plan_records import Figure, PlanArtefact
from headroom.whatif import ShiftRecord, WhatIfArtefact
from headroom.wording import unit_of

Row = dict[str, object]
HERE, PRODUCTION = "here", "production"


def of_prediction(found: Prediction) -> pd.DataFrame:
    """Every figure of every load: those that will be offered, and both curves."""
    points: list[tuple[str, str, float, Mapping[str, Estimate]]] = [
        (HERE, "cell", cell.load_per_s, cell.metrics) for cell in found.cells
    ]
    curves: Iterable[tuple[str, Sequence[CurvePoint]]] = (
        (HERE, found.curve),
        (PRODUCTION, found.production_curve),
    )
    for place, curve in curves:
        points += [(place, "curve", point.load_per_s, point.metrics) for point in curve]
    return pd.DataFrame(
        {"place": place, "of": kind, "load_per_s": load_per_s} | row
        for place, kind, load_per_s, metrics in points
        for row in _figures(metrics)
    )


def of_measurement(found: Summary) -> pd.DataFrame:
    """Every measured figure of every load and repeat, and whether the run counts."""
    return pd.DataFrame(
        {"load_per_s": cell.load_per_s, "repeat": cell.repeat}
        | row
        | {"valid": cell.conditions.valid, "why_not": "; ".join(cell.conditions.reasons)}
        for cell in found.cells
        for row in _figures(cell.metrics)
    )


def of_comparison(cells: Iterable[ComparedCell]) -> pd.DataFrame:
    """Predicted beside measured, a row for each metric and load."""
    frame = pd.DataFrame([cell.model_dump() for cell in cells])
    frame.insert(1, "unit", [unit_of(metric) for metric in frame["metric"]])
    return frame


def of_bill(found: BillArtefact) -> pd.DataFrame:
    """The lines of the bill."""
    return pd.DataFrame(
        {
            "item": line.item,
            "component": line.component,
            "quantity": line.quantity,
            "unit": line.unit,
            "unit_price_usd": line.unit_price_usd,
            "usd_per_month": line.usd_per_month.value,
            "low": line.usd_per_month.low,
            "high": line.usd_per_month.high,
            "stated_usd": line.stated_usd,
            "as_of": line.as_of,
            "confidence": line.confidence,
            "source": line.source,
        }
        for line in found.lines
    )


def of_availability(found: AvailabilityArtefact) -> pd.DataFrame:
    """Minutes a month of each tier by itself, and of all together."""
    rows = [
        (tier.name, tier.component, tier.ends_service, tier.minutes, tier.promised_fraction)
        for tier in found.tiers
    ]
    rows.append(("all together", "", True, found.lost_min, found.promised_fraction))
    return pd.DataFrame(
        {
            "tier": name,
            "component": component,
            "ends_service": ends,
            "minutes_per_month": minutes.value,
            "low": minutes.low,
            "high": minutes.high,
            "promised_fraction": promised,
        }
        for name, component, ends, minutes, promised in rows
    )


def of_plan(found: PlanArtefact) -> pd.DataFrame:
    """Every architecture that was looked at, cheapest first."""
    frame = pd.DataFrame(
        {
            "place": place,
            "architecture": each.architecture,
            "usd_per_month": each.usd_per_month.value,
            "usd_low": each.usd_per_month.low,
            "usd_high": each.usd_per_month.high,
            **_columns(each.figures),
            "probability": each.probability,
            "misses": None if each.miss is None else each.miss.objective,
            "chosen": place == found.chosen,
            "on_frontier": place in found.frontier,
            "is_the_design": place == found.own,
        }
        for place, each in enumerate(found.candidates)
    )
    return frame.sort_values("usd_per_month", ignore_index=True) if len(frame) else frame


def of_what_ifs(found: WhatIfArtefact) -> pd.DataFrame:
    """What each change does to each figure, with the range of 90 % of the futures."""
    figures = ("p95_s", "error_fraction", "headroom_fraction", "usd_per_month", "availability")
    return pd.DataFrame(
        {"change": each.name, "words": each.words, "figure": figure, **_shift(shift)}
        for each in found.effects
        for figure in figures
        if (shift := getattr(each, figure)) is not None
    )


def of_claims(found: JudgedLedger) -> pd.DataFrame:
    """Every claim with what was found and the verdict."""
    return pd.DataFrame(
        {
            "claim": each.id,
            "section": each.section,
            "statement": each.statement,
            "stated": each.stated,
            "found": None if each.result is None else each.result.value,
            "low": None if each.result is None else each.result.low,
            "high": None if each.result is None else each.result.high,
            "unit": each.unit,
            "verdict": each.verdict,
            "tested_by": ", ".join(each.tested_by),
            "why": each.why,
        }
        for each in found.claims
    )


def _figures(metrics: Mapping[str, Estimate]) -> Iterator[Row]:
    for metric, estimate in metrics.items():
        yield {"metric": metric, "unit": unit_of(metric), **estimate.model_dump()}


def _columns(figures: Mapping[str, Figure]) -> Row:
    """Each figure of a candidate in three columns: itself, and the ends of its range."""
    found: Row = {}
    for name, figure in figures.items():
        found |= {name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high}
    return found


def _shift(shift: ShiftRecord) -> Row:
    return {
        "before": shift.before,
        "after": shift.after,
        "difference": shift.change,
        "low": shift.low,
        "high": shift.high,
    }
