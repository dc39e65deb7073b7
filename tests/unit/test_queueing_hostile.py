"""Numbers that make no sense, or barely: one typed error or a right answer, never a NaN."""

import math
import pickle

import numpy as np
import pytest

from sim.errors import InvalidScenario, NotConverged, SimError, UnstableStation
from sim.queueing.abandonment import mmc_abandonment
from sim.queueing.bounds import closed_bounds, knee_utilisation_fraction, open_capacity_per_s
from sim.queueing.fork_join import fork_join
from sim.queueing.jackson import open_network, traffic_per_s
from sim.queueing.mg1 import mg1
from sim.queueing.mgc import mgc
from sim.queueing.mmc import erlang_b_fraction, erlang_c_fraction, mmc, servers_for_sojourn
from sim.queueing.mmck import mmck
from sim.queueing.mva import mva_exact, mva_linearizer, mva_schweitzer
from sim.queueing.population import mmc_population
from sim.queueing.processor_sharing import mg1_ps
from sim.queueing.sample_path import fcfs_waits_s
from sim.queueing.service import Mixture, service_time
from sim.queueing.usl import fit_usl

NONSENSE = [0, -1.0, math.nan, math.inf, -math.inf, 1e300, 1e-300, "1", None, True, 10**400, 1j]
NO_COUNT = [0, -1, 1.5, math.nan, math.inf, 10**18, "2", None, True]

RATES = {
    "mmc": lambda x: mmc(x, 0.1, 2),
    "mmc service": lambda x: mmc(1.0, x, 2),
    "mg1": lambda x: mg1(x, service_time(0.1, 1.0)),
    "service": lambda x: service_time(x, 1.0),
    "mgc": lambda x: mgc(x, 0.1, 2, 1.0),
    "mmck": lambda x: mmck(x, 0.1, 2, 5),
    "abandonment": lambda x: mmc_abandonment(x, 0.1, 2, 1.0),
    "patience": lambda x: mmc_abandonment(1.0, 0.1, 2, x),
    "ps": lambda x: mg1_ps(x, service_time(0.1, 1.0)),
    "think": lambda x: mmc_population(5, x, 0.1, 1),
    "fork-join": lambda x: fork_join(x, 0.1, 4),
    "bounds": lambda x: closed_bounds([x], 5, 1.0),
    "capacity": lambda x: open_capacity_per_s([x], [1]),
    "jackson": lambda x: open_network([x], [[0.0]], [0.1], [1]),
    "mva": lambda x: mva_exact([[x]], [3], [1.0]),
    "schweitzer": lambda x: mva_schweitzer([[x]], [3], [1.0]),
    "linearizer": lambda x: mva_linearizer([[x]], [3], [1.0]),
    "usl": lambda x: fit_usl([1, 2, x], [1.0, 2.0, 3.0]),
    "target": lambda x: servers_for_sojourn(1.0, 0.1, x),
}
COUNTS = {
    "mmc": lambda c: mmc(0.1, 0.1, c),
    "mgc": lambda c: mgc(0.1, 0.1, c, 1.0),
    "mmck": lambda c: mmck(0.1, 0.1, 1, c),
    "abandonment": lambda c: mmc_abandonment(0.1, 0.1, c, 1.0),
    "users": lambda c: mmc_population(c, 1.0, 0.1, 1),
    "fork-join": lambda c: fork_join(0.1, 0.1, c),
    "knee": knee_utilisation_fraction,
    "erlang b": lambda c: erlang_b_fraction(1.0, c),
    "mva": lambda c: mva_exact([[1.0]], [c], [1.0]),
    "bounds": lambda c: closed_bounds([1.0], c, 1.0),
    "path": lambda c: fcfs_waits_s(np.zeros(1), np.zeros(1), c),
}


@pytest.mark.parametrize("value", NONSENSE, ids=lambda v: repr(v)[:12])
@pytest.mark.parametrize("model", RATES)
def test_a_rate_or_time_that_is_none_is_named(model, value):
    with pytest.raises(InvalidScenario) as caught:
        RATES[model](value)
    assert caught.value.problems[0].path
    assert caught.value.problems[0].allowed


@pytest.mark.parametrize("value", NO_COUNT, ids=lambda v: repr(v)[:12])
@pytest.mark.parametrize("model", COUNTS)
def test_a_number_of_servers_or_users_that_is_none_is_named(model, value):
    with pytest.raises(InvalidScenario) as caught:
        COUNTS[model](value)
    assert caught.value.problems[0].path


@pytest.mark.parametrize("load", [1.0, 1.0000001, 7.0, 1e9])
def test_overload_says_so_with_the_utilisation(load):
    for model in (
        lambda: mmc(load, 1.0, 1),
        lambda: mg1(load, service_time(1.0, 1.0)),
        lambda: mgc(load, 1.0, 1, 0.0),
        lambda: mg1_ps(load, service_time(1.0, 1.0)),
        lambda: fork_join(load, 1.0, 3),
        lambda: erlang_c_fraction(load, 1),
        lambda: open_network([load], [[0.0]], [1.0], [1]),
    ):
        with pytest.raises(UnstableStation) as caught:
            model()
        assert caught.value.utilisation == pytest.approx(load)
    # These have a steady state at any load.
    assert mmck(load, 1.0, 1, 10).utilisation_fraction <= 1
    assert mmc_abandonment(load, 1.0, 1, 1.0).utilisation_fraction <= 1


EXTREMES = [1e-15, 1e-6, 1.0, 1e6, 1e15]


@pytest.mark.parametrize("rate", EXTREMES)
@pytest.mark.parametrize("service", EXTREMES)
def test_the_corners_of_the_domain_give_finite_numbers_or_a_typed_error(rate, service):
    models = [
        lambda: mmc(rate, service, 3),
        lambda: mg1(rate, service_time(service, 2.0)),
        lambda: mgc(rate, service, 3, 0.0),
        lambda: mmck(rate, service, 3, 9),
        lambda: mmc_abandonment(rate, service, 3, 1.0),
        lambda: mmc_population(1000, 1 / rate, service, 3),
        lambda: mg1_ps(rate, service_time(service, 1.0)),
    ]
    for model in models:
        try:
            station = model()
            numbers = [
                station.mean_sojourn_s,
                station.mean_queue_wait_s,
                station.jobs_present,
                station.throughput_per_s,
                station.sojourn.quantile_s(0.95),
                station.queue_wait.quantile_s(0.5),
            ]
        except SimError:
            continue
        assert all(math.isfinite(number) and number >= 0 for number in numbers), station


def test_a_million_million_users_are_answered_at_once():
    users = 10**12
    station = mmc_population(users, 30.0, 0.01, 1000)
    assert station.throughput_per_s == pytest.approx(100_000)
    assert station.mean_sojourn_s == pytest.approx(users / 100_000 - 30, rel=1e-9)
    assert station.sojourn.quantile_s(0.95) == pytest.approx(station.mean_sojourn_s, rel=1e-4)
    assert closed_bounds([0.01], users, 30.0).throughput_high_per_s == 100
    for solve in (mva_schweitzer, mva_linearizer):
        assert solve([[0.01, 0.002]], [users], [30.0]).throughput_per_s[0] == pytest.approx(100)
    with pytest.raises(InvalidScenario, match="linearizer"):
        mva_exact([[0.01]], [users], [30.0])
    with pytest.raises(InvalidScenario, match="servers"):
        mmc(1e12, 1.0, users)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, math.nan, 2.0, 0.9999999])
def test_a_quantile_out_of_range_is_refused(fraction):
    for time in (mmc(0.5, 1.0, 1).sojourn, mg1(0.5, service_time(1.0, 2.0)).queue_wait):
        with pytest.raises(InvalidScenario):
            time.quantile_s(fraction)
        with pytest.raises(InvalidScenario):
            time.exceeds_fraction(-abs(fraction))


def test_a_model_without_a_known_distribution_says_so():
    station = mg1_ps(0.5, service_time(1.0, 4.0))
    assert station.sojourn.mean_s == 2.0
    with pytest.raises(InvalidScenario, match="simulate"):
        station.sojourn.quantile_s(0.95)


def test_bad_routing_names_the_row_or_the_trap():
    for routing in ([[0.5, 0.6], [0, 0]], [[0, math.nan], [0, 0]], [[0.5], [0, 0]], [[0, 0]]):
        with pytest.raises(InvalidScenario, match="routing"):
            traffic_per_s([1.0, 1.0], routing)
    with pytest.raises(InvalidScenario, match="way out"):
        traffic_per_s([1.0, 1.0], [[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(InvalidScenario, match="reaches"):
        open_network([1.0, 0.0], [[0.0, 0.0], [0.0, 0.0]], [0.1, 0.1], [1, 1])


def test_bad_mixtures_and_paths_are_refused():
    part = service_time(1.0, 1.0)
    for weights in ((0.5, 0.6), (1.0,), (0.0, 1.0), (math.nan, 1.0)):
        with pytest.raises(InvalidScenario):
            Mixture((part, part), weights)
    for arrivals, work in (([1.0, 0.5], [1.0, 1.0]), ([0.0], [math.nan]), ([0.0], [1.0, 1.0])):
        with pytest.raises(InvalidScenario):
            fcfs_waits_s(np.array(arrivals), np.array(work), 1)


def test_errors_survive_the_journey_between_processes():
    for error in (UnstableStation("db", 1.2), NotConverged("x", 1.0, 0.1, 7)):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        assert copy.__dict__ == error.__dict__
