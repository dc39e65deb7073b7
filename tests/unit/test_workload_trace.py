"""The seeded request trace: what it holds, and that it repeats."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InvalidScenario
from sim.scenario import Catalogue, Operation, Popularity, Workload
from sim.workload import (
    Zipf,
    listing_key_of_rank,
    listing_rank_of_key,
    open_trace,
    zipf_probabilities,
)

CATALOGUE = Catalogue(products=500, users=50, categories=7, pages_per_category=4, search_queries=90)
MIX = {
    Operation.LIST: 0.2,
    Operation.LIST_CURSOR: 0.1,
    Operation.DETAIL: 0.2,
    Operation.SEARCH: 0.15,
    Operation.FAVOURITES: 0.1,
    Operation.FAVOURITE_ADD: 0.1,
    Operation.PRODUCT_UPDATE: 0.05,
    Operation.LOGIN: 0.05,
    Operation.REGISTER: 0.05,
}


def workload(**changes: object) -> Workload:
    fields: dict[str, object] = {
        "registered_users": 1000,
        "daily_active_fraction": 0.1,
        "requests_per_session": 5,
        "mix": MIX,
        "catalogue": CATALOGUE,
    }
    return Workload.model_validate(fields | changes)


@pytest.fixture(scope="module")
def trace():
    return open_trace(workload(), 200.0, 100.0, np.random.default_rng(7))


def test_the_same_seed_gives_the_same_trace(trace):
    again = open_trace(workload(), 200.0, 100.0, np.random.default_rng(7))
    for field in ("arrival_s", "operation", "key", "user"):
        assert np.array_equal(getattr(trace, field), getattr(again, field))
    assert trace.operations == again.operations


def test_the_order_of_the_mix_in_the_file_does_not_matter(trace):
    turned = workload(mix=dict(reversed(MIX.items())))
    again = open_trace(turned, 200.0, 100.0, np.random.default_rng(7))
    assert np.array_equal(trace.operation, again.operation)


def test_changing_the_mix_leaves_arrivals_and_users_as_they_were(trace):
    other = workload(mix={Operation.DETAIL: 1.0})
    again = open_trace(other, 200.0, 100.0, np.random.default_rng(7))
    assert np.array_equal(trace.arrival_s, again.arrival_s)
    assert np.array_equal(trace.user, again.user)


def test_arrays_have_the_promised_types_and_ascending_times(trace):
    assert trace.arrival_s.dtype == np.float64
    assert trace.operation.dtype == np.int16
    assert trace.key.dtype == trace.user.dtype == np.int64
    assert np.all(np.diff(trace.arrival_s) >= 0)
    assert trace.arrival_s[0] >= 0
    assert trace.arrival_s[-1] < 100.0


def test_operations_follow_the_mix(trace):
    shares = np.bincount(trace.operation) / len(trace)
    wanted = np.array([MIX[Operation(name)] for name in trace.operations])
    assert np.all(np.abs(shares - wanted) < 4.5 * np.sqrt(wanted * (1 - wanted) / len(trace)))


def test_keys_stay_in_the_range_their_operation_gives_them(trace):
    limits = {
        Operation.LIST: CATALOGUE.listing_keys,
        Operation.LIST_CURSOR: CATALOGUE.listing_keys,
        Operation.DETAIL: CATALOGUE.products,
        Operation.FAVOURITE_ADD: CATALOGUE.products,
        Operation.PRODUCT_UPDATE: CATALOGUE.products,
        Operation.SEARCH: CATALOGUE.search_queries,
        Operation.FAVOURITES: CATALOGUE.users,
        Operation.LOGIN: CATALOGUE.users,
    }
    for operation, limit in limits.items():
        keys = trace.key[trace.is_operation(operation)]
        assert keys.size > 0
        assert keys.min() >= 0
        assert keys.max() < limit
    own = trace.is_operation(Operation.FAVOURITES, Operation.LOGIN)
    assert np.array_equal(trace.key[own], trace.user[own])
    registered = trace.key[trace.is_operation(Operation.REGISTER)]
    assert np.array_equal(registered, np.arange(registered.size))


def test_listing_keys_and_ranks_are_inverse_permutations():
    ranks = np.arange(CATALOGUE.listing_keys)
    keys = listing_key_of_rank(ranks, CATALOGUE)
    assert np.array_equal(np.sort(keys), ranks)
    assert np.array_equal(listing_rank_of_key(keys, CATALOGUE), ranks)


def test_first_pages_are_the_most_popular_listing_keys():
    groups = CATALOGUE.categories + 1
    keys = listing_key_of_rank(np.arange(groups), CATALOGUE)
    assert np.all(keys % CATALOGUE.pages_per_category == 0)
    assert keys[0] == 0


@settings(deadline=None, max_examples=40)
@given(items=st.integers(1, 3000), exponent=st.floats(0, 5))
def test_zipf_probabilities_fall_and_sum_to_one(items, exponent):
    probabilities = zipf_probabilities(items, exponent)
    assert math.isclose(probabilities.sum(), 1.0, rel_tol=1e-12)
    assert np.all(np.diff(probabilities) <= 0)


@pytest.mark.parametrize("exponent", [0.0, 0.6, 0.999999999, 1.0, 1.2, 3.0, 5.0])
def test_ranks_are_drawn_with_zipf_probabilities_by_both_methods(exponent):
    """Chi-square below mean + 5 sigma, over ranks expected at least 10 times, for 200,000 draws."""
    law, draws = Zipf(400, exponent), 200_000
    expected = zipf_probabilities(400, exponent) * draws
    common = expected >= 10
    for ranks in (
        law.ranks(draws, np.random.default_rng(3)),
        law._ranks_by_rejection(draws, np.random.default_rng(4)),
    ):
        counts = np.bincount(ranks, minlength=400)
        chi2 = ((counts - expected) ** 2 / expected)[common].sum()
        freedom = common.sum()
        assert chi2 < freedom + 5 * math.sqrt(2 * freedom)
        assert abs(counts[~common].sum() - expected[~common].sum()) < 5 * math.sqrt(
            expected[~common].sum() + 1
        )


def test_a_million_million_items_are_drawn_without_a_table():
    ranks = Zipf(10**12, 0.9).ranks(10_000, np.random.default_rng(1))
    assert ranks.min() >= 0
    assert ranks.max() < 10**12
    assert ranks.max() > 10**10


@pytest.mark.parametrize(
    ("items", "exponent"),
    [(0, 1.0), (-3, 1.0), (10**13, 1.0), (5, -0.1), (5, math.nan), (5, math.inf), (5, 6.0)],
)
def test_zipf_outside_its_domain_is_refused(items, exponent):
    with pytest.raises(InvalidScenario):
        Zipf(items, exponent)
    with pytest.raises(InvalidScenario):
        zipf_probabilities(items, exponent)


@pytest.mark.parametrize(
    ("load_per_s", "duration_s"),
    [(0, 1), (-1, 1), (math.nan, 1), (math.inf, 1), (1, 0), (1, math.inf), (1e6, 1e6)],
)
def test_a_trace_of_impossible_size_is_refused(load_per_s, duration_s):
    with pytest.raises(InvalidScenario, match=r"trace\."):
        open_trace(workload(), load_per_s, duration_s, np.random.default_rng(1))


def test_a_trace_may_be_empty():
    trace = open_trace(workload(), 1e-9, 1.0, np.random.default_rng(1))
    assert len(trace) == 0


def test_a_workload_of_10_to_the_12_users_and_products_still_makes_a_trace():
    large = workload(
        registered_users=10**12,
        catalogue=Catalogue(products=10**12, users=10**12, search_queries=10**12),
        popularity=Popularity(products_zipf=1.0),
    )
    trace = open_trace(large, 100.0, 10.0, np.random.default_rng(1))
    assert 800 < len(trace) < 1200
