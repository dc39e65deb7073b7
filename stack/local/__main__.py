"""The process behind one stack: `python -m stack.local FOLDER REPORT_FD OWNER_PIDFD LOCK_FD`."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from stack.errors import StackError
from stack.local.autoscaler import changes_of
from stack.local.channel import listening
from stack.local.folder import remove_if_orphaned
from stack.local.info import REQUEST, Request
from stack.local.processes import SAID_WHY, become_subreaper
from stack.local.startup import start
from stack.local.supervisor import Supervisor


async def run(folder: Path, report: int, owner: int) -> int:
    """Run the stack until a signal, or the end of its owner, ends it."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if owner >= 0:
        loop.add_reader(owner, stop.set)  # a pidfd: readable once that process is dead
    request = Request.model_validate_json((folder / REQUEST).read_text())
    supervisor = Supervisor(folder, request, report)
    starting = asyncio.create_task(start(supervisor))
    stopping = asyncio.create_task(stop.wait())
    happenings: list[asyncio.Future[Any]] = [starting, stopping, supervisor.failure]
    await asyncio.wait(happenings, return_when=asyncio.FIRST_COMPLETED)
    error: BaseException | None = None
    if starting.done():
        error = _first_cause(starting.exception())
    elif supervisor.failure.done():
        error = supervisor.failure.result()
    if error is None and starting.done():
        async with changes_of(supervisor) as changes, listening(folder, changes.apply):
            supervisor.say("ready")
            await stopping
    elif isinstance(error, StackError):
        supervisor.say("error", error=error.as_json())
    if owner >= 0:
        loop.remove_reader(owner)
    starting.cancel()
    stopping.cancel()
    await asyncio.gather(starting, stopping, return_exceptions=True)
    await supervisor.stop()
    if error is not None and not isinstance(error, StackError):
        raise error
    return 0 if error is None else SAID_WHY


def _first_cause(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main() -> int:
    """Entry point; see the module's docstring."""
    folder, report, owner, lock = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    for descriptor in (report, lock, *([owner] if owner >= 0 else [])):
        os.set_inheritable(descriptor, False)  # the servers must not keep them open
    become_subreaper()
    try:
        return asyncio.run(run(folder, report, owner))
    finally:
        remove_if_orphaned(folder)


if __name__ == "__main__":
    sys.exit(main())
