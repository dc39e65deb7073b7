"""What claims are tested against: a scenario, a run of it, what was tried on the live stack."""

from dataclasses import dataclass
from functools import cached_property

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
from headroom.availability import AvailabilityArtefact, available
from headroom.load_cost import api_cpu_of, api_demand_of
from headroom.plan import example_demands
from headroom.predict import steady_hit_ratios
from headroom.price import priced
from sim.cost import price_book
from sim.scenario import Scenario


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

    @cached_property
    def availability(self) -> AvailabilityArtefact:
        """Simulated months: the run's own, or simulated now for the API servers that one needs."""
        if self.run is not None and self.run.has(AvailabilityArtefact):
            return self.run.read(AvailabilityArtefact)
        return available(self.scenario, price_book(self.scenario.prices.book))

    @cached_property
    def api_cpu_s(self) -> Estimate:
        """The API's CPU time for a request of the mix: calibrated by the run, else assumed."""
        hits = {name: ratio.value for name, ratio in self.hit_ratios(self.scenario).items()}
        if self.run is not None:
            return api_demand_of(self.run, hits)[0]
        return api_cpu_of(self.scenario, example_demands(), hits)

    def experiment(self, name: str) -> ExperimentResult:
        """One result of the live experiments. Raises NoEvidence."""
        found = self.experiments.results.get(name) if self.experiments else None
        if found is None:
            raise NoEvidence("it was not tried on a live stack: `headroom claims --live`")
        return found
