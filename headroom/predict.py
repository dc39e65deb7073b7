"""The blind prediction: what the live stack will do at loads that nobody has offered yet."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headroom.artefacts import (
    Calibration,
    Capacity,
    CurvePoint,
    Estimate,
    PredictedCell,
    Prediction,
    Run,
)
from headroom.demands import Target, stack_model_at
from headroom.live import kind_of
from headroom.traces import cells_of, trace_of
from sim.cache import cached_fraction, family_hit_ratios
from sim.kernel import simulate
from sim.model import CacheOutcome, SimulatedRun, StackModel
from sim.scenario import FAMILY_OF, Scenario
from sim.workload import Trace, open_trace

Say = Callable[[str], None]
ENGINE = "sim.kernel"
CELL_REPLICATIONS = 30
CURVE_REPLICATIONS = 3
CURVE_POINTS = 10
WARMING_REQUESTS = 60_000  # at most, before those
JUDGED_REQUESTS = 10_000  # behind each p95 of a curve or a search
MAX_REPLICAS = 256
SEARCH_STEPS = 8  # each halves the range of loads, which begins at a factor of two
QUANTILES = {"p50_s": 0.50, "p95_s": 0.95, "p99_s": 0.99}


def predict(run: Run, say: Say) -> Prediction:
    """Predict every cell of the run's experiment, the capacity, and production; store it.

    Cells are trace-driven: the model is fed the very requests that will be offered. Their intervals
    hold the uncertainty of the calibrated demands and of the service times drawn, the curves' that
    of the demands and of the arrivals.
    """
    scenario, calibration = run.scenario, run.read(Calibration)
    seed = scenario.experiment.seed
    cells = []
    for cell in cells_of(scenario):
        trace = trace_of(scenario, cell)
        metrics = _replicated(
            (
                (stack_model_at(scenario, calibration, Target.HERE, cell.load_per_s, rng), trace)
                for rng in _streams(seed, CELL_REPLICATIONS)
            ),
            seed,
            cell.warmup_s,
            calibration.idle_cores,
        )
        cells.append(PredictedCell(cell=cell.name, load_per_s=cell.load_per_s, metrics=metrics))
        say(f"{cell.load_per_s:g} req/s: p95 will be {metrics['p95_s'].value * 1000:.1f} ms")
    here = LoadSearch(scenario, calibration, Target.HERE)
    local = here.capacity()
    say(f"this machine: {local.load_per_s.value:.0f} req/s, bound by {local.bound_by}")
    there = LoadSearch(scenario, calibration, Target.PRODUCTION)
    production = there.capacity()
    say(f"production: {production.load_per_s.value:.0f} req/s, bound by {production.bound_by}")
    peak = scenario.workload.peak_load_per_s
    at_peak = there.metrics(peak, CURVE_REPLICATIONS)
    users = scenario.objectives.concurrent_users
    cycle_s = scenario.workload.think_time_s + at_peak["mean_s"].value
    prediction = Prediction(
        scenario_sha256=run.scenario_sha256,
        calibration_sha256=run.sha256(Calibration),
        engine=ENGINE,
        seed=seed,
        cells=tuple(cells),
        curve=here.curve(local, [cell.load_per_s for cell in cells]),
        local=local,
        production=production,
        production_curve=there.curve(production, [peak]),
        replicas_for_peak=there.replicas_for(peak) or MAX_REPLICAS,
        replicas_for_concurrent_users=users and there.replicas_for(users / cycle_s),
        steady_hit_ratio=steady_hit_ratios(scenario),
        mean_sojourn_s=at_peak["mean_s"].value,
    )
    sha256 = run.write(prediction)
    say(f"prediction stored, sha256 {sha256[:16]}…")
    return prediction


def steady_hit_ratios(scenario: Scenario) -> dict[str, Estimate]:
    """Long-run hit ratio by family and over all lookups, at a day's mean load.

    The users who ask are those of a day, not only the seeded ones: each has a favourites key.
    """
    workload = scenario.workload.asked_by_all_of_a_day()
    load_per_s = workload.mean_load_per_s
    ratios = family_hit_ratios(workload, scenario.topology.cache, load_per_s)
    if not ratios:
        return {}
    asked = sum(workload.mix.get(o, 0.0) for o, family in FAMILY_OF.items() if family in ratios)
    overall = cached_fraction(ratios, load_per_s) / asked
    return {family.value: Estimate.exact(r.fraction) for family, r in ratios.items()} | {
        "all": Estimate.exact(overall)
    }


def _streams(seed: int, count: int) -> Iterator[np.random.Generator | None]:
    """No perturbation first, so that one replication is the central estimate; then `count` - 1."""
    yield None
    for child in np.random.SeedSequence(seed).spawn(count - 1):
        yield np.random.default_rng(child)


def _replicated(
    runs: Iterator[tuple[StackModel, Trace]],
    seed: int,
    warmup_s: float,
    idle_cores: Mapping[str, float],
) -> dict[str, Estimate]:
    """Metrics over replications: their mean and the range of the middle 95 %.

    `idle_cores` is what each component uses when nobody asks; the models know requests only.
    """
    found: dict[str, list[float]] = {}
    for number, (model, trace) in enumerate(runs):
        result = simulate(model, trace, seed=seed + number)
        for name, value in metrics_of(model, result, trace, warmup_s).items():
            idle = idle_cores.get(name.removeprefix("utilisation."), 0.0)
            found.setdefault(name, []).append(value + idle)
    return {name: _spread(values) for name, values in found.items()}


def _spread(values: list[float]) -> Estimate:
    low, high = np.quantile(values, [0.025, 0.975])
    middle = float(np.clip(np.mean(values), low, high))
    return Estimate(value=middle, low=float(low), high=float(high))


def metrics_of(
    model: StackModel, run: SimulatedRun, trace: Trace, warmup_s: float
) -> dict[str, float]:
    """The figures of one simulated run, named and defined as those of a measured cell."""
    judged = trace.arrival_s >= warmup_s
    answered = judged & run.is_ok
    window_s = float(trace.arrival_s[-1]) - warmup_s
    metrics = {
        "throughput_per_s": float(answered.sum()) / window_s,
        "error_fraction": 1.0 - float(answered.sum()) / max(1, int(judged.sum())),
    }
    if answered.any():
        sojourn_s = run.sojourn_s[answered]
        metrics["mean_s"] = float(sojourn_s.mean())
        metrics |= {n: float(np.quantile(sojourn_s, q)) for n, q in QUANTILES.items()}
    metrics |= hit_ratios_of(run, trace, judged)
    return metrics | {f"utilisation.{name}": u for name, u in _cores_used(model, run).items()}


def _cores_used(model: StackModel, run: SimulatedRun) -> dict[str, float]:
    """Cores used by each component, and the share of the host that is busy.

    As in a measurement: of the API, the mean of its replicas with their password threads; of the
    others the sum over their instances.
    """
    slots = {station.name: station.slots for station in model.stations}
    cores: dict[str, float] = {}
    for load in run.stations:
        kind = kind_of(load.name).removesuffix("_threads")
        cores[kind] = cores.get(kind, 0.0) + load.utilisation * slots[load.name]
    if "api" in cores:
        cores["api"] /= sum(kind_of(station.name) == "api" for station in model.stations)
    for host in model.hosts:
        cores["host"] = run.host_utilisation[host.name] + host.background_fraction
    return cores


def _by_kind(run: SimulatedRun) -> dict[str, list[float]]:
    """Busy share of the slots of each component's stations."""
    kinds: dict[str, list[float]] = {}
    for station in run.stations:
        kinds.setdefault(kind_of(station.name), []).append(station.utilisation)
    return kinds


def hit_ratios_of(run: SimulatedRun, trace: Trace, judged: NDArray[np.bool_]) -> dict[str, float]:
    """Hits over look-ups of the judged requests, by family and over all."""
    outcome = run.cache_outcome
    ratios = {}
    families = {family.value for family in FAMILY_OF.values()}
    for family in (*sorted(families), "all"):
        names = [o for o, f in FAMILY_OF.items() if family in (f.value, "all")]
        lookups = judged & trace.is_operation(*names) & (outcome != CacheOutcome.NONE)
        if lookups.any():
            hits = outcome[lookups] == CacheOutcome.HIT
            ratios[f"hit_ratio.{family}"] = float(hits.mean())
    return ratios


@dataclass(frozen=True)
class LoadSearch:
    """Loads of one target, simulated on demand with common random numbers."""

    scenario: Scenario
    calibration: Calibration
    target: Target

    def metrics(
        self, load_per_s: float, replications: int, replicas: int | None = None
    ) -> dict[str, Estimate]:
        """The model's figures at one load, warm caches."""
        seed = self.scenario.experiment.seed
        runs = (
            (
                stack_model_at(
                    self.scenario, self.calibration, self.target, load_per_s, rng, replicas=replicas
                ),
                self.trace(load_per_s, number),
            )
            for number, rng in enumerate(_streams(seed, replications))
        )
        return _replicated(runs, seed, self.warmup_s(load_per_s), self._idle_cores)

    @property
    def _idle_cores(self) -> Mapping[str, float]:
        return self.calibration.idle_cores if self.target is Target.HERE else {}

    def trace(self, load_per_s: float, number: int) -> Trace:
        """The requests of one replication at a load."""
        seed = np.random.SeedSequence(self.scenario.experiment.seed, spawn_key=(9, number))
        duration_s = self.warmup_s(load_per_s) + JUDGED_REQUESTS / load_per_s
        return open_trace(
            self.scenario.workload, load_per_s, duration_s, np.random.default_rng(seed)
        )

    def warmup_s(self, load_per_s: float) -> float:
        """One TTL of the longest-lived family; at high loads less, for keys are soon asked for."""
        cache = self.scenario.topology.cache
        longest_s = max((p.ttl_s for p in cache.families.values()), default=0.0) if cache else 0.0
        return max(min(longest_s, WARMING_REQUESTS / load_per_s), 2_000 / load_per_s)

    def p95_s(
        self, load_per_s: float, scale: float = 1.0, replicas: int | None = None
    ) -> tuple[float, SimulatedRun]:
        """The p95 at one load, with all demands multiplied by `scale`."""
        model = stack_model_at(
            self.scenario, self.calibration, self.target, load_per_s, replicas=replicas, scale=scale
        )
        trace = self.trace(load_per_s, 0)
        result = simulate(model, trace, seed=self.scenario.experiment.seed)
        answered = (trace.arrival_s >= self.warmup_s(load_per_s)) & result.is_ok
        if not answered.any():
            return float("inf"), result
        return float(np.quantile(result.sojourn_s[answered], 0.95)), result

    def holds(self, load_per_s: float, scale: float = 1.0, replicas: int | None = None) -> bool:
        """Whether the latency and error objectives hold at a load."""
        objectives = self.scenario.objectives
        p95_s, result = self.p95_s(load_per_s, scale, replicas)
        return p95_s <= objectives.p95_s and result.error_fraction <= objectives.error_fraction

    def highest_load_per_s(self, scale: float = 1.0) -> float:
        """The highest load at which the objectives hold, by bisection; 0 when none does."""
        low, high = 0.0, 1.0
        while self.holds(high, scale):
            low, high = high, high * 2
            if high > 1e6:
                return low
        for _ in range(SEARCH_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.holds(middle, scale) else (low, middle)
        return low

    def capacity(self) -> Capacity:
        """The highest load that meets the objectives, its range, and what binds it."""
        fast, slow = self.target.demand_range(self.scenario, self.calibration)
        value = self.highest_load_per_s()
        _, result = self.p95_s(max(value, 1e-3))
        use = {kind: max(figures) for kind, figures in _by_kind(result).items()}
        use |= {f"{name} cores": figure for name, figure in result.host_utilisation.items()}
        busiest = max(use, key=lambda name: use[name])
        return Capacity(
            load_per_s=Estimate(
                value=value,
                low=min(value, self.highest_load_per_s(slow)),
                high=max(value, self.highest_load_per_s(fast)),
            ),
            bound_by=BOUND_BY.get(busiest, busiest),
            utilisation={BOUND_BY.get(name, name): min(1.0, u) for name, u in use.items()},
        )

    def curve(self, capacity: Capacity, others: list[float]) -> tuple[CurvePoint, ...]:
        """The figures from a tenth of the capacity to a little beyond it."""
        return tuple(self.point(load) for load in self.curve_loads(capacity, others))

    def curve_loads(self, capacity: Capacity, others: list[float]) -> list[float]:
        """The loads of `curve`, ascending."""
        top = max(capacity.load_per_s.value * 1.1, *others)
        return sorted({*np.geomspace(top / 20, top, CURVE_POINTS).tolist(), *others})

    def point(self, load_per_s: float) -> CurvePoint:
        """One point of `curve`."""
        return CurvePoint(
            load_per_s=load_per_s, metrics=self.metrics(load_per_s, CURVE_REPLICATIONS)
        )

    def replicas_for(self, load_per_s: float) -> int | None:
        """The fewest API replicas with which the objectives hold; None when no number helps."""
        high = 1
        while not self.holds(load_per_s, replicas=high):
            high *= 2
            if high > MAX_REPLICAS:
                return None
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.holds(load_per_s, replicas=middle) else (middle, high)
        return high


BOUND_BY = {
    "api": "the API's event loops",
    "api_threads": "the API's password threads",
    "nginx": "the load balancer",
    "redis": "Redis",
    "mongo": "MongoDB",
    "elasticsearch": "Elasticsearch",
    "host cores": "this machine's cores",
}
