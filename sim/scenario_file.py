"""Scenario files: YAML in, one clear error per fault out."""

from pathlib import Path
from typing import Any

import yaml

from sim.checked_yaml import checked, load_checked, parse_checked
from sim.scenario import Scenario


def load_scenario(path: Path) -> Scenario:
    """Read and validate a scenario file.

    Args:
        path: a YAML file.
    Returns: the scenario.
    Raises: InvalidScenario naming every fault, its line and what is allowed.
    Source: `Scenario`.

    >>> load_scenario(Path("no-such.yaml"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidScenario: no-such.yaml: ...
    """
    return load_checked(Scenario, path)


def parse_scenario(text: str, source: str = "scenario") -> Scenario:
    """Validate a scenario given as YAML text.

    Args:
        text: YAML.
        source: its name in errors.
    Returns: the scenario.
    Raises: InvalidScenario as `load_scenario` does.
    Source: `Scenario`.

    >>> from sim.example import SHOP
    >>> parse_scenario(SHOP).workload.requests_per_day  # 864,000 × 0.1 × 10
    864000.0
    """
    return parse_checked(Scenario, text, source)


def scenario_from(data: dict[str, Any], source: str = "scenario") -> Scenario:
    """Validate a scenario given as plain data (as YAML or JSON gives it).

    Args:
        data: a mapping.
        source: its name in errors.
    Returns: the scenario.
    Raises: InvalidScenario as `load_scenario` does.
    Source: `Scenario`.

    >>> from sim.example import shop
    >>> scenario_from(shop().model_dump(mode="json")) == shop()
    True
    """
    return checked(Scenario, data, source)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file, for editors.

    Returns: a JSON Schema; scenarios/scenario.schema.json holds it.
    Source: the fields of `Scenario`.

    >>> json_schema()["title"]
    'Scenario'
    """
    return Scenario.model_json_schema()


def dump_yaml(scenario: Scenario) -> str:
    """The scenario as YAML text that `parse_scenario` reads back to an equal object.

    Args:
        scenario: what to write.
    Returns: YAML, all fields, defaults included.
    Source: `Scenario`.

    >>> from sim.example import shop
    >>> parse_scenario(dump_yaml(shop())) == shop()
    True
    """
    return yaml.safe_dump(scenario.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
