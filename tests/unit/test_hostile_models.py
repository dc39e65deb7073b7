"""Every number of every part of a stack model: a typed error, or a run that ends without NaN."""

import dataclasses
import math
import types
import typing

import numpy as np
import pytest

from sim import des, kernel
from sim.errors import SimError
from sim.model import (
    Autoscaler,
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
    Pool,
    RateLimit,
    ReplicaSet,
    Replicate,
    Route,
    Spawn,
    StackModel,
    Station,
    Visit,
)
from sim.workload import Trace

SHORT = Demand(0.01, 0.5)
READ = Hold("pool", (Visit("db", SHORT),))
MODEL = StackModel(
    stations=(
        Station("web", 2, host="edge"),
        Station("api-0", 1, queue_limit=50),
        Station("api-1", 1),
        Station("db-0", 2),
        Station("db-1", 2),
        Station("db-2", 2),
        Station("worker", 1),
    ),
    hosts=(Host("edge", 2, 0.1),),
    groups=(Group("api", ("api-0", "api-1"), "power_of_two"),),
    replica_sets=(ReplicaSet("db", ("db-0", "db-1", "db-2"), 1.0, 8),),
    pools=(Pool("pool", 5, "api"),),
    families=(CacheFamily("pages", 5.0, 8, keys_per_group=4),),
    limits=(RateLimit("limit", 50.0, 100.0, users=4),),
    breakers=(Breaker("breaker", 5, 2.0, 1.0),),
    autoscalers=(Autoscaler("api", 1, 2, 2, 0.6, 2.0, 1.0, 2.0),),
    client=Client(1.0, 2, 0.1, 1.0, budget_fraction=0.1, budget_cap=10.0),
    disruptions=(Crash("db-0", 2.0, 4.0, 0.5), Drain("api-0", 5.0, 6.0), CacheRestart(7.0, 8.0)),
    routes=(
        Route(
            "get",
            (
                Visit("web", SHORT),
                Limit("limit"),
                Lookup("pages", miss=(Guard("breaker", (READ,)), Fill("pages"))),
                Visit("api", SHORT),
                Delay(SHORT),
                Invalidate("pages", modulus=2),
                Replicate("db", SHORT, SHORT),
                Spawn((Visit("worker", SHORT),)),
            ),
        ),
    ),
)
FIELDS = (
    "stations",
    "hosts",
    "replica_sets",
    "pools",
    "families",
    "limits",
    "breakers",
    "autoscalers",
    "disruptions",
)
FLOATS = (0.0, -1.0, math.nan, math.inf, -math.inf, 1e300)
WHOLE = (0, -1, 10**12)


def trace(requests=120):
    rng = np.random.default_rng(1)
    arrival_s = np.cumsum(rng.exponential(0.1, requests))
    zero = np.zeros(requests, np.int16)
    return Trace(arrival_s, ("get",), zero, rng.integers(0, 8, requests), rng.integers(0, 4, 120))


def numbers_of(part):
    """(field, hostile value) for each number of a part."""
    for name, kind in typing.get_type_hints(type(part)).items():
        union = typing.get_origin(kind) in (typing.Union, types.UnionType)
        kinds = [k for k in (typing.get_args(kind) if union else [kind]) if k is not type(None)]
        if all(each in (float, int) for each in kinds):
            for value in FLOATS if float in kinds else WHOLE:
                yield name, value


CASES = [
    (field, place, name, value)
    for field in FIELDS
    for place, part in enumerate(getattr(MODEL, field))
    for name, value in numbers_of(part)
] + [("client", None, name, value) for name, value in numbers_of(MODEL.client)]


def with_number(field, place, name, value):
    parts = getattr(MODEL, field)
    if place is None:
        return dataclasses.replace(MODEL, client=dataclasses.replace(parts, **{name: value}))
    changed = dataclasses.replace(parts[place], **{name: value})
    return dataclasses.replace(MODEL, **{field: (*parts[:place], changed, *parts[place + 1 :])})


def test_the_model_itself_runs_and_serves():
    assert kernel.simulate(MODEL, trace(), seed=1).is_ok.mean() > 0.5


@pytest.mark.parametrize(("field", "place", "name", "value"), CASES)
def test_a_part_with_a_number_that_makes_no_sense_is_refused_or_runs_to_its_end(
    field, place, name, value
):
    try:
        run = kernel.simulate(with_number(field, place, name, value), trace(), seed=1)
    except SimError:
        return
    assert run.sojourn_s.size == 120
    assert not np.isnan(run.sojourn_s).any()
    assert not math.isnan(run.end_s)
    for load in run.stations:
        assert not any(map(math.isnan, (load.utilisation, load.throughput_per_s, load.mean_wait_s)))


@pytest.mark.parametrize("name", ["mean_s", "cv"])
@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("distribution", ["exponential", "lognormal", "deterministic"])
def test_a_demand_that_is_none_is_refused(distribution, name, value):
    with pytest.raises(SimError):
        Demand(**({"mean_s": 1.0, "cv": 1.0} | {name: value}), distribution=distribution)


@pytest.mark.parametrize("quantiles_s", [(), (1.0,), (2.0, 1.0), (0.0, math.nan), (0.0, math.inf)])
def test_quantiles_that_are_none_are_refused(quantiles_s):
    with pytest.raises(SimError):
        Demand(1.0, distribution="empirical", quantiles_s=quantiles_s)


@pytest.mark.parametrize("engine", [des, kernel])
def test_an_overloaded_station_is_simulated_to_its_end_and_only_gets_slower(engine):
    route = Route("get", (Visit("s", Demand(1.0, distribution="deterministic")),))
    run = engine.simulate(StackModel((Station("s", 1),), (route,)), trace(), seed=1)
    assert run.station("s").utilisation > 0.99
    assert (np.diff(run.sojourn_s) > 0).mean() > 0.95  # ten times what it can serve
    assert np.isfinite(run.sojourn_s).all()
