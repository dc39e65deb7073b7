"""Runs too long to keep: the trace comes in chunks, and sojourns go into a histogram."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import require
from sim.kernel.walking import BIN_BITS, BINS, LOWEST_BIN
from sim.model.run import SimulatedRun
from sim.model.stack import StackModel
from sim.workload.trace import Trace

RELATIVE_ERROR = 2.0 ** -(BIN_BITS + 1)


@dataclass(frozen=True)
class StreamedRun:
    """A run without its single requests.

    Args:
        requests: how many arrived.
        histogram: successful requests by sojourn: bin i holds [edge(i), edge(i + 1)), 256 bins
            per factor of two, so that a quantile is off by at most 1/512 of its value (sojourns
            in 2^-40 … 2^24 s).
        load: loads of the parts, as in SimulatedRun; its arrays are empty.
    """

    requests: int
    histogram: NDArray[np.int64]
    load: SimulatedRun

    @property
    def succeeded(self) -> int:
        """Successful requests."""
        return int(self.histogram.sum())

    def quantile_s(self, probability: float) -> float:
        """Sojourn of successful requests at a probability in (0, 1), s; off by at most 1/512."""
        require(0 < probability < 1, "probability", probability, "a number in (0, 1)")
        require(self.succeeded > 0, "succeeded", 0, "at least one successful request")
        rank = int(np.ceil(probability * self.succeeded))
        place = int(np.searchsorted(np.cumsum(self.histogram), rank))
        return (_edge_s(place) + _edge_s(place + 1)) / 2


def _edge_s(place: int) -> float:
    bits = np.array([(place + LOWEST_BIN) << (52 - BIN_BITS)], np.int64)
    return float(bits.view(np.float64)[0])


def simulate_stream(model: StackModel, chunks: Iterable[Trace], *, seed: int) -> StreamedRun:
    """Simulate a trace that comes in consecutive chunks, in memory for one or two of them.

    Args:
        model, seed: as for `simulate`; the whole trace gives the same sojourns there.
        chunks: stretches of one trace, each beginning no earlier than the one before ends.
    Returns: quantiles of sojourns with a relative error of at most 1/512, and loads.
    Raises: InvalidScenario as `simulate` does, or when a chunk steps back in time.
    Source: `simulate`, in stretches; a histogram with bins of equal relative width.

    >>> from sim.model import Demand, Route, Station, Visit
    >>> second = Demand(1.0, distribution="deterministic")
    >>> model = StackModel((Station("web", 1),), (Route("get", (Visit("web", second),)),))
    >>> zero = np.zeros(2, np.int64)
    >>> one = Trace(np.array([0.0, 0.5]), ("get",), zero.astype(np.int16), zero, zero)
    >>> run = simulate_stream(model, [one], seed=1)  # sojourns of 1 and 1.5 s
    >>> run.requests, abs(run.quantile_s(0.9) / 1.5 - 1) <= RELATIVE_ERROR
    (2, True)
    """
    from sim.kernel import advanced, starts, summary
    from sim.kernel.layout import Chunk
    from sim.kernel.memory import empty_world
    from sim.kernel.program import Program
    from sim.model.run import check_inputs

    program = Program(model, seed)
    world = empty_world(program, attempts=256)._replace(histogram=np.zeros(BINS, np.int64))
    empty = Chunk(
        arrival_s=np.zeros(0),
        start=np.zeros(0, np.int32),
        key=np.zeros(0, np.int64),
        user=np.zeros(0, np.int64),
        sojourn_s=np.zeros(0),
        outcome=np.zeros(0, np.int8),
        cache_outcome=np.zeros(0, np.int8),
        attempts=np.zeros(0, np.int16),
        job_s=np.zeros(0),
        sent_s=np.zeros(0),
        think_s=np.zeros(0),
        users=0,
        until_s=0.0,
    )
    requests, reached_s = 0, 0.0
    for trace in chunks:
        if not len(trace):
            continue
        check_inputs(model, trace, seed)
        begins_s = float(trace.arrival_s[0])
        require(begins_s >= reached_s, "chunks", begins_s, f"times from {reached_s:g} on")
        chunk = empty._replace(
            arrival_s=np.ascontiguousarray(trace.arrival_s, np.float64),
            start=starts(program, trace),
            key=np.ascontiguousarray(trace.key, np.int64),
            user=np.ascontiguousarray(trace.user, np.int64),
        )
        world, _ = advanced(world, chunk, requests, last=False)
        requests += len(trace)
        reached_s = float(trace.arrival_s[-1])
    if requests:
        world, _ = advanced(world, empty, requests, last=True)
    return StreamedRun(requests, world.histogram, summary(model, world, empty))
