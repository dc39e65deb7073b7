"""The autoscaler of an emulated stack: looks at its API machines, and has replicas come and go.

It sees what a real one sees: how busy each machine was over the last period, from the replica's own
metrics. It acts as `headroom scale` does, so no request is lost. Every look and every change stands
in the stack's folder, one JSON object a line.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Coroutine
from time import monotonic
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from stack.errors import NoAutoscaler, StackError
from stack.local.autoscaler_log import Entry, Event, appended
from stack.local.autoscaling import AutoscalingPolicy, TargetTracking
from stack.local.channel import Say
from stack.local.info import Change, PartInfo
from stack.local.readiness import http_body
from stack.local.rollout import Rollout
from stack.local.supervisor import Supervisor

START_S = 10.0  # of a boot, for the replica's process to be started in; it is ready well before
LOOK_S = 2.0  # a replica that does not tell by then is not looked at
BUSY, VISITS, OVERRUNS = (
    "headroom_machine_busy_seconds",
    "headroom_held_visits_total",
    "headroom_held_overruns_total",
)
_COUNTERS = (BUSY, VISITS, OVERRUNS)


class Autoscaler:
    """Decides once a period, and starts what follows from it."""

    def __init__(self, supervisor: Supervisor, rollout: Rollout, policy: AutoscalingPolicy) -> None:
        self._stack = supervisor
        self._rollout = rollout
        self._policy = policy
        emulation = supervisor.spec.emulation
        assert emulation is not None
        self._slots = emulation.machines["api"].slots
        self._rule = TargetTracking(policy)
        self._from_s = monotonic()  # where its clock began
        self._elapsed_s = 0.0
        self._is_held = False
        self._clock_set = asyncio.Event()
        self._seen: dict[int, dict[str, float]] = {}  # counters by process
        self._sums = dict.fromkeys(_COUNTERS, 0.0)  # of all replicas that ever were
        self._serving = frozenset(rollout.serving)
        self._booting = self._going = 0
        self._changes: set[asyncio.Task[None]] = set()
        rollout.noticed = self._noticed
        rollout.before_end = self._look_at

    async def run(self) -> None:
        """Look and decide until cancelled; changes under way end with it."""
        try:
            while True:
                next_s = self._from_s + self._elapsed_s + self._policy.period_s
                left_s = None if self._is_held else max(0.0, next_s - monotonic())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._clock_set.wait(), left_s)
                    self._clock_set.clear()
                    continue
                self._elapsed_s += self._policy.period_s
                await self._decide()
        finally:
            for change in self._changes:
                change.cancel()
            await asyncio.gather(*self._changes, return_exceptions=True)

    async def set_clock(self, from_s: float | None) -> None:
        """Hold still; or begin anew, with periods from `from_s` of the monotonic clock.

        What was done up to the hold belongs to no period.
        """
        self._is_held = from_s is None
        self._clock_set.set()
        if from_s is None:
            await self._look_at(self._stack.info.parts_of("api"))
            self._rule = TargetTracking(self._policy, self._sums[BUSY])
            wanted = len(self._serving) - self._going + self._booting
            self._tell("held", monotonic() - self._from_s, wanted)
        else:
            self._from_s, self._elapsed_s = from_s, 0.0

    # --- seeing

    async def _decide(self) -> None:
        before = {name: counters[BUSY] for name, counters in self._by_replica().items()}
        await self._look_at(self._stack.info.parts_of("api"))
        if self._is_held:  # meanwhile
            return
        active = len(self._serving) - self._going
        provisioned = active + self._booting
        wanted = self._rule.decided(
            self._elapsed_s,
            self._sums[BUSY],
            slots=active * self._slots,
            active=active,
            provisioned=provisioned,
        )
        whole_s = self._slots * self._policy.period_s
        self._tell(
            "looked",
            self._elapsed_s,
            wanted,
            used_fraction=self._rule.used_fraction,
            utilisation={
                name: (counters[BUSY] - before.get(name, 0.0)) / whole_s
                for name, counters in self._by_replica().items()
            },
        )
        if wanted > provisioned:
            self._booting += wanted - provisioned
            self._start(self._boot(wanted - provisioned, self._elapsed_s + self._policy.boot_s))
        elif wanted < provisioned:
            self._going += provisioned - wanted
            self._start(self._remove(provisioned - wanted))

    def _by_replica(self) -> dict[str, dict[str, float]]:
        parts = self._stack.info.parts_of("api")
        return {part.name: self._seen[part.pid] for part in parts if part.pid in self._seen}

    async def _look_at(self, parts: tuple[PartInfo, ...]) -> None:
        await asyncio.gather(*(self._look(part) for part in parts if part.state == "ready"))

    async def _look(self, part: PartInfo) -> None:
        assert part.pid is not None
        assert part.port is not None
        try:
            text = await asyncio.wait_for(http_body(part.port, "/metrics"), LOOK_S)
        except (OSError, TimeoutError, EOFError, ValueError):
            return  # a dead or deaf replica is nobody's work
        seen = self._seen.setdefault(part.pid, dict.fromkeys(_COUNTERS, 0.0))
        for name, value in _counters(text).items():
            if value > seen[name]:  # else another look was faster
                self._sums[name] += value - seen[name]
                seen[name] = value

    def _noticed(self, serving: frozenset[str]) -> None:
        """From now on requests go to these."""
        self._booting = max(0, self._booting - len(serving - self._serving))
        self._going = max(0, self._going - len(self._serving - serving))
        self._serving = serving
        wanted = len(serving) - self._going + self._booting
        self._tell("serving", monotonic() - self._from_s, wanted)

    def _tell(
        self,
        event: Event,
        at_s: float,
        wanted: int,
        *,
        used_fraction: float = 0.0,
        utilisation: dict[str, float] | None = None,
        says: str = "",
    ) -> None:
        entry = Entry(
            event=event,
            at_s=at_s,
            active=len(self._serving) - self._going,
            wanted=wanted,
            used_fraction=used_fraction,
            utilisation=utilisation or {},
            busy_s=self._sums[BUSY],
            visits=self._sums[VISITS],
            overruns=self._sums[OVERRUNS],
            says=says,
        )
        appended(self._stack.info.folder, entry)

    # --- acting

    def _start(self, change: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(change)
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def _boot(self, count: int, ready_s: float) -> None:
        serve_s = self._from_s + ready_s
        await asyncio.sleep(max(0.0, serve_s - START_S - monotonic()))
        failed = await self._rollout.grow(count, serve_s, _unsaid)
        if failed:
            self._booting = max(0, self._booting - len(failed))
            wanted = len(self._serving) - self._going + self._booting
            says = "; ".join(str(error) for error in failed)
            self._tell("failed", monotonic() - self._from_s, wanted, says=says)

    async def _remove(self, count: int) -> None:
        try:
            await self._rollout.shrink(count, _unsaid)
        except StackError as error:
            self._going = max(0, self._going - count)
            wanted = len(self._serving) + self._booting
            self._tell("failed", monotonic() - self._from_s, wanted, says=str(error))


def _counters(text: str) -> dict[str, float]:
    """The counters that are looked at, summed over the machines."""
    sums = dict.fromkeys(_COUNTERS, 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name in sums:
                sums[sample.name] += sample.value
    return sums


def _unsaid(_line: str) -> None:
    """Nobody listens; the log tells."""


class Changes:
    """All changes of a running stack, those of its autoscaler's clock among them."""

    def __init__(self, rollout: Rollout, autoscaler: Autoscaler | None) -> None:
        self._rollout = rollout
        self._autoscaler = autoscaler

    async def apply(self, change: Change, say: Say) -> None:
        """Carry out one change; raises StackError."""
        if change.change != "autoscale":
            await self._rollout.apply(change, say)
        elif self._autoscaler is None:
            raise NoAutoscaler(name=self._rollout.name)
        else:
            await self._autoscaler.set_clock(change.from_s)


@contextlib.asynccontextmanager
async def changes_of(supervisor: Supervisor) -> AsyncIterator[Changes]:
    """The changes of a stack that has started; while the block runs, its autoscaler works."""
    rollout = Rollout(supervisor)
    policy = supervisor.spec.autoscaling
    if policy is None:
        yield Changes(rollout, None)
        return
    autoscaler = Autoscaler(supervisor, rollout, policy)
    work = asyncio.create_task(autoscaler.run())
    work.add_done_callback(_ended)
    try:
        yield Changes(rollout, autoscaler)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


def _ended(work: "asyncio.Task[None]") -> None:
    if not work.cancelled() and work.exception() is not None:
        print(f"the autoscaler has ended: {work.exception()!r}", file=sys.stderr)  # noqa: T201
