"""Every number that a public function of sim/ takes: one typed error or an answer without NaN.

`CALLS` holds a valid call of each public function that takes a plain number; a new function has to
be added here. Each of its numbers is then replaced by one that makes no sense, or barely.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from datetime import date

import numpy as np
import pytest
from test_public_functions import FUNCTIONS

from sim.cost import bill, price_book
from sim.errors import InvalidScenario, SimError
from sim.example import shop, shop_demands, shop_question
from sim.model import Demand, Route, StackModel, Station, Visit
from sim.plan import own_candidate, plan, screened
from sim.plan.demand import Work
from sim.plan.response import Servers
from sim.queueing.service import service_time
from sim.workload import Trace, UserTrace, demand_of

SHOP, DEMANDS, BOOK = shop(), shop_demands(), price_book("2026-07")
PLANNER, OWN = shop_question().centre(), own_candidate(SHOP)
LISTING = next(iter(SHOP.topology.cache.families.items()))
MODEL = StackModel((Station("web", 1),), (Route("get", (Visit("web", Demand(1.0)),)),))
ZERO = np.zeros(2, np.int64)
TRACE = Trace(np.array([0.0, 0.5]), ("get",), ZERO.astype(np.int16), ZERO, ZERO)
USERS = UserTrace(TRACE, np.zeros(2), users=2, until_s=1.0)
KEYS = np.array([0, 1, 0])
TIER_S = np.eye(1, 7, 1)
WORK = Work(
    (),
    np.ones(1),
    np.full(1, -1),
    np.zeros(1, bool),
    TIER_S,
    0.1 * TIER_S,
    0.02 * TIER_S,
    0.01 * TIER_S,
    np.zeros(1),
)


def rng():
    return np.random.default_rng(1)


def a_draw(stream):
    return float(stream.normal(5.0, 0.1))


def doubled(case, _stream):
    return 2 * case


MMC = {"arrivals_per_s": 1.0, "service_s": 0.5, "servers": 1}
UNIFORM = {"seed": 1, "component": "api", "visit": 0, "attempt": 0}
CALLS = {
    "availability.closed_form.availability_of": {"scenario": SHOP, "api_needed": 1},
    "availability.election.election_outage": {"timeout_s": 10.0, "electors": 2, "rng": rng()},
    "availability.futures.drawn_futures": {
        "reliability": SHOP.reliability,
        "futures": 2,
        "rng": rng(),
    },
    "availability.month.simulated_months": {
        "scenario": SHOP,
        "months": 2,
        "seed": np.random.SeedSequence(1),
        "api_needed": 1,
    },
    "availability.outcome.availability": {
        "scenario": SHOP,
        "book": BOOK,
        "seed": 1,
        "months": 3,
        "api_needed": 1,
    },
    "availability.replica_set.no_primary": {
        "members": 3,
        "needed": 2,
        "failures_per_h": 0.01,
        "away_h": 1.0,
        "election_s": 12.0,
    },
    "availability.structure.k_of_n": {"needed": 1, "parts": 2, "unavailability": 0.1},
    "availability.structure.alternating": {"failures_per_h": 0.01, "away_h": 1.0},
    "availability.structure.with_common_cause": {
        "needed": 1,
        "parts": 2,
        "failures_per_h": 0.01,
        "away_h": 1.0,
        "common_cause_fraction": 0.1,
    },
    "availability.tiers.tiers_of": {"scenario": SHOP, "api_needed": 1},
    "cache.che.characteristic_time_s": {
        "requests_per_s": [1.0, 2.0],
        "capacity": 1.0,
        "members": 1.0,
    },
    "cache.che.lru_hit_fraction": {"requests_per_s": [1.0, 2.0], "capacity": 1.0, "members": 1.0},
    "cache.che.lru_hit_fractions": {"requests_per_s": [1.0, 2.0], "capacity": 1.0, "members": 1.0},
    "cache.families.cached_fraction": {"ratios": {}, "load_per_s": 1.0},
    "cache.families.family_hit_ratios": {
        "workload": SHOP.workload,
        "cache": SHOP.topology.cache,
        "load_per_s": 10.0,
    },
    "cache.families.key_classes": {
        "workload": SHOP.workload,
        "family": LISTING[0],
        "policy": LISTING[1],
        "load_per_s": 10.0,
    },
    "cache.sizing.redis_item_bytes": {"key_bytes": 40, "value_bytes": 1000},
    "cache.trace.lru_hits": {"keys": KEYS, "capacity": 1},
    "cache.trace.sampled_lru_hits": {"keys": KEYS, "capacity": 1, "rng": rng(), "samples": 5},
    "cache.trace.ttl_hits": {"time_s": np.arange(3.0), "keys": KEYS, "ttl_s": 1.5},
    "cache.ttl.expected_misses": {
        "requests_per_s": 1.0,
        "ttl_s": 2.0,
        "time_s": 9.0,
        "clears_per_s": 0.1,
    },
    "cache.ttl.hit_fraction": {"requests_per_s": 1.0, "ttl_s": 2.0, "clears_per_s": 0.1},
    "cache.ttl.hit_fraction_in_window": {
        "requests_per_s": 1.0,
        "ttl_s": 2.0,
        "window_s": (0.0, 9.0),
        "clears_per_s": 0.1,
    },
    "calibrate.demands": {
        "classes": DEMANDS.classes,
        "host_cores": 2,
        "background_fraction": 0.1,
        "index_lag_s": 0.0,
    },
    "cost.age.stale_prices": {
        "lines": bill(SHOP, BOOK).lines,
        "on": date(2026, 8, 1),
        "most_months": 12.0,
    },
    "cost.bill.bill": {"scenario": SHOP, "book": BOOK, "replicas": 2},
    "cost.burst.api_credit_day": {"scenario": SHOP, "cpu_s": 0.01, "replicas": 2},
    "cost.burst.credit_lines": {
        "scenario": SHOP,
        "book": BOOK,
        "cpu_s": (0.01, 0.01, 0.01),
        "replicas": 2,
    },
    "cost.credits.bought_vcpu_h": {
        "sku": "t3.medium",
        "shape": [1.0],
        "levels": [0.5],
        "step_s": 3600.0,
    },
    "cost.capacity_units.capacity_units": {
        "new_connections_per_s": 1.0,
        "connection_s": 60.0,
        "gib_per_h": 1.0,
        "requests_per_s": 1.0,
        "rules": 1,
    },
    "cost.credits.credit_day": {
        "sku": "t3.medium",
        "busy_vcpus": [1.0],
        "step_s": 3600.0,
        "start": 0.0,
    },
    "cost.growth.servers_for": {"scenario": SHOP, "cpu_s": 0.01, "busy_fraction": 0.6},
    "des.simulate": {"model": MODEL, "trace": TRACE, "seed": 1},
    "des.simulate_users": {"model": MODEL, "users": USERS, "seed": 1},
    "draws.demand_s": {"demand": Demand(1.0), "request": 0, **UNIFORM},
    "draws.uniform": {"request": 0, **UNIFORM},
    "draws.uniform_each": {"requests": np.arange(2), **UNIFORM},
    "kernel.simulate": {"model": MODEL, "trace": TRACE, "seed": 1},
    "kernel.simulate_users": {"model": MODEL, "users": USERS, "seed": 1},
    "kernel.stream.simulate_stream": {"model": MODEL, "chunks": [TRACE], "seed": 1},
    "model.parts.rolling_deploy": {"members": ("a",), "start_s": 0.0, "each_s": 1.0},
    "model.run.check_inputs": {"model": MODEL, "trace": TRACE, "seed": 1},
    "model.run.load_of": {
        "name": "api",
        "slots": 1,
        "end_s": 9.0,
        "visits_and_completed": (1, 1),
        "busy_s": 1.0,
        "wait_s": 1.0,
    },
    "model.run.share_of": {"area_s": 1.0, "slots": 1, "end_s": 9.0},
    "plan.choice.choose": {"found": screened(PLANNER, [OWN]), "confidence_fraction": 0.9},
    "plan.effects.steady": {"planner": PLANNER, "candidate": OWN, "load_factor": 1.0},
    "plan.futures.drawn_futures": {"inputs": (), "count": 2, "seed": 1},
    "plan.futures.futures_at": {"inputs": (), "deviates": {}, "count": 2},
    "plan.inverse.users_that_fit": {"planner": PLANNER, "candidate": OWN, "probability": 0.9},
    "plan.response.respond": {
        "work": WORK,
        "load_per_s": np.array([5.0]),
        "hit_fraction": np.empty((0, 1)),
        "stretch": np.ones((7, 1)),
        "servers": Servers(np.ones((7, 1)), np.ones((7, 1), np.int64)),
        "timeout_s": 10.0,
    },
    "plan.space.space_of": {"scenario": SHOP, "book": BOOK, "api_cpu_s": 0.01, "load_per_s": 20.0},
    "plan.whatif.what_if": {"planner": PLANNER, "candidate": OWN, "name": "growth", "size": 2.0},
    "queueing.abandonment.mmc_abandonment": {**MMC, "patience_s": 1.0},
    "queueing.bounds.closed_bounds": {"demands_s": [0.1], "users": 3, "think_s": 1.0},
    "queueing.bounds.knee_utilisation_fraction": {"servers": 2},
    "queueing.domain.count": {"path": "x", "value": 1, "most": 9, "least": 1},
    "queueing.domain.fraction": {"path": "x", "value": 0.5},
    "queueing.domain.non_negative": {"path": "x", "value": 0.5},
    "queueing.domain.open_fraction": {"path": "x", "value": 0.5},
    "queueing.domain.positive": {"path": "x", "value": 0.5},
    "queueing.domain.servers_count": {"value": 1},
    "queueing.domain.stable": {"station": "x", "utilisation_fraction": 0.5},
    "queueing.fork_join.fork_join": {"arrivals_per_s": 0.5, "service_s": 1.0, "tasks": 2},
    "queueing.fork_join.harmonic": {"number": 2},
    "queueing.inversion.invert": {"transform": lambda s: 1 / (s * (1 + s)), "time_s": 1.0},
    "queueing.mg1.mg1": {"arrivals_per_s": 0.5, "service": service_time(1.0, 2.0)},
    "queueing.mgc.mgc": {**MMC, "service_scv": 2.0, "arrivals_scv": 1.0},
    "queueing.mmc.erlang_b_fraction": {"offered_erlangs": 1.0, "servers": 2},
    "queueing.mmc.erlang_c_fraction": {"offered_erlangs": 1.0, "servers": 2},
    "queueing.mmc.erlang_c_wait_s": MMC,
    "queueing.mmc.mmc": MMC,
    "queueing.mmc.servers_for_sojourn": {
        "arrivals_per_s": 1.0,
        "service_s": 0.5,
        "sojourn_s": 2.0,
        "fraction": 0.95,
    },
    "queueing.mmck.mmck": {**MMC, "capacity": 5},
    "queueing.population.mmc_population": {
        "users": 3,
        "think_s": 1.0,
        "service_s": 0.5,
        "servers": 1,
    },
    "queueing.processor_sharing.conditional_sojourn_s": {
        "service_demand_s": 1.0,
        "utilisation_fraction": 0.5,
    },
    "queueing.processor_sharing.mg1_ps": {
        "arrivals_per_s": 0.5,
        "service": service_time(1.0, 1.0),
    },
    "queueing.sample_path.fcfs_waits_s": {
        "arrivals_s": np.arange(2.0),
        "services_s": np.ones(2),
        "servers": 1,
    },
    "queueing.service.service_time": {"mean_s": 1.0, "scv": 1.0},
    "replicate.intervals.batch_means_interval": {
        "series": np.arange(400.0),
        "confidence_fraction": 0.95,
    },
    "replicate.intervals.batch_quantile_interval": {
        "series": np.arange(4000.0),
        "fraction": 0.5,
        "confidence_fraction": 0.95,
    },
    "replicate.intervals.mean_interval": {"values": [1.0, 2.0], "confidence_fraction": 0.95},
    "replicate.intervals.paired_difference": {
        "first": [1.0, 2.0],
        "second": [2.0, 4.0],
        "confidence_fraction": 0.95,
    },
    "replicate.intervals.quantile_interval": {
        "values": np.arange(99.0),
        "fraction": 0.5,
        "confidence_fraction": 0.95,
    },
    "replicate.sequential.replicate_until": {
        "function": a_draw,
        "seed": 1,
        "relative_precision": 0.05,
        "confidence_fraction": 0.95,
        "least": 10,
        "most": 100,
    },
    "replicate.sweep.sweep": {
        "function": doubled,
        "cases": [1],
        "replications": 1,
        "seed": 1,
        "workers": 1,
    },
    "workload.arrivals.arrivals_s": {
        "demand": demand_of(SHOP.workload),
        "duration_s": 9.0,
        "rng": rng(),
        "start_s": 0.0,
        "index_of_dispersion": 1.0,
    },
    "workload.arrivals.demand_trace": {
        "workload": SHOP.workload,
        "duration_s": 9.0,
        "rng": rng(),
        "start_s": 0.0,
    },
    "workload.demand.diurnal_shape": {"peak_to_mean": 2.0, "peak_hour": 20.0},
    "workload.fit.index_of_dispersion": {"counts_per_s": [1, 2, 3, 4], "seconds": 2},
    "workload.fit.fit_zipf": {"counts": [90, 20, 10], "rng": rng(), "samples": 20},
    "workload.popularity.zipf_probabilities": {"items": 9, "exponent": 0.9},
    "workload.sessions.concurrent_users": {"workload": SHOP.workload, "response_s": 0.1},
    "workload.sessions.session_trace": {
        "workload": SHOP.workload,
        "load_per_s": 10.0,
        "duration_s": 9.0,
        "rng": rng(),
    },
    "workload.trace.open_trace": {
        "workload": SHOP.workload,
        "load_per_s": 10.0,
        "duration_s": 9.0,
        "rng": rng(),
    },
    "workload.trace.poisson_arrivals_s": {"load_per_s": 10.0, "duration_s": 9.0, "rng": rng()},
    "workload.users.user_trace": {
        "workload": SHOP.workload,
        "users": 2,
        "duration_s": 9.0,
        "rng": rng(),
        "seed": 1,
    },
}
FLOATS = [0.0, -1.0, math.nan, math.inf, -math.inf, 1e300]
WHOLE = [0, -1, 10**12]


def taken(function) -> dict[str, list]:
    """The numbers that a function takes by itself, each with what makes no sense for it."""
    found = {}
    for name, kind in typing.get_type_hints(function).items():
        union = typing.get_origin(kind) in (typing.Union, types.UnionType)
        kinds = [k for k in (typing.get_args(kind) if union else [kind]) if k is not type(None)]
        if name != "return" and all(each in (float, int) for each in kinds):
            found[name] = FLOATS if float in kinds else WHOLE
    return found


CASES = [
    (name, parameter, value)
    for name, function in FUNCTIONS.items()
    for parameter, values in taken(function).items()
    for value in values
]


def numbers(found: object, depth: int = 0) -> list[float]:
    """All numbers in an answer, however deep."""
    if isinstance(found, np.ndarray) and found.dtype.kind == "f":
        return found.ravel().tolist()
    if isinstance(found, float | np.floating):
        return [float(found)]
    if depth > 4 or isinstance(found, str | bytes | int | np.ndarray):
        return []
    if isinstance(found, Mapping):
        parts = list(found.values())
    elif dataclasses.is_dataclass(found):
        parts = list(vars(found).values()) if hasattr(found, "__dict__") else []
    elif isinstance(found, list | tuple | set):
        parts = list(found)
    else:
        parts = []
    return [number for part in parts for number in numbers(part, depth + 1)]


def test_every_public_function_that_takes_a_number_is_called_here():
    taking = {name for name, function in FUNCTIONS.items() if taken(function)}
    known = {f"sim.{name}" for name in CALLS}
    assert taking <= known | {"sim.queueing.birth_death.steady_state"}, sorted(taking - known)
    assert known <= set(FUNCTIONS), sorted(known - set(FUNCTIONS))


@pytest.mark.parametrize("name", CALLS)
def test_the_call_itself_is_a_good_one(name):
    found = FUNCTIONS[f"sim.{name}"](**CALLS[name])
    assert not any(math.isnan(number) for number in numbers(found))


@pytest.mark.parametrize(("name", "parameter", "value"), CASES)
def test_a_number_that_makes_no_sense_gives_a_typed_error_or_an_answer(name, parameter, value):
    call = CALLS[name.removeprefix("sim.")]
    try:
        found = FUNCTIONS[name](**{**call, parameter: value})
    except SimError:
        return
    assert not any(math.isnan(number) for number in numbers(found))


def asked_by(users, active_fraction):
    workload = SHOP.workload.model_copy(
        update={"registered_users": users, "daily_active_fraction": active_fraction}
    )
    return SHOP.model_copy(update={"workload": workload})


def test_a_million_million_users_have_a_bill_and_no_plan_and_the_reason_is_said():
    found = plan(asked_by(10**12, 0.1), DEMANDS, BOOK)
    assert found.choice.chosen is None
    assert any("p95_s" in reason for reason in found.reasons)
    assert all(math.isinf(each.kernel_p95_s) and not each.disagree for each in found.checked)
    assert math.isfinite(bill(asked_by(10**12, 0.1), BOOK).total_usd)


def test_a_shop_that_nobody_visits_has_no_plan_and_the_field_is_named():
    with pytest.raises(InvalidScenario, match=r"workload.*above 0"):
        plan(asked_by(1, 0.0), DEMANDS, BOOK)


def test_one_user_in_a_long_while_is_served_by_the_least():
    found = plan(asked_by(1, 1e-9), DEMANDS, BOOK, check=False)
    assert found.space.candidates[found.answer].api_replicas == 1
