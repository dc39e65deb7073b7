"""The typed client, written anew from the repository's description, against the live stack."""

import asyncio
import re
import subprocess
import sys
from contextlib import ExitStack
from importlib import import_module
from os import environ
from pathlib import Path

import httpx
import pytest

from stack.infra.catalogue import admin_id, category_slug, product_id, user_id
from stack.service.auth.tokens import mint_access_token
from stack.service.typed_client import PACKAGE, whole_description, write_client

TEXT = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """What `make client` packs."""
    folder = tmp_path_factory.mktemp("client") / "project"
    write_client(folder, whole_description())
    return folder


@pytest.fixture(scope="module")
def client(project):
    """Modules of the client by their path below the package."""
    sys.path.insert(0, str(project))
    yield lambda path: import_module(f"{PACKAGE}.{path}")
    sys.path.remove(str(project))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def shop(client, live_stack):
    with client("client").Client(base_url=live_stack.info.base_url) as opened:
        yield opened


@pytest.fixture(scope="module")
def speaking_for(client, live_stack):
    """A client with a token of that user, or with the token that is given."""
    info = live_stack.info
    with ExitStack() as opened:

        def speaker(user, role="user", token=None):
            token = token or mint_access_token(info.jwt_secret, user, role)
            made = client("client").AuthenticatedClient(base_url=info.base_url, token=token)
            return opened.enter_context(made)

        yield speaker


def test_the_client_is_written_from_what_a_whole_stack_says_of_itself(live_stack):
    assert httpx.get(f"{live_stack.info.base_url}/openapi.json").json() == whole_description()


@pytest.mark.feature(
    "10 api: a typed Python client, written from the API's own description",
    endpoint="make client",
    module="stack/service/typed_client.py",
)
def test_every_route_has_a_call_of_its_own(project):
    described = whole_description()["paths"]
    calls = {path.stem for path in (project / PACKAGE / "api").rglob("*.py")} - {"__init__"}
    assert calls == {
        each["operationId"] for methods in described.values() for each in methods.values()
    }
    assert (project / PACKAGE / "py.typed").exists()


def test_a_page_in_types_says_what_the_json_says(client, shop, live_stack):
    where = {"category": category_slug(1), "page": 2, "limit": 5}
    found = client("api.products.list_products").sync(client=shop, **where)
    page = httpx.get(f"{live_stack.info.base_url}/api/v1/products", params=where).json()
    assert found.to_dict() == page
    assert [type(product).__name__ for product in found.products] == ["ProductSummary"] * 5


def test_awaited_calls_find_the_same_as_others(client, shop, live_stack):
    detail = client("api.products.product_detail")

    async def awaited():
        async with client("client").Client(base_url=live_stack.info.base_url) as opened:
            return await detail.asyncio(str(product_id(3)), client=opened)

    found = asyncio.run(awaited())
    assert found == detail.sync(str(product_id(3)), client=shop)
    assert found.created_at.tzinfo is not None


def test_what_a_user_keeps_and_removes_is_told_in_types(client, speaking_for):
    mine, product = speaking_for(user_id(13)), str(product_id(17))

    def kept():
        found = client("api.favourites.my_favourites").sync(client=mine)
        return product in {each.id for each in found.products}

    assert not kept()
    assert (
        client("api.favourites.add_favourite").sync_detailed(product, client=mine).status_code
        == 204
    )
    assert kept()
    client("api.favourites.remove_favourite").sync_detailed(product, client=mine)
    assert not kept()


def test_refusals_are_problems_in_types(client, speaking_for):
    update, models = client("api.products.update_product"), client("models")
    change = models.ProductChange(stock=1)
    user = speaking_for(user_id(1))
    admin = speaking_for(admin_id(), "admin")
    nobody = speaking_for(None, token="x")
    for who, product, status in (
        (nobody, product_id(1), 401),
        (user, product_id(1), 403),
        (admin, product_id(10**6), 404),
    ):
        answer = update.sync_detailed(str(product), client=who, body=change)
        assert isinstance(answer.parsed, models.Problem)
        assert (answer.status_code, answer.parsed.status) == (status, status)
        assert answer.parsed.request_id == answer.headers["x-request-id"]


def test_the_graph_can_be_asked(client, shop):
    query = "query ($id: ID!) { product(id: $id) { title } }"
    models = client("models")
    variables = models.GraphRequestVariablesType0.from_dict({"id": str(product_id(4))})
    body = models.GraphRequest(query=query, variables=variables)
    found = client("api.graphql.ask_graph").sync(client=shop, body=body)
    detail = client("api.products.product_detail").sync(str(product_id(4)), client=shop)
    assert found.data.to_dict() == {"product": {"title": detail.title}}


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_works(live_stack, project, number):
    script = BLOCKS[number].replace("http://127.0.0.1:8080", live_stack.info.base_url)
    assert live_stack.info.base_url in script
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={**environ, "PYTHONPATH": str(project)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip()
