"""Single steps of a run, each with the table that it prints."""

from pathlib import Path

from headroom import chain
from headroom.applicable import require_applicable
from headroom.artefacts import (
    Calibration,
    Prediction,
    Run,
    Summary,
    Verdict,
)
from headroom.availability import AvailabilityArtefact, available
from headroom.calibrate import calibrate
from headroom.console import figure, milliseconds, say, show
from headroom.live import running_stack
from headroom.measure import measure
from headroom.predict import predict
from sim.cost import price_book
from sim.scenario import Scenario


def calibrated(run: Run) -> Calibration:
    """Calibrate on the run's own stack."""
    with running_stack(run.scenario, say, name=run.folder.name) as info:
        found = calibrate(run, info, say)
    show(
        f"service demands at low load, {found.cores} cores",
        ("operation", "outcome", "component", "CPU ms a request (95 %)"),
        [
            (d.operation, d.outcome, d.component, milliseconds(d.cpu_s))
            for d in found.demands
            if d.cpu_s.value > 1e-5
        ],
    )
    return found


def predicted(run: Run) -> Prediction:
    """Predict from the run's calibration."""
    require_applicable(run)
    found = predict(run, say)
    show(
        "predicted",
        ("req/s", "mean ms", "p95 ms", "p99 ms"),
        [
            (
                f"{cell.load_per_s:g}",
                *(milliseconds(cell.metrics[name]) for name in ("mean_s", "p95_s", "p99_s")),
            )
            for cell in found.cells
        ],
    )
    return found


def measured(run: Run) -> Summary:
    """Offer the run's loads to its stack."""
    require_applicable(run)
    with running_stack(run.scenario, say, name=run.folder.name) as info:
        return measure(run, info, say)


def compared(run: Run) -> Verdict:
    """Compare and judge a measured run."""
    found = chain.judge(run)
    show(
        "prediction beside measurement",
        ("metric", "req/s", "predicted", "measured", "error", "valid"),
        [
            (
                cell.metric,
                f"{cell.load_per_s:g}",
                f"{cell.predicted:.4g}",
                f"{cell.measured:.4g}",
                "–" if cell.error_fraction is None else f"{cell.error_fraction:+.1%}",
                "yes" if cell.valid else "NO",
            )
            for cell in run.read_comparison()
        ],
    )
    return found


def availability_of_scenario(
    scenario: Scenario, api_needed: int, months: int
) -> AvailabilityArtefact:
    """The availability of a scenario by the model, with its weak points."""
    book = price_book(scenario.prices.book)
    found = available(scenario, book, api_needed=api_needed, months=months)
    show(
        "minutes a month away, by the model on assumed failure rates",
        ("tier", "its loss", "minutes (95 % of futures)", "promised"),
        [
            (
                tier.name,
                "ends the service" if tier.ends_service else "degrades it",
                figure(tier.minutes),
                "–" if tier.promised_fraction is None else f"{tier.promised_fraction:.3%}",
            )
            for tier in found.tiers
        ]
        + [("all together", "", figure(found.lost_min), f"{found.promised_fraction:.3%}")],
    )
    show(
        f"single points of failure; the objective allows {found.budget_min:.3g} minutes a month, "
        f"{found.months_within_budget.value:.0%} of months keep it",
        ("part", "its loss", "remedy", "saves minutes", "USD a month"),
        [
            (
                point.name,
                "ends the service" if point.ends_service else "degrades it",
                point.remedy or "none here",
                "–" if point.saved_min is None else f"{point.saved_min:.3g}",
                "–" if point.usd_per_month is None else f"{point.usd_per_month:.2f}",
            )
            for point in found.weak_points
        ],
    )
    return found


def rendered(run: Run) -> Path:
    """Judge and draw a measured run again."""
    from headroom.render import render  # see chain.report

    chain.judge(run)
    return render(run)
