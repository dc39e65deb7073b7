"""A calibration is refused on another machine and for another topology, with what differs."""

from pathlib import Path

import pytest

from headroom.applicable import require_applicable
from headroom.artefacts import Calibration, Conditions, Demand, Estimate, Machine, Run, now
from headroom.demands import classes_of
from headroom.errors import CalibrationError
from sim.scenario_file import load_scenario
from stack.observe.machine import facts_sha256

FACTS = {"cpu_model": "Some CPU", "cores": 2, "packages": {"numpy": "2.1", "redis": "6.4"}}
CALM = Conditions(
    planned_per_s=10.0,
    achieved_per_s=10.0,
    dispatch_lag_p50_s=0.0,
    dispatch_lag_p99_s=0.0,
    dispatch_lag_max_s=0.0,
    generator_cpu_fraction=0.1,
    steal_fraction=0.0,
    foreign_cpu_fraction=0.0,
    dropped=0,
    wrong_status=0,
    speed_ratio=1.0,
    valid=True,
    reasons=(),
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run, calibrated on a machine with those facts."""
    run = Run.create(tmp_path, load_scenario(Path("scenarios/laptop.yaml")))
    run.write(Machine(facts=FACTS, sha256=facts_sha256(FACTS)))
    run.write(
        Calibration(
            scenario_sha256=run.scenario_sha256,
            machine_sha256=facts_sha256(FACTS),
            started_at=now(),
            load_per_s=5.0,
            cores=2,
            demands=tuple(
                Demand(
                    operation=operation,
                    outcome=outcome,
                    component="api",
                    cpu_s=Estimate.exact(1e-3),
                    cv=1.0,
                    samples=160,
                )
                for operation, outcome in classes_of(run.scenario)
            ),
            singles=(),
            generator_cpu_s=Estimate.exact(1e-4),
            idle_fraction=0.0,
            idle_cores={},
            index_lag_s=0.0,
            conditions=CALM,
        )
    )
    return run


def test_a_calibration_applies_to_its_own_scenario_and_machine(run: Run) -> None:
    require_applicable(run, FACTS)


def test_another_machine_is_refused_with_each_fact_that_differs(run: Run) -> None:
    here = FACTS | {"cores": 8, "packages": {"numpy": "2.1", "redis": "7.0"}}
    with pytest.raises(CalibrationError) as refused:
        require_applicable(run, here)
    assert "cores was 2, here 8" in str(refused.value)
    assert "packages redis was '6.4', here '7.0'" in str(refused.value)
    assert "numpy" not in str(refused.value)


def test_another_topology_is_refused_with_the_requests_that_it_would_need(run: Run) -> None:
    path = run.folder / "scenario.yaml"
    scenario = run.scenario
    without = scenario.topology.model_copy(update={"cache": None})
    changed = scenario.model_copy(update={"topology": without})
    other = Run.create(run.folder, changed)
    path.write_bytes((other.folder / "scenario.yaml").read_bytes())
    with pytest.raises(CalibrationError) as refused:
        require_applicable(run, FACTS)
    assert "list (none) was not calibrated" in str(refused.value)
    assert "list (hit) was calibrated and the scenario has none" in str(refused.value)
    assert "scenario.yaml is not the one that was calibrated" in str(refused.value)
