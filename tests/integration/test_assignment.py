"""The design's baseline, live: what `headroom up assignment` starts, and what it has not."""

from pathlib import Path

import httpx
import pytest

from headroom.live import seed_stack, stack_spec
from sim.scenario_file import load_scenario
from stack.infra.catalogue import SEEDED_PASSWORD, category_slug, product_id, user_email
from stack.local import start
from stack.service.products.schemas import ProductPage
from stack.service.search.schemas import SearchPage

SCENARIOS = Path(__file__).parents[2] / "scenarios"
FAVOURITES = "/api/v1/users/me/favourites"


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    scenario = load_scenario(SCENARIOS / "assignment.yaml")
    folder = tmp_path_factory.mktemp("stacks") / "assignment"
    with start(stack_spec(scenario), folder) as running:
        seed_stack(scenario, running.info, lambda _line: None, products=400)
        yield running


@pytest.fixture(scope="module")
def api(baseline):
    with httpx.Client(base_url=baseline.info.base_url, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def tokens(api):
    seeded = {"email": user_email(1), "password": SEEDED_PASSWORD}
    return api.post("/api/v1/auth/login", json=seeded).json()


@pytest.fixture(scope="module")
def as_user(tokens):
    return {"Authorization": f"Bearer {tokens['access_token']}"}


@pytest.mark.feature(
    "2 database: the baseline is one API process and one MongoDB, without cache or search engine",
    endpoint="headroom up assignment",
    module="scenarios/assignment.yaml",
)
def test_the_baseline_is_one_api_process_and_one_mongod_behind_the_address(baseline, api):
    # The load balancer is where a stack is reached; it has one replica to ask.
    assert [part.name for part in baseline.info.parts] == ["nginx", "api-1", "mongo-1"]
    assert len(baseline.info.part("api-1").pids()) == 1
    assert api.get("/readyz").json()["dependencies"] == {"mongo": "ok"}
    served = {api.get("/api/v1/products").headers["x-served-by"] for _ in range(8)}
    assert served == {"api-1"}


def test_nothing_is_cached_every_read_reaches_the_database(api):
    where = {"category": category_slug(1)}
    answers = [api.get("/api/v1/products", params=where) for _ in range(5)]
    assert {answer.headers["x-cache"] for answer in answers} == {"none"}
    assert all("db;dur=" in answer.headers["server-timing"] for answer in answers)
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.feature(
    "9 indexes: the baseline pages by number, with no version to move to",
    endpoint="GET /api/v1/products",
    module="stack/service/products/endpoints.py",
)
def test_lists_have_numbered_pages_and_no_cursor(api):
    pages = [
        ProductPage.model_validate_json(
            api.get("/api/v1/products", params={"page": page, "limit": 100}).content
        )
        for page in (1, 2, 3, 4, 5)
    ]
    shown = [product.id for page in pages for product in page.products]
    assert shown == [str(product_id(number)) for number in reversed(range(400))]
    assert [page.hasMore for page in pages] == [True, True, True, False, False]
    assert "deprecation" not in api.get("/api/v1/products").headers  # there is nothing after v1


@pytest.mark.feature(
    "4 search: the baseline searches by MongoDB's text index",
    endpoint="GET /api/v1/search",
    module="stack/service/search/service.py",
)
def test_searches_are_answered_by_the_text_index_and_are_not_degraded(api):
    answer = api.get("/api/v1/search", params={"q": "lightweight"})
    found = SearchPage.model_validate_json(answer.content)
    assert (found.engine, found.degraded, found.facets) == ("mongo_text", False, None)
    assert "x-degraded" not in answer.headers
    assert found.total > 0
    mistyped = api.get("/api/v1/search", params={"q": "lihgtweight"}).json()
    assert mistyped["total"] == 0  # it forgives no typing error


@pytest.mark.feature(
    "6 auth: the baseline has a token of fifteen minutes and nothing to renew it with",
    endpoint="POST /api/v1/auth/login",
    module="stack/service/auth/access.py",
)
def test_a_login_gives_an_access_token_alone(tokens):
    assert tokens["expires_in"] == 900
    assert tokens.get("refresh_token") is None


def test_favourites_are_kept_in_the_one_database(api, as_user):
    product = str(product_id(7))
    assert api.put(f"{FAVOURITES}/{product}", headers=as_user).status_code == 204
    mine = api.get(FAVOURITES, headers=as_user)
    assert mine.headers["x-cache"] == "none"
    assert product in {each["id"] for each in mine.json()["products"]}
    assert api.delete(f"{FAVOURITES}/{product}", headers=as_user).status_code == 204


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v2/products"),
        ("GET", "/api/v2/products?limit=3"),
        ("GET", "/api/v2/search?q=desk"),
        ("GET", "/api/v1/search/suggestions?q=de"),
        ("GET", f"/api/v1/products/{product_id(1)}/recommendations"),
        ("POST", "/graphql"),
        ("POST", "/api/v1/auth/refresh"),
        ("GET", "/api/v1/auth/sessions"),
        ("GET", "/api/v1/auth/keys"),
        ("POST", "/api/v1/events"),
        ("GET", "/api/v1/admin/jobs"),
        ("POST", "/api/v1/images"),
    ],
)
def test_what_the_baseline_has_not_is_not_there(api, as_user, method, path):
    answer = api.request(method, path, headers=as_user, json={} if method == "POST" else None)
    assert answer.status_code in (404, 405)


def test_the_baseline_describes_what_it_has_and_no_more(api):
    described = api.get("/openapi.json").json()["paths"]
    assert not any(path.startswith("/api/v2/") for path in described)
    assert "deprecated" not in described["/api/v1/products"]["get"]


@pytest.mark.parametrize("scenario", ["laptop", "million-users"])
def test_the_production_scenarios_page_by_cursor(scenario):
    spec = stack_spec(load_scenario(SCENARIOS / f"{scenario}.yaml"))
    assert spec.service_env["HEADROOM_PAGING"] == "cursor"
    assert spec.cache_memory_mib is not None
    assert spec.search_engine == "elasticsearch"
