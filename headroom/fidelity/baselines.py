"""Plainer models of the same cells: what the full one gains over them.

- *analytic*: the formula that plans are screened with (`sim.plan.response`): queues of general
  service in tandem, a log-normal time for each class of request.
- *M/M/c*: each machine a queue of its own with exponential service, fed the mean load.
- *utilisation only*: each machine one fast server, its time stretched by 1 / (1 - utilisation).

All see demands and the formulas' hit ratios, not the very requests. The last two say nothing of a
distribution but that it is taken to be exponential.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from headroom.dilation import dilated
from headroom.fidelity.artefacts import Constants
from headroom.fidelity.topologies import Topology
from sim.cache import family_hit_ratios
from sim.plan.demand import TIERS, Work
from sim.plan.response import Servers, respond
from sim.queueing.mmc import erlang_c_wait_s
from sim.scenario import FAMILY_OF, Family, Operation

P95_OF_EXPONENTIAL = -math.log(0.05)


def baselines(
    topology: Topology, load_per_s: float, constants: Constants
) -> dict[str, dict[str, float]]:
    """Mean and p95 of each plainer model, in dilated time; inf where it finds no steady state."""
    found: dict[str, dict[str, float]] = {"M/M/c": {}, "utilisation only": {}}
    slots = topology.demands.slots
    means: dict[str, float] = {
        "M/M/c": constants.outside_s,
        "utilisation only": constants.outside_s,
    }
    for machine, visits, demand_s, machines in _machines(topology, load_per_s):
        rate_per_s, service_s = load_per_s * visits / machines, demand_s / visits
        utilisation = rate_per_s * service_s / slots[machine]
        waking_s = visits * constants.visit_s
        if utilisation >= 1:
            means = dict.fromkeys(means, math.inf)
            continue
        wait_s = erlang_c_wait_s(rate_per_s, service_s, slots[machine])
        means["M/M/c"] += visits * (wait_s + service_s) + waking_s
        fast_s = visits * service_s / slots[machine] / (1 - utilisation)
        slow_s = visits * service_s * (1 - 1 / slots[machine])
        means["utilisation only"] += fast_s + slow_s + waking_s
    for name, mean_s in means.items():
        found[name] = {"mean_s": mean_s, "p95_s": mean_s * P95_OF_EXPONENTIAL}
    return {"analytic": _analytic(topology, load_per_s, constants)} | found


def _analytic(topology: Topology, load_per_s: float, constants: Constants) -> dict[str, float]:
    """Mean and p95 by the planning formula, in dilated time."""
    scenario = dilated(topology.scenario)
    work = _work(topology, constants)
    ratios = family_hit_ratios(scenario.workload, scenario.topology.cache, load_per_s)
    hit = np.array([[ratios[f].fraction if f in ratios else 0.0] for f in work.families])
    instances, slots = np.ones((len(TIERS), 1)), np.ones((len(TIERS), 1), np.int64)
    for tier, name in enumerate(TIERS):
        slots[tier] = topology.demands.slots.get("mongo" if name == "secondary" else name, 1)
    shape = scenario.topology
    instances[TIERS.index("api")] = shape.api.replicas
    instances[TIERS.index("secondary")] = max(1, shape.database.members - 1)
    servers = Servers(
        instances,
        slots,
        pooled_api=shape.load_balancer.policy == "least_connections",
        shared_api=shape.api.discipline == "processor_sharing",
    )
    found = respond(
        work,
        np.array([load_per_s]),
        hit.reshape(-1, 1),
        np.ones((len(TIERS), 1)),
        servers,
        timeout_s=shape.api.timeout_s,
    )
    return {"mean_s": found.mean_s.item(), "p95_s": found.p95_s.item()}


def _work(topology: Topology, constants: Constants) -> Work:
    """The stated demands, dilated, as the planning formula wants them."""
    scenario, scale = topology.scenario, topology.scenario.time.scale
    cache = scenario.topology.cache
    families = tuple(cache.families) if cache is not None else ()
    rows = len(topology.demands.visits)
    visits, mean_s, square_s2, variance_s2 = (np.zeros((rows, len(TIERS))) for _ in range(4))
    share, delay_s = np.zeros(rows), np.zeros(rows)
    family, is_hit = np.full(rows, -1), np.zeros(rows, bool)
    for row, ((name, outcome), each) in enumerate(topology.demands.visits.items()):
        operation = Operation(name)
        share[row] = scenario.workload.mix.get(operation, 0.0)
        if outcome != "none":
            family[row], is_hit[row] = families.index(FAMILY_OF[operation]), outcome == "hit"
        delay_s[row] = constants.outside_s + len(each) * constants.visit_s
        for visit in each:
            from_secondary = operation in scenario.topology.database.read_from_secondaries
            is_read = visit.component == "mongo" and from_secondary
            tier = TIERS.index("secondary" if is_read else visit.component)
            demand_s = visit.mean_s * scale
            visits[row, tier] += 1
            mean_s[row, tier] += demand_s
            square_s2[row, tier] += demand_s**2 * (1 + visit.cv**2)
            variance_s2[row, tier] += (demand_s * visit.cv) ** 2
    return Work(families, share, family, is_hit, visits, mean_s, square_s2, variance_s2, delay_s)


def _machines(topology: Topology, load_per_s: float) -> Iterator[tuple[str, float, float, int]]:
    """Component, visits and demand (dilated s) a request, and how many machines share them."""
    scenario = dilated(topology.scenario)
    scale = topology.scenario.time.scale
    ratios = family_hit_ratios(scenario.workload, scenario.topology.cache, load_per_s)
    hit = {family: ratio.fraction for family, ratio in ratios.items()}
    visits: dict[str, float] = {}
    demand_s: dict[str, float] = {}
    for (operation, outcome), each in topology.demands.visits.items():
        share = _share(scenario.workload.mix, Operation(operation), outcome, hit)
        for visit in each:
            name = visit.component
            visits[name] = visits.get(name, 0.0) + share
            demand_s[name] = demand_s.get(name, 0.0) + share * visit.mean_s * scale
    for name, count in visits.items():
        yield name, count, demand_s[name], _count(topology, name)


def _share(
    mix: Mapping[Operation, float], operation: Operation, outcome: str, hit: Mapping[Family, float]
) -> float:
    share = mix.get(operation, 0.0)
    if outcome == "none":
        return share
    fraction = hit[FAMILY_OF[operation]]
    return share * (fraction if outcome == "hit" else 1 - fraction)


def _count(topology: Topology, component: str) -> int:
    """Machines among which a component's visits are spread."""
    shape = topology.scenario.topology
    if component == "api":
        return shape.api.replicas
    if component == "mongo" and shape.database.read_from_secondaries:
        return shape.database.members  # near enough: writes stay with the primary
    return 1
