"""Native cells: the model of this machine at a load, and the section written from cells."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from headroom.fidelity.native_costs import in_bursts
from headroom.fidelity.native_design import CELLS, IN_FLIGHT, LOADS, MIXES, SYSTEMS
from headroom.fidelity.native_model import STALL_S, as_demands, costs_at, model_of
from headroom.fidelity.native_page import native_section, promised
from headroom.fidelity.native_predicted import plainer, said_of_closed, said_of_open, trace_at
from headroom.fidelity.native_records import (
    ClassCosts,
    MachineState,
    NativeCell,
    NativeCosts,
    NativeOccasion,
)
from headroom.fidelity.record import FidelityRecord
from sim.model import Demands, VisitDemand
from stack.load.bursts import BURST

ONE, TWO = SYSTEMS["database-reads-1"], SYSTEMS["database-reads-2"]
BURST_S = {"nginx": 1e-4, "api": 8e-4, "redis": 5e-5, "mongo": 2e-4}
SINGLE_S = {name: 1.5 * value for name, value in BURST_S.items()}
GENERATOR_S, WAKING_S = 2e-4, 1e-4
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def costs(stall_fraction: float = 0.0) -> NativeCosts:
    classes = [("detail", "none")]
    classes += [(name, outcome) for name in ("list", "list_cursor") for outcome in ("hit", "miss")]
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
            for operation, outcome in classes
        ),
        generator_burst_s=GENERATOR_S,
        generator_single_s=GENERATOR_S + WAKING_S,
        low_load_per_s=40.0,
        outside_s=0.0005,
        idle_fraction=0.0,
        idle_cores={},
        stall_fraction=stall_fraction,
        calibration_sha256="0" * 64,
        duration_s=30.0,
        disturbed=(),
    )


SHARES = {("detail", "none"): 1.0}


def test_a_request_costs_less_the_less_its_servers_rest_and_never_less_than_in_a_burst() -> None:
    loads = (10.0, 100.0, 300.0, 600.0, math.inf)
    told = [costs_at(costs(), ONE, load, SHARES).by_component() for load in loads]
    for part in (*BURST_S, "generator"):
        values = [each[part] for each in told]
        assert values == sorted(values, reverse=True)
    assert told[-1] == pytest.approx(BURST_S | {"generator": GENERATOR_S})
    assert told[0]["api"] == pytest.approx(SINGLE_S["api"], rel=0.02)


def test_one_api_process_binds_the_closed_load_and_two_are_bound_by_the_cores() -> None:
    one = said_of_closed(costs(), ONE, seed=1).metrics["maximum_per_s"]
    two = said_of_closed(costs(), TWO, seed=1).metrics["maximum_per_s"]
    by_cores = 2 / (sum(BURST_S.values()) + GENERATOR_S)
    assert one <= 1 / BURST_S["api"]
    assert 0.85 * min(by_cores, 1 / BURST_S["api"]) < one < two
    assert two == pytest.approx(by_cores, rel=0.05)


def test_a_closed_load_is_kept_to_its_number_by_the_model_too() -> None:
    model = model_of(costs(), ONE, 100.0, costs_at(costs(), ONE, 100.0, SHARES), is_closed=True)
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
    model = model_of(costs(0.2), ONE, 1.0, costs_at(costs(0.2), ONE, 1.0, SHARES))
    plain = model_of(costs(), ONE, 1.0, costs_at(costs(), ONE, 1.0, SHARES))
    (with_stalls,), (without,) = (
        [route.steps[0].demand.expected_s for route in each.routes if route.operation == "detail"]
        for each in (model, plain)
    )
    assert with_stalls == pytest.approx(without / 0.8)


def test_the_requests_of_a_cell_are_its_own_and_come_back_the_same() -> None:
    first, again = (trace_at(ONE, 200.0, seed=5) for _ in range(2))
    assert first.arrival_s.tolist() == again.arrival_s.tolist()
    assert first.arrival_s.tolist() != trace_at(ONE, 200.0, seed=6).arrival_s.tolist()


def test_bursts_hold_the_same_requests_a_handful_at_once() -> None:
    trace = trace_at(ONE, 100.0, seed=1)
    bursts = in_bursts(trace)
    assert bursts.key.tolist() == trace.key.tolist()
    _, counts = np.unique(bursts.arrival_s, return_counts=True)
    assert set(counts[:-1].tolist()) == {BURST}


def test_plainer_models_see_the_same_cell_and_give_up_where_a_part_is_full() -> None:
    found = costs_at(costs(), ONE, 300.0, SHARES)
    told = {each.model: each for each in plainer(costs(), ONE, 300.0, found)}
    assert set(told) == {"analytic", "M/M/c", "utilisation only"}
    assert all(each.mean_s is not None and each.mean_s > 0.003 for each in told.values())
    full = plainer(costs(), ONE, 2_000.0, costs_at(costs(), ONE, 2_000.0, SHARES))
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
        cell("at-55", 0.12),
        cell("at-70", 5.0, valid=False),
        cell("closed", 0.30),
    )
    rows = {row[0]: row for row in promised(cells)}
    assert rows["p50, blind"][2:] == ("12.0%", "yes", "3", "-20%")
    assert rows["maximum throughput, blind"][2:4] == ("30.0%", "**no**")
    assert rows["p99, given its state"][2:4] == ("5.0%", "yes")
    occasion = NativeOccasion(name="noon", machine={"cores": 2}, calibrations={}, cells=cells)
    text = native_section([occasion])
    assert "5 cells over 1 systems, 4 valid (80%)" in text
    assert "at-70, try 1: INVALID: steal: 20.00%, limit 5.00%" in text
    assert text.count("| yes |") == 4 + sum(row[3] == "yes" for row in rows.values())


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
