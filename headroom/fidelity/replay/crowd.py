"""A crowd replayed on emulated machines that come and go: what is offered, and what is foretold.

Two clocks. Demands, rates and timeouts are dilated by the scale, as in every emulation. What is
slow goes by the other way, so that an hour of the day takes minutes: the demand curve, the lives of
cached entries, and the autoscaler's period, boot and cool-down, all by one factor. Kept: how busy
the machines are, and every slow time beside the curve. Not kept: how many requests come in a
period, or in the life of an entry; they are fewer, so utilisation scatters more and caches hit less
than on the day itself. Model and stack see the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from headroom.emulated import on_machines
from headroom.errors import CalibrationError
from headroom.fidelity.artefacts import Constants
from headroom.fidelity.predicted import between, model_of
from headroom.fidelity.replay.records import (
    PredictedReplay,
    PredictedWindow,
    Range,
    Serving,
)
from headroom.fidelity.topologies import Topology
from sim.kernel import simulate
from sim.model import SimulatedRun, StackModel
from sim.scenario import Autoscaling, Scenario
from sim.workload import Demand, Trace, arrivals_s, demand_of, requests_at

SCALE = 40.0
SPEED = 12.0  # seconds of the day for each real second
MINUTES = 60.0  # of the day
BEFORE = 0.25  # of them before the highest minute
API_FACTOR = 3.0  # on the API's demands, so that its machines are the busy ones
MACHINES_AT_PEAK = 9.0  # that the highest minute takes at the autoscaler's target
WINDOWS = 12
REPLICATIONS = 60
TRACE_STREAM, SPREAD_STREAM, KIN_STREAM = 40, 41, 42
STEP_S = 0.05  # of comparisons over time


@dataclass(frozen=True)
class Crowd:
    """The minutes around the highest one of a scenario's demand, ready to be replayed.

    Args:
        scenario: in modelled time, with an autoscaler and a demand curve.
        minutes: of the day.
        seed: of requests and demands.
    """

    scenario: Scenario
    minutes: float
    seed: int

    @cached_property
    def topology(self) -> Topology:
        """The emulated machines, their autoscaler's clock and TTLs as fast as the day."""
        return on_machines(self.scenario, scale=SCALE, pace=SPEED * SCALE, api_factor=API_FACTOR)

    @property
    def duration_s(self) -> float:
        """Real seconds that it takes."""
        return self.minutes * 60.0 / SPEED

    @property
    def scaling(self) -> Autoscaling:
        """The autoscaler in modelled time, its clock as fast as the day."""
        scaling = self.topology.scenario.topology.api.autoscaling
        assert scaling is not None
        return scaling

    @property
    def period_s(self) -> float:
        """Of the autoscaler, real."""
        return self.scaling.evaluation_period_s * SCALE

    @property
    def boot_s(self) -> float:
        """Of a machine, real."""
        return self.scaling.boot_s * SCALE

    @property
    def slots(self) -> int:
        """Of each API machine."""
        return self.topology.demands.slots["api"]

    @property
    def held_s(self) -> float:
        """Mean time that a request is held at its API machine, real."""
        return SCALE * sum(
            share * _api_s(self.topology, operation.value)
            for operation, share in self.scenario.workload.mix.items()
        )

    @property
    def begin_s(self) -> float:
        """Where on the curve of `demand` it begins."""
        highest_s = float(np.argmax(self.demand.shape)) * self.demand.step_s
        return max(0.0, highest_s - BEFORE * self.duration_s)

    @cached_property
    def demand(self) -> Demand:
        """The day's curve in real time, raised until its highest minute takes so many machines."""
        curve = demand_of(self.scenario.workload)
        slots = MACHINES_AT_PEAK * self.slots
        peak_per_s = slots * self.scaling.target_cpu_fraction / self.held_s
        return Demand(curve.step_s / SPEED, curve.shape, peak_per_s / float(curve.shape.max()))

    @property
    def times_the_day(self) -> float:
        """How many times the scenario's own crowd it is, in modelled time."""
        return (
            self.demand.mean_load_per_s * SCALE / demand_of(self.scenario.workload).mean_load_per_s
        )

    def trace(self, *stream: int) -> Trace:
        """The requests: by the seed alone, or of another stream."""
        key = stream or (TRACE_STREAM,)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
        arrivals, rest = rng.spawn(2)
        dispersion = self.scenario.workload.profile.index_of_dispersion
        times_s = arrivals_s(self.demand, self.duration_s, arrivals, self.begin_s, dispersion)
        return requests_at(times_s, self.scenario.workload, rest)


def crowd_of(scenario: Scenario) -> Scenario:
    """The same, if it has what a replay needs; raises CalibrationError that names what it lacks."""
    if scenario.topology.api.autoscaling is None:
        raise CalibrationError(
            f"{scenario.name}: topology.api.autoscaling is missing: a replay is of machines that "
            "come and go"
        )
    if scenario.workload.profile.kind == "constant":
        raise CalibrationError(
            f"{scenario.name}: workload.profile.kind is constant; allowed: diurnal, recorded"
        )
    return scenario


def _api_s(topology: Topology, operation: str) -> float:
    """Mean time that an operation is held at the API, modelled; a hit and a miss are alike."""
    for outcome in ("none", "miss"):
        visits = topology.demands.visits.get((operation, outcome))
        if visits is not None:
            return sum(visit.mean_s for visit in visits if visit.component == "api")
    raise KeyError(operation)


@dataclass(frozen=True)
class Foretold:
    """What the model says of the very requests of a crowd."""

    trace: Trace
    run: SimulatedRun
    serving: tuple[Serving, ...]


def foretold(crowd: Crowd, model: StackModel) -> Foretold:
    """The very requests, with the very demands, and the autoscaler at work."""
    trace = crowd.trace()
    run = simulate(model, trace, seed=crowd.seed)
    return Foretold(trace, run, serving_of(run, crowd))


def serving_of(run: SimulatedRun, crowd: Crowd) -> tuple[Serving, ...]:
    """How many machines serve from when on, until the last request comes."""
    return from_decisions([(at_s, wanted) for at_s, _, wanted in run.scaling], crowd)


def from_decisions(decisions: Sequence[tuple[float, int]], crowd: Crowd) -> tuple[Serving, ...]:
    """The same, from when how many machines were asked for."""
    asked = first = crowd.topology.scenario.topology.api.replicas
    changes: list[tuple[float, int]] = []
    for at_s, wanted in decisions:
        # Those that were asked for come when they have booted; those that go, go at once.
        changes.append((at_s + (crowd.boot_s if wanted > asked else 0.0), wanted - asked))
        asked = wanted
    serving, count = [Serving(from_s=0.0, machines=first)], first
    for at_s, more in sorted(changes):
        count += more
        if at_s < crowd.duration_s:
            serving.append(Serving(from_s=at_s, machines=count))
    return tuple(serving)


def predicted_replay(
    crowd: Crowd, constants: Constants, name: str
) -> tuple[PredictedReplay, Foretold]:
    """The blind prediction, with the 90 % range over other arrivals and demands."""
    model = model_of(crowd.topology, constants)
    exact = foretold(crowd, model)
    kin = kin_of(crowd, constants)
    spread = []
    for number in range(REPLICATIONS):
        trace = crowd.trace(SPREAD_STREAM, number)
        run = simulate(model, trace, seed=crowd.seed + 1 + number)
        other = Foretold(trace, run, serving_of(run, crowd))
        spread.append(windows_of(crowd, trace.arrival_s, run.sojourn_s, run.is_ok, other.serving))
    own = windows_of(
        crowd, exact.trace.arrival_s, exact.run.sojourn_s, exact.run.is_ok, exact.serving
    )
    windows = tuple(
        window.model_copy(
            update={
                "p95_range_s": _range([each[place].p95_s for each in spread]),
                "machines_range": _range([each[place].machines for each in spread]),
            }
        )
        for place, window in enumerate(own)
    )
    prediction = PredictedReplay(
        scenario=name,
        minutes=crowd.minutes,
        scale=SCALE,
        speed=SPEED,
        seed=crowd.seed,
        times_the_day=crowd.times_the_day,
        period_s=crowd.period_s,
        boot_s=crowd.boot_s,
        constants=constants,
        requests=len(exact.trace),
        failed=int((~exact.run.is_ok).sum()),
        serving=exact.serving,
        windows=windows,
        kin=tuple(
            _range(machines.tolist())
            for machines in np.transpose([machines_at(each, period_ends_s(crowd)) for each in kin])
        ),
        kin_fraction=float(np.mean([agreement(crowd, exact.serving, each, 0) for each in kin])),
        longest_s=float(exact.run.sojourn_s.max()),
    )
    return prediction, exact


def kin_of(crowd: Crowd, constants: Constants) -> list[tuple[Serving, ...]]:
    """The same requests and demands, with overheads from none to twice the fitted ones.

    A look that sees a little more or less than a whole machine's worth decides otherwise, and all
    later ones follow from it. Where these differ, the machines cannot be foretold by anybody.
    """
    rng = np.random.default_rng(np.random.SeedSequence(crowd.seed, spawn_key=(KIN_STREAM,)))
    kin = []
    for factor in rng.uniform(0.0, 2.0, REPLICATIONS).tolist():
        changed = {name: getattr(constants, name) * factor for name in ("outside_s", "visit_s")}
        model = model_of(crowd.topology, constants.model_copy(update=changed))
        kin.append(foretold(crowd, model).serving)
    return kin


def _range(values: Sequence[float]) -> Range:
    low, high = between(np.array(values))
    return Range(low=float(low), high=float(high))


def windows_of(
    crowd: Crowd,
    arrival_s: NDArray[np.float64],
    sojourn_s: NDArray[np.float64],
    is_ok: NDArray[np.bool_],
    serving: Sequence[Serving],
) -> list[PredictedWindow]:
    """Stretches of equal length: requests by their arrival, machines by time."""
    found = []
    for number in range(WINDOWS):
        from_s, until_s = (crowd.duration_s * n / WINDOWS for n in (number, number + 1))
        inside = (arrival_s >= from_s) & (arrival_s < until_s)
        answered_s = sojourn_s[inside & is_ok]
        found.append(
            PredictedWindow(
                until_s=until_s,
                requests=int(inside.sum()),
                failed=int((inside & ~is_ok).sum()),
                mean_s=float(answered_s.mean()) if answered_s.size else 0.0,
                p95_s=float(np.quantile(answered_s, 0.95)) if answered_s.size else 0.0,
                machines=mean_machines(serving, from_s, until_s),
            )
        )
    return found


def period_ends_s(crowd: Crowd) -> NDArray[np.float64]:
    """Just before the end of each period of the autoscaler."""
    periods = int(crowd.duration_s / crowd.period_s)
    return np.linspace(crowd.period_s, periods * crowd.period_s, periods) - 1e-6


def agreement(
    crowd: Crowd, one: Sequence[Serving], other: Sequence[Serving], within: int, later_s: float = 0
) -> float:
    """Share of the time in which both have as many machines, up to a difference.

    `later_s`: the first is looked at so much earlier.
    """
    at_s = np.arange(0.0, crowd.duration_s, STEP_S)
    first = machines_at(one, np.maximum(0.0, at_s - later_s))
    return float((np.abs(first - machines_at(other, at_s)) <= within).mean())


def mean_machines(serving: Sequence[Serving], from_s: float, until_s: float) -> float:
    """How many served on average in a stretch of time."""
    at_s = np.linspace(from_s, until_s, 1000, endpoint=False)
    return float(machines_at(serving, at_s).mean())


def machines_at(serving: Sequence[Serving], at_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many served at given times."""
    begins = np.array([each.from_s for each in serving])
    counts = np.array([each.machines for each in serving])
    return np.asarray(counts[np.searchsorted(begins, at_s, side="right") - 1])
