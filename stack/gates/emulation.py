"""What is emulated, as data: the machines with their slots and what each operation asks of them."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stack.gates.draws import drawn_s
from stack.gates.settling import GRACE_S, SETTLE_S
from stack.infra.operations import Operation

Component = Literal["api", "redis", "mongo", "elasticsearch"]  # that a request itself is held at
AnyMachine = Literal["api", "redis", "mongo", "elasticsearch", "worker"]
Outcome = Literal["hit", "miss", "none"]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Machine(_Data):
    """One emulated machine of a component; every replica or member has its own."""

    slots: Annotated[int, Field(ge=1, le=1024)]
    # One after the other, or all at once, none faster than one slot: for the API alone, in whose
    # holds there is no real work that would have to know its end beforehand.
    discipline: Literal["fifo", "ps"] = "fifo"
    # Real work begins at the start of the hold, or, where its effect should fall where the models
    # put it (at the end: a look-up reads, a fill stores), so long before the end.
    lead_s: Seconds | None = None


class HeldVisit(_Data):
    """One visit of a route: where, its number among the route's visits there, and for how long."""

    component: AnyMachine
    visit: Annotated[int, Field(ge=0, le=1000)]
    quantiles_s: Annotated[tuple[Seconds, ...], Field(min_length=2, max_length=4097)]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.quantiles_s) != sorted(self.quantiles_s):
            raise ValueError("`quantiles_s` must ascend")
        return self


class Emulation(_Data):
    """Machines and demands, in dilated time: all times are real seconds.

    `scale` is what they were stretched by; it is told wherever the stack shows itself. With a
    `beat_s` answers leave at multiples of it by the system's monotonic clock: who is counted as
    gone when the next request comes is then not for late wake-ups to decide.
    """

    scale: Annotated[float, Field(ge=1, le=100_000)]
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0  # of requests that name none
    beat_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    machines: dict[AnyMachine, Machine]
    routes: dict[Operation, dict[Outcome, tuple[HeldVisit, ...]]]
    jobs: dict[Operation, HeldVisit] = Field(default_factory=dict)  # that requests leave behind

    @model_validator(mode="after")
    def _every_visited_machine_is_there(self) -> Self:
        visited = {
            visit.component
            for outcomes in self.routes.values()
            for visits in outcomes.values()
            for visit in visits
        } | {visit.component for visit in self.jobs.values()}
        missing = sorted(visited - self.machines.keys())
        if missing:
            raise ValueError(f"`machines` lacks {', '.join(missing)}, which a route visits")
        shared = sorted(n for n, m in self.machines.items() if m.discipline == "ps" and n != "api")
        if shared:
            raise ValueError(f"`machines.{shared[0]}.discipline` is ps; allowed: fifo (api: ps)")
        return self

    def told_s(self, component: Component) -> float:
        """How long after its end a visit to a machine is told of it.

        Where all are served at once, an end is known only when nobody can have come before it.
        """
        machine = self.machines.get(component)
        return SETTLE_S if machine is not None and machine.discipline == "ps" else 0.0

    def late_s(self, component: Component) -> float:
        """How late a visit to a machine may be told and still have arrived when it was due."""
        return GRACE_S + (0.0 if component == "api" else self.told_s("api"))

    def demand_s(
        self,
        operation: Operation,
        outcome: Outcome,
        component: Component,
        visit: int,
        identity: "Identity",
    ) -> float | None:
        """How long the visit is held; None when the route has no such visit."""
        outcomes = self.routes.get(operation, {})
        # Before its look-up a request is neither hit nor miss; both start alike.
        for held in outcomes.get(outcome) or outcomes.get("hit") or ():
            if held.component == component and held.visit == visit:
                return self._drawn_s(held, identity)
        return None

    def job_demand_s(self, operation: Operation, identity: "Identity") -> float | None:
        """How long a worker is held for what a request leaves behind; None: for nothing."""
        held = self.jobs.get(operation)
        return None if held is None else self._drawn_s(held, identity)

    def _drawn_s(self, held: HeldVisit, identity: "Identity") -> float:
        return drawn_s(
            held.quantiles_s,
            self.seed if identity.seed is None else identity.seed,
            held.component,
            identity.request,
            held.visit,
            attempt=identity.attempt,
        )


class Identity(_Data):
    """Which request this is to the draws."""

    request: Annotated[int, Field(ge=0)]
    seed: int | None
    attempt: Annotated[int, Field(ge=0, le=100)] = 0


class EmulatedStack(_Data):
    """What a replica is told (HEADROOM_EMULATION_FILE): the emulation, and where the others are."""

    emulation: Emulation
    node_port: Annotated[int, Field(ge=1, le=65_535)]  # of the gate process, on 127.0.0.1
    mongo_members: dict[str, str]  # host:port -> member

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file that the supervisor wrote."""
        return cls.model_validate_json(path.read_bytes())
