"""The model of this machine at a load: what a request costs there, and who shares the cores.

A request costs its CPU in bursts, and more for each part that had fallen asleep:

    cost(load) = burst + (single - burst) · w,   w = (1 - ρ) / (1 + λ τ)

with λ the visits a second to one process of the part and ρ its utilisation: w is the mean of
1 - exp(-idle/τ) over visits that find it idle for exponential times, scaled to that of the single
requests. τ = 2 ms: CPU of a detail that is found grew from 0.65 ms in bursts by 0.25 ms after 2 ms
of rest and by 0.85 ms after 25 ms. The generator is a process on the same cores, before and after
each request. A core that the hypervisor takes away stalls for STALL_S on average.

Assumes: exponential rests; first come, first served at cores and loops; stalls of one length.
Lies when: the generator's priority matters (it is sent ahead); costs move with the load otherwise.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from headroom.fidelity.native_design import IN_FLIGHT, System
from headroom.fidelity.native_records import ClassCosts, MachineState, NativeCosts
from sim.calibrate import BACK_ENDS, FRONT, NEGLIGIBLE_S, RequestClass, demands
from sim.draws import Demand
from sim.model import (
    Client,
    Demands,
    Hold,
    Pool,
    StackModel,
    Station,
    Visit,
    VisitDemand,
    stack_model,
)
from sim.model.described import HOST

Key = tuple[str, str]  # operation, cache outcome
GENERATOR = "generator"
TAU_S = 0.002
SINGLES_PER_S = 40.0
STALL_S = 0.004  # a slice of the hypervisor's scheduler
FACTORS = (0.2, 5.0)  # of a run's CPU to what was calibrated: beyond, something else was seen
LEAST_CV = 0.6  # under load times spread more than those of single requests
TABLE, DRAWS = 512, 20_480  # quantiles of a demand with stalls, and the draws behind them
SETTLED = 30  # steps of the fixed point between cost and utilisation
PATH = (*FRONT, "redis", *BACK_ENDS)


@dataclass(frozen=True)
class Costs:
    """What requests cost at a load.

    Args:
        cpu_s: of each class by component.
        generator_s: of the generator for a request.
        shares: of all requests, that are of a class.
    """

    cpu_s: Mapping[Key, Mapping[str, float]]
    generator_s: float
    shares: Mapping[Key, float]

    def by_component(self) -> dict[str, float]:
        """CPU of the mean request by component, the generator too."""
        sums = {GENERATOR: self.generator_s}
        for key, parts in self.cpu_s.items():
            for part, cpu_s in parts.items():
                sums[part] = sums.get(part, 0.0) + self.shares.get(key, 0.0) * cpu_s
        return sums


def costs_at(
    found: NativeCosts, system: System, load_per_s: float, shares: Mapping[Key, float]
) -> Costs:
    """What requests cost at a load; at math.inf nobody rests, and nobody wakes."""
    bursts = {(each.operation, each.outcome): each for each in found.classes}
    asleep = {
        part: _asleep(found.classes, part, load_per_s, shares, _processes(part, system))
        for part in {name for each in found.classes for name in each.single_s}
    }
    cpu_s = {
        key: {
            part: burst_s
            + max(0.0, each.single_s.get(part, burst_s) - burst_s) * asleep.get(part, 0.0)
            for part, burst_s in each.burst_s.items()
        }
        for key, each in bursts.items()
    }
    waking_s = max(0.0, found.generator_single_s - found.generator_burst_s)
    own = _settled(found.generator_burst_s, waking_s, load_per_s, found.low_load_per_s)
    return Costs(cpu_s, found.generator_burst_s + waking_s * own, shares)


def _processes(part: str, system: System) -> int:
    return {"api": system.replicas}.get(part, 1)


def _asleep(
    classes: Sequence[ClassCosts],
    part: str,
    load_per_s: float,
    shares: Mapping[Key, float],
    processes: int,
) -> float:
    """w of a component."""
    visits = burst_s = waking_s = 0.0
    for each in classes:
        share = shares.get((each.operation, each.outcome), 0.0)
        cost_s = each.burst_s.get(part, 0.0)
        visits += share * (cost_s > NEGLIGIBLE_S)
        burst_s += share * cost_s
        waking_s += share * max(0.0, each.single_s.get(part, 0.0) - cost_s)
    if not visits:
        return 0.0
    return _settled(
        burst_s / visits, waking_s / visits, load_per_s * visits / processes, SINGLES_PER_S
    )


def _settled(burst_s: float, waking_s: float, visits_per_s: float, seen_at_per_s: float) -> float:
    """w at a rate, scaled to the rate at which waking was seen; by halving its interval."""
    if math.isinf(visits_per_s):
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(SETTLED):
        middle = (low + high) / 2
        idle = max(0.0, 1 - visits_per_s * (burst_s + waking_s * middle))
        told = idle * (1 + seen_at_per_s * TAU_S) / (1 + visits_per_s * TAU_S)
        low, high = (middle, high) if told > middle else (low, middle)
    return (low + high) / 2


def model_of(
    found: NativeCosts,
    system: System,
    load_per_s: float,
    costs: Costs,
    *,
    state: MachineState | None = None,
    is_closed: bool = False,
) -> StackModel:
    """The stack on this machine.

    Args:
        load_per_s: of work beside the requests' path.
        costs: of requests, at that load.
        state: what a run told of the machine, to explain it; None: blind.
        is_closed: always so many in flight, as the saturating load has them.
    """
    factor = _factors(costs, state)
    stalled = found.stall_fraction if state is None else state.stall_fraction
    shape = _Shape(stalled, is_exponential=state is not None)
    classes = [_request_class(each, costs, factor) for each in found.classes]
    beside_s = sum(
        costs.shares.get((each.operation, each.outcome), 0.0) * each.background_cpu_s
        for each in classes
    )
    background = found.idle_fraction + load_per_s * beside_s / found.cores
    background += state.foreign_fraction if state else 0.0
    plain = demands(
        classes, host_cores=found.cores, background_fraction=float(np.clip(background, 0.0, 0.9))
    )
    shaped = {
        key: tuple(shape.of(visit, f"{key}/{n}") for n, visit in enumerate(visits))
        for key, visits in plain.visits.items()
    }
    model = stack_model(system.scenario, replace(plain, visits=shaped, delay_s=_delays(found)))
    generator_s = costs.generator_s * factor.get(GENERATOR, 1.0)
    return _with_generator(model, shape.demand(generator_s / 2, LEAST_CV, GENERATOR), is_closed)


def _request_class(each: ClassCosts, costs: Costs, factor: Mapping[str, float]) -> RequestClass:
    cpu_s = costs.cpu_s[each.operation, each.outcome]
    return RequestClass(
        each.operation,
        each.outcome,
        {part: value * factor.get(part, 1.0) for part, value in cpu_s.items()},
        # Of its times only the spread is used: a log-normal with this median and 84 % quantile.
        each.latency_s * np.exp(_sigma(each.cv) * np.linspace(-1.0, 1.0, 201)),
    )


def _sigma(cv: float) -> float:
    return math.sqrt(math.log1p(cv**2))


def _factors(costs: Costs, state: MachineState | None) -> dict[str, float]:
    """What a run's own CPU says of the costs, by component."""
    if state is None:
        return {}
    said = costs.by_component()
    said["api"] = said.get("api", 0.0) + said.get("api_threads", 0.0)  # a run tells of processes
    factors = {
        part: float(np.clip(seen_s / said[part], *FACTORS))
        for part, seen_s in state.cpu_s.items()
        if said.get(part, 0.0) > NEGLIGIBLE_S
    }
    return factors | {"api_threads": factors.get("api", 1.0)}


def _delays(found: NativeCosts) -> dict[Key, float]:
    """Time outside all queues: of single requests what is no CPU, and what the generator adds."""
    outside_s = found.outside_s - found.generator_single_s
    return {
        (each.operation, each.outcome): max(
            0.0, outside_s + each.latency_s - sum(each.single_s.get(part, 0.0) for part in PATH)
        )
        for each in found.classes
    }


def _with_generator(model: StackModel, demand: Demand, is_closed: bool) -> StackModel:
    """The same with the generator before and after each request, on the same cores."""
    visit = Visit(GENERATOR, demand)
    routes = []
    for route in model.routes:
        steps = (visit, *route.steps, visit)
        routes.append(replace(route, steps=(Hold("in flight", steps),) if is_closed else steps))
    # The local balancer is one process, which one request after the other has.
    known = (replace(each, slots=1) if each.name == "nginx" else each for each in model.stations)
    return replace(
        model,
        stations=(*known, Station(GENERATOR, 1, host=HOST)),
        routes=tuple(routes),
        pools=(*model.pools, Pool("in flight", IN_FLIGHT)) if is_closed else model.pools,
        client=Client() if is_closed else model.client,
    )


@dataclass(frozen=True)
class _Shape:
    """How demands spread: of themselves, and by stalls."""

    stall_fraction: float
    is_exponential: bool

    def of(self, visit: VisitDemand, stream: str) -> VisitDemand:
        """The visit with this shape and, without stalls, the same mean."""
        found = self.demand(visit.mean_s, max(visit.cv, LEAST_CV), stream)
        return VisitDemand(
            visit.component, found.mean_s, found.cv, found.distribution, found.quantiles_s
        )

    def demand(self, mean_s: float, cv: float, stream: str) -> Demand:
        """A demand; with stalls, the table of quantiles of itself and of what interrupts it."""
        base = Demand(mean_s, cv, "exponential" if self.is_exponential else "lognormal")
        if self.stall_fraction < 1e-3 or mean_s <= 0:
            return base
        rng = np.random.default_rng(zlib.crc32(stream.encode()))
        own_s = np.array([base.at((n + 0.5) / TABLE) for n in range(TABLE)])
        own_s = np.tile(own_s, DRAWS // own_s.size)
        per_s = self.stall_fraction / (1 - self.stall_fraction) / STALL_S
        stalls = rng.poisson(own_s * per_s)
        total_s = own_s + STALL_S * rng.standard_gamma(np.maximum(stalls, 1e-9)) * (stalls > 0)
        quantiles_s = np.quantile(total_s, np.linspace(0.0, 1.0, TABLE + 1))
        table = Demand(0.0, distribution="empirical", quantiles_s=tuple(quantiles_s.tolist()))
        wanted_s = mean_s / (1 - self.stall_fraction)
        scaled = tuple((quantiles_s * (wanted_s / table.expected_s)).tolist())
        return Demand(wanted_s, cv, "empirical", scaled)


def as_demands(model: Demands, cores: int) -> Demands:
    """The same demands for models that know machines, not shared cores."""
    slots = {"nginx": 1, "api": 1, "api_threads": 1, "redis": 1, "mongo": cores}
    return replace(model, host_cores=None, background_fraction=0.0, slots=slots)
