"""The line to a running supervisor: a socket in the stack's folder, for its owner's eyes only.

One JSON object asks for a change. Answers are JSON objects, one a line: `progress`, then `done` or
`error`. A change that was begun is carried out even if whoever asked has gone.
"""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stack.errors import StackError
from stack.local.info import Change

SOCKET = "control.sock"

Say = Callable[[str], None]
Apply = Callable[[Change, Say], Awaitable[None]]


@contextlib.contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """The socket's path by way of a descriptor: a socket's name has room for 107 letters only."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


@contextlib.asynccontextmanager
async def listening(folder: Path, apply: Apply) -> AsyncIterator[None]:
    """Answer on the stack's socket while the block runs; changes under way end with it."""
    changes: set[asyncio.Task[None]] = set()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        changes.add(task)
        try:
            await _answer(await reader.readline(), writer, apply)
        finally:
            changes.discard(task)
            writer.close()

    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        with _short_path(folder) as path:
            listener.bind(path)
    finally:
        os.umask(mask)
    server = await asyncio.start_unix_server(meet, sock=listener)
    try:
        yield
    finally:
        server.close()
        for task in changes:
            task.cancel()
        await asyncio.gather(*changes, return_exceptions=True)


async def _answer(line: bytes, writer: asyncio.StreamWriter, apply: Apply) -> None:
    def tell(event: str, **values: Any) -> None:
        if not writer.is_closing():
            writer.write(json.dumps({"event": event, **values}).encode() + b"\n")

    try:
        change = Change.model_validate_json(line)
    except ValidationError as error:
        tell("error", error=StackError(message=f"not a change: {error}").as_json())
        return
    try:
        await apply(change, lambda text: tell("progress", line=text))
    except StackError as error:
        tell("error", error=error.as_json())
    else:
        tell("done")


def events(folder: Path, change: Change) -> Iterator[dict[str, Any]]:
    """Ask the stack in `folder` for a change and give its answers as they come.

    Raises OSError when nobody listens.
    """
    with socket.socket(socket.AF_UNIX) as line, _short_path(folder) as path:
        line.connect(path)
        line.sendall(change.model_dump_json().encode() + b"\n")
        with line.makefile("rb") as answers:
            for answer in answers:
                yield json.loads(answer)
