"""CPU credits against AWS's own worked examples and a recorded day worked out by hand."""

import csv
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.cost import price_book
from sim.cost.burst import api_credit_day, credit_lines
from sim.cost.credits import CreditDay, bought_vcpu_h, burstable_types, credit_day
from sim.errors import InvalidScenario
from sim.scenario import Scenario
from sim.scenario_file import load_scenario, scenario_from

SCENARIOS = Path(__file__).parents[2] / "scenarios"
BOOK = price_book("2026-07")
HOUR_S = 3600.0


def then(sku: str, before: CreditDay | None, vcpus: float, hours: int, **more: object) -> CreditDay:
    """Some hours at so many vCPUs; before a first of them the instance has nothing."""
    kept = 0.0 if before is None else float(before.balance[-1])
    assert kept >= 0, "an example that begins with debts is one call"
    return credit_day(sku, [vcpus] * hours, HOUR_S, start=kept, used_to_it=False, **more)


def test_awss_t3_nano_example_ends_each_phase_with_the_credits_it_states() -> None:
    # Amazon EC2 User Guide, "Unlimited mode examples", example 1, T3 Unlimited:
    # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/unlimited-mode-examples.html
    idle = then("t3.nano", None, 0.0, 24)
    assert idle.balance[-1] == pytest.approx(144)  # P1
    low = then("t3.nano", idle, 2 * 0.025, 12)
    assert low.balance[-1] == pytest.approx(144)  # P2: cannot exceed its maximum
    above = then("t3.nano", low, 2 * 0.07, 24)
    assert above.balance[-1] == pytest.approx(86.4)  # P3: 57.6 less
    again = then("t3.nano", above, 2 * 0.025, 12)
    assert again.balance[-1] == pytest.approx(122.4)  # P4: the guide says 122
    last = [2.0] * 5 + [2 * 0.05] * 13 + [0.0] * 24
    end = credit_day("t3.nano", last, HOUR_S, start=122.4, used_to_it=False)
    assert end.charged == pytest.approx(304, abs=0.5)  # P5: 570 spent, 122 kept, 144 may be owed
    assert end.balance[4] == pytest.approx(-144)
    assert end.balance[17] == pytest.approx(-144)  # P6: at the baseline nothing is paid back
    assert end.balance[-1] == pytest.approx(0)  # P7: a day of rest pays the surplus back


def test_awss_bill_for_25_surplus_credits_is_met_to_the_cent() -> None:
    # The same page, example 2: 25 surplus credits are 0.42 vCPU-hours × $0.05 = $0.021, so $0.02.
    price = BOOK.find(
        "AWS",
        "EC2 CPU credits beyond the baseline",
        "T3 Linux",
        "us-east-1",
        unit="vCPU-hour",
        path="x",
    )
    assert round(25 / 60 * price.price_usd, 2) == 0.02


def recorded_day(day: str) -> list[int]:
    """Requests per minute of a day of the shipped recording."""
    text = files("sim").joinpath("data", "recordings", "nasa-http-1995.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return [int(row["requests"]) for row in rows if row["minute_start"].startswith(day)]


def test_a_recorded_day_of_a_t3_medium_agrees_with_a_hand_calculation() -> None:
    # 13 July 1995, the launch of STS-70: 134,203 requests. At 0.29 s of CPU a request that is
    # 134,203 × 0.29 / 60 = 648.648 credits spent, where 24 × 24 = 576 are earned.
    minutes = recorded_day("1995-07-13")
    assert (len(minutes), sum(minutes)) == (1440, 134_203)
    busy = [count * 0.29 / 60 for count in minutes]
    assert max(busy) > 2 * 0.2  # above the baseline, or nothing would be shown
    day = credit_day("t3.medium", busy, 60.0, start=200.0, used_to_it=False)
    assert day.spent == pytest.approx(134_203 * 0.29 / 60)
    assert day.earned == pytest.approx(576.0)
    # Full at no time and never owing more than allowed: begins with 200, ends 72.648 lower.
    assert day.balance.max() < 576
    assert day.charged == 0
    assert day.balance[-1] == pytest.approx(127.352167)


def test_a_recorded_day_runs_dry_in_the_minute_that_adding_up_by_hand_gives() -> None:
    minutes = recorded_day("1995-07-13")
    kept, dry, charged = 0.0, None, 0.0
    for number, count in enumerate(minutes):
        kept += 24 / 60 - min(count * 1.2 / 60, 2.0)  # at most both vCPUs
        kept = min(kept, 576.0)
        if kept < -576.0:
            charged += -576.0 - kept
            kept = -576.0
        if dry is None and kept <= 0 and count * 1.2 / 60 > 0.4:
            dry = number + 1
    day = credit_day("t3.medium", [c * 1.2 / 60 for c in minutes], 60.0, used_to_it=False)
    assert dry is not None
    assert day.dry_from_h == pytest.approx(dry / 60)
    assert charged > 0
    assert day.charged == pytest.approx(charged)
    standard = credit_day(
        "t3.medium", [c * 1.2 / 60 for c in minutes], 60.0, mode="standard", used_to_it=False
    )
    assert standard.charged == 0
    assert standard.withheld > 0
    assert standard.spent + standard.withheld == pytest.approx(day.spent)
    assert standard.balance.min() >= 0


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=60),
    st.sampled_from(sorted(burstable_types())),
    st.sampled_from(["unlimited", "standard"]),
)
def test_no_credit_is_made_or_lost_but_at_a_full_balance(
    busy: list[float], sku: str, mode: str
) -> None:
    day = credit_day(sku, busy, 600.0, mode=mode, used_to_it=False)  # type: ignore[arg-type]
    most = burstable_types()[sku].most_credits
    assert np.all(np.abs(day.balance) <= most + 1e-9)
    kept = day.earned - day.spent + day.charged
    assert day.balance[-1] <= kept + 1e-6  # less, where credits came to a full balance
    if day.balance.max() < most - 1e-6:
        assert day.balance[-1] == pytest.approx(kept, abs=1e-6)


@given(st.floats(0.01, 1.0), st.floats(1.0, 1.5))
def test_more_work_never_means_a_smaller_surcharge(busy: float, factor: float) -> None:
    less, more = (credit_day("t3.medium", [busy * f] * 24, HOUR_S).charged for f in (1.0, factor))
    assert less <= more + 1e-9


def changed(changes: dict[str, object]) -> Scenario:
    data = load_scenario(SCENARIOS / "million-users.yaml").model_dump(mode="json")
    for path, value in changes.items():
        section = data
        *above, last = path.split(".")
        for part in above:
            section = section[part]
        section[last] = value
    return scenario_from(data)


@pytest.mark.parametrize("sku", ["t3.medium", "t4g.medium"])
def test_many_levels_at_once_buy_what_each_day_by_itself_does(sku: str) -> None:
    shape = np.array([0.2, 0.5, 1.0, 3.0, 0.3])
    levels = np.array([0.0, 0.1, 0.39, 0.41, 0.6, 1.0])
    bought = bought_vcpu_h(sku, shape, levels, 17_280.0)
    for level, hours in zip(levels, bought, strict=True):
        day = credit_day(sku, np.minimum(shape * level, 1.0), 17_280.0)
        assert hours == pytest.approx(day.charged_per_month / 60.0, abs=1e-9)
    assert bought[0] == 0
    assert bought[-1] > 0


def test_who_spends_more_than_is_earned_pays_the_difference_in_the_long_run() -> None:
    """What is owed is never forgiven: half a vCPU against a baseline of 0.4 is 0.1 × 730 h."""
    day = credit_day("t3.medium", [0.2, 0.8], 43_200.0)
    assert day.charged_per_month / 60.0 == pytest.approx(0.1 * 730.0)


def test_three_t3_medium_have_credits_to_spare_for_half_a_million_requests_a_day() -> None:
    day = api_credit_day(changed({}), 0.005)
    assert day is not None
    # 500,000 × 5 ms / 60 / 3 servers = 13.9 credits a day, of 576
    assert day.spent == pytest.approx(500_000 * 0.005 / 60 / 3)
    assert (day.charged, day.dry_from_h) == (0, None)


def test_the_surcharge_of_a_busy_tier_is_a_line_of_the_bill_worked_out_by_hand() -> None:
    # One server, always 0.9 vCPU busy: 54 credits an hour where 24 are earned.
    flat = {
        "workload.profile": {"kind": "constant"},
        "topology.api.replicas": 1,
        "workload.registered_users": 864_000,
        "workload.daily_active_fraction": 1.0,
        "workload.requests_per_session": 1.0,
    }
    (line,) = credit_lines(changed(flat), BOOK, (0.09, 0.09, 0.09), 1)  # 10 requests/s × 90 ms
    assert line.usd_per_month == pytest.approx((54 - 24) / 60 * 730 * 0.05)
    assert line.component == "compute"
    assert credit_lines(changed(flat | {"prices.credits": "standard"}), BOOK, (0.09,) * 3, 1) == []
    fixed = changed(flat | {"topology.api.instance_type": "m5.large"})
    assert api_credit_day(fixed, 0.09) is None
    assert credit_lines(fixed, BOOK, (0.09,) * 3, 1) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("m5.large", [1.0], 60.0), "sku: 'm5.large'"),
        (("t3.medium", [], 60.0), "busy_vcpus"),
        (("t3.medium", [-1.0], 60.0), "busy_vcpus"),
        (("t3.medium", [float("nan")], 60.0), "busy_vcpus"),
        (("t3.medium", [1.0], 0.0), "step_s"),
    ],
)
def test_an_impossible_curve_is_one_error(arguments: tuple[object, ...], expected: str) -> None:
    with pytest.raises(InvalidScenario) as caught:
        credit_day(*arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(expected)
    with pytest.raises(InvalidScenario, match="mode"):
        credit_day("t3.medium", [1.0], 60.0, mode="forever")  # type: ignore[arg-type]
    with pytest.raises(InvalidScenario, match="start"):
        credit_day("t3.medium", [1.0], 60.0, start=1e6)


def test_a_load_below_the_earnings_keeps_what_each_step_leaves_up_to_the_most() -> None:
    rng = np.random.default_rng(5)
    busy = rng.uniform(0.0, 0.4, size=2_000)  # t3.medium earns 0.4 vCPU
    day = credit_day("t3.medium", busy, 600.0, start=30.0, used_to_it=False)
    kept, expected = 30.0, []
    for each in busy:
        kept = min(kept + 24.0 / 6.0 - each * 10.0, 576.0)
        expected.append(kept)
    assert day.balance == pytest.approx(expected)
    assert max(expected) == 576.0
    assert (day.charged, day.dry_from_h) == (0.0, None)
