"""Intervals and warm-up against tables and against repeated experiments with known truth."""

import json
import math
import subprocess
import sys
from pathlib import Path

import accuracy_page
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InvalidScenario, NotConverged
from sim.replicate import (
    batch_means_interval,
    batch_quantile_interval,
    mean_interval,
    mser5,
    paired_difference,
    quantile_interval,
)
from sim.replicate.student import binomial_below, t_quantile

ROOT = Path(__file__).parents[2]


def share_that_hold(experiment, truth, runs, seed):
    streams = np.random.default_rng(seed).spawn(runs)
    return np.mean([experiment(stream).holds(truth) for stream in streams])


def test_mean_intervals_of_normal_values_hold_95_percent():
    share = share_that_hold(lambda rng: mean_interval(rng.normal(3.0, 2.0, 8)), 3.0, 3000, 1)
    assert share == pytest.approx(0.95, abs=0.012)  # 3 standard errors


def test_order_statistics_hold_the_quantile_at_least_95_percent():
    truth = -math.log(0.05)
    share = share_that_hold(
        lambda rng: quantile_interval(rng.exponential(1.0, 200), 0.95), truth, 3000, 2
    )
    assert 0.94 <= share <= 0.985  # discrete ranks: never below nominal but for chance


def correlated(rng, size=20_000):
    """An AR(1) series with correlation 0.9: its neighbours are alike."""
    noise = rng.normal(0, math.sqrt(1 - 0.81), size)
    series = np.empty(size)
    last = rng.normal()
    for place in range(size):
        last = 0.9 * last + noise[place]
        series[place] = last
    return series


def test_batches_hold_where_single_values_would_be_far_too_narrow():
    mean = share_that_hold(lambda rng: batch_means_interval(correlated(rng)), 0.0, 300, 3)
    p95 = share_that_hold(
        lambda rng: batch_quantile_interval(correlated(rng), 0.95), 1.6448536, 300, 4
    )
    naive = share_that_hold(lambda rng: mean_interval(correlated(rng)), 0.0, 100, 5)
    assert mean == pytest.approx(0.95, abs=0.04)
    assert p95 == pytest.approx(0.95, abs=0.04)
    assert naive < 0.6


def test_mser5_cuts_a_start_that_is_off_and_keeps_one_that_is_not():
    rng = np.random.default_rng(6)
    steady = rng.normal(10, 1, (20, 2000))
    biased = steady + 30 * np.exp(-np.arange(2000) / 50)
    assert 100 <= mser5(biased) <= 500
    assert mser5(steady) <= 600
    assert mser5(np.full(100, 3.0)) == 0


def test_mser5_says_when_a_run_never_settles():
    with pytest.raises(NotConverged, match="warm-up"):
        mser5(np.arange(200.0) ** 2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.floats(0.0005, 0.9995), st.integers(1, 300))
def test_t_quantiles_are_odd_and_wider_than_normal(fraction, degrees):
    value = t_quantile(fraction, degrees)
    assert value == pytest.approx(-t_quantile(1 - fraction, degrees), rel=1e-6, abs=1e-9)
    assert abs(value) >= abs(t_quantile(fraction, degrees + 1)) - 1e-9


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 60), st.floats(0.01, 0.99), st.data())
def test_binomial_tails_are_the_sum_of_their_terms(trials, chance, data):
    k = data.draw(st.integers(0, trials + 1))
    terms = [math.comb(trials, j) * chance**j * (1 - chance) ** (trials - j) for j in range(k)]
    assert binomial_below(k, trials, chance) == pytest.approx(math.fsum(terms), abs=1e-12)


@pytest.mark.parametrize(
    "values", [[], [1.0], [1.0, math.nan], [1.0, math.inf], ["a", "b"], None, [[1.0, 2.0]]]
)
def test_values_that_are_none_are_refused(values):
    for interval in (mean_interval, lambda v: quantile_interval(v, 0.5), batch_means_interval):
        with pytest.raises(InvalidScenario):
            interval(values)
    with pytest.raises(InvalidScenario):
        mser5(values)


def test_intervals_survive_huge_and_tiny_values():
    for size in (1e300, 1e-300):
        interval = mean_interval([size, 2 * size, 3 * size])
        assert interval.estimate == pytest.approx(2 * size)
        assert interval.relative_halfwidth == pytest.approx(2.484 / 2, rel=1e-3)


def test_too_few_values_for_a_p95_say_how_many_are_needed():
    with pytest.raises(InvalidScenario, match="72"):
        quantile_interval(list(range(50)), 0.95)
    quantile_interval(list(range(72)), 0.95)


def test_alternatives_of_different_lengths_are_refused():
    with pytest.raises(InvalidScenario):
        paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


@pytest.mark.slow
def test_intervals_of_queues_cover_the_truth_in_93_to_97_percent_of_1000_runs():
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench/interval_coverage.py"), "--json", "--runs", "1000"],
        capture_output=True,
        text=True,
        check=True,
        timeout=3000,
    )
    for queue, shares in json.loads(done.stdout).items():
        for share in shares:
            assert 0.93 <= share <= 0.97, (queue, shares)
        assert accuracy_page.row(queue) == [round(100 * share, 1) for share in shares]
