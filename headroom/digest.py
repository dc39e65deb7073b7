"""A run in a few lines: Markdown for a pull request, JUnit XML and JSON for CI."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from headroom.artefacts import (
    Estimate,
    Machine,
    ObjectiveResult,
    Run,
    Summary,
    Verdict,
    replacing,
)
from headroom.wording import amount, with_range

MARKS = {"PASS": "✅", "FAIL": "❌", "INVALID": "⚠️", "UNTESTED": "➖"}


def markdown(run: Run) -> str:
    """The verdict with its objectives and actions, for a pull request or a job's summary."""
    verdict = run.read(Verdict)
    lines = [
        f"### {MARKS[verdict.status]} {verdict.status}: {run.scenario.name}",
        "",
        _escaped(verdict.sentence) + ".",
        "",
        "| objective | target | measured | model | |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {objective.name} | {objective.target} | {_optional(objective.measured, objective.unit)}"
        f" | {_optional(objective.modelled, objective.unit)} "
        f"| {MARKS[objective.status]} {objective.status} |"
        for objective in verdict.objectives
    ]
    lines += ["", *(f"{n}. {_escaped(action)}" for n, action in enumerate(verdict.actions, 1)), ""]
    lines += [f"{_validity(run, verdict)} Run `{run.folder.name}`, seed {_seed(run)}{_where(run)}."]
    return "\n".join(lines) + "\n"


def junit(run: Run) -> str:
    """Every objective as a test case: missed is a failure, INVALID an error, UNTESTED skipped."""
    verdict, summary = run.read(Verdict), run.read(Summary)
    cases = verdict.objectives
    began = min((cell.started_at for cell in summary.cells), default=verdict.created_at)
    ended = max((cell.finished_at for cell in summary.cells), default=verdict.created_at)
    suite = ET.Element(
        "testsuite",
        name=f"headroom.{run.scenario.name}",
        tests=str(len(cases)),
        failures=str(sum(case.status == "FAIL" for case in cases)),
        errors=str(sum(case.status == "INVALID" for case in cases)),
        skipped=str(sum(case.status == "UNTESTED" for case in cases)),
        timestamp=began.isoformat(timespec="seconds"),
        time=f"{(ended - began).total_seconds():.1f}",
    )
    kinds = {"FAIL": "failure", "INVALID": "error", "UNTESTED": "skipped"}
    for case in cases:
        element = ET.SubElement(
            suite, "testcase", classname=f"headroom.{run.scenario.name}", name=case.name
        )
        if case.status in kinds:
            fault = ET.SubElement(element, kinds[case.status], message=_fault(case))
            fault.text = case.note
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def record(run: Run) -> dict[str, Any]:
    """The verdict as plain data, with the run that it is of."""
    head = {"run": run.folder.name, "scenario": run.scenario.name}
    return head | run.read(Verdict).model_dump(mode="json")


def write(text: str, path: Path) -> None:
    """Put a digest into a file, all of it or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _fault(case: ObjectiveResult) -> str:
    found = [
        f"{side} {amount(estimate.value, case.unit)}"
        for side, estimate in (("measured", case.measured), ("modelled", case.modelled))
        if estimate is not None
    ]
    return f"target {case.target}: {', '.join(found) or 'no figure'}"


def _validity(run: Run, verdict: Verdict) -> str:
    text = f"{verdict.valid_cells} of {verdict.cells} load runs are valid."
    reasons = {
        reason
        for cell in run.read(Summary).cells
        if not cell.conditions.valid
        for reason in cell.conditions.reasons[:1]
    }
    return text + (f" Not valid: {'; '.join(sorted(reasons)[:2])}." if reasons else "")


def _seed(run: Run) -> int:
    return run.scenario.experiment.seed


def _where(run: Run) -> str:
    if not run.has(Machine):
        return ""
    facts = run.read(Machine).facts
    cpu = facts.get("cpu_model") or facts.get("cpu") or "unknown CPU"
    return f", on {cpu}" + (f" ({facts['usable_cores']} cores)" if "usable_cores" in facts else "")


def _optional(estimate: Estimate | None, unit: str) -> str:
    return "–" if estimate is None else with_range(estimate, unit)


def _escaped(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for sign in ("\\", "*", "_", "`", "<", "|"):
        text = text.replace(sign, f"\\{sign}")
    return text
