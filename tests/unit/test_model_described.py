"""The scenario's protections and background work stand in the model, and do there what they say."""

import numpy as np
import pytest

from sim import des, kernel
from sim.errors import InvalidScenario
from sim.model import (
    Demands,
    Guard,
    Hold,
    Limit,
    Outcome,
    Replicate,
    Spawn,
    StackModel,
    Visit,
    VisitDemand,
    stack_model,
)
from sim.scenario_file import parse_scenario
from sim.workload import Trace

SCENARIO = """
name: made-up
question: What guards this stack?
workload:
  registered_users: 1000
  daily_active_fraction: 0.5
  requests_per_session: 5
  mix: {{search: 0.5, favourite_add: 0.5}}
  catalogue: {{products: 50, users: 20, categories: 5, search_queries: 40}}
topology:
  api: {{replicas: 2, timeout_s: 2, {api}}}
  cache: null
  database: {{members: 3, {database}}}
  search: {{engine: elasticsearch}}
  {more}
objectives: {{p95_s: 0.5, availability_fraction: 0.99, error_fraction: 0.01}}
experiment: {{loads_per_s: [5, 10, 20, 40], cell_s: 20, warmup_s: 2, repeats: 1, seed: 7}}
"""


def model_of(
    api: str = "retries: 0", database: str = "election_timeout_s: 5", more: str = ""
) -> StackModel:
    scenario = parse_scenario(SCENARIO.format(api=api, database=database, more=more))
    front = (VisitDemand("nginx", 0.0005), VisitDemand("api", 0.002))
    visits = {
        ("search", "none"): (*front, VisitDemand("elasticsearch", 0.02)),
        ("favourite_add", "none"): (*front, VisitDemand("mongo", 0.01)),
    }
    return stack_model(scenario, Demands(visits))


def trace(requests: int = 4000, load_per_s: float = 40.0, users: int = 20) -> Trace:
    rng = np.random.default_rng(5)
    return Trace(
        np.cumsum(rng.exponential(1 / load_per_s, requests)),
        ("search", "favourite_add"),
        rng.integers(0, 2, requests).astype(np.int16),
        rng.integers(0, 50, requests),
        rng.integers(0, users, requests),
    )


def test_a_scenario_that_asks_for_no_protection_gets_none() -> None:
    model = model_of()
    assert model.pools == model.breakers == model.limits == ()
    assert all(isinstance(step, Visit) for route in model.routes for step in route.steps)
    assert model.client.backoff_s == pytest.approx(0.1)
    assert model.client.budget_fraction == float("inf")


def test_budgets_stand_behind_the_load_balancer_and_shed_what_is_over_them() -> None:
    model = model_of(more="limits: {search_per_min: 30, favourites_per_min: 20}")
    steps = model.route_of["search"].steps
    assert [type(step) for step in steps[:3]] == [Limit, Visit, Limit]
    assert [limit.name for limit in model.limits] == ["address", "search", "favourites"]
    asked = trace()
    run = kernel.simulate(model, asked, seed=1)
    shed = run.outcome == Outcome.SHED
    minutes = asked.arrival_s[-1] / 60
    for operation, quota in ((0, 30), (1, 20)):
        admitted = int((~shed & (asked.operation == operation)).sum())
        # 20 users ask for more than their budgets: a full bucket each, then what flows in; at
        # the end each may hold a token or two that nobody asked for.
        most = 20 * quota * (1 + minutes)
        assert most - 20 * 2 <= admitted <= most


def test_connections_bound_the_calls_of_each_replica() -> None:
    free, bound = model_of(), model_of(api="connections: {elasticsearch: 1}")
    assert bound.pools[0].group == "api"
    assert isinstance(bound.route_of["search"].steps[2], Hold)
    fast = trace(load_per_s=60.0)
    # Two replicas with a connection each: at most two searches at once, where the node has one slot
    # and a queue without end in front of it; so waiting moves from the node to the pool.
    before, after = (kernel.simulate(each, fast, seed=1) for each in (free, bound))
    node = "elasticsearch-1"
    assert after.station(node).mean_wait_s < before.station(node).mean_wait_s
    assert after.is_ok.all()


def test_a_breaker_sheds_while_calls_are_slow() -> None:
    model = model_of(api="breakers: {elasticsearch: {failures: 2, slow_s: 0.001, open_s: 1}}")
    assert isinstance(model.route_of["search"].steps[2], Guard)
    run = kernel.simulate(model, trace(), seed=1)
    assert (run.outcome == Outcome.SHED).mean() > 0.3


def test_a_retry_budget_bounds_the_load_that_retries_add() -> None:
    slow = "retries: 3, retrying: {{backoff_s: 0.05, {budget}}}"
    overload = trace(load_per_s=200.0)  # four times what the search node can do
    free = model_of(api=slow.format(budget="jitter: true"))
    kept = model_of(api=slow.format(budget="budget_fraction: 0.1, budget_cap: 10"))
    added = [
        kernel.simulate(each, overload, seed=1).attempts.sum() / len(overload) - 1
        for each in (free, kept)
    ]
    assert added[0] > 0.5
    assert added[1] <= 0.1 + 10 / len(overload)


def test_writes_reach_the_secondaries_after_their_lag_and_reads_meanwhile_are_stale() -> None:
    lag = "replication: {lag_s: 0.5}, read_from_secondaries: [search]"
    model = model_of(database=lag)
    assert any(isinstance(step, Replicate) for step in model.route_of["favourite_add"].steps)
    asked = trace()
    writes = int((asked.operation == 1).sum())
    jobs = kernel.simulate(model, asked, seed=1).jobs_completed
    assert 2 * writes - 200 < jobs <= 2 * writes  # the last ones are cut by the end of the run


def test_jobs_take_a_worker_each_and_no_request_waits_for_them() -> None:
    model = model_of(more="worker: {replicas: 3, jobs: {favourite_add: {mean_s: 0.1, cv: 0.5}}}")
    assert isinstance(model.route_of["favourite_add"].steps[-1], Spawn)
    asked = trace()
    run, without = (kernel.simulate(each, asked, seed=1) for each in (model, model_of()))
    np.testing.assert_array_equal(run.sojourn_s, without.sojourn_s)
    # 20 writes/s of 0.1 s each keep two of three workers busy.
    assert run.station("worker").utilisation == pytest.approx(2 / 3, rel=0.05)


def test_all_of_it_together_is_one_model_for_both_engines() -> None:
    model = model_of(
        api="retries: 2, connections: {mongo: 2, elasticsearch: 1}, "
        "breakers: {mongo: {failures: 3}, elasticsearch: {slow_s: 0.2}}, "
        "retrying: {budget_fraction: 0.2}",
        database="replication: {lag_s: 0.1, apply_s: 0.001}",
        more="limits: {}\n  worker: {jobs: {favourite_add: {mean_s: 0.02}}}",
    )
    asked = trace(1500, 80.0)
    one, other = (engine.simulate(model, asked, seed=2) for engine in (des, kernel))
    np.testing.assert_array_equal(one.outcome, other.outcome)
    np.testing.assert_allclose(one.sojourn_s, other.sojourn_s, rtol=0, atol=1e-9)
    assert set(one.outcome) >= {Outcome.OK, Outcome.SHED}


@pytest.mark.parametrize(
    ("api", "where"),
    [
        ("connections: {mongo: 0}", "topology.api.connections.mongo"),
        ("connections: {nginx: 5}", "topology.api.connections"),
        ("breakers: {mongo: {open_s: -1}}", "topology.api.breakers.mongo.open_s"),
        ("retrying: {budget_fraction: .nan}", "topology.api.retrying.budget_fraction"),
    ],
)
def test_impossible_protections_are_refused_with_their_place(api: str, where: str) -> None:
    with pytest.raises(InvalidScenario, match=where):
        model_of(api=api)


def test_replicas_share_their_slots_where_the_topology_says_so_and_nothing_else_does() -> None:
    sharing = model_of("discipline: processor_sharing")
    assert {s.name for s in sharing.stations if s.discipline == "ps"} == {"api-1", "api-2"}
    assert {s.discipline for s in model_of().stations} == {"fifo"}
    assert_like_an_empty_queue(sharing)


def assert_like_an_empty_queue(sharing: StackModel) -> None:
    """With nobody else there, either discipline takes what the visits need."""
    alone = trace(requests=40, load_per_s=0.001)
    shared, in_turn = (kernel.simulate(m, alone, seed=3) for m in (sharing, model_of()))
    np.testing.assert_allclose(shared.sojourn_s, in_turn.sojourn_s, atol=1e-6)


def test_processor_sharing_is_refused_where_each_replica_is_one_event_loop() -> None:
    text = SCENARIO.format(api="discipline: processor_sharing", database="", more="")
    visits = {(name, "none"): (VisitDemand("api", 0.002),) for name in ("search", "favourite_add")}
    with pytest.raises(InvalidScenario, match=r"topology.api.discipline: .*allowed: fifo on a sh"):
        stack_model(parse_scenario(text), Demands(visits, host_cores=2))


def test_a_discipline_that_does_not_exist_is_one_clear_error() -> None:
    with pytest.raises(InvalidScenario, match=r"api.discipline.*'lifo'.*'processor_sharing'"):
        parse_scenario(SCENARIO.format(api="discipline: lifo", database="", more=""))
