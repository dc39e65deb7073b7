"""Whether a calibration may be used here: the same scenario, the same machine."""

from collections.abc import Iterator, Mapping
from typing import Any

from headroom.artefacts import Calibration, Machine, Run
from headroom.demands import classes_of
from headroom.errors import CalibrationError
from stack.observe.machine import facts_sha256, machine_facts


def require_applicable(run: Run, facts: Mapping[str, Any] | None = None) -> None:
    """Refuse a calibration from another machine or topology, naming what differs.

    `facts` are those of the machine at hand; None looks at it. Raises CalibrationError.
    """
    facts = machine_facts() if facts is None else facts
    differences = list(_differences(run, facts))
    if differences:
        raise CalibrationError(
            f"{run.path(Calibration)} does not apply here: {'; '.join(differences)}. "
            "Calibrate again in a new run."
        )


def _differences(run: Run, facts: Mapping[str, Any]) -> Iterator[str]:
    calibration, machine = run.read(Calibration), run.read(Machine)
    calibrated = {(demand.operation, demand.outcome) for demand in calibration.demands}
    needed = {(operation.value, outcome) for operation, outcome in classes_of(run.scenario)}
    for operation, outcome in sorted(needed - calibrated):
        yield f"{operation} ({outcome}) was not calibrated"
    for operation, outcome in sorted(calibrated - needed):
        yield f"{operation} ({outcome}) was calibrated and the scenario has none"
    if calibration.scenario_sha256 != run.scenario_sha256:
        yield "scenario.yaml is not the one that was calibrated"
    if facts_sha256(machine.facts) != calibration.machine_sha256:
        yield "machine.json is not of the machine that was calibrated"
    yield from _changed(machine.facts, facts)


def _changed(then: Mapping[str, Any], here: Mapping[str, Any], of: str = "") -> Iterator[str]:
    for name in sorted(then.keys() | here.keys()):
        before, now = then.get(name), here.get(name)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from _changed(before, now, f"{of}{name} ")
        elif before != now:
            yield f"{of}{name} was {before!r}, here {now!r}"
