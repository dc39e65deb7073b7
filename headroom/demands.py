"""From a calibration to a model: this machine as it is, or the scenario's production instances."""

from enum import Enum
from typing import assert_never

import numpy as np

from headroom.artefacts import Calibration, Estimate
from sim.calibrate import RequestClass, demands
from sim.cpu import cpu_ratio, cpu_scores
from sim.model import StackModel, stack_model
from sim.scenario import FAMILY_OF, Operation, Scenario

REFERENCE = "m5.large"  # stands for this machine where its CPU has no published score
UNSCORED_RANGE = (0.5, 2.0)  # and how far off that may be
# Servers of one managed instance. The API has one event loop a replica; the load balancer is the
# provider's and taken to be wide enough.
PRODUCTION_SLOTS = {"nginx": 64, "api": 1, "api_threads": 1, "redis": 1, "mongo": 2}
PRODUCTION_SLOTS |= {"elasticsearch": 2}


class Target(Enum):
    """Where the modelled stack runs."""

    HERE = "here"  # all parts share this machine's cores, the load generator among them
    PRODUCTION = "production"  # each instance has a machine of the scenario's type

    def demand_range(self, scenario: Scenario, calibration: Calibration) -> tuple[float, float]:
        """Factors on all demands at the ends of their 95 % range: the fast end, the slow end."""
        spread = _relative_spread(calibration)
        if self is Target.HERE:
            return 1 - spread, 1 + spread
        ratio = speed_ratio(scenario)
        return ratio.value / ratio.high * (1 - spread), ratio.value / ratio.low * (1 + spread)


def speed_ratio(scenario: Scenario) -> Estimate:
    """Speed of an API instance's vCPU relative to a core of this machine, with its range.

    The machine's own CPU has no published score (a virtual machine rarely says what it is), so a
    core of it is taken for a vCPU of REFERENCE, between half and twice as fast.
    """
    instance = scenario.topology.api.instance_type
    if instance not in cpu_scores():
        return Estimate(value=1.0, low=UNSCORED_RANGE[0], high=UNSCORED_RANGE[1])
    ratio = cpu_ratio(REFERENCE, instance)
    return Estimate(
        value=ratio.value,
        low=ratio.low * UNSCORED_RANGE[0],
        high=ratio.high * UNSCORED_RANGE[1],
    )


def stack_model_at(
    scenario: Scenario,
    calibration: Calibration,
    target: Target,
    load_per_s: float,
    rng: np.random.Generator | None = None,
    *,
    replicas: int | None = None,
    scale: float = 1.0,
) -> StackModel:
    """The scenario's stack with calibrated demands, at a load.

    Args:
        load_per_s: work beside the requests' path (generator, secondaries) grows with it.
        rng: draws each demand within its interval; None takes the estimates themselves.
        replicas: API replicas in place of the scenario's.
        scale: factor on all demands.
    """
    if replicas is not None:
        api = scenario.topology.api.model_copy(update={"replicas": replicas, "autoscaling": None})
        topology = scenario.topology.model_copy(update={"api": api})
        scenario = scenario.model_copy(update={"topology": topology})
    classes = _classes(calibration, rng, scale)
    match target:
        case Target.HERE:
            found = demands(
                classes,
                host_cores=calibration.cores,
                background_fraction=_background(scenario, calibration, classes, load_per_s),
                index_lag_s=calibration.index_lag_s,
            )
        case Target.PRODUCTION:
            ratio = speed_ratio(scenario).value
            found = demands(
                classes,
                host_cores=None,
                slots=PRODUCTION_SLOTS,
                speed={"api": ratio, "api_threads": ratio},
                index_lag_s=calibration.index_lag_s,
            )
        case _:
            assert_never(target)
    return stack_model(scenario, found)


def _classes(
    calibration: Calibration, rng: np.random.Generator | None, scale: float
) -> list[RequestClass]:
    cpu: dict[tuple[str, str], dict[str, float]] = {}
    factors: dict[str, float] = {}
    for demand in calibration.demands:
        value = demand.cpu_s.value
        if rng is not None and value > 0:
            # One draw a component: what disturbs a calibration disturbs all classes alike.
            factor = factors.setdefault(demand.component, float(rng.standard_normal()))
            sd = (demand.cpu_s.high - demand.cpu_s.low) / (2 * 1.96)
            value = max(value / 5, value + factor * sd)
        cpu.setdefault((demand.operation, demand.outcome), {})[demand.component] = value * scale
    return [
        RequestClass(
            operation=single.operation,
            outcome=single.outcome,
            cpu_s=cpu[single.operation, single.outcome],
            latency_s=np.array(single.latency_s),
        )
        for single in calibration.singles
    ]


def _background(
    scenario: Scenario, calibration: Calibration, classes: list[RequestClass], load_per_s: float
) -> float:
    """Share of this machine's cores that work beside the requests' path takes at a load."""
    beside = 0.0
    for operation, share in scenario.workload.mix.items():
        found = [each.background_cpu_s for each in classes if each.operation == operation]
        beside += share * (sum(found) / len(found) if found else 0.0)
    busy = calibration.idle_fraction * calibration.cores
    busy += load_per_s * (beside + calibration.generator_cpu_s.value)
    return min(0.95, busy / calibration.cores)


def _relative_spread(calibration: Calibration) -> float:
    """Half-width of the demands' intervals relative to them, weighted by the demands."""
    total = sum(demand.cpu_s.value for demand in calibration.demands)
    half = sum((demand.cpu_s.high - demand.cpu_s.low) / 2 for demand in calibration.demands)
    return min(0.9, half / total) if total else 0.0


def classes_of(scenario: Scenario) -> list[tuple[Operation, str]]:
    """The request classes that a calibration of this scenario measures."""
    cache = scenario.topology.cache
    found: list[tuple[Operation, str]] = []
    for operation in Operation:
        if not scenario.workload.mix.get(operation):
            continue
        is_cached = cache is not None and FAMILY_OF.get(operation) in cache.families
        found += [(operation, o) for o in (("hit", "miss") if is_cached else ("none",))]
    return found
