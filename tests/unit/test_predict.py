"""The blind prediction, from a made-up calibration."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from example_run import around, conditions

from headroom import predict as subject
from headroom.artefacts import Calibration, Demand, Estimate, Prediction, Run, Singles
from headroom.demands import Target, classes_of, speed_ratio
from headroom.errors import ArtefactError
from headroom.predict import predict, steady_hit_ratios
from sim.scenario import Scenario
from sim.scenario_file import parse_scenario

SCENARIO = """
name: made-up
question: What does the model make of invented demands?
workload:
  registered_users: 500000
  daily_active_fraction: 0.2
  requests_per_session: 20
  mix: {list: 0.5, detail: 0.4, search: 0.1}
  catalogue: {products: 400, users: 40, categories: 5, pages_per_category: 4, search_queries: 40}
topology:
  api: {replicas: 2}
  cache: {families: {listing: {ttl_s: 5}}}
  database: {members: 1}
  search: {engine: elasticsearch}
objectives:
  {p95_s: 0.05, availability_fraction: 0.99, error_fraction: 0.01, concurrent_users: 5000}
experiment: {loads_per_s: [5, 10, 20, 40], cell_s: 20, warmup_s: 2, repeats: 1, seed: 7}
"""
CPU_S = {
    "hit": {"nginx": 0.0002, "api": 0.001, "redis": 0.0001},
    "miss": {"nginx": 0.0002, "api": 0.003, "redis": 0.0002, "mongo": 0.002},
    "none": {"nginx": 0.0002, "api": 0.002, "mongo": 0.001},
}


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return parse_scenario(SCENARIO)


@pytest.fixture(scope="module")
def calibration(scenario: Scenario) -> Calibration:
    """Demands of a few milliseconds, each known to a tenth."""
    classes = [(operation.value, outcome) for operation, outcome in classes_of(scenario)]
    begin = datetime(2026, 11, 24, tzinfo=UTC)
    return Calibration(
        scenario_sha256="0" * 64,
        machine_sha256="0" * 64,
        started_at=begin,
        created_at=begin,
        load_per_s=2.5,
        cores=2,
        demands=tuple(
            Demand(
                operation=operation,
                outcome=outcome,
                component=component,
                cpu_s=around(cpu_s, 0.1),
                cv=0.5,
                samples=100,
            )
            for operation, outcome in classes
            for component, cpu_s in CPU_S[outcome].items()
        ),
        singles=tuple(
            Singles(operation=operation, outcome=outcome, latency_s=(0.006, 0.007, 0.008) * 5)
            for operation, outcome in classes
        ),
        generator_cpu_s=Estimate.exact(0.0005),
        idle_fraction=0.02,
        idle_cores={"mongo": 0.03},
        index_lag_s=0.3,
        conditions=conditions(2.5, valid=True),
    )


@pytest.fixture(scope="module", autouse=True)
def few_replications() -> Iterator[None]:
    """Less precision than in a report, to be quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "CELL_REPLICATIONS", 5)
        patch.setattr(subject, "CURVE_REPLICATIONS", 2)
        patch.setattr(subject, "CURVE_POINTS", 4)
        patch.setattr(subject, "JUDGED_REQUESTS", 4_000)
        patch.setattr(subject, "SEARCH_STEPS", 6)
        yield


def run_with(folder: Path, scenario: Scenario, calibration: Calibration) -> Run:
    run = Run.create(folder, scenario)
    run.write(calibration)
    return run


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, scenario: Scenario, calibration: Calibration
) -> Run:
    run = run_with(tmp_path_factory.mktemp("runs"), scenario, calibration)
    predict(run, lambda _line: None)
    return run


@pytest.fixture(scope="module")
def predicted(run: Run) -> Prediction:
    return run.read(Prediction)


def test_every_load_has_every_metric_with_its_range(
    predicted: Prediction, scenario: Scenario
) -> None:
    assert tuple(c.load_per_s for c in predicted.cells) == scenario.experiment.loads_per_s
    for cell in predicted.cells:
        assert set(cell.metrics) == {
            *("mean_s", "p50_s", "p95_s", "p99_s", "throughput_per_s", "error_fraction"),
            *("hit_ratio.listing", "hit_ratio.all"),
            *(f"utilisation.{name}" for name in ("nginx", "api", "redis", "mongo", "host")),
        } | ({"utilisation.elasticsearch"} & set(cell.metrics))
        assert all(x.low <= x.value <= x.high for x in cell.metrics.values())
        quantiles = [cell.metrics[name].value for name in ("p50_s", "p95_s", "p99_s")]
        assert quantiles == sorted(quantiles)
        assert cell.metrics["p50_s"].low > 0.002


def test_the_prediction_names_its_inputs_by_hash(run: Run, predicted: Prediction) -> None:
    assert predicted.calibration_sha256 == run.sha256(Calibration)
    assert predicted.scenario_sha256 == run.scenario_sha256


def test_the_same_run_is_predicted_alike_again(run: Run, predicted: Prediction) -> None:
    again = predict(run, lambda _line: None)
    assert again.model_dump(exclude={"created_at"}) == predicted.model_dump(exclude={"created_at"})


def test_the_host_is_busy_by_the_law_of_utilisation(
    predicted: Prediction, calibration: Calibration
) -> None:
    cell = predicted.cells[-1]
    hit = cell.metrics["hit_ratio.listing"].value
    total_s = {outcome: sum(cpu_s.values()) for outcome, cpu_s in CPU_S.items()}
    a_request_s = 0.5 * (hit * total_s["hit"] + (1 - hit) * total_s["miss"])
    a_request_s += 0.5 * total_s["none"] + calibration.generator_cpu_s.value
    expected = calibration.idle_fraction + cell.load_per_s * a_request_s / calibration.cores
    assert cell.metrics["utilisation.host"].value == pytest.approx(expected, rel=0.15)


def test_more_load_makes_the_tail_slower_and_the_cache_hit_more_often(
    predicted: Prediction,
) -> None:
    hits = [cell.metrics["hit_ratio.all"].value for cell in predicted.cells]
    assert hits == sorted(hits)
    curve = predicted.production_curve
    assert curve[-1].metrics["p95_s"].value > curve[0].metrics["p95_s"].value


def test_the_capacity_lies_within_its_range_and_its_binding_part_is_the_busiest(
    predicted: Prediction,
) -> None:
    for capacity in (predicted.local, predicted.production):
        load = capacity.load_per_s
        assert 0 < load.low <= load.value <= load.high
        assert capacity.utilisation[capacity.bound_by] == max(capacity.utilisation.values())
    assert predicted.local.load_per_s.value < predicted.production.load_per_s.value
    assert predicted.local.bound_by == "this machine's cores"


def search(scenario: Scenario, calibration: Calibration, target: Target) -> subject.LoadSearch:
    return subject.LoadSearch(scenario, calibration, target)


@pytest.mark.parametrize("target", Target)
def test_larger_demands_leave_less_capacity(
    scenario: Scenario, calibration: Calibration, target: Target
) -> None:
    found = [
        search(scenario, calibration, target).highest_load_per_s(scale) for scale in (0.5, 1, 2)
    ]
    assert all(fast > slow > 0 for fast, slow in pairwise(found))


def test_demands_beyond_the_objective_leave_no_capacity(
    scenario: Scenario, calibration: Calibration
) -> None:
    found = search(scenario, calibration, Target.HERE).highest_load_per_s(100.0)
    assert found < 1.0


def test_the_replicas_found_are_the_fewest_that_carry_the_load(
    scenario: Scenario, calibration: Calibration
) -> None:
    there = search(scenario, calibration, Target.PRODUCTION)
    found = [there.replicas_for(load_per_s) for load_per_s in (20.0, 1000.0, 2000.0)]
    assert found[0] == 1
    for load_per_s, replicas in zip((1000.0, 2000.0), found[1:], strict=True):
        assert replicas is not None
        assert replicas > 1
        assert there.holds(load_per_s, replicas=replicas)
        assert not there.holds(load_per_s, replicas=replicas - 1)


def test_no_number_of_replicas_helps_where_a_single_request_is_too_slow(
    scenario: Scenario, calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "MAX_REPLICAS", 4)
    slow = calibration.model_copy(
        update={
            "singles": tuple(
                single.model_copy(update={"latency_s": (0.2,) * 5})
                for single in calibration.singles
            )
        }
    )
    assert search(scenario, slow, Target.PRODUCTION).replicas_for(20.0) is None


def test_the_hit_ratios_of_a_day_are_those_of_the_cached_families(scenario: Scenario) -> None:
    ratios = steady_hit_ratios(scenario)
    assert set(ratios) == {"listing", "all"}
    assert 0 < ratios["listing"].value < 1
    assert ratios["all"].value == pytest.approx(ratios["listing"].value)
    topology = scenario.topology.model_copy(update={"cache": None})
    assert steady_hit_ratios(scenario.model_copy(update={"topology": topology})) == {}


def test_a_request_class_is_calibrated_for_every_outcome_it_can_have(scenario: Scenario) -> None:
    assert [(operation.value, outcome) for operation, outcome in classes_of(scenario)] == [
        ("list", "hit"),
        ("list", "miss"),
        ("detail", "none"),
        ("search", "none"),
    ]


def test_the_speed_of_an_unscored_instance_is_known_within_a_factor_of_two(
    scenario: Scenario,
) -> None:
    api = scenario.topology.api.model_copy(update={"instance_type": "x9.unheard"})
    topology = scenario.topology.model_copy(update={"api": api})
    ratio = speed_ratio(scenario.model_copy(update={"topology": topology}))
    assert (ratio.low, ratio.value, ratio.high) == (0.5, 1.0, 2.0)


def test_no_prediction_is_made_without_a_calibration(tmp_path: Path, scenario: Scenario) -> None:
    with pytest.raises(ArtefactError, match=r"calibration\.json is missing"):
        predict(Run.create(tmp_path, scenario), lambda _line: None)
