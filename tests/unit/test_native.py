"""Native cells: the model of this machine at a load, and the section written from cells."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headroom.errors import ArtefactError
from headroom.fidelity.artefacts import stored
from headroom.fidelity.native import NativeCampaign, machine_state
from headroom.fidelity.native_again import ToldAgain, lines, rows, told_again
from headroom.fidelity.native_design import (
    CELLS,
    IN_FLIGHT,
    LOADS,
    MIXES,
    MOST_PER_S,
    SATURATING,
    SYSTEMS,
    highest_per_s,
    trace_at,
)
from headroom.fidelity.native_model import STALL_S, as_demands, costs_at, model_of, scale_of
from headroom.fidelity.native_page import native_section, promised
from headroom.fidelity.native_predicted import plainer, said_of_closed, said_of_open
from headroom.fidelity.native_records import (
    ClassCosts,
    MachineState,
    NativeCell,
    NativeCosts,
    NativeOccasion,
    NativePrediction,
    Weighing,
)
from headroom.fidelity.native_weighing import cpu_of_a_request, shares_seen
from headroom.fidelity.record import FidelityRecord
from sim.model import Demands, VisitDemand
from stack.load.run import LoadResult

ONE, TWO = SYSTEMS["database-reads-1"], SYSTEMS["database-reads-2"]
BURST_S = {"nginx": 1e-4, "api": 8e-4, "redis": 5e-5, "mongo": 2e-4}
SINGLE_S = {name: 1.5 * value for name, value in BURST_S.items()}
GENERATOR_S, WAKING_S = 2e-4, 1e-4
SATURATED_PER_S, STEADY_PER_S = 1000.0, 250.0
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
CLASSES = [("detail", "none")]
CLASSES += [(name, outcome) for name in ("list", "list_cursor") for outcome in ("hit", "miss")]


def weighing(in_flight: int, load_per_s: float, cpu_s: dict[str, float]) -> Weighing:
    return Weighing(
        in_flight=in_flight,
        load_per_s=load_per_s,
        cpu_s=cpu_s,
        shares={"detail/none": 0.7, "list/hit": 0.2, "list/miss": 0.1},
        stall_fraction=0.0,
        disturbed=(),
    )


def costs(stall_fraction: float = 0.0) -> NativeCosts:
    """Saturated, a request costs what it does in bursts; at the steady load what it does alone."""
    saturated = weighing(SATURATING, SATURATED_PER_S, BURST_S | {"generator": GENERATOR_S})
    steady = weighing(0, STEADY_PER_S, SINGLE_S | {"generator": GENERATOR_S + WAKING_S})
    return NativeCosts(
        system=ONE.name,
        cores=2,
        classes=tuple(
            ClassCosts(
                operation=operation,
                outcome=outcome,
                burst_s=BURST_S,
                single_s=SINGLE_S,
                latency_s=0.003,
                cv=0.3,
            )
            for operation, outcome in CLASSES
        ),
        generator_single_s=GENERATOR_S + WAKING_S,
        saturated=saturated.model_copy(update={"stall_fraction": stall_fraction}),
        steady=steady,
        outside_s=0.0005,
        idle_fraction=0.0,
        idle_cores={},
        calibration_sha256="0" * 64,
        duration_s=30.0,
        disturbed=(),
    )


SHARES = {("detail", "none"): 1.0}


def test_a_request_costs_less_the_less_its_servers_rest_in_a_straight_line_to_saturation() -> None:
    def told(load_per_s: float) -> dict[str, float]:
        return costs_at(costs(), load_per_s, SHARES).by_component()

    assert told(STEADY_PER_S) == pytest.approx(SINGLE_S | {"generator": GENERATOR_S + WAKING_S})
    for saturated_per_s in (SATURATED_PER_S, 2 * SATURATED_PER_S, math.inf):
        assert told(saturated_per_s) == pytest.approx(BURST_S | {"generator": GENERATOR_S})
    # Of the rests at 250/s, which are 750 of 1,000, a third is left at 750/s: 0.8 + 0.4 / 3 ms.
    assert told(750.0)["api"] == pytest.approx(0.8e-3 + 0.4e-3 / 3)
    assert told(750.0)["generator"] == pytest.approx(0.2e-3 + 0.1e-3 / 3)


def test_what_the_mix_cost_a_part_scales_the_costs_of_its_classes() -> None:
    dearer = {part: 1.5 * cpu_s for part, cpu_s in BURST_S.items()} | {"generator": 2e-4}
    found = costs().model_copy(
        update={
            "saturated": weighing(SATURATING, 1000.0, dearer),
            # Awake: a mongo that costs more than saturated pays for all that waking costs alone.
            "steady": weighing(0, 250.0, dearer | {"mongo": 0.4e-3, "generator": 3e-4}),
        }
    )
    assert costs_at(found, math.inf, SHARES).by_component() == pytest.approx(dearer)
    steady = costs_at(found, STEADY_PER_S, SHARES).by_component()
    # mongo: 1.5 × 0.2 ms of work, and 0.1 ms more alone: all of it is paid.
    assert steady["mongo"] == pytest.approx(0.4e-3)
    assert steady["api"] == pytest.approx(dearer["api"])


def test_threads_of_the_api_are_weighed_with_its_loops() -> None:
    burst_s = BURST_S | {"api": 6e-4, "api_threads": 2e-4}
    found = costs()
    found = found.model_copy(
        update={
            "classes": tuple(
                each.model_copy(update={"burst_s": burst_s, "single_s": burst_s})
                for each in found.classes
            ),
            "saturated": weighing(SATURATING, 1000.0, BURST_S | {"api": 1.6e-3, "generator": 2e-4}),
        }
    )
    told = costs_at(found, math.inf, SHARES).by_component()  # 1.6 ms seen for 0.8 ms in bursts
    assert (told["api"], told["api_threads"]) == pytest.approx((1.2e-3, 4e-4))


def test_a_machine_that_became_slower_costs_half_as_much_more_as_was_weighed() -> None:
    slower = {part: 1.44 * cpu_s for part, cpu_s in BURST_S.items()}
    now = weighing(SATURATING, 700.0, slower | {"generator": 1.44 * GENERATOR_S})
    # Of 1.15 ms in parts and 0.2 ms in the generator 1.44 times as much was seen: √1.44 = 1.2.
    assert scale_of(costs(), now) == pytest.approx(1.2)
    same = costs_at(costs(), 400.0, SHARES).by_component()
    scaled = costs_at(costs(), 400.0, SHARES, scale=1.2).by_component()
    assert scaled == pytest.approx({part: 1.2 * cpu_s for part, cpu_s in same.items()})
    fast, slow = (said_of_closed(costs(), TWO, 1, scale).metrics for scale in (1.0, 1.2))
    assert slow["maximum_per_s"] == pytest.approx(fast["maximum_per_s"] / 1.2, rel=0.03)


def run_result(cpu_s: dict[str, float]) -> LoadResult:
    """Ten seconds in which 1,000 requests were sent."""
    validity = {
        "requests": 1000,
        "answered": 1000,
        "planned_per_s": 100.0,
        "achieved_per_s": 100.0,
        "dispatch_lag_p50_s": 0.0,
        "dispatch_lag_p99_s": 0.0,
        "dispatch_lag_max_s": 0.0,
        "generator_cpu_fraction": 0.1,
        "steal_fraction": 0.0,
        "foreign_cpu_fraction": 0.0,
        "dropped": 0,
        "wrong_status": 0,
        "failed": 0,
        "speed_before_per_s": 1.0,
        "speed_after_per_s": 1.0,
        "speed_ratio": 1.0,
        "complete": True,
        "valid": True,
        "reasons": (),
    }
    return LoadResult.model_validate(
        {
            "run_id": "weighing",
            "started_at": NOW,
            "finished_at": NOW + timedelta(seconds=11),
            "warmup_s": 1.0,
            "window_s": 10.0,
            "requests": 1100,
            "complete": True,
            "cpu_s": cpu_s,
            "ended_pids": (),
            "locust": {},
            "validity": validity,
        }
    )


def test_what_parts_use_when_nobody_asks_is_not_counted_as_cost_of_requests() -> None:
    seen = run_result({"api-1": 0.5, "api-2": 0.6, "mongo-1": 0.4, "generator": 0.2})
    # Mongo ticks on with 0.02 cores: 0.2 s of its 0.4 s in ten seconds.
    told = cpu_of_a_request(seen, {"mongo": 0.02})
    assert told == pytest.approx({"api": 1.1e-3, "mongo": 0.2e-3, "generator": 0.2e-3})


def test_who_waited_for_anothers_read_counts_as_a_hit_and_the_warm_up_does_not_count() -> None:
    table = pa.table(
        {
            "intended_s": [0.5, 1.0, 2.0, 3.0, 4.0],
            "sent_s": [0.5, 1.5, 2.0, 3.0, 4.0],
            "operation": ["list", "list", "list", "list", "product_update"],
            "cache": ["hit", "miss", "miss", "hit", "none"],
            "coalesced": [False, False, True, False, False],
        }
    )
    shares = {"list/hit": 0.5, "list/miss": 0.25, "product_update/none": 0.25}
    assert shares_seen(table, 1.0, is_closed=False) == shares
    later = shares_seen(table, 1.6, is_closed=True)
    assert later == pytest.approx({"list/hit": 2 / 3, "product_update/none": 1 / 3})


def test_one_api_process_binds_the_closed_load_and_two_are_bound_by_the_cores() -> None:
    one = said_of_closed(costs(), ONE, seed=1).metrics["maximum_per_s"]
    two = said_of_closed(costs(), TWO, seed=1).metrics["maximum_per_s"]
    by_cores = 2 / (sum(BURST_S.values()) + GENERATOR_S)
    assert one <= 1 / BURST_S["api"]
    assert 0.85 * min(by_cores, 1 / BURST_S["api"]) < one < two
    assert two == pytest.approx(by_cores, rel=0.05)


def test_a_closed_load_is_kept_to_its_number_by_the_model_too() -> None:
    model = model_of(costs(), ONE, 100.0, costs_at(costs(), 100.0, SHARES), is_closed=True)
    assert [(pool.name, pool.size) for pool in model.pools] == [("in flight", IN_FLIGHT)]
    assert math.isinf(model.client.timeout_s)


def test_latencies_rise_with_the_load_with_stalls_and_with_dearer_requests() -> None:
    low, high = (said_of_open(costs(), ONE, load, seed=2).metrics for load in (150.0, 700.0))
    assert high["mean_s"] > low["mean_s"]
    assert high["p99_s"] > low["p99_s"]
    stalled = said_of_open(costs(0.1), ONE, 150.0, seed=2).metrics
    assert stalled["p99_s"] > low["p99_s"] + STALL_S / 2
    twice = MachineState(
        cpu_s={name: 2 * value for name, value in SINGLE_S.items()},
        stall_fraction=0.0,
        foreign_fraction=0.0,
    )
    given = said_of_open(costs(), ONE, 150.0, seed=2, state=twice).metrics
    assert given["mean_s"] > 1.2 * low["mean_s"]


def test_stalls_stretch_a_demand_by_what_they_take() -> None:
    model = model_of(costs(0.2), ONE, 1.0, costs_at(costs(0.2), 1.0, SHARES))
    plain = model_of(costs(), ONE, 1.0, costs_at(costs(), 1.0, SHARES))
    (with_stalls,), (without,) = (
        [route.steps[0].demand.expected_s for route in each.routes if route.operation == "detail"]
        for each in (model, plain)
    )
    assert with_stalls == pytest.approx(without / 0.8)


def test_the_requests_of_a_cell_are_its_own_and_come_back_the_same() -> None:
    first, again = (trace_at(ONE, 200.0, seed=5) for _ in range(2))
    assert first.arrival_s.tolist() == again.arrival_s.tolist()
    assert first.arrival_s.tolist() != trace_at(ONE, 200.0, seed=6).arrival_s.tolist()


def test_plainer_models_see_the_same_cell_and_give_up_where_a_part_is_full() -> None:
    found = costs_at(costs(), 300.0, SHARES)
    told = {each.model: each for each in plainer(costs(), ONE, 300.0, found)}
    assert set(told) == {"analytic", "M/M/c", "utilisation only"}
    assert all(each.mean_s is not None and each.mean_s > 0.003 for each in told.values())
    full = plainer(costs(), ONE, 2_000.0, costs_at(costs(), 2_000.0, SHARES))
    assert {each.model: each.mean_s for each in full}["M/M/c"] is None


def test_demands_for_models_without_a_host_have_a_machine_for_each_part() -> None:
    demands = Demands({("detail", "none"): (VisitDemand("api", 1.0),)}, host_cores=2)
    assert as_demands(demands, 2).host_cores is None


def test_the_design_has_two_dozen_cells_and_a_closed_one_for_each_system() -> None:
    opened = [share for share in CELLS.values() if share]
    assert len(SYSTEMS) * len(opened) >= 24
    assert len(SYSTEMS) == 2 * len(MIXES) == 6
    assert sorted(set(opened)) == sorted(LOADS)
    assert [name for name, share in CELLS.items() if not share] == ["closed"]
    assert all(sum(mix.values()) == pytest.approx(1.0) for mix in MIXES.values())
    assert IN_FLIGHT > 2 * SATURATING


def test_no_cell_is_offered_faster_than_one_generator_can() -> None:
    assert max(LOADS) * highest_per_s(4000.0) == pytest.approx(MOST_PER_S)
    assert highest_per_s(700.0) == 700.0


def cell(name: str, error: float, *, valid: bool = True, attempt: int = 1) -> NativeCell:
    """A cell whose latencies were said `error` too long."""
    measured = {"mean_s": 0.004, "p50_s": 0.003, "p95_s": 0.010, "p99_s": 0.020}
    if name == "closed":
        measured = {"maximum_per_s": 900.0}
    said = {metric: value * (1 + error) for metric, value in measured.items()}
    seen = {
        "planned_per_s": 100.0,
        "achieved_per_s": 100.0,
        "dispatch_lag_p50_s": 0.0,
        "dispatch_lag_p99_s": 0.001,
        "dispatch_lag_max_s": 0.002,
        "generator_cpu_fraction": 0.1,
        "steal_fraction": 0.0 if valid else 0.2,
        "foreign_cpu_fraction": 0.01,
        "dropped": 0,
        "wrong_status": 0,
        "speed_ratio": 1.0,
        "valid": valid,
        "reasons": () if valid else ("steal: 20.00%, limit 5.00%",),
    }
    started = NOW + timedelta(minutes=attempt)
    return NativeCell.model_validate(
        {
            "system": ONE.name,
            "replicas": 1,
            "mix": ONE.mix,
            "cell": name,
            "attempt": attempt,
            "share": CELLS[name],
            "load_per_s": 100.0,
            "requests": 1000,
            "prediction_sha256": "0" * 64,
            "predicted_at": NOW,
            "started_at": started,
            "finished_at": started + timedelta(seconds=12),
            "predicted": said,
            "measured": measured,
            "given": {} if name == "closed" else {m: v * 1.05 for m, v in measured.items()},
            "predicted_cpu_s": {},
            "state": {"cpu_s": {}, "stall_fraction": 0.0, "foreign_fraction": 0.0},
            "plainer": ({"model": "M/M/c", "mean_s": 0.006, "p95_s": None},),
            "conditions": seen,
        }
    )


def test_an_invalid_cell_is_in_the_table_with_its_reason_and_in_no_median() -> None:
    cells = (
        cell("at-25", 0.10),
        cell("at-40", -0.20),
        cell("at-50", 0.12),
        cell("at-60", 5.0, valid=False),
        cell("closed", 0.30),
    )
    rows = {row[0]: row for row in promised(cells)}
    assert rows["p50, blind"][2:] == ("12.0%", "yes", "3", "-20%")
    assert rows["maximum throughput, blind"][2:4] == ("30.0%", "**no**")
    assert rows["p99, given its state"][2:4] == ("5.0%", "yes")
    occasion = NativeOccasion(name="noon", machine={"cores": 2}, calibrations={}, cells=cells)
    text = native_section([occasion])
    assert "5 cells over 1 systems, 4 valid (80%)" in text
    assert "at-60, try 1: INVALID: steal: 20.00%, limit 5.00%" in text
    assert text.count("| yes |") == 4 + sum(row[3] == "yes" for row in rows.values())


def test_the_cores_busy_and_the_weighings_own_throughput_stand_beside_the_errors() -> None:
    seen = MachineState(
        cpu_s={"api": 9e-3, "generator": 1e-3}, stall_fraction=0.0, foreign_fraction=0.02, cores=2
    )
    # 100/s of 10 ms on two cores, and what others used: 52 %.
    opened = cell("at-25", 0.10).model_copy(update={"state": seen})
    closed = cell("closed", 0.02).model_copy(update={"weighed_per_s": 792.0})
    cells = (opened, closed)
    text = native_section([NativeOccasion(name="noon", machine={}, calibrations={}, cells=cells)])
    assert "| 52% |" in text
    assert "answered by itself, is 12% (worst -12%) off the maximum" in text


def test_told_again_a_cell_keeps_what_was_said_of_it() -> None:
    stored = cell("at-25", -0.30)
    better = {metric: value * 0.9 for metric, value in stored.measured.items()}
    again = ToldAgain(stored, hindsight=better, given=stored.measured)
    table = {row[0]: row[1:] for row in rows([again])}
    assert table["p50, in hindsight"] == ("30.0%", "10.0%", "1")
    assert table["p99, given its state"] == ("5.0%", "0.0%", "1")
    assert table["maximum throughput, in hindsight"] == ("–", "–", "0")


def test_a_cell_told_again_is_told_with_the_calibration_it_was_said_with(tmp_path: Path) -> None:
    campaign = NativeCampaign(tmp_path, "noon", (ONE,))
    with pytest.raises(ArtefactError, match="no native cells of database-reads-1"):
        list(told_again(campaign))
    place = campaign.place(ONE)
    now = weighing(SATURATING, 1000.0, BURST_S | {"generator": GENERATOR_S})
    old = stored(place / "costs-old.json", costs())
    stored(place / "costs.json", costs(0.1))  # of a later start
    prediction = NativePrediction(
        system=ONE.name,
        cell="at-25",
        load_per_s=100.0,
        seed=7,
        metrics={"mean_s": 0.001},
        cpu_s={},
        plainer=(),
        costs_sha256=old,
        weighing=now,
        scale=1.0,
    )
    stored(place / "at-25-1.prediction.json", prediction)
    stored(place / "at-25-1.cell.json", cell("at-25", -0.3))
    seen = run_result({"api-1": 1.0, "generator": 0.2})
    table = pa.table({"request_id": [1]})
    metadata = {b"headroom.load": seen.model_dump_json().encode()}
    pq.write_table(table.replace_schema_metadata(metadata), place / "at-25-1.load.parquet")
    (again,) = told_again(campaign)
    assert again.hindsight == said_of_open(costs(), ONE, 100.0, seed=7).metrics
    state = machine_state(seen, costs())
    assert state.cpu_s == pytest.approx({"api": 1e-3, "generator": 0.2e-3})
    assert again.given == said_of_open(costs(), ONE, 100.0, seed=7, state=state).metrics
    assert again.cell.predicted == cell("at-25", -0.3).predicted
    assert [text.partition(":")[0] for text in lines([again])] == ["database-reads-1 at-25"]
    (place / "costs-old.json").unlink()
    with pytest.raises(ArtefactError, match="of at-25 was not kept"):
        list(told_again(campaign))


def test_a_repeat_is_told_as_the_spread_that_no_prediction_can_beat() -> None:
    first, again = cell("at-40", 0.0), cell("at-40-again", 0.0)
    slower = {metric: value * 1.5 for metric, value in again.measured.items()}
    pair = (first, again.model_copy(update={"measured": slower}))
    text = native_section([NativeOccasion(name="noon", machine={}, calibrations={}, cells=pair)])
    assert "(1 valid pairs), differ by: mean 40% (most 40%)" in text
    alone = native_section(
        [NativeOccasion(name="noon", machine={}, calibrations={}, cells=pair[:1])]
    )
    assert "the repeat spread is not known" in alone


def test_native_occasions_are_kept_beside_the_others_and_replaced_by_name() -> None:
    one = NativeOccasion(name="noon", machine={}, calibrations={}, cells=(cell("at-25", 0.1),))
    other = one.model_copy(update={"cells": (cell("at-40", 0.1),)})
    record = FidelityRecord(occasions=()).with_natives([one]).with_natives([other])
    assert [each.cells[0].cell for each in record.natives] == ["at-40"]
    assert record.with_occasions([]).natives == record.natives
