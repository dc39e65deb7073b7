"""Requests nobody would think of: whatever is sent, the answer is no 5xx, and a documented one.

Cases come from the API's own description (schemathesis) and from the graph's schema
(hypothesis-graphql), with fixed seeds, on a stack of the tests' own: they change what they reach.
"""

import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from itertools import cycle
from os import environ

import graphql
import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import mutations, queries
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks

from stack.infra.catalogue import Catalogue, admin_id, product_id, user_id
from stack.local import StackSpec, start
from stack.service.auth.tokens import mint_access_token
from stack.service.typed_client import whole_description

CATALOGUE = Catalogue(products=120, users=12, categories=4)
DESCRIPTION = whole_description()
# Names that lead somewhere: made-up ones end at a 404 before any code of the route runs.
KNOWN = {
    "product": str(product_id(7)),
    "number": 7,
    "name": "thumbnail.webp",
    "sha256": "0" * 64,
    "key": "welcome:nobody",
    "day": "2026-01-02",
    "what": "searches",
}
# What the load balancer or the framework answers to what is no request of this API at all.
ALWAYS = {400, 401, 404, 405, 408, 413, 414, 415, 422, 431}


@contextmanager
def seeded_stack(folder, search_engine, **more):
    """A stack with every part; its info."""
    spec = StackSpec(
        name=folder.name,
        api_replicas=1,
        database_members=1,
        search_engine=search_engine,
        cache_memory_mib=32,
        workers=1,
        images=True,
        events=True,
        service_env={"HEADROOM_CATALOGUE": CATALOGUE.model_dump_json()},
    )
    with start(spec, folder, **more) as running:
        command = [sys.executable, "-m", "stack.infra.seed"]
        variables = {**environ, **running.info.service_environment()}
        subprocess.run(command, env=variables, check=True, timeout=60, capture_output=True)
        yield running.info


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    with seeded_stack(tmp_path_factory.mktemp("stacks") / "fuzzed", "mongo_text") as info:
        yield info


@pytest.fixture
def fuzzed_whole(tmp_path, elasticsearch_home):
    with seeded_stack(
        tmp_path / "fuzzed-whole", "elasticsearch", elasticsearch_home=elasticsearch_home
    ) as info:
        yield info


def each_case(strategy, count, ask):
    """Ask up to `count` cases of a strategy, the same ones in every run."""

    @seed(5)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(case):
        ask(case)

    run()


def cases_of(operation):
    """Valid and invalid cases of one operation, some of them about things that exist."""
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    names = [parameter.name for parameter in operation.path_parameters]
    found = [operation.as_strategy(generation_mode=mode) for mode in modes]
    if names and set(names) <= KNOWN.keys():
        known = {name: KNOWN[name] for name in names}
        found.insert(0, operation.as_strategy(path_parameters=known))
    return st.one_of(found)


def who_asks(info):
    """Headers of an administrator, mostly, and of those who may do less."""
    secret = info.jwt_secret
    admin = mint_access_token(secret, admin_id(), "admin")
    user, forged = mint_access_token(secret, user_id(1)), mint_access_token("f" * 32, user_id(1))
    bearers = [{"Authorization": f"Bearer {token}"} for token in (admin, user, forged)]
    return [*bearers, bearers[0], bearers[0], {}, {"X-API-Key": "hrk_0412cc6b2268_x"}, bearers[0]]


def faults_of_routes(info, cases):
    """What was answered that must not be, as (request, answer), and how often each status came."""
    load_all_checks()
    askers = cycle(who_asks(info))
    schema = schemathesis.openapi.from_dict(DESCRIPTION)
    schema.config.update(base_url=info.base_url)
    faults, statuses = [], Counter()
    with requests.Session() as session:
        for operation in (found.ok() for found in schema.get_all_operations()):
            documented = {int(s) for s in operation.definition.raw["responses"]} | ALWAYS

            def ask(case, documented=documented):
                answer = case.call(session=session, headers=next(askers), timeout=30)
                statuses[answer.status_code] += 1
                if answer.status_code >= 500 or answer.status_code not in documented:
                    faults.append((case.as_curl_command(), answer.status_code, answer.text[:300]))

            each_case(cases_of(operation), cases, ask)
    return faults, statuses


def faults_of_graph(info, cases):
    """The same for the graph, where an error inside an answer of 200 may be a 5xx in disguise."""
    token = mint_access_token(info.jwt_secret, admin_id(), "admin")
    faults, statuses = [], Counter()
    with httpx.Client(
        base_url=info.base_url, headers={"Authorization": f"Bearer {token}"}, timeout=30
    ) as api:
        asked = api.post("/graphql", json={"query": graphql.get_introspection_query()}).json()
        schema = graphql.print_schema(graphql.build_client_schema(asked["data"]))

        def ask(body):
            answer = api.post("/graphql", json=body)
            statuses[answer.status_code] += 1
            failed = answer.status_code not in {200, 400, 422}
            if answer.status_code in {200, 400}:
                told = [e.get("extensions", {}) for e in answer.json().get("errors", ())]
                failed = any(each.get("status", 0) >= 500 for each in told)
                if answer.status_code == 400:  # the name of an operation that is not there
                    failed = failed or [each.get("code") for each in told] != ["NO_OPERATION"]
            if failed:
                faults.append((body, answer.status_code, answer.text[:300]))

        leaf = (
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text()
        )
        value = leaf | st.lists(leaf, max_size=3) | st.dictionaries(st.text(), leaf, max_size=3)
        variables = st.dictionaries(st.sampled_from("abc") | st.text(), value, max_size=3)
        for query, count in (
            (queries(schema), cases),
            (mutations(schema), cases // 4),
            (st.text(max_size=80), cases // 4),
        ):
            body = st.fixed_dictionaries(
                {"query": query},
                optional={
                    "variables": variables,
                    "operationName": st.text(max_size=10) | st.none(),
                },
            )
            each_case(st.fixed_dictionaries({"query": query}) | body, count, ask)
    return faults, statuses


@pytest.mark.feature(
    "10 api: no request, valid or not, is answered with a 5xx or an undocumented status",
    endpoint="GET /openapi.json",
    module="stack/service/errors.py",
)
def test_made_up_requests_to_every_route_are_answered_as_documented(fuzzed):
    faults, statuses = faults_of_routes(fuzzed, 14)
    assert faults == []
    assert {200, 404, 422} <= statuses.keys()


@pytest.mark.feature(
    "10 api: no query of the graph ends in an unexpected error",
    endpoint="POST /graphql",
    module="stack/service/graphql/endpoint.py",
)
def test_made_up_queries_of_the_graph_end_in_data_or_in_an_error_that_says_why(fuzzed):
    faults, statuses = faults_of_graph(fuzzed, 60)
    assert faults == []
    assert statuses[200] > 60


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_5000_made_up_requests_get_no_5xx(fuzzed_whole, record_property):
    faults, statuses = faults_of_routes(fuzzed_whole, 170)
    found, of_graph = faults_of_graph(fuzzed_whole, 800)
    record_property("statuses", sorted((statuses + of_graph).items()))
    assert faults + found == []
    assert (statuses + of_graph).total() >= 5_000
