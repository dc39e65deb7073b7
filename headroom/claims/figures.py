"""The figures that a claim may speak of, and where each comes from.

Besides these, every number of the scenario has its path as a name: `workload.requests_per_session`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

from headroom.artefacts import (
    BillArtefact,
    Estimate,
    ExperimentResult,
    Experiments,
    MeasuredCell,
    Prediction,
    Run,
    Summary,
)
from headroom.predict import steady_hit_ratios
from headroom.price import priced
from headroom.proportion import wilson
from sim.errors import InvalidScenario, Problem
from sim.scenario import FAMILY_OF, WRITES, BillComponent, Family, Scenario

Kind = Literal["formula", "simulation", "price book", "live run"]


class NoEvidence(Exception):
    """A figure that cannot be had here, and why."""


@dataclass(frozen=True)
class Evidence:
    """What claims are tested against.

    Args:
        scenario: the document's architecture.
        run: a run of it, for what was predicted and measured; None: nothing was.
        experiments: what was tried on the live stack; None: nothing was.
    """

    scenario: Scenario
    run: Run | None = None
    experiments: Experiments | None = None

    def hit_ratios(self, scenario: Scenario) -> dict[str, Estimate]:
        """Modelled steady hit ratios of a scenario, found once."""
        key = scenario.model_dump_json()
        if key not in self._memory:
            self._memory[key] = steady_hit_ratios(scenario)
        return self._memory[key]

    @cached_property
    def _memory(self) -> dict[str, dict[str, Estimate]]:
        return {}

    @cached_property
    def prediction(self) -> Prediction:
        """The run's prediction. Raises NoEvidence."""
        if self.run is None or not self.run.has(Prediction):
            raise NoEvidence("no run with a prediction was given: `headroom claims --run RUN`")
        return self.run.read(Prediction)

    @cached_property
    def measured(self) -> tuple[MeasuredCell, ...]:
        """The run's valid measured cells, lowest load first. Raises NoEvidence."""
        if self.run is None or not self.run.has(Summary):
            raise NoEvidence("no measured run was given: `headroom claims --run RUN`")
        cells = [c for c in self.run.read(Summary).cells if c.conditions.valid]
        if not cells:
            raise NoEvidence("the run has no valid cell")
        return tuple(sorted(cells, key=lambda cell: cell.load_per_s))

    @cached_property
    def bill(self) -> BillArtefact:
        """The scenario's bill."""
        return priced(self.scenario)

    def experiment(self, name: str) -> ExperimentResult:
        """One result of the live experiments. Raises NoEvidence."""
        found = self.experiments.results.get(name) if self.experiments else None
        if found is None:
            raise NoEvidence("it was not tried on a live stack: `headroom claims --live`")
        return found


@dataclass(frozen=True)
class Figure:
    """A named figure.

    Args:
        kind: how it is found.
        unit: of its value.
        meaning: in a reader's words.
        find: from the evidence; raises NoEvidence.
        varied: the same for a changed scenario, where the figure is cheap to find anew.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    find: Callable[[Evidence], Estimate]
    varied: Callable[[Evidence, Scenario], float] | None = None

    @property
    def artefact(self) -> str:
        """The file of a run that holds the figure; a modelled one is found as claims are judged."""
        return _ARTEFACTS.get(self.name.partition(".")[0], "claims.json")


_ARTEFACTS = {
    "model": "prediction.json",
    "run": "summary.json",
    "live": "experiments.json",
    "price": "bill.json",
}


def figures() -> Mapping[str, Figure]:
    """All figures by name."""
    found = (*_of_the_mix(), *_modelled(), *_prices(), *_measured(), *_experiments())
    return {figure.name: figure for figure in found}


def figure_named(name: str, where: str) -> Figure:
    """The figure of that name; raises InvalidScenario listing those that there are."""
    known = figures()
    if name not in known:
        allowed = f"a number of the scenario by its path, or one of {', '.join(sorted(known))}"
        raise InvalidScenario(Problem(where, name, allowed))
    return known[name]


def _read_fraction(scenario: Scenario) -> float:
    return sum(s for o, s in scenario.workload.mix.items() if o not in WRITES)


def _of_the_mix() -> tuple[Figure, ...]:
    return (
        Figure(
            "read_fraction",
            "formula",
            "fraction",
            "share of requests that only read",
            lambda e: Estimate.exact(_read_fraction(e.scenario)),
            lambda _e, s: _read_fraction(s),
        ),
        Figure(
            "peak_load_per_s",
            "formula",
            "req/s",
            "requests a second at the daily peak",
            lambda e: Estimate.exact(e.scenario.workload.peak_load_per_s),
            lambda _e, s: s.workload.peak_load_per_s,
        ),
    )


def _modelled() -> tuple[Figure, ...]:
    ratios = tuple(
        Figure(
            f"hit_ratio.{family}",
            "simulation",
            "fraction",
            f"long-run cache hit ratio of {family}, at a day's mean load",
            partial(_ratio_here, family=family),
            partial(_ratio_of, family=family),
        )
        for family in (*(family.value for family in Family), "all")
    )
    return (
        *ratios,
        Figure(
            "cached_fraction",
            "simulation",
            "fraction",
            "share of all requests that the cache answers",
            lambda e: Estimate.exact(_cached(e, e.scenario)),
            _cached,
        ),
        Figure(
            "model.capacity_per_s",
            "simulation",
            "req/s",
            "load at which the p95 objective is just met, in production",
            lambda e: e.prediction.production.load_per_s,
        ),
        Figure(
            "model.replicas_for_peak",
            "simulation",
            "servers",
            "API servers that carry the daily peak within the p95 objective",
            lambda e: Estimate.exact(e.prediction.replicas_for_peak),
        ),
        Figure(
            "model.p95_s",
            "simulation",
            "s",
            "p95 latency at the daily peak, in production",
            _modelled_p95,
        ),
    )


def _modelled_p95(evidence: Evidence) -> Estimate:
    peak = evidence.scenario.workload.peak_load_per_s
    curve = evidence.prediction.production_curve
    return min(curve, key=lambda point: abs(point.load_per_s - peak)).metrics["p95_s"]


def _ratio(evidence: Evidence, scenario: Scenario, family: str) -> Estimate:
    found = evidence.hit_ratios(scenario).get(family)
    if found is None:
        raise NoEvidence("the topology has no such cache")
    return found


def _ratio_here(evidence: Evidence, family: str) -> Estimate:
    return _ratio(evidence, evidence.scenario, family)


def _ratio_of(evidence: Evidence, scenario: Scenario, family: str) -> float:
    return _ratio(evidence, scenario, family).value


def _cached(evidence: Evidence, scenario: Scenario) -> float:
    """Requests that the cache answers over all requests: looked up or not."""
    looked_up = sum(s for o, s in scenario.workload.mix.items() if o in FAMILY_OF)
    return _ratio(evidence, scenario, "all").value * looked_up


def _prices() -> tuple[Figure, ...]:
    lines = tuple(
        Figure(
            f"price.{component.value}",
            "price book",
            "usd",
            f"dollars a month for {component.value.replace('_', ' ')}",
            partial(_line, component=component),
        )
        for component in BillComponent
    )
    return (
        *lines,
        Figure(
            "price.total", "price book", "usd", "dollars a month in all", lambda e: e.bill.total_usd
        ),
        Figure(
            "price.stated_total",
            "formula",
            "usd",
            "sum of the document's own lines",
            lambda e: Estimate.exact(e.bill.stated_total_usd or 0.0),
        ),
    )


def _line(evidence: Evidence, component: BillComponent) -> Estimate:
    lines = [x.usd_per_month for x in evidence.bill.lines if x.component == component.value]
    if not lines:
        raise NoEvidence(f"the bill has no line for {component.value}")
    return Estimate(
        value=sum(x.value for x in lines),
        low=sum(x.low for x in lines),
        high=sum(x.high for x in lines),
    )


def _measured() -> tuple[Figure, ...]:
    def at_the_peak(evidence: Evidence, metric: str) -> Estimate:
        peak = evidence.scenario.workload.peak_load_per_s
        cells = [c for c in evidence.measured if c.load_per_s >= peak] or [evidence.measured[-1]]
        lowest = cells[0].load_per_s
        found = [c.metrics[metric] for c in cells if c.load_per_s == lowest and metric in c.metrics]
        if not found:
            raise NoEvidence(f"the run did not measure {metric}")
        return Estimate(
            value=sum(x.value for x in found) / len(found),
            low=min(x.low for x in found),
            high=max(x.high for x in found),
        )

    def errors(evidence: Evidence) -> Estimate:
        cells = evidence.measured
        requests = sum(c.requests for c in cells)
        failed = sum(round(c.metrics["error_fraction"].value * c.requests) for c in cells)
        return wilson(failed, requests)

    return (
        Figure(
            "run.p95_s",
            "live run",
            "s",
            "p95 latency measured at the load nearest above the daily peak",
            lambda e: at_the_peak(e, "p95_s"),
        ),
        Figure(
            "run.error_fraction",
            "live run",
            "fraction",
            "share of all offered requests that failed",
            errors,
        ),
    )


# Name -> (unit, meaning): what `headroom.claims.experiments` finds on the live stack.
EXPERIMENTS: Mapping[str, tuple[str, str]] = {
    "live.offset_over_cursor": ("×", "time of offset page 1,000 over a cursor page as deep"),
    "live.offset_depth_cost": ("×", "time of offset page 1,000 over the first page"),
    "live.text_over_elasticsearch": ("×", "time of a $text search over one by Elasticsearch"),
    "live.text_typo_recall": ("fraction", "mistyped searches that $text answers with the product"),
    "live.elasticsearch_typo_recall": ("fraction", "the same by Elasticsearch"),
    "live.cached_speedup": ("×", "time of a list page from the database over one from the cache"),
    "live.hit_ratio": ("fraction", "hit ratio over all look-ups, time compressed, warm cache"),
    "live.database_relief": ("×", "look-ups over those that reached the database"),
    "live.failover_s": ("s", "time without an acknowledged write after the primary was killed"),
    "live.lost_writes": ("writes", "acknowledged writes that were gone after the failover"),
    "live.access_token_s": ("s", "lifetime of an access token"),
    "live.listing_ttl_s": ("s", "longest life of a cached list page"),
    "live.favourites_ttl_s": ("s", "longest life of a user's cached favourites"),
    "live.search_ttl_s": ("s", "longest life of a cached search"),
    "live.index_lag_s": ("s", "from a product's update until a search shows it"),
    "live.stale_reads": ("reads", "old values read right after an acknowledged update"),
}


def _experiments() -> tuple[Figure, ...]:
    return tuple(
        Figure(
            name,
            "live run",
            unit,
            meaning,
            partial(_tried, name=name),
        )
        for name, (unit, meaning) in EXPERIMENTS.items()
    )


def _tried(evidence: Evidence, name: str) -> Estimate:
    return evidence.experiment(name).value
