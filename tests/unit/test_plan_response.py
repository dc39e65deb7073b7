"""The arrays of the analytic screen, against the scalar models and against exact answers."""

import math
from dataclasses import replace
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import plan_cases as cases
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cost import bill, price_book
from sim.errors import InvalidScenario
from sim.kernel import simulate
from sim.model import Demand, Route, StackModel, Station, Visit
from sim.plan import TIERS, Planner, own_candidate, question_of, work_of
from sim.plan.costs import CostTable, grown
from sim.plan.futures import Z90, Input, drawn_futures
from sim.plan.hits import hit_table
from sim.plan.response import Response, Servers, erlang_c, mixture_quantile, respond
from sim.queueing.mgc import mgc
from sim.queueing.mmc import erlang_c_fraction
from sim.queueing.processor_sharing import mg1_ps
from sim.queueing.service import service_time
from sim.scenario import Family
from sim.workload import Trace

BOOK = price_book("2026-07")


@given(st.floats(0.01, 0.99), st.integers(1, 16))
def test_the_chance_to_wait_is_erlangs(utilisation: float, servers: int) -> None:
    found = erlang_c(np.array([utilisation]), np.array([servers]))
    assert found[0] == pytest.approx(erlang_c_fraction(utilisation * servers, servers), rel=1e-9)


@pytest.mark.parametrize(("slots", "scv", "load"), [(1, 1.0, 6.0), (2, 0.25, 15.0), (8, 2.0, 70.0)])
def test_one_tier_answers_in_the_mean_time_of_m_g_c(slots: int, scv: float, load: float) -> None:
    found = alone("mongo", load, 0.1, scv, slots)
    tier = TIERS.index("mongo")
    exact = mgc(load, 0.1, slots, scv)
    assert found.mean_s[0] == pytest.approx(exact.mean_sojourn_s, rel=1e-9)
    assert found.p95_s[0] == pytest.approx(exact.sojourn.quantile_s(0.95), rel=0.12)
    assert found.utilisation[tier, 0] == pytest.approx(exact.utilisation_fraction)


def alone(
    name: str, load: float, service_s: float, scv: float, slots: int, **kinds: bool
) -> Response:
    """What one tier by itself answers."""
    one_visit = np.zeros((1, len(TIERS)))
    one_visit[0, TIERS.index(name)] = 1.0
    work = replace(
        work_of(cases.scenario(), cases.measured()),
        families=(),
        share=np.ones(1),
        family=np.full(1, -1),
        is_hit=np.zeros(1, bool),
        visits=one_visit,
        mean_s=one_visit * service_s,
        square_s2=one_visit * service_s**2 * (1 + scv),
        variance_s2=one_visit * service_s**2 * scv,
        delay_s=np.zeros(1),
    )
    one = np.ones((len(TIERS), 1))
    servers = Servers(one, (one * slots).astype(np.int64), **kinds)
    return respond(work, np.array([load]), np.empty((0, 1)), one, servers, timeout_s=1e3)


@pytest.mark.parametrize("scv", [0.25, 1.0, 4.0])
def test_an_api_that_shares_answers_in_the_mean_time_of_m_g_1_ps_whatever_the_spread(
    scv: float,
) -> None:
    found = alone("api", 7.0, 0.1, scv, 1, shared_api=True)
    exact = mg1_ps(7.0, service_time(0.1, scv))
    assert found.mean_s[0] == pytest.approx(exact.mean_sojourn_s, rel=1e-9)
    in_turn = alone("api", 7.0, 0.1, scv, 1)
    assert (found.mean_s[0] > in_turn.mean_s[0]) == (scv < 1.0)
    if scv == 1.0:
        assert found.p95_s[0] == pytest.approx(exact.sojourn.quantile_s(0.95), rel=0.12)


@pytest.mark.parametrize("slots", [2, 4])
def test_shared_slots_answer_in_the_mean_time_of_the_engine(slots: int) -> None:
    load, mean_s, scv = 7.0 * slots, 0.1, 0.49
    found = alone("api", load, mean_s, scv, slots, shared_api=True)
    station = Station("api", slots, "ps")
    model = StackModel((station,), (Route("get", (Visit("api", Demand(mean_s, 0.7)),)),))
    runs = []
    for seed in range(8):
        arrival_s = np.cumsum(np.random.default_rng(seed).exponential(1 / load, 60_000))
        zero = np.zeros(60_000, np.int64)
        trace = Trace(arrival_s, ("get",), zero.astype(np.int16), zero, zero)
        runs.append(simulate(model, trace, seed=seed).sojourn_s[5_000:])
    assert found.mean_s[0] == pytest.approx(np.mean(runs), rel=0.015)
    assert found.p95_s[0] == pytest.approx(np.quantile(np.concatenate(runs), 0.95), rel=0.12)


def test_a_plan_takes_the_discipline_of_its_scenario() -> None:
    scenario = cases.scenario()
    api = scenario.topology.api.model_copy(update={"discipline": "processor_sharing"})
    topology = scenario.topology.model_copy(update={"api": api})
    sharing = scenario.model_copy(update={"topology": topology})
    for each, shares in ((scenario, False), (sharing, True)):
        question, _ = question_of(each, cases.measured(), BOOK)
        assert question.centre().servers(own_candidate(each)).shared_api is shares


def test_an_overloaded_tier_never_answers_and_loses_what_it_cannot_serve() -> None:
    scenario = cases.scenario()
    question, _ = question_of(scenario, cases.measured(), BOOK)
    crowded = replace(own_candidate(scenario), api_replicas=1)
    found = question.centre().response([crowded], np.array([5000.0]))
    assert math.isinf(found.p95_s[0, 0])
    worst = found.utilisation.max()
    assert worst > 1
    assert found.error_fraction[0, 0] == pytest.approx(1 - 1 / worst)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 14))
def test_the_quantile_of_a_mixture_is_within_one_per_cent_of_exact(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(classes))[:, None]
    place = rng.uniform(-7, 1, (classes, 1))
    deviation = rng.uniform(0.1, 1.2, (classes, 1))

    def reached(x: float) -> float:
        return sum(
            w * NormalDist(m, s).cdf(x)
            for w, m, s in zip(weights.flat, place.flat, deviation.flat, strict=True)
        )

    found = float(mixture_quantile(weights, place, deviation)[0])
    # One per cent of the time to either side; where the mixture is flat, of probability instead.
    assert reached(found - 0.01) <= 0.951
    assert reached(found + 0.01) >= 0.949


def test_an_inputs_centre_and_ends_are_its_quantiles() -> None:
    lopsided = Input("x", 1.0, 2.0, 8.0, stated=True, basis="")
    around_zero = Input("y", -0.1, 0.0, 0.3, stated=True, basis="")
    values = drawn_futures([lopsided, around_zero], 4000, 3).values
    for each in (lopsided, around_zero):
        found = np.quantile(values[each.name], [0.05, 0.5, 0.95])
        assert found == pytest.approx([each.low, each.centre, each.high], abs=0.02)
    assert around_zero.at(np.array([-Z90, Z90])).tolist() == pytest.approx([-0.1, 0.3])


def test_another_input_changes_no_draw_of_the_others() -> None:
    one = Input("one", 1.0, 2.0, 3.0, stated=True, basis="")
    other = Input("other", 1.0, 2.0, 3.0, stated=True, basis="")
    alone, both = drawn_futures([one], 50, 9), drawn_futures([other, one], 50, 9)
    assert alone.values["one"].tolist() == both.values["one"].tolist()
    assert both.values["one"].tolist() != both.values["other"].tolist()


def test_an_interval_beside_the_scenarios_own_value_is_refused() -> None:
    with pytest.raises(InvalidScenario, match=r"uncertainty.x.*around the scenario's own 2"):
        Input("x", 3.0, 2.0, 4.0, stated=True, basis="")


def test_the_cost_table_bills_what_the_bill_does() -> None:
    scenario = cases.scenario()
    _, space = question_of(scenario, cases.measured(), BOOK)
    table = CostTable(scenario, BOOK, 0.3, 4.0)
    level = dict.fromkeys(table.components(space.candidates[0]), np.zeros(1))
    for candidate in space.candidates:
        for growth in (0.3, 1.0, 4.0):
            found = table.usd_per_month(candidate, np.array([growth]), level)[0]
            billed = bill(grown(candidate.applied_to(scenario), growth), BOOK).total_usd
            assert found == pytest.approx(billed, rel=1e-9), (str(candidate), growth)
        # Between the growths of the table: the kinks of the CDN's tiers are cut short.
        between = table.usd_per_month(candidate, np.array([0.9]), level)[0]
        exact = bill(grown(candidate.applied_to(scenario), 0.9), BOOK).total_usd
        assert between == pytest.approx(exact, rel=0.01)


def test_all_prices_at_an_end_of_their_range_give_the_bills_own_ends() -> None:
    scenario = cases.scenario()
    table, own = CostTable(scenario, BOOK), own_candidate(scenario)
    components = table.components(own)
    billed = bill(own.applied_to(scenario), BOOK)
    for place, total in ((-1.0, billed.low_usd), (1.0, billed.high_usd)):
        prices = dict.fromkeys(components, np.full(1, place))
        assert table.usd_per_month(own, np.ones(1), prices)[0] == pytest.approx(total)


def test_a_smaller_cache_never_hits_more_and_a_roomy_one_is_limited_by_its_ttl() -> None:
    scenario = cases.scenario()
    tables = [hit_table(scenario, gib, 10.0, 1000.0) for gib in (1e-5, 1e-4, 1.0, 64.0)]
    for smaller, larger in pairwise(tables):
        assert (smaller.fraction <= larger.fraction + 1e-12).all()
    assert (tables[0].fraction < tables[-1].fraction).any()
    assert tables[2].fraction.tolist() == tables[3].fraction.tolist()


def test_more_people_at_the_same_load_find_their_favourites_less_often() -> None:
    table = hit_table(cases.scenario(), 4.0, 10.0, 1000.0)
    load, still = np.full(2, 100.0), np.zeros(2)
    found = table.at(load, np.array([table.people, 5 * table.people]), still)
    favourites, listing = table.families.index(Family.FAVOURITES), 0
    assert found[favourites, 1] < found[favourites, 0]
    assert found[listing, 1] == found[listing, 0]


def test_a_scenario_asked_for_what_was_not_measured_is_refused_by_name() -> None:
    known = cases.measured()
    fewer = replace(known, classes=tuple(c for c in known.classes if c.operation != "login"))
    with pytest.raises(InvalidScenario, match=r"demands.login.none.*calibrate"):
        fewer.for_scenario(cases.scenario())


def test_without_a_cache_a_request_costs_what_its_miss_does_less_redis() -> None:
    scenario = cases.scenario()
    bare = replace(own_candidate(scenario), cache_type="none", cache_nodes=0)
    work = Planner(scenario, cases.measured(), drawn_futures([], 1, 1), BOOK).work(bare)
    assert not work.visits[:, TIERS.index("redis")].any()
    assert work.mean_s[:, TIERS.index("mongo")].max() == pytest.approx(2e-3)
