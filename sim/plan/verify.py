"""The second tier of a plan: the compiled engine on the candidates that matter, beside the screen.

Both are asked the same question: the p95 at the load that binds (the daily peak, or all concurrent
users), every uncertain input at its centre. Where they disagree the result says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sim.calibrate import demands
from sim.kernel import simulate
from sim.model import CacheRestart, Disruption, StackModel, stack_model
from sim.plan.demand import MeasuredDemands
from sim.plan.inputs import speed_of
from sim.plan.response import WIDE
from sim.plan.screen import Planner
from sim.plan.space import NO_CACHE, Candidate, vcpu_of
from sim.replicate import Interval, mean_interval
from sim.scenario import Scenario
from sim.workload import Trace, open_trace

WARMING_REQUESTS = 60_000  # at most, before those that are judged
JUDGED_REQUESTS = 10_000
REPLICATIONS = 5
APART_FRACTION = 0.25  # the screen's p95 may be off the kernel's by so much before it is said


@dataclass(frozen=True)
class Checked:
    """A candidate's p95 by both models.

    Args:
        place: of the candidate in the plan's order.
        load_per_s: at which both were asked.
        screen_p95_s: analytic.
        kernel_p95_s, low_s, high_s: simulated, with the 95 % interval of its mean.
        target_s: what the objective allows.
        disagree: the two are apart by more than a quarter and the interval, or fall on different
            sides of the objective.
    """

    place: int
    load_per_s: float
    screen_p95_s: float
    kernel_p95_s: float
    low_s: float
    high_s: float
    target_s: float
    disagree: bool


def model_of(
    scenario: Scenario,
    candidate: Candidate,
    measured: MeasuredDemands,
    slots: Mapping[str, int],
    factors: Mapping[str, float] | None = None,
) -> StackModel:
    """The stack of a candidate as the engines simulate it, inputs at their centres.

    Args:
        slots: of one instance by component.
        factors: on the demands by component; missing means 1.
    """
    design = candidate.applied_to(scenario)
    design = design.model_copy(update={"workload": design.workload.asked_by_all_of_a_day()})
    types = {
        "api": candidate.api_type,
        "api_threads": candidate.api_type,
        "redis": candidate.cache_type,
        "mongo": candidate.database_type,
        "elasticsearch": candidate.search_type,
    }
    speed = {}
    for component in ("nginx", *types):
        sku = types.get(component)
        own = 1.0 if sku in (None, NO_CACHE) else speed_of(scenario, str(sku))
        factor = scenario.plan.demand_factor * (factors or {}).get(component, 1.0)
        speed[component] = own / factor
    found = demands(
        measured.for_scenario(design),
        host_cores=None,
        slots=slots,
        speed=speed,
        index_lag_s=measured.index_lag_s,
    )
    return stack_model(design, found)


def slots_of(planner: Planner, candidate: Candidate) -> dict[str, int]:
    """Slots of one instance by component, as the screen counts them."""
    return {
        "nginx": 2 * WIDE,
        "api": 1,
        "api_threads": 1,
        "redis": 1,
        "mongo": vcpu_of(planner.book, candidate.database_type),
        "elasticsearch": vcpu_of(planner.book, candidate.search_type or ""),
    }


def warmup_s(scenario: Scenario, load_per_s: float) -> float:
    """One TTL of the longest-lived family; less at high loads, where keys are soon asked for."""
    cache = scenario.topology.cache
    longest_s = max((p.ttl_s for p in cache.families.values()), default=0.0) if cache else 0.0
    return max(min(longest_s, WARMING_REQUESTS / load_per_s), 2_000 / load_per_s)


def trace_at(scenario: Scenario, load_per_s: float, seed: int, number: int) -> Trace:
    """Requests of a constant load: those that warm the cache, and those that are judged."""
    stream = np.random.SeedSequence(seed, spawn_key=(17, number))
    duration_s = warmup_s(scenario, load_per_s) + JUDGED_REQUESTS / load_per_s
    return open_trace(
        scenario.workload.asked_by_all_of_a_day(),
        load_per_s,
        duration_s,
        np.random.default_rng(stream),
    )


def simulated_p95_s(
    model: StackModel, scenario: Scenario, load_per_s: float, seed: int, replications: int
) -> list[float]:
    """p95 of the requests answered after the warm-up, one value a replication."""
    found = []
    for number in range(replications):
        trace = trace_at(scenario, load_per_s, seed, number)
        run = simulate(model, trace, seed=seed + number)
        answered = (trace.arrival_s >= warmup_s(scenario, load_per_s)) & run.is_ok
        ended = run.sojourn_s[answered]
        found.append(float(np.quantile(ended, 0.95)) if ended.size else float("inf"))
    return found


def checked(
    centre: Planner, places: Sequence[int], candidates: Sequence[Candidate]
) -> tuple[Checked, ...]:
    """Simulate candidates and set the screen's answer beside it.

    Args:
        centre: a planner with a single future, every input at its centre.
        places: of the candidates to simulate.
        candidates: all of the plan.
    Returns: one entry a place: p95 by both models, s, and whether they disagree.
    Raises: InvalidScenario as `stack_model` does.
    Source: `sim.kernel.simulate` in independent replications; `mean_interval`.

    >>> from sim.example import shop_question
    >>> checked(shop_question().centre(), [], [])
    ()
    """
    scenario = centre.scenario
    seed = scenario.plan.seed % 2**32
    target_s = scenario.objectives.p95_s
    load = float(centre.peak_load_per_s[0])
    if centre.users_load_per_s is not None:
        load = max(load, float(centre.users_load_per_s[0]))
    found = []
    for place in places:
        candidate = candidates[place]
        screen = float(centre.response([candidate], np.array([load])).p95_s[0, 0])
        model = model_of(scenario, candidate, centre.measured, slots_of(centre, candidate))
        values = simulated_p95_s(model, candidate.applied_to(scenario), load, seed, REPLICATIONS)
        interval = _interval(values)
        gap = 0.0 if screen == interval.estimate else abs(screen - interval.estimate)
        apart = gap > APART_FRACTION * interval.estimate and not (
            interval.low <= screen <= interval.high
        )
        sides = (screen <= target_s) != (interval.estimate <= target_s)
        found.append(
            Checked(
                place,
                load,
                screen,
                interval.estimate,
                interval.low,
                interval.high,
                target_s,
                bool(apart or sides),
            )
        )
    return tuple(found)


def _interval(values: Sequence[float]) -> Interval:
    """The interval of the mean; infinite where a replication answered nothing in time."""
    if np.isfinite(values).all():
        return mean_interval(values)
    return Interval(math.inf, math.inf, math.inf, 0.95, len(values))


def no_cache_at_all(from_s: float = 0.0) -> Disruption:
    """Every lookup misses: what a lost cache does to the stack behind it."""
    return CacheRestart(from_s, float("inf"))
