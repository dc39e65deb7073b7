"""The steps of a route: what one request does, in order. Plain frozen data.

`number_draws` gives every step that draws a random value its visit number, so that a draw is named
by (seed, component, request, visit, attempt) and nothing else.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from sim.draws import Demand
from sim.errors import require


@dataclass(frozen=True)
class Visit:
    """Be served by a station, by a replica of a group, or by a member of a replica set.

    Args:
        target: name of a station, group or replica set.
        demand: service time.
        prefer: in a replica set: the primary, or a secondary (round robin over those alive; the
            primary when none is).
        component: the name under which demands are drawn; default: target.
        visit: number among the visits to the component on this route; set by `number_draws`.
        index: number among all drawing steps of the model; set by `number_draws`.
    """

    target: str
    demand: Demand
    prefer: Literal["primary", "secondary"] = "primary"
    component: str = ""
    visit: int = -1
    index: int = -1


@dataclass(frozen=True)
class Delay:
    """Let time pass outside all queues: network, client, kernel."""

    demand: Demand
    component: str = "delay"
    visit: int = -1
    index: int = -1


@dataclass(frozen=True)
class Beat:
    """Wait until the clock shows a multiple of `every_s`; none when it does.

    What is done in batches or by polling: whatever is ready goes on together at the next beat.
    """

    every_s: float

    def __post_init__(self) -> None:
        require(0 < self.every_s < math.inf, "beat.every_s", self.every_s, "a finite number > 0")

    def next_s(self, now_s: float) -> float:
        """The beat at which who comes at `now_s` goes on, s."""
        return max(now_s, math.ceil(now_s / self.every_s) * self.every_s)


@dataclass(frozen=True)
class Lookup:
    """Ask the cache; go on with the steps of `hit` or of `miss`, then with what follows.

    `variant` separates entries of one key that differ by operation (page by offset, by cursor).
    """

    family: str
    hit: tuple["Step", ...] = ()
    miss: tuple["Step", ...] = ()
    variant: int = 0


@dataclass(frozen=True)
class Fill:
    """Store the key of the request, as of the attempt's last lookup in that family."""

    family: str
    variant: int = 0


@dataclass(frozen=True)
class Invalidate:
    """Clear entries of a family: all of them, or those of one generation group.

    The group is `first_group + x mod modulus`, where x is the request's key or user.
    """

    family: str
    everything: bool = False
    first_group: int = 0
    modulus: int = 1
    by: Literal["key", "user"] = "key"


@dataclass(frozen=True)
class Hold:
    """Take a connection of a pool, do the steps, give it back."""

    pool: str
    steps: tuple["Step", ...]


@dataclass(frozen=True)
class Guard:
    """Do the steps behind a circuit breaker."""

    breaker: str
    steps: tuple["Step", ...]


@dataclass(frozen=True)
class Limit:
    """Pass a rate limit or be shed."""

    limit: str


@dataclass(frozen=True)
class Spawn:
    """Start a job that the request does not wait for, such as work for a queue and its workers."""

    steps: tuple["Step", ...]


@dataclass(frozen=True)
class Replicate:
    """Count a write to the request's key in a replica set and copy it to the other members.

    For each live secondary a job waits for `lag`, then visits it for `apply`; reads of the key from
    that member in between are stale.
    """

    replica_set: str
    lag: Demand
    apply: Demand
    component: str = ""
    visit: int = -1  # of the first member's lag; each member takes two numbers
    index: int = -1


Step: TypeAlias = (
    Visit | Delay | Beat | Lookup | Fill | Invalidate | Hold | Guard | Limit | Spawn | Replicate
)


@dataclass(frozen=True)
class Route:
    """What a request of one operation does."""

    operation: str
    steps: tuple[Step, ...]


class _Numbering:
    """Counts drawing steps over a whole model and visits per component along a route."""

    def __init__(self, members: dict[str, int]) -> None:
        self.members = members
        self.index = 0

    def numbered(self, steps: tuple[Step, ...], seen: dict[str, int]) -> tuple[Step, ...]:
        return tuple(self._numbered(step, seen) for step in steps)

    def _numbered(self, step: Step, seen: dict[str, int]) -> Step:
        if isinstance(step, Visit | Delay | Replicate):
            if isinstance(step, Visit):
                component, draws = step.component or step.target, 1
            elif isinstance(step, Delay):
                component, draws = step.component, 1
            else:
                component = step.component or f"{step.replica_set}:replication"
                draws = 2 * self.members.get(step.replica_set, 1)
            visit = seen.get(component, 0)
            seen[component] = visit + draws
            index = self.index
            self.index += draws
            return replace(step, component=component, visit=visit, index=index)
        if isinstance(step, Lookup):
            on_hit, on_miss = dict(seen), dict(seen)
            hit, miss = self.numbered(step.hit, on_hit), self.numbered(step.miss, on_miss)
            for component in on_hit.keys() | on_miss.keys():
                seen[component] = max(on_hit.get(component, 0), on_miss.get(component, 0))
            return replace(step, hit=hit, miss=miss)
        if isinstance(step, Hold | Guard | Spawn):
            return replace(step, steps=self.numbered(step.steps, seen))
        return step


def number_draws(
    routes: tuple[Route, ...], members: dict[str, int]
) -> tuple[tuple[Route, ...], int]:
    """Routes whose drawing steps carry their visit numbers, and the count of draws.

    Args:
        routes: any routes.
        members: size of each replica set, by name.

    >>> from sim.draws import Demand
    >>> step = Visit("api", Demand(0.1))
    >>> (route,), draws = number_draws((Route("list", (step, step)),), {})
    >>> [s.visit for s in route.steps], draws
    ([0, 1], 2)
    """
    numbering = _Numbering(members)
    numbered = tuple(replace(route, steps=numbering.numbered(route.steps, {})) for route in routes)
    return numbered, numbering.index
