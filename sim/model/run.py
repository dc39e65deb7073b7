"""What a simulation returns: the fate of each request and the load of each part."""

import math
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sim.errors import require
from sim.model.stack import StackModel
from sim.workload.trace import Trace


class Outcome(IntEnum):
    """How a request ended."""

    OK = 0
    TIMEOUT = 1  # its caller's patience ran out
    REJECTED = 2  # a queue was full
    FAILED = 3  # a server was down, or the attempt that fetched for it failed
    SHED = 4  # a rate limit or an open circuit breaker turned it away


class CacheOutcome(IntEnum):
    """The last cache lookup of a request's last attempt."""

    NONE = 0
    HIT = 1
    MISS = 2
    COALESCED = 3  # missing, but another attempt was already fetching it


@dataclass(frozen=True)
class StationLoad:
    """One station over the whole run.

    Args:
        name: of the station.
        visits: visits that it began to serve or booked.
        utilisation: mean of busy slots over slots.
        throughput_per_s: visits completed per second.
        mean_wait_s: time from arrival to start of service, mean over the visits that started; for
            processor sharing, sojourn less demand over the visits completed. 0 without visits.
    """

    name: str
    visits: int
    utilisation: float
    throughput_per_s: float
    mean_wait_s: float


@dataclass(frozen=True)
class FamilyLookups:
    """Cache lookups of one family, those of retries and of abandoned attempts included."""

    name: str
    hits: int
    misses: int
    coalesced: int

    @property
    def hit_fraction(self) -> float:
        """Hits over lookups; 0 without lookups."""
        lookups = self.hits + self.misses + self.coalesced
        return self.hits / lookups if lookups else 0.0


@dataclass(frozen=True)
class SimulatedRun:
    """One simulated run; request i is request i of the trace.

    Args:
        sojourn_s: from arrival to the end of the request, retries included, whatever its outcome.
        outcome: codes of `Outcome`.
        cache_outcome: codes of `CacheOutcome`.
        attempts: attempts made, >= 1.
        end_s: when the last request ended; utilisations and throughputs are over [0, end_s].
        stations, families: loads by part, in the model's order.
        host_utilisation: busy share of the cores of each host, foreign work excluded.
        jobs_completed: jobs (`Spawn`, `Replicate`) that ended well before end_s.
        stale_reads: reads from a secondary that had not yet applied the last write of the key.
        job_request: requests that left a job behind (`Spawn`) which ended well before end_s.
        job_took_s: from when each left it until its end, of several the one that ended last, s.
        scaling: (time s, group, replicas wanted) of each autoscaler action.
    """

    sojourn_s: NDArray[np.float64]
    outcome: NDArray[np.int8]
    cache_outcome: NDArray[np.int8]
    attempts: NDArray[np.int16]
    end_s: float
    stations: tuple[StationLoad, ...]
    families: tuple[FamilyLookups, ...]
    host_utilisation: dict[str, float]
    jobs_completed: int = 0
    stale_reads: int = 0
    scaling: tuple[tuple[float, str, int], ...] = ()
    job_request: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    job_took_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def station(self, name: str) -> StationLoad:
        """The load of one station; raises KeyError."""
        return {load.name: load for load in self.stations}[name]

    def family(self, name: str) -> FamilyLookups:
        """The lookups of one family; raises KeyError."""
        return {lookups.name: lookups for lookups in self.families}[name]

    @property
    def job_s(self) -> NDArray[np.float64]:
        """`job_took_s` for every request; NaN for those that left no job, or none that ended."""
        every_s = np.full(self.outcome.size, np.nan)
        every_s[self.job_request] = self.job_took_s
        return every_s

    @property
    def is_ok(self) -> NDArray[np.bool_]:
        """Mask of the requests that succeeded."""
        return np.asarray(self.outcome == Outcome.OK)

    @property
    def error_fraction(self) -> float:
        """Requests that did not succeed, as a fraction; 0 for an empty run."""
        return float(np.mean(~self.is_ok)) if self.outcome.size else 0.0

    @property
    def throughput_per_s(self) -> float:
        """Successful requests per second of [0, end_s]; 0 for an empty run."""
        return float(np.sum(self.is_ok)) / self.end_s if self.end_s > 0 else 0.0


def check_inputs(model: StackModel, trace: Trace, seed: int) -> None:
    """Check that a trace can be simulated with a model.

    Args:
        model: the stack.
        trace: its requests.
        seed: of all demands.
    Returns: nothing.
    Raises: InvalidScenario for a seed outside 0 … 2^64 - 1, times that are not finite, below 0 or
        step back, arrays of different sizes, numbers below 0, or an operation without a route.
    Source: what both engines rely on.

    >>> from sim.model import Demand, Route, StackModel, Station, Visit
    >>> model = StackModel((Station("web", 1),), (Route("get", (Visit("web", Demand(1.0)),)),))
    >>> zero = np.zeros(2, np.int64)
    >>> back = Trace(np.array([1.0, 0.5]), ("get",), zero.astype(np.int16), zero, zero)
    >>> check_inputs(model, back, seed=1)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidScenario: trace.arrival_s: 'a step back' is not allowed; ...
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    require(whole and 0 <= seed < 2**64, "seed", seed, "an integer in 0..2^64 - 1")
    arrival_s = trace.arrival_s
    if not arrival_s.size:
        return
    require(bool(np.isfinite(arrival_s).all()), "trace.arrival_s", "NaN or inf", "finite times")
    require(float(arrival_s[0]) >= 0, "trace.arrival_s", float(arrival_s[0]), "times >= 0")
    require(
        bool((np.diff(arrival_s) >= 0).all()), "trace.arrival_s", "a step back", "ascending times"
    )
    for name in ("operation", "key", "user"):
        size = getattr(trace, name).size
        require(size == arrival_s.size, f"trace.{name}", size, f"{arrival_s.size} entries")
    lowest, highest = int(trace.operation.min()), int(trace.operation.max())
    inside = lowest >= 0 and highest < len(trace.operations)
    require(inside, "trace.operation", (lowest, highest), "indices into trace.operations")
    require(
        int(trace.key.min()) >= 0 and int(trace.user.min()) >= 0,
        "trace.key, trace.user",
        (int(trace.key.min()), int(trace.user.min())),
        "numbers >= 0",
    )
    for used in np.unique(trace.operation):
        name = trace.operations[used]
        known = ", ".join(sorted(model.route_of))
        require(name in model.route_of, "trace.operations", name, f"operations routed: {known}")


def load_of(
    name: str,
    slots: int,
    end_s: float,
    visits_and_completed: tuple[int, int],
    *,
    busy_s: float,
    wait_s: float,
) -> StationLoad:
    """The load of a station over [0, end_s], from its accounts.

    Args:
        name: of the station.
        slots: servers, >= 1.
        end_s: length of the run, s, >= 0.
        visits_and_completed: visits begun and ended.
        busy_s: busy slot-seconds.
        wait_s: waiting of all visits together, s.
    Returns: utilisation, throughput and mean wait; 0 for a run without length.
    Raises: InvalidScenario for a station without slots, or accounts that are no numbers.
    Source: utilisation law and Little's law [lazowska1984, ch. 3].

    >>> load_of("api", 2, 10.0, (4, 4), busy_s=5.0, wait_s=2.0)  # 5 of 20 slot-seconds
    StationLoad(name='api', visits=4, utilisation=0.25, throughput_per_s=0.4, mean_wait_s=0.5)
    """
    require(not math.isnan(wait_s), "wait_s", wait_s, "a number")
    visits, completed = visits_and_completed
    return StationLoad(
        name,
        visits,
        utilisation=share_of(busy_s, slots, end_s),
        throughput_per_s=completed / end_s if end_s > 0 else 0.0,
        mean_wait_s=wait_s / visits if visits else 0.0,
    )


def share_of(area_s: float, slots: int, end_s: float) -> float:
    """Busy slot-seconds as a fraction of what was there.

    Args:
        area_s: busy slot-seconds.
        slots: servers, >= 1.
        end_s: length of the run, s, >= 0.
    Returns: 0..1; 0 for a run without length.
    Raises: InvalidScenario outside those domains.
    Source: the definition of utilisation.

    >>> share_of(5.0, 2, 10.0)
    0.25
    """
    require(slots >= 1, "slots", slots, "at least 1")
    require(not math.isnan(area_s), "area_s", area_s, "a number")
    return area_s / (slots * end_s) if end_s > 0 and math.isfinite(end_s) else 0.0
