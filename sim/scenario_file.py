"""Scenario files: YAML in, one clear error per fault out."""

from pathlib import Path
from typing import Any

import yaml

from sim.checked_yaml import checked, load_checked, parse_checked
from sim.scenario import Scenario


def load_scenario(path: Path) -> Scenario:
    """Read and validate a scenario file; raises InvalidScenario naming every fault and its line."""
    return load_checked(Scenario, path)


def parse_scenario(text: str, source: str = "scenario") -> Scenario:
    """Validate a scenario given as YAML text; raises InvalidScenario as `load_scenario` does."""
    return parse_checked(Scenario, text, source)


def scenario_from(data: dict[str, Any], source: str = "scenario") -> Scenario:
    """Validate plain data (as YAML or JSON gives it); raises InvalidScenario."""
    return checked(Scenario, data, source)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file, for editors."""
    return Scenario.model_json_schema()


def dump_yaml(scenario: Scenario) -> str:
    """The scenario as YAML text that `parse_scenario` reads back to an equal object."""
    return yaml.safe_dump(scenario.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
