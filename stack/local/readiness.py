"""Readiness gates: each waits until one server answers as it should."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

POLL_S = 0.05
TRY_S = 5.0  # one try: a server that accepts and then says nothing must not hold the gate

# Server not yet reachable, or reachable and not yet able to answer.
NOT_YET = (OSError, TimeoutError, EOFError, PyMongoError, ValueError)


async def until(ready: Callable[[], Awaitable[bool]]) -> None:
    """Return once `ready` says True; tried again and again, each time with its own limit."""
    while True:
        try:
            async with asyncio.timeout(TRY_S):
                if await ready():
                    return
        except NOT_YET:
            pass
        await asyncio.sleep(POLL_S)


async def http_answers(port: int, path: str) -> bool:
    """Whether GET `path` on 127.0.0.1 answers with status 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        status_line = (await reader.readline()).split()
        return len(status_line) > 1 and status_line[1] == b"200"
    finally:
        writer.close()


async def http_body(port: int, path: str) -> str:
    """What GET `path` on 127.0.0.1 answers; raises OSError, EOFError; ValueError where not 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        # By HTTP/1.0 the answer ends with the connection, and comes in one piece.
        writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if head.split(maxsplit=2)[1] != b"200":
            raise ValueError(f"{path} on port {port} answered {head.splitlines()[0]!r}")
        return (await reader.read()).decode()
    finally:
        writer.close()


async def redis_answers(port: int) -> bool:
    """Whether Redis answers PING."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"PING\r\n")
        return await reader.readline() == b"+PONG\r\n"
    finally:
        writer.close()


async def gates_answer(port: int) -> bool:
    """Whether the gate process takes connections."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return True


def mongo_client(port: int) -> AsyncMongoClient[dict[str, Any]]:
    """A client of one mongod, whatever its state in the replica set."""
    return AsyncMongoClient(
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=1000, appname="headroom"
    )


async def mongo_answers(port: int) -> bool:
    """Whether a mongod answers `ping`."""
    async with mongo_client(port) as client:
        await client.admin.command("ping")
    return True


async def form_replica_set(name: str, ports: list[int], election_timeout_s: float) -> None:
    """Make running, empty mongods one replica set, the first its primary.

    The set starts with one member, which is elected at once, and takes in the others; waiting for
    a first election of all costs ten seconds more. Heartbeats are quick until all are in step.
    """
    hosts = [{"_id": number, "host": f"127.0.0.1:{port}"} for number, port in enumerate(ports)]
    # All follow the primary itself: a member that stands still keeps no majority from hearing.
    direct = {"chainingAllowed": False}
    quick = direct | {"heartbeatIntervalMillis": 200, "electionTimeoutMillis": 10_000}
    final = direct | {
        # Two heartbeats must fit into the election timeout, else a member may miss its leader.
        "heartbeatIntervalMillis": min(2000, int(election_timeout_s * 1000 / 2)),
        "electionTimeoutMillis": int(election_timeout_s * 1000),
    }
    async with mongo_client(ports[0]) as client:
        admin = client.admin
        first = {"_id": name, "version": 1, "members": hosts[:1], "settings": quick}
        await admin.command("replSetInitiate", first)

        async def is_primary() -> bool:
            return bool((await admin.command("hello")).get("isWritablePrimary"))

        async def all_in_step() -> bool:
            members = (await admin.command("replSetGetStatus"))["members"]
            states = sorted(member["stateStr"] for member in members)
            return states == ["PRIMARY"] + ["SECONDARY"] * (len(ports) - 1)

        await until(is_primary)
        for count in range(2, len(hosts) + 1):  # MongoDB adds one voting member at a time
            await until(lambda count=count: _configured(admin, hosts[:count], quick))  # type: ignore[misc]
        await until(all_in_step)
        await until(lambda: _configured(admin, hosts, final))


async def _configured(admin: Any, members: list[dict[str, Any]], settings: dict[str, int]) -> bool:
    """Bring the set's configuration a step towards this one; True when it is in force.

    A try may be refused until the last change has spread, or be answered too late and take effect
    all the same; and the primary changes the configuration itself when a new member has caught up.
    So each try starts from what is in force.
    """
    current = (await admin.command("replSetGetConfig"))["config"]
    here = [member["host"] for member in current["members"]]
    if here == [member["host"] for member in members] and settings.items() <= (
        current["settings"].items()
    ):
        return True
    config = {
        "_id": current["_id"],
        "version": current["version"] + 1,
        "members": members,
        "settings": settings,
    }
    await admin.command("replSetReconfig", config)
    return False
