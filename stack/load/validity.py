"""Whether a run may be believed: what was seen, the stated limits, and the reasons in words.

A run is INVALID when the figures tell more of the generator or the machine than of the stack. A
stack that answers slowly or with server errors is a valid finding, as long as enough answers are
left for their latencies to mean something.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from stack.load.plan import ANSWERED, BROKEN, DROPPED, IN_FLIGHT, NO_CONNECTION, TIMEOUT, UNSENT
from stack.observe.cpu import CpuUse

# How reasons begin that tell of the machine beneath: not of the stack, nor of its generator.
OF_THE_MACHINE = ("steal: ", "foreign CPU: ", "the machine became ")
LATE = "dispatch lag p99 is "
OF_THE_GENERATOR = ("generator CPU: ", "planned ")  # which then is late by itself


def of_the_machine(reasons: tuple[str, ...]) -> tuple[str, ...]:
    """Those of a run's reasons to be INVALID that tell of the machine beneath."""
    late = () if any(each.startswith(OF_THE_GENERATOR) for each in reasons) else (LATE,)
    return tuple(each for each in reasons if each.startswith((*OF_THE_MACHINE, *late)))


@dataclass(frozen=True)
class Limits:
    """What a valid run keeps to. One place, so that a report can print it."""

    # One Python process sends 2,000/s, but above 1,000/s its own queueing is part of what it tells:
    # measured dispatch lag p99 1.2 ms at 1,000/s, 4-10 ms at 2,000/s, 12-18 ms at 4,000/s. The
    # limit leaves room for the spread of Poisson arrivals around 1,000/s.
    planned_per_s: float = 1_050.0
    achieved_fraction: float = 0.99
    dispatch_lag_p99_s: float = 0.005
    generator_cpu_fraction: float = 0.8  # of one core
    steal_fraction: float = 0.05
    foreign_cpu_fraction: float = 0.10  # of the machine
    # Two instants, on cores whose speed is bimodal (one third apart without any load seen): only a
    # change by a factor says that the run began and ended on different machines.
    speed_change_factor: float = 2.0
    dropped_fraction: float = 0.0
    wrong_status_fraction: float = 0.001
    failed_fraction: float = 0.05
    # Whether work of a lower priority than the generator's, which gives way, counts as foreign CPU.
    counts_lower_cpu: bool = True

    def closed(self) -> Self:
        """For closed load, which saturates: requests are late by design, and no rate is planned."""
        return replace(
            self,
            planned_per_s=math.inf,
            achieved_fraction=0.0,
            dispatch_lag_p99_s=math.inf,
            generator_cpu_fraction=0.95,  # more, and the generator is what was saturated
        )

    def dilated(self) -> Self:
        """For emulated machines in dilated time: beside their holds noise matters less.

        Most of the machine idles then, and holds are tens of milliseconds. All parts of an
        emulation have the generator's priority (stack.load.priority): who has less gives way, and
        is judged by what it does, late dispatches and holds that overrun. Who has not, such as a
        hog that keeps one of two cores busy, is still seen. The machine's speed matters to nothing.
        """
        return replace(
            self,
            steal_fraction=0.15,
            foreign_cpu_fraction=0.25,
            counts_lower_cpu=False,
            dispatch_lag_p99_s=0.010,
            speed_change_factor=math.inf,
        )


class Validity(BaseModel):
    """What was seen over the measured window (warm-up excluded), and the verdict on it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    requests: int  # planned in the window
    answered: int  # with the expected status
    planned_per_s: float
    achieved_per_s: float  # sent, whatever was answered
    dispatch_lag_p50_s: float  # sent minus intended
    dispatch_lag_p99_s: float
    dispatch_lag_max_s: float
    generator_cpu_fraction: float  # of one core
    steal_fraction: float  # of the machine
    foreign_cpu_fraction: float  # of the machine, by processes of neither stack nor generator
    lower_cpu_fraction: float = (
        0.0  # of that, by processes of a lower priority than the generator's
    )
    dropped: int  # never sent: too many were in flight
    wrong_status: int  # answered, but neither as expected nor with a server error
    failed: int  # server errors, timeouts, broken or refused connections
    speed_before_per_s: float
    speed_after_per_s: float
    speed_ratio: float  # after to before
    complete: bool
    valid: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Window:
    """What became of the requests whose intended time is in the measured window."""

    intended_s: NDArray[np.float64]
    rows: NDArray[np.void]  # of the journal
    expected_status: NDArray[np.int16]
    start_s: float
    end_s: float


def judge(
    window: Window,
    use: CpuUse,
    *,
    generator: str,
    speeds_per_s: tuple[float, float],
    complete: bool,
    limits: Limits,
) -> Validity:
    """Stamp a run. `generator` is the part of `use` that sent the load."""
    end, status = window.rows["end"], window.rows["status"]
    sent = (end != UNSENT) & (end != DROPPED)
    answered = end == ANSWERED
    right = answered & (status == window.expected_status)
    server_error = answered & (status >= 500)
    lag_s = window.rows["sent_s"][sent] - window.intended_s[sent]
    lag_p50_s, lag_p99_s = np.quantile(lag_s, [0.5, 0.99]) if lag_s.size else (0.0, 0.0)
    planned_per_s, achieved_per_s = _rates(window, sent)
    before, after = speeds_per_s
    seen = Validity(
        requests=window.intended_s.size,
        answered=int(right.sum()),
        planned_per_s=planned_per_s,
        achieved_per_s=achieved_per_s,
        dispatch_lag_p50_s=max(0.0, float(lag_p50_s)),
        dispatch_lag_p99_s=max(0.0, float(lag_p99_s)),
        dispatch_lag_max_s=max(0.0, float(lag_s.max())) if lag_s.size else 0.0,
        generator_cpu_fraction=use.cpu_s.get(generator, 0.0) / use.wall_s,
        steal_fraction=use.steal_fraction,
        foreign_cpu_fraction=use.foreign_cpu_fraction,
        lower_cpu_fraction=use.lower_cpu_fraction,
        dropped=int((end == DROPPED).sum()),
        wrong_status=int((answered & ~right & ~server_error).sum()),
        failed=int(
            np.isin(end, (IN_FLIGHT, TIMEOUT, NO_CONNECTION, BROKEN)).sum() + server_error.sum()
        ),
        speed_before_per_s=before,
        speed_after_per_s=after,
        speed_ratio=after / before,
        complete=complete,
        valid=False,
        reasons=(),
    )
    reasons = tuple(_reasons(seen, limits))
    return seen.model_copy(update={"valid": not reasons, "reasons": reasons})


def _rates(window: Window, sent: NDArray[np.bool_]) -> tuple[float, float]:
    """Planned and achieved rate: the same requests over the time they should take and took."""
    length_s = window.end_s - window.start_s
    late_s = 0.0
    if sent.any():
        last_sent_s = float(window.rows["sent_s"][sent].max())
        late_s = max(0.0, last_sent_s - float(window.intended_s.max()))
    planned = window.intended_s.size / length_s if length_s > 0 else 0.0
    took_s = length_s + late_s
    return planned, (int(sent.sum()) / took_s if took_s > 0 else 0.0)


def _reasons(seen: Validity, limits: Limits) -> Iterator[str]:
    if not seen.complete:
        yield "the run was cut short"
    if seen.requests == 0:
        yield "no request was planned after the warm-up"
        return
    if seen.answered == 0:
        yield "no request was answered as expected"
    if seen.planned_per_s > limits.planned_per_s:
        yield (
            f"planned {seen.planned_per_s:.0f} requests/s; one generator gives trustworthy tails "
            f"up to {limits.planned_per_s:.0f}/s"
        )
    if seen.achieved_per_s < limits.achieved_fraction * seen.planned_per_s:
        yield (
            f"sent {seen.achieved_per_s:.1f} of {seen.planned_per_s:.1f} planned requests/s, "
            f"limit {limits.achieved_fraction:.0%}"
        )
    if seen.dispatch_lag_p99_s > limits.dispatch_lag_p99_s:
        yield (
            f"{LATE}{seen.dispatch_lag_p99_s * 1e3:.1f} ms, "
            f"limit {limits.dispatch_lag_p99_s * 1e3:g} ms"
        )
    foreign = seen.foreign_cpu_fraction
    if not limits.counts_lower_cpu:
        foreign -= seen.lower_cpu_fraction
    for name, value, limit in (
        ("generator CPU", seen.generator_cpu_fraction, limits.generator_cpu_fraction),
        ("steal", seen.steal_fraction, limits.steal_fraction),
        ("foreign CPU", foreign, limits.foreign_cpu_fraction),
        ("drops", seen.dropped / seen.requests, limits.dropped_fraction),
        ("wrong status codes", seen.wrong_status / seen.requests, limits.wrong_status_fraction),
        ("failed requests", seen.failed / seen.requests, limits.failed_fraction),
    ):
        if value > limit:
            yield f"{name}: {value:.2%}, limit {limit:.2%}"
    if max(seen.speed_ratio, 1 / seen.speed_ratio) > limits.speed_change_factor:
        yield (
            f"the machine became {seen.speed_ratio:.2f} times as fast during the run, "
            f"limit a factor of {limits.speed_change_factor:g}"
        )
