"""A crowd on emulated machines that come and go: what is offered, foretold, compared and told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from example_run import conditions

from headroom.arguments import scenario_at
from headroom.commands import emulated as emulated_commands
from headroom.commands.emulated import emulated_topology
from headroom.dilation import emulation_of
from headroom.emulated import on_machines, state_in_words, without_autoscaler
from headroom.errors import CalibrationError, ScaleTooSmall
from headroom.fidelity.artefacts import Constants
from headroom.fidelity.constants import require_scale
from headroom.fidelity.predicted import model_of
from headroom.fidelity.record import FidelityRecord
from headroom.fidelity.replay.crowd import (
    MACHINES_AT_PEAK,
    Crowd,
    Foretold,
    agreement,
    crowd_of,
    foretold,
    from_decisions,
    mean_machines,
    predicted_replay,
)
from headroom.fidelity.replay.measured import (
    boot_late_s,
    changes,
    compared,
    in_words,
    lag_s,
    live_serving,
    overruns_fraction,
    require_patience,
)
from headroom.fidelity.replay.page import chart, replay_html, replay_section
from headroom.fidelity.replay.plainer import plainer_serving
from headroom.fidelity.replay.records import Look, MeasuredReplay, PredictedReplay, Serving
from headroom.live import stack_spec
from stack.local import AutoscalerEntry
from stack.local.autoscaler_log import appended, entries

Said = tuple[PredictedReplay, Foretold]
CONSTANTS = Constants(
    outside_s=0.004,
    visit_s=0.002,
    requests=500,
    overhead_fraction=0.02,
    needed_scale=40.0,
    overruns_fraction=0.0,
)


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return Crowd(scenario_at("flash-crowd"), minutes=24.0, seed=6)


def test_every_time_of_the_autoscaler_stretches_by_the_scale():
    base = on_machines(scenario_at("flash-crowd"), scale=20.0)
    policy = stack_spec(base.scenario, emulation=emulation_of(model_of(base), 20.0)).autoscaling
    assert policy is not None
    assert (policy.period_s, policy.boot_s, policy.cooldown_s) == (1200.0, 1800.0, 6000.0)
    assert stack_spec(scenario_at("flash-crowd")).autoscaling is None  # of a native stack: none


def test_a_replay_has_all_slow_times_go_by_as_fast_as_the_day(crowd):
    spec = stack_spec(crowd.topology.scenario, emulation=emulation_of(model_of(crowd.topology), 40))
    policy = spec.autoscaling
    assert policy is not None
    assert (policy.period_s, policy.boot_s, policy.cooldown_s) == (5.0, 7.5, 25.0)
    assert '"listing": 25.0' in spec.service_env["HEADROOM_CACHE_TTL_S"]  # 300 s of the day
    assert crowd.duration_s == 120.0
    assert crowd.topology.scenario.topology.api.timeout_s == 10.0  # dilated, not sped up


def test_the_highest_minute_takes_nine_machines_at_the_autoscaler_s_target(crowd):
    used = crowd.demand.peak_load_per_s * crowd.held_s
    assert used / (crowd.slots * 0.6) == pytest.approx(MACHINES_AT_PEAK)
    trace = crowd.trace()
    expected = np.diff(crowd.demand.expected_requests([crowd.begin_s, crowd.begin_s + 120.0]))[0]
    assert len(trace) == pytest.approx(expected, abs=5 * np.sqrt(1.6 * expected))


def test_machines_come_when_they_have_booted_and_go_at_once(crowd):
    assert in_words(from_decisions([(10.0, 5), (40.0, 4)], crowd)) == (
        "3 from 0 s, 5 from 18 s, 4 from 40 s"
    )
    assert mean_machines(from_decisions([(2.5, 5)], crowd), 0.0, 20.0) == pytest.approx(4.0)


def test_the_model_has_machines_come_and_go_within_the_policy(crowd):
    found = foretold(crowd, model_of(crowd.topology, CONSTANTS))
    counts = [each.machines for each in found.serving]
    assert min(counts) >= 3
    assert max(counts) <= 10
    assert max(counts) > counts[-1] > counts[0]
    assert found.run.is_ok.all()


def test_the_mean_curve_alone_foretells_other_machines_than_the_full_model(crowd):
    full = foretold(crowd, model_of(crowd.topology, CONSTANTS)).serving
    plainer = plainer_serving(crowd)
    assert {each.machines for each in plainer} <= set(range(3, 11))
    assert len(plainer) > 2
    assert plainer != full


SAID = (
    Serving(from_s=0.0, machines=3),
    Serving(from_s=30.0, machines=5),
    Serving(from_s=90.0, machines=4),
)


def later(serving, by_s):
    first, *rest = serving
    return (first, *(each.model_copy(update={"from_s": each.from_s + by_s}) for each in rest))


@pytest.mark.parametrize("by_s", [0.0, 2.0, -3.0])
def test_the_lag_is_by_how_much_later_machines_came_and_went(crowd, by_s):
    assert lag_s(crowd, SAID, later(SAID, by_s)) == pytest.approx(by_s, abs=0.051)


def test_agreement_is_the_share_of_time_with_as_many_machines(crowd):
    live = later(SAID, 6.0)  # 2 fewer for 6 s, then 1 more for 6 s, of 120 s
    assert agreement(crowd, SAID, live, 0) == pytest.approx(0.9, abs=0.001)
    assert agreement(crowd, SAID, live, 1) == pytest.approx(0.95, abs=0.001)


LOOKS = (
    Look(at_s=5.0, used_fraction=0.4, active=3, wanted=3),
    Look(at_s=10.0, used_fraction=0.9, active=3, wanted=5),
    Look(at_s=15.0, used_fraction=0.9, active=3, wanted=5),
    Look(at_s=40.0, used_fraction=0.3, active=5, wanted=3),
)


def test_a_decision_is_a_look_that_wants_another_number(crowd):
    assert [look.at_s for look in changes(LOOKS)] == [10.0, 40.0]
    assert boot_late_s(crowd, changes(LOOKS), from_decisions([(10.0, 5)], crowd)) == 0.0
    late = (Serving(from_s=0.0, machines=3), Serving(from_s=19.0, machines=5))
    assert boot_late_s(crowd, changes(LOOKS), late) == 1.5


def entry(event, at_s, active=3, wanted=3, **more):
    return AutoscalerEntry(event=event, at_s=at_s, active=active, wanted=wanted, **more)


def test_what_the_balancer_was_told_counts_not_what_was_wanted(crowd):
    log = [
        entry("held", 99.0),  # by the clock of before
        entry("looked", 10.0, wanted=5),
        entry("serving", 17.6, active=5, wanted=5),
        entry("serving", 130.0, active=4, wanted=4),  # after the last request
    ]
    assert in_words(live_serving(crowd, log)) == "3 from 0 s, 5 from 18 s"


def test_holds_before_the_crowd_are_not_counted_as_overrun():
    log = [entry("held", 0.0, visits=400, overruns=40), entry("held", 9.0, visits=900, overruns=45)]
    assert overruns_fraction(log) == 0.01


def test_a_line_that_is_being_written_is_not_read(tmp_path):
    appended(tmp_path, entry("looked", 5.0))
    with (tmp_path / "autoscaler.jsonl").open("a") as log:
        log.write('{"event": "loo')
    assert [each.at_s for each in entries(tmp_path)] == [5.0]
    assert entries(tmp_path / "none") == ()


@pytest.fixture(scope="module")
def said(crowd: Crowd) -> Said:
    return predicted_replay(crowd, CONSTANTS, "flash-crowd")


def measured(crowd: Crowd, said: Said, boots_later_s: float = 0.1) -> MeasuredReplay:
    """The model's own requests given back, machines a little later, as if they had been live."""
    prediction, exact = said
    log = [entry("held", 0.0)]
    for at_s, _, wanted in exact.run.scaling:
        active = log[-1].active
        later_s = crowd.boot_s if wanted > active else 0.0
        log.append(entry("looked", at_s, active=active, wanted=wanted, used_fraction=0.7))
        if at_s + later_s < crowd.duration_s:
            came_s = at_s + later_s + boots_later_s
            log.append(entry("serving", came_s, active=wanted, wanted=wanted))
    log.append(entry("held", 125.0, visits=1000, overruns=1, busy_s=700.0))
    started = datetime(2026, 11, 25, 18, tzinfo=UTC)
    found = SimpleNamespace(
        entries=tuple(log),
        requests=SimpleNamespace(
            latency_s=exact.run.sojourn_s + 0.01, answered=np.ones(len(exact.trace), bool)
        ),
        result=SimpleNamespace(
            started_at=started,
            finished_at=started + timedelta(minutes=2),
            validity=conditions(12.0, valid=True),
        ),
    )
    return compared(crowd, prediction, "a" * 64, exact, found, occasion="test")


def test_a_replay_that_went_as_foretold_says_so(crowd, said):
    found = measured(crowd, said)
    assert found.valid
    assert found.same_fraction > 0.98
    assert found.lag_periods == pytest.approx(0.02, abs=0.011)
    assert found.same_decisions == found.predicted_decisions == found.decisions
    assert found.kin_fraction > 0.9
    assert (found.failed, found.requests) == (0, found.prediction.requests)
    section = replay_section([found])
    assert "emulation (dilated ×40" in section
    foretold_line, live_line, *_ = chart(found)
    assert foretold_line.removeprefix("foretold") == live_line.removeprefix("live    ")
    assert len(foretold_line.split()[1]) == 24  # a letter a period
    assert foretold_line in section
    assert "INVALID" not in section


def test_the_model_agrees_with_itself_the_less_the_closer_a_look_is_to_another_decision(said):
    prediction, _ = said
    assert 0.0 < prediction.kin_fraction <= 1.0
    assert all(3 <= each.low <= each.high <= 10 for each in prediction.kin)
    assert {each.low == each.high for each in prediction.kin[:4]} == {True}  # nobody booted yet


def test_machines_that_boot_too_late_make_a_replay_invalid(crowd, said):
    found = measured(crowd, said, boots_later_s=3.0)
    assert not found.valid
    assert found.boot_late_s == pytest.approx(3.0)
    assert "INVALID: a machine served 3.0 s after it should have booted" in replay_section([found])


def test_replays_are_kept_in_the_record_and_replaced_by_name(crowd, said, tmp_path: Path):
    found = measured(crowd, said)
    record = FidelityRecord(occasions=()).with_replays([found]).with_replays([found])
    record.store(tmp_path / "record.json")
    (kept,) = FidelityRecord.of(tmp_path / "record.json").replays
    assert kept.same_decisions == found.same_decisions
    assert kept.windows[0].p95_s == pytest.approx(found.windows[0].p95_s, rel=1e-5)
    assert replay_section([]) == ""


def test_the_page_of_a_replay_opens_offline_and_says_that_it_is_an_emulation(crowd, said):
    page = replay_html(measured(crowd, said))
    assert "emulation (dilated ×40" in page
    assert 'src="http' not in page
    assert "machines, foretold" in page


@pytest.mark.parametrize(
    ("name", "lacks"),
    [("million-users", "topology.api.autoscaling is missing"), ("laptop", "autoscaling")],
)
def test_a_scenario_whose_machines_do_not_come_and_go_cannot_be_replayed(name, lacks):
    with pytest.raises(CalibrationError, match=lacks):
        crowd_of(scenario_at(name))


def test_a_replay_for_whose_answers_the_balancer_would_not_wait_is_refused(said):
    prediction, _ = said
    require_patience(prediction)
    with pytest.raises(CalibrationError, match=r"to take 31 s of real time.*waits 30 s"):
        require_patience(prediction.model_copy(update={"longest_s": 31.0}))


def test_a_scale_that_the_machine_does_not_bear_is_refused_with_the_one_it_needs():
    base = emulated_topology(scenario_at("million-users"), 20.0, "3-10", 1.0)
    with pytest.raises(ScaleTooSmall, match=r"2% of the holds.*is 20, needed: 40"):
        require_scale(base, CONSTANTS)
    require_scale(base, CONSTANTS.model_copy(update={"needed_scale": 20.0}))


@pytest.mark.parametrize("error", [ScaleTooSmall("too slow"), CalibrationError("it was disturbed")])
def test_only_a_machine_that_is_too_slow_is_refused_not_one_that_was_disturbed(
    monkeypatch, capfd, error
):
    def measured_overheads(*_):  # neither kind of machine can be had at will
        raise error

    monkeypatch.setattr(emulated_commands, "measured_overheads", measured_overheads)
    base = emulated_topology(scenario_at("million-users"), None, "3-10", 1.0)
    if isinstance(error, ScaleTooSmall):
        with pytest.raises(ScaleTooSmall, match="too slow"):
            emulated_commands.check_scale(base, SimpleNamespace())
    else:
        emulated_commands.check_scale(base, SimpleNamespace())
        assert "is not known: it was disturbed" in " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize("machines", ["3", "10-3", "0-3", "three-ten"])
def test_a_range_of_machines_that_is_none_is_refused(machines):
    with pytest.raises(typer.BadParameter, match="allowed: fewest-most"):
        emulated_topology(scenario_at("million-users"), None, machines, 1.0)


def test_million_users_gets_three_to_ten_machines_and_an_autoscaler(tmp_path):
    base = emulated_topology(scenario_at("million-users"), None, "3-10", 1.0)
    assert base.scenario.time.scale == 20.0
    spec = stack_spec(base.scenario, emulation=emulation_of(model_of(base), 20.0))
    assert (spec.api_replicas, spec.autoscaling.max_replicas) == (3, 10)
    parts = [SimpleNamespace(name=f"api-{n}") for n in (1, 2, 3)]
    info = SimpleNamespace(spec=spec, folder=tmp_path, parts_of=lambda _: parts)
    assert state_in_words(info) == (
        "emulation (dilated ×20): 3 API machines of 2 slots; autoscaler: 3 to 10 at 60%, "
        "looks every 1200 s, has not looked yet"
    )
    appended(tmp_path, entry("looked", 1200.0, used_fraction=0.7, wanted=4))
    assert "3 serve, 4 wanted, 70% used in the last period" in state_in_words(info)
    still = without_autoscaler(base)
    assert len([s for s in model_of(still).stations if s.name.startswith("api")]) == 3
