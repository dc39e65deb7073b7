"""The native calibration of one start of one system: in less than a minute, at low load."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from headroom.artefacts import Calibration, Run, replacing
from headroom.calibrate import calibrate
from headroom.fidelity.native_design import System
from headroom.fidelity.native_records import ClassCosts, NativeCosts
from headroom.live import catalogue_of, credentials_of, empty_cache, pids_of
from headroom.traces import calibration_trace, write_trace
from sim.calibrate import RequestClass
from sim.scenario import Scenario
from sim.scenario_file import dump_yaml
from sim.workload import Trace
from stack.load.bursts import BURST
from stack.load.run import LoadResult, run_load
from stack.local import StackInfo

Say = Callable[[str], None]
TRIES = 3  # of a disturbed calibration: all cells of its start hang on it
BURST_EVERY_S, BURSTS_FOR_S = 0.1, 4.0


def calibrated(system: System, info: StackInfo, folder: Path, say: Say) -> NativeCosts:
    """Measure what requests cost now; again when the machine was disturbed. Stored."""
    run = _run(folder, system.scenario)
    for _ in range(TRIES):
        began_s = time.monotonic()
        found = _found(run, system, info, began_s)
        say(
            f"  calibrated in {found.duration_s:.0f} s: generator "
            f"{found.generator_burst_s * 1e6:.0f} µs in bursts, "
            f"{found.generator_single_s * 1e6:.0f} µs alone"
            + "".join(f"; disturbed: {reason}" for reason in found.disturbed)
        )
        run.write(found)
        if not found.disturbed:
            break
    return found


def _run(folder: Path, scenario: Scenario) -> Run:
    with replacing(folder / "scenario.yaml") as path:
        path.write_text(dump_yaml(scenario), encoding="utf-8")
    return Run.open(folder)


def _found(run: Run, system: System, info: StackInfo, began_s: float) -> NativeCosts:
    calibration = calibrate(run, info, lambda _line: None)
    bursts = _Bursts.offered(run, system.scenario, info)
    return costs_of(
        system,
        calibration,
        outside_s=_outside_s(run, calibration),
        bursts=bursts,
        calibration_sha256=run.sha256(Calibration),
        duration_s=time.monotonic() - began_s,
    )


def costs_of(
    system: System,
    calibration: Calibration,
    *,
    outside_s: float,
    bursts: "_Bursts",
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
        generator_burst_s=bursts.generator_s,
        generator_single_s=calibration.generator_cpu_s.value,
        low_load_per_s=calibration.load_per_s,
        outside_s=outside_s,
        idle_fraction=calibration.idle_fraction,
        idle_cores=calibration.idle_cores,
        stall_fraction=bursts.stall_fraction,
        calibration_sha256=calibration_sha256,
        duration_s=duration_s,
        disturbed=(*calibration.conditions.reasons, *bursts.reasons),
    )


def stall_fraction(result: LoadResult, cores: int) -> float:
    """Of the time that a core was wanted, the share that the hypervisor kept."""
    seen = result.validity
    busy = sum(result.cpu_s.values()) / (result.window_s * cores) + seen.foreign_cpu_fraction
    wanted = busy + seen.steal_fraction
    return min(0.6, seen.steal_fraction / wanted) if wanted else 0.0


@dataclass(frozen=True)
class _Bursts:
    """Requests of the mix, a handful at once: what one costs the generator when it has no rest."""

    generator_s: float
    stall_fraction: float
    reasons: tuple[str, ...]

    @classmethod
    def offered(cls, run: Run, scenario: Scenario, info: StackInfo) -> "_Bursts":
        """Send them."""
        assert info.base_url is not None
        load_per_s = BURST / BURST_EVERY_S
        trace = in_bursts(calibration_trace(scenario, load_per_s, BURSTS_FOR_S))
        empty_cache(info)
        result = run_load(
            write_trace(run, "bursts", trace),
            info.base_url,
            run.folder / "bursts.parquet",
            catalogue=catalogue_of(scenario),
            credentials=credentials_of(info),
            run_id=f"{scenario.name}-bursts",
            pids_by_part=pids_of(info),
        )
        # Who comes last of a burst is sent late: of the stamp only what others did counts.
        about = ("steal", "foreign CPU", "wrong status", "failed")
        reasons = tuple(r for r in result.validity.reasons if r.startswith(about))
        return cls(
            result.cpu_s["generator"] / len(trace), stall_fraction(result, _cores(run)), reasons
        )


def in_bursts(trace: Trace) -> Trace:
    """The same requests, as many as a burst has at once, and then a pause."""
    places = (np.arange(len(trace)) // BURST).astype(np.float64)
    return replace(trace, arrival_s=places * BURST_EVERY_S)


def _cores(run: Run) -> int:
    return run.read(Calibration).cores


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
