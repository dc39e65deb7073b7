"""`headroom up --tls` for real, on the design document's baseline: started, asked and ended."""

import contextlib
import json
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from stack.errors import StackNotRunning
from stack.local import stop

REPOSITORY = Path(__file__).parents[2]
HEADROOM = Path(sys.executable).with_name("headroom")
NAME = "up-test"


def headroom(*arguments):
    command = [str(HEADROOM), *map(str, arguments), "--name", NAME]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=150, check=False
    )


@pytest.fixture
def baseline(tmp_path):
    """What `headroom up --json` tells of the assignment, with a smaller catalogue."""
    text = (REPOSITORY / "scenarios" / "assignment.yaml").read_text(encoding="utf-8")
    assert "{products: 20000, users: 2000}" in text
    path = tmp_path / "assignment.yaml"
    path.write_text(text.replace("{products: 20000, users: 2000}", "{products: 300, users: 20}"))
    started = headroom("up", path, "--tls", "--json")
    try:
        assert started.returncode == 0, started.stderr
        yield json.loads(started.stdout)
    finally:
        with contextlib.suppress(StackNotRunning):  # the test has ended it by its command
            stop(REPOSITORY / ".headroom" / "stacks" / NAME)


@pytest.mark.feature(
    "7 limits: HTTPS on request, HTTP beside it",
    endpoint="headroom up --tls",
    module="headroom/cli.py",
)
def test_up_with_tls_serves_both_names_the_certificate_and_ends_with_down(baseline):
    plain, secure = baseline["base_url"], baseline["https_url"]
    assert (urlsplit(secure).scheme, urlsplit(secure).hostname) == ("https", "127.0.0.1")
    assert not {"admin_password", "jwt_secret"} & baseline.keys()
    trusting = ssl.create_default_context(cafile=baseline["certificate"])
    page = httpx.get(f"{secure}/api/v1/products", verify=trusting)
    assert len(page.json()["products"]) == 20
    assert "strict-transport-security" in page.headers
    assert "strict-transport-security" not in httpx.get(f"{plain}/api/v1/products").headers
    with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
        httpx.get(f"{secure}/readyz")
    assert headroom("down").returncode == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(plain)
