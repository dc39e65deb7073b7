"""TTL formulas against request-by-request simulation: with and without clears, warm and cold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cache import family_hit_ratios, hit_fraction, hit_fraction_in_window
from sim.cache.replay import replayed_hit_ratios
from sim.cache.trace import ttl_hits_with_clears
from sim.cache.ttl import expected_misses, mean_residence_s, residence_variance_s2
from sim.errors import InvalidScenario
from sim.scenario import Cache, CachePolicy, Catalogue, Family, Operation, Workload
from sim.workload import open_trace

Z_999 = 3.29  # two-sided 99.9 %
COPIES = 20_000  # independent copies of one key, replayed together


def replayed_hit_fraction(rate, ttl_s, window_s, clears, seed):
    """Hits over expected requests in the window, mean over copies and its standard error."""
    rng = np.random.default_rng(seed)
    end = window_s[1]

    def events(per_s):
        count = rng.poisson(per_s * end * COPIES)
        return np.sort(rng.random(count)) * end, rng.integers(0, COPIES, count)

    time_s, key = events(rate)
    clear_time_s, clear_group = events(clears)
    hit = ttl_hits_with_clears(
        time_s,
        key,
        ttl_s,
        group_of_key=np.arange(COPIES),
        clear_time_s=clear_time_s,
        clear_group=clear_group,
    )
    counted = hit & (time_s >= window_s[0])
    per_copy = np.bincount(key[counted], minlength=COPIES) / (rate * (end - window_s[0]))
    return per_copy.mean(), per_copy.std() / math.sqrt(COPIES)


@pytest.mark.parametrize(
    ("rate", "ttl_s", "window_s", "clears"),
    [
        (1.0, 3.0, (0.0, 2.0), 0.0),  # before the first TTL ends
        (1.0, 3.0, (0.0, 10.0), 0.0),
        (8.0, 3.0, (2.9, 3.4), 0.0),  # across the first expiry, where the ratio dips
        (0.05, 3.0, (1.0, 40.0), 0.0),
        (6.0, 1.0, (33.3, 35.1), 0.0),  # past 32 TTLs, rhythm still felt
        (0.3, 1.0, (40.0, 50.0), 0.0),  # past 32 TTLs, settled
        (1.0, 3.0, (0.0, 10.0), 0.2),
        (2.0, 3.0, (4.0, 11.0), 0.05),
        (0.2, 3.0, (5.0, 20.0), 0.5),
        (3.0, 0.5, (17.0, 20.0), 0.4),
        (12.0, 1.0, (33.0, 34.2), 0.01),
        (2.0, 50.0, (0.0, 10.0), 3.0),  # cleared more often than asked for
    ],
)
def test_warm_up_formula_agrees_with_simulation(rate, ttl_s, window_s, clears):
    mean, error = replayed_hit_fraction(rate, ttl_s, window_s, clears, seed=20261124)
    formula = hit_fraction_in_window(rate, ttl_s, window_s, clears).item()
    assert abs(formula - mean) < Z_999 * error


@pytest.mark.parametrize("clears", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("rate", [0.03, 0.4, 5.0])
def test_long_run_formula_agrees_with_simulation(rate, clears):
    mean, error = replayed_hit_fraction(rate, 2.0, (150.0, 170.0), clears, seed=5)
    assert abs(hit_fraction(rate, 2.0, clears).item() - mean) < Z_999 * error


def test_splitting_off_whole_cycles_costs_less_than_5e_4_of_the_requests():
    """The sum, carried on to 200 TTLs, against `expected_misses` with its cut at 32."""
    from sim.cache.ttl import _early_misses

    rates = np.geomspace(0.02, 200.0, 60)
    worst = 0.0
    for clears in (0.0, 0.01, 0.3):
        for time_s in (32.5, 33.0, 47.25, 101.9, 180.0):
            shape = np.ones(rates.size)
            exact = _early_misses(rates, shape, shape * time_s, shape * clears)
            cut = expected_misses(rates, 1.0, time_s, clears)
            worst = max(worst, float(np.max(np.abs(exact - cut) / (rates * time_s))))
    assert worst < 5e-4


@settings(deadline=None, max_examples=60)
@given(
    rate=st.floats(1e-6, 1e6),
    ttl_s=st.floats(1e-3, 1e6),
    clears=st.floats(0, 1e3),
    factor=st.floats(1.0, 100.0),
)
def test_hit_ratio_rises_with_rate_and_ttl_and_falls_with_clears(rate, ttl_s, clears, factor):
    base = hit_fraction(rate, ttl_s, clears).item()
    assert 0 <= base < 1
    assert hit_fraction(rate * factor, ttl_s, clears).item() >= base - 1e-12
    assert hit_fraction(rate, ttl_s * factor, clears).item() >= base - 1e-12
    assert hit_fraction(rate, ttl_s, clears * factor).item() <= base + 1e-12


@settings(deadline=None, max_examples=60)
@given(
    rate=st.floats(1e-9, 1e9),
    ttl_s=st.floats(1e-6, 1e9),
    clears=st.floats(0, 1e6),
    begin=st.floats(0, 1e9),
    length=st.floats(1e-3, 1e9),
)
def test_ratio_in_any_window_is_a_finite_fraction(rate, ttl_s, clears, begin, length):
    found = hit_fraction_in_window(rate, ttl_s, (begin, begin + length), clears).item()
    assert 0 <= found <= 1


@settings(deadline=None, max_examples=60)
@given(ttl_s=st.floats(1e-3, 1e6), clears=st.floats(0, 1e3))
def test_residence_moments_match_their_integrals(ttl_s, clears):
    """E[R] = ∫ P(R > r) dr and E[R²] = ∫ 2r P(R > r) dr, by Gauss–Legendre on 64 panels."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    reach = min(ttl_s, 60.0 / clears) if clears > 0 else ttl_s
    edges = np.linspace(0, reach, 65)
    half = np.diff(edges)[:, None] / 2
    r = (edges[:-1, None] + half) + half * nodes
    survival = np.exp(-clears * r) * half * weights
    mean, square = survival.sum(), (2 * r * survival).sum()
    assert math.isclose(mean_residence_s(ttl_s, clears).item(), mean, rel_tol=1e-9)
    variance = residence_variance_s2(ttl_s, clears).item()
    assert abs(variance - (square - mean**2)) < 2e-6 * mean**2


WORKLOAD = Workload.model_validate(
    {
        "registered_users": 1000,
        "daily_active_fraction": 0.1,
        "requests_per_session": 5,
        "mix": {
            Operation.LIST: 0.3,
            Operation.LIST_CURSOR: 0.1,
            Operation.DETAIL: 0.15,
            Operation.SEARCH: 0.2,
            Operation.FAVOURITES: 0.15,
            Operation.FAVOURITE_ADD: 0.09,
            Operation.PRODUCT_UPDATE: 0.01,
        },
        "catalogue": Catalogue(
            products=2000, users=200, categories=10, pages_per_category=5, search_queries=200
        ),
    }
)


def policies(*, cleared: bool, favourites_cleared: bool = False) -> Cache:
    return Cache(
        families={
            Family.LISTING: CachePolicy(ttl_s=30.0, cleared_by_product_update=cleared),
            Family.SEARCH: CachePolicy(ttl_s=20.0, cleared_by_product_update=cleared),
            Family.FAVOURITES: CachePolicy(
                ttl_s=60.0, cleared_by_product_update=favourites_cleared
            ),
        }
    )


def replications(cache, load_per_s, window_s, runs, seed):
    """Hit ratio of each family in each of `runs` replayed traces."""
    found = {family: [] for family in cache.families}
    for child in np.random.SeedSequence(seed).spawn(runs):
        trace = open_trace(WORKLOAD, load_per_s, window_s[1], np.random.default_rng(child))
        counts = replayed_hit_ratios(trace, WORKLOAD.catalogue, cache, window_s)
        for family, count in counts.items():
            found[family].append((count.hits, count.lookups))
    return {family: np.array(pairs, dtype=float) for family, pairs in found.items()}


@pytest.mark.parametrize("window_s", [(0.0, 15.0), (5.0, 45.0), (150.0, 200.0)])
@pytest.mark.parametrize(
    "cache",
    [
        policies(cleared=True),
        policies(cleared=False),
        policies(cleared=True, favourites_cleared=True),
    ],
    ids=["cleared", "not cleared", "favourites cleared too"],
)
def test_family_ratios_and_their_intervals_agree_with_replayed_traces(cache, window_s):
    """Mean within the replications' 99.9 % interval; 95 % intervals cover 90 to 99.7 % of runs."""
    load_per_s, runs = 60.0, 300
    predicted = family_hit_ratios(WORKLOAD, cache, load_per_s, window_s)
    for family, pairs in replications(cache, load_per_s, window_s, runs, seed=11).items():
        hits, lookups = pairs.T
        ratio = hits.sum() / lookups.sum()
        # Ratio estimator's standard error by the delta method.
        error = (hits - ratio * lookups).std() / lookups.mean() / math.sqrt(runs)
        expected = predicted[family]
        assert abs(expected.fraction - ratio) < Z_999 * error, family
        single = hits / lookups
        covered = np.mean((single >= expected.low) & (single <= expected.high))
        assert 0.90 <= covered <= 0.997, (family, covered)


def test_without_a_cache_there_are_no_ratios():
    assert family_hit_ratios(WORKLOAD, None, 10.0) == {}


def test_a_catalogue_of_10_to_the_12_keys_has_a_ratio():
    large = Catalogue(products=10**12, users=10**12, categories=10**6, search_queries=10**12)
    workload = WORKLOAD.model_copy(update={"catalogue": large})
    ratios = family_hit_ratios(workload, policies(cleared=True), 1000.0, (0.0, 600.0))
    assert all(0 <= r.low <= r.fraction <= r.high <= 1 for r in ratios.values())


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf, 1e13, "fast"])
def test_hostile_numbers_are_refused_by_name(bad):
    with pytest.raises(InvalidScenario, match="load_per_s"):
        family_hit_ratios(WORKLOAD, policies(cleared=True), bad)
    with pytest.raises(InvalidScenario, match="requests_per_s"):
        hit_fraction(bad, 1.0)
    with pytest.raises(InvalidScenario, match="ttl_s"):
        hit_fraction(1.0, bad)
    with pytest.raises(InvalidScenario, match="window_s"):
        hit_fraction_in_window(1.0, 1.0, (5.0, bad))
    if bad != 0.0:
        with pytest.raises(InvalidScenario, match="clears_per_s"):
            hit_fraction(1.0, 1.0, bad)
