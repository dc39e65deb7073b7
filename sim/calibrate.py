"""Measured costs of requests, turned into the service demands that the models take.

A request class is an operation with a cache outcome. What was measured for each: CPU time per
request at every component (batches of requests, so that bursts are served without idle gaps and
wake-ups do not count), and the time of single requests at low load. What single requests take
beyond their CPU time is a delay outside all queues: wake-ups, loopback, timers.

Assumes: CPU time of a request does not depend on the load; what a single request takes beyond its
    CPU is delay outside all queues; the spread of single requests is that of their demand.
Lies when: the machine's clock rate moves with its load; requests batch their work (a demand falls
    with load); memory or lock contention makes demands grow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sim.errors import require
from sim.model import Demands, VisitDemand

# Components in the order in which a request meets them.
FRONT = ("nginx", "api")
BACK_ENDS = ("elasticsearch", "mongo", "api_threads")
NEGLIGIBLE_S = 20e-6  # of CPU a request: below it, a back end was not asked but ticked on its own
CV_RANGE = (0.2, 2.0)


@dataclass(frozen=True)
class RequestClass:
    """What one operation with one cache outcome costs.

    Args:
        operation: as in `sim.scenario.Operation`.
        outcome: hit, miss or none (no cache asked).
        cpu_s: mean CPU time a request, s, by component; other names than those of the model
            (secondaries, the indexer) are work beside the request: it loads the cores only.
        latency_s: times of single requests at low load, s, at least 5.
    """

    operation: str
    outcome: str
    cpu_s: Mapping[str, float]
    latency_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        where = f"calibration.{self.operation}.{self.outcome}"
        for component, cpu_s in self.cpu_s.items():
            require(
                bool(np.isfinite(cpu_s)) and cpu_s >= 0, f"{where}.{component}", cpu_s, "s >= 0"
            )
        good = self.latency_s.size >= 5 and bool(np.isfinite(self.latency_s).all())
        require(good, f"{where}.latency_s", self.latency_s.size, "at least 5 finite times")

    @property
    def request_cpu_s(self) -> float:
        """CPU time on the request's own path, s."""
        return sum(self.cpu_s.get(name, 0.0) for name in (*FRONT, "redis", *BACK_ENDS))

    @property
    def background_cpu_s(self) -> float:
        """CPU time that a request causes beside its path, s."""
        return sum(self.cpu_s.values()) - self.request_cpu_s

    @cached_property
    def cv(self) -> float:
        """Coefficient of variation of the demand, from the spread of the single requests.

        That of the lognormal through their median and 84 % quantile, which a few stalls of the
        machine do not move; held within CV_RANGE.
        """
        median, upper = np.quantile(self.latency_s, [0.5, 0.8413])
        sigma = float(np.log(upper / median)) if median > 0 else 0.0
        return float(np.clip(np.sqrt(np.expm1(sigma**2)), *CV_RANGE))

    @property
    def delay_s(self) -> float:
        """Time of a single request beyond its CPU, s; the median, so that stalls do not count."""
        return max(0.0, float(np.median(self.latency_s)) - self.request_cpu_s)

    def visits(self, before_lookup_s: float | None = None) -> tuple[VisitDemand, ...]:
        """The visits of this class in order.

        nginx, API, Redis (the lookup, or the write's clearing), back ends, Redis (the fill), API.
        The API's time falls half before and half after, as does that of Redis on a miss.

        Args:
            before_lookup_s: the API's time before the lookup where another class sets it (a miss
                starts as a hit does); None: half of this class's own.
        """
        api_s, redis_s = self.cpu_s.get("api", 0.0), self.cpu_s.get("redis", 0.0)
        first_s = api_s / 2 if before_lookup_s is None else min(before_lookup_s, api_s)
        back = [(name, self.cpu_s.get(name, 0.0)) for name in BACK_ENDS]
        back = [(name, cpu_s) for name, cpu_s in back if cpu_s > NEGLIGIBLE_S]
        path = [("nginx", self.cpu_s.get("nginx", 0.0)), ("api", first_s)]
        if self.outcome == "miss":
            path += [("redis", redis_s / 2), *back, ("redis", redis_s / 2)]
        elif self.outcome == "hit":
            path += [("redis", redis_s)]
        else:
            path += [*back, *([("redis", redis_s)] if redis_s > NEGLIGIBLE_S else [])]
        path.append(("api", api_s - first_s))
        return tuple(VisitDemand(name, cpu_s, self.cv) for name, cpu_s in path if cpu_s > 0)


def demands(
    classes: Sequence[RequestClass],
    *,
    host_cores: int | None,
    background_fraction: float = 0.0,
    slots: Mapping[str, int] | None = None,
    speed: Mapping[str, float] | None = None,
    index_lag_s: float = 0.0,
) -> Demands:
    """The demands of a stack of which these classes were measured.

    Args:
        classes: each operation under hit and miss, or under none.
        host_cores: cores that all parts share; None: a machine for each instance.
        background_fraction: of the shared cores, what other work takes; in [0, 1).
        slots: servers of one instance by component, with host_cores None.
        speed: of the target's CPU relative to the measured one, by component; missing means 1.
        index_lag_s: from a product's update until searches are cleared.
    Returns: the demands; times divided by the speeds.
    Raises: InvalidScenario outside those domains.
    Source: what `RequestClass.visits` says of each class.

    >>> one = RequestClass("detail", "none", {"nginx": 1e-4, "api": 1e-3}, np.full(5, 2e-3))
    >>> d = demands([one], host_cores=2)
    >>> [(v.component, v.mean_s) for v in d.visits["detail", "none"]]
    [('nginx', 0.0001), ('api', 0.0005), ('api', 0.0005)]
    >>> round(d.delay_s["detail", "none"], 6)  # 2 ms less 1.1 ms of CPU
    0.0009
    """
    share = background_fraction
    require(0 <= share < 1, "demands.background_fraction", share, "a share from 0 to below 1")
    require(0 <= index_lag_s < np.inf, "demands.index_lag_s", index_lag_s, "seconds, 0 or more")
    by_class = {(each.operation, each.outcome): each for each in classes}
    visits = {}
    for (operation, outcome), each in by_class.items():
        hit = by_class.get((operation, "hit"))
        first_s = hit.cpu_s.get("api", 0.0) / 2 if outcome == "miss" and hit else None
        visits[operation, outcome] = tuple(
            VisitDemand(v.component, v.mean_s / (speed or {}).get(v.component, 1.0), v.cv)
            for v in each.visits(first_s)
        )
    return Demands(
        visits=visits,
        delay_s={key: each.delay_s for key, each in by_class.items()},
        host_cores=host_cores,
        background_fraction=background_fraction,
        slots=slots or {},
        index_lag_s=index_lag_s,
    )
