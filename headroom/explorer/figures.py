"""The figures of a scenario at once, by the formulas; what takes longer is `refining`'s work.

Nothing is modelled here: p95, errors and availability are those of `headroom whatif` (the screen of
a plan, in the same futures), hit ratios those of `headroom predict`, the bill that of
`headroom price`. A test holds them equal.
"""

import math
import zlib
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from headroom.artefacts import BillArtefact, Record
from headroom.load_cost import api_cpu_of, triple
from headroom.plan_records import Figure
from headroom.predict import steady_hit_ratios
from headroom.price import priced
from headroom.whatif import MOST_FUTURES
from sim.availability import ReliabilityFutures
from sim.availability import drawn_futures as drawn_reliability
from sim.cost import price_book
from sim.plan import (
    TIER_NAMES,
    TIERS,
    Candidate,
    Input,
    InputFutures,
    MeasuredDemands,
    Planner,
    Screened,
    drawn_futures,
    inputs_of,
    own_candidate,
    screened,
)
from sim.plan.hits import USABLE_FRACTION
from sim.plan.objectives import at_most
from sim.plan.response import Response, Servers, respond
from sim.plan.screen import DEFAULT_MEMORY_GIB
from sim.scenario import Reliability, Scenario

Floats = NDArray[np.float64]
COARSE = 7  # loads of the curve below half of the capacity, and as shares of it near the knee:
NEAR = (0.5, 0.7, 0.8, 0.88, 0.94, 0.98, 1.02, 1.1)
BLOCK = 8  # loads at once: more of them leave the CPU's cache
LOW, HIGH = 0.05, 0.95
BELOW = 20.0  # how far below the peak the curve begins, as a factor


class Judged(Record):
    """One objective: what is reached, and in which share of the futures it holds."""

    name: str
    target: float
    reached: Figure
    chance: float
    holds: bool


class Curve(Record):
    """p95 over the load; None where a tier is overloaded."""

    load_per_s: tuple[float, ...]
    p95_s: tuple[Figure, ...]


class Figures(Record):
    """A scenario by the formulas; ranges hold 90 % of the futures."""

    architecture: str
    peak_per_s: Figure
    p95_s: Figure
    objectives: tuple[Judged, ...]
    all_hold: float  # share of the futures in which all objectives hold
    hit_ratio: dict[str, Figure]
    cache_fits: bool  # all entries live for their TTL in the node's memory
    spare: dict[str, Figure]  # by tier: share of its capacity that the peak leaves
    bound_by: str
    api_needed: int
    availability: Figure
    bill: BillArtefact
    curve: Curve

    @property
    def holds(self) -> bool:
        """Whether every objective is met in the middle of the futures."""
        return all(each.holds for each in self.objectives)


def figures_of(scenario: Scenario, measured: MeasuredDemands) -> Figures:
    """The figures of a scenario's own architecture.

    Raises: InvalidScenario for a missing price or an operation not measured.
    """
    bill = priced(scenario, api_cpu_s=triple(api_cpu_of(scenario, measured)))
    planner, own = planner_of(scenario, measured), own_candidate(scenario)
    found = screened(planner, [own])
    at_peak = planner.response([own], planner.peak_load_per_s)
    fits = cache_fits(planner, own)
    hits = _hit_ratios(scenario, planner, own, fits=fits)
    tier = TIERS[int(np.median(at_peak.utilisation[:, 0], axis=1).argmax())]
    return Figures(
        architecture=str(own),
        peak_per_s=_around(spread(planner.peak_load_per_s), _own_peak(scenario)),
        p95_s=spread(found.figures["p95_s"][0]),
        objectives=tuple(
            _judged(found, name, target, hits.get("all")) for name, target in found.targets.items()
        ),
        all_hold=float(found.all_hold().mean()),
        hit_ratio=hits,
        cache_fits=fits,
        spare=_spare(at_peak),
        bound_by=TIER_NAMES[tier],
        api_needed=planner.api_needed(own),
        availability=spread(planner.uptimes(own)),
        bill=bill,
        curve=_curve(planner, own, at_peak),
    )


def planner_of(scenario: Scenario, measured: MeasuredDemands) -> Planner:
    """A planner for the scenario's own architecture, in the futures that a what-if takes."""
    book = price_book(scenario.prices.book)
    inputs = inputs_of(scenario, measured, [own_candidate(scenario)], book)
    count = min(scenario.plan.futures, MOST_FUTURES)
    futures = _futures(inputs, count, scenario.plan.seed)
    reliability = _reliability(_Ranges(scenario.reliability), count, scenario.plan.seed)
    return Planner(scenario, measured, futures, book, reliability)


@lru_cache(maxsize=16)
def _futures(inputs: tuple[Input, ...], count: int, seed: int) -> InputFutures:
    return drawn_futures(inputs, count, seed)


class _Ranges:
    """Failure rates as the key of a table: equal where all their ranges are."""

    def __init__(self, ranges: Reliability) -> None:
        self.ranges, self._key = ranges, ranges.model_dump_json()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Ranges) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=4)
def _reliability(asked: _Ranges, count: int, seed: int) -> ReliabilityFutures:
    stream = np.random.SeedSequence(seed, spawn_key=(zlib.crc32(b"reliability"),))
    return drawn_reliability(asked.ranges, count, np.random.default_rng(stream))


def spread(values: Floats) -> Figure:
    """The middle of the futures and the range of 90 % of them; None where it is infinite.

    >>> spread(np.array([1.0, 2.0, 3.0, math.inf]))
    Figure(value=3.0, low=1.0, high=None)
    """
    ordered = np.sort(values)  # an order statistic: between two others one may be infinite
    at = (float(ordered[round(share * (values.size - 1))]) for share in (0.5, LOW, HIGH))
    value, low, high = (each if math.isfinite(each) else None for each in at)
    return Figure(value=value, low=low, high=high)


def _judged(found: Screened, name: str, target: float, hits: Figure | None) -> Judged:
    reached = spread(found.figures[name][0])
    if name == "hit_ratio_fraction" and hits is not None:
        reached = hits
    holds = reached.value is not None and (
        reached.value <= target if at_most(name) else reached.value >= target
    )
    chance = float(found.holds(name).mean())
    return Judged(name=name, target=target, reached=reached, chance=chance, holds=holds)


def cache_fits(planner: Planner, own: Candidate) -> bool:
    """Whether a cache node's memory holds all entries until their TTL."""
    sizes = (p.memory_gib for p in planner.book.prices if p.sku == own.cache_type and p.memory_gib)
    room = next(sizes, DEFAULT_MEMORY_GIB) * USABLE_FRACTION * 2**30
    return planner.hits(own).bytes <= room


def _hit_ratios(
    scenario: Scenario, planner: Planner, own: Candidate, *, fits: bool
) -> dict[str, Figure]:
    """Long-run ratios by family and over all, at a day's mean load.

    Where memory suffices the middle is what `headroom predict` says; a cache that is too small is
    known to the plan's tables alone.
    """
    table = planner.hits(own)
    drawn = planner.hit_fractions(own, planner.mean_load_per_s)
    found = {
        family.value: spread(drawn[row])
        for row, family in enumerate(table.families)
        if table.asked[row] > 0
    }
    if not found:
        return {}
    found["all"] = spread(table.overall(drawn))
    if not fits:
        return found
    exact = steady_hit_ratios(scenario)
    return {name: _around(figure, exact[name].value) for name, figure in found.items()}


def _own_peak(scenario: Scenario) -> float:
    """The peak as the scenario states it; the middle of lopsided futures may be off."""
    return scenario.workload.peak_load_per_s * scenario.plan.growth_factor


def _around(figure: Figure, middle: float) -> Figure:
    low = middle if figure.low is None else min(figure.low, middle)
    high = middle if figure.high is None else max(figure.high, middle)
    return Figure(value=middle, low=low, high=high)


def _spare(at_peak: Response) -> dict[str, Figure]:
    """By tier in use, the share of its capacity that the peak leaves; below 0 it is overloaded."""
    busy = at_peak.utilisation[:, 0]
    return {tier: spread(1.0 - busy[row]) for row, tier in enumerate(TIERS) if busy[row].any()}


def _curve(planner: Planner, own: Candidate, at_peak: Response) -> Curve:
    """p95 from well below the peak to where the busiest tier is full, the peak among the loads."""
    peak = float(np.median(planner.peak_load_per_s))
    busiest = at_peak.utilisation[:, 0].max(axis=0)
    capacity = peak / max(float(np.median(busiest)), 1e-6)
    lowest = min(peak, capacity) / BELOW
    coarse = np.geomspace(lowest, NEAR[0] * capacity, COARSE, endpoint=False)
    loads = np.unique(np.concatenate([coarse, np.array(NEAR) * capacity, [peak]]))
    found = np.concatenate([_p95_s(planner, own, part) for part in _blocks(loads)])
    return Curve(
        load_per_s=tuple(float(load) for load in loads),
        p95_s=tuple(spread(each) for each in found),
    )


def _blocks(loads: Floats) -> list[Floats]:
    return [loads[i : i + BLOCK] for i in range(0, loads.size, BLOCK)]


def _p95_s(planner: Planner, own: Candidate, loads: Floats) -> Floats:
    """p95 at each load in each future, [load, future]: what `Planner.response` says of each."""
    load_per_s = np.repeat(loads[:, None], planner.futures.count, axis=1)
    servers = planner.servers(own)
    wide = replace(
        servers, instances=servers.instances[:, :, None], slots=servers.slots[:, :, None]
    )
    assert isinstance(wide, Servers)
    found = respond(
        planner.work(own),
        load_per_s,
        planner.hit_fractions(own, load_per_s),
        planner.stretch(own)[:, None, :],
        wide,
        timeout_s=planner.scenario.topology.api.timeout_s,
    )
    return found.p95_s
