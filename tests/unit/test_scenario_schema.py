"""The schema beside the scenarios, for editors."""

import json
from pathlib import Path

import pytest

from sim.scenario_file import json_schema

SCENARIOS = Path(__file__).parents[2] / "scenarios"


def test_the_schema_beside_the_scenarios_is_that_of_the_code() -> None:
    stored = json.loads((SCENARIOS / "scenario.schema.json").read_text(encoding="utf-8"))
    assert stored == json_schema(), "out of date: make schema"


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_tells_editors_its_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=scenario.schema.json"
