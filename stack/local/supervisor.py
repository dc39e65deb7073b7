"""Whoever owns all servers of one stack: starts, watches, reports and ends them.

A part that dies is reported and not restarted: this is a measuring instrument, and a silent
restart would hide the very failure that somebody wants to see.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from stack.errors import DiskFull, PartFailed, PortInUse
from stack.infra.nginx import Tls
from stack.load.priority import run_in_real_time, run_promptly
from stack.local import parts as rooms
from stack.local.info import PartInfo, Request, StackInfo
from stack.local.parts import Layout, Part
from stack.local.ports import free_port, listens
from stack.local.processes import (
    Children,
    end_of,
    last_lines,
    signal_group,
    spawn,
    tell,
)
from stack.local.readiness import until

PORT_TRIES = 5
SAY_EVERY_S = 5.0
STOP_S = 5.0  # a part that has not ended so long after SIGTERM gets SIGKILL
# Parts of an emulation that need little CPU and must not be late for it.
PUNCTUAL = frozenset({"gates", "api", "redis", "nginx"})
# In this order, so that nothing loses what it depends on while it still serves.
# Their data goes with the folder, and a mongod takes a second to say goodbye to it.
KILLED = frozenset({"redis", "mongo", "queue"})
STOP_ORDER = (
    ("nginx",),
    ("api", "indexer", "worker"),
    ("events",),
    ("gates", "redis", "mongo", "elasticsearch", "queue"),
)


class Supervisor:
    """One stack. Lives in one event loop, on the main thread."""

    def __init__(self, folder: Path, request: Request, report: int) -> None:
        self.spec = request.spec
        self.request = request
        self.layout = Layout(folder)
        self.children = Children()
        self.failure: asyncio.Future[PartFailed] = asyncio.get_running_loop().create_future()
        self.parts: dict[str, Part] = {}  # how each was started, to start it again
        self.leaving: dict[int, asyncio.Future[int]] = {}  # processes that are no part any more
        self.tls: Tls | None = None
        self._exits: dict[str, asyncio.Future[int]] = {}
        self._report = report
        self.info = StackInfo(
            name=self.spec.name,
            state="starting",
            spec=self.spec,
            folder=folder,
            guard_pid=os.getppid(),
            supervisor_pid=os.getpid(),
            owner_pid=request.owner_pid,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            admin_password=secrets.token_urlsafe(18),
            jwt_secret=secrets.token_urlsafe(48),
            access_log=self.layout.access_log,
            parts=tuple(rooms.planned_parts(self.spec, self.layout)),
        )
        self.info.write()

    # --- telling

    def say(self, event: str, **values: Any) -> None:
        """Send one event to whoever started the stack, if they still listen."""
        tell(self._report, event, **values)

    def note(self, **values: Any) -> None:
        """Change what is told of the stack, at once for all who read it."""
        self.info = self.info.model_copy(update=values)
        self.info.write()

    def _set_part(self, name: str, **values: Any) -> None:
        self.note(parts=self._parts_with(name, **values))

    def _parts_with(self, name: str, **values: Any) -> tuple[PartInfo, ...]:
        return tuple(
            part.model_copy(update=values) if part.name == name else part
            for part in self.info.parts
        )

    # --- starting

    def api_part(self, number: int) -> Part:
        """API replica `number`, from 1, as this stack runs it."""
        return rooms.api_part(number, self.info.service_environment(), self.request.application)

    def nginx_part(self, api_ports: list[int]) -> Part:
        """The load balancer of replicas on these ports."""
        return rooms.nginx_part(self.spec, self.layout, api_ports, self.tls)

    async def bring_up(self, part: Part) -> int:
        """Start one part and wait for its gate; the port it listens on (0 for none)."""
        self.parts[part.name] = part
        for _ in range(PORT_TRIES):
            port = (part.port or free_port()) if part.listens else 0
            began, log = time.monotonic(), self.layout.log(part.name)
            told = log.stat().st_size if log.exists() else 0  # by an earlier try
            pid, exited = self._spawn(part, port)
            outcome = await self._gated(part, port, pid, exited)
            if outcome == "ready":
                started_s = round(time.monotonic() - began, 2)
                self._set_part(part.name, state="ready", waits_for=None, started_s=started_s)
                if self.spec.emulation is not None and part.kind in PUNCTUAL:
                    make_punctual(pid)
                self.say("progress", line=f"{part.name} is ready after {started_s:.1f} s")
                exited.add_done_callback(lambda ended: self._ended(part.name, ended))
                return port
            lines, said = last_lines(log), end_of(log, since=told).lower()
            if outcome == "late":
                what = f"was not ready after {part.timeout_s:g} s, waiting for {part.waits_for}"
                raise PartFailed(part=part.name, what=what, last_lines=lines)
            if "no space left on device" in said:
                raise self._disk_full()
            if "address already in use" not in said:
                what = f"ended with {_ending(exited.result())} before it was ready"
                raise PartFailed(part=part.name, what=what, last_lines=lines)
            if part.port:
                raise PortInUse(port=part.port, holder=None)
        raise PartFailed(part=part.name, what="found no free port", last_lines=lines)

    def _disk_full(self) -> DiskFull:
        free_mib = shutil.disk_usage(self.info.folder).free // 2**20
        return DiskFull(
            folder=str(self.info.folder), free_mib=free_mib, needed_mib=self.spec.needed_disk_mib
        )

    def _spawn(self, part: Part, port: int) -> tuple[int, "asyncio.Future[int]"]:
        pid = spawn(
            part.command(port),
            environment={**self.layout.base_environment(), **part.environment},
            log=self.layout.log(part.name),
            death_signal=part.death_signal,
        )
        exited = self._exits[part.name] = self.children.watch(pid)
        if self.spec.emulation is not None:
            with contextlib.suppress(ProcessLookupError):  # that it ended is told by `exited`
                run_promptly(pid)  # a part of an emulation keeps to a timetable
        self._set_part(
            part.name,
            state="starting",
            pid=pid,
            port=port or None,
            url=part.url(port) if part.url else None,
            waits_for=part.waits_for,
        )
        return pid, exited

    async def _gated(self, part: Part, port: int, pid: int, exited: "asyncio.Future[int]") -> str:
        async def ready() -> bool:
            return await part.gate(port) and (not part.listens or listens(pid, port))

        gate = asyncio.create_task(until(ready))
        waited_s = 0.0
        try:
            while waited_s < part.timeout_s:
                both: list[asyncio.Future[Any]] = [gate, exited]
                done, _ = await asyncio.wait(
                    both, timeout=SAY_EVERY_S, return_when=asyncio.FIRST_COMPLETED
                )
                if exited in done:
                    return "ended"
                if gate in done:
                    gate.result()
                    return "ready"
                waited_s += SAY_EVERY_S
                self.say("progress", line=f"{part.name} waits for {part.waits_for}")
            return "late"
        finally:
            gate.cancel()

    # --- watching and ending

    def _ended(self, name: str, exited: "asyncio.Future[int]") -> None:
        if self.info.state != "stopping" and self._exits.get(name) is exited:
            self._died(name)

    def _died(self, name: str) -> None:
        exit_code = self._exits[name].result()
        part = self.info.part(name)
        assert part.pid is not None
        signal_group(part.pid, signal.SIGKILL)  # what it forked must not serve on without it
        lines = last_lines(part.log)
        dead = {"state": "dead", "exit_code": exit_code, "last_lines": lines, "waits_for": None}
        # In one write: whoever sees the part dead sees the stack degraded.
        state = "degraded" if self.info.state == "ready" else self.info.state
        self.note(parts=self._parts_with(name, **dead), state=state)
        failure = PartFailed(part=name, what=f"ended with {_ending(exit_code)}", last_lines=lines)
        self.say("died", part=name, error=failure.as_json())
        if not self.failure.done():
            self.failure.set_result(failure)

    # --- changing

    def plan(self, part: Part) -> None:
        """Take in a part that is not there yet, after the last of its kind."""
        new = PartInfo(name=part.name, kind=part.kind, log=self.layout.log(part.name))
        places = [place for place, old in enumerate(self.info.parts) if old.kind == part.kind]
        after = max(places) + 1
        self.note(parts=(*self.info.parts[:after], new, *self.info.parts[after:]))

    def hand_over(self, name: str) -> tuple[int, "asyncio.Future[int]"]:
        """The process of a part, which may now end without the part being dead."""
        pid, exited = self.info.part(name).pid, self._exits.pop(name)
        assert pid is not None
        self.leaving[pid] = exited
        return pid, exited

    def take_back(self, part: PartInfo, exited: "asyncio.Future[int]") -> None:
        """Make a process that was handed over the part's own again."""
        assert part.pid is not None
        self.leaving.pop(part.pid, None)
        self._exits[part.name] = exited
        self.note(parts=tuple(part if old.name == part.name else old for old in self.info.parts))
        if exited.done():
            self._died(part.name)
        else:
            exited.add_done_callback(lambda ended: self._ended(part.name, ended))

    def release(self, name: str) -> tuple[int, "asyncio.Future[int]"]:
        """As `hand_over`, and the stack has the part no longer."""
        process = self.hand_over(name)
        del self.parts[name]
        self.note(parts=tuple(part for part in self.info.parts if part.name != name))
        return process

    def set_replicas(self, count: int) -> None:
        """Note how many API replicas are meant to be."""
        self.spec = self.spec.model_copy(update={"api_replicas": count})
        self.note(spec=self.spec)
        self.judge()

    def judge(self) -> None:
        """Note that the stack is ready, or lacks a part."""
        complete = all(part.state == "ready" for part in self.info.parts)
        self.note(state="ready" if complete else "degraded")

    async def stop(self) -> None:
        """End all parts, the front ones first; SIGKILL for those that take too long."""
        self.note(state="stopping")
        for pid in self.leaving:
            signal_group(pid, signal.SIGKILL)
        for kinds in STOP_ORDER:
            alive = {
                part.name: part.pid
                for part in self.info.parts
                if part.kind in kinds and part.pid and self._runs(part.name)
            }
            if not alive:
                continue
            for name, pid in alive.items():
                gentle = self.info.part(name).kind not in KILLED
                os.kill(pid, signal.SIGTERM if gentle else signal.SIGKILL)
            await asyncio.wait([self._exits[name] for name in alive], timeout=STOP_S)
            for pid in alive.values():
                signal_group(pid, signal.SIGKILL)
            await asyncio.wait([self._exits[name] for name in alive])
            for name in alive:
                self._set_part(name, state="stopped")

    def _runs(self, name: str) -> bool:
        return name in self._exits and not self._exits[name].done()


def _ending(exit_code: int) -> str:
    if exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"


def make_punctual(pid: int) -> None:
    """Let a part's processes run in real time, where that is allowed."""
    with contextlib.suppress(psutil.NoSuchProcess):  # that it ended is told by its exit
        for process in (psutil.Process(pid), *psutil.Process(pid).children()):
            run_in_real_time(process.pid)
