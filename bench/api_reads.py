"""Cached and uncached reads: Headroom's API beside Express and a bare FastAPI endpoint.

All servers read the same MongoDB and Redis and are asked by wrk for the same pages, in turn, within
one run: each has core 0 for itself, everything else is on core 1. Needs wrk and Node 20 or newer.
`python bench/api_reads.py [ROUNDS [SECONDS]]`
"""

import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from record import record

from stack.infra.catalogue import Catalogue, category_slug, product_id
from stack.infra.seed import seed
from stack.infra.settings import SeedSettings
from stack.local import StackSpec, start
from stack.local.parts import api_part
from stack.local.ports import free_port

HERE = Path(__file__).parent
CATALOGUE = Catalogue(products=20_000, users=10, categories=20)
SERVER_CORE, OTHER_CORE = {0}, {1}
CONNECTIONS = 32
NO_CACHE = "no cache"
LISTING, DETAIL = "listing", "detail"
# What is compared with what: (read, of, beside, the least ratio we want).
COMPARED = (
    ("cached listing", ("headroom", LISTING), ("express", LISTING), 1.0),
    ("cached listing", ("headroom", LISTING), ("express + redis", LISTING), 0.6),
    ("cached listing", ("headroom", LISTING), ("fastapi + redis", LISTING), 0.8),
    ("uncached listing", (f"headroom, {NO_CACHE}", LISTING), ("express", LISTING), None),
    ("uncached listing", (f"headroom, {NO_CACHE}", LISTING), ("fastapi", LISTING), None),
    ("detail", ("headroom", DETAIL), ("express", DETAIL), None),
)


def express(mongo_url, redis_url):
    folder = HERE / "express"
    if not (folder / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=folder, check=True)
    environment = {"MONGO_URL": mongo_url, "NODE_ENV": "production"}
    environment |= {"REDIS_URL": redis_url} if redis_url else {}
    return lambda port: (["node", str(folder / "server.js")], {**environment, "PORT": str(port)})


def python(environment, application):
    """Started as the stack starts its replicas."""
    part = api_part(1, environment, application)
    return lambda port: (part.command(port), part.environment)


def contenders(info):
    own = info.service_environment() | {"HEADROOM_CATALOGUE": CATALOGUE.model_dump_json()}
    alone = {name: value for name, value in own.items() if name != "HEADROOM_REDIS_URL"}
    bare = {"MONGO_URL": info.mongo_url}
    cached = bare | {"REDIS_URL": info.redis_url}
    return {
        "headroom": python(own, "stack.service.main:create_app"),
        f"headroom, {NO_CACHE}": python(alone, "stack.service.main:create_app"),
        "fastapi": python(bare, "bench.bare.app:create_app"),
        "fastapi + redis": python(cached, "bench.bare.app:create_app"),
        "express": express(info.mongo_url, None),
        "express + redis": express(info.mongo_url, info.redis_url),
    }


@contextlib.contextmanager
def running(commands):
    """All servers, each on the server core; their base URLs."""
    with contextlib.ExitStack() as ends:
        urls = {}
        for name, command in commands.items():
            port = free_port()
            arguments, environment = command(port)
            process = subprocess.Popen(
                arguments, env={**os.environ, "PYTHONPATH": str(HERE.parent), **environment}
            )
            os.sched_setaffinity(process.pid, SERVER_CORE)  # before it has threads
            ends.callback(process.wait)
            ends.callback(process.terminate)
            urls[name] = f"http://127.0.0.1:{port}"
        for name, url in urls.items():
            answered(name, f"{url}/api/v1/products")
        yield urls


def answered(name, url):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
        time.sleep(0.1)
    raise SystemExit(f"{name} does not answer at {url}")


def paths():
    rng = random.Random(1)
    listing = [
        f"/api/v1/products?category={category_slug(category)}&page={page}"
        for category in range(CATALOGUE.categories)
        for page in range(1, 6)
    ]
    detail = [f"/api/v1/products/{product_id(rng.randrange(20_000))}" for _ in range(500)]
    return {LISTING: listing, DETAIL: detail}


def asked(url, reads, seconds):
    """One measurement: requests/s and quantiles, as wrk saw them."""
    script = str(HERE / "wrk" / "reads.lua")
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, url]
    answer = subprocess.run(
        command,
        env={**os.environ, "READS": str(reads)},
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(answer.stdout.splitlines()[-1])
    assert found["failed"] == 0, (url, found)
    return found


def same_answers(urls):
    """Every server must answer the same products, or the comparison is void."""
    path = f"/api/v1/products?category={category_slug(3)}&page=2"
    bodies = [answered(name, url + path) for name, url in urls.items()]
    assert all(body == bodies[0] for body in bodies), "the servers answer different pages"


def measure(urls, rounds, seconds):
    """Figures by server and read: a list over rounds, in which all take turns."""
    wanted = sorted({side for _, *sides, _ in COMPARED for side in sides})
    found = {side: [] for side in wanted}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for read, lines in paths().items():
            files[read] = Path(folder) / read
            files[read].write_text("\n".join(lines) + "\n")
        for name, read in wanted:  # caches full, code compiled
            asked(urls[name], files[read], 2)
        for turn in range(rounds):
            random.Random(turn).shuffle(wanted)
            for name, read in wanted:
                found[name, read].append(asked(urls[name], files[read], seconds))
    return found


def judged(found, rounds):
    """Entries of runs/bench.json: the median over rounds of the ratio within a round."""
    entries = []
    for read, side, beside, goal in COMPARED:
        ratios = {
            "throughput": lambda a, b: a["requests"] / a["seconds"] / b["requests"] * b["seconds"],
            "p99": lambda a, b: a["p99_ms"] / b["p99_ms"],
        }
        for figure, ratio in ratios.items():
            each = [ratio(a, b) for a, b in zip(found[side], found[beside], strict=True)]
            values = [
                one["requests"] / one["seconds"] if figure == "throughput" else one["p99_ms"]
                for one in found[side]
            ]
            entries.append(
                {
                    "name": f"API, {read}, {figure}: {side[0]} to {beside[0]}",
                    "value": statistics.median(values),
                    "unit": "requests/s" if figure == "throughput" else "ms",
                    "ratio_to": beside[0],
                    "ratio": statistics.median(each),
                    "ratio_low": min(each),
                    "ratio_high": max(each),
                    "repeats": rounds,
                    **({"goal": goal} if goal and figure == "throughput" else {}),
                }
            )
    return entries


def main():
    rounds, seconds = (int(value) for value in (*sys.argv[1:], *("5", "2")[len(sys.argv) - 1 :]))
    missing = [tool for tool in ("wrk", "node", "npm") if shutil.which(tool) is None]
    if missing or len(os.sched_getaffinity(0)) < 2:
        print(f"left out: needs two cores, wrk and Node; missing: {', '.join(missing)}")
        return
    os.sched_setaffinity(0, OTHER_CORE)  # inherited by the stack's servers
    spec = StackSpec(name="bench", api_replicas=1, database_members=1, search_engine="mongo_text")
    folder = Path(tempfile.mkdtemp(prefix="headroom-bench-"))
    with start(spec, folder / "stack") as stack:
        info = stack.info
        settings = {
            "mongo_url": info.mongo_url,
            "redis_url": info.redis_url,
            "catalogue": CATALOGUE,
            "admin_password": info.admin_password,
        }
        seed(SeedSettings.model_validate(settings), CATALOGUE)
        with running(contenders(info)) as urls:
            same_answers(urls)
            found = measure(urls, rounds, seconds)
    shutil.rmtree(folder, ignore_errors=True)
    for (name, read), values in sorted(found.items()):
        rate = statistics.median(one["requests"] / one["seconds"] for one in values)
        p99 = statistics.median(one["p99_ms"] for one in values)
        print(f"{name:22} {read:8} {rate:8.0f} requests/s, p99 {p99:6.1f} ms")
    entries = judged(found, rounds)
    for entry in entries:
        goal = f", goal {entry['goal']}" if "goal" in entry else ""
        print(
            f"{entry['name']}: ×{entry['ratio']:.2f} "
            f"({entry['ratio_low']:.2f} to {entry['ratio_high']:.2f}{goal})"
        )
    record(entries)


if __name__ == "__main__":
    main()
