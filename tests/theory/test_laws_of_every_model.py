"""Conservation, Little's and the utilisation law, monotonicity: caches, networks and simulations.

Those of single stations are in tests/unit/test_queueing_invariants.py.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import kernel
from sim.cache.hierarchy import two_ttl_levels
from sim.cache.redis_lru import sampled_lru_hit_fraction
from sim.cache.stampede import fills_per_expiry, hit_fraction_with_fill_time
from sim.cache.trace import lru_hits, ttl_hits
from sim.cache.ttl import expected_misses, hit_fraction, mean_residence_s
from sim.example import shop_question
from sim.model import Client, Demand, Group, Outcome, Route, StackModel, Station, Visit
from sim.plan import own_candidate, steady
from sim.plan.effects import with_growth
from sim.queueing.bounds import closed_bounds, knee_utilisation_fraction
from sim.queueing.fork_join import fork_join
from sim.queueing.jackson import open_network
from sim.queueing.mva import mva_exact
from sim.queueing.usl import UniversalScalability
from sim.workload import Trace, Zipf

# A busy machine draws its examples slowly: that is no fault of theirs.
laws = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
rates = st.floats(1e-3, 1e3)
times = st.floats(1e-2, 1e4)


def trace(requests, load_per_s, seed):
    rng = np.random.default_rng(seed)
    zero = np.zeros(requests, np.int64)
    arrival_s = np.cumsum(rng.exponential(1 / load_per_s, requests))
    return Trace(arrival_s, ("get",), zero.astype(np.int16), zero, zero)


@st.composite
def chains(draw):
    """(model, demand of each tier): tiers in a row, replicas behind a balancer, fixed demands."""
    tiers = draw(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=4))
    demands = [draw(st.floats(0.01, 1.0)) for _ in tiers]
    policy = st.sampled_from(["round_robin", "least_connections", "power_of_two"])
    stations, groups, visits = [], [], []
    for tier, ((replicas, slots), mean_s) in enumerate(zip(tiers, demands, strict=True)):
        members = tuple(f"{tier}-{replica}" for replica in range(replicas))
        stations += [Station(name, slots) for name in members]
        groups.append(Group(f"tier {tier}", members, draw(policy)))
        visits.append(Visit(f"tier {tier}", Demand(mean_s, distribution="deterministic")))
    route = Route("get", tuple(visits))
    return StackModel(tuple(stations), (route,), groups=tuple(groups)), demands


@settings(laws, max_examples=40)
@given(chain=chains(), load_per_s=st.floats(0.1, 5.0), seed=st.integers(0, 1000))
def test_chains_conserve_requests_and_keep_the_laws_of_utilisation_and_little(
    chain, load_per_s, seed
):
    model, demands = chain
    requests = 300
    run = kernel.simulate(model, trace(requests, load_per_s, seed), seed=seed)
    within_s = 0.0
    for tier, mean_s in enumerate(demands):
        loads = [load for load in run.stations if load.name.startswith(f"{tier}-")]
        assert sum(load.visits for load in loads) == requests  # none lost, none twice
        for load in loads:
            slots = next(s.slots for s in model.stations if s.name == load.name)
            busy_s = load.utilisation * slots * run.end_s
            assert busy_s == pytest.approx(load.visits * mean_s, rel=1e-9, abs=1e-9)
            assert load.throughput_per_s * run.end_s == pytest.approx(load.visits)
            within_s += load.visits * (load.mean_wait_s + mean_s)
    # Little, tier by tier: the time in all queues and slots is the time in the system.
    assert within_s == pytest.approx(float(run.sojourn_s.sum()), rel=1e-9)


@settings(laws, max_examples=40)
@given(chain=chains(), patience_s=st.floats(0.05, 3.0), seed=st.integers(0, 1000))
def test_requests_end_in_one_way_each_whatever_becomes_of_their_attempts(chain, patience_s, seed):
    model = replace(chain[0], client=Client(timeout_s=patience_s, retries=2, backoff_s=0.1))
    run = kernel.simulate(model, trace(300, 4.0, seed), seed=seed)
    counts = [int((run.outcome == outcome).sum()) for outcome in Outcome]
    assert sum(counts) == 300
    assert run.attempts.min() >= 1
    assert run.attempts.max() <= 3
    assert (run.sojourn_s[run.is_ok] <= 3 * patience_s + 2 * 0.2 + 1e-9).all()
    assert all(0 <= load.utilisation <= 1 + 1e-9 for load in run.stations)


@settings(laws, max_examples=40)
@given(slots=st.integers(1, 4), factor=st.floats(1.0, 3.0), seed=st.integers(0, 1000))
def test_longer_demands_or_denser_arrivals_shorten_no_sojourn_at_a_queue(slots, factor, seed):
    def sojourns(mean_s, asked):
        route = Route("get", (Visit("s", Demand(mean_s, distribution="exponential")),))
        return kernel.simulate(StackModel((Station("s", slots),), (route,)), asked, seed=seed)

    asked = trace(300, 0.7 * slots, seed)
    here = sojourns(1.0, asked).sojourn_s
    assert (sojourns(factor, asked).sojourn_s >= here - 1e-9).all()
    denser = replace(asked, arrival_s=asked.arrival_s / factor)
    assert (sojourns(1.0, denser).sojourn_s >= here - 1e-9).all()


@settings(laws, max_examples=60)
@given(rate=rates, ttl_s=times, clears=st.floats(0, 10))
def test_a_key_is_present_for_the_rate_of_its_fills_times_its_stay(rate, ttl_s, clears):
    hits = hit_fraction(rate, ttl_s, clears).item()
    fills_per_s = rate * (1 - hits)
    present = fills_per_s * mean_residence_s(ttl_s, clears).item()  # Little
    assert present == pytest.approx(hits, rel=1e-9)  # PASTA
    assert expected_misses(rate, ttl_s, 2 * ttl_s, clears) >= expected_misses(
        rate, ttl_s, ttl_s, clears
    )


@settings(laws, max_examples=40)
@given(rate=st.floats(0.01, 100), edge_s=st.floats(0.1, 50), redis_s=st.floats(0.1, 500))
def test_what_an_edge_answers_never_reaches_redis(rate, edge_s, redis_s):
    levels = two_ttl_levels(rate, edge_s, redis_s)
    reaching = rate * (1 - levels.edge)
    missed = reaching * (1 - levels.redis)
    assert rate * levels.total + missed == pytest.approx(rate, rel=1e-9)  # conservation
    assert levels.total >= levels.edge - 1e-12
    more = two_ttl_levels(rate, edge_s, 2 * redis_s)
    assert more.redis >= levels.redis - 1e-9
    cleared = two_ttl_levels(rate, edge_s, redis_s, clears_per_s=0.1)
    assert cleared.redis <= levels.redis + 1e-6


@settings(laws, max_examples=60)
@given(rate=rates, fill_s=st.floats(0, 10), processes=st.integers(1, 50))
def test_a_stampede_has_between_one_fill_and_all_its_requests(rate, fill_s, processes):
    alone = fills_per_expiry(rate, fill_s)
    shared = fills_per_expiry(rate, fill_s, processes, coalesced=True)
    assert 1 <= shared <= min(alone, processes) + 1e-9
    assert shared <= fills_per_expiry(rate, fill_s, processes + 1, coalesced=True) + 1e-9
    slow, quick = (hit_fraction_with_fill_time(rate, 60.0, s) for s in (fill_s, 0.0))
    assert slow <= quick == pytest.approx(hit_fraction(rate, 60.0).item(), rel=1e-9)


@settings(laws, max_examples=5)
@given(items=st.integers(20, 200), exponent=st.floats(0.2, 1.5), share=st.floats(0.05, 0.9))
def test_sampled_lru_hits_less_than_lru_and_more_than_chance(items, exponent, share):
    law, members = Zipf(items, exponent).classes()
    capacity = max(1.0, share * items)
    few, many = (sampled_lru_hit_fraction(law, capacity, k, members) for k in (3, 10))
    assert few <= many + 1e-6
    assert few >= capacity / items - 1e-6  # what random replacement of equal keys has


@settings(laws, max_examples=40)
@given(seed=st.integers(0, 2**32), capacity=st.integers(1, 30), ttl_s=st.floats(0.1, 100))
def test_replayed_caches_miss_each_key_first_and_gain_by_size_and_life(seed, capacity, ttl_s):
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 30, 400).astype(np.int32)
    time_s = np.cumsum(rng.exponential(1.0, 400))
    firsts = np.unique(keys, return_index=True)[1]
    for hit in (lru_hits(keys, capacity), ttl_hits(time_s, keys, ttl_s)):
        assert not hit[firsts].any()
    assert ttl_hits(time_s, keys, 2 * ttl_s).sum() >= ttl_hits(time_s, keys, ttl_s).sum() - 30


@settings(laws, max_examples=40)
@given(load=st.floats(0.01, 0.98), service_s=st.floats(1e-3, 1e3), tasks=st.integers(2, 32))
def test_fork_join_lies_between_its_bounds_and_grows_with_tasks_and_load(load, service_s, tasks):
    here = fork_join(load / service_s, service_s, tasks)
    slack = 1e-9 * here.mean_s
    assert here.mean_low_s - slack <= here.mean_s <= here.mean_high_s + slack
    assert here.mean_s >= fork_join(load / service_s, service_s, tasks - 1).mean_s - slack
    assert here.mean_s >= fork_join(0.9 * load / service_s, service_s, tasks).mean_s - slack


@settings(laws, max_examples=30)
@given(
    demands=st.lists(st.floats(0.01, 5.0), min_size=1, max_size=4),
    users=st.integers(1, 40),
    think=st.one_of(st.just(0.0), st.floats(0.001, 50)),
)
def test_exact_networks_stay_within_the_bounds_that_no_tuning_can_beat(demands, users, think):
    limits = closed_bounds(demands, users, think)
    network = mva_exact([demands], [users], [think])
    rate, response = network.throughput_per_s[0], network.response_s[0]
    assert limits.throughput_low_per_s <= rate * (1 + 1e-9)
    assert rate <= min(limits.throughput_high_per_s, limits.balanced_high_per_s) * (1 + 1e-9)
    assert limits.response_low_s <= response * (1 + 1e-9)
    assert response <= limits.response_high_s * (1 + 1e-9)
    for demand in demands:  # utilisation law
        assert rate * demand <= 1 + 1e-9


@settings(laws, max_examples=30)
@given(load=st.floats(0.05, 0.9), back=st.floats(0.0, 0.8))
def test_an_open_network_slows_with_its_load_and_with_returns(load, back):
    def mean_s(rate, returning):
        return open_network(
            [rate, 0.0], [[0.0, 0.5], [returning, 0.0]], [0.5, 0.5], [1, 1]
        ).mean_sojourn_s

    rate = load * (1 - 0.5 * back)
    assert mean_s(rate, back) >= mean_s(0.8 * rate, back)
    assert mean_s(rate, back) >= mean_s(rate, 0.5 * back)


@settings(laws, max_examples=60)
@given(
    alpha=st.floats(0, 1),
    beta=st.one_of(st.just(0.0), st.floats(1e-6, 0.1)),
    n=st.floats(1, 1000),
)
def test_scaling_is_never_better_than_linear_and_worse_with_contention(alpha, beta, n):
    law = UniversalScalability(100.0, alpha, beta, 0.0)
    assert law.throughput_per_s(n) <= 100.0 * n * (1 + 1e-12)
    assert law.throughput_per_s(1) == pytest.approx(100.0)
    more = UniversalScalability(100.0, min(1.0, alpha + 0.1), beta, 0.0)
    assert more.throughput_per_s(n) <= law.throughput_per_s(n) * (1 + 1e-12)
    peak = law.peak_concurrency
    if 1 < peak < math.inf:
        at_peak = law.throughput_per_s(peak)
        assert at_peak >= law.throughput_per_s(peak * 1.1) * (1 - 1e-12)
        assert at_peak >= law.throughput_per_s(max(1.0, peak / 1.1)) * (1 - 1e-12)


def test_the_knee_moves_towards_saturation_with_more_servers():
    knees = [knee_utilisation_fraction(servers) for servers in (1, 2, 4, 16, 64, 256)]
    assert knees == sorted(knees)
    assert all(0 < knee < 1 for knee in knees)


@settings(laws, max_examples=8)
@given(growth=st.floats(0.1, 8.0), more=st.floats(1.0, 1.1))
def test_a_plan_with_more_users_is_never_faster_cheaper_or_roomier(growth, more):
    planner = shop_question().centre()
    own = own_candidate(planner.scenario)
    here, there = (
        steady(with_growth(planner, np.full(1, factor)), own) for factor in (growth, growth * more)
    )
    assert there.p95_s[0] >= here.p95_s[0] * (1 - 1e-3)  # quantile found to a part in a thousand
    assert there.usd_per_month[0] >= here.usd_per_month[0]
    assert there.headroom_fraction[0] <= here.headroom_fraction[0] * (1 + 1e-6) + 1e-6
