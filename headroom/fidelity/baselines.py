"""Plainer models of the same cells: what the full one gains over them.

- *M/M/c*: each machine a queue of its own with exponential service, fed the mean load.
- *utilisation only*: each machine one fast server, its time stretched by 1 / (1 - utilisation).

Both see mean demands and the formulas' hit ratios, not the very requests. They say nothing of a
distribution but that it is taken to be exponential.
"""

import math
from collections.abc import Iterator, Mapping

from headroom.dilation import dilated
from headroom.fidelity.artefacts import Constants
from headroom.fidelity.topologies import Topology
from sim.cache import family_hit_ratios
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
    return found


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
