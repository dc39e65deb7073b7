"""The figures that a claim may speak of, and where each comes from.

Besides these, every number of the scenario has its path as a name: `workload.requests_per_session`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from headroom.artefacts import BillArtefact, Estimate
from headroom.claims.evidence import Evidence, NoEvidence
from headroom.claims.live_figures import EXPERIMENTS
from headroom.price import priced
from headroom.proportion import wilson
from sim.cost import CreditDay, api_credit_day
from sim.errors import InvalidScenario, Problem
from sim.scenario import FAMILY_OF, WRITES, BillComponent, Family, Scenario

Kind = Literal["formula", "simulation", "price book", "live run"]


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
    "uptime": "availability.json",
}


def figures() -> Mapping[str, Figure]:
    """All figures by name."""
    found = (
        *_of_the_mix(),
        *_modelled(),
        *_credits(),
        *_uptime(),
        *_prices(),
        *_measured(),
        *_experiments(),
    )
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
        Figure(
            "model.replicas_for_concurrent_users",
            "simulation",
            "servers",
            "API servers that carry the scenario's concurrent users",
            _replicas_for_users,
        ),
    )


def _replicas_for_users(evidence: Evidence) -> Estimate:
    found = evidence.prediction.replicas_for_concurrent_users
    if found is None:
        raise NoEvidence("the scenario has no objective of concurrent users")
    return Estimate.exact(found)


def _credits() -> tuple[Figure, ...]:
    return (
        Figure(
            "credits.spent_fraction",
            "simulation",
            "fraction",
            "CPU credits an API server spends in a day over those it earns",
            lambda e: _at_each_cpu_time(e, _spent),
            lambda e, s: _spent(s, e.api_cpu_s.value),
        ),
        Figure(
            "credits.dry_fraction",
            "simulation",
            "fraction",
            "share of the day that an API server wants credits and has none",
            lambda e: _at_each_cpu_time(e, _dry),
            lambda e, s: _dry(s, e.api_cpu_s.value),
        ),
    )


def _at_each_cpu_time(evidence: Evidence, figure: Callable[[Scenario, float], float]) -> Estimate:
    cpu_s = evidence.api_cpu_s
    return Estimate(
        value=figure(evidence.scenario, cpu_s.value),
        low=figure(evidence.scenario, cpu_s.low),
        high=figure(evidence.scenario, cpu_s.high),
    )


def _credit_day(scenario: Scenario, cpu_s: float) -> CreditDay:
    day = api_credit_day(scenario, cpu_s)
    if day is None:
        raise NoEvidence(f"{scenario.topology.api.instance_type} has no CPU credits")
    return day


def _spent(scenario: Scenario, cpu_s: float) -> float:
    day = _credit_day(scenario, cpu_s)
    return (day.spent + day.withheld) / day.earned


def _dry(scenario: Scenario, cpu_s: float) -> float:
    return _credit_day(scenario, cpu_s).dry_fraction


def _uptime() -> tuple[Figure, ...]:
    return (
        Figure(
            "uptime.mean",
            "simulation",
            "uptime",
            "mean availability over simulated months, on assumed failure rates",
            lambda e: e.availability.uptime_mean,
        ),
        Figure(
            "uptime.months_within_objective",
            "simulation",
            "fraction",
            "simulated months that keep the scenario's availability objective",
            lambda e: e.availability.months_within_budget,
        ),
        Figure(
            "uptime.promised",
            "price book",
            "uptime",
            "the providers' agreements for the parts a request needs, composed",
            lambda e: Estimate.exact(e.availability.promised_fraction),
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
            partial(_line_of, component=component),
        )
        for component in BillComponent
    )
    return (
        *lines,
        Figure(
            "price.total",
            "price book",
            "usd",
            "dollars a month in all",
            lambda e: e.bill.total_usd,
            lambda _e, s: priced(s).total_usd.value,
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
    return _line_in(evidence.bill, component)


def _line_of(_evidence: Evidence, scenario: Scenario, component: BillComponent) -> float:
    return _line_in(priced(scenario), component).value


def _line_in(bill: BillArtefact, component: BillComponent) -> Estimate:
    lines = [x.usd_per_month for x in bill.lines if x.component == component.value]
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
