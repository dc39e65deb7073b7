"""The explorer's figures are those of the commands; its input is checked like a scenario file."""

import json
from pathlib import Path

import nbformat
import pytest

import headroom as hr
from headroom.artefacts import Estimate
from headroom.availability import available
from headroom.explorer.controls import Design, controls_of
from headroom.explorer.evidence import evidence_of, last_run
from headroom.explorer.exploration import Exploration
from headroom.explorer.exporting import differences, notebook_text, yaml_text
from headroom.explorer.figures import figures_of, planner_of, spread
from headroom.explorer.pictures import Seen, latency
from headroom.explorer.refining import refined
from headroom.load_cost import api_cpu_of, triple
from headroom.plan import example_demands
from headroom.predict import steady_hit_ratios
from headroom.price import priced
from headroom.variants import variant
from headroom.whatif import what_ifs
from sim.cost import price_book
from sim.errors import InvalidScenario
from sim.plan import own_candidate
from sim.plan.effects import growth_that_fits
from sim.scenario import Scenario
from sim.scenario_file import dump_yaml, load_scenario, parse_scenario

FOLDER = Path(__file__).parents[2] / "scenarios"
FILES = {path.stem: path for path in FOLDER.glob("*.yaml")}
MOVED = {
    "as it stands": {},
    "busy": {"workload.registered_users": 30_000_000, "topology.api.replicas": 2},
    "another cache": {
        "topology.cache.families.listing.ttl_s": 30.0,
        "topology.cache.instance_type": "cache.t3.medium",
        "topology.database.read_from_secondaries": ["detail", "list"],
    },
    "no cache": {"topology.cache": None},
}


@pytest.fixture(scope="module")
def million() -> Scenario:
    return load_scenario(FILES["million-users"])


@pytest.fixture
def exploration(million: Scenario) -> Exploration:
    return Exploration(million, FILES)


@pytest.mark.parametrize("changes", MOVED.values(), ids=list(MOVED))
def test_figures_equal_those_of_whatif_predict_price_and_availability(
    million: Scenario, changes: dict[str, object]
) -> None:
    scenario, demands = variant(million, changes), example_demands()
    found = figures_of(scenario, demands)
    effect = what_ifs(scenario, demands, lambda _line: None, ["growth"]).effects[0]
    assert found.p95_s.value == pytest.approx(effect.p95_s.before)
    assert found.availability.value == pytest.approx(effect.availability.before)
    errors = next(each for each in found.objectives if each.name == "error_fraction")
    assert errors.reached.value == pytest.approx(effect.error_fraction.before)
    planner, own = planner_of(scenario, demands), own_candidate(scenario)
    room = spread(growth_that_fits(planner, own)).value
    assert room == pytest.approx(effect.headroom_fraction.before + 1.0)
    bill = priced(scenario, api_cpu_s=triple(api_cpu_of(scenario, demands)))
    assert found.bill.total_usd == bill.total_usd
    assert {name: each.value for name, each in found.hit_ratio.items()} == pytest.approx(
        {name: each.value for name, each in steady_hit_ratios(scenario).items()}
    )


def test_the_curve_at_the_peak_is_the_p95_at_the_peak(million: Scenario) -> None:
    certain = variant(million, {"uncertainty": {}})
    found = figures_of(certain, example_demands())
    place = found.curve.load_per_s.index(pytest.approx(certain.workload.peak_load_per_s))
    assert found.curve.p95_s[place].value == pytest.approx(found.p95_s.value)
    assert found.curve.p95_s[place].low == pytest.approx(found.p95_s.low)


def test_the_engine_and_the_simulated_months_are_those_of_the_commands(million: Scenario) -> None:
    from headroom.demands import Target
    from headroom.predict import LoadSearch

    known = evidence_of(None)
    steps = refined(million, known.demands, known.calibration, api_needed=2)
    *_, third = (next(steps) for _ in range(3))
    peak = million.workload.peak_load_per_s
    search = LoadSearch(million, known.calibration, Target.PRODUCTION)
    assert third.at_peak == search.point(peak)
    book = price_book(million.prices.book)
    expected = available(million, book, api_needed=2)
    assert third.availability is not None
    stamp = {"created_at": expected.created_at}
    assert third.availability.model_copy(update=stamp) == expected


def test_what_leaves_as_a_file_and_comes_back_gives_the_same_figures(
    exploration: Exploration,
) -> None:
    exploration.set("growth", 3.0)
    exploration.set("workload.mix.search", 40.0)
    exploration.set("topology.database.read_from_secondaries.detail", True)
    text, before = yaml_text(exploration.scenario), exploration.view()
    again = Exploration(parse_scenario(text), FILES)
    assert again.scenario == exploration.scenario
    assert again.view()["cards"] == [card | {"was": ""} for card in before["cards"]]
    assert again.scenario.workload.registered_users == 3_000_000
    assert again.scenario.prices.egress_gib_per_month == 3_000.0


def test_the_notebook_that_leaves_builds_the_same_scenario(exploration: Exploration) -> None:
    exploration.set("topology.api.replicas", 5)
    exploration.set("workload.mix.detail", 60.0)
    exploration.set("topology.cache.instance_type", "none")
    notebook = nbformat.reads(notebook_text(exploration), as_version=4)
    space: dict[str, object] = {}
    exec(notebook.cells[1].source, space)
    assert dump_yaml(space["s"]) == dump_yaml(exploration.scenario)  # type: ignore[arg-type]
    assert len(json.dumps(notebook)) < 4_000


def test_a_notebook_of_a_scenario_without_a_file_holds_its_whole_text(million: Scenario) -> None:
    odd = 'Does "it" \\ carry """this"""?'
    exploration = Exploration(variant(million, {"name": "my-own", "question": odd}), FILES)
    space: dict[str, object] = {}
    exec(nbformat.reads(notebook_text(exploration), as_version=4).cells[1].source, space)
    assert space["s"] == exploration.scenario


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("topology.api.replicas", 0, "greater than or equal to 1"),
        ("topology.api.replicas", "many", "a valid integer"),
        ("workload.registered_users", 1.5, "a valid integer"),
        ("topology.database.members", 2, "1, 3, 5 or 7"),
        ("topology.cache.families.search.ttl_s", -3, "greater than 0"),
        ("workload.requests_per_session", "five", "a valid number"),
    ],
)
def test_bad_input_gives_the_error_of_the_scenario_file_and_keeps_the_figures(
    exploration: Exploration, name: str, value: object, allowed: str
) -> None:
    before = exploration.view()
    exploration.set(name, value)
    with pytest.raises(InvalidScenario) as refused:
        variant(exploration.scenario, {name: value})
    (problem,) = exploration.problems
    assert problem == str(refused.value)
    assert name in problem
    assert repr(value) in problem
    assert allowed in problem
    after = exploration.view()
    assert after["problem_at"] == name
    assert after["cards"] == before["cards"]
    exploration.set("topology.api.replicas", 4)
    assert exploration.problems == ()


def test_a_share_of_the_mix_makes_the_others_room_and_more_than_all_is_refused(
    exploration: Exploration,
) -> None:
    exploration.set("workload.mix.search", 50.0)
    mix = exploration.scenario.workload.mix
    assert mix["search"] == 0.5  # type: ignore[index]
    assert sum(mix.values()) == pytest.approx(1.0)
    assert mix["list"] / mix["detail"] == pytest.approx(0.22 / 0.23, rel=1e-4)  # type: ignore[index]
    exploration.set("workload.mix.search", 150.0)
    assert "fractions that sum to 1" in exploration.problems[0]


def test_every_control_can_be_moved_and_says_what_it_moved(million: Scenario) -> None:
    design = Design(million)
    for control in controls_of(design):
        match control.kind:
            case "menu":
                other = next(o for o in control.options if o not in (str(control.value), "none"))
                value: object = int(other) if isinstance(control.value, int) else other
            case "check":
                value = not control.value
            case _:
                value = 2 if control.is_whole else 0.5
        if control.name == "workload.profile.peak_to_mean":
            value = 2.0
        now = {
            each.name: each.value for each in controls_of(design.with_value(control.name, value))
        }
        assert now.pop(control.name) == value
        kept = {each.name: each.value for each in controls_of(design) if each.name in now}
        assert control.group == "Mix of requests" or now == kept


def test_a_cache_taken_away_and_put_back_is_the_one_it_was(million: Scenario) -> None:
    without = Design(million).with_value("topology.cache.instance_type", "none")
    assert without.scenario.topology.cache is None
    again = without.with_value("topology.cache.instance_type", "cache.m5.large")
    assert again.scenario == million


def test_a_loaded_file_with_faults_names_each_with_its_line(exploration: Exploration) -> None:
    text = dump_yaml(exploration.scenario).replace("replicas: 3", "replicas: lots")
    exploration.load(text, "mine.yaml")
    with pytest.raises(InvalidScenario) as refused:
        parse_scenario(text, "mine.yaml")
    assert exploration.problems == (str(refused.value),)
    assert "(line " in exploration.problems[0]
    assert exploration.scenario.topology.api.replicas == 3


def test_a_pinned_baseline_stays_while_the_design_moves(exploration: Exploration) -> None:
    exploration.set("topology.api.replicas", 6)
    exploration.pin()
    assert all(card["was"] == "" for card in exploration.view()["cards"])
    exploration.set("topology.api.replicas", 12)
    bill = next(card for card in exploration.view()["cards"] if card["name"] == "bill")
    assert bill["was"] == "baseline $907"
    assert bill["value"] != "$907"


def test_a_step_that_comes_after_a_move_is_thrown_away(exploration: Exploration) -> None:
    design, steps = exploration.refinement()
    first = next(steps)
    assert exploration.accept(design, first)
    assert "it carries" in exploration.view()["verdict"]
    exploration.set("topology.api.replicas", 4)
    assert not exploration.accept(design, first)
    assert exploration.seen.refined.growth is None


def test_measured_points_are_drawn_beside_the_modelled_lines_and_called_those_of_this_machine(
    tmp_path: Path,
) -> None:
    from example_run import example_run

    run = example_run(tmp_path)
    run.write_comparison(run.read_comparison())
    assert last_run(tmp_path, "another") is None
    found = last_run(tmp_path, run.scenario.name)
    assert found is not None
    known = evidence_of(found)
    own = [cell for cell in known.cells if cell.metric == "p95_s"]
    assert own
    picture = latency(Seen(figures_of(run.scenario, example_demands())), None, 0.2, known.cells)
    points = [t for t in picture["data"] if t["mode"] == "markers"]
    assert points[0]["y"] == [cell.measured * 1000 for cell in own]
    assert "not in production" in points[0]["name"]
    assert "not production" in picture["caption"]
    told = [note["text"] for note in picture["layout"]["annotations"]]
    assert "this machine" in told
    assert all(isinstance(each, Estimate) for each in (known.hit_ratios or {}).values())


def test_paths_stop_at_names_with_dots() -> None:
    old = {"uncertainty": {"workload.x": 1}, "a": {"b": None}}
    new = {"uncertainty": {"workload.x": 2}, "a": {"b": {"c": 1}}}
    assert dict(differences(old, new)) == {"uncertainty": {"workload.x": 2}, "a.b": {"c": 1}}


def test_a_notebook_gets_the_page_with_its_theme_and_first_view() -> None:
    page = hr.explore("million-users")
    assert page.view["scenario"] == "million-users"
    assert set(page.view["pictures"]) == {
        "latency", "hit-ratio", "headroom", "bill", "availability",
    }  # fmt: skip
    assert json.loads(page.look)["layout"]["font"]["size"] == 13
    page._heard(page, {"do": "set", "name": "topology.api.replicas", "value": 9, "seq": 4}, [])
    assert page.view["seq"] == 4
    assert "9 × t3.medium" in page.exploration.seen.figures.architecture
