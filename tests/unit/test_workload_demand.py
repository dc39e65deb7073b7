"""Demand curves and arrivals: totals, peaks, burstiness, and what is refused."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InvalidScenario
from sim.scenario import Catalogue, Operation, Profile, Workload
from sim.scenario_file import load_scenario
from sim.workload import (
    ClosedUsers,
    Demand,
    arrivals_s,
    concurrent_users,
    demand_of,
    demand_trace,
    diurnal_shape,
    fit_zipf,
    index_of_dispersion,
    session_trace,
    zipf_probabilities,
)

RECORDED = Profile(kind="recorded", recording="nasa-http-1995", peak_to_mean=7.38)
SCENARIOS = Path(__file__).parents[2] / "scenarios"


def workload(profile: Profile, **changes: object) -> Workload:
    fields: dict[str, object] = {
        "registered_users": 172_800,
        "daily_active_fraction": 0.5,
        "requests_per_session": 5,
        "profile": profile,
        "mix": {Operation.LIST: 0.5, Operation.FAVOURITES: 0.5},
        "catalogue": Catalogue(users=500),
    }
    return Workload.model_validate(fields | changes)


@settings(deadline=None, max_examples=40)
@given(peak_to_mean=st.floats(1, 1000), peak_hour=st.floats(0, 23.99))
def test_a_diurnal_day_has_mean_1_and_exactly_its_peak(peak_to_mean, peak_hour):
    shape = diurnal_shape(peak_to_mean, peak_hour)
    assert math.isclose(shape.mean(), 1.0, rel_tol=1e-9)
    assert math.isclose(shape.max(), peak_to_mean, rel_tol=1e-6)
    assert abs(int(shape.argmax()) * 10 - peak_hour * 3600) <= 10 or peak_to_mean < 1.001
    assert shape.min() >= 0


@pytest.mark.parametrize(
    "profile", [Profile(kind="constant"), Profile(), Profile(peak_to_mean=50.0), RECORDED]
)
def test_every_profile_keeps_the_daily_total_and_the_peak(profile):
    of = workload(profile)
    demand = demand_of(of)
    days = demand.period_s / 86_400
    assert math.isclose(
        demand.expected_requests(demand.period_s).item(), days * of.requests_per_day, rel_tol=1e-9
    )
    assert math.isclose(demand.peak_load_per_s, of.peak_load_per_s, rel_tol=0.01)
    again = demand.scaled_to(1234.5)
    assert math.isclose(again.expected_requests(demand.period_s).item(), days * 1234.5)


def test_the_recorded_flash_crowd_is_where_it_was():
    demand = demand_of(workload(RECORDED))
    assert demand.period_s == 14 * 86_400
    launch_minute = (12 * 24 * 60 + 9 * 60 + 49) * 60.0
    assert demand.load_per_s(launch_minute).item() == demand.peak_load_per_s


def test_a_recording_whose_peak_the_scenario_misstates_is_refused():
    with pytest.raises(InvalidScenario, match=r"peak_to_mean: 2.5 .* 7\.38"):
        demand_of(workload(RECORDED.model_copy(update={"peak_to_mean": 2.5})))


@pytest.mark.parametrize("name", ["nope", "../cpu_scores", "", "nasa-http-1995.csv"])
def test_an_unknown_recording_is_refused_with_the_known_ones(name):
    with pytest.raises(InvalidScenario, match="one of nasa-http-1995"):
        demand_of(workload(RECORDED.model_copy(update={"recording": name})))


def test_the_flash_crowd_scenario_has_a_demand_and_a_trace():
    of = load_scenario(SCENARIOS / "flash-crowd.yaml").workload
    start_s = (12 * 24 + 9.75) * 3600.0
    trace = demand_trace(of, 600.0, np.random.default_rng(1), start_s=start_s)
    expected = np.diff(demand_of(of).expected_requests([start_s, start_s + 600])).item()
    # Twice the standard deviation of Poisson counts covers dispersion 1.6 at 99.9 %.
    assert abs(len(trace) - expected) < 3.3 * math.sqrt(1.6 * expected)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.lists(st.floats(0.01, 50), min_size=1, max_size=30),
    requests=st.floats(0, 1e6),
)
def test_expected_requests_and_their_time_are_inverse(shape, requests):
    curve = np.array(shape) / np.mean(shape)
    demand = Demand(60.0, curve, 7.0)
    back = demand.expected_requests(demand.time_of(requests)).item()
    assert math.isclose(back, requests, rel_tol=1e-9, abs_tol=1e-6)


@pytest.mark.parametrize("dispersion", [1.0, 1.6, 8.0])
def test_arrivals_follow_the_curve(dispersion):
    """Arrivals in each quarter of a steep day against the expected ones, within 4.5 sigma."""
    demand = demand_of(workload(Profile(peak_to_mean=4.0)))
    times = arrivals_s(demand, 86_400.0, np.random.default_rng(5), index_of_dispersion=dispersion)
    assert np.all(np.diff(times) >= 0)
    assert times[0] >= 0
    assert times[-1] < 86_400
    edges = np.linspace(0, 86_400, 5)
    found = np.histogram(times, edges)[0]
    expected = np.diff(demand.expected_requests(edges))
    assert np.all(np.abs(found - expected) < 4.5 * np.sqrt(dispersion * expected))


@pytest.mark.parametrize("dispersion", [1.0, 1.6, 8.0])
def test_arrivals_have_the_index_of_dispersion_asked_for(dispersion):
    demand = Demand(86_400.0, np.ones(1), 5.0)
    times = arrivals_s(demand, 40_000.0, np.random.default_rng(6), index_of_dispersion=dispersion)
    counts = np.histogram(times, np.arange(40_001))[0]
    found = index_of_dispersion(counts)
    # Standard error of variance/mean; the kurtosis of bursty counts is what widens it.
    error = dispersion * math.sqrt((2 + 6 * (dispersion - 1) / 5 + 3 / 5) / 40_000)
    assert abs(found - dispersion) < 4 * error
    by_ten = counts.reshape(-1, 10).sum(axis=1)
    assert abs(index_of_dispersion(by_ten) - dispersion) < 4 * error * math.sqrt(10)


def test_the_recorded_launch_morning_is_burstier_than_its_minutes_explain():
    """Slow change within the curve must not be read as burstiness."""
    demand = demand_of(workload(RECORDED))
    times = arrivals_s(demand, 86_400.0, np.random.default_rng(8), start_s=12 * 86_400.0)
    counts = np.histogram(times, np.arange(86_401))[0]
    assert abs(index_of_dispersion(counts) - 1.0) < 4.5 * math.sqrt(2 / 86_400)
    assert index_of_dispersion(counts, seconds=86_400) > 1.5


def test_a_silent_demand_brings_nobody():
    demand = Demand(60.0, np.ones(1), 0.0)
    assert arrivals_s(demand, 100.0, np.random.default_rng(1)).size == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"duration_s": 0.0},
        {"duration_s": math.nan},
        {"duration_s": math.inf},
        {"duration_s": 1e12},
        {"start_s": -1.0},
        {"start_s": math.nan},
        {"index_of_dispersion": 0.5},
        {"index_of_dispersion": math.nan},
        {"index_of_dispersion": 1e9},
    ],
)
def test_arrivals_outside_their_domain_are_refused(changes):
    demand = Demand(60.0, np.ones(1), 10.0)
    with pytest.raises(InvalidScenario, match=r"arrivals\."):
        arrivals_s(demand, **({"duration_s": 10.0, "rng": np.random.default_rng(1)} | changes))


@pytest.mark.parametrize("peak", [0.5, math.nan, math.inf, 1e6])
def test_a_diurnal_peak_outside_its_domain_is_refused(peak):
    with pytest.raises(InvalidScenario, match="peak_to_mean"):
        diurnal_shape(peak, 12.0)


def test_sessions_keep_load_users_and_length():
    of = workload(Profile(kind="constant"), requests_per_session=4.0, think_time_s=20.0)
    trace = session_trace(of, 50.0, 2000.0, np.random.default_rng(3))
    # Requests come in clusters of geometric size, mean 4: variance/mean up to 2·4 - 1.
    assert abs(len(trace) - 100_000) < 4 * math.sqrt(7 * 100_000)
    halves = np.histogram(trace.arrival_s, 2, (0, 2000))[0]
    assert abs(halves[0] - halves[1]) < 4 * math.sqrt(7 * 100_000)
    assert np.all(np.diff(trace.arrival_s) >= 0)
    popular = np.bincount(trace.user, minlength=500) / len(trace)
    expected = zipf_probabilities(500, of.popularity.users_zipf)
    assert abs(popular[0] - expected[0]) < 5 * math.sqrt(7 * expected[0] / len(trace))
    own = trace.is_operation(Operation.FAVOURITES)
    assert np.array_equal(trace.key[own], trace.user[own])


def test_half_a_million_requests_a_day_keep_no_ten_thousand_users_online():
    """Two claims of the design document contradict each other: 10,000 need sessions of hours."""
    of = load_scenario(SCENARIOS / "million-users.yaml").workload
    assert of.requests_per_day == 500_000
    assert 250 < concurrent_users(of, response_s=0.2) < 400


def test_closed_users_slow_down_with_the_response_time():
    users = ClosedUsers(100, 9.0)
    assert users.load_per_s(1.0) == 10.0
    assert users.load_per_s(11.0) == 5.0
    drawn = users.think_times_s(40_000, np.random.default_rng(2))
    assert abs(drawn.mean() - 9.0) < 4.5 * 9.0 / 200


@pytest.mark.parametrize(
    ("users", "think"), [(0, 1), (-1, 1), (math.nan, 1), (1, -1), (1, math.inf)]
)
def test_closed_users_outside_their_domain_are_refused(users, think):
    with pytest.raises(InvalidScenario, match=r"closed\."):
        ClosedUsers(users, think)


@pytest.mark.parametrize("exponent", [0.3, 0.6, 0.9, 1.2])
@pytest.mark.parametrize(("items", "lookups"), [(200, 2000), (2000, 50_000), (20_000, 300_000)])
def test_a_zipf_fit_finds_the_law_it_was_drawn_from(items, lookups, exponent):
    """The truth within 1.75 half-widths of the 95 % interval, i.e. 3.4 standard errors."""
    counts = np.random.default_rng(4).multinomial(lookups, zipf_probabilities(items, exponent))
    fit = fit_zipf(counts[counts > 0], np.random.default_rng(5), samples=40)
    half = (fit.high - fit.low) / 2
    assert abs(fit.exponent - exponent) < 1.75 * half
    assert half < 0.06
    assert 0.95 * items < fit.items < 1.1 * items
    assert fit.fits > 0.02


def test_a_popularity_that_is_no_zipf_law_does_not_fit():
    two_kinds = np.concatenate([np.full(50, 1000), np.full(500, 20)])
    assert fit_zipf(two_kinds, np.random.default_rng(1), samples=40).fits < 0.03


def test_a_fit_without_clear_ranks_admits_that_it_knows_nothing():
    fit = fit_zipf(np.ones(500), np.random.default_rng(1), samples=20)
    assert (fit.low, fit.high) == (0.0, 5.0)


@pytest.mark.parametrize(
    "counts", [[], [5000], [1, 2], [0, 500], [-5, 500], [math.nan, 500], [math.inf, 500]]
)
def test_counts_that_hold_no_popularity_are_refused(counts):
    with pytest.raises(InvalidScenario, match=r"fit\.counts"):
        fit_zipf(counts, np.random.default_rng(1))


@pytest.mark.parametrize("counts", [[-1.0], [math.nan], [[1.0]], [math.inf]])
def test_dispersion_of_what_are_no_counts_is_refused(counts):
    with pytest.raises(InvalidScenario, match=r"fit\.counts_per_s"):
        index_of_dispersion(counts)


def test_dispersion_of_nothing_is_that_of_poisson():
    assert index_of_dispersion([]) == index_of_dispersion(np.zeros(120)) == 1.0
