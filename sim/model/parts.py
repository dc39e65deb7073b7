"""The parts of a modelled stack: what has slots, cores, memory or a policy. Plain frozen data.

Every part checks its own numbers; `StackModel` checks the names by which parts refer to each other.
"""

import math
from dataclasses import dataclass
from typing import Literal

from sim.errors import require

Balancing = Literal["round_robin", "least_connections", "power_of_two"]
Discipline = Literal["fifo", "ps"]
Scope = Literal["user", "all"]
BALANCINGS = ("round_robin", "least_connections", "power_of_two")
MAX_SLOTS = 1_000_000


def _count(path: str, value: int, low: int = 1, high: int = MAX_SLOTS) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    require(whole and low <= value <= high, path, value, f"an integer in {low}..{high}")


def _positive(path: str, value: float) -> None:
    require(0 < value < math.inf, path, value, "a finite number > 0")


def _non_negative(path: str, value: float) -> None:
    require(0 <= value < math.inf, path, value, "a finite number >= 0")


@dataclass(frozen=True)
class Host:
    """A machine whose cores several stations share.

    Args:
        name: unique among stations and hosts.
        cores: how many visits can run at once.
        background_fraction: share of every core that foreign work takes, in [0, 1): demands on
            this host stretch by 1 / (1 - background_fraction).
        discipline: fifo: a visit keeps its core until it is done; ps: the running visits share
            the cores equally, none faster than one core (a time-slicing scheduler).
    """

    name: str
    cores: int
    background_fraction: float = 0.0
    discipline: Discipline = "fifo"

    def __post_init__(self) -> None:
        _count(f"hosts.{self.name}.cores", self.cores)
        share = self.background_fraction
        require(
            0 <= share < 1, f"hosts.{self.name}.background_fraction", share, "a number in [0, 1)"
        )
        kinds = ("fifo", "ps")
        require(
            self.discipline in kinds, f"hosts.{self.name}.discipline", self.discipline, str(kinds)
        )


@dataclass(frozen=True)
class Station:
    """A server with slots: an event loop (1 slot), a thread pool, a machine with its cores.

    Args:
        name: unique.
        slots: visits served at once; with `discipline="ps"`, the cores that all visits share.
        discipline: fifo queue for a slot, or processor sharing without a queue.
        queue_limit: visits that may wait for a slot; one more is rejected. None: no limit.
        host: the machine it runs on; None: a machine of its own, on which a slot is a core.
    """

    name: str
    slots: int
    discipline: Discipline = "fifo"
    queue_limit: int | None = None
    host: str | None = None

    def __post_init__(self) -> None:
        where = f"stations.{self.name}"
        _count(f"{where}.slots", self.slots)
        require(
            self.discipline in ("fifo", "ps"),
            f"{where}.discipline",
            self.discipline,
            "fifo or ps",
        )
        if self.queue_limit is not None:
            _count(f"{where}.queue_limit", self.queue_limit, low=0, high=2**31 - 1)
        if self.discipline == "ps":
            require(self.host is None, f"{where}.host", self.host, "none: give the host ps instead")
            require(
                self.queue_limit is None,
                f"{where}.queue_limit",
                self.queue_limit,
                "none: processor sharing has no queue",
            )


@dataclass(frozen=True)
class Group:
    """Replicas behind a load balancer. A request keeps the replica it was given, per attempt.

    `least_connections` counts the attempts that hold the replica, in service or not, and takes
    turns among those with equally few (smooth round robin, as nginx does);
    `power_of_two` compares two replicas drawn at random.
    """

    name: str
    members: tuple[str, ...]
    policy: Balancing = "round_robin"

    def __post_init__(self) -> None:
        require(
            len(self.members) > 0, f"groups.{self.name}.members", self.members, "at least one name"
        )
        require(
            self.policy in BALANCINGS, f"groups.{self.name}.policy", self.policy, str(BALANCINGS)
        )


@dataclass(frozen=True)
class ReplicaSet:
    """A database with one primary and secondaries.

    Args:
        name: unique.
        members: its stations; the first is primary at the start.
        election_s: from the primary's crash until another live member (the first in order) is
            primary; visits to the primary wait meanwhile, as drivers do. When no member is
            alive by then they fail, as do later ones until a member is back and elected.
        keys: how many keys staleness is tracked for; a request's key counts modulo this.
    """

    name: str
    members: tuple[str, ...]
    election_s: float = 10.0
    keys: int = 1

    def __post_init__(self) -> None:
        where = f"replica_sets.{self.name}"
        require(len(self.members) > 0, f"{where}.members", self.members, "at least one name")
        _non_negative(f"{where}.election_s", self.election_s)
        _count(f"{where}.keys", self.keys, high=10**9)


@dataclass(frozen=True)
class Pool:
    """Connections: a step inside `Hold` has one of `size`; others wait in order of arrival.

    With `group`, every replica of that group has a pool of its own, and the attempt uses that of
    the replica it holds (or, when it holds none, that of the group's first).
    """

    name: str
    size: int
    group: str | None = None

    def __post_init__(self) -> None:
        _count(f"pools.{self.name}.size", self.size)


@dataclass(frozen=True)
class CacheFamily:
    """Cached keys with a time to live, cleared by generations, unlimited in memory.

    Args:
        name: unique.
        ttl_s: how long after its fill an entry can be hit.
        keys: entries; the key of a request counts modulo this.
        keyed_by: the request's key, or its user.
        keys_per_group: key k belongs to generation group k // keys_per_group; an entry counts
            only while its group and the whole family have not been invalidated since the lookup
            that led to its fill: a fill that comes after an invalidation neither brings back what
            that removed nor takes the place of what was read since.
        coalesce: single flight: while one attempt fetches a missing entry, others that look it up
            under the same generations wait for its fill and go on as hits do; if it fails, they
            fail too. An attempt leads at most one flight at a time.
        flights_per: a group, each of whose replicas has flights of its own; None: one for all.
    """

    name: str
    ttl_s: float
    keys: int
    keyed_by: Literal["key", "user"] = "key"
    keys_per_group: int = 1
    coalesce: bool = False
    flights_per: str | None = None

    def __post_init__(self) -> None:
        where = f"families.{self.name}"
        _positive(f"{where}.ttl_s", self.ttl_s)
        _count(f"{where}.keys", self.keys, high=10**9)
        _count(f"{where}.keys_per_group", self.keys_per_group, high=10**9)
        kinds = ("key", "user")
        require(self.keyed_by in kinds, f"{where}.keyed_by", self.keyed_by, str(kinds))

    @property
    def groups(self) -> int:
        """Number of generation groups."""
        return (self.keys - 1) // self.keys_per_group + 1


@dataclass(frozen=True)
class RateLimit:
    """A token bucket per user (or one for all): an attempt that finds no token is shed.

    Args:
        name: unique.
        rate_per_s: tokens that flow in per second.
        burst: what the bucket holds, >= 1; full at the start.
        per: user or all.
        users: buckets when per user; the request's user counts modulo this.
    """

    name: str
    rate_per_s: float
    burst: float
    per: Scope = "user"
    users: int = 1

    def __post_init__(self) -> None:
        where = f"limits.{self.name}"
        _non_negative(f"{where}.rate_per_s", self.rate_per_s)
        require(1 <= self.burst < math.inf, f"{where}.burst", self.burst, "a finite number >= 1")
        require(self.per in ("user", "all"), f"{where}.per", self.per, "user or all")
        _count(f"{where}.users", self.users, high=10**9)


@dataclass(frozen=True)
class Breaker:
    """A circuit breaker around the steps of a `Guard`.

    Closed: `failures` calls in a row that failed or took longer than `slow_s` open it. Open: calls
    are shed at once, for `open_s`. Then half open: one call at a time is let through; the next
    result of any call closes it or opens it again.
    """

    name: str
    failures: int = 5
    slow_s: float = math.inf
    open_s: float = 5.0

    def __post_init__(self) -> None:
        where = f"breakers.{self.name}"
        _count(f"{where}.failures", self.failures)
        require(self.slow_s > 0, f"{where}.slow_s", self.slow_s, "a number > 0")
        _positive(f"{where}.open_s", self.open_s)


@dataclass(frozen=True)
class Client:
    """How callers wait and retry.

    Args:
        timeout_s: patience per attempt; inf: none.
        retries: further attempts after a timeout, a rejection or a failure (never after shedding).
        backoff_s: wait before retry k = 1, 2 … is backoff_s * 2^(k-1), at most backoff_cap_s …
        jitter: … times a uniform draw, when true ("full jitter").
        budget_fraction: retry budget: every first attempt adds this many tokens, up to
            budget_cap (where the budget starts); a retry takes one, and without one the request
            ends. inf: no budget.
        budget_cap: tokens the budget can hold, >= 1.
        cancels: an attempt whose caller has gone takes no further step. Otherwise the servers
            finish it, which is what most do, and what feeds a retry storm.
    """

    timeout_s: float = math.inf
    retries: int = 0
    backoff_s: float = 0.0
    backoff_cap_s: float = 60.0
    jitter: bool = True
    budget_fraction: float = math.inf
    budget_cap: float = 100.0
    cancels: bool = False

    def __post_init__(self) -> None:
        require(self.timeout_s > 0, "client.timeout_s", self.timeout_s, "a number > 0")
        _count("client.retries", self.retries, low=0, high=100)
        _non_negative("client.backoff_s", self.backoff_s)
        _non_negative("client.backoff_cap_s", self.backoff_cap_s)
        require(
            self.budget_fraction >= 0,
            "client.budget_fraction",
            self.budget_fraction,
            "a number >= 0",
        )
        require(
            1 <= self.budget_cap < math.inf,
            "client.budget_cap",
            self.budget_cap,
            "a finite number >= 1",
        )


@dataclass(frozen=True)
class Autoscaler:
    """Target tracking on the CPU of a group, as cloud autoscalers do it.

    Every `period_s` it takes the group's utilisation over the period, u, and wants
    ceil(active * u / target_fraction) replicas, within [min_replicas, max_replicas]. New ones
    take requests after `boot_s`; removed ones (last in order first, never the only active one)
    finish what they hold. After either it does nothing for `cooldown_s`. The group's members are
    the possible replicas.
    """

    group: str
    min_replicas: int
    max_replicas: int
    initial: int
    target_fraction: float = 0.6
    period_s: float = 60.0
    boot_s: float = 90.0
    cooldown_s: float = 300.0

    def __post_init__(self) -> None:
        where = f"autoscalers.{self.group}"
        _count(f"{where}.min_replicas", self.min_replicas)
        _count(f"{where}.max_replicas", self.max_replicas, low=self.min_replicas)
        _count(f"{where}.initial", self.initial, low=self.min_replicas, high=self.max_replicas)
        require(
            0 < self.target_fraction < 1,
            f"{where}.target_fraction",
            self.target_fraction,
            "a number in (0, 1)",
        )
        _positive(f"{where}.period_s", self.period_s)
        _non_negative(f"{where}.boot_s", self.boot_s)
        _non_negative(f"{where}.cooldown_s", self.cooldown_s)


@dataclass(frozen=True)
class Crash:
    """A station dies at `from_s` with all visits in it and returns, empty, at `until_s`.

    Balancers keep sending requests to it for `detect_s` (they fail at once). When it is the primary
    of a replica set, an election follows.
    """

    station: str
    from_s: float
    until_s: float = math.inf
    detect_s: float = 0.0

    def __post_init__(self) -> None:
        _span(f"disruptions.{self.station}", self.from_s, self.until_s)
        _non_negative(f"disruptions.{self.station}.detect_s", self.detect_s)


@dataclass(frozen=True)
class Drain:
    """Balancers give a station no new requests in [from_s, until_s); it finishes what it has."""

    station: str
    from_s: float
    until_s: float

    def __post_init__(self) -> None:
        _span(f"disruptions.{self.station}", self.from_s, self.until_s)


@dataclass(frozen=True)
class CacheRestart:
    """All families are empty from `from_s`; until `until_s` every lookup misses, no fill stays."""

    from_s: float
    until_s: float

    def __post_init__(self) -> None:
        _span("disruptions.cache", self.from_s, self.until_s)


Disruption = Crash | Drain | CacheRestart


def _span(where: str, from_s: float, until_s: float) -> None:
    _non_negative(f"{where}.from_s", from_s)
    require(until_s >= from_s, f"{where}.until_s", until_s, f"a time >= from_s = {from_s:g}")


def rolling_deploy(members: tuple[str, ...], start_s: float, each_s: float) -> tuple[Drain, ...]:
    """Drains that take the members out one after the other, each for `each_s` seconds.

    Args:
        members: in the order in which they go.
        start_s: when the first goes, s, >= 0.
        each_s: how long each is away, s, > 0.
    Returns: one drain a member; the next begins when the last ends.
    Source: the definition of a rolling deploy, one at a time.

    >>> [(d.station, d.from_s, d.until_s) for d in rolling_deploy(("a", "b"), 10.0, 5.0)]
    [('a', 10.0, 15.0), ('b', 15.0, 20.0)]
    """
    return tuple(
        Drain(member, start_s + each_s * i, start_s + each_s * (i + 1))
        for i, member in enumerate(members)
    )
