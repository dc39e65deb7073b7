"""Dilated time: a scenario stretched, and the emulated machines of its model.

Everything here is in real seconds once it is dilated; only what is shown is divided by the scale.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

from sim.draws import Demand
from sim.model import Beat, Delay, Lookup, Spawn, StackModel, Step, Visit, VisitDemand
from sim.model import Demands as ModelDemands
from sim.model.stack import flattened
from sim.scenario import Scenario
from stack.gates.emulation import AnyMachine, Emulation, HeldVisit, Machine, Outcome
from stack.infra.operations import Operation

WORKER: Literal["worker"] = "worker"
TABLE = 256  # steps of a demand's table of quantiles
# Where real work inside a hold should take effect: a look-up reads what is there at its end.
LEAD_S: Mapping[str, float] = {"redis": 0.004}


def dilated(scenario: Scenario) -> Scenario:
    """The scenario with every time stretched by its scale, and every rate divided by it.

    The experiment's cells keep their length in real seconds: it is what somebody waits for.
    """
    scale = scenario.time.scale
    if scale == 1:
        return scenario
    stretched = scenario.model_dump()
    workload, topology = stretched["workload"], stretched["topology"]
    workload["sessions_per_active_user_per_day"] /= scale
    workload["think_time_s"] *= scale
    topology["api"]["timeout_s"] *= scale
    for name in ("backoff_s", "backoff_cap_s"):
        topology["api"]["retrying"][name] *= scale
    for name in ("evaluation_period_s", "boot_s", "cooldown_s"):
        if topology["api"]["autoscaling"] is not None:
            topology["api"]["autoscaling"][name] *= scale
    if topology["cache"] is not None:
        for policy in topology["cache"]["families"].values():
            policy["ttl_s"] *= scale
    topology["database"]["election_timeout_s"] *= scale
    for job in (topology["worker"] or {}).get("jobs", {}).values():
        job["mean_s"] *= scale
    stretched["objectives"]["p95_s"] *= scale
    experiment = stretched["experiment"]
    experiment["loads_per_s"] = tuple(load / scale for load in experiment["loads_per_s"])
    return Scenario.model_validate(stretched)


def label(scenario: Scenario) -> str:
    """What a picture of a dilated run must say; empty for a native one."""
    scale = scenario.time.scale
    return "" if scale == 1 else f"emulation (dilated ×{scale:g})"


def tabulated(visit: VisitDemand, scale: float) -> VisitDemand:
    """A demand, stretched, as the table of quantiles that models and gates both draw from.

    The table ends half a step inside the distribution, and is scaled to the mean of what it
    stands for.
    """
    demand = visit.demand
    if demand.expected_s == 0:
        return visit
    return VisitDemand(
        visit.component,
        demand.expected_s * scale,
        visit.cv,
        distribution="empirical",
        quantiles_s=_table(demand, scale).quantiles_s,
    )


def with_tabulated_jobs(model: StackModel) -> StackModel:
    """The model with the jobs that requests leave behind drawn from tables, as gates draw them."""

    def drawn(step: Step) -> Step:
        if not isinstance(step, Spawn):
            return step
        steps = tuple(
            replace(each, demand=_table(each.demand, 1.0))
            if isinstance(each, Visit) and each.target == WORKER
            else each
            for each in step.steps
        )
        return Spawn(steps)

    routes = tuple(replace(each, steps=tuple(map(drawn, each.steps))) for each in model.routes)
    return replace(model, routes=routes)


def _table(demand: Demand, scale: float) -> Demand:
    """A demand, stretched, as a table of quantiles with its mean."""
    ends = [0.5 / TABLE, *(step / TABLE for step in range(1, TABLE)), 1 - 0.5 / TABLE]
    quantiles_s = [demand.at(u) for u in ends]
    table = Demand(0.0, distribution="empirical", quantiles_s=tuple(quantiles_s))
    factor = scale * demand.expected_s / table.expected_s
    stretched = tuple(quantile_s * factor for quantile_s in quantiles_s)
    return Demand(demand.expected_s * scale, distribution="empirical", quantiles_s=stretched)


def dilated_demands(
    demands: ModelDemands, scale: float, delay_s: Mapping[tuple[str, str], float] | None = None
) -> ModelDemands:
    """Demands in dilated time, a machine for each instance.

    Args:
        demands: native ones, with the slots of each instance.
        scale: real seconds per modelled second.
        delay_s: real time outside all holds, by operation and outcome; None: none.
    """
    return ModelDemands(
        visits={
            key: tuple(tabulated(visit, scale) for visit in visits)
            for key, visits in demands.visits.items()
        },
        delay_s=delay_s or {},
        host_cores=None,
        slots=demands.slots,
        index_lag_s=demands.index_lag_s,  # the indexer's own time is real, as its batches are
        beat_s=demands.beat_s * scale,
    )


def emulation_of(model: StackModel, scale: float, seed: int = 0) -> Emulation:
    """The emulated machines of a dilated model: the gates hold what its visits hold.

    Raises ValueError for a demand that is no table: make the model of `dilated_demands`.
    """
    stations = {station.name: station for station in model.stations}
    members = {group.name: group.members[0] for group in model.groups}
    members |= {each.name: each.members[0] for each in model.replica_sets}
    components: dict[str, str] = dict.fromkeys(stations, "") | members
    machines: dict[AnyMachine, Machine] = {}
    routes: dict[Operation, dict[Outcome, tuple[HeldVisit, ...]]] = {}
    for route in model.routes:
        outcomes = routes[Operation(route.operation)] = {}
        for outcome, visits in _visited(route.steps).items():
            outcomes[outcome] = tuple(_held(visit) for visit in visits)
            for visit in visits:
                station = stations[components[visit.target] or visit.target]
                component: AnyMachine = visit.target  # type: ignore[assignment] # checked by Machine
                machines[component] = Machine(
                    slots=station.slots,
                    discipline=station.discipline,
                    lead_s=LEAD_S.get(visit.target),
                )
    jobs = {
        Operation(route.operation): _held(visit)
        for route in model.routes
        for visit in _left_behind(route.steps)
    }
    if jobs:
        machines[WORKER] = Machine(slots=stations[WORKER].slots)
    return Emulation(
        scale=scale, seed=seed, beat_s=beat_of(model), machines=machines, routes=routes, jobs=jobs
    )


def _left_behind(steps: tuple[Step, ...]) -> Iterator[Visit]:
    """The visits of workers that a route's jobs make."""
    for step in steps:
        if isinstance(step, Spawn):
            yield from (e for e in step.steps if isinstance(e, Visit) and e.target == WORKER)


def beat_of(model: StackModel) -> float:
    """At which multiples answers leave the API, s; 0 where they leave when they are ready."""
    steps = (step for route in model.routes for step in flattened(route.steps))
    return max((step.every_s for step in steps if isinstance(step, Beat)), default=0.0)


def held_visits(model: StackModel) -> dict[tuple[str, str], int]:
    """How many visits a request is held for, by operation and outcome."""
    return {
        (route.operation, outcome): len(visits)
        for route in model.routes
        for outcome, visits in _visited(route.steps).items()
    }


def delays_s(model: StackModel) -> dict[tuple[str, str], float]:
    """Time of a request outside all queues, s, by operation and outcome."""
    return {
        (route.operation, outcome): sum(
            step.demand.expected_s for step in path if isinstance(step, Delay)
        )
        for route in model.routes
        for outcome, path in _paths(route.steps).items()
    }


def _visited(steps: tuple[Step, ...]) -> dict[Outcome, tuple[Visit, ...]]:
    """The visits of a route in order, by what its look-up finds."""
    return {
        outcome: tuple(step for step in path if isinstance(step, Visit))
        for outcome, path in _paths(steps).items()
    }


def _paths(steps: tuple[Step, ...]) -> dict[Outcome, tuple[Step, ...]]:
    """The steps of a route in order, by what its look-up finds (none: it has no look-up)."""
    lookups = [place for place, step in enumerate(steps) if isinstance(step, Lookup)]
    if not lookups:
        return {"none": steps}
    (place,) = lookups  # `stack_model` makes one look-up a route
    lookup = steps[place]
    assert isinstance(lookup, Lookup)
    before, after = steps[:place], steps[place + 1 :]
    return {"hit": (*before, *lookup.hit, *after), "miss": (*before, *lookup.miss, *after)}


def _held(visit: Visit) -> HeldVisit:
    if visit.demand.distribution != "empirical":
        raise ValueError(f"the demand of {visit.target} is {visit.demand.distribution}, no table")
    return HeldVisit(
        component=visit.target,  # type: ignore[arg-type] # checked by HeldVisit
        visit=visit.visit,
        quantiles_s=visit.demand.quantiles_s,
    )
