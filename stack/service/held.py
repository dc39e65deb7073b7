"""The way of one request through the emulated machines.

    async with held("mongo"):
        …the real call…

holds the request at the machine for the demand of this visit, with the real call inside. Without an
emulation, and for requests that are not emulated, it does nothing.
"""

import asyncio
import math
import re
from collections.abc import Sequence
from contextvars import ContextVar
from time import monotonic
from types import TracebackType
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stack.gates.addressed import identity_of, operation_of
from stack.gates.client import NodeClient
from stack.gates.emulation import Component, EmulatedStack, Identity
from stack.gates.settling import GRACE_S, SETTLE_S, Settling, sleep_until
from stack.gates.shared import SharedGate
from stack.gates.virtual import Booking, Gate
from stack.infra.faults import FaultsFile
from stack.infra.operations import Operation
from stack.service.trace import current_trace

BEHIND_S = 1e-6  # who waited for another's read comes after that one
_ID, _DUE, _ATTEMPT = b"x-request-id", b"x-due", b"x-attempt"
_LEFT = b"x-left"
_TOLD = frozenset({_ID, _DUE, _ATTEMPT})
_TIME = re.compile(r"\d{1,12}\.\d{1,9}", re.ASCII)


class PrimaryKnowing(Protocol):
    """What the gates need of the database's client: who is primary."""

    @property
    async def primary(self) -> tuple[str, int] | None:
        """Host and port of the primary; None while there is none."""


class Emulated:
    """One replica as an emulated machine, and its way to the machines that all replicas share."""

    def __init__(
        self,
        stack: EmulatedStack,
        replica: str,
        registry: CollectorRegistry,
        faults: FaultsFile | None = None,
    ) -> None:
        self.emulation = stack.emulation
        self._faults = faults or FaultsFile(None)
        self.database: PrimaryKnowing | None = None
        self._replica = replica
        self._members = stack.mongo_members
        machine = stack.emulation.machines.get("api")
        self._settling = Settling()
        self._own: Gate | SharedGate | None = None
        if machine is not None and machine.discipline == "ps":
            self._own = SharedGate(machine.slots, self._settling)
        elif machine is not None:
            self._own = Gate(machine.slots)
        self._node = NodeClient(stack.node_port)
        self._visits = Counter(
            "headroom_held_visits_total", "Visits held.", ["machine"], registry=registry
        )
        self._held = Counter(
            "headroom_held_seconds_total",
            "Demand of the visits held, in dilated seconds.",
            ["machine"],
            registry=registry,
        )
        self._waited = Counter(
            "headroom_held_wait_seconds_total",
            "Time before a slot was free, in dilated seconds.",
            ["machine"],
            registry=registry,
        )
        self._overruns = Counter(
            "headroom_held_overruns_total",
            "Holds that the real call inside outlasted: their times are not those of the machine.",
            ["machine"],
            registry=registry,
        )
        self.under_way = Gauge(
            "headroom_held_requests",
            "Requests on their way through the machines, those included whose callers have gone.",
            registry=registry,
        )
        self._overrun_s = Counter(
            "headroom_held_overrun_seconds_total",
            "By how long.",
            ["machine"],
            registry=registry,
        )
        own = self._own
        if own is not None:
            # What an autoscaler looks at: up to now, not what is booked ahead.
            Gauge(
                "headroom_machine_busy_seconds",
                "Seconds that all slots of this replica's machine together have been busy.",
                registry=registry,
            ).set_function(lambda: own.busy_s(monotonic()))

    async def book(
        self, component: Component, asked_s: float, demand_s: float, *, secondary: bool
    ) -> tuple[str, Booking]:
        """Book a visit that arrived at `asked_s`: at which machine, and when it is served."""
        demand_s *= self._faults.now().slower.get(component, 1.0)
        if component == "api":
            machine, booking = self._replica, await self._booked_here(asked_s, demand_s)
        else:
            members = await self._asked(component, secondary=secondary)
            machine, booking = await self._node.book(members, asked_s, demand_s)
        self._visits.labels(machine).inc()
        self._held.labels(machine).inc(demand_s)
        self._waited.labels(machine).inc(max(0.0, booking.done_s - asked_s - demand_s))
        return machine, booking

    async def _booked_here(self, asked_s: float, demand_s: float) -> Booking:
        own = self._own
        assert own is not None
        booked: asyncio.Future[Booking] = asyncio.get_running_loop().create_future()

        def told(booking: Booking) -> None:
            if not booked.done():  # its request may have been cancelled
                booked.set_result(booking)

        def book() -> None:
            own.leave(self._faults.now().slots_of(self._replica))
            if isinstance(own, SharedGate):
                own.join(asked_s, demand_s, told)
            else:
                told(own.book(asked_s, demand_s))

        self._settling.put(asked_s + SETTLE_S, book)
        return await booked

    def overran(self, machine: str, by_s: float) -> None:
        """Count a hold that was shorter than the real call inside it."""
        self._overruns.labels(machine).inc()
        self._overrun_s.labels(machine).inc(by_s)

    def preferred(self, servers: Sequence[Any]) -> Sequence[Any]:
        """Of the database members that the driver may ask, the one whose gate holds the request.

        For the driver's `server_selector`; in an emulation the gate chooses the secondary.
        """
        chosen = _member.get()
        if chosen is None:
            return servers
        found = [s for s in servers if self._members.get("{}:{}".format(*s.address)) == chosen]
        return found or servers

    async def close(self) -> None:
        """Hang up."""
        await self._node.close()

    async def _asked(self, component: Component, *, secondary: bool) -> list[str]:
        """The machines that may serve a visit."""
        if component != "mongo":
            return [component]
        assert self.database is not None
        members = list(self._members.values())
        address = await self.database.primary
        primary = members[0] if address is None else self._members["{}:{}".format(*address)]
        others = [member for member in members if member != primary]
        return others if secondary and others else [primary]


class Visits:
    """One request's visits so far, counted by component as the routes number them."""

    __slots__ = ("_counts", "_left_s", "emulated", "identity", "operation")

    def __init__(
        self, emulated: Emulated, operation: Operation, identity: Identity, due_s: float | None
    ) -> None:
        self.emulated = emulated
        self.operation = operation
        self.identity = identity
        self._counts: dict[str, int] = {}
        self._left_s = due_s

    def arrival_s(self, late_s: float = GRACE_S) -> float:
        """When the request arrives at its next machine by its own clock: as it left the last one.

        At the first machine that is when it was due, where its sender told. Unless that is longer
        ago than `late_s`.
        """
        now_s = monotonic()
        if self._left_s is None:
            return now_s
        return max(now_s - late_s, min(self._left_s, now_s + GRACE_S))

    async def beat(self) -> None:
        """Wait for the beat at which the answer leaves, where answers have one."""
        beat_s = self.emulated.emulation.beat_s
        if beat_s and self._left_s is not None:
            self._left_s = math.ceil(self._left_s / beat_s) * beat_s
            await sleep_until(self._left_s)

    def told(self, start: Message) -> Message:
        """The beginning of an answer, with when it leaves by its own clock: users think by it."""
        if self._left_s is None:
            return start
        return {**start, "headers": [*start["headers"], (_LEFT, b"%.6f" % self._left_s)]}

    def now_s(self) -> float:
        """What the request's own clock shows: when it leaves the machine it is at, or left one."""
        return monotonic() if self._left_s is None else self._left_s

    def leaves(self, at_s: float) -> None:
        """Note when the request leaves a machine by its own clock."""
        self._left_s = at_s

    def follows(self, leader: "Visits") -> None:
        """Go on when another's read is stored by that one's clock, and after it."""
        if leader._left_s is not None:
            self._left_s = leader._left_s + BEHIND_S

    def next_demand_s(self, component: Component) -> float | None:
        """The demand of the next visit to a component; None when the route has no further one."""
        number = self._counts.get(component, 0)
        self._counts[component] = number + 1
        trace = current_trace()
        # Who waited for another's read goes on as after a hit.
        outcome = "hit" if trace.coalesced else trace.outcome
        return self.emulated.emulation.demand_s(
            self.operation, outcome, component, number, self.identity
        )


def job_to_hold() -> dict[str, float] | None:
    """What a job of the running task's request holds a worker for, and from when on.

    None where it is not emulated, or leaves no job behind whose demand is known.
    """
    visits = _current.get()
    if visits is None:
        return None
    demand_s = visits.emulated.emulation.job_demand_s(visits.operation, visits.identity)
    return None if demand_s is None else {"asked_s": visits.now_s(), "demand_s": demand_s}


_current: ContextVar[Visits | None] = ContextVar("visits", default=None)
_member: ContextVar[str | None] = ContextVar("member", default=None)


def current_visits() -> Visits | None:
    """The visits of the request that the running task serves; None where it is not emulated."""
    return _current.get()


def go_on_after(leader: Visits | None) -> None:
    """The running task's request waited for a read of this one's, which is there now."""
    visits = _current.get()
    if visits is not None and leader is not None:
        visits.follows(leader)


class Held:
    """A stay at one machine."""

    __slots__ = ("_booking", "_component", "_machine", "_secondary", "_token", "_visits")

    def __init__(self, visits: Visits, component: Component, *, secondary: bool) -> None:
        self._visits = visits
        self._component = component
        self._secondary = secondary
        self._booking: Booking | None = None
        self._machine = ""
        self._token: Any = None

    async def __aenter__(self) -> None:
        demand_s = self._visits.next_demand_s(self._component)
        if demand_s is None:
            return
        emulated = self._visits.emulated
        arrival_s = self._visits.arrival_s(emulated.emulation.late_s(self._component))
        self._machine, self._booking = await emulated.book(
            self._component, arrival_s, demand_s, secondary=self._secondary
        )
        self._visits.leaves(self._booking.done_s)
        if self._component == "mongo" and self._secondary:
            self._token = _member.set(self._machine)
        lead_s = emulated.emulation.machines[self._component].lead_s
        begin_s = self._booking.start_s
        if lead_s is not None:
            begin_s = max(begin_s, self._booking.done_s - lead_s)
        await sleep_until(begin_s)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is not None:
            _member.reset(self._token)
        if self._booking is None or (error is not None and not isinstance(error, Exception)):
            return
        late_s = monotonic() - self._booking.done_s
        emulated = self._visits.emulated
        # Up to there the request's own clock does not see it.
        if late_s > GRACE_S + emulated.emulation.told_s(self._component):
            emulated.overran(self._machine, late_s)
        await sleep_until(self._booking.done_s)


class _Open:
    """No gate at all."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


_OPEN = _Open()


def held(component: Component, *, secondary: bool = False) -> Held | _Open:
    """Hold the request that the running task serves at a machine, with the block inside.

    `secondary`: at a database, a member that is not the primary.
    """
    visits = _current.get()
    return _OPEN if visits is None else Held(visits, component, secondary=secondary)


class Gated:
    """ASGI middleware: the replica's own machine, before the request is looked at and after.

    It stands outside of everything else, as the machine does; what the service itself tells of a
    request's time is without these two stays.
    """

    def __init__(self, app: ASGIApp, emulated: Emulated) -> None:
        self._app = app
        self._emulated = emulated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        visits = self._visits(scope) if scope["type"] == "http" else None
        if visits is None:
            await self._app(scope, receive, send)
            return
        token = _current.set(visits)
        self._emulated.under_way.inc()

        async def send_held(message: Message) -> None:
            if message["type"] == "http.response.start":
                async with Held(visits, "api", secondary=False):
                    pass
                await visits.beat()
                message = visits.told(message)
            await send(message)

        try:
            async with Held(visits, "api", secondary=False):
                pass
            await self._app(scope, receive, send_held)
        finally:
            self._emulated.under_way.dec()
            _current.reset(token)

    def _visits(self, scope: Scope) -> Visits | None:
        operation = operation_of(scope["method"], scope["path"])
        told = {name: text.decode("latin-1") for name, text in scope["headers"] if name in _TOLD}
        identity = identity_of(told.get(_ID, ""), told.get(_ATTEMPT, ""))
        if operation is None or identity is None:
            return None
        return Visits(self._emulated, operation, identity, due_s(told.get(_DUE, "")))


def due_s(text: str) -> float | None:
    """When a request is due, as its header tells; None for what is no time."""
    return float(text) if _TIME.fullmatch(text) else None
