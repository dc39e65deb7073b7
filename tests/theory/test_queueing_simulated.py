"""Every station and network against simulation, within the replications' 99.9 % interval."""

import numpy as np
import pytest
from queue_simulators import (
    impatient_waits,
    limited_waits,
    population_sojourns,
    replicated,
    shared_sojourns,
    two_station_throughput,
)

from sim.queueing.abandonment import mmc_abandonment
from sim.queueing.fork_join import fork_join
from sim.queueing.jackson import open_network
from sim.queueing.mg1 import mg1
from sim.queueing.mgc import MEAN_SOJOURN_ERROR, P95_SOJOURN_ERROR, mgc
from sim.queueing.mmc import mmc
from sim.queueing.mmck import mmck
from sim.queueing.mva import mva_exact
from sim.queueing.population import mmc_population
from sim.queueing.processor_sharing import mg1_ps
from sim.queueing.sample_path import fcfs_waits_s
from sim.queueing.service import Deterministic, Gamma, Mixture, service_time
from sim.replicate import mean_interval

JOBS, WARMUP = 60_000, 10_000


def poisson(rate, rng, jobs=JOBS):
    return np.cumsum(rng.exponential(1 / rate, jobs))


def measures(times):
    """Mean, median, p95 and p99 of what follows the warm-up."""
    steady = times[WARMUP:] if times.size == JOBS else times
    return [float(steady.mean()), *np.quantile(steady, [0.5, 0.95, 0.99]).tolist()]


def of(distribution):
    return [distribution.mean_s, *(distribution.quantile_s(p) for p in (0.5, 0.95, 0.99))]


def assert_simulated(simulate, expected, seed, replications=30):
    """Each expected number lies in the 99.9 % interval of its simulated replications."""
    columns = np.array(replicated(simulate, seed, replications)).T
    for place, (column, truth) in enumerate(zip(columns, expected, strict=True)):
        interval = mean_interval(column, 0.999)
        assert interval.low - 1e-9 <= truth <= interval.high + 1e-9, (place, truth, interval)


@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.6), (1, 0.8), (4, 0.7), (16, 0.9)])
def test_mmc_waits_and_sojourns_are_those_simulated(servers, utilisation):
    rate = servers * utilisation
    station = mmc(rate, 1.0, servers)

    def simulate(rng):
        services = rng.exponential(1.0, JOBS)
        waits = fcfs_waits_s(poisson(rate, rng), services, servers)
        return [*measures(waits), *measures(waits + services), float(np.mean(waits[WARMUP:] > 0))]

    expected = [*of(station.queue_wait), *of(station.sojourn), station.delayed_fraction]
    assert_simulated(simulate, expected, seed=servers)


SERVICES = {
    "constant": Deterministic(1.0),
    "Erlang-4": Gamma(1.0, 0.25),
    "long-tailed": Gamma(1.0, 4.0),
    "two kinds": Mixture((Deterministic(0.5), Gamma(3.0, 1.0)), (0.8, 0.2)),
}


@pytest.mark.parametrize("kind", SERVICES)
def test_mg1_waits_and_sojourns_are_those_simulated(kind):
    service = SERVICES[kind]
    rate = 0.7 / service.mean_s
    station = mg1(rate, service)

    def simulate(rng):
        services = service.draws_s(rng, JOBS)
        waits = fcfs_waits_s(poisson(rate, rng), services, 1)
        return [*measures(waits), *measures(waits + services)]

    assert_simulated(simulate, [*of(station.queue_wait), *of(station.sojourn)], seed=11)


@pytest.mark.parametrize("kind", SERVICES)
def test_service_draws_have_the_mean_and_variability_stated(kind):
    service = SERVICES[kind]

    def simulate(rng):
        draws = service.draws_s(rng, 20_000)
        return [float(draws.mean()), float((draws**2).mean())]

    second = service.mean_s**2 * (1 + service.scv)
    assert_simulated(simulate, [service.mean_s, second], seed=12)


@pytest.mark.parametrize(
    ("rate", "servers", "capacity"), [(0.9, 1, 6), (3.0, 3, 3), (5.0, 4, 12), (9.0, 4, 10)]
)
def test_mmck_losses_and_waits_are_those_simulated(rate, servers, capacity):
    station = mmck(rate, 1.0, servers, capacity)

    def simulate(rng):
        services = rng.exponential(1.0, JOBS)
        waits = limited_waits(poisson(rate, rng), services, servers, capacity)[WARMUP:]
        kept = waits >= 0
        sojourns = (waits + services[WARMUP:])[kept]
        return [float(1 - kept.mean()), float(waits[kept].mean()), *measures(sojourns)]

    expected = [station.lost_fraction, station.mean_queue_wait_s, *of(station.sojourn)]
    assert_simulated(simulate, expected, seed=21)


@pytest.mark.parametrize(
    ("rate", "servers", "patience"), [(0.9, 1, 2.0), (5.0, 4, 0.5), (7.0, 4, 3.0), (0.8, 1, 0.05)]
)
def test_impatient_jobs_leave_and_wait_as_simulated(rate, servers, patience):
    station = mmc_abandonment(rate, 1.0, servers, patience)

    def simulate(rng):
        services, limits = rng.exponential(1.0, JOBS), rng.exponential(patience, JOBS)
        waits, served = impatient_waits(poisson(rate, rng), services, limits, servers)
        waits, served, services = waits[WARMUP:], served[WARMUP:], services[WARMUP:]
        return [
            float(1 - served.mean()),
            *measures(waits),
            *measures(waits + services * served),
            *measures((waits + services)[served]),
        ]

    expected = [
        station.lost_fraction,
        *of(station.queue_wait),
        *of(station.sojourn),
        *of(station.served_sojourn),
    ]
    assert_simulated(simulate, expected, seed=31)


def test_mm1_processor_sharing_sojourns_are_those_simulated():
    station = mg1_ps(0.7, service_time(1.0, 1.0))

    def simulate(rng):
        return measures(shared_sojourns(poisson(0.7, rng), rng.exponential(1.0, JOBS)))

    assert_simulated(simulate, of(station.sojourn), seed=41)


@pytest.mark.parametrize("kind", ["constant", "long-tailed"])
def test_processor_sharing_means_do_not_depend_on_variability(kind):
    station = mg1_ps(0.7, SERVICES[kind])

    def simulate(rng):
        services = SERVICES[kind].draws_s(rng, JOBS)
        return [float(shared_sojourns(poisson(0.7, rng), services)[WARMUP:].mean())]

    assert_simulated(simulate, [station.mean_sojourn_s], seed=42)


@pytest.mark.parametrize(("users", "think", "servers"), [(8, 5.0, 1), (20, 4.0, 3), (60, 10.0, 4)])
def test_a_closed_population_is_answered_as_simulated(users, think, servers):
    station = mmc_population(users, think, 1.0, servers)

    def simulate(rng):
        sojourns, end = population_sojourns(rng, 20_000, users, think, servers)
        steady = sojourns[2_000:]
        return [20_000 / end, *measures(steady)]

    expected = [station.throughput_per_s, *of(station.sojourn)]
    interval_slack = np.array(replicated(simulate, 51, 20)).T
    for column, truth in zip(interval_slack, expected, strict=True):
        interval = mean_interval(column, 0.999)
        # The run starts with everybody thinking: allow its share of the throughput.
        assert interval.low * (1 - 2e-3) <= truth <= interval.high * (1 + 2e-3)


def test_a_tandem_of_queues_takes_as_long_as_simulated():
    network = open_network([0.7, 0.0], [[0.0, 1.0], [0.0, 0.0]], [1.0, 1.2], [1, 1])

    def simulate(rng):
        first, second = rng.exponential(1.0, JOBS), rng.exponential(1.2, JOBS)
        arrivals = poisson(0.7, rng)
        middle = arrivals + fcfs_waits_s(arrivals, first, 1) + first
        ends = middle + fcfs_waits_s(middle, second, 1) + second
        return measures(ends - arrivals)

    assert_simulated(simulate, of(network.sojourn), seed=61, replications=40)


def test_exact_mva_throughput_is_that_simulated():
    demands = np.array([[0.5, 1.0], [1.5, 0.2]])
    users, think = np.array([3.0, 2.0]), np.array([4.0, 1.0])
    network = mva_exact(demands.tolist(), [3, 2], think.tolist())

    def simulate(rng):
        draws, jumps = rng.exponential(1.0, 300_000), rng.random(300_000)
        return two_station_throughput(demands, users, think, draws, jumps)

    assert_simulated(simulate, network.throughput_per_s, seed=71)


def fork_join_responses(rate, tasks, rng):
    arrivals = poisson(rate, rng)
    slowest = np.zeros(JOBS)
    for _ in range(tasks):
        services = rng.exponential(1.0, JOBS)
        np.maximum(slowest, fcfs_waits_s(arrivals, services, 1) + services, out=slowest)
    return slowest


def test_the_fork_join_of_two_is_exact():
    assert_simulated(
        lambda rng: [float(fork_join_responses(0.7, 2, rng)[WARMUP:].mean())],
        [fork_join(0.7, 1.0, 2).mean_s],
        seed=81,
    )


@pytest.mark.parametrize(("rate", "tasks"), [(0.3, 4), (0.7, 8), (0.8, 32)])
def test_fork_join_bounds_enclose_the_simulation_and_the_mean_is_within_5_percent(rate, tasks):
    known = fork_join(rate, 1.0, tasks)
    columns = np.array(
        replicated(lambda rng: measures(fork_join_responses(rate, tasks, rng)), 82, 10)
    ).T
    mean, _, p95, _ = (mean_interval(column, 0.999) for column in columns)
    assert known.mean_low_s <= mean.high
    assert mean.low <= known.mean_high_s
    assert mean.estimate == pytest.approx(known.mean_s, rel=0.05)
    assert known.low.quantile_s(0.95) <= p95.high
    assert p95.low <= known.high.quantile_s(0.95)


@pytest.mark.parametrize("servers", [1, 8, 64])
@pytest.mark.parametrize("utilisation", [0.5, 0.9])
@pytest.mark.parametrize("scv", [0.0, 0.25, 4.0])
def test_allen_cunneen_errs_no_more_than_it_states(servers, utilisation, scv):
    rate = servers * utilisation
    station = mgc(rate, 1.0, servers, scv)
    service = service_time(1.0, scv)

    def simulate(rng):
        services = service.draws_s(rng, JOBS)
        return measures(fcfs_waits_s(poisson(rate, rng), services, servers) + services)

    columns = np.array(replicated(simulate, 91, 10)).T
    mean, _, p95, _ = (mean_interval(column, 0.999) for column in columns)
    for interval, model, error in (
        (mean, station.mean_sojourn_s, MEAN_SOJOURN_ERROR),
        (p95, station.sojourn.quantile_s(0.95), P95_SOJOURN_ERROR),
    ):
        assert interval.low / (1 + error) <= model * 1.0000001
        assert model <= interval.high * (1 + error)
