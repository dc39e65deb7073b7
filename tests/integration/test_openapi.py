"""The API's description: every route has an example, valid and taken by a live stack."""

import json
import uuid
from pathlib import Path

import jsonschema
import pytest
from pymongo import MongoClient

from stack.infra.catalogue import SEEDED_PASSWORD, product_id, user_email
from stack.infra.documents import product_document

EXAMPLES = json.loads(
    (Path(__file__).parents[2] / "stack" / "service" / "openapi_examples.json").read_text()
)
# One black pixel, as PNG.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080200000090"
    "7753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def document(api):
    return api.get("/openapi.json").json()


@pytest.fixture(scope="module", autouse=True)
def _drawn_pictures_again(live_stack, api, admin, catalogue):
    """The product of the examples is shown with an upload by one of them."""
    yield
    number, drawn = 5, product_document(5, catalogue)
    pictures = {name: drawn[name] for name in ("image_url", "thumbnail_url")}
    with MongoClient(live_stack.info.mongo_url) as client:
        products = client.get_default_database("headroom")["products"]
        products.update_one({"_id": product_id(number)}, {"$set": pictures})
    change = {"stock": drawn["stock"]}  # clears what shows it
    path = f"/api/v1/products/{product_id(number)}"
    assert api.patch(path, json=change, headers=admin).status_code == 200


def logged_in(api, number=3):
    body = {"email": user_email(number), "password": SEEDED_PASSWORD}
    return api.post("/api/v1/auth/login", json=body).json()


def test_every_route_has_an_example_and_every_example_a_route(document):
    routes = {f"{m.upper()} {path}" for path, methods in document["paths"].items() for m in methods}
    assert routes == EXAMPLES.keys()


@pytest.mark.feature(
    "10 api: OpenAPI with an example for every route",
    endpoint="GET /openapi.json",
    module="stack/service/openapi.py",
)
@pytest.mark.parametrize("route", EXAMPLES)
def test_an_example_is_valid_and_shown_where_readers_look(route, document):
    method, path = route.split()
    operation, example = document["paths"][path][method.lower()], EXAMPLES[route]

    def check(value, schema):
        whole = schema | {"components": document["components"]}
        jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(
            value
        )

    shown = {p["name"]: p["example"] for p in operation.get("parameters", ()) if "example" in p}
    assert shown == example.get("parameters", {})
    for parameter in operation.get("parameters", ()):
        assert parameter["name"] in shown or not parameter.get("required")
        if parameter["name"] in shown:
            check(shown[parameter["name"]], parameter["schema"])
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        check(content["application/json"]["example"], content["application/json"]["schema"])
    answer = operation["responses"][str(example["status"])]
    if "answer" in example:
        told = answer["content"]["application/json"]
        check(told["example"], told["schema"])


def real_values(route, api, admin):
    """What an example can only name and a live stack must know: parameters, body, headers."""
    parameters, body, headers = {}, EXAMPLES[route].get("body"), admin
    match route:
        case "POST /api/v1/auth/register":
            body = body | {"email": f"{uuid.uuid4().hex}@example.com"}
        case "POST /api/v1/auth/refresh":
            body = {"refresh_token": logged_in(api)["refresh_token"]}
        case "PUT /api/v1/products/{product}/image":
            made = api.post("/api/v1/images", files={"file": ("a.png", PNG)}, headers=admin)
            body = {"image": _ready(api, made.json()["id"])}
        case "PATCH /api/v1/products/{product}":  # to what it is: others rely on it
            product = EXAMPLES[route]["parameters"]["product"]
            body = {"stock": api.get(f"/api/v1/products/{product}").json()["stock"]}
        case route if "/auth/" in route or "/users/me/" in route:
            headers = _bearer(logged_in(api))
            if "{key}" in route:
                wanted = EXAMPLES["POST /api/v1/auth/keys"]["body"]
                made = api.post("/api/v1/auth/keys", json=wanted, headers=headers)
                parameters = {"key": made.json()["id"]}
            elif "{session}" in route:
                found = api.get("/api/v1/auth/sessions", headers=headers).json()["sessions"]
                parameters = {"session": found[0]["id"]}
        case route if "{sha256}" in route:
            made = api.post("/api/v1/images", files={"file": ("a.png", PNG)}, headers=admin)
            parameters = {"sha256": _ready(api, made.json()["id"])}
        case route if "/admin/jobs/{key}" in route or "/admin/reports/" in route:
            wanted = EXAMPLES["POST /api/v1/admin/jobs"]["body"]
            key = api.post("/api/v1/admin/jobs", json=wanted, headers=admin).json()["key"]
            while api.get(f"/api/v1/admin/jobs/{key}", headers=admin).json()["state"] != "done":
                pass  # pytest's timeout is the limit
            parameters = {"key": key} if "{key}" in route else {}
    return parameters, body, headers


def _bearer(tokens):
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def _ready(api, sha256):
    while api.get(f"/api/v1/images/{sha256}").json()["state"] != "ready":
        pass  # pytest's timeout is the limit
    return sha256


@pytest.mark.parametrize("route", EXAMPLES)
def test_a_live_stack_takes_what_an_example_sends(route, api, admin, document):
    method, path = route.split()
    parameters, body, headers = real_values(route, api, admin)
    query = EXAMPLES[route].get("parameters", {}) | parameters
    for name in list(query):
        if f"{{{name}}}" in path:
            path = path.replace(f"{{{name}}}", str(query.pop(name)))
    files = {"file": ("a.png", PNG)} if route == "POST /api/v1/images" else None
    answer = api.request(method, path, params=query, json=body, headers=headers, files=files)
    if route.endswith("/retry"):  # no job is dead here, and it says so
        assert answer.status_code == 409
    elif route == "POST /api/v1/images":
        assert answer.status_code in (200, 202)  # the same picture may have been uploaded before
    else:
        assert answer.status_code == EXAMPLES[route]["status"], answer.text
    responses = document["paths"][route.split()[1]][method.lower()]["responses"]
    media_type = answer.headers.get("content-type", "").split(";")[0]
    content = responses[str(answer.status_code)].get("content", {})
    assert media_type in content or not answer.content


@pytest.mark.feature(
    "10 api: v1 says that it is deprecated, until when, and what follows it",
    endpoint="GET /api/v1/products",
    module="stack/service/products/deprecation.py",
)
@pytest.mark.parametrize("query", ["", "?category=no%20slug", "?limit=3&page=2", "?page=2&page=3"])
def test_lists_of_v1_name_their_successor_and_others_do_not(api, document, query):
    answer = api.get(f"/api/v1/products{query}")
    if answer.status_code == 200:
        assert answer.headers["deprecation"].startswith("@17")
        assert answer.headers["sunset"].endswith(" GMT")
        assert answer.headers["link"] == '</api/v2/products>; rel="successor-version"'
    assert "deprecation" not in api.get("/api/v2/products").headers
    assert document["paths"]["/api/v1/products"]["get"]["deprecated"] is True
    assert "deprecated" not in document["paths"]["/api/v2/products"]["get"]
