"""Some requests through the published port of the composed stack: BASE_URL ADMIN_PASSWORD."""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable

BASE, PASSWORD = sys.argv[1:]


def ask(method: str, path: str, body: object = None, token: str = "") -> tuple[int, dict, dict]:
    request = urllib.request.Request(BASE + path, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    data = None if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    if isinstance(body, bytes):  # a picture
        request.add_header("Content-Type", "multipart/form-data; boundary=smoke")
        part = b'--smoke\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        data = part + body + b"\r\n--smoke--\r\n"
    try:
        with urllib.request.urlopen(request, data, timeout=20) as answer:
            text, headers = answer.read(), {k.lower(): v for k, v in answer.headers.items()}
            is_json = headers.get("content-type", "").startswith("application/json")
            return answer.status, headers, json.loads(text) if is_json else {}
    except urllib.error.HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, {}


def check(claim: str, holds: bool) -> None:
    print("ok  " if holds else "FAIL", claim)
    if not holds:
        sys.exit(1)


def becomes_true(condition: Callable[[], bool]) -> bool:
    limit_s = time.monotonic() + 40
    while not (holds := condition()) and time.monotonic() < limit_s:
        time.sleep(2)  # within the budgets
    return holds


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


check("the search index follows", becomes_true(indexed))
check("metrics are not published", ask("GET", "/metrics")[0] in (403, 404))

# One black pixel: the queue, a worker and the object store make its sizes.
pixel = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080200000090"
    "7753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
)
status, _, image = ask("POST", "/api/v1/images", pixel, token)
check("an image is taken", status == 202)
place = f"/api/v1/images/{image['id']}"
check("its sizes are made", becomes_true(lambda: ask("GET", place)[2]["state"] == "ready"))
shown = ask("PUT", f"{path}/image", {"image": image["id"]}, token)[2]
status, headers, _ = ask("GET", shown["thumbnail_url"] + ".webp")
check("a product shows it", (status, headers["content-type"]) == (200, "image/webp"))
status, _, job = ask("POST", "/api/v1/admin/jobs", {"kind": "session_cleanup"}, token)
place = f"/api/v1/admin/jobs/{job['key']}"
check("a job is done", becomes_true(lambda: ask("GET", place, token=token)[2]["state"] == "done"))

view = {"kind": "view", "session": "smoke", "product": product["id"]}
check("an event is taken", ask("POST", "/api/v1/events", {"events": [view]})[2]["accepted"] == 1)


def counted() -> bool:
    steps = ask("GET", "/api/v1/admin/analytics/funnel", token=token)[2].get("steps", [])
    return bool(steps) and steps[0] == {"step": "view", "sessions": 1}


check("and counted by the owner of the events", becomes_true(counted))
[session] = ask("GET", "/api/v1/auth/sessions", token=token)[2]["sessions"]
check(  # the network's own address speaks for this machine; a container's would be another
    f"a session is known by the client's address: {session['address']}",
    session["address"].endswith(".1"),
)
check("answers tell the budget", "q=60" in ask("GET", "/api/v2/products")[1]["ratelimit-policy"])
wrong = {"email": "admin@example.com", "password": "not this one"}
logins = [ask("POST", "/api/v1/auth/login", wrong)[0] for _ in range(6)]
check(f"too many logins are refused: {logins}", logins[0] == 401 and logins[-1] == 429)
