"""Starting, watching and ending the servers that one supervisor owns."""

import asyncio
import contextlib
import ctypes
import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

import psutil

PR_SET_CHILD_SUBREAPER = 36
# Exit code of a supervisor that has told its owner what failed; Python's own 1 is a bug of ours.
SAID_WHY = 3
LAUNCHER = Path(__file__).with_name("launch.py")


def become_subreaper() -> None:
    """Let orphans among our descendants come to us instead of init, so that we can end them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def spawn(
    command: list[str],
    *,
    environment: dict[str, str],
    log: Path,
    death_signal: signal.Signals | None = signal.SIGKILL,
    keep: tuple[int, ...] = (),
) -> int:
    """Start `command` in a session of its own and return its pid.

    It gets `death_signal` from the kernel when this process dies, whatever kills it; None: it lives
    on. Call it from the main thread: the kernel means the thread that forked. `keep` are
    descriptors handed down.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if death_signal is not None:
        parent, number = str(os.getpid()), str(int(death_signal))
        command = [sys.executable, "-I", "-S", str(LAUNCHER), parent, number, *command]
    for descriptor in keep:
        os.set_inheritable(descriptor, True)
    try:
        return os.posix_spawn(
            command[0],
            command,
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP],
        )
    finally:
        for descriptor in keep:
            os.set_inheritable(descriptor, False)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a process that `spawn` started, and all that it forked; one that is gone is fine."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        # macOS and some sandboxes answer so for a group of zombies
        pass


def end_descendants() -> None:
    """SIGKILL everything below this process and wait until the kernel has forgotten it.

    As a subreaper this process inherits the orphans, so the wait ends only when none is left.
    """
    while True:
        for process in psutil.Process().children(recursive=True):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


class Children:
    """The children of this process, reaped as they end. Belongs to one event loop."""

    def __init__(self) -> None:
        self._exits: dict[int, asyncio.Future[int]] = {}
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def watch(self, pid: int) -> "asyncio.Future[int]":
        """A future of the exit code of `pid`; negative: the signal that ended it."""
        self._exits[pid] = asyncio.get_running_loop().create_future()
        self._reap()  # it may have ended before we watched, its signal already handled
        return self._exits[pid]

    def _reap(self) -> None:
        # All of them, adopted orphans too. This runs in the event loop, never between `spawn` and
        # `watch`, so that no exit code comes before somebody waits for it.
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            exited = self._exits.get(pid)
            if exited is not None and not exited.done():
                exited.set_result(os.waitstatus_to_exitcode(status))


def tell(report: int, event: str, **values: Any) -> None:
    """Send one event to whoever started the stack, if they still listen.

    One for which the pipe has no room is dropped: an owner who does not read must not stop the
    stack, and `stack.json` tells the same. What was begun is ended before the next one.
    """
    os.set_blocking(report, False)
    begun = _begun.pop(report, b"")
    line = (json.dumps({"event": event, **values}) + "\n").encode()
    with contextlib.suppress(BrokenPipeError):
        for text in (begun, line):
            left = text[_written(report, text) :]
            if left and (text is begun or len(left) < len(text)):
                _begun[report] = left
            if left:
                return


_begun: dict[int, bytes] = {}  # the rest of an event, by pipe
READS_WITHIN_S = 0.2  # an owner who reads at all


def _written(report: int, text: bytes) -> int:
    """How much of it the pipe took; waits for a reader only in the middle of a text."""
    done = 0
    while done < len(text):
        try:
            done += os.write(report, text[done:])
        except BlockingIOError:
            if not done or not select.select((), (report,), (), READS_WITHIN_S)[1]:
                break
    return done


def last_lines(log: Path, count: int = 20) -> tuple[str, ...]:
    """The end of a log file; nothing when there is no such file."""
    return tuple(end_of(log).splitlines()[-count:])


def end_of(log: Path, *, since: int = 0) -> str:
    """The last 64 KiB of a log file, and nothing of its first `since` bytes."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(since, file.tell() - 64 * 1024))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
