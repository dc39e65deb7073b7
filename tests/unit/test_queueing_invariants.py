"""Laws that hold for every model: Little's, utilisation, monotonicity, conservation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.queueing.abandonment import mmc_abandonment
from sim.queueing.bounds import open_capacity_per_s
from sim.queueing.jackson import open_network
from sim.queueing.mg1 import mg1
from sim.queueing.mgc import mgc
from sim.queueing.mmc import erlang_b_fraction, mmc
from sim.queueing.mmck import mmck
from sim.queueing.mva import mva_exact, mva_linearizer, mva_schweitzer
from sim.queueing.population import mmc_population
from sim.queueing.processor_sharing import conditional_sojourn_s, mg1_ps
from sim.queueing.sample_path import fcfs_waits_s
from sim.queueing.service import service_time

loads = st.floats(0.01, 0.98)
services = st.floats(1e-4, 1e3)
sizes = st.integers(1, 60)
scvs = st.sampled_from([0.0, 0.1, 0.5, 1.0, 2.5])

STATIONS = {
    "mmc": lambda load, s, c, scv: mmc(load * c / s, s, c),
    "mg1": lambda load, s, c, scv: mg1(load / s, service_time(s, scv)),
    "mgc": lambda load, s, c, scv: mgc(load * c / s, s, c, scv),
    "mmck": lambda load, s, c, scv: mmck(2 * load * c / s, s, c, c + 7),
    "abandonment": lambda load, s, c, scv: mmc_abandonment(2 * load * c / s, s, c, 3 * s),
    "population": lambda load, s, c, scv: mmc_population(2 * c + 3, s * (1 / load), s, c),
    "ps": lambda load, s, c, scv: mg1_ps(load / s, service_time(s, 1.0)),
}


@pytest.mark.parametrize("model", STATIONS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(load=loads, s=services, c=sizes, scv=scvs)
def test_littles_law_utilisation_and_conservation_hold(model, load, s, c, scv):
    station = STATIONS[model](load, s, c, scv)
    entering = station.arrivals_per_s
    if model == "mmck":  # its times are those of admitted jobs
        entering = station.throughput_per_s
    assert station.jobs_present == pytest.approx(entering * station.mean_sojourn_s, rel=1e-9)
    assert station.jobs_waiting == pytest.approx(
        entering * station.mean_queue_wait_s, rel=1e-9, abs=1e-12
    )
    served = station.arrivals_per_s * (1 - station.lost_fraction)
    assert station.throughput_per_s == pytest.approx(served, rel=1e-9)
    busy = station.throughput_per_s * s / station.servers
    assert station.utilisation_fraction == pytest.approx(busy, rel=1e-9)
    assert 0 <= station.utilisation_fraction <= 1
    assert 0 <= station.delayed_fraction <= 1


@pytest.mark.parametrize("model", STATIONS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(load=loads, s=services, c=sizes, scv=scvs)
def test_tails_fall_and_their_integral_is_the_mean(model, load, s, c, scv):
    station = STATIONS[model](load, s, c, scv)
    for time in (station.queue_wait, station.sojourn):
        quantiles = [time.quantile_s(p) for p in (0.0, 0.1, 0.5, 0.9, 0.99, 0.9999)]
        assert quantiles == sorted(quantiles)
        grid = np.linspace(0, max(quantiles[-1], s) * 1.2, 400)
        tail = np.array([time.exceeds_fraction(at) for at in grid])
        assert np.all(np.diff(tail) <= 1e-6)
        area = float(np.sum((tail[1:] + tail[:-1]) / 2 * np.diff(grid)))
        assert area == pytest.approx(time.mean_s, rel=0.03, abs=0.01 * s)
    assert station.sojourn.mean_s == pytest.approx(station.mean_sojourn_s, rel=1e-7)
    assert station.queue_wait.mean_s == pytest.approx(
        station.mean_queue_wait_s, rel=1e-7, abs=1e-9 * s
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(load=loads, s=services, c=sizes)
def test_more_servers_or_fewer_arrivals_never_lengthen_the_wait(load, s, c):
    rate = load * c / s
    here = mmc(rate, s, c)
    assert mmc(rate, s, c + 1).mean_queue_wait_s <= here.mean_queue_wait_s
    assert mmc(0.9 * rate, s, c).mean_queue_wait_s <= here.mean_queue_wait_s
    more, here95 = mmc(rate, s, c + 1).sojourn.quantile_s(0.95), here.sojourn.quantile_s(0.95)
    assert more <= here95 * (1 + 1e-9)
    assert mgc(rate, s, c, 2.0).mean_queue_wait_s >= mgc(rate, s, c, 0.5).mean_queue_wait_s
    assert mmck(rate, s, c, c + 3).lost_fraction <= mmck(rate, s, c, c + 2).lost_fraction
    assert (
        mmc_abandonment(rate, s, c + 1, s).lost_fraction
        <= mmc_abandonment(rate, s, c, s).lost_fraction
    )
    assert erlang_b_fraction(rate * s, c + 1) <= erlang_b_fraction(rate * s, c)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    demands=st.lists(st.floats(0.01, 5.0), min_size=1, max_size=4),
    users=st.integers(1, 40),
    think=st.one_of(st.just(0.0), st.floats(0.001, 50)),
)
def test_closed_networks_conserve_users_and_gain_throughput_with_them(demands, users, think):
    for solve in (mva_exact, mva_linearizer, mva_schweitzer):
        network = solve([demands], [users], [think])
        rate = network.throughput_per_s[0]
        assert rate * (think + network.response_s[0]) == pytest.approx(users, rel=1e-9)
        inside = sum(network.queue[0]) + rate * think
        assert inside == pytest.approx(users, rel=1e-9)
        assert rate <= 1 / max(demands) * (1 + 1e-6)
        assert solve([demands], [users + 1], [think]).throughput_per_s[0] >= rate * (1 - 1e-9)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    first=st.floats(0.0, 0.9),
    back=st.floats(0.0, 0.9),
    share=st.floats(0.05, 0.95),
)
def test_open_networks_pass_on_what_comes_in(first, back, share):
    routing = [[0.0, first], [back, 0.0]]
    unit = open_network([1.0, 0.5], routing, [1e-6, 1e-6], [1, 1])
    top = open_capacity_per_s([1.0 * v * 1.5 for v in unit.visits], [2, 3])
    network = open_network([share * top, share * top / 2], routing, [1.0, 1.0], [2, 3])
    leaving = sum(
        station.throughput_per_s * (1 - sum(row))
        for station, row in zip(network.stations, routing, strict=True)
    )
    assert leaving == pytest.approx(1.5 * share * top, rel=1e-9)
    assert network.jobs_present == pytest.approx(leaving * network.mean_sojourn_s, rel=1e-9)
    assert max(s.utilisation_fraction for s in network.stations) < 1


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), c=st.integers(1, 9))
def test_the_sample_path_never_idles_a_server_while_a_job_waits(seed, c):
    rng = np.random.default_rng(seed)
    arrivals, work = np.cumsum(rng.exponential(1.0, 300)), rng.exponential(0.9 * c, 300)
    waits = fcfs_waits_s(arrivals, work, c)
    starts, ends = arrivals + waits, arrivals + waits + work
    for job in range(300):
        busy = np.sum((starts[:job] <= starts[job]) & (ends[:job] > starts[job]))
        assert busy < c or np.isclose(ends[:job], starts[job]).any()
        if waits[job] > 0:
            just_before = arrivals[job] + waits[job] * 0.5
            assert np.sum((starts[:job] <= just_before) & (ends[:job] > just_before)) == c


def test_processor_sharing_slows_all_jobs_alike():
    assert conditional_sojourn_s(3.0, 0.75) == 3 * conditional_sojourn_s(1.0, 0.75)
