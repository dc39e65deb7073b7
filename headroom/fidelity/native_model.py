"""The model of this machine at a load: what a request costs there, and who shares the cores.

A request costs its CPU when nobody rests, and more for each part that had fallen asleep:

    cost(load) = dense + waking · w,   w = w' (1 - λ / λ*) / (1 - λ' / λ*)

with λ* the throughput at which the calibration saturated the stack. There nobody rests; below it
a visit finds its cores idle the more often the less is asked, in a straight line. *dense* is the
class's CPU in bursts, each part's scaled to what the mix cost there; *waking* is what the class
cost more alone. w', the share of that which was paid at the steady load λ', is read off the mix's
CPU at λ'. All of it is scaled once more by what was weighed just before a cell, half of the way:
both are samples of seconds, of a speed that wanders within seconds and within minutes.

The generator is a process on the same cores, before and after each request. A core that the
hypervisor takes away stalls for STALL_S on average.

Assumes: exponential demands; first come, first served at cores and loops; stalls of one length.
Lies when: the generator's priority matters (it is sent ahead); costs move with the load otherwise.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from headroom.fidelity.native_design import IN_FLIGHT, System
from headroom.fidelity.native_records import ClassCosts, MachineState, NativeCosts, Weighing
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
STALL_S = 0.004  # a slice of the hypervisor's scheduler
FACTORS = (0.2, 5.0)  # of CPU seen to what was expected: beyond, something else was seen
MOST_WAKING = 3.0  # times what waking costs alone: where caches are cold as well
TABLE, DRAWS = 512, 20_480  # quantiles of a demand with stalls, and the draws behind them
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
    found: NativeCosts, load_per_s: float, shares: Mapping[Key, float], scale: float = 1.0
) -> Costs:
    """What requests cost at a load; at math.inf nobody rests, and nobody wakes.

    Args:
        shares: of all requests, those of each class.
        scale: of all costs: the machine's speed has changed since.
    """
    parts = sorted({part for each in found.classes for part in each.burst_s})
    dense = {part: _dense(found, _process(part)) for part in parts}
    awake = _awake(found, load_per_s)
    waking = {part: awake * _waking(found, _process(part), dense[part]) for part in parts}
    cpu_s = {
        (each.operation, each.outcome): {
            part: scale * (burst_s * dense[part] + _woken_s(each)[part] * waking[part])
            for part, burst_s in each.burst_s.items()
        }
        for each in found.classes
    }
    own_s = found.saturated.cpu_s[GENERATOR]
    more_s = max(0.0, found.steady.cpu_s[GENERATOR] - own_s)
    return Costs(cpu_s, scale * (own_s + awake * more_s), shares)


def _awake(found: NativeCosts, load_per_s: float) -> float:
    """Of the rests at the steady load, how many there are at this one."""
    most_per_s = found.saturated.load_per_s
    left = max(0.0, 1 - load_per_s / most_per_s)
    return left / max(0.1, 1 - found.steady.load_per_s / most_per_s)


def _dense(found: NativeCosts, process: str) -> float:
    """What the mix cost when it saturated the stack, to what its classes cost in bursts."""
    told_s = sum(
        _share(found.saturated, each) * _of(process, each.burst_s) for each in found.classes
    )
    seen_s = found.saturated.cpu_s.get(process, 0.0)
    if told_s <= NEGLIGIBLE_S or seen_s <= 0:
        return 1.0
    return float(np.clip(seen_s / told_s, *FACTORS))


def _waking(found: NativeCosts, process: str, dense: float) -> float:
    """w' of a component: of what waking costs alone, what was paid at the steady load."""
    told_s = waking_s = 0.0
    for each in found.classes:
        share = _share(found.steady, each)
        told_s += share * dense * _of(process, each.burst_s)
        waking_s += share * _of(process, _woken_s(each))
    if waking_s <= 0:
        return 0.0
    seen_s = found.steady.cpu_s.get(process, 0.0)
    return float(np.clip((seen_s - told_s) / waking_s, 0.0, MOST_WAKING))


def _share(weighing: Weighing, each: ClassCosts) -> float:
    return weighing.shares.get(f"{each.operation}/{each.outcome}", 0.0)


def _woken_s(each: ClassCosts) -> dict[str, float]:
    """By component, what a request costs more alone."""
    return {
        part: max(0.0, each.single_s.get(part, burst_s) - burst_s)
        for part, burst_s in each.burst_s.items()
    }


def _of(process: str, cpu_s: Mapping[str, float]) -> float:
    """Of a process: where the mix is weighed its loop and its threads are clocked together."""
    return sum(value for part, value in cpu_s.items() if _process(part) == process)


def _process(part: str) -> str:
    return "api" if part == "api_threads" else part


def scale_of(found: NativeCosts, weighing: Weighing) -> float:
    """Of all costs: the geometric mean of what the calibration says, 1, and what was weighed now.

    That is the CPU of a request of a saturating load, to what the calibration says of the same.
    """
    shares = {(each.operation, each.outcome): _share(weighing, each) for each in found.classes}
    told_s = sum(costs_at(found, math.inf, shares).by_component().values())
    return math.sqrt(float(np.clip(sum(weighing.cpu_s.values()) / told_s, *FACTORS)))


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
    stalled = found.saturated.stall_fraction if state is None else state.stall_fraction
    shape = _Shape(stalled)
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
    return _with_generator(model, shape.demand(generator_s / 2, GENERATOR), is_closed)


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
    """How demands spread: of themselves, exponentially, and by stalls."""

    stall_fraction: float

    def of(self, visit: VisitDemand, stream: str) -> VisitDemand:
        """The visit with this shape and, without stalls, the same mean."""
        found = self.demand(visit.mean_s, stream)
        return VisitDemand(
            visit.component, found.mean_s, found.cv, found.distribution, found.quantiles_s
        )

    def demand(self, mean_s: float, stream: str) -> Demand:
        """A demand; with stalls, the table of quantiles of itself and of what interrupts it."""
        base = Demand(mean_s, 1.0, "exponential")
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
        return Demand(wanted_s, 1.0, "empirical", scaled)


def as_demands(model: Demands, cores: int) -> Demands:
    """The same demands for models that know machines, not shared cores."""
    slots = {"nginx": 1, "api": 1, "api_threads": 1, "redis": 1, "mongo": cores}
    return replace(model, host_cores=None, background_fraction=0.0, slots=slots)
