"""The native calibration of one start of one system, in less than a minute."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from headroom.artefacts import Calibration, Run, replacing
from headroom.calibrate import calibrate
from headroom.fidelity.native_design import STEADY, System, highest_per_s
from headroom.fidelity.native_records import ClassCosts, NativeCosts, Weighing
from headroom.fidelity.native_weighing import Scales
from sim.calibrate import RequestClass
from sim.scenario import Scenario
from sim.scenario_file import dump_yaml
from stack.local import StackInfo

Say = Callable[[str], None]
TRIES = 3  # of a disturbed calibration: all cells of its start hang on it


def calibrated(system: System, info: StackInfo, folder: Path, seed: int, say: Say) -> NativeCosts:
    """Measure what requests cost now; again when the machine was disturbed. Stored."""
    run = _run(folder, system.scenario)
    for attempt in range(TRIES):
        found = _found(run, system, info, seed + attempt)
        say(
            f"  calibrated in {found.duration_s:.0f} s: a request "
            f"{sum(found.saturated.cpu_s.values()) * 1e3:.2f} ms of CPU at "
            f"{found.saturated.load_per_s:.0f}/s, {sum(found.steady.cpu_s.values()) * 1e3:.2f} ms "
            f"at {found.steady.load_per_s:.0f}/s"
            + "".join(f"; disturbed: {reason}" for reason in found.disturbed)
        )
        sha256 = run.write(found)
        # A later start calibrates anew; what was said before is told again with what it was.
        shutil.copyfile(run.folder / str(found.FILE), run.folder / f"costs-{sha256[:12]}.json")
        if not found.disturbed:
            break
    return found


def _run(folder: Path, scenario: Scenario) -> Run:
    with replacing(folder / "scenario.yaml") as path:
        path.write_text(dump_yaml(scenario), encoding="utf-8")
    return Run.open(folder)


def _found(run: Run, system: System, info: StackInfo, seed: int) -> NativeCosts:
    began_s = time.monotonic()
    calibration = calibrate(run, info, lambda _line: None)
    scales = Scales(run, system, info, calibration.idle_cores, calibration.cores)
    saturated = scales.saturated("saturated", seed)
    load_per_s = STEADY * highest_per_s(saturated.load_per_s)
    steady = scales.steady("steady", seed, load_per_s)
    return costs_of(
        system,
        calibration,
        outside_s=_outside_s(run, calibration),
        saturated=saturated,
        steady=steady,
        calibration_sha256=run.sha256(Calibration),
        duration_s=time.monotonic() - began_s,
    )


def costs_of(
    system: System,
    calibration: Calibration,
    *,
    outside_s: float,
    saturated: Weighing,
    steady: Weighing,
    calibration_sha256: str,
    duration_s: float,
) -> NativeCosts:
    """The calibration in the form that the native model takes."""
    burst_s: dict[tuple[str, str], dict[str, float]] = {}
    for demand in calibration.demands:
        place = burst_s.setdefault((demand.operation, demand.outcome), {})
        place[demand.component] = demand.cpu_s.value
    classes = []
    for single in calibration.singles:
        key = (single.operation, single.outcome)
        times_s = np.array(single.latency_s)
        seen = RequestClass(single.operation, single.outcome, burst_s[key], times_s)
        classes.append(
            ClassCosts(
                operation=single.operation,
                outcome=single.outcome,
                burst_s=burst_s[key],
                single_s=single.cpu_s,
                latency_s=float(np.median(times_s)),
                cv=seen.cv,
            )
        )
    return NativeCosts(
        system=system.name,
        cores=calibration.cores,
        classes=tuple(classes),
        generator_single_s=calibration.generator_cpu_s.value,
        saturated=saturated,
        steady=steady,
        outside_s=outside_s,
        idle_fraction=calibration.idle_fraction,
        idle_cores=calibration.idle_cores,
        calibration_sha256=calibration_sha256,
        duration_s=duration_s,
        disturbed=(*calibration.conditions.reasons, *saturated.disturbed, *steady.disturbed),
    )


def _outside_s(run: Run, calibration: Calibration) -> float:
    """How much longer the generator's requests took at low load than single ones; the median."""
    rows = pq.read_table(run.folder / "calibration.parquet").to_pandas()
    alone_s = {
        (each.operation, each.outcome): float(np.median(each.latency_s))
        for each in calibration.singles
    }
    keys = zip(rows["operation"].astype(str), rows["cache"].astype(str), strict=True)
    usual_s = np.array([alone_s.get(key, np.nan) for key in keys])
    more_s = rows["latency_s"].to_numpy(dtype=float) - usual_s
    return float(np.nanmedian(more_s))
