"""Faults that are switched on in a running stack, so that a diagnosis can be put to the test.

Only a stack that was started for it (`StackSpec.takes_faults`) has the switches; no other one can
be harmed by them. Each switch is off until it is set, and ends with the stack.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pymongo import MongoClient

from stack.errors import FaultsOff
from stack.infra.documents import PRODUCTS
from stack.infra.faults import NOTHING, Faults
from stack.infra.indexes import PRODUCT_INDEXES
from stack.load.priority import run_promptly
from stack.local.info import StackInfo

QUERIES = ("find", "aggregate")  # what a read of the service sends
MOST_S = 60.0
_SERVER = re.compile(r"(server 127\.0\.0\.1:(\d+)) max_fails=(\d+) (fail_timeout=\d+s)[^;]*;")
_RETRIED = re.compile(r"(proxy_next_upstream error timeout)[^;]*;")
# A loop that ends by itself, should whoever started it be killed.
_SPIN = "import time\nend = time.monotonic() + {s}\nwhile time.monotonic() < end: pass"


def slow_queries(
    info: StackInfo, by_s: float, *, commands: Sequence[str] = QUERIES, members: Sequence[str] = ()
) -> None:
    """Make each member answer these commands so much later; 0 s switches it off.

    MongoDB's own fail point blocks the connection before the command runs, so that the service
    sees a slow query and nothing uses more CPU.

    Args:
        info: of a running stack that takes faults.
        by_s: 0 to 60 s.
        commands: of the database, by name.
        members: `mongo-1` and so on; none: all of them.
    Raises: FaultsOff for a stack that was started without them; ValueError for another `by_s`.
    """
    _require_faults(info)
    if not 0.0 <= by_s <= MOST_S:
        raise ValueError(f"{by_s} s; allowed: 0 to {MOST_S:g} s")
    point: dict[str, Any] = {"configureFailPoint": "failCommand", "mode": "off"}
    if by_s > 0:
        blocked = {"blockConnection": True, "blockTimeMS": max(1, round(by_s * 1e3))}
        point |= {"mode": "alwaysOn", "data": {"failCommands": list(commands), **blocked}}
    for part in info.parts_of("mongo"):
        if not members or part.name in members:
            with MongoClient[dict[str, Any]](
                "127.0.0.1", part.port, directConnection=True, serverSelectionTimeoutMS=5000
            ) as client:
                client.admin.command(point)


def switch(info: StackInfo, faults: Faults = NOTHING) -> None:
    """Make this wrong in replicas and gates from now on, and nothing else.

    Raises FaultsOff for a stack that was started without them.
    """
    _require_faults(info)
    path = info.faults_file
    assert path is not None
    draft = path.with_suffix(".new")
    draft.write_text(faults.model_dump_json(), encoding="utf-8")
    draft.replace(path)


def unbalance(info: StackInfo, weights: Mapping[str, int], *, retries_503: bool = False) -> None:
    """Give replicas another share of the requests; 0 is none. Without weights all are alike again.

    Args:
        info: of a running stack that takes faults.
        weights: by replica (`api-1`), from 0; those not named have 1.
        retries_503: whether a request that was answered 503 goes to another replica, without end
            to it: no replica is taken out for its failures.
    Raises: FaultsOff for a stack that was started without them; ValueError for weights of which
        none would be left, or of no replica.
    """
    _require_faults(info)
    names = {str(part.port): part.name for part in info.parts_of("api")}
    unknown = sorted(weights.keys() - set(names.values()))
    if unknown or not any(weights.get(name, 1) for name in names.values()):
        raise ValueError(f"{dict(weights)}; allowed: of {', '.join(names.values())}, one above 0")

    def server(found: re.Match[str]) -> str:
        weight = weights.get(names.get(found[2], ""), 1)
        share = "down" if weight < 1 else f"weight={weight}"
        fails = 0 if retries_503 else 3
        return f"{found[1]} max_fails={fails} {found[4]} {share};"

    path = info.folder / "data" / "nginx" / "nginx.conf"
    text = _SERVER.sub(server, path.read_text(encoding="utf-8"))
    text = _RETRIED.sub(rf"\1{' http_503' if retries_503 else ''};", text)
    path.write_text(text, encoding="utf-8")
    pid = info.part("nginx").pid
    assert pid is not None
    os.kill(pid, signal.SIGHUP)


def lose_index(info: StackInfo, name: str = "category_newest") -> None:
    """Drop an index of the products. Raises FaultsOff; ValueError for one that is none."""
    _require_faults(info)
    known = [index.document["name"] for index in PRODUCT_INDEXES]
    if name not in known:
        raise ValueError(f"{name!r}; allowed: {', '.join(known)}")
    assert info.mongo_url is not None
    with MongoClient[dict[str, Any]](info.mongo_url) as client:
        products = client.get_default_database("headroom")[PRODUCTS]
        if name in products.index_information():
            products.drop_index(name)


def restore_indexes(info: StackInfo) -> None:
    """Create the indexes of the products that are not there."""
    _require_faults(info)
    assert info.mongo_url is not None
    with MongoClient[dict[str, Any]](info.mongo_url) as client:
        client.get_default_database("headroom")[PRODUCTS].create_indexes(list(PRODUCT_INDEXES))


@contextlib.contextmanager
def cpu_hog(for_s: float, processes: int = 1) -> Iterator[tuple[int, ...]]:
    """Processes that keep a core busy each while the block runs, `for_s` at most; their pids.

    With the priority of the load generator, where that is allowed: a neighbour that does not give
    way. Raises ValueError for times above 60 s.
    """
    if not 0 < for_s <= MOST_S:
        raise ValueError(f"{for_s} s; allowed: above 0 to {MOST_S:g} s")
    command = [sys.executable, "-c", _SPIN.format(s=for_s)]
    hogs = [subprocess.Popen(command, start_new_session=True) for _ in range(processes)]
    try:
        for hog in hogs:
            run_promptly(hog.pid)
        yield tuple(hog.pid for hog in hogs)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def _require_faults(info: StackInfo) -> None:
    if not info.spec.takes_faults:
        raise FaultsOff(stack=info.name)
