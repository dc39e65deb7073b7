"""Some requests through the published port of the composed stack: BASE_URL ADMIN_PASSWORD."""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

BASE, PASSWORD = sys.argv[1:]


def ask(method: str, path: str, body: object = None, token: str = "") -> tuple[int, dict, dict]:
    request = urllib.request.Request(BASE + path, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data, timeout=20) as answer:
            text = answer.read()
            return answer.status, dict(answer.headers), json.loads(text) if text else {}
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), {}


def check(claim: str, holds: bool) -> None:
    print("ok  " if holds else "FAIL", claim)
    if not holds:
        sys.exit(1)


status, _, page = ask("GET", "/api/v2/products")
check("a list answers with products", status == 200 and len(page["products"]) > 0)
served = {ask("GET", "/api/v2/products")[1]["x-served-by"] for _ in range(12)}
check(f"three replicas take turns: {sorted(served)}", len(served) == 3)
check("the second look-up is a hit", ask("GET", "/api/v2/products")[1]["x-cache"] == "hit")
product = page["products"][0]
title = urllib.parse.quote(product["title"])
status, headers, found = ask("GET", f"/api/v1/search?q={title}")
check(f"Elasticsearch finds {product['title']!r}", status == 200 and found["total"] > 0)
credentials = {"email": "admin@example.com", "password": PASSWORD}
status, _, login = ask("POST", "/api/v1/auth/login", credentials)
check("the administrator logs in", status == 200)
token, path = login["access_token"], f"/api/v1/products/{product['id']}"
check("an update needs a token", ask("PATCH", path, {"price_usd": 12.5})[0] == 401)
check("an update is taken", ask("PATCH", path, {"price_usd": 12.5}, token)[0] == 200)
check("and read back at once", ask("GET", path)[2]["price_usd"] == 12.5)
listed = {p["id"]: p["price_usd"] for p in ask("GET", "/api/v2/products")[2]["products"]}
check("the list is no older", listed.get(product["id"], 12.5) == 12.5)


def indexed() -> bool:
    hits = ask("GET", f"/api/v1/search?q={title}")[2].get("products", [])
    return any(h["id"] == product["id"] and h["price_usd"] == 12.5 for h in hits)


limit_s = time.monotonic() + 30
while not (followed := indexed()) and time.monotonic() < limit_s:
    time.sleep(0.5)
check("the search index follows", followed)
check("metrics are not published", ask("GET", "/metrics")[0] in (403, 404))
