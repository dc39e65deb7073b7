"""The appendix of the report: what was run, on what, in which order, and how to repeat it."""

import html
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from headroom.artefacts import (
    Artefact,
    BillArtefact,
    Calibration,
    Machine,
    Prediction,
    Run,
    Summary,
    Verdict,
)
from headroom.plan_records import PlanArtefact
from headroom.sections import Html, folded, paragraph, pill, table
from headroom.whatif import WhatIfArtefact
from headroom.wording import amount, digits, with_range
from sim.scenario import Scenario
from sim.scenario_file import dump_yaml


def blindness(run: Run) -> Html:
    """Whether the prediction stood, hashed, before the first measurement; with the times."""
    calibration, prediction = run.read(Calibration), run.read(Prediction)
    summary = run.read(Summary)
    first = min(cell.started_at for cell in summary.cells)
    last = max(cell.finished_at for cell in summary.cells)
    intact = run.sha256(Prediction) == summary.prediction_sha256
    before = summary.prediction_at < first and prediction.created_at < first
    unseen = all(cell.load_per_s != calibration.load_per_s for cell in summary.cells)
    checks = (
        ("The prediction is older than the first measurement", before),
        ("The stored prediction is the one that was hashed then", intact),
        ("No load of the calibration was measured again", unseen),
    )
    times = (
        ("Calibration began", calibration.started_at),
        ("Prediction stored", prediction.created_at),
        ("Prediction hashed", summary.prediction_at),
        ("First measurement began", first),
        ("Last measurement ended", last),
    )
    return Html(
        table(
            ("Check", "Result"),
            [(text, pill("PASS" if holds else "FAIL")) for text, holds in checks],
        )
        + table(("Step", "Time, UTC"), [(step, _time(when)) for step, when in times])
    )


def hashes(run: Run) -> Html:
    """SHA-256 of every artefact that this report was drawn from."""
    kinds: tuple[type[Artefact], ...] = (Machine, Calibration, Prediction, Summary, BillArtefact)
    kinds += (Verdict, PlanArtefact, WhatIfArtefact)
    rows = [("scenario.yaml", run.scenario_sha256)]
    rows += [(run.path(kind).name, run.sha256(kind)) for kind in kinds if run.has(kind)]
    return table(
        ("Artefact", "SHA-256"), [(name, Html(f"<code>{value}</code>")) for name, value in rows]
    )


def demands(calibration: Calibration) -> Html:
    """What one request costs, as calibrated at low load."""
    rows = [
        (
            demand.operation.replace("_", " "),
            demand.outcome,
            demand.component,
            with_range(demand.cpu_s, "s"),
            digits(demand.cv, 2),
            str(demand.samples),
        )
        for demand in calibration.demands
    ]
    return folded(
        f"Service demands, calibrated at {calibration.load_per_s:g} req/s",
        table(
            ("Operation", "Cache", "Component", "CPU time a request", "CV", "Samples"),
            rows,
            numeric=(3, 4, 5),
        ),
    )


def workload(scenario: Scenario) -> Html:
    """The demand of the scenario in words, and the mix of operations."""
    asked = scenario.workload
    text = (
        f"{asked.registered_users:,} registered users, "
        f"{amount(asked.daily_active_fraction, 'fraction')} active a day, "
        f"{asked.sessions_per_active_user_per_day:g} sessions each of "
        f"{asked.requests_per_session:g} requests: "
        f"{digits(asked.requests_per_day)} requests a day, "
        f"{digits(asked.mean_load_per_s)} req/s on average and "
        f"{digits(asked.peak_load_per_s)} req/s at the daily peak."
    )
    rows = [
        (operation.replace("_", " "), amount(share, "fraction"))
        for operation, share in sorted(asked.mix.items(), key=lambda item: -item[1])
    ]
    return Html(paragraph(text) + table(("Operation", "Share of requests"), rows, numeric=(1,)))


def scenario_file(scenario: Scenario) -> Html:
    """The scenario as it was run, every default written out."""
    return folded("The scenario as it was run", f"<pre>{html.escape(dump_yaml(scenario))}</pre>")


def machine(found: Machine) -> Html:
    """The machine and the versions of what ran on it."""
    return table(("Fact", "Value"), list(_flat(found.facts)))


def repeat_command(scenario: Scenario, prediction: Prediction) -> Html:
    """The command that repeats the run, with its seeds."""
    return Html(
        f"<p>Seed of the load {scenario.experiment.seed}, of the model {prediction.seed}; "
        f"engine {html.escape(prediction.engine)}. Repeat it with</p>"
        f"<pre>make report SCENARIO={html.escape(scenario.name)}</pre>"
    )


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            yield from _flat(value, f"{label}: ")
        elif isinstance(value, list | tuple):
            yield label, ", ".join(str(part) for part in value)
        else:
            yield label, f"{value:g}" if isinstance(value, float) else str(value)


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S.") + f"{when.microsecond // 1000:03d}"
