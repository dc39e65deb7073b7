"""Closed users: how many a load needs, what their cells hold, and what is refused."""

import numpy as np
import pytest

from headroom.fidelity.artefacts import Constants
from headroom.fidelity.cells import Cell
from headroom.fidelity.closed import UNSENT, users_for
from headroom.fidelity.predicted import asked_of, at_load, model_of, simulated
from headroom.fidelity.topologies import topology
from headroom.traces import cells_of, trace_of
from sim.errors import InvalidScenario
from sim.example import shop
from sim.queueing.mva import mva_exact
from sim.scenario_file import scenario_from
from sim.workload import user_trace
from stack.service.held import Visits


def test_think_times_depend_on_seed_user_and_visit_alone() -> None:
    workload = shop().workload.model_copy(update={"think_time_s": 2.0})

    def think_s(users: int, duration_s: float, seed: int) -> np.ndarray:
        asked = user_trace(workload, users, duration_s, np.random.default_rng(1), seed=seed)
        return asked.think_s.reshape(-1, users)

    few, many = think_s(3, 20.0, 5), think_s(9, 60.0, 5)
    assert len(few) > 4
    np.testing.assert_array_equal(few[1:], many[1 : len(few), :3])
    assert not np.isin(think_s(3, 20.0, 6), few).any()
    assert many.mean() == pytest.approx(2.0, rel=0.3)


def test_nobody_runs_out_of_requests_before_the_end() -> None:
    workload = shop().workload.model_copy(update={"think_time_s": 0.5})
    asked = user_trace(workload, 20, 30.0, np.random.default_rng(1), seed=1)
    assert (asked.think_s.reshape(-1, 20).sum(axis=0) >= 30.0).all()
    assert (asked.requests.arrival_s <= asked.until_s).all()


def test_a_load_is_asked_for_by_as_few_users_as_mean_value_analysis_finds() -> None:
    work_s = {"one": (0.02, 1), "two": (0.03, 2)}
    users = users_for(40.0, 0.5, work_s)

    def rate_per_s(users: int) -> float:
        return mva_exact([[0.02, 0.015]], [users], [0.515]).throughput_per_s[0]

    assert rate_per_s(users) >= 40.0 > rate_per_s(users - 1)


def test_so_many_users_utilise_the_busiest_machine_nearly_as_wanted() -> None:
    target = 0.7
    base, shares = topology("closed-users"), []
    for seed in range(5):
        cell = at_load(base, Cell("at", target, 1.0, seed=seed), target)
        found = simulated(base, cell, model_of(base))
        shares.append(found.metrics["utilisation.api"])
    assert np.mean(shares) == pytest.approx(target, rel=0.05)
    sent = np.isfinite(found.trace.arrival_s)
    assert (found.run.outcome[~sent] == UNSENT).all()
    assert found.run.is_ok[sent].all()


def test_what_is_real_and_not_held_puts_no_later_request_off() -> None:
    base, cell = topology("closed-users"), Cell("at", 0.5, 10.0, seed=3, users=40)
    constants = Constants(
        outside_s=0.2,
        visit_s=0.01,
        requests=1,
        overhead_fraction=0.0,
        needed_scale=1.0,
        overruns_fraction=0.0,
    )
    bare = simulated(base, cell, model_of(base))
    more = simulated(base, cell, model_of(base, constants))
    np.testing.assert_array_equal(bare.trace.arrival_s, more.trace.arrival_s)
    sent = np.isfinite(bare.trace.arrival_s)
    beyond_s = (more.run.sojourn_s - bare.run.sojourn_s)[sent]
    assert beyond_s.min() >= 0.2 + 3 * 0.01 - 1e-9  # three holds at least
    assert beyond_s.max() <= 0.2 + 5 * 0.01 + 1e-9
    assert asked_of(cell, base).users == 40


def test_an_answer_tells_when_it_left_the_last_machine() -> None:
    start = {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}
    visits = Visits(None, None, None, 12.25)  # type: ignore[arg-type] # asks no machine
    assert visits.told(start)["headers"] == [(b"a", b"b"), (b"x-left", b"12.250000")]
    untold = Visits(None, None, None, None)  # type: ignore[arg-type]
    assert untold.told(start) == start


def test_closed_users_who_do_not_think_are_refused() -> None:
    written = shop().model_dump(mode="json")
    written["workload"] |= {"kind": "closed", "think_time_s": 0.0}
    with pytest.raises(InvalidScenario, match=r"workload.think_time_s: 0.0 .*allowed: .*> 0"):
        scenario_from(written)


def test_closed_users_are_not_offered_as_if_they_were_open() -> None:
    scenario = shop()
    workload = scenario.workload.model_copy(update={"kind": "closed"})
    closed = scenario.model_copy(update={"workload": workload})
    with pytest.raises(InvalidScenario, match=r"workload.kind: 'closed' .*fidelity run"):
        trace_of(closed, cells_of(closed)[0])
