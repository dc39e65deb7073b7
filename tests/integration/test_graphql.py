"""The graph through the load balancer of a live stack, and its limits."""

import httpx
import pytest
from graphql import parse
from prometheus_client.parser import text_string_to_metric_families

from stack.infra.catalogue import category_slug, product_id, user_email, user_id
from stack.service.auth.tokens import mint_access_token
from stack.service.graphql.cost import MOST_COST, cost_of


def ask(api, query, *, headers=None, **variables):
    answer = api.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
    assert answer.status_code == 200
    return answer.json()


@pytest.fixture
def shopper(live_stack):
    token = mint_access_token(live_stack.info.jwt_secret, user_id(5), "user")
    return {"Authorization": f"Bearer {token}"}


def reads(replica, operation):
    text = httpx.get(f"{replica}/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "headroom_database_seconds_count"
        and sample.labels["operation"] == operation
    )


@pytest.mark.feature(
    "10 api: GraphQL `products(page, limit)`",
    endpoint="POST /graphql",
    module="stack/service/graphql/schema.py",
)
def test_the_graph_shows_the_same_page_as_v1(api):
    query = """query ($page: Int!, $category: String) {
      products(page: $page, limit: 7, category: $category) {
        page limit hasMore products { id title priceUsd }
      }
    }"""
    found = ask(api, query, page=2, category=category_slug(1))["data"]["products"]
    params = {"page": 2, "limit": 7, "category": category_slug(1)}
    page = api.get("/api/v1/products", params=params).json()
    assert (found["page"], found["limit"], found["hasMore"]) == (2, 7, page["hasMore"])
    assert found["products"] == [
        {"id": each["id"], "title": each["title"], "priceUsd": each["price_usd"]}
        for each in page["products"]
    ]


@pytest.mark.feature(
    "10 api: GraphQL reads what a list asks for in one batch",
    endpoint="POST /graphql",
    module="stack/service/graphql/loaders.py",
)
def test_details_of_a_whole_list_and_of_repeated_products_cost_one_read(api, live_stack):
    replica = live_stack.info.part("api-1").url
    before = reads(replica, "detail")
    query = f"""{{
      products(limit: 20) {{ products {{ stock description version createdAt }} }}
      one: product(id: "{product_id(3)}") {{ stock }}
      same: product(id: "{product_id(3)}") {{ title updatedAt }}
    }}"""
    answer = httpx.post(f"{replica}/graphql", json={"query": query}).json()
    assert "errors" not in answer
    assert all(each["stock"] >= 0 for each in answer["data"]["products"]["products"])
    # Two batches: the products by id at the first level, those of the list once it is there.
    assert reads(replica, "detail") - before <= 2


def test_search_and_one_product_are_there_and_an_unknown_one_is_null(api):
    query = """query ($id: ID!) {
      search(q: "desk") { total engine degraded products { title } }
      product(id: $id) { title imageUrl }
    }"""
    assert ask(api, query, id=str(product_id(1)))["data"]["product"]["title"]
    found = ask(api, query, id=str(product_id(10**6)))
    assert found["data"]["product"] is None
    assert "errors" not in found


def test_a_search_of_the_graph_is_narrowed_by_price_as_that_of_v1(api):
    query = """query ($from: Float, $to: Float) {
      search(q: "wireless", priceFrom: $from, priceTo: $to) { total products { id priceUsd } }
    }"""
    every = ask(api, query)["data"]["search"]["total"]
    found = ask(api, query, **{"from": 40, "to": 120.5})["data"]["search"]
    params = {"q": "wireless", "price_from": 40, "price_to": 120.5}
    assert 0 < found["total"] == api.get("/api/v1/search", params=params).json()["total"] < every
    assert all(40 <= product["priceUsd"] < 120.5 for product in found["products"])
    for bounds, says in (
        ({"from": -1}, "`priceFrom` must be 0 to 1,000,000 US dollars"),
        ({"to": 1e7}, "`priceTo` must be 0 to 1,000,000 US dollars"),
        ({"from": 5, "to": 5}, "the price to start from must be below the one to end at"),
    ):
        assert ask(api, query, **bounds)["errors"][0]["message"] == says


def test_me_needs_a_token_and_shows_favourites_that_mutations_change(api, shopper):
    me = "{ me { id email favourites(limit: 3) { id stock } } }"
    refused = ask(api, me)
    assert refused["data"] is None
    assert refused["errors"][0]["extensions"] == {"code": "UNAUTHORISED", "status": 401}
    product = str(product_id(11))
    had = product in {
        each["id"] for each in ask(api, me, headers=shopper)["data"]["me"]["favourites"]
    }
    assert not had
    add = "mutation ($product: ID!) { addFavourite(product: $product) }"
    assert ask(api, add, headers=shopper, product=product)["data"] == {"addFavourite": True}
    found = ask(api, me, headers=shopper)["data"]["me"]
    assert (found["id"], found["email"]) == (str(user_id(5)), user_email(5))
    assert found["favourites"][0]["id"] == product
    remove = "mutation ($product: ID!) { removeFavourite(product: $product) }"
    assert ask(api, remove, headers=shopper, product=product)["data"] == {"removeFavourite": True}


TWO = "query one { products { page } } query two { __typename }"


def test_an_operation_that_is_not_in_the_query_is_an_error_and_no_name_is_none(api):
    def operation(query, name, status=400):
        answer = api.post("/graphql", json={"query": query, "operationName": name})
        assert answer.status_code == status
        return answer.json()

    assert operation("{ products { page } }", "", 200)["data"] == {"products": {"page": 1}}
    for query, name, says in (
        ("query a { products { page } }", "b", "there is no operation 'b' in the query"),
        ("fragment a on Product { id }", None, "there is no operation in the query"),
        (TWO, None, "there are several operations (one, two): name one in `operationName`"),
        (TWO, "", "there are several operations (one, two): name one in `operationName`"),
    ):
        answer = operation(query, name)
        assert (answer["data"], answer["errors"][0]["message"]) == (None, says)
        assert answer["errors"][0]["extensions"] == {"code": "NO_OPERATION"}
    assert operation(TWO, "two", 200)["data"] == {"__typename": "Query"}


@pytest.mark.feature(
    "10 api: GraphQL refuses what is too deep, too long or too costly",
    endpoint="POST /graphql",
    module="stack/service/graphql/cost.py",
)
@pytest.mark.parametrize(
    ("query", "says"),
    [
        (
            "{ " + " ".join(f"a{n}: products(limit: 100) {{ products {{ id title brand stock }} }}"
            for n in range(14)) + " }",
            "costs more than",
        ),
        ("{ " + " ".join(f'a{n}: product(id: "x") {{ id }}' for n in range(16)) + " }", "alias"),
        ("{ " + "products { page } " * 400 + "}", "token"),
        # No field of today's graph leads so deep: its depth is told before its names.
        ("{ products" + " { products" * 9 + " }" * 10, "maximum operation depth of 8"),
        ("{ __schema { types { fields { type { ofType { ofType { ofType { ofType { ofType "
         "{ ofType { name } } } } } } } } } } }", None),
        ("{ products { products { nothing } } }", "Cannot query field 'nothing'"),
        ("{ products(limit: 1000) { page } }", "`limit` must be 1 to 100"),
        ("{ search(q: \"\") { total } }", "`q` must have 1 to 100 letters"),
        ("{ products(category: \"$ne\") { page } }", "`category` must be letters"),
        ("{ ", "Syntax Error"),
    ],
)  # fmt: skip
def test_what_may_not_be_asked_is_an_error_that_says_why(api, query, says):
    answer = ask(api, query)
    if says is None:
        assert "errors" not in answer  # introspection is as deep as it is
    else:
        assert says.lower() in answer["errors"][0]["message"].lower()
        assert "Traceback" not in str(answer)


def cost(query, **variables):
    document = parse(query)
    operation = document.definitions[0]
    fragments = {node.name.value: node for node in document.definitions[1:]}
    return cost_of(operation, fragments, variables)


def test_the_cost_of_a_query_counts_each_field_as_often_as_it_is_given():
    assert cost("{ products(limit: 50) { products { title price } } }") == 1 + 50 + 100
    assert cost("query ($n: Int) { products(limit: $n) { page } }", n=10) == 1 + 10
    assert cost("query ($n: Int) { products(limit: $n) { page } }", n=10**9) == 1 + 100
    assert cost('{ product(id: "x") { id title } }') == 3
    assert cost("{ me { favourites { ...f } } } fragment f on Product { id stock }") == 2 + 200
    many = " ".join(f"a{n}: products(limit: 100) {{ products {{ id }} }}" for n in range(99))
    assert cost(f"{{ {many} }}") > MOST_COST


def test_introspection_can_be_switched_off():
    from stack.service.graphql.schema import schema_of

    closed = schema_of(None, None, None, page_size=20, introspection=False)
    answer = closed.execute_sync("{ __schema { types { name } } }")
    assert "introspection has been disabled" in answer.errors[0].message.lower()
