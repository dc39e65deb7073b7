"""Sampled LRU, two levels and stampedes against simulation."""

import math

import numpy as np
import pytest

from sim.cache.hierarchy import two_ttl_levels
from sim.cache.redis_lru import sampled_lru_hit_fraction
from sim.cache.sizing import redis_bytes, redis_item_bytes, redis_items
from sim.cache.stampede import fills_per_expiry, hit_fraction_with_fill_time
from sim.cache.trace import lru_hits, sampled_lru_hits, ttl_hits, ttl_hits_with_clears
from sim.errors import InvalidScenario
from sim.workload import Zipf

ITEMS = 10_000


@pytest.mark.parametrize("samples", [3, 5, 10])
@pytest.mark.parametrize("exponent", [0.6, 0.9, 1.2])
def test_sampled_lru_model_is_within_a_fifth_of_a_point_of_the_simulator(exponent, samples):
    law = Zipf(ITEMS, exponent)
    keys = law.ranks(4_000_000, np.random.default_rng(1)).astype(np.int32)
    rates, members = law.classes(500)
    for share in (0.01, 0.1, 0.5):
        capacity = int(ITEMS * share)
        hit = sampled_lru_hits(keys, capacity, np.random.default_rng(2), samples)
        model = sampled_lru_hit_fraction(rates, capacity, samples, members)
        assert abs(model - hit[1_500_000:].mean()) < 0.002


def test_more_samples_come_closer_to_lru():
    keys = Zipf(ITEMS, 0.9).ranks(1_500_000, np.random.default_rng(3)).astype(np.int32)
    exact = lru_hits(keys, 1000)[500_000:].mean()
    found = [
        sampled_lru_hits(keys, 1000, np.random.default_rng(4), k)[500_000:].mean()
        for k in (1, 3, 5, 10)
    ]
    assert found == sorted(found)
    assert found[-1] < exact
    assert exact - found[-1] < 0.002


@pytest.mark.parametrize("clears", [0.0, 0.1])
@pytest.mark.parametrize(("edges", "edge_ttl_s", "redis_ttl_s"), [(1, 2.0, 7.0), (1, 3.0, 2.0)])
def test_two_levels_agree_with_one_cache_behind_another(edges, edge_ttl_s, redis_ttl_s, clears):
    rate, copies, end = 0.8, 4000, 120.0
    rng = np.random.default_rng(9)
    count = rng.poisson(rate * copies * end)
    time_s, key = np.sort(rng.random(count)) * end, rng.integers(0, copies, count)
    edge = ttl_hits(time_s, key, edge_ttl_s)
    behind_s, behind = time_s[~edge], key[~edge]
    cleared = rng.poisson(clears * copies * end)
    hit = ttl_hits_with_clears(
        behind_s,
        behind,
        redis_ttl_s,
        group_of_key=np.arange(copies),
        clear_time_s=np.sort(rng.random(cleared)) * end,
        clear_group=rng.integers(0, copies, cleared),
    )
    warm = behind_s > 40.0
    model = two_ttl_levels(rate, edge_ttl_s, redis_ttl_s, edges=edges, clears_per_s=clears)
    per_key = np.bincount(behind[warm], minlength=copies)
    misses = np.bincount(behind[warm], weights=hit[warm], minlength=copies)
    ratio = misses.sum() / per_key.sum()
    error = (misses - ratio * per_key).std() / per_key.mean() / math.sqrt(copies)
    assert abs(model.redis - ratio) < 3.3 * error + 1e-4
    assert abs(model.edge - edge[time_s > 40].mean()) < 0.01


def test_many_edges_look_like_poisson_arrivals_to_redis():
    from sim.cache.ttl import hit_fraction

    one = two_ttl_levels(0.01, 50.0, 200.0, edges=1000)
    arriving = 1000 * 0.01 * (1 - one.edge)
    assert abs(one.redis - hit_fraction(arriving, 200.0).item()) < 1e-3


@pytest.mark.parametrize("processes", [1, 3])
def test_fills_in_a_stampede_agree_with_simulation(processes):
    rate, fill_s, runs = 40.0, 0.05, 200_000
    rng = np.random.default_rng(6)
    others = rng.poisson(rate * fill_s / processes, (runs, processes))
    plain = 1 + others.sum(axis=1)
    single = 1 + (others[:, 1:] > 0).sum(axis=1)
    for found, coalesced in ((plain, False), (single, True)):
        expected = fills_per_expiry(rate, fill_s, processes, coalesced=coalesced)
        assert abs(found.mean() - expected) <= 3.3 * found.std() / math.sqrt(runs)


def test_slow_fills_cost_hits():
    slow, quick = (hit_fraction_with_fill_time(5.0, 10.0, d) for d in (1.0, 0.0))
    assert slow < quick == 50 / 51


def test_sizing_is_inverse_and_rises():
    for items in (1, 10, 4097, 10**6, 7 * 10**11):
        assert redis_bytes(items, 30, 500) < redis_bytes(items + items // 3 + 1, 30, 500)
    items = redis_items(256, 40, 3000)
    assert redis_bytes(items, 40, 3000) <= 256 * 2**20 < redis_bytes(items + 1, 40, 3000)
    assert redis_item_bytes(10, 5000) == 5160


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_hostile_numbers_are_refused(bad):
    with pytest.raises(InvalidScenario):
        fills_per_expiry(bad, 1.0)
    with pytest.raises(InvalidScenario):
        fills_per_expiry(1.0, bad)
    with pytest.raises(InvalidScenario):
        two_ttl_levels(1.0, bad, 1.0)
    with pytest.raises(InvalidScenario):
        two_ttl_levels(1.0, 1.0, 2.0, clears_per_s=bad)
    with pytest.raises(InvalidScenario):
        sampled_lru_hit_fraction([1.0, 1.0], bad) if bad != math.inf else redis_items(bad, 1, 1)
