"""What requests cost while a stack is worked, for a few seconds: CPU only, no latency is kept.

Two loads of the calibration weigh the whole mix: closed, with fewer in flight than the load that is
judged, and open, at a third of that throughput. The closed one is offered again before each cell,
for a shared machine changes its speed within minutes.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headroom.artefacts import Run
from headroom.fidelity.native_design import SATURATING, System, trace_at
from headroom.fidelity.native_records import Weighing
from headroom.live import by_component, catalogue_of, credentials_of, empty_cache, pids_of
from headroom.traces import write_trace
from sim.workload import Trace
from stack.load.run import MAX_IN_FLIGHT, LoadResult, run_load
from stack.load.validity import Limits
from stack.local import StackInfo

WARM_UP_S = 1.0
SATURATED_S, STEADY_S = 2.0, 4.0  # measured
DUE_PER_S = 8_000.0  # of a closed load: more than any stack here answers
# Of the stamp what tells of the machine; whether the generator was in time matters to no CPU.
DISTURBS = ("steal", "foreign CPU", "generator CPU", "wrong status", "failed", "the machine became")


@dataclass(frozen=True)
class Scales:
    """A running system, to be weighed."""

    run: Run
    system: System
    info: StackInfo
    idle_cores: dict[str, float]
    cores: int

    def saturated(self, name: str, seed: int) -> Weighing:
        """Always SATURATING requests of the mix in flight."""
        return self._weighed(name, seed, DUE_PER_S, SATURATED_S, in_flight=SATURATING)

    def steady(self, name: str, seed: int, load_per_s: float) -> Weighing:
        """Requests of the mix at a rate."""
        return self._weighed(name, seed, load_per_s, STEADY_S, in_flight=0)

    def _weighed(
        self, name: str, seed: int, load_per_s: float, measured_s: float, *, in_flight: int
    ) -> Weighing:
        trace = trace_at(self.system, load_per_s, seed, WARM_UP_S + measured_s)
        out, result = offered_natively(
            self.system, self.info, self.run, name, trace, warmup_s=WARM_UP_S, in_flight=in_flight
        )
        reasons = [r for r in result.validity.reasons if r.startswith(DISTURBS)]
        if in_flight and result.requests >= len(trace):
            reasons.append("the closed load did not saturate the stack")
        return Weighing(
            in_flight=in_flight,
            load_per_s=sent(result) / result.window_s,
            cpu_s=cpu_of_a_request(result, self.idle_cores),
            shares=shares_seen(pq.read_table(out), WARM_UP_S, is_closed=bool(in_flight)),
            stall_fraction=stall_fraction(result, self.cores),
            disturbed=tuple(reasons),
        )


def offered_natively(
    system: System,
    info: StackInfo,
    run: Run,
    name: str,
    trace: Trace,
    *,
    warmup_s: float,
    in_flight: int,
) -> tuple[Path, LoadResult]:
    """Offer a trace to a system whose cache is empty: where its requests are kept, and its result.

    Args:
        in_flight: always so many (a closed load); 0: each request when it is due.
    """
    scenario = system.scenario
    assert info.base_url is not None
    out = run.folder / f"{name}.load.parquet"
    empty_cache(info)
    result = run_load(
        write_trace(run, name, trace),
        info.base_url,
        out,
        catalogue=catalogue_of(scenario),
        credentials=credentials_of(info),
        run_id=f"{system.name}-{name}",
        warmup_s=warmup_s,
        timeout_s=scenario.topology.api.timeout_s,
        pids_by_part=pids_of(info),
        is_closed=bool(in_flight),
        max_in_flight=in_flight or MAX_IN_FLIGHT,
        limits=Limits().closed() if in_flight else None,
    )
    return out, result


def sent(result: LoadResult) -> int:
    """Requests of the measured window that were sent."""
    return max(1, round(result.validity.achieved_per_s * result.window_s))


def cpu_of_a_request(result: LoadResult, idle_cores: dict[str, float]) -> dict[str, float]:
    """CPU of a request by component over a run's window, less what is used when nobody asks."""
    requests = sent(result)
    return {
        part: max(0.0, used_s - idle_cores.get(part, 0.0) * result.window_s) / requests
        for part, used_s in by_component(result.cpu_s).items()
    }


def shares_seen(table: pa.Table, from_s: float, *, is_closed: bool) -> dict[str, float]:
    """Of the requests from a time on, those of each class.

    Who waited for another's read counts as a hit: it costs as one.
    """
    rows = table.to_pandas()
    rows = rows[rows["sent_s" if is_closed else "intended_s"] >= from_s]
    outcome = rows["cache"].astype(str).where(~rows["coalesced"].astype(bool), "hit")
    counts = (rows["operation"].astype(str) + "/" + outcome).value_counts()
    return {str(name): float(count) / len(rows) for name, count in counts.items()}


def stall_fraction(result: LoadResult, cores: int) -> float:
    """Of the time that a core was wanted, the share that the hypervisor kept."""
    seen = result.validity
    busy = sum(result.cpu_s.values()) / (result.window_s * cores) + seen.foreign_cpu_fraction
    wanted = busy + seen.steal_fraction
    return min(0.6, seen.steal_fraction / wanted) if wanted else 0.0
