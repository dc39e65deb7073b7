"""How a worker process with a port of its own starts, answers and stops."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from typing import Protocol, Self, TypeVar

import uvicorn
from starlette.applications import Starlette

from stack.infra.logs import log_as_json
from stack.infra.settings import InvalidSettings

GRACE_S = 2  # for requests under way at SIGTERM; jobs have a time of their own


class FromEnvironment(Protocol):
    """Settings that are read from the environment."""

    @classmethod
    def from_environment(cls) -> Self:
        """Raises InvalidSettings."""


Settings = TypeVar("Settings", bound=FromEnvironment)


def serve(
    part: str,
    says: str,
    settings: type[Settings],
    create_app: Callable[[Settings], Starlette],
    request_id: Callable[[], str | None] = lambda: None,
) -> int:
    """Run until SIGTERM or SIGINT; returns the exit code, 2 for bad settings."""
    arguments = argparse.ArgumentParser(description=says)
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8000)
    given = arguments.parse_args()
    try:
        found = settings.from_environment()
    except InvalidSettings as error:
        sys.stderr.write(f"{part}: {error}\n")
        return 2
    log_as_json(part, request_id)
    uvicorn.run(
        create_app(found),
        host=given.host,
        port=given.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    return 0


async def pause(seconds: float, stop: asyncio.Event) -> None:
    """Wait, but not beyond a stop."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
