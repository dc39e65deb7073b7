"""Both engines against queueing theory, within the replications' 99.9 % interval; and its laws."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import des, kernel
from sim.example import shop
from sim.model import Demand, Group, Host, Route, SimulatedRun, Spawn, StackModel, Station, Visit
from sim.queueing.mva import mva_exact
from sim.workload import user_trace
from sim.workload.trace import Trace

T_999 = 3.646  # Student's t, 30 degrees of freedom, two-sided 99.9 %
REPLICATIONS = 31


def exponential(mean_s: float) -> Demand:
    return Demand(mean_s, distribution="exponential")


def poisson(requests: int, load_per_s: float, seed: int) -> Trace:
    rng = np.random.default_rng(seed)
    zero = np.zeros(requests, np.int64)
    arrival_s = np.cumsum(rng.exponential(1 / load_per_s, requests))
    return Trace(arrival_s, ("get",), zero.astype(np.int16), zero, zero)


def one_station(station: Station, demand: Demand, hosts: tuple[Host, ...] = ()) -> StackModel:
    return StackModel((station,), (Route("get", (Visit(station.name, demand),)),), hosts)


def assert_mean_sojourn(
    model: StackModel,
    load_per_s: float,
    expected_s: float,
    *,
    requests: int = 120_000,
    simulate: Callable[..., SimulatedRun] = kernel.simulate,
    statistic: Callable[[np.ndarray], float] = np.mean,
) -> None:
    means = [
        statistic(
            simulate(model, poisson(requests, load_per_s, i), seed=i).sojourn_s[requests // 6 :]
        )
        for i in range(REPLICATIONS)
    ]
    half_width = T_999 * np.std(means, ddof=1) / math.sqrt(REPLICATIONS)
    assert abs(np.mean(means) - expected_s) < half_width
    assert half_width < 0.05 * expected_s  # or the test would say nothing


def erlang_c(servers: int, erlangs: float) -> float:
    terms = [erlangs**k / math.factorial(k) for k in range(servers)]
    last = erlangs**servers / math.factorial(servers) * servers / (servers - erlangs)
    return last / (sum(terms) + last)


def test_mm1_sojourn_is_one_over_mu_minus_lambda() -> None:
    assert_mean_sojourn(one_station(Station("s", 1), exponential(1.0)), 0.7, 1 / (1 - 0.7))


def test_mm1_in_the_des_is_one_over_mu_minus_lambda() -> None:
    model = one_station(Station("s", 1), exponential(1.0))
    assert_mean_sojourn(model, 0.5, 2.0, requests=4_000, simulate=des.simulate)


def test_mm1_p95_is_minus_log_of_5_percent_times_the_mean() -> None:
    def p95(x: np.ndarray) -> float:
        return float(np.quantile(x, 0.95))

    model = one_station(Station("s", 1), exponential(1.0))
    assert_mean_sojourn(model, 0.7, math.log(20) / 0.3, statistic=p95)


@pytest.mark.parametrize(("servers", "load_per_s"), [(2, 1.6), (4, 3.0), (16, 14.0)])
def test_mmc_wait_is_erlang_c(servers: int, load_per_s: float) -> None:
    wait_s = erlang_c(servers, load_per_s) / (servers - load_per_s)
    model = one_station(Station("s", servers), exponential(1.0))
    assert_mean_sojourn(model, load_per_s, 1 + wait_s)


def test_mmc_on_a_shared_host_is_erlang_c() -> None:
    # Four slots on a host of two cores wait as two servers do.
    model = one_station(Station("s", 4, host="h"), exponential(1.0), (Host("h", 2),))
    assert_mean_sojourn(model, 1.5, 1 + erlang_c(2, 1.5) / 0.5)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.5])
def test_mg1_fifo_wait_is_pollaczek_khinchine(cv: float) -> None:
    demand = Demand(1.0, cv, "lognormal") if cv else Demand(1.0, distribution="deterministic")
    wait_s = 0.6 * (1 + cv * cv) / (2 * (1 - 0.6))
    assert_mean_sojourn(one_station(Station("s", 1), demand), 0.6, 1 + wait_s)


@pytest.mark.parametrize("cv", [0.5, 2.0])
def test_mg1_ps_sojourn_does_not_depend_on_the_spread(cv: float) -> None:
    model = one_station(Station("s", 1, discipline="ps"), Demand(1.0, cv))
    assert_mean_sojourn(model, 0.6, 1 / (1 - 0.6))


def test_background_work_slows_a_host_by_its_share() -> None:
    host = Host("h", 1, background_fraction=0.5)
    model = one_station(Station("s", 1, host="h"), exponential(1.0), (host,))
    assert_mean_sojourn(model, 0.35, 1 / (0.5 - 0.35))


def test_tandem_of_mm1_is_the_sum_of_its_stations() -> None:
    model = StackModel(
        (Station("a", 1), Station("b", 1), Station("c", 2)),
        (
            Route(
                "get",
                (
                    Visit("a", exponential(1.0)),
                    Visit("b", exponential(0.5)),
                    Visit("c", exponential(2.0)),
                ),
            ),
        ),
    )
    expected_s = 1 / (1 - 0.6) + 1 / (2 - 0.6) + 2 + 2 * erlang_c(2, 1.2) / (2 - 1.2)
    assert_mean_sojourn(model, 0.6, expected_s)


def test_better_balancing_waits_less() -> None:
    def mean_s(policy: str) -> float:
        members = tuple(f"r{i}" for i in range(4))
        model = StackModel(
            tuple(Station(name, 1) for name in members),
            (Route("get", (Visit("g", exponential(1.0)),)),),
            groups=(Group("g", members, policy),),
        )
        return float(kernel.simulate(model, poisson(100_000, 3.4, 1), seed=1).sojourn_s.mean())

    assert mean_s("least_connections") < mean_s("power_of_two") < mean_s("round_robin")


@settings(max_examples=25, deadline=None)
@given(
    slots=st.integers(1, 5),
    rho=st.floats(0.05, 0.95),
    cv=st.floats(0, 3),
    discipline=st.sampled_from(["fifo", "ps"]),
    seed=st.integers(0, 10_000),
)
def test_laws_of_little_and_utilisation_and_conservation_hold_in_every_run(
    slots: int, rho: float, cv: float, discipline: str, seed: int
) -> None:
    model = one_station(Station("s", slots, discipline=discipline), Demand(1.0, cv))
    trace = poisson(2_000, rho * slots, seed)
    run = kernel.simulate(model, trace, seed=seed)
    load = run.station("s")
    assert load.visits == len(trace)  # conservation: all that came were served
    assert load.throughput_per_s * run.end_s == pytest.approx(len(trace))
    served_s = np.sum(run.sojourn_s) - load.mean_wait_s * load.visits
    # utilisation law: busy time is the work that was brought
    assert load.utilisation * slots * run.end_s == pytest.approx(served_s, rel=1e-6)
    # Little: the time average of the number in the system is throughput times mean sojourn
    moves = np.sort(np.concatenate([trace.arrival_s, trace.arrival_s + run.sojourn_s]))
    steps = np.argsort(
        np.concatenate([trace.arrival_s, trace.arrival_s + run.sojourn_s]), kind="stable"
    )
    inside = np.cumsum(np.where(steps < len(trace), 1, -1))
    mean_inside = float((inside[:-1] * np.diff(moves)).sum()) / run.end_s
    little = load.throughput_per_s * float(run.sojourn_s.mean())
    assert mean_inside == pytest.approx(little, rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(slots=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_one_more_slot_never_lengthens_the_mean(slots: int, seed: int) -> None:
    trace = poisson(1_000, 0.8 * slots, seed)
    fewer, more = (
        kernel.simulate(one_station(Station("s", c), Demand(1.0)), trace, seed=seed)
        for c in (slots, slots + 1)
    )
    assert more.sojourn_s.mean() <= fewer.sojourn_s.mean() + 1e-9


def test_closed_users_are_answered_as_mean_value_analysis_says() -> None:
    """A product form: users think, then visit two stations that share, one of them twice."""
    stations = (Station("api", 1, "ps"), Station("db", 1, "ps"))
    steps = (
        Visit("api", exponential(0.02)),
        Visit("db", exponential(0.06)),
        Visit("api", exponential(0.02)),
    )
    model = StackModel(stations, (Route("list", steps),))
    workload = shop().workload.model_copy(update={"think_time_s": 0.5, "mix": {"list": 1.0}})
    users, until_s, warmup_s = 8, 600.0, 30.0
    expected = mva_exact([[0.04, 0.06]], [users], [0.5])
    rates, responses_s = [], []
    for number in range(REPLICATIONS):
        asked = user_trace(workload, users, until_s, np.random.default_rng(number), seed=number)
        found = kernel.simulate_users(model, asked, seed=number)
        judged = found.arrival_s >= warmup_s
        rates.append(judged.sum() / (until_s - warmup_s))
        responses_s.append(found.run.sojourn_s[judged].mean())
    for measured, value in (
        (rates, expected.throughput_per_s[0]),
        (responses_s, expected.response_s[0]),
    ):
        half_width = T_999 * np.std(measured, ddof=1) / math.sqrt(REPLICATIONS)
        assert abs(np.mean(measured) - value) < half_width
        assert half_width < 0.02 * value


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_wait_for_workers_as_in_a_queue_of_their_own(workers: int) -> None:
    """Requests come at random and leave jobs behind at once: M/M/c, whatever the requests take."""
    mean_s, load_per_s = 0.4, 1.75 * workers
    stations = (Station("api", 2), Station("worker", workers))
    left = Spawn((Visit("worker", exponential(mean_s)),))
    model = StackModel(stations, (Route("get", (left, Visit("api", exponential(0.1)))),))
    erlangs = load_per_s * mean_s
    expected_s = mean_s + erlang_c(workers, erlangs) * mean_s / (workers - erlangs)
    assert_mean_sojourn(
        model,
        load_per_s,
        expected_s,
        requests=60_000,
        simulate=lambda model, trace, seed: jobs_as_requests(
            kernel.simulate(model, trace, seed=seed)
        ),
    )


def jobs_as_requests(run: SimulatedRun) -> SimulatedRun:
    """The run with the times of the jobs in place of their requests'; the last may be cut off."""
    assert np.isnan(run.job_s).sum() < 100
    return replace(run, sojourn_s=run.job_s[~np.isnan(run.job_s)])
