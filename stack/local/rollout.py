"""Changes of a running stack that lose no request.

A replica that goes: out of the load balancer ── its old workers end ──▶ SIGTERM ── it finishes
what it has ──▶ gone. One that comes gets requests once it is ready. So a replacement is first
started, then swapped in, and only then is the old one asked to end: one replica is enough.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import monotonic

import psutil

from stack.errors import PartFailed, StackError
from stack.local.channel import Say
from stack.local.info import Change, PartInfo
from stack.local.processes import last_lines, signal_group
from stack.local.readiness import until
from stack.local.supervisor import Supervisor, make_punctual

RELOAD_S = 15.0
# The longest that nginx waits for a replica, and some more: nothing that it sent is cut off.
DRAIN_S = 35.0


class Rollout:
    """The changes of one supervisor's stack, one at a time."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._stack = supervisor
        self._turn = asyncio.Lock()
        parts = supervisor.info.parts_of("api")
        self.serving = frozenset(part.name for part in parts if part.state == "ready")
        # Told once new requests go to these replicas; and asked before replicas end that are idle.
        self.noticed: Callable[[frozenset[str]], None] = _unnoticed
        self.before_end: Callable[[tuple[PartInfo, ...]], Awaitable[None]] = _at_once

    @property
    def name(self) -> str:
        """Of the stack."""
        return self._stack.info.name

    async def apply(self, change: Change, say: Say) -> None:
        """Carry out one change. Raises StackError; what served before serves on."""
        if self._turn.locked():
            say("waiting for another change to end")
        async with self._turn:
            match change.change:
                case "scale":
                    assert change.count is not None
                    await self._scale(change.count, say)
                case "restart":
                    for part in self._stack.info.parts_of("api"):
                        await self._replace(part, say)
                case "start":
                    assert change.part is not None
                    await self._start(change.part, say)
                case "autoscale":
                    raise AssertionError("an autoscaler's clock is no change of the stack")

    async def grow(self, count: int, serve_s: float, say: Say) -> list[StackError]:
        """Start so many more replicas; they serve from `serve_s` of the monotonic clock on.

        Returns why some did not start; the others serve.
        """
        async with self._turn:
            stack = self._stack
            now = len(stack.info.parts_of("api"))
            numbers = range(now + 1, now + count + 1)
            starts = [self._add(number) for number in numbers]
            ends = await asyncio.gather(*starts, return_exceptions=True)
            failed = [end for end in ends if isinstance(end, BaseException)]
            if len(failed) < count:
                await asyncio.sleep(max(0.0, serve_s - monotonic()))
                await self._balance(say)
                stack.set_replicas(len(stack.info.parts_of("api")))
            for end in failed:
                if not isinstance(end, StackError):
                    raise end
            return [end for end in failed if isinstance(end, StackError)]

    async def shrink(self, count: int, say: Say) -> None:
        """Take the last `count` replicas out; return when they have ended. Raises StackError."""
        async with self._turn:
            await self._scale(len(self._stack.info.parts_of("api")) - count, say)

    # --- what a change consists of

    async def _scale(self, count: int, say: Say) -> None:
        stack = self._stack
        now = stack.info.parts_of("api")
        try:
            for number in range(len(now) + 1, count + 1):
                say(f"starting api-{number}")
                await self._add(number)
        finally:
            if count > len(now):
                await self._balance(say)
        leaving = now[count:]
        if leaving:
            say(f"taking {', '.join(part.name for part in leaving)} out")
            await self._balance(say, without={part.name for part in leaving})
            await self.before_end(leaving)
            processes = [stack.release(part.name) for part in leaving]
            await asyncio.gather(*(self._end(*process) for process in processes))
        stack.set_replicas(len(stack.info.parts_of("api")))

    async def _add(self, number: int) -> None:
        part = self._stack.api_part(number)
        self._stack.plan(part)
        try:
            await self._stack.bring_up(part)
        except StackError:
            pid, exited = self._stack.release(part.name)
            signal_group(pid, signal.SIGKILL)
            await exited
            raise

    async def _replace(self, old: PartInfo, say: Say) -> None:
        """Start a successor of one replica, let it serve, then end the old process."""
        stack = self._stack
        say(f"replacing {old.name}")
        pid, exited = stack.hand_over(old.name)
        try:
            await stack.bring_up(stack.parts[old.name])
        except StackError:
            failed, ended = stack.hand_over(old.name)
            signal_group(failed, signal.SIGKILL)
            await ended
            stack.take_back(old, exited)
            raise
        await self._balance(say)
        await self._end(pid, exited)
        say(f"{old.name} is replaced")

    async def _start(self, name: str, say: Say) -> None:
        stack = self._stack
        known = stack.info.part(name)
        if known.state != "dead":
            say(f"{name} is {known.state} already")
            return
        part = stack.parts[name]
        if part.listens and known.kind != "api":
            part = replace(part, port=known.port)  # the others know it by its address
        await stack.bring_up(part)
        if known.kind == "api":
            await self._balance(say)
        stack.judge()

    async def _end(self, pid: int, exited: "asyncio.Future[int]") -> None:
        if not exited.done():
            os.kill(pid, signal.SIGTERM)
            await asyncio.wait([exited], timeout=DRAIN_S)
        signal_group(pid, signal.SIGKILL)
        await exited
        self._stack.leaving.pop(pid, None)

    # --- the load balancer

    async def _balance(self, say: Say, without: frozenset[str] | set[str] = frozenset()) -> None:
        """Tell nginx which replicas there are; return when no worker knows the old ones."""
        stack = self._stack
        nginx = stack.info.part("nginx")
        serving = {
            part.name: part.port
            for part in stack.info.parts_of("api")
            if part.state == "ready" and part.name not in without and part.port
        }
        names = frozenset(serving)
        part = stack.parts["nginx"] = stack.nginx_part(list(serving.values()))
        if nginx.state != "ready" or nginx.pid is None or nginx.port is None:
            self._serves(names)  # it reads its configuration when it is started
            return
        part.command(nginx.port)  # writes the configuration
        old = _workers(nginx.pid)
        os.kill(nginx.pid, signal.SIGHUP)
        await self._new_workers(nginx, nginx.pid, old)
        self._serves(names)
        await self._old_workers_gone(nginx.pid, old, say)

    def _serves(self, names: frozenset[str]) -> None:
        self.serving = names
        self.noticed(names)

    async def _new_workers(self, nginx: PartInfo, master: int, old: set[int]) -> None:
        async def new_worker() -> bool:
            return bool(_workers(master) - old)

        try:
            await asyncio.wait_for(until(new_worker), RELOAD_S)
        except TimeoutError:
            what = "did not take up its new configuration"
            lines = last_lines(nginx.log)
            raise PartFailed(part="nginx", what=what, last_lines=lines) from None
        if self._stack.spec.emulation is not None:
            make_punctual(master)

    async def _old_workers_gone(self, master: int, old: set[int], say: Say) -> None:
        async def old_workers_gone() -> bool:
            return not _workers(master) & old

        try:
            # Workers on their way out close a client's connection after its next answer. Until
            # then they may send its request to any replica that they know.
            await asyncio.wait_for(until(old_workers_gone), DRAIN_S)
        except TimeoutError:
            say(f"a request has been under way for {DRAIN_S:g} s; going on without it")


def _unnoticed(_serving: frozenset[str]) -> None:
    """Nobody has to know."""


async def _at_once(_leaving: tuple[PartInfo, ...]) -> None:
    """Nothing is asked of them before."""


def _workers(master: int) -> set[int]:
    try:
        return {child.pid for child in psutil.Process(master).children()}
    except psutil.NoSuchProcess:
        return set()
