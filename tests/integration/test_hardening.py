"""What keeps strangers' requests harmless: TLS, headers, CORS, bodies, and errors that say little.

Every refusal is a problem document, whether a route, the application or nginx makes it.
"""

import itertools
import re
import socket
import ssl
import subprocess
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from stack.infra.catalogue import admin_id, product_id
from stack.infra.nginx import NginxConfig, nginx_conf
from stack.local import servers
from stack.local.ports import free_port
from stack.service.auth.tokens import mint_access_token
from stack.service.bodies import DEEPEST, JSON_BYTES

LOGIN = "/api/v1/auth/login"
PRODUCT = f"/api/v1/products/{product_id(51)}"
SHOP = "https://shop.example.com"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def trusting(guarded_stack):
    return ssl.create_default_context(cafile=str(guarded_stack.info.certificate))


@pytest.fixture
def own_address():
    return {"X-Forwarded-For": f"10.9.0.{next(_numbers)}"}


@pytest.fixture
def secure(guarded_stack, trusting, own_address):
    base = guarded_stack.info.https_url
    with httpx.Client(base_url=base, verify=trusting, timeout=20, headers=own_address) as client:
        yield client


@pytest.fixture
def plain(guarded_stack, own_address):
    base = guarded_stack.info.base_url
    with httpx.Client(base_url=base, timeout=20, headers=own_address) as client:
        yield client


@pytest.fixture
def as_admin(guarded_stack):
    token = mint_access_token(guarded_stack.info.jwt_secret, admin_id(), "admin")
    return {"Authorization": f"Bearer {token}"}


def require_problem(answer, status):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]


@pytest.mark.feature(
    "7 limits: TLS 1.3 with a certificate of this machine",
    endpoint="headroom up --tls",
    module="stack/infra/nginx.py",
)
def test_https_speaks_tls_1_3_with_a_certificate_that_names_this_machine(guarded_stack, trusting):
    url = urlsplit(guarded_stack.info.https_url)
    with (
        socket.create_connection((url.hostname, url.port), timeout=20) as raw,
        trusting.wrap_socket(raw, server_hostname="localhost") as connection,
    ):
        assert connection.version() == "TLSv1.3"
        assert ("IP Address", "127.0.0.1") in connection.getpeercert()["subjectAltName"]


def test_https_refuses_anything_older_than_tls_1_3(guarded_stack, trusting):
    url = urlsplit(guarded_stack.info.https_url)
    older = ssl.create_default_context(cafile=str(guarded_stack.info.certificate))
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection((url.hostname, url.port), timeout=20) as raw,
        pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"),
    ):
        older.wrap_socket(raw, server_hostname="localhost")


def test_who_does_not_know_the_certificate_does_not_connect(guarded_stack):
    with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
        httpx.get(guarded_stack.info.https_url, timeout=20)


@pytest.mark.feature(
    "7 limits: security headers",
    endpoint="–",
    module="stack/infra/gateway.py",
)
def test_every_answer_carries_the_security_headers_and_hsts_only_over_tls(secure, plain):
    for client, path, status in (
        (secure, PRODUCT, 200),
        (secure, "/nowhere", 404),
        (plain, PRODUCT, 200),
        (plain, f"/{'x' * 40_000}", 414),  # made by the load balancer itself
    ):
        answer = client.get(path)
        assert answer.status_code == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "strict-origin-when-cross-origin"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert ("strict-transport-security" in answer.headers) is (client is secure)
        assert answer.headers["server"] == "nginx"  # and no version
    assert "max-age=31536000" in secure.get(PRODUCT).headers["strict-transport-security"]


def test_the_page_of_the_api_loads_all_from_this_server_and_may(secure):
    page = secure.get("/docs")
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in page.headers["content-security-policy"].split(";")
    )
    assert "https:" not in page.headers["content-security-policy"]
    loaded = {
        "script-src": re.findall(r'<script src="([^"]+)', page.text),
        "style-src": re.findall(r'<link [^>]*rel="stylesheet" href="([^"]+)', page.text),
        "img-src": re.findall(r'<link rel="shortcut icon" href="([^"]+)', page.text),
    }
    for directive, paths in loaded.items():
        assert paths, f"the page loads nothing under {directive}: look at it again"
        assert "'self'" in policy[directive].split()
        assert [secure.get(path).status_code for path in paths] == [200] * len(paths)
        assert all(path.startswith("/docs/static/") for path in paths)
    assert "'unsafe-inline'" in policy["script-src"]  # it starts itself in line


@pytest.mark.feature(
    "7 limits: CORS whitelist",
    endpoint="OPTIONS /api/v1/products",
    module="stack/infra/gateway.py",
)
def test_only_listed_origins_may_call_from_a_browser(secure):
    asks = {"Access-Control-Request-Method": "PATCH"}
    allowed = secure.options(PRODUCT, headers={"Origin": SHOP, **asks})
    assert allowed.status_code == 204
    assert allowed.headers["access-control-allow-origin"] == SHOP
    assert "PATCH" in allowed.headers["access-control-allow-methods"]
    assert "Authorization" in allowed.headers["access-control-allow-headers"]
    answered = secure.get(PRODUCT, headers={"Origin": SHOP})
    assert answered.headers["access-control-allow-origin"] == SHOP
    assert "Origin" in answered.headers["vary"]
    for origin in (
        "https://evil.example.com",
        f"{SHOP}.evil.example.com",
        "null",
        "http://shop.example.com",
    ):
        for answer in (
            secure.options(PRODUCT, headers={"Origin": origin, **asks}),
            secure.get(PRODUCT, headers={"Origin": origin}),
        ):
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert answer.headers["vary"] == "Origin"  # a cache must not mix them up


def test_without_a_list_no_origin_may_call(live_stack):
    answer = httpx.get(f"{live_stack.info.base_url}{PRODUCT}", headers={"Origin": SHOP})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.feature(
    "7 limits: database operators in bodies are refused",
    endpoint="POST /api/v1/auth/login",
    module="stack/service/bodies.py",
)
@pytest.mark.parametrize(
    "body",
    [
        {"email": {"$ne": ""}, "password": {"$gt": ""}},
        {"$where": "1"},
        {"email": "a@example.com", "password": "x", "profile.role": "admin"},
        [{"deep": [{"er": {"$regex": "."}}]}],
        {"email\0": "x"},
    ],
    ids=["values", "where", "dots", "nested", "nul"],
)
def test_database_operators_are_refused_before_any_route_sees_them(plain, body):
    answer = plain.post(LOGIN, json=body)
    require_problem(answer, 422)
    assert answer.json()["title"] == "Refused JSON"


def test_operators_in_a_query_reach_no_database(plain):
    for query in ("category[$ne]=x", "category[$ne]=x&category=$ne", "page[$gt]=1&page=$gt"):
        answer = plain.get(f"/api/v1/products?{query}")
        assert answer.status_code in {200, 422}
        if answer.status_code == 200:  # an unknown parameter is none: the first page of all
            assert answer.json()["products"] == plain.get("/api/v1/products").json()["products"]
    require_problem(plain.get("/api/v1/products?category=$ne"), 422)


@pytest.mark.feature(
    "7 limits: every error is a problem document",
    endpoint="–",
    module="stack/service/errors.py",
)
@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", LOGIN, {"content": b'{"email"', "type": "application/json"}, 400),
        ("POST", LOGIN, {"content": b"\xff\xfe{}", "type": "application/json"}, 400),
        ("GET", "/nowhere", {}, 404),
        ("DELETE", "/api/v1/products", {}, 405),
        ("TRACE", "/", {}, 405),
        ("POST", LOGIN, {"content": b"x" * (JSON_BYTES + 1), "type": "application/json"}, 413),
        ("GET", "/" + "x" * 40_000, {}, 414),
        ("POST", LOGIN, {"content": b"email=a", "type": "application/x-www-form-urlencoded"}, 415),
        ("POST", LOGIN, {"content": b"<a/>", "type": "text/xml"}, 415),
        ("POST", LOGIN, {"content": b"{}"}, 415),
        ("POST", LOGIN, {"content": b"{}", "type": "application/json"}, 422),
        ("POST", LOGIN, {"content": b"[" * 100_000, "type": "application/json"}, 422),
        ("GET", PRODUCT, {"headers": {"X-Long": "x" * 40_000}}, 431),
    ],
)
def test_what_is_wrong_with_a_request_is_a_problem_document_of_its_own_status(
    plain, method, path, sent, status
):
    headers = dict(sent.get("headers", {}))
    if "type" in sent:
        headers["Content-Type"] = sent["type"]
    answer = plain.request(method, path, content=sent.get("content"), headers=headers)
    require_problem(answer, status)
    if path == "/api/v1/products":
        assert answer.headers["allow"] == "GET"


def test_json_may_be_so_deep_and_no_deeper(plain, as_admin):
    def nested(levels):
        return "[" * levels + "]" * levels

    for levels, said in ((DEEPEST, "the request is not valid"), (DEEPEST + 1, "levels deep")):
        answer = plain.patch(
            PRODUCT,
            content=nested(levels),
            headers={**as_admin, "Content-Type": "application/json"},
        )
        require_problem(answer, 422)
        assert said in answer.json()["detail"]


@pytest.mark.feature(
    "7 limits: bodies are bounded in the application too",
    endpoint="POST /api/v1/auth/login",
    module="stack/service/bodies.py",
)
def test_a_body_that_does_not_say_its_length_is_bounded_all_the_same(guarded_stack):
    replica = guarded_stack.info.parts_of("api")[0].url

    def endless():
        for _ in range(40):
            yield b" " * 65_536

    answer = httpx.post(
        f"{replica}{LOGIN}",
        content=endless(),
        headers={"Content-Type": "application/json", "X-Real-IP": "10.9.1.1"},
        timeout=20,
    )
    require_problem(answer, 413)


@contextmanager
def load_balancer(folder, replica):
    """nginx alone, in front of a replica of the test's own."""
    port = free_port()
    config = NginxConfig(
        listen=f"127.0.0.1:{port}",
        replicas=(f"127.0.0.1:{replica}",),
        run=folder,
        error_log="stderr",
        access_log=str(folder / "access.jsonl"),
        answer_s=1,
    )
    path = folder / "nginx.conf"
    path.write_text(nginx_conf(config))
    binary = str(servers.find_server(servers.NGINX))
    command = [binary, "-p", f"{folder}/", "-c", str(path), "-e", "stderr", "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        retrying = httpx.HTTPTransport(retries=8)  # waits longer before each: it is starting
        with httpx.Client(transport=retrying, timeout=20) as client:
            assert client.get(f"http://127.0.0.1:{port}/lb-health").status_code == 200
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.feature(
    "7 limits: the load balancer's own errors are problem documents",
    endpoint="–",
    module="stack/infra/gateway.py",
)
@pytest.mark.parametrize(("listens", "status"), [(False, 502), (True, 504)])
def test_a_replica_that_is_away_or_silent_is_a_problem_document_too(tmp_path, listens, status):
    with socket.socket() as replica:
        replica.bind(("127.0.0.1", 0))
        if listens:
            replica.listen()  # and never answers
        with load_balancer(tmp_path, replica.getsockname()[1]) as url:
            answer = httpx.get(f"{url}{PRODUCT}", timeout=20)
            require_problem(answer, status)
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_error_tells_nothing_of_the_inside(plain):
    for path in ("/nowhere", f"{PRODUCT}/x", "/api/v1/products?page=x", "/metrics"):
        text = plain.get(path).text.lower()
        for word in ("traceback", "pymongo", "stack/", "site-packages", 'file "'):
            assert word not in text
