"""LRU: the compiled simulator against its definition, and Che's approximation against it."""

import json
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import accuracy_page
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sim.cache import characteristic_time_s, lru_hit_fraction, lru_hit_fractions
from sim.cache.trace import dense_ids, lru_hits, sampled_lru_hits, ttl_hits
from sim.errors import InvalidScenario
from sim.workload import Zipf, zipf_probabilities

ROOT = Path(__file__).parents[2]


def listed_lru_hits(keys, capacity):
    """LRU as the textbook has it: an ordered list of what is there."""
    cache: OrderedDict[int, None] = OrderedDict()
    hits = []
    for key in keys.tolist():
        hits.append(key in cache)
        cache[key] = None
        cache.move_to_end(key)
        if len(cache) > capacity:
            cache.popitem(last=False)
    return hits


traces = hnp.arrays(np.int32, st.integers(0, 300), elements=st.integers(0, 25))


@settings(deadline=None, max_examples=150)
@given(keys=traces, capacity=st.integers(1, 40))
def test_compiled_lru_equals_a_list_based_lru(keys, capacity):
    assert lru_hits(keys, capacity).tolist() == listed_lru_hits(keys, capacity)


@settings(deadline=None, max_examples=50)
@given(keys=traces, capacity=st.integers(1, 40))
def test_a_larger_lru_cache_never_loses_a_hit(keys, capacity):
    small, large = lru_hits(keys, capacity), lru_hits(keys, capacity + 3)
    assert np.all(large | ~small)


@settings(deadline=None, max_examples=50)
@given(keys=traces, capacity=st.integers(26, 40))
def test_when_every_key_fits_only_first_uses_miss(keys, capacity):
    firsts = np.unique(keys).size
    for hit in (
        lru_hits(keys, capacity),
        sampled_lru_hits(keys, capacity, np.random.default_rng(1)),
    ):
        assert (~hit).sum() == firsts


def che_error_pp(items, exponent, share, lookups, seed):
    """Che minus exact LRU over the second half of a trace, in percentage points."""
    keys = Zipf(items, exponent).ranks(lookups, np.random.default_rng(seed)).astype(np.int32)
    capacity = int(items * share)
    hit = lru_hits(keys, capacity)
    warm = lookups // 2
    return 100 * (
        lru_hit_fraction(zipf_probabilities(items, exponent), capacity) - hit[warm:].mean()
    )


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("exponent", [0.6, 0.8, 1.0, 1.2])
def test_che_is_within_a_tenth_of_a_point_of_exact_lru(exponent, share):
    assert abs(che_error_pp(10_000, exponent, share, 8_000_000, seed=3)) <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize("items", [10_000, 100_000, 1_000_000])
def test_che_is_within_a_tenth_of_a_point_up_to_a_million_items(items):
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench/che_error.py"), "--json", "--items", str(items)],
        capture_output=True,
        text=True,
        check=True,
        timeout=3000,
    )
    errors = json.loads(done.stdout)
    assert len(errors) == 28  # 7 exponents, 4 sizes of the cache
    for _, exponent, share, error_pp in errors:
        assert abs(error_pp) <= 0.1, (exponent, share, error_pp)
    worst = [
        max((e for _, x, _, e in errors if x == exponent), key=abs)
        for exponent in dict.fromkeys(x for _, x, _, _ in errors)
    ]
    assert accuracy_page.row(f"{items:,}") == pytest.approx(worst, abs=0.0005001)


@settings(deadline=None, max_examples=40)
@given(
    items=st.integers(2, 3000),
    exponent=st.floats(0, 2),
    share=st.floats(0.01, 0.99),
)
def test_resident_keys_add_up_to_the_capacity(items, exponent, share):
    rates = zipf_probabilities(items, exponent)
    capacity = share * items
    hits = lru_hit_fractions(rates, capacity)
    assert abs(hits.sum() - capacity) < 1e-9 * items
    assert np.all(np.diff(hits) <= 0)


def test_classes_of_equal_keys_give_the_ratio_of_single_keys():
    rates, members = Zipf(200_000, 0.9).classes()
    single = lru_hit_fraction(zipf_probabilities(200_000, 0.9), 20_000)
    assert abs(lru_hit_fraction(rates, 20_000, members) - single) < 1e-5


def test_a_cache_of_a_million_million_items_has_a_ratio():
    rates, members = Zipf(10**12, 0.9).classes()
    assert 0 < lru_hit_fraction(rates, 10**9, members) < 1


def test_a_cache_that_holds_everything_always_hits():
    assert lru_hit_fraction([1.0, 2.0], 2.0) == 1.0


@pytest.mark.parametrize("capacity", [0.0, -1.0, float("nan"), 2.0, float("inf")])
def test_a_characteristic_time_needs_a_capacity_below_the_number_of_keys(capacity):
    with pytest.raises(InvalidScenario, match=r"cache\.capacity"):
        characteristic_time_s([1.0, 1.0], capacity)


@pytest.mark.parametrize("rates", [[], [0.0], [-1.0], [float("nan")], [float("inf")]])
def test_rates_that_are_no_rates_are_refused(rates):
    with pytest.raises(InvalidScenario, match=r"cache\.requests_per_s"):
        lru_hit_fraction(rates, 1.0)


def test_simulators_refuse_what_they_cannot_index():
    good = np.array([0, 1])
    for bad in (np.array([-1]), np.array([2**40]), np.array([0.5]), np.zeros((2, 2), dtype=int)):
        with pytest.raises(InvalidScenario, match=r"trace\.keys"):
            lru_hits(bad, 1)
    with pytest.raises(InvalidScenario, match="ascending"):
        ttl_hits(np.array([1.0, 0.0]), good, 1.0)
    with pytest.raises(InvalidScenario, match="finite"):
        ttl_hits(np.array([0.0, np.nan]), good, 1.0)
    with pytest.raises(InvalidScenario, match="ttl_s"):
        ttl_hits(np.array([0.0, 1.0]), good, float("nan"))
    with pytest.raises(InvalidScenario, match="capacity"):
        lru_hits(good, 0)


def test_dense_ids_name_the_same_keys():
    keys = np.array([10**15, -4, 10**15, 7])
    ids = dense_ids(keys)
    assert ids.tolist() == [2, 0, 2, 1]
