"""The same scenario with some fields changed, validated like a scenario file."""

from collections.abc import Mapping
from typing import Any

from sim.errors import InvalidScenario, Problem
from sim.scenario import Scenario
from sim.scenario_file import scenario_from


def variant(scenario: Scenario, changes: Mapping[str, object]) -> Scenario:
    """A copy of a scenario with the fields at dotted paths replaced.

    Raises: InvalidScenario naming the path that does not exist or the value that is not allowed.
    """
    data = scenario.model_dump(mode="json")
    for path, value in changes.items():
        section: Any = data
        *above, last = path.split(".")
        for name in above:
            section = section.get(name) if isinstance(section, dict) else None
        if not isinstance(section, dict):
            raise InvalidScenario(
                Problem(path, value, "a path of the scenario, such as workload.mix")
            )
        section[last] = value
    return scenario_from(data, source=f"{scenario.name}, changed")
