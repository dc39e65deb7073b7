"""PASS, FAIL or INVALID, from invented predictions and measurements."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from example_run import conditions, example_run

from headroom.artefacts import (
    BillArtefact,
    Estimate,
    MeasuredCell,
    ObjectiveResult,
    Prediction,
    Status,
    Summary,
    Verdict,
)
from headroom.availability import available
from headroom.price import priced
from headroom.verdict import peak_estimate, verdict
from sim.cost import price_book
from sim.scenario import Interval, Objectives, Scenario

BOOK = price_book("2026-07")
LATENCY, ERRORS, CAPACITY = "p95 latency at the peak", "errors", "load at the p95 objective"


@dataclass(frozen=True)
class Evidence:
    """What a verdict is made of; every cell valid, fast and without errors unless changed."""

    scenario: Scenario
    prediction: Prediction
    summary: Summary
    bill: BillArtefact

    def verdict(self) -> Verdict:
        replicas = self.prediction.replicas_for_peak
        advised = priced(self.scenario, replicas)
        return verdict(self.scenario, self.prediction, self.summary, self.bill, advised)

    def objective(self, name: str) -> ObjectiveResult:
        return next(each for each in self.verdict().objectives if each.name == name)

    def with_cells(self, *cells: MeasuredCell) -> "Evidence":
        return replace(self, summary=self.summary.model_copy(update={"cells": cells}))

    def with_metric(self, name: str, value: float) -> "Evidence":
        """Every measured cell with that figure."""
        return self.with_cells(
            *(
                cell.model_copy(update={"metrics": cell.metrics | {name: Estimate.exact(value)}})
                for cell in self.summary.cells
            )
        )

    def with_valid(self, *valid: bool) -> "Evidence":
        """As many cells as given, cycled through, valid or not."""
        cells = [
            cell.model_copy(update={"conditions": conditions(cell.load_per_s, valid=is_valid)})
            for cell, is_valid in zip(self.summary.cells, valid, strict=True)
        ]
        return self.with_cells(*cells)

    def with_prediction(self, **fields: Any) -> "Evidence":
        return replace(self, prediction=self.prediction.model_copy(update=fields))

    def with_objectives(self, **fields: Any) -> "Evidence":
        objectives = self.scenario.objectives.model_copy(update=fields)
        return replace(self, scenario=self.scenario.model_copy(update={"objectives": objectives}))


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Evidence on which every objective holds."""
    run = example_run(tmp_path_factory.mktemp("runs"))
    objectives = Objectives(p95_s=0.5, availability_fraction=0.999, error_fraction=0.01)
    scenario = run.scenario.model_copy(update={"objectives": objectives})
    made = Evidence(scenario, run.read(Prediction), run.read(Summary), run.read(BillArtefact))
    fast = made.with_metric("p95_s", 0.1).with_metric("error_fraction", 0.0)
    curve = tuple(
        point.model_copy(update={"metrics": point.metrics | {"p95_s": Estimate.exact(0.1)}})
        for point in run.read(Prediction).production_curve
    )
    return fast.with_valid(*[True] * len(fast.summary.cells)).with_prediction(
        production_curve=curve
    )


def statuses(found: Verdict) -> dict[str, str]:
    """The objectives that a run tests."""
    tested = [each for each in found.objectives if each.status != "UNTESTED"]
    return {each.name: each.status for each in tested}


def test_a_run_passes_when_every_objective_holds(evidence: Evidence) -> None:
    found = evidence.verdict()
    assert found.status == "PASS"
    assert statuses(found) == {
        LATENCY: "PASS",
        ERRORS: "PASS",
        CAPACITY: "PASS",
    }
    assert "missed" not in found.sentence


def test_an_availability_that_no_run_tests_is_said_to_be_untested(evidence: Evidence) -> None:
    found = evidence.objective("availability")
    assert (found.status, found.measured, found.modelled) == ("UNTESTED", None, None)
    assert evidence.verdict().status == "PASS"


def with_uptime(evidence: Evidence, uptime: float) -> Verdict:
    modelled = available(evidence.scenario, BOOK, months=50).model_copy(
        update={"uptime": Estimate.exact(uptime)}
    )
    advised = priced(evidence.scenario, evidence.prediction.replicas_for_peak)
    return verdict(
        evidence.scenario,
        evidence.prediction,
        evidence.summary,
        evidence.bill,
        advised,
        modelled=modelled,
    )


def test_a_modelled_availability_is_judged_by_its_mean_and_said_to_be_a_model(
    evidence: Evidence,
) -> None:
    for uptime, status in ((0.9990, "PASS"), (0.9989, "FAIL")):
        found = with_uptime(evidence, uptime)
        judged = next(each for each in found.objectives if each.name == "availability")
        assert (judged.status, judged.measured) == (status, None)
        assert judged.modelled == Estimate.exact(uptime)
        assert judged.note.startswith("by the model, on assumed failure rates")
        assert found.status == status


def test_a_missed_availability_asks_for_the_remedy_that_saves_most(evidence: Evidence) -> None:
    actions = with_uptime(evidence, 0.99).actions
    assert actions[0].startswith(
        "Remove a single point of failure: the same servers over 3 zones instead of the zone"
    )


def test_a_slow_measurement_fails_and_the_sentence_names_it(evidence: Evidence) -> None:
    found = evidence.with_metric("p95_s", 0.6).verdict()
    assert found.status == "FAIL"
    assert statuses(found) == {
        LATENCY: "FAIL",
        ERRORS: "PASS",
        CAPACITY: "PASS",
    }
    assert found.sentence.endswith(f"missed: {LATENCY}")


def test_a_slow_model_fails_although_the_measurement_was_fast(evidence: Evidence) -> None:
    curve = tuple(
        point.model_copy(update={"metrics": point.metrics | {"p95_s": Estimate.exact(0.7)}})
        for point in evidence.prediction.production_curve
    )
    assert evidence.with_prediction(production_curve=curve).objective(LATENCY).status == "FAIL"


@pytest.mark.parametrize(("error_fraction", "status"), [(0.01, "PASS"), (0.02, "FAIL")])
def test_errors_are_counted_over_all_valid_requests(
    evidence: Evidence, error_fraction: float, status: Status
) -> None:
    found = evidence.with_metric("error_fraction", error_fraction).objective(ERRORS)
    assert found.status == status
    assert found.measured is not None
    assert found.measured.value == pytest.approx(error_fraction, rel=0.05)
    assert found.measured.low < error_fraction < found.measured.high


def test_a_capacity_under_the_peak_fails_with_a_negative_headroom(evidence: Evidence) -> None:
    peak = evidence.scenario.workload.peak_load_per_s
    low = evidence.prediction.production.model_copy(
        update={"load_per_s": Estimate.exact(peak / 1.5)}
    )
    found = evidence.with_prediction(production=low).verdict()
    assert found.status == "FAIL"
    assert statuses(found)[CAPACITY] == "FAIL"
    assert found.headroom_fraction.value == pytest.approx(-0.5)


def test_half_of_the_capacity_unused_is_a_headroom_of_a_half(evidence: Evidence) -> None:
    peak = evidence.scenario.workload.peak_load_per_s
    wide = evidence.prediction.production.model_copy(
        update={"load_per_s": Estimate(value=2 * peak, low=peak, high=4 * peak)}
    )
    certain = replace(evidence, scenario=evidence.scenario.model_copy(update={"uncertainty": {}}))
    found = certain.with_prediction(production=wide).verdict().headroom_fraction
    assert (found.low, found.value, found.high) == pytest.approx((0.0, 0.5, 0.75))


def test_no_capacity_at_all_is_a_headroom_of_minus_one_not_a_division_by_zero(
    evidence: Evidence,
) -> None:
    none = evidence.prediction.production.model_copy(update={"load_per_s": Estimate.exact(0.0)})
    assert evidence.with_prediction(production=none).verdict().headroom_fraction.value == -1.0


def test_a_run_with_fewer_than_half_of_its_cells_valid_is_invalid(evidence: Evidence) -> None:
    count = len(evidence.summary.cells)
    enough = count // 2
    # The valid ones are the last, among them loads above the peak.
    half = evidence.with_valid(*[False] * (count - enough), *[True] * enough)
    assert half.verdict().status == ("PASS" if 2 * enough == count else "INVALID")
    fewer = evidence.with_valid(*[False] * (count - enough + 1), *[True] * (enough - 1))
    found = fewer.verdict()
    assert (found.status, found.valid_cells, found.cells) == ("INVALID", enough - 1, count)
    assert found.actions[0].startswith("Repeat on a quieter machine")


def test_no_valid_cell_at_or_above_the_peak_is_no_evidence_on_latency(evidence: Evidence) -> None:
    peak = evidence.scenario.workload.peak_load_per_s
    below = [cell.model_copy(update={"load_per_s": peak * 0.9}) for cell in evidence.summary.cells]
    found = evidence.with_cells(*below)
    assert found.objective(LATENCY).status == "INVALID"
    assert found.verdict().status == "INVALID"


def test_a_missed_objective_does_not_hide_that_the_evidence_is_invalid(evidence: Evidence) -> None:
    count = len(evidence.summary.cells)
    found = evidence.with_metric("p95_s", 9.0).with_valid(*[False] * count).verdict()
    assert found.status == "INVALID"


def test_a_hit_ratio_objective_is_judged_by_the_steady_state(evidence: Evidence) -> None:
    steady = evidence.prediction.steady_hit_ratio["all"].value
    name = "cache hit ratio"
    assert evidence.with_objectives(hit_ratio_fraction=steady).objective(name).status == "PASS"
    missed = evidence.with_objectives(hit_ratio_fraction=steady + 0.1)
    assert missed.objective(name).status == "FAIL"
    assert any("Do not plan with a hit ratio" in action for action in missed.verdict().actions)


def test_concurrent_users_are_capacity_times_the_cycle_of_a_user(evidence: Evidence) -> None:
    cycle_s = evidence.scenario.workload.think_time_s + evidence.prediction.mean_sojourn_s
    users = evidence.prediction.production.load_per_s.value * cycle_s
    for target, status in ((int(users), "PASS"), (int(users) + 1, "FAIL")):
        found = evidence.with_objectives(concurrent_users=target).objective("concurrent users")
        assert found.status == status
        assert found.modelled is not None
        assert found.modelled.value == pytest.approx(users)


def test_there_are_three_actions_and_one_sentence_with_the_price(evidence: Evidence) -> None:
    found = evidence.verdict()
    assert len(found.actions) == 3
    assert "\n" not in found.sentence
    advised = priced(evidence.scenario, evidence.prediction.replicas_for_peak).total_usd.value
    assert f"${advised:,.0f} a month" in found.sentence
    assert found.usd_per_month.value == advised


def test_the_range_of_the_peak_is_that_of_its_uncertain_factors(evidence: Evidence) -> None:
    active = evidence.scenario.workload.daily_active_fraction
    uncertainty = {
        "workload.daily_active_fraction": Interval(low=active / 2, high=active * 2),
        "workload.think_time_s": Interval(low=1.0, high=99.0),  # no factor of the peak
    }
    peak = peak_estimate(evidence.scenario.model_copy(update={"uncertainty": uncertainty}))
    assert (peak.low, peak.high) == pytest.approx((peak.value / 2, peak.value * 2))
    assert peak.value == evidence.scenario.workload.peak_load_per_s


def test_a_verdict_is_the_same_whenever_it_is_made(evidence: Evidence) -> None:
    one, other = (evidence.verdict().model_dump(exclude={"created_at"}) for _ in range(2))
    assert one == other
