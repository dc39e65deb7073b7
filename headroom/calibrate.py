"""What one request of each class costs on this machine, measured at low load."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from headroom.artefacts import Calibration, Demand, Estimate, Machine, Run, Singles, now
from headroom.demands import classes_of
from headroom.errors import CalibrationError
from headroom.live import (
    by_component,
    catalogue_of,
    credentials_of,
    empty_cache,
    kind_of,
    pids_of,
)
from headroom.measure import conditions_of
from headroom.traces import calibration_rng, calibration_trace, write_trace
from sim.replicate import mean_interval
from sim.scenario import FAMILY_OF, Operation, Scenario
from stack.infra.operations import Operation as StackOperation
from stack.load.answer import CACHE_OUTCOMES
from stack.load.bursts import BURST, Costs, Prober
from stack.load.requests import EXPECTED_STATUS, RequestBook, address_of
from stack.load.run import run_load
from stack.local import StackInfo
from stack.observe.machine import facts_sha256, machine_facts

Say = Callable[[str], None]
WANTED_FRACTION = 0.9  # of the requests of a class, that must have its cache outcome
BURSTS = 10
SINGLES = 40
SINGLE_GAP_S = 0.02
WARM_UP_REQUESTS = 96  # the search node compiles its queries during the first hundreds
IDLE_S = 2.0
GENERATOR_RUN_S = 6.0
# From an update until the indexer has cleared the searches: its batch of 200 ms and the bulk write
# that waits for a refresh; 0.3 s seen.
INDEX_LAG_S = 0.3
LOAD_FRACTION = 0.5  # of the lowest load of the experiment, which the calibration must not see


def unfit(scenario: Scenario, operation: Operation, outcome: str, costs: Costs) -> str:
    """Why these are not the costs of the class, and what to do; empty where they are."""
    wanted = costs.cache.get(CACHE_OUTCOMES.index(outcome), 0)
    asked = sum(costs.cache.values())
    status = EXPECTED_STATUS[StackOperation(operation.value)]
    if costs.wrong_status:
        return (
            f"{operation} {outcome}: {costs.wrong_status} of {asked} requests were not answered "
            f"with {status}: see why in the log of an api part of the stack"
        )
    if wanted >= WANTED_FRACTION * asked:
        return ""
    says = f"{operation} {outcome}: only {wanted} of {asked} requests had that cache outcome"
    cache, family = scenario.topology.cache, FAMILY_OF.get(operation)
    policy = cache.families.get(family) if cache is not None and family is not None else None
    # From one filling of the cache to the last single request that is to find it there.
    probing_s = SINGLES * SINGLE_GAP_S + float(costs.latency_s.sum())
    if outcome == "hit" and policy is not None and policy.ttl_s < 2 * probing_s:
        return (
            f"{says}: their entries live {policy.ttl_s:g} s, and asking for them took "
            f"{probing_s:.1f} s. Set topology.cache.families.{family}.ttl_s to "
            f"{math.ceil(2 * probing_s)} or more for the calibration: what a request costs does "
            "not depend on it"
        )
    return f"{says}. Leave the stack alone while it is calibrated, then calibrate again"


def calibrate(run: Run, info: StackInfo, say: Say) -> Calibration:
    """Measure the service demands of every request class of the scenario; store them.

    Raises CalibrationError when the stack does not answer as the class expects.
    """
    scenario = run.scenario
    machine = machine_of(run)
    assert info.base_url is not None
    pids = pids_of(info)
    book = RequestBook(info.base_url, catalogue_of(scenario), credentials_of(info), run.folder.name)
    started_at = now()
    loops = [part.name for part in info.parts_of("api")]
    rng = calibration_rng(scenario)
    found: dict[tuple[str, str], Costs] = {}
    with Prober(address_of(info.base_url), pids, loops) as prober:
        classes = _Classes(scenario, info, book, prober, rng)
        classes.warm_up()
        idle = prober.watch_idle(IDLE_S)
        for operation, outcome in classes_of(scenario):
            costs = found[operation.value, outcome] = classes.costs(operation, outcome)
            path_s = sum(float(values.mean()) for values in costs.cpu_s.values())
            say(
                f"{operation} {outcome}: {path_s * 1e3:.2f} ms of CPU, "
                f"{np.median(costs.latency_s) * 1e3:.1f} ms alone"
            )
    load_per_s = LOAD_FRACTION * min(scenario.experiment.loads_per_s)
    trace = calibration_trace(scenario, load_per_s, GENERATOR_RUN_S)
    empty_cache(info)
    result = run_load(
        write_trace(run, "calibration", trace),
        info.base_url,
        run.folder / "calibration.parquet",
        catalogue=catalogue_of(scenario),
        credentials=credentials_of(info),
        run_id=f"{run.folder.name}-calibration"[-64:].lstrip(".-"),
        timeout_s=scenario.topology.api.timeout_s,
        pids_by_part=pids,
    )
    generator_s = result.cpu_s["generator"] / max(1, len(trace))
    idle_s = by_component(idle.cpu_s)
    calibration = Calibration(
        scenario_sha256=run.scenario_sha256,
        machine_sha256=machine.sha256,
        started_at=started_at,
        load_per_s=load_per_s,
        cores=idle.cores,
        demands=tuple(
            demand
            for (operation, outcome), costs in found.items()
            for demand in _demands(operation, outcome, costs)
        ),
        singles=tuple(
            _singles(operation, outcome, costs) for (operation, outcome), costs in found.items()
        ),
        generator_cpu_s=Estimate.exact(generator_s),
        idle_fraction=sum(idle.cpu_s.values()) / idle.wall_s / idle.cores,
        idle_cores={name: cpu_s / idle.wall_s for name, cpu_s in idle_s.items()},
        index_lag_s=INDEX_LAG_S if info.elasticsearch_url else 0.0,
        conditions=conditions_of(result.validity),
    )
    run.write(calibration)
    return calibration


def machine_of(run: Run) -> Machine:
    """Store what machine this is, beside the run; returns it."""
    facts = machine_facts()
    machine = Machine(facts=facts, sha256=facts_sha256(facts))
    run.write(machine)
    return machine


@dataclass
class _Classes:
    """Sends the requests of each class: which keys, and in which state of the cache."""

    scenario: Scenario
    info: StackInfo
    book: RequestBook
    prober: Prober
    rng: np.random.Generator
    sent: int = field(default=0, init=False)

    def warm_up(self) -> None:
        """Let connections open and the search node compile its queries."""
        for operation in self.scenario.workload.mix:
            count = (
                BURST if operation in (Operation.LOGIN, Operation.REGISTER) else WARM_UP_REQUESTS
            )
            self.prober.send([self._next(operation) for _ in range(count)])

    def costs(self, operation: Operation, outcome: str) -> Costs:
        """Measure one class. Raises CalibrationError when its requests are answered otherwise."""
        expected_status = EXPECTED_STATUS[StackOperation(operation.value)]
        prepare: Callable[[], None]
        if outcome == "hit":
            few = [self._next(operation) for _ in range(BURST)]
            bursts, singles = [few] * BURSTS, [few[i % BURST] for i in range(SINGLES)]
            prepare = partial(self._fill_anew, few)
        else:
            prepare = partial(empty_cache, self.info) if outcome == "miss" else _nothing
            bursts = [[self._next(operation) for _ in range(BURST)] for _ in range(BURSTS)]
            singles = [self._next(operation) for _ in range(SINGLES)]
        costs = self.prober.costs(
            bursts,
            singles,
            expected_status=expected_status,
            prepare=prepare,
            gaps_s=self.rng.exponential(SINGLE_GAP_S, SINGLES).tolist(),
        )
        if wrong := unfit(self.scenario, operation, outcome, costs):
            raise CalibrationError(wrong)
        return costs

    def _fill_anew(self, requests: list[bytes]) -> None:
        """Let the cache hold their answers from now on: short-lived ones would end meanwhile."""
        empty_cache(self.info)
        self.prober.send(requests)

    def _next(self, operation: Operation) -> bytes:
        """The next request of an operation; keys go round, so neighbours differ."""
        catalogue = self.scenario.workload.catalogue
        number = self.sent
        self.sent += 1
        keys = {
            Operation.LIST: catalogue.listing_keys,
            Operation.LIST_CURSOR: catalogue.listing_keys,
            Operation.SEARCH: catalogue.search_queries,
            Operation.FAVOURITES: catalogue.users,
            Operation.LOGIN: catalogue.users,
            Operation.REGISTER: 2**31,
            Operation.IMAGE_UPLOAD: 2**31,
        }.get(operation, catalogue.products)
        user = number % catalogue.users
        key = user if operation is Operation.FAVOURITES else number % keys
        prepared = self.book.request(StackOperation(operation.value), key, user, number)
        return prepared.on_the_wire(f"{self.book.run_id}-{number}")


def _nothing() -> None:
    """Leave the cache as it is."""


def _singles(operation: str, outcome: str, costs: Costs) -> Singles:
    primary = _primary(costs)
    cpu_s: dict[str, float] = {}
    for part, value in costs.single_cpu_s.items():
        name = _component(part, primary)
        cpu_s[name] = cpu_s.get(name, 0.0) + value
    return Singles(
        operation=operation,
        outcome=outcome,  # type: ignore[arg-type] # hit, miss or none, by classes_of
        latency_s=tuple(costs.latency_s.tolist()),
        cpu_s=cpu_s,
    )


def _primary(costs: Costs) -> str:
    """The member that did most of the work."""
    return max(
        (part for part in costs.cpu_s if part.startswith("mongo")),
        key=lambda part: float(costs.cpu_s[part].sum()),
        default="",
    )


def _component(part: str, primary: str) -> str:
    """The component that a part's CPU is told of; the other members are `secondaries`."""
    name, _, threads = part.partition(":")
    component = kind_of(name)
    if component == "mongo" and name != primary:
        component = "secondaries"
    return f"{component}_{threads}" if threads else component


def _demands(operation: str, outcome: str, costs: Costs) -> Iterator[Demand]:
    """One demand a component; of several equal parts the sum, for a request is served by one."""
    by_component: dict[str, list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]] = {}
    primary = _primary(costs)
    for part, cpu_s in costs.cpu_s.items():
        by_component.setdefault(_component(part, primary), []).append(cpu_s)
    for component, parts in by_component.items():
        per_burst = np.sum(parts, axis=0)
        interval = mean_interval(per_burst.tolist())
        yield Demand(
            operation=operation,
            outcome=outcome,  # type: ignore[arg-type] # hit, miss or none, by classes_of
            component=component,
            cpu_s=Estimate(value=interval.estimate, low=max(0.0, interval.low), high=interval.high),
            cv=float(per_burst.std() / per_burst.mean()) if per_burst.any() else 0.0,
            samples=len(per_burst) * BURST,
        )
