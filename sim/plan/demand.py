"""What the requests of a scenario ask of each tier, as arrays over request classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from sim.calibrate import RequestClass, demands
from sim.errors import InvalidScenario, Problem, require
from sim.scenario import FAMILY_OF, Family, Scenario

Floats = NDArray[np.float64]

# `mongo` is the primary; `secondary` stands for the members that read operations may be sent to.
TIERS = ("nginx", "api", "api_threads", "redis", "mongo", "secondary", "elasticsearch")
TIER_NAMES = {
    "nginx": "the load balancer",
    "api": "the API's event loops",
    "api_threads": "the API's password threads",
    "redis": "Redis",
    "mongo": "MongoDB's primary",
    "secondary": "MongoDB's secondaries",
    "elasticsearch": "Elasticsearch",
}


@dataclass(frozen=True)
class MeasuredDemands:
    """Service demands as a calibration found them, with how sure it is.

    Args:
        classes: CPU time and single latencies of each operation and cache outcome, on the machine
            that was measured.
        spread: by component, factors that hold 95 % of what its demands may be.
        measured_on: in words, for whoever reads the plan.
        assumed: these are not the scenario's own, but an example's.
        index_lag_s: from a product's update until searches are cleared, s.
    """

    classes: tuple[RequestClass, ...]
    spread: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    measured_on: str = "a machine not named"
    assumed: bool = False
    index_lag_s: float = 0.0

    def for_scenario(self, scenario: Scenario) -> tuple[RequestClass, ...]:
        """The classes that a scenario's mix needs.

        Where it caches nothing but a cache was measured, an operation costs what its miss does
        without the visits to Redis.

        Raises: InvalidScenario naming the operation that was not measured.
        """
        cache = scenario.topology.cache
        known = {(each.operation, each.outcome): each for each in self.classes}
        found: list[RequestClass] = []
        problems: list[Problem] = []
        for operation, share in scenario.workload.mix.items():
            if share <= 0:
                continue
            cached = cache is not None and FAMILY_OF.get(operation) in cache.families
            outcomes = ("hit", "miss") if cached else ("none",)
            for outcome in outcomes:
                each = known.get((operation.value, outcome))
                missed = known.get((operation.value, "miss"))
                if each is None and outcome == "none" and missed is not None:
                    cpu_s = {n: s for n, s in missed.cpu_s.items() if n != "redis"}
                    each = replace(missed, outcome="none", cpu_s=cpu_s)
                if each is None:
                    measured = ", ".join(sorted(f"{o}.{u}" for o, u in known)) or "nothing"
                    problems.append(
                        Problem(
                            f"demands.{operation}.{outcome}",
                            None,
                            f"a measured class; measured are {measured}: calibrate this scenario",
                        )
                    )
                else:
                    found.append(each)
        if problems:
            raise InvalidScenario(*problems)
        self._check_engine(scenario, found)
        return tuple(found)

    def _check_engine(self, scenario: Scenario, classes: list[RequestClass]) -> None:
        engine = scenario.topology.search.engine
        searched = [c for c in classes if c.operation == "search" and c.outcome != "hit"]
        for each in searched:
            has = each.cpu_s.get("elasticsearch", 0.0) > 0
            require(
                has == (engine == "elasticsearch"),
                "topology.search.engine",
                engine,
                "the engine that the searches were measured with; calibrate this scenario",
            )


@dataclass(frozen=True)
class Work:
    """Request classes of a scenario as arrays; one row a class, one column a tier of TIERS.

    Args:
        families: the cached families, in the order that `family` counts.
        share: of all requests that the class's operation has.
        family: index into families, -1 for a class that asks no cache.
        is_hit: whether the class is that family's hits.
        visits: visits to each tier.
        mean_s: service demand at each tier, all visits together, s.
        square_s2: E[S²] summed over the visits, s².
        variance_s2: variance of the service demand at each tier, s².
        delay_s: time outside all queues, s.
    """

    families: tuple[Family, ...]
    share: Floats
    family: NDArray[np.int64]
    is_hit: NDArray[np.bool_]
    visits: Floats
    mean_s: Floats
    square_s2: Floats
    variance_s2: Floats
    delay_s: Floats

    def weights(self, hit_fraction: Floats) -> Floats:
        """Share of all requests that each class has, at hit ratios [family, …] in 0..1."""
        shape = (-1,) + (1,) * (hit_fraction.ndim - 1)
        found = np.broadcast_to(
            self.share.reshape(shape), (self.share.size, *hit_fraction.shape[1:])
        ).copy()
        for row, (family, is_hit) in enumerate(zip(self.family, self.is_hit, strict=True)):
            if family >= 0:
                found[row] *= hit_fraction[family] if is_hit else 1.0 - hit_fraction[family]
        return found


def work_of(scenario: Scenario, measured: MeasuredDemands) -> Work:
    """The work of a scenario's requests, on the machine that was measured.

    Args:
        scenario: mix, cached families and who may read from secondaries.
        measured: service demands.
    Returns: one row for each class of request, one column for each of TIERS; times in s.
    Raises: InvalidScenario for an operation of the mix that was not measured.
    Source: `sim.calibrate.demands`, summed over the visits of a class.

    >>> from sim.example import shop, shop_demands
    >>> work = work_of(shop(), shop_demands())
    >>> work.mean_s[:, TIERS.index("mongo")].tolist()  # hit, miss, and what is never cached
    [0.0, 0.02, 0.02]
    """
    classes = measured.for_scenario(scenario)
    found = demands(classes, host_cores=None)
    cache = scenario.topology.cache
    families = tuple(cache.families) if cache is not None else ()
    rows = len(classes)
    visits, mean_s, square_s2, variance_s2 = (np.zeros((rows, len(TIERS))) for _ in range(4))
    share, delay_s = np.zeros(rows), np.zeros(rows)
    family, is_hit = np.full(rows, -1), np.zeros(rows, bool)
    mix = {operation.value: share for operation, share in scenario.workload.mix.items()}
    from_secondaries = {op.value for op in scenario.topology.database.read_from_secondaries}
    for row, each in enumerate(classes):
        share[row] = mix[each.operation]
        delay_s[row] = found.delay_s.get((each.operation, each.outcome), 0.0)
        if each.outcome != "none":
            own = next(f for o, f in FAMILY_OF.items() if o.value == each.operation)
            family[row], is_hit[row] = families.index(own), each.outcome == "hit"
        for visit in found.visits[each.operation, each.outcome]:
            name = visit.component
            if name == "mongo" and each.operation in from_secondaries:
                name = "secondary"
            tier = TIERS.index(name)
            visits[row, tier] += 1
            mean_s[row, tier] += visit.mean_s
            square_s2[row, tier] += visit.mean_s**2 * (1 + visit.cv**2)
            variance_s2[row, tier] += (visit.mean_s * visit.cv) ** 2
    return Work(families, share, family, is_hit, visits, mean_s, square_s2, variance_s2, delay_s)
