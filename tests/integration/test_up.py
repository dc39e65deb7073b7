"""`headroom up --tls` for real, on the design document's baseline: started, used and ended."""

import json
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from stack.infra.catalogue import SEEDED_PASSWORD, category_slug, user_email

REPOSITORY = Path(__file__).parents[2]
HEADROOM = Path(sys.executable).with_name("headroom")
NAME = "up-test"


def headroom(*arguments):
    command = [str(HEADROOM), *map(str, arguments), "--name", NAME]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=150, check=False
    )


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """What `headroom up --json` tells of the assignment, with a smaller catalogue."""
    text = (REPOSITORY / "scenarios" / "assignment.yaml").read_text(encoding="utf-8")
    assert "{products: 20000, users: 2000}" in text
    path = tmp_path_factory.mktemp("up") / "assignment.yaml"
    path.write_text(text.replace("{products: 20000, users: 2000}", "{products: 300, users: 20}"))
    started = headroom("up", path, "--tls", "--json")
    try:
        assert started.returncode == 0, started.stderr
        yield json.loads(started.stdout)
    finally:
        ended = headroom("down")
    assert ended.returncode == 0, ended.stderr
    assert headroom("status").returncode == 4
    with pytest.raises(httpx.ConnectError):
        httpx.get(json.loads(started.stdout)["base_url"])


@pytest.fixture(scope="module")
def api(baseline):
    trusting = ssl.create_default_context(cafile=baseline["certificate"])
    with httpx.Client(base_url=baseline["https_url"], verify=trusting, timeout=30) as client:
        yield client


@pytest.mark.feature(
    "7 limits: HTTPS on request, HTTP beside it",
    endpoint="headroom up --tls",
    module="headroom/cli.py",
)
def test_up_with_tls_serves_both_and_names_the_certificate(baseline, api):
    url = urlsplit(baseline["https_url"])
    assert (url.scheme, url.hostname) == ("https", "127.0.0.1")
    assert api.get("/readyz").headers["strict-transport-security"]
    assert "strict-transport-security" not in httpx.get(f"{baseline['base_url']}/readyz").headers
    with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
        httpx.get(f"{baseline['https_url']}/readyz")
    assert not {"admin_password", "jwt_secret"} & baseline.keys()


@pytest.mark.feature(
    "1 balancing: the assignment's topology, chosen by the scenario alone",
    endpoint="headroom up assignment",
    module="headroom/live.py",
)
def test_the_baseline_is_one_process_and_one_mongod_without_cache_or_refresh(baseline, api):
    assert {part["name"] for part in baseline["parts"]} == {"nginx", "api-1", "mongo-1"}
    assert api.get("/readyz").json()["dependencies"] == {"mongo": "ok"}
    where = {"category": category_slug(2), "page": 2, "limit": 4}
    for _ in range(3):
        page = api.get("/api/v1/products", params=where)
        assert (page.headers["x-cache"], len(page.json()["products"])) == ("none", 4)
    detail = api.get(f"/api/v1/products/{page.json()['products'][0]['id']}")
    assert detail.status_code == 200
    found = api.get("/api/v1/search", params={"q": detail.json()["title"]}).json()
    assert (found["engine"], found["total"] > 0) == ("mongo_text", True)
    credentials = {"email": user_email(3), "password": SEEDED_PASSWORD}
    login = api.post("/api/v1/auth/login", json=credentials).json()
    assert login.keys() == {"access_token", "token_type", "expires_in"}
    mine = {"Authorization": f"Bearer {login['access_token']}"}
    product = detail.json()["id"]
    assert api.put(f"/api/v1/users/me/favourites/{product}", headers=mine).status_code == 204
    favourites = api.get("/api/v1/users/me/favourites", headers=mine).json()
    assert product in {each["id"] for each in favourites["products"]}
    for path in ("/api/v1/auth/refresh", "/api/v1/images", "/api/v1/events", "/api/v1/admin/jobs"):
        assert api.post(path, json={}, headers=mine).status_code == 404
