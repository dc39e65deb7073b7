"""Starting, looking at and stopping local stacks, from any process."""

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

import stack
from stack.errors import (
    DiskFull,
    ForeignFolder,
    PartFailed,
    StackError,
    StackNotRunning,
    StackRunning,
    SupervisorLost,
    UnknownPart,
    UnsupportedSystem,
)
from stack.local import folder as folders
from stack.local import servers
from stack.local.artefacts import default_home, laid_out
from stack.local.info import REQUEST, PartInfo, Request, StackInfo
from stack.local.ports import require_free
from stack.local.processes import last_lines, spawn
from stack.local.spec import StackSpec

APPLICATION = "stack.service.main:create_app"
LOCK_S = 2.0  # somebody who only looks holds the lock for an instant
STOP_S = 40.0

Progress = Callable[[str], None]


def _silent(_line: str) -> None:
    """Ignore progress."""


class RunningStack:
    """A stack that this process owns: it ends with the `with` block, and with this process."""

    def __init__(self, folder: Path, guard_pid: int, reports: int) -> None:
        self.folder = folder
        self._guard = os.pidfd_open(guard_pid)
        self._guard_pid = guard_pid
        self._reports = reports
        self._unread = b""
        self._last: StackInfo | None = None

    @property
    def info(self) -> StackInfo:
        """The stack as it is now; as it last was, once it has ended."""
        try:
            self._last = StackInfo.read(self.folder)
        except FileNotFoundError:
            if self._last is None:
                raise StackNotRunning(folder=str(self.folder)) from None
        return self._last

    def check(self) -> None:
        """Raise PartFailed when a part has died."""
        for part in self.info.parts:
            if part.state == "dead":
                what = f"ended with exit code {part.exit_code}"
                raise PartFailed(part=part.name, what=what, last_lines=part.last_lines)

    def next_failure(self) -> StackError:
        """Wait until a part dies, or the whole stack ends, and say which."""
        for event in self._events():
            if "error" in event:
                return StackError.from_json(event["error"])
        return SupervisorLost(last_lines=[])

    def wait(self, progress: Progress) -> None:
        """Return when the stack has ended; parts that die meanwhile are told to `progress`."""
        for event in self._events():
            if "error" in event:
                progress(str(StackError.from_json(event["error"])))

    def stop(self) -> None:
        """End the stack and wait until nothing is left of it. Harmless when it has ended."""
        if self._guard < 0:
            return
        _end(self._guard, self.folder)
        os.close(self._guard)
        os.close(self._reports)
        self._guard = -1
        with contextlib.suppress(ChildProcessError):  # the caller's own handling has reaped it
            os.waitpid(self._guard_pid, 0)

    def let_go(self) -> None:
        """Own the stack no longer: it was started to live on."""
        os.close(self._guard)
        os.close(self._reports)
        self._guard = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _events(self) -> Iterator[dict[str, Any]]:
        while True:
            while b"\n" in self._unread:
                line, self._unread = self._unread.split(b"\n", 1)
                yield json.loads(line)
            received = os.read(self._reports, 65_536)
            if not received:
                return
            self._unread += received

    def _until_ready(self, progress: Progress) -> None:
        for event in self._events():
            if event["event"] == "progress":
                progress(event["line"])
            elif event["event"] == "ready":
                assert self.info.state == "ready"
                return
            elif "error" in event:
                raise StackError.from_json(event["error"])
        raise SupervisorLost(last_lines=[])  # somebody has stopped it, or killed its guard


def start(
    spec: StackSpec,
    folder: Path | None = None,
    *,
    progress: Progress = _silent,
    elasticsearch_home: Path | None = None,
    application: str = APPLICATION,
) -> RunningStack:
    """Start a stack that ends with this process, and wait until all its parts are ready.

    `folder` (default `.headroom/stacks/NAME`) holds everything of the stack and is removed with
    it. Raises a StackError, after which nothing is left.
    """
    return _start(
        spec,
        folder,
        progress=progress,
        elasticsearch_home=elasticsearch_home,
        application=application,
        owner_pid=os.getpid(),
    )


def start_detached(
    spec: StackSpec,
    folder: Path | None = None,
    *,
    progress: Progress = _silent,
    elasticsearch_home: Path | None = None,
    application: str = APPLICATION,
) -> StackInfo:
    """Start a stack that lives on until `stop(folder)`, and wait until all its parts are ready."""
    running = _start(
        spec,
        folder,
        progress=progress,
        elasticsearch_home=elasticsearch_home,
        application=application,
        owner_pid=None,
    )
    info = running.info
    running.let_go()
    return info


def _start(
    spec: StackSpec,
    folder: Path | None,
    *,
    progress: Progress,
    elasticsearch_home: Path | None,
    application: str,
    owner_pid: int | None,
) -> RunningStack:
    folder = (folder or folders.stack_folder(spec.name)).absolute()
    home = (elasticsearch_home or default_home()).absolute()
    _check_machine(spec, folder, home)
    lock = _claim(spec.name, folder)
    reports, report = os.pipe()
    request = Request(
        spec=spec, elasticsearch_home=home, application=application, owner_pid=owner_pid
    )
    try:
        folders.empty(folder)
        (folder / REQUEST).write_text(request.model_dump_json())
        root = str(Path(stack.__file__).parent.parent)
        guard_pid = spawn(
            [
                *(sys.executable, "-m", "stack.local.guard"),
                *(str(folder), str(report), str(lock), str(owner_pid or 0)),
            ],
            environment={**os.environ, "PYTHONPATH": root},
            log=folder / "logs" / "supervisor.log",
            death_signal=None,
            keep=(report, lock),
        )
    except BaseException:
        folders.remove(folder)
        os.close(reports)
        raise
    finally:
        os.close(report)
        os.close(lock)
    running = RunningStack(folder, guard_pid, reports)
    try:
        running._until_ready(progress)
    except BaseException:  # Ctrl-C too: what was started must not stay
        running.stop()
        raise
    return running


def _check_machine(spec: StackSpec, folder: Path, elasticsearch_home: Path) -> None:
    """Raise what the user can mend, before anything is started."""
    if sys.platform != "linux":
        raise UnsupportedSystem(system=sys.platform)
    servers.check_libraries(servers.NGINX)
    servers.check_libraries(servers.MONGOD)
    if spec.cache_memory_mib:
        servers.check_libraries(servers.REDIS)
    if spec.search_engine == "elasticsearch":
        laid_out(elasticsearch_home)
    if spec.http_port:
        require_free(spec.http_port)
    require_room(folder, spec.needed_disk_mib)


def require_room(folder: Path, needed_mib: int) -> None:
    """Raise DiskFull unless `needed_mib` are free where `folder` is, or is going to be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free_mib = shutil.disk_usage(there).free // 2**20
    if free_mib < needed_mib:
        raise DiskFull(folder=str(folder), free_mib=free_mib, needed_mib=needed_mib)


def _claim(name: str, folder: Path) -> int:
    deadline = time.monotonic() + LOCK_S
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        lock = folders.lock(folder)
        if lock is not None:
            if any(folder.iterdir()) and not (folder / REQUEST).exists():
                os.close(lock)
                raise ForeignFolder(folder=str(folder))
            return lock
        if time.monotonic() > deadline:
            raise StackRunning(name=name, folder=str(folder))
        time.sleep(0.05)


def status(folder: Path) -> StackInfo:
    """The stack in `folder` as it is now; StackNotRunning when there is none."""
    folder = folder.absolute()
    if folders.is_locked(folder):
        try:
            return StackInfo.read(folder)
        except FileNotFoundError:
            pass  # in its first or last instant
    raise StackNotRunning(folder=str(folder))


def stop(folder: Path) -> None:
    """End the stack in `folder` and wait until nothing is left of it.

    Leftovers of a stack that was killed with its guard are removed. StackNotRunning when there is
    nothing at all.
    """
    folder = folder.absolute()
    try:
        info = status(folder)
    except StackNotRunning:
        if (folder / REQUEST).exists() and not folders.is_locked(folder):
            folders.remove(folder)
            return
        raise
    for pid in (info.guard_pid, info.supervisor_pid):  # the second lives on when the first is dead
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            process = os.pidfd_open(pid)
            try:
                if "stack.local" in " ".join(psutil.Process(pid).cmdline()):
                    _end(process, folder)
            finally:
                os.close(process)
            with contextlib.suppress(ChildProcessError):  # ours, if this process has started it
                os.waitpid(pid, os.WNOHANG)


def _end(process: int, folder: Path) -> None:
    """SIGTERM the guard (or supervisor) behind a pidfd, and wait; SIGKILL when that is in vain."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, number)
            if number == signal.SIGKILL:
                os.kill(StackInfo.read(folder).supervisor_pid, number)
        if select.select([process], [], [], STOP_S)[0]:
            break
    folders.remove(folder)


def logs(folder: Path, part: str | None = None, lines: int = 50) -> dict[str, tuple[str, ...]]:
    """The last lines of the log of one part, or of each; the supervisor's is among them."""
    info = status(folder)
    paths = {known.name: known.log for known in info.parts}
    paths["supervisor"] = info.folder / "logs" / "supervisor.log"
    if part is not None and part not in paths:
        raise UnknownPart(part=part, parts=list(paths))
    wanted = paths if part is None else {part: paths[part]}
    return {name: last_lines(path, lines) for name, path in wanted.items()}


def kill_part(folder: Path, part: str, number: signal.Signals = signal.SIGKILL) -> PartInfo:
    """Signal one part (default: kill it), as an experiment; what it was before."""
    info = status(folder)
    try:
        found = info.part(part)
    except KeyError:
        raise UnknownPart(part=part, parts=[known.name for known in info.parts]) from None
    if found.state == "ready" and found.pid is not None:
        os.kill(found.pid, number)
    return found
