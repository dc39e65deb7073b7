"""One visit to the explorer: the design under the controls, the pinned baseline, what went wrong.

Knows nothing of browsers: the widget hands it what the page asks for, tests do the same.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headroom.artefacts import Run
from headroom.errors import HeadroomError
from headroom.explorer import pictures
from headroom.explorer.controls import Design, controls_of
from headroom.explorer.evidence import evidence_of, last_run
from headroom.explorer.figures import figures_of
from headroom.explorer.pictures import Seen
from headroom.explorer.refining import Refined, refined
from headroom.explorer.words import cards, chances, verdict
from sim.errors import InvalidScenario, SimError
from sim.scenario import Scenario
from sim.scenario_file import load_scenario, parse_scenario


class Exploration:
    """A scenario under exploration.

    Args:
        scenario: where it begins, and the first baseline.
        scenarios: files to choose from, by name.
        run: a calibrated run, for its demands and what it measured.
        runs: where the last measured run of each scenario is looked for, in place of `run`;
            without one, the shipped example's demands are taken, as an assumption.
    Raises: InvalidScenario where not even the first scenario can be modelled.
    """

    def __init__(
        self,
        scenario: Scenario,
        scenarios: Mapping[str, Path] | None = None,
        run: Run | None = None,
        *,
        runs: Path | None = None,
    ) -> None:
        self.scenarios, self.runs = dict(scenarios or {}), runs
        self.evidence = evidence_of(run or last_run(runs, scenario.name))
        self.problems: tuple[str, ...] = ()
        self.problem_at: str | None = None
        self._begin(scenario, self._modelled(Design(scenario)))

    def _modelled(self, design: Design) -> Seen:
        return Seen(figures_of(design.scenario, self.evidence.demands))

    def _begin(self, scenario: Scenario, seen: Seen) -> None:
        self.start, self.design, self.seen = scenario, Design(scenario), seen
        self.baseline_name, self.baseline = scenario.name, seen

    @property
    def scenario(self) -> Scenario:
        """The scenario as the controls have it, grown."""
        return self.design.scenario

    def set(self, name: str, value: object) -> None:
        """Move one control; on bad input the design stays and `problems` says why."""

        def move() -> None:
            design = self.design.with_value(name, value)
            self.design, self.seen = design, self._modelled(design)

        self._try(move, name)

    def choose(self, name: str) -> None:
        """Begin anew with one of the scenarios."""

        def begin() -> None:
            if name not in self.scenarios:
                raise HeadroomError(f"no scenario {name!r}; there are {', '.join(self.scenarios)}")
            scenario = load_scenario(self.scenarios[name])
            run = last_run(self.runs, scenario.name)
            evidence = self.evidence if run is None else evidence_of(run)
            seen = Seen(figures_of(scenario, evidence.demands))
            self.evidence = evidence
            self._begin(scenario, seen)

        self._try(begin)

    def load(self, text: str, source: str = "scenario") -> None:
        """Go on with a scenario given as YAML text; the baseline stays."""

        def begin() -> None:
            scenario = parse_scenario(text, source)
            seen = self._modelled(Design(scenario))
            self.start, self.design, self.seen = scenario, Design(scenario), seen

        self._try(begin)

    def reset(self) -> None:
        """Back to the scenario that was chosen or loaded."""

        def begin() -> None:
            design = Design(self.start)
            self.design, self.seen = design, self._modelled(design)

        self._try(begin)

    def pin(self) -> None:
        """Make what is shown the baseline."""
        self.baseline, self.baseline_name = self.seen, f"{self.scenario.name}, pinned"
        self.problems, self.problem_at = (), None

    def _try(self, change: Callable[[], None], name: str | None = None) -> None:
        try:
            change()
        except InvalidScenario as error:
            where = f"{error.source}: " if error.source else ""
            self.problems = tuple(f"{where}{problem}" for problem in error.problems)
            self.problem_at = name
        except (SimError, HeadroomError) as error:
            self.problems, self.problem_at = (str(error),), name
        else:
            self.problems, self.problem_at = (), None

    def refinement(self) -> tuple[Design, Iterator[Refined]]:
        """What takes longer, step by step; each step is to be handed to `accept`."""
        needed = self.seen.figures.api_needed
        steps = refined(
            self.design.scenario, self.evidence.demands, self.evidence.calibration, needed
        )
        return self.design, steps

    def accept(self, design: Design, found: Refined) -> bool:
        """Show a step of a refinement, unless the design has changed since."""
        if self.design is not design:
            return False
        pinned = self.baseline is self.seen
        self.seen = replace(self.seen, refined=found)
        if pinned:
            self.baseline = self.seen
        return True

    def view(self) -> dict[str, Any]:
        """All that the page shows, as plain data."""
        scenario, now = self.scenario, self.seen
        before = None if self.baseline is self.seen else self.baseline
        objectives, figures = scenario.objectives, now.figures
        return {
            "scenario": scenario.name,
            "question": scenario.question,
            "scenarios": list(self.scenarios),
            "baseline": self.baseline_name,
            "status": "PASS" if figures.holds else "FAIL",
            "verdict": verdict(scenario, now),
            "chances": chances(figures),
            "cards": cards(scenario, now, before),
            "controls": [control.model_dump() for control in controls_of(self.design)],
            "problems": list(self.problems),
            "problem_at": self.problem_at,
            "demands": self.evidence.demands.measured_on,
            "assumed": self.evidence.demands.assumed,
            "complete": now.refined.complete,
            "pictures": {
                "latency": pictures.latency(now, before, objectives.p95_s, self.evidence.cells),
                "hit-ratio": pictures.hit_ratios(
                    now, before, objectives.hit_ratio_fraction, self.evidence.hit_ratios or {}
                ),
                "headroom": pictures.spare(now, before),
                "bill": pictures.monthly_bill(now, before),
                "availability": pictures.lost_minutes(
                    now, before, objectives.availability_fraction
                ),
            },
        }
