"""Experiments in front of the API: budgets of requests, pictures, and the edge cache on and off.

They run on a small stack of their own, for a budget would cut the other experiments short.
"""

import time
from collections.abc import Iterator
from typing import Literal

import numpy as np
from bson import ObjectId

from headroom.artefacts import Estimate, ExperimentResult
from headroom.claims.live import Answer, Client, Live, Results, exact, median_ratio
from headroom.proportion import wilson
from headroom.variants import variant
from sim.scenario import Scenario
from sim.workload import zipf_probabilities
from stack.infra.catalogue import admin_id, user_id
from stack.infra.pictures import Format, Size, product_picture
from stack.service.auth.tokens import mint_access_token

MOST_ASKED = 500  # requests until a budget must have refused one
BURST_MOST = 5_000  # and the edge's, which fills again while it is asked
VIEWS, SHOWN = 600, 80  # pictures looked at, of so many products
TIMED = 150
PICTURES = 6
GRAIN = 6.0  # standard deviation of a camera's noise, of 255
READY_LIMIT_S = 60.0
NOBODY = {"email": "nobody@example.com", "password": "not the password"}


def guarded(scenario: Scenario) -> Scenario:
    """The design, small, with the document's budgets and with workers that make pictures."""
    return variant(
        scenario,
        {
            "name": f"{scenario.name}-guarded",
            "workload.catalogue.products": 600,
            "workload.catalogue.users": 40,
            "workload.catalogue.search_queries": 40,
            "topology.api.replicas": 2,
            "topology.api.autoscaling": None,
            "topology.database.members": 1,
            "topology.database.read_from_secondaries": [],
            "topology.search": {"engine": "mongo_text"},
            "topology.limits": {},
            "topology.worker": {},
        },
    )


def budgets(live: Live) -> Results:
    """Requests that each budget admits before the first refusal, and who refuses."""
    token = {"Authorization": f"Bearer {_token(live, user_id(3))}"}
    asked: dict[str, tuple[str, str, object]] = {
        "auth": ("POST", "/api/v1/auth/login", NOBODY),
        "search": ("GET", "/api/v1/search?q=lamp", None),
        "listing": ("GET", "/api/v1/products?limit=1", None),
        "favourites": ("GET", "/api/v1/users/me/favourites", None),
    }
    client = Client(live.design)
    results: Results = {}
    refused_by = set()
    for number, (name, (method, target, body)) in enumerate(asked.items()):
        headers = {**token, "X-Forwarded-For": f"10.7.0.{number}"}
        admitted, answer = _until_refused(client, method, target, body, headers)
        # nginx tells nothing of an application's budget; the application names it.
        refused_by.add("user" if "ratelimit" in answer.headers else "edge")
        results[f"live.{name}_budget"] = exact(
            admitted, "requests", admitted + 1, "asked without pause until the first 429"
        )
    stranger = {"X-Forwarded-For": "10.7.1.1"}
    _, answer = _until_refused(client, "GET", asked["search"][1], None, stranger)
    refused_by.add("address" if "ratelimit" in answer.headers else "edge")
    flood = {"X-Forwarded-For": "10.7.2.1"}
    picture = "/images/products/1/thumbnail.webp"
    burst, _ = _until_refused(client, "GET", picture, None, flood, most=BURST_MOST)
    refused_by.add("edge")
    client.close()
    results["live.limit_layers"] = exact(
        len(refused_by),
        "layers",
        6,
        f"429 by the load balancer (the {burst + 1:,}th of a flood from one address), by the API "
        "for an address that is not logged in, and by the API for a user",
    )
    return results


def _token(live: Live, user: ObjectId, role: Literal["user", "admin"] = "user") -> str:
    return mint_access_token(live.design.jwt_secret, user, role)


def _until_refused(
    client: Client,
    method: str,
    target: str,
    body: object,
    headers: dict[str, str],
    *,
    most: int = MOST_ASKED,
) -> tuple[int, Answer]:
    """How many were admitted, and the refusal. Raises ValueError when none came."""
    for admitted in range(most):
        answer = client.ask(method, target, body, headers)
        if answer.status == 429:
            return admitted, answer
    raise ValueError(f"{target}: {most:,} requests and no refusal")


def pictures(live: Live) -> Results:
    """Uploads in every size and format: how many there are, and their bytes."""
    client = Client(live.design, token=_token(live, admin_id(), "admin"))
    over_jpeg, thumbnails, files = [], [], 0
    for number in range(PICTURES):
        original = _photograph(number)
        urls = _uploaded(client, original, f"10.7.3.{number}")
        for size, url in urls.items():
            weight = {form: len(client.get(f"{url}.{form}").content) for form in Format}
            files += len(weight)
            over_jpeg.append(weight[Format.WEBP] / weight[Format.JPEG])
            if size == Size.THUMBNAIL:
                thumbnails.append(weight[Format.WEBP] / len(original))
    client.close()
    how = (
        f"{PICTURES} drawn pictures of 1,600 pixels with a camera's grain, uploaded; "
        "photographs differ"
    )
    return {
        "live.image_files": exact(files / PICTURES, "files", PICTURES, how),
        "live.webp_over_jpeg": _mean(over_jpeg, f"{how}; bytes of each size in both formats"),
        "live.thumbnail_over_original": _mean(thumbnails, f"{how}; bytes of the WebP thumbnail"),
    }


def _photograph(number: int) -> bytes:
    import pyvips

    smooth = pyvips.Image.new_from_buffer(product_picture(number, Size.FULL, Format.JPEG), "")
    grain = pyvips.Image.gaussnoise(smooth.width, smooth.height, sigma=GRAIN, mean=0, seed=number)
    return bytes((smooth + grain).cast("uchar").jpegsave_buffer(Q=92))


def _uploaded(client: Client, data: bytes, address: str) -> dict[str, str]:
    """Where the sizes of an upload are, once its job is done."""
    boundary = "headroom-picture"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="picture.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "X-Forwarded-For": address,
    }
    answer = client.ask("POST", "/api/v1/images", body, headers)
    if answer.status not in (200, 202):
        raise ValueError(f"an upload was answered with {answer.status}: {answer.content[:200]!r}")
    place, since = answer.headers["location"], time.monotonic()
    while (image := client.get(place).body)["state"] != "ready":
        if time.monotonic() - since > READY_LIMIT_S:
            raise TimeoutError(f"no sizes of an upload within {READY_LIMIT_S:.0f} s")
        time.sleep(0.1)
    return dict(image["urls"])


def _mean(values: list[float], how: str) -> ExperimentResult:
    found = np.array(values)
    half = 1.96 * float(found.std(ddof=1)) / found.size**0.5
    middle = float(found.mean())
    value = Estimate(value=middle, low=middle - half, high=middle + half)
    return ExperimentResult(value=value, unit="fraction", samples=found.size, how=how)


def edge_on_and_off(live: Live) -> Results:
    """One picture from the edge's cache against the replica itself; and what the edge saves."""
    admin = Client(live.design, token=_token(live, admin_id(), "admin"))
    picture = f"{_uploaded(admin, _photograph(PICTURES), '10.7.4.1')['medium']}.webp"
    admin.close()
    edge = Client(live.design)
    origin = Client(live.design, live.design.parts_of("api")[0].url)
    address = _addresses()
    edge.ask("GET", picture, headers=next(address))
    on_s, off_s = [], []
    for _ in range(TIMED):
        kept = edge.ask("GET", picture, headers=next(address))
        made = origin.get(picture)
        if kept.headers.get("x-edge-cache") != "HIT" or kept.content != made.content:
            raise ValueError("the edge did not answer from its cache with the same bytes")
        on_s.append(kept.seconds)
        off_s.append(made.seconds)
    origin.close()
    weights = zipf_probabilities(SHOWN, live.scenario.workload.popularity.products_zipf)
    shown = live.rng.choice(SHOWN, VIEWS, p=weights)
    states = [
        edge.ask("GET", f"/images/products/{number}/thumbnail.webp", headers=next(address))
        for number in shown
    ]
    hits = sum(answer.headers.get("x-edge-cache") == "HIT" for answer in states)
    edge.close()
    how = f"{TIMED} times in turn: one picture from the edge cache and from a replica past it"
    views = f"{VIEWS} views of {SHOWN} pictures by the scenario's popularity, edge cold at first"
    return {
        "live.edge_speedup": median_ratio(off_s, on_s, live.rng, f"{how}; no distance between"),
        "live.edge_hit_ratio": ExperimentResult(
            value=wilson(hits, VIEWS), unit="fraction", samples=VIEWS, how=views
        ),
    }


def _addresses() -> Iterator[dict[str, str]]:
    """A visitor's address for every request: many visitors, each within its budget."""
    number = 0
    while True:
        yield {"X-Forwarded-For": f"10.8.{number // 250 % 250}.{number % 250}"}
        number += 1
