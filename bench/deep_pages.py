"""An offset page at a depth against a cursor page at the same depth, uncached, in one run.

`python bench/deep_pages.py [ROUNDS]`: 40,000 products, pages of 20 from the API, asked in turn by
one client. The page of a cursor is found by key, so its time should not depend on the depth; an
offset page reads everything before it.
"""

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
from record import record

from stack.infra.catalogue import Catalogue, product_id
from stack.infra.seed import seed
from stack.infra.settings import SeedSettings
from stack.local import StackSpec, start
from stack.service.products.cursor import CursorCodec

CATALOGUE = Catalogue(products=40_000, users=10, categories=20)
SIZE = CATALOGUE.page_size
PAGES = (1, 10, 100, 1_000, 1_999)
OFFSET, CURSOR = "offset", "cursor"


def requests(secret):
    """By kind and page: path and parameters of the same twenty products."""
    codec = CursorCodec(secret)
    found = {}
    for page in PAGES:
        before = CATALOGUE.products - (page - 1) * SIZE
        cursor = {"cursor": codec.encode(None, product_id(before))} if page > 1 else {}
        found[OFFSET, page] = ("/api/v1/products", {"page": page})
        found[CURSOR, page] = ("/api/v2/products", cursor)
    return found


def asked(client, path, params):
    """Seconds of one request, and the products it brought."""
    began = time.perf_counter()
    answer = client.get(path, params=params)
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    assert answer.headers["x-cache"] == "none"
    return seconds, [product["id"] for product in answer.json()["products"]]


def measured(client, wanted, rounds):
    """Times by kind and page over rounds in which all take turns."""
    times = {which: [] for which in wanted}
    order = list(wanted)
    for turn in range(-2, rounds):  # two rounds to warm up
        random.Random(turn).shuffle(order)
        shown = {}
        for which in order:
            seconds, shown[which] = asked(client, *wanted[which])
            if turn >= 0:
                times[which].append(seconds)
        for page in PAGES:  # the same products, or the comparison is void
            assert shown[OFFSET, page] == shown[CURSOR, page]
            assert len(shown[OFFSET, page]) == SIZE
    return times


def entry(name, times, side, beside):
    """One line of runs/bench.json: medians, and the range of the ratio within a round."""
    each = [a / b for a, b in zip(times[side], times[beside], strict=True)]
    return {
        "name": name,
        "value": statistics.median(times[side]) * 1000,
        "unit": "ms",
        "ratio_to": f"{beside[0]}, page {beside[1]}",
        "ratio": statistics.median(times[side]) / statistics.median(times[beside]),
        "ratio_low": min(each),
        "ratio_high": max(each),
        "repeats": len(each),
    }


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    spec = StackSpec(
        name="bench",
        api_replicas=1,
        database_members=1,
        search_engine="mongo_text",
        cache_memory_mib=None,
        service_env={"HEADROOM_CATALOGUE": CATALOGUE.model_dump_json()},
    )
    folder = Path(tempfile.mkdtemp(prefix="headroom-bench-"))
    with start(spec, folder / "stack") as stack:
        info = stack.info
        settings = {"mongo_url": info.mongo_url, "admin_password": info.admin_password}
        seed(SeedSettings.model_validate(settings), CATALOGUE)
        with httpx.Client(base_url=info.base_url, timeout=60) as client:
            times = measured(client, requests(info.jwt_secret), rounds)
    entries = [
        entry(f"page {page}, offset to cursor", times, (OFFSET, page), (CURSOR, page))
        for page in PAGES
    ]
    entries += [
        entry(f"page 1,000 to page 1, {kind}", times, (kind, 1_000), (kind, 1))
        for kind in (OFFSET, CURSOR)
    ]
    for each in entries:
        print(f"{each['name']}: {each['value']:.2f} ms, ×{each['ratio']:.2f} of {each['ratio_to']}")
    record(entries)


if __name__ == "__main__":
    main()
