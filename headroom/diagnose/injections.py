"""Faults to be found: what is switched on for one cell, and what a diagnosis should call it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from headroom.diagnose.records import Kind
from headroom.live import empty_cache
from stack.infra.faults import NOTHING, Faults
from stack.load.generator import Progress
from stack.load.run import MAX_IN_FLIGHT
from stack.local import StackInfo, scale, status
from stack.local.faults import cpu_hog, lose_index, restore_indexes, switch, unbalance

During = Callable[[Progress], None]
HOG_S = 55.0  # longer than a cell with all that belongs to it


@dataclass(frozen=True)
class Injection:
    """One fault, or none, and its right name.

    Args:
        name: unique; of the cell, too.
        kind, component: what a diagnosis should say.
        faults: of replicas and gates.
        weights: of replicas at the balancer; `retries_503`: it asks another after a 503.
        replicas_less: taken out of the stack.
        index_lost: whether a list has no index.
        emptied_after: of the cell's time the part after which the cache is emptied; None: never.
        hogs: processes beside the stack that keep a core busy each.
        max_in_flight: that the generator may have on their way.
    """

    name: str
    kind: Kind
    component: str = ""
    faults: Faults = NOTHING
    weights: Mapping[str, int] = field(default_factory=dict)
    retries_503: bool = False
    replicas_less: int = 0
    index_lost: bool = False
    emptied_after: float | None = None
    hogs: int = 0
    max_in_flight: int = MAX_IN_FLIGHT

    @property
    def says(self) -> str:
        """What is switched on, in words."""
        told = self.faults.model_dump(exclude_defaults=True)
        parts = [f"`{name}={value}`" for name, value in told.items()]
        parts += [f"balancer: {name} has weight {weight}" for name, weight in self.weights.items()]
        for is_on, words in (
            (self.retries_503, "the balancer asks another replica after a 503"),
            (self.replicas_less, f"{self.replicas_less} replica fewer than the scenario has"),
            (self.index_lost, "the index of a list is dropped"),
            (self.emptied_after, "the cache is emptied in the middle of the run"),
            (self.hogs, f"{self.hogs} processes that spin with the generator's priority"),
            (self.max_in_flight < MAX_IN_FLIGHT, f"{self.max_in_flight} requests on their way"),
        ):
            if is_on:
                parts.append(words)
        return ", ".join(parts)

    def during(self, info: StackInfo) -> During | None:
        """What is done while the load is offered."""
        if self.emptied_after is None:
            return None
        part, left = self.emptied_after, [True]

        def empty_once(progress: Progress) -> None:
            if left and progress.elapsed_s >= part * progress.total_s:
                left.clear()
                empty_cache(info)

        return empty_once

    @contextlib.contextmanager
    def switched_on(self, info: StackInfo) -> Iterator[StackInfo]:
        """The stack with the fault; without it again when the block ends."""
        wanted = len(info.parts_of("api"))
        with contextlib.ExitStack() as undo:
            if self.replicas_less:
                undo.callback(scale, info.folder, "api", wanted)
                scale(info.folder, "api", wanted - self.replicas_less)
            if self.weights or self.retries_503:
                undo.callback(unbalance, info, {})
                unbalance(info, self.weights, retries_503=self.retries_503)
            if self.index_lost:
                undo.callback(restore_indexes, info)
                lose_index(info)
            undo.callback(switch, info)
            switch(info, self.faults)
            if self.hogs:
                undo.enter_context(cpu_hog(HOG_S, self.hogs))
            yield status(info.folder)


HEALTHY = Injection("healthy", Kind.NOTHING)
_SLOW, _FEW = Kind.SLOWER_SERVICE, Kind.FEWER_SLOTS


def _slower(component: str, factor: float) -> Injection:
    faults = Faults.model_validate({"slower": {component: factor}})
    return Injection(f"slower-{component}", _SLOW, component, faults)


def _fewer(component: str, slots: int) -> Injection:
    return Injection(f"fewer-slots-{component}", _FEW, component, Faults(slots={component: slots}))


FAULTS = (
    _slower("api", 1.5),
    _slower("mongo", 2.0),
    _slower("redis", 3.0),
    _slower("elasticsearch", 2.0),
    _fewer("api", 1),
    _fewer("mongo", 2),
    _fewer("elasticsearch", 1),
    Injection("replica-missing", Kind.REPLICA_MISSING, "api", replicas_less=1),
    Injection("uneven-balancer", Kind.UNEVEN_BALANCER, "load balancer", weights={"api-1": 0}),
    Injection("cold-cache", Kind.COLD_CACHE, "cache", emptied_after=0.5),
    Injection("shortened-ttl", Kind.SHORTENED_TTL, "cache", Faults(ttl_factor=0.12)),
    Injection("never-filled", Kind.NEVER_FILLED, "cache", Faults(drops_fills=True)),
    Injection("lost-index", Kind.LOST_INDEX, "mongo", index_lost=True),
    Injection("noisy-neighbour", Kind.NOISY_NEIGHBOUR, "host", hogs=3),
    Injection("errors", Kind.ERRORS, "api", Faults(answers={500: 0.05, 503: 0.03})),
    Injection(
        "retry-storm",
        Kind.RETRY_STORM,
        "load balancer",
        Faults(answers={503: 0.15}, after_the_work=True),
        retries_503=True,
    ),
    Injection("generator-limited", Kind.GENERATOR_LIMITED, "load generator", max_in_flight=2),
    Injection("wrong-status", Kind.WRONG_STATUS, "api", Faults(answers={404: 0.04})),
    Injection("slow-hop", Kind.SLOW_HOP, "network", Faults(arrives_later_s=0.05)),
)
