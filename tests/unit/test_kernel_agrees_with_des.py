"""The kernel and the DES are one model: same trace, same seed, same result, whatever is on."""

import math
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import des, kernel
from sim.errors import InvalidScenario
from sim.example import shop
from sim.kernel.stream import RELATIVE_ERROR, simulate_stream
from sim.kernel.tandem import is_tandem
from sim.model import (
    Autoscaler,
    Beat,
    Breaker,
    CacheFamily,
    CacheRestart,
    Client,
    Crash,
    Delay,
    Demand,
    Drain,
    Fill,
    Group,
    Guard,
    Hold,
    Host,
    Invalidate,
    Limit,
    Lookup,
    Outcome,
    Pool,
    RateLimit,
    ReplicaSet,
    Replicate,
    Route,
    SimulatedRun,
    Spawn,
    StackModel,
    Station,
    Visit,
)
from sim.workload import UserTrace, user_trace
from sim.workload.trace import Trace

OPERATIONS = ("read", "write", "report")
HORIZON_S = 20.0


def demands(mean_s: float) -> st.SearchStrategy[Demand]:
    # Times on a grid make ties, on which the rules about the order of events bite.
    grid = Demand(round(mean_s * 4) / 4 or 0.25, distribution="deterministic")
    return st.sampled_from(
        [
            Demand(mean_s, distribution="exponential"),
            Demand(mean_s, 0.7),
            Demand(0.0),
            grid,
            Demand(mean_s, distribution="empirical", quantiles_s=(0.0, mean_s, 4 * mean_s)),
        ]
    )


@st.composite
def models(draw: st.DrawFn) -> StackModel:
    """A stack with everything in it, each part in any of its ways."""
    some = st.integers(1, 4)
    limit = st.sampled_from([None, None, 0, 2])
    host = st.sampled_from(["host", None])
    replicas = draw(some)
    members = draw(st.sampled_from([1, 3]))
    web = draw(st.sampled_from(["fifo", "ps"]))
    stations = [
        Station("web", draw(some), discipline=web, host=draw(host) if web == "fifo" else None),
        *(
            Station(f"api-{i}", draw(some), queue_limit=draw(limit), host=draw(host))
            for i in range(replicas)
        ),
        *(Station(f"db-{i}", draw(some), host=draw(host)) for i in range(members)),
        Station("worker", draw(some), queue_limit=draw(limit)),
    ]
    api = tuple(f"api-{i}" for i in range(replicas))
    db = tuple(f"db-{i}" for i in range(members))
    policy = draw(st.sampled_from(["round_robin", "least_connections", "power_of_two"]))
    coalesce = draw(st.booleans())
    family = CacheFamily(
        "pages",
        draw(st.sampled_from([0.5, 2.0, 100.0])),
        keys=8,
        keyed_by=draw(st.sampled_from(["key", "user"])),
        keys_per_group=4,
        coalesce=coalesce,
        flights_per=draw(st.sampled_from(["api", None])),
    )
    prefer = draw(st.sampled_from(["primary", "secondary"]))
    query = Visit("db", draw(demands(0.3)), prefer)
    miss = (Guard("db breaker", (Hold("connections", (query,)),)), Fill("pages", variant=1))
    burst = Visit("api", draw(demands(0.1)))
    read = (
        Visit("web", draw(demands(0.05))),
        burst,
        Limit("per user"),
        Lookup("pages", hit=(burst,), miss=miss, variant=1),
        burst,
        *draw(st.sampled_from([(), (Beat(0.25),)])),
        Delay(draw(demands(0.2))),
    )
    write = (
        burst,
        Hold("connections", (Visit("db", draw(demands(0.3))),)),
        Replicate("db", lag=draw(demands(0.5)), apply=draw(demands(0.1))),
        Invalidate("pages", everything=draw(st.booleans()), modulus=2),
        Spawn((Delay(draw(demands(0.5))), Visit("worker", draw(demands(0.5))))),
    )
    report = (Visit("worker", draw(demands(0.4))), Guard("db breaker", (query,)))
    scaled = draw(st.booleans())
    scalers = (Autoscaler("api", 1, replicas, draw(st.integers(1, replicas)), 0.5, 2.0, 1.0, 2.0),)
    return StackModel(
        stations=tuple(stations),
        hosts=(
            Host(
                "host",
                draw(some),
                draw(st.sampled_from([0.0, 0.3])),
                draw(st.sampled_from(["fifo", "ps"])),
            ),
        ),
        groups=(Group("api", api, policy),),
        replica_sets=(ReplicaSet("db", db, election_s=draw(st.sampled_from([0.0, 1.0])), keys=4),),
        pools=(Pool("connections", draw(some), draw(st.sampled_from(["api", None]))),),
        families=(family,),
        limits=(RateLimit("per user", 2.0, 2.0, draw(st.sampled_from(["user", "all"])), users=3),),
        breakers=(Breaker("db breaker", draw(some), draw(st.sampled_from([1.0, math.inf])), 1.0),),
        routes=tuple(map(Route, OPERATIONS, (read, write, report))),
        client=Client(
            timeout_s=draw(st.sampled_from([math.inf, 1.0, 2.5])),
            retries=draw(st.integers(0, 3)),
            backoff_s=draw(st.sampled_from([0.0, 0.5])),
            backoff_cap_s=1.5,
            jitter=draw(st.booleans()),
            budget_fraction=draw(st.sampled_from([math.inf, 0.1])),
            budget_cap=3.0,
            cancels=draw(st.booleans()),
        ),
        autoscalers=scalers if scaled else (),
        disruptions=draw(
            st.lists(disruptions((*api, *db, "web", "worker")), max_size=3).map(tuple)
        ),
    )


def disruptions(stations: tuple[str, ...]) -> st.SearchStrategy:
    name = st.sampled_from(stations)
    begin = st.sampled_from([0.0, 1.25, 3.0, 7.5])
    length = st.sampled_from([0.0, 0.5, 4.0])
    return st.one_of(
        st.builds(
            lambda s, b, n, d: Crash(s, b, b + n, d),
            name,
            begin,
            st.sampled_from([0.5, 4.0, math.inf]),
            st.sampled_from([0.0, 1.0]),
        ),
        st.builds(lambda s, b, n: Drain(s, b, b + n), name, begin, length),
        st.builds(lambda b, n: CacheRestart(b, b + n), begin, length),
    )


def random_trace(seed: int, requests: int, load_per_s: float, on_grid: bool) -> Trace:
    rng = np.random.default_rng(seed)
    arrival_s = np.cumsum(rng.exponential(1 / load_per_s, requests))
    if on_grid:
        arrival_s = np.floor(arrival_s * 4) / 4
    return Trace(
        arrival_s,
        OPERATIONS,
        rng.choice(3, requests, p=(0.7, 0.2, 0.1)).astype(np.int16),
        rng.integers(0, 12, requests),
        rng.integers(0, 5, requests),
    )


def assert_same(one: SimulatedRun, other: SimulatedRun) -> None:
    np.testing.assert_array_equal(one.outcome, other.outcome)
    np.testing.assert_array_equal(one.attempts, other.attempts)
    np.testing.assert_array_equal(one.cache_outcome, other.cache_outcome)
    np.testing.assert_allclose(one.sojourn_s, other.sojourn_s, rtol=0, atol=1e-9)
    np.testing.assert_allclose(one.job_s, other.job_s, rtol=0, atol=1e-9)
    assert one.families == other.families
    assert one.jobs_completed == other.jobs_completed
    assert one.stale_reads == other.stale_reads
    assert one.scaling == other.scaling
    assert [load.visits for load in one.stations] == [load.visits for load in other.stations]
    for mine, theirs in zip(one.stations, other.stations, strict=True):
        assert mine.utilisation == pytest.approx(theirs.utilisation, abs=1e-9)
        assert mine.throughput_per_s == pytest.approx(theirs.throughput_per_s, abs=1e-9)
        assert mine.mean_wait_s == pytest.approx(theirs.mean_wait_s, abs=1e-9)
    assert one.host_utilisation == pytest.approx(other.host_utilisation, abs=1e-9)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    model=models(),
    seed=st.integers(0, 2**64 - 1),
    requests=st.integers(1, 150),
    load_per_s=st.sampled_from([1.0, 5.0, 20.0]),
    on_grid=st.booleans(),
)
def test_kernel_and_des_agree_on_stacks_with_every_feature(
    model: StackModel, seed: int, requests: int, load_per_s: float, on_grid: bool
) -> None:
    trace = random_trace(seed % 1000, requests, load_per_s, on_grid)
    assert_same(des.simulate(model, trace, seed=seed), kernel.simulate(model, trace, seed=seed))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    model=models(),
    seed=st.integers(0, 2**64 - 1),
    users=st.integers(1, 12),
    think_s=st.sampled_from([0.0, 0.25, 2.0]),
    on_grid=st.booleans(),
)
def test_kernel_and_des_agree_on_closed_users_too(
    model: StackModel, seed: int, users: int, think_s: float, on_grid: bool
) -> None:
    visits = 8
    first = random_trace(seed % 1000, users, 5.0, on_grid)
    drawn_s = np.random.default_rng(seed % 1000).exponential(think_s, users * visits)
    later = random_trace(seed % 999, users * (visits - 1), 5.0, on_grid)
    whole = Trace(
        np.concatenate([np.minimum(first.arrival_s, 9.0), np.full(len(later), 9.0)]),
        OPERATIONS,
        np.concatenate([first.operation, later.operation]),
        np.concatenate([first.key, later.key]),
        np.concatenate([first.user, later.user]),
    )
    asked = UserTrace(whole, np.floor(drawn_s * 4) / 4 if on_grid else drawn_s, users, 9.0)
    one = des.simulate_users(model, asked, seed=seed)
    other = kernel.simulate_users(model, asked, seed=seed)
    np.testing.assert_array_equal(one.request, other.request)
    np.testing.assert_allclose(one.arrival_s, other.arrival_s, rtol=0, atol=1e-9)
    assert_same(one.run, other.run)


def test_a_closed_user_never_has_two_requests_under_way_and_thinks_between_them() -> None:
    model = StackModel((Station("s", 2),), (Route("list", (Visit("s", Demand(0.5)),)),))
    workload = shop().workload.model_copy(update={"think_time_s": 1.0, "mix": {"list": 1.0}})
    asked = user_trace(workload, 7, 200.0, np.random.default_rng(1), seed=4)
    found = kernel.simulate_users(model, asked, seed=4)
    assert found.request.size > 500
    assert found.arrival_s.max() < 200.0
    for user in range(7):
        own = found.request % 7 == user
        begun_s, ended_s = found.arrival_s[own], found.arrival_s[own] + found.run.sojourn_s[own]
        np.testing.assert_array_equal(found.request[own] // 7, np.arange(own.sum()))
        np.testing.assert_allclose(
            begun_s[1:] - ended_s[:-1], asked.think_s[found.request[own]][1:], atol=1e-9
        )


@pytest.mark.parametrize("engine", [des, kernel])
@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"think_s": np.array([0.0, -1.0])}, "think_s"),
        ({"think_s": np.array([0.0, np.nan])}, "think_s"),
        ({"think_s": np.zeros(1)}, "think_s"),
        ({"users": 3}, "users"),
        ({"users": 0}, "users"),
    ],
)
def test_impossible_closed_users_are_refused(engine: ModuleType, change: dict, where: str) -> None:
    model = StackModel((Station("s", 1),), (Route("read", (Visit("s", Demand(0.1)),)),))
    zero = np.zeros(2, np.int64)
    trace = Trace(np.array([0.0, 9.0]), ("read",), zero.astype(np.int16), zero, zero)
    asked = UserTrace(trace, np.zeros(2), users=1, until_s=9.0)
    with pytest.raises(InvalidScenario, match=where):
        engine.simulate_users(model, replace(asked, **change), seed=1)
    assert engine.simulate_users(model, asked, seed=1).request.tolist() == [0, 1]


@settings(max_examples=40, deadline=None)
@given(
    tiers=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
    on_grid=st.booleans(),
    data=st.data(),
)
def test_short_way_for_rows_of_stations_agrees_with_des(
    tiers: list[tuple[int, int]], seed: int, on_grid: bool, data: st.DataObject
) -> None:
    stations = [
        Station(f"{tier}-{replica}", slots)
        for tier, (replicas, slots) in enumerate(tiers)
        for replica in range(replicas)
    ]
    groups = tuple(
        Group(f"tier {tier}", tuple(f"{tier}-{replica}" for replica in range(replicas)))
        for tier, (replicas, _) in enumerate(tiers)
    )
    routes = tuple(
        Route(name, tuple(Visit(g.name, data.draw(demands(0.3))) for g in groups))
        for name in OPERATIONS
    )
    model = StackModel(tuple(stations), routes, groups=groups)
    assert is_tandem(model)
    trace = random_trace(seed % 1000, 200, 5.0, on_grid)
    assert_same(des.simulate(model, trace, seed=seed), kernel.simulate(model, trace, seed=seed))


def test_streaming_gives_the_quantiles_of_the_whole_run_to_one_part_in_512() -> None:
    model = StackModel((Station("s", 2, "ps"),), (Route("read", (Visit("s", Demand(0.3)),)),))
    whole = random_trace(1, 50_000, 5.0, on_grid=False)
    whole = replace(whole, operation=np.zeros(50_000, np.int16))

    def chunks() -> Iterator[Trace]:
        for cut in np.array_split(np.arange(50_000), 7):
            yield Trace(
                whole.arrival_s[cut],
                whole.operations,
                whole.operation[cut],
                whole.key[cut],
                whole.user[cut],
            )

    streamed = simulate_stream(model, chunks(), seed=3)
    run = kernel.simulate(model, whole, seed=3)
    assert streamed.requests == streamed.succeeded == 50_000
    assert streamed.load.stations == run.stations
    for probability in (0.5, 0.95, 0.999):
        exact = np.quantile(run.sojourn_s, probability, method="inverted_cdf")
        assert streamed.quantile_s(probability) == pytest.approx(exact, rel=RELATIVE_ERROR)


def test_requests_end_when_no_database_is_left() -> None:
    model = StackModel(
        (Station("db-0", 1),),
        (Route("read", (Visit("db", Demand(0.1)),)),),
        replica_sets=(ReplicaSet("db", ("db-0",), election_s=1.0),),
        disruptions=(Crash("db-0", 0.0),),
    )
    trace = Trace(
        np.array([0.5, 5.0]), ("read",), np.zeros(2, np.int16), np.zeros(2, int), np.zeros(2, int)
    )
    for engine in (des, kernel):
        run = engine.simulate(model, trace, seed=1)
        assert run.outcome.tolist() == [Outcome.FAILED, Outcome.FAILED]
        assert run.sojourn_s.tolist() == [0.5, 0.0]  # after the election; at once


@pytest.mark.parametrize("engine", [des, kernel])
@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"arrival_s": np.array([1.0, 0.5])}, "arrival_s"),
        ({"arrival_s": np.array([0.0, np.nan])}, "arrival_s"),
        ({"arrival_s": np.array([0.0, np.inf])}, "arrival_s"),
        ({"arrival_s": np.array([-1.0, 0.0])}, "arrival_s"),
        ({"operation": np.array([0, 5], np.int16)}, "operation"),
        ({"operations": ("read", "dance"), "operation": np.ones(2, np.int16)}, "dance"),
        ({"key": np.zeros(1, np.int64)}, "key"),
        ({"user": np.array([0, -1])}, "user"),
    ],
)
def test_impossible_traces_are_refused(engine: ModuleType, change: dict, where: str) -> None:
    model = StackModel((Station("s", 1),), (Route("read", (Visit("s", Demand(0.1)),)),))
    zero = np.zeros(2, np.int64)
    trace = Trace(np.array([0.0, 1.0]), ("read",), zero.astype(np.int16), zero, zero)
    with pytest.raises(InvalidScenario, match=where):
        engine.simulate(model, replace(trace, **change), seed=1)
    assert engine.simulate(model, trace, seed=1).is_ok.all()


@pytest.mark.parametrize("engine", [des, kernel])
def test_an_empty_trace_gives_an_empty_run(engine: ModuleType) -> None:
    model = StackModel((Station("s", 1),), (Route("read", (Visit("s", Demand(0.1)),)),))
    none = np.zeros(0, np.int64)
    run = engine.simulate(model, Trace(np.zeros(0), (), none.astype(np.int16), none, none), seed=1)
    assert run.sojourn_s.size == 0
    assert run.error_fraction == run.throughput_per_s == 0
