"""A broken scenario gives one error that names the place, the value and what is allowed."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InvalidScenario, Problem
from sim.scenario import Scenario
from sim.scenario_file import dump_yaml, json_schema, load_scenario, parse_scenario, scenario_from

SCENARIOS = Path(__file__).parents[2] / "scenarios"
LAPTOP = (SCENARIOS / "laptop.yaml").read_text(encoding="utf-8")


def the_problem(text: str) -> Problem:
    """The one fault found in a scenario's text."""
    with pytest.raises(InvalidScenario) as caught:
        parse_scenario(text, source="broken.yaml")
    assert caught.value.source == "broken.yaml"
    (problem,) = caught.value.problems
    return problem


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


BROKEN = {
    "unknown key": ("p95_s: 0.2", "p99: 3, p95_s: 0.2", "objectives.p99", "p99", "p95_s"),
    "unknown key of a cached family": (
        "listing: {ttl_s: 30}",
        "listing: {ttl_s: 30, ttl: 3}",
        "topology.cache.families.listing.ttl",
        "ttl",
        "one of ttl_s, cleared_by_product_update, ttl_jitter_fraction",
    ),
    "unknown family": (
        "listing: {ttl_s: 30}",
        "lists: {ttl_s: 30}",
        "topology.cache.families.lists",
        "lists",
        "'listing', 'search' or 'favourites'",
    ),
    "negative rate": (
        "requests_per_session: 5",
        "requests_per_session: -5",
        "workload.requests_per_session",
        -5,
        "greater than 0",
    ),
    "negative load": (
        "[10, 20, 40, 80]",
        "[10, -20, 40, 80]",
        "experiment.loads_per_s.1",
        -20,
        "greater than 0",
    ),
    "too few loads": (
        "[10, 20, 40, 80]",
        "[10, 20, 40]",
        "experiment.loads_per_s",
        [10, 20, 40],
        "at least 4 items",
    ),
    "TTL as text": (
        "ttl_s: 30",
        "ttl_s: 30s",
        "topology.cache.families.listing.ttl_s",
        "30s",
        "a number of seconds, without a unit, such as 300",
    ),
    "no replicas": ("replicas: 2", "replicas: 0", "topology.api.replicas", 0, "equal to 1"),
    "half a replica": ("replicas: 2", "replicas: 2.5", "topology.api.replicas", 2.5, "integer"),
    "an even replica set": ("members: 3", "members: 2", "topology.database.members", 2, "1, 3, 5"),
    "infinity": (
        "cell_s: 8",
        "cell_s: .inf",
        "experiment.cell_s",
        float("inf"),
        "a finite number",
    ),
    "unknown operation": ("list: 0.35", "lst: 0.35", "workload.mix.lst", "lst", "'list'"),
    "uncertainty of no field": (
        "objectives:",
        "uncertainty: {workload.users: {low: 1, high: 2}}\nobjectives:",
        "uncertainty.workload.users",
        "workload.users",
        "the path of a number",
    ),
    "uncertainty of a text": (
        "objectives:",
        "uncertainty: {question: {low: 1, high: 2}}\nobjectives:",
        "uncertainty.question",
        "question",
        "the path of a number",
    ),
    "an interval upside down": (
        "objectives:",
        "uncertainty: {workload.registered_users: {low: 3, high: 2}}\nobjectives:",
        "uncertainty.workload.registered_users",
        {"low": 3, "high": 2},
        "`low` is larger than `high`",
    ),
    "a key twice": (
        "replicas: 2",
        "replicas: 2, replicas: 3",
        "file",
        "the key replicas twice",
        "well-formed YAML",
    ),
    "an alias": ("name: laptop", "name: &a [*a]", "file", "an alias", "well-formed YAML"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_fault_is_named_with_its_place_line_value_and_what_is_allowed(fault: str) -> None:
    old, new, path, value, allowed = BROKEN[fault]
    text = LAPTOP.replace(old, new, 1)
    assert text != LAPTOP
    problem = the_problem(text)
    assert (problem.path, problem.value) == (path, value)
    assert allowed in problem.allowed
    assert problem.line == line_of(text, new)
    assert str(problem).startswith(f"{path} (line {problem.line}): ")


def test_not_a_number_is_refused_and_shown() -> None:
    problem = the_problem(LAPTOP.replace("cell_s: 8", "cell_s: .nan"))
    assert (problem.path, repr(problem.value)) == ("experiment.cell_s", "nan")
    assert problem.allowed == "a finite number"


def test_a_load_too_low_for_its_cell_to_have_requests_is_refused() -> None:
    problem = the_problem(LAPTOP.replace("[10, 20, 40, 80]", "[1, 20, 40, 80]"))
    assert (problem.path, problem.value) == ("experiment.loads_per_s", 1)
    assert "loads of at least 2.5 requests/s" in problem.allowed


def test_a_mix_that_does_not_sum_to_one_is_refused_with_its_sum() -> None:
    problem = the_problem(LAPTOP.replace("list: 0.35", "list: 0.30"))
    assert (problem.path, problem.line) == ("workload.mix", line_of(LAPTOP, "  mix:"))
    assert problem.allowed == "fractions that sum to 1; these sum to 0.95"
    assert '"list": 0.3' in str(problem.value)


def test_a_missing_field_is_named_with_the_line_of_its_section() -> None:
    problem = the_problem(LAPTOP.replace("  requests_per_session: 5\n", ""))
    assert problem == Problem(
        "workload.requests_per_session",
        None,
        "a value; this field is required",
        line_of(LAPTOP, "workload:"),
    )


def test_every_fault_of_a_file_is_reported_at_once() -> None:
    text = LAPTOP.replace("replicas: 2", "replicas: 0").replace("p95_s: 0.2", "p95_s: soon")
    with pytest.raises(InvalidScenario) as caught:
        parse_scenario(text)
    assert {problem.path for problem in caught.value.problems} == {
        "topology.api.replicas",
        "objectives.p95_s",
    }


def test_a_huge_value_is_shown_in_brief() -> None:
    problem = the_problem(
        LAPTOP.replace("registered_users: 100000", f"registered_users: {10**300}")
    )
    assert problem.path == "workload.registered_users"
    assert len(str(problem)) < 200


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "a: b: c",
        "\x00",
        "a: 1\n---\nb: 1",
        "!!python/object/apply:os.getcwd []",
        "{" * 2000,
        "? {a: 1}\n: 1",
        "day: 2026-99-99",
        f"users: {'1' * 5000}",
    ],
)
def test_what_is_no_yaml_mapping_is_refused_as_a_file(text: str) -> None:
    problem = the_problem(text)
    assert problem.path == "file"
    assert "YAML" in problem.allowed or "mapping" in problem.allowed


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00binary", b""])
def test_an_unreadable_file_is_one_error_that_names_it(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "scenario.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidScenario) as caught:
        load_scenario(path)
    (problem,) = caught.value.problems
    assert (problem.path, caught.value.source) == ("file", str(path))


def test_a_folder_is_no_scenario(tmp_path: Path) -> None:
    with pytest.raises(InvalidScenario, match="a readable YAML file"):
        load_scenario(tmp_path)


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_scenarios_at_hand_survive_being_written_and_read(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert parse_scenario(dump_yaml(scenario)) == scenario


@given(
    users=st.integers(1, 10**12),
    rate=st.floats(1e-6, 1e6),
    ttl_s=st.floats(1e-3, 1e6),
    question=st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=40),
    loads=st.lists(st.floats(2.5, 1e4), min_size=4, max_size=6),  # 8 s of it: 20 requests
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_scenario_survives_being_written_and_read(
    users: int, rate: float, ttl_s: float, question: str, loads: list[float]
) -> None:
    data = parse_scenario(LAPTOP).model_dump(mode="json")
    data["workload"] |= {"registered_users": users, "requests_per_session": rate}
    data["topology"]["cache"]["families"]["listing"]["ttl_s"] = ttl_s
    data["question"] = question
    data["experiment"]["loads_per_s"] = loads
    scenario = scenario_from(data)
    assert scenario.experiment.loads_per_s == tuple(loads)
    assert parse_scenario(dump_yaml(scenario)) == scenario


def test_the_schema_for_editors_names_every_section() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(Scenario.model_fields)
    assert schema["additionalProperties"] is False
