"""The analytic screen: every candidate in every future, in arrays.

A `Planner` holds what all candidates share (work, futures, tables); `screened` judges candidates
and returns what each future makes of them. Candidates are taken in blocks that stay in the CPU's
cache, and a block is what a Dask worker is given.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sim.availability import ReliabilityFutures, availability_of
from sim.cost import PriceBook
from sim.errors import require
from sim.plan.costs import CostTable
from sim.plan.credits import CreditTable
from sim.plan.demand import TIERS, MeasuredDemands, Work, work_of
from sim.plan.futures import InputFutures
from sim.plan.hits import USABLE_FRACTION, HitTable, hit_table
from sim.plan.inputs import speed_of
from sim.plan.loads import loads_of
from sim.plan.losses import losses
from sim.plan.objectives import at_most, targets_of
from sim.plan.offers import core_of
from sim.plan.response import WIDE, Response, Servers, respond
from sim.plan.space import NO_CACHE, Candidate, vcpu_of
from sim.scenario import BillComponent, Scenario

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]

BLOCK = 8
REACH = (8.0, 64.0)  # how far below and above the futures' loads hit ratios are tabulated
DEFAULT_MEMORY_GIB = 3.0  # of a cache node whose memory the book does not state


@dataclass(frozen=True)
class Screened:
    """What each future makes of each candidate; arrays are [candidate, future].

    Args:
        candidates: that were judged.
        usd_per_month: the bill.
        figures: by objective: p95 at the peak and with all concurrent users, s; error fraction;
            hit ratio over a day; availability.
        targets: by objective, what must hold: at most for times and errors, else at least.
        utilisation: of the busiest tier at the peak, and which of TIERS that is.
        mean_s: mean response time at the peak.
    """

    candidates: tuple[Candidate, ...]
    usd_per_month: Floats
    figures: dict[str, Floats]
    targets: dict[str, float]
    utilisation: Floats
    busiest: NDArray[np.int64]
    mean_s: Floats

    def holds(self, objective: str) -> NDArray[np.bool_]:
        """Whether an objective holds, [candidate, future]."""
        figures, target = self.figures[objective], self.targets[objective]
        return np.asarray(figures <= target if at_most(objective) else figures >= target)

    def all_hold(self, without: Sequence[str] = ()) -> NDArray[np.bool_]:
        """Whether all objectives (but some) hold, [candidate, future]."""
        found = np.ones(self.usd_per_month.shape, bool)
        for objective in self.targets:
            if objective not in without:
                found &= self.holds(objective)
        return found


class Planner:
    """What all candidates of one scenario share.

    Args:
        scenario: workload, objectives and `plan`.
        measured: service demands.
        futures: the uncertain inputs.
        book: prices.
        reliability: how often parts fail, in as many futures; None takes the middle of each range.
    Raises: InvalidScenario for demands that were not measured or a type without a price.
    """

    def __init__(
        self,
        scenario: Scenario,
        measured: MeasuredDemands,
        futures: InputFutures,
        book: PriceBook,
        reliability: ReliabilityFutures | None = None,
    ) -> None:
        self.scenario, self.measured, self.futures, self.book = scenario, measured, futures, book
        self.reliability = reliability
        self.mean_load_per_s, self.peak_load_per_s, self.people, self.growth = loads_of(
            scenario, futures
        )
        self.users_load_per_s = self._users_load()
        everything = [self.mean_load_per_s, self.peak_load_per_s]
        everything += [] if self.users_load_per_s is None else [self.users_load_per_s]
        self._ends = (
            min(float(load.min()) for load in everything) / REACH[0],
            max(float(load.max()) for load in everything) * REACH[1],
        )
        self.costs = CostTable(scenario, book, float(self.growth.min()), float(self.growth.max()))
        self._work: dict[bool, Work] = {}
        self._hits: dict[tuple[bool, float, float], HitTable] = {}
        self.credits = CreditTable(scenario, book)
        self._cpu_s: dict[tuple[object, ...], Floats] = {}
        self._uptimes: dict[tuple[object, ...], Floats] = {}
        self._needed: dict[tuple[object, ...], float] = {}
        self._stretches: dict[tuple[str, str], Floats] = {}

    def with_futures(
        self, futures: InputFutures, reliability: ReliabilityFutures | None = None
    ) -> "Planner":
        """The same question over other futures, with the hit ratios tabulated once."""
        found = Planner(self.scenario, self.measured, futures, self.book, reliability)
        found._work, found._hits, found._ends = self._work, self._hits, self._ends
        found.credits = self.credits
        return found

    def work(self, candidate: Candidate) -> Work:
        """Request classes of a candidate, which has a cache or none."""
        cached = candidate.cache_type != NO_CACHE
        if cached not in self._work:
            self._work[cached] = work_of(candidate.applied_to(self.scenario), self.measured)
        return self._work[cached]

    def hits(self, candidate: Candidate) -> HitTable:
        """Hit ratios of a candidate's cache over the loads of all futures."""
        memory_gib = next(
            (
                p.memory_gib
                for p in self.book.prices
                if p.sku == candidate.cache_type and p.memory_gib
            ),
            DEFAULT_MEMORY_GIB,
        )
        key = (candidate.cache_type == NO_CACHE, candidate.cache_ttl_factor)
        roomy = self._hit_table(candidate, (*key, math.inf))
        if roomy.bytes <= memory_gib * USABLE_FRACTION * 2**30:
            return roomy
        return self._hit_table(candidate, (*key, memory_gib))

    def _hit_table(self, candidate: Candidate, key: tuple[bool, float, float]) -> HitTable:
        if key not in self._hits:
            design = candidate.applied_to(self.scenario)
            self._hits[key] = hit_table(design, key[2], *self._ends)
        return self._hits[key]

    def hit_fractions(self, candidate: Candidate, load_per_s: Floats) -> Floats:
        """Hit ratios [family, future] of a candidate at a load in each future."""
        shift = self.futures.value("plan.hit_ratio_shift", self.scenario.plan.hit_ratio_shift)
        return self.hits(candidate).at(load_per_s, self.people, shift)

    def stretch(self, candidate: Candidate) -> Floats:
        """Factor on the measured demands at each tier, [tier, future]."""
        types = {
            "api": candidate.api_type,
            "api_threads": candidate.api_type,
            "redis": candidate.cache_type,
            "mongo": candidate.database_type,
            "secondary": candidate.database_type,
            "elasticsearch": candidate.search_type,
        }
        return np.stack([self._stretch(tier, types.get(tier) or NO_CACHE) for tier in TIERS])

    def _stretch(self, tier: str, sku: str) -> Floats:
        key = (tier, sku)
        if key not in self._stretches:
            component = "mongo" if tier == "secondary" else tier
            factor = self.futures.value("plan.demand_factor", self.scenario.plan.demand_factor)
            factor = factor * self.futures.value(f"demand.{component}")
            if sku != NO_CACHE:
                speed = speed_of(self.scenario, sku) * self.futures.value(f"cpu.{core_of(sku)}")
                factor = factor / speed / self.futures.value("cpu.machine")
            self._stretches[key] = factor
        return self._stretches[key]

    def servers(self, candidate: Candidate) -> Servers:
        """Instances and slots of a candidate's tiers, [tier, 1]."""
        members = candidate.database_members
        instances = {
            "api": candidate.api_replicas,
            "api_threads": candidate.api_replicas,
            "secondary": max(1, members - 1),
            "elasticsearch": max(1, candidate.search_nodes),
        }
        database = vcpu_of(self.book, candidate.database_type)
        slots = {
            "nginx": 2 * WIDE,
            "mongo": database,
            "secondary": database,
            "elasticsearch": vcpu_of(self.book, candidate.search_type or ""),
        }
        return Servers(
            np.array([[float(instances.get(tier, 1))] for tier in TIERS]),
            np.array([[slots.get(tier, 1)] for tier in TIERS], np.int64),
            self.scenario.topology.load_balancer.policy == "least_connections",
            self.scenario.topology.api.discipline == "processor_sharing",
        )

    def response(self, candidates: Sequence[Candidate], load_per_s: Floats) -> Response:
        """Response times of candidates alike in having a cache; arrays are [candidate, future]."""
        work = self.work(candidates[0])
        hits = np.stack([self.hit_fractions(c, load_per_s) for c in candidates], axis=1)
        servers = [self.servers(c) for c in candidates]
        together = Servers(
            np.stack([s.instances for s in servers], axis=1),
            np.stack([s.slots for s in servers], axis=1),
            servers[0].pooled_api,
            servers[0].shared_api,
        )
        stretch = np.stack([self.stretch(c) for c in candidates], axis=1)
        load = np.broadcast_to(load_per_s, (len(candidates), self.futures.count))
        timeout_s = self.scenario.topology.api.timeout_s
        return respond(work, load, hits, stretch, together, timeout_s=timeout_s)

    def prices(self) -> dict[BillComponent, Floats]:
        """How far the prices of each component are off, in each future."""
        return {c: self.futures.value(f"price.{c.value}", 0.0) for c in BillComponent}

    def usd_per_month(self, candidate: Candidate) -> Floats:
        """The bill of a candidate in each future, bought CPU credits included."""
        factor = self.futures.value("plan.price_factor", self.scenario.plan.price_factor)
        prices = self.prices()
        usd = self.costs.usd_per_month(candidate, self.growth, prices)
        if self.credits.applies_to(candidate.api_type):
            sku, servers = candidate.api_type, candidate.api_replicas
            busy = self.api_cpu_s(candidate) * self.mean_load_per_s / servers
            place = prices[BillComponent.COMPUTE]
            usd = usd + self.credits.usd_per_month(sku, busy, servers, place)
        return np.asarray(factor * usd)

    def api_cpu_s(self, candidate: Candidate) -> Floats:
        """CPU time of an API server for a request at the mean load of a day, s, by future."""
        key = (candidate.api_type, candidate.cache_type, candidate.cache_ttl_factor)
        if key not in self._cpu_s:
            work = self.work(candidate)
            weights = work.weights(self.hit_fractions(candidate, self.mean_load_per_s))
            each = np.einsum("ct,cf->tf", work.mean_s, weights) * self.stretch(candidate)
            self._cpu_s[key] = each[[TIERS.index("api"), TIERS.index("api_threads")]].sum(axis=0)
        return self._cpu_s[key]

    def uptimes(self, candidate: Candidate) -> Floats:
        """Availability of a candidate in each future, with the API servers that its load takes."""
        needed = self.api_needed(candidate)
        database = (candidate.database_type, candidate.database_members)
        key = (candidate.api_replicas, needed, *database, candidate.zones)
        if key not in self._uptimes:
            design = candidate.applied_to(self.scenario)
            found = availability_of(design, api_needed=needed, futures=self.reliability)
            self._uptimes[key] = np.broadcast_to(found, (self.futures.count,))
        return self._uptimes[key]

    def api_needed(self, candidate: Candidate) -> int:
        """API servers that the median peak keeps busy: fewer do not carry it."""
        key = (candidate.api_type, candidate.cache_type, candidate.cache_ttl_factor)
        if key not in self._needed:
            alone = replace(candidate, api_replicas=1)
            found = self.response([alone], self.peak_load_per_s).utilisation
            tiers = [TIERS.index("api"), TIERS.index("api_threads")]
            self._needed[key] = float(np.median(found[tiers, 0].max(axis=0)))
        return min(max(1, math.ceil(self._needed[key])), candidate.api_replicas)

    def _users_load(self) -> Floats | None:
        """Load of the concurrent users of the objectives, each asking once a think time."""
        users = self.scenario.objectives.concurrent_users
        if users is None:
            return None
        think_s = self.futures.value("workload.think_time_s", self.scenario.workload.think_time_s)
        return users / np.maximum(think_s, 1e-3)


def screened(
    planner: Planner, candidates: Sequence[Candidate], progress: Progress | None = None
) -> Screened:
    """Judge candidates in every future of a planner.

    Args:
        planner: what they share.
        candidates: at least one.
        progress: called as progress(done, total) after each block.
    Returns: cost and objectives, [candidate, future].
    Raises: InvalidScenario without a candidate.
    Source: `Planner.response`.

    >>> from sim.example import shop_question
    >>> from sim.plan import own_candidate
    >>> planner = shop_question().centre()
    >>> screened(planner, [own_candidate(planner.scenario)]).usd_per_month.shape
    (1, 1)
    """
    require(len(candidates) > 0, "plan.space", (), "at least one candidate")
    shape = (len(candidates), planner.futures.count)
    targets = targets_of(planner.scenario)
    figures = {name: np.empty(shape) for name in targets}
    usd, busy, mean_s = np.empty(shape), np.empty(shape), np.empty(shape)
    busiest = np.empty(shape, np.int64)
    done = 0
    for block in _blocks(candidates):
        chosen = [candidates[i] for i in block]
        for row, candidate in zip(block, chosen, strict=True):
            usd[row] = planner.usd_per_month(candidate)
        found = judged(planner, chosen)
        for name in targets:
            figures[name][block] = found.figures[name]
        busy[block], busiest[block], mean_s[block] = found.busy, found.busiest, found.mean_s
        done += len(block)
        if progress is not None:
            progress(done, len(candidates))
    return Screened(tuple(candidates), usd, figures, targets, busy, busiest, mean_s)


@dataclass(frozen=True)
class Judged:
    """Figures of a block of candidates, [candidate, future]."""

    figures: dict[str, Floats]
    busy: Floats
    busiest: NDArray[np.int64]
    mean_s: Floats


def judged(planner: Planner, block: Sequence[Candidate]) -> Judged:
    """The figures of candidates alike in having a cache, with what the plan must survive."""
    found = _judged_whole(planner, block)
    planning = planner.scenario.plan
    for loss in losses(block, planning.survive):
        if loss.left:
            after = _judged_whole(planner, loss.left)
            _worsen(found, np.array(loss.places), after)
        if loss.down:
            _take_down(found, np.array(loss.down))
    return found


def _judged_whole(planner: Planner, block: Sequence[Candidate]) -> Judged:
    at_peak = planner.response(block, planner.peak_load_per_s)
    figures = {"p95_s": at_peak.p95_s, "error_fraction": at_peak.error_fraction}
    if planner.users_load_per_s is not None:
        crowded = planner.response(block, planner.users_load_per_s)
        figures["concurrent_users"] = crowded.p95_s
    ratios = [
        planner.hits(c).overall(planner.hit_fractions(c, planner.mean_load_per_s)) for c in block
    ]
    figures["hit_ratio_fraction"] = np.stack(ratios)
    figures["availability"] = np.stack([planner.uptimes(c) for c in block])
    return Judged(
        figures,
        at_peak.utilisation.max(axis=0),
        at_peak.utilisation.argmax(axis=0),
        at_peak.mean_s,
    )


def _worsen(found: Judged, places: NDArray[np.int64], after: Judged) -> None:
    """Keep the worse of two cases, element by element, hit ratio and availability excepted."""
    for name in ("p95_s", "error_fraction", "concurrent_users"):
        if name in found.figures:
            kept = found.figures[name][places]
            found.figures[name][places] = np.maximum(kept, after.figures[name])
    busier = after.busy > found.busy[places]
    found.busiest[places] = np.where(busier, after.busiest, found.busiest[places])
    found.busy[places] = np.maximum(found.busy[places], after.busy)
    found.mean_s[places] = np.maximum(found.mean_s[places], after.mean_s)


def _take_down(found: Judged, places: NDArray[np.int64]) -> None:
    """Nothing answers: a tier had one instance, and it is lost."""
    for name in ("p95_s", "concurrent_users"):
        if name in found.figures:
            found.figures[name][places] = np.inf
    found.figures["error_fraction"][places] = 1.0
    found.mean_s[places] = np.inf


def _blocks(candidates: Sequence[Candidate]) -> list[list[int]]:
    """Places of candidates in blocks that are alike in having a cache."""
    blocks = []
    for cached in (True, False):
        places = [i for i, c in enumerate(candidates) if (c.cache_type != NO_CACHE) == cached]
        blocks += [places[i : i + BLOCK] for i in range(0, len(places), BLOCK)]
    return blocks
