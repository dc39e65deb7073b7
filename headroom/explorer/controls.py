"""The controls of the explorer: which field of the scenario each one sets, over which range.

A control's name is the dotted path of its field. Three are more than one field: `growth` (users and
their traffic), a share of the mix (the others make room), and the operations that read from
secondaries. Whatever is set goes through the same check as a scenario file.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from headroom.artefacts import Record
from headroom.variants import variant
from sim.cost import price_book
from sim.cost.servers import SEARCH_DEFAULT
from sim.plan.offers import types_for
from sim.plan.space import NO_CACHE
from sim.scenario import WRITES, Cache, Operation, Scenario

GROWTH = "growth"
CACHE_TYPE = "topology.cache.instance_type"
MIX = "workload.mix."
SECONDARIES = "topology.database.read_from_secondaries."
TYPES = {
    "topology.api.instance_type": "api_type",
    CACHE_TYPE: "cache_type",
    "topology.database.instance_type": "database_type",
    "topology.search.instance_type": "search_type",
}
_DIGITS = 6  # of a share of the mix, so that a scenario file stays readable

Kind = Literal["range", "menu", "check"]
Value = float | int | str | bool


class Control(Record):
    """One control as the page draws it; `least` to `most` is the slider's reach, not a limit."""

    name: str
    group: str
    label: str
    unit: str
    kind: Kind
    value: Value
    least: float = 0.0
    most: float = 1.0
    is_log: bool = False
    is_whole: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Design:
    """What the controls say: a scenario before its growth, the growth, and its last cache."""

    own: Scenario
    growth: float = 1.0
    last_cache: Cache | None = None

    @property
    def scenario(self) -> Scenario:
        """The scenario to model, price and export: users and their traffic grown."""
        if self.growth == 1.0:
            return self.own
        users = round(self.own.workload.registered_users * self.growth)
        traffic = self.own.prices.egress_gib_per_month * self.growth
        changes = {
            "workload.registered_users": max(users, 1),
            "prices.egress_gib_per_month": traffic,
        }
        return variant(self.own, changes)

    def with_value(self, name: str, value: object) -> "Design":
        """The design with one control moved.

        Raises: InvalidScenario as a scenario file with that value would.
        """
        if name == GROWTH:
            checked = variant(self.own, {"plan.growth_factor": value})
            return Design(self.own, checked.plan.growth_factor, self.last_cache)
        cache = self.own.topology.cache
        own = variant(self.own, self._changes(name, value))
        return Design(own, self.growth, cache or self.last_cache)

    def _changes(self, name: str, value: object) -> dict[str, object]:
        if name.startswith(MIX):
            return {"workload.mix": _mix_with(self.own, name.removeprefix(MIX), value)}
        if name.startswith(SECONDARIES):
            operation = name.removeprefix(SECONDARIES)
            before = {str(o) for o in self.own.topology.database.read_from_secondaries}
            after = before | {operation} if value else before - {operation}
            return {SECONDARIES.rstrip("."): sorted(after)}
        if name == CACHE_TYPE and value == NO_CACHE:
            return {"topology.cache": None}
        if name == CACHE_TYPE and self.own.topology.cache is None and self.last_cache is not None:
            kept = self.last_cache.model_dump(mode="json")
            return {"topology.cache": kept | {"instance_type": value}}
        return {name: value}


def _mix_with(scenario: Scenario, operation: str, percent: object) -> dict[str, object]:
    """The mix with one share set, in per cent; the others keep their proportions.

    What is no share at all stays as it is, for the scenario's own check to refuse.
    """
    mix: dict[str, object] = {o.value: share for o, share in scenario.workload.mix.items()}
    if isinstance(percent, bool) or not isinstance(percent, int | float):
        return mix | {operation: percent}
    share = percent / 100.0
    others = {o.value: s for o, s in scenario.workload.mix.items() if o.value != operation}
    total = sum(others.values())
    if not 0.0 <= share <= 1.0 or not others:
        return mix | {operation: share}
    room = 1.0 - round(share, _DIGITS)
    scaled = {
        name: round(room * (each / total if total > 0 else 1.0 / len(others)), _DIGITS)
        for name, each in others.items()
    }
    largest = max(scaled, key=lambda name: scaled[name])
    scaled[largest] = round(scaled[largest] + room - sum(scaled.values()), _DIGITS)
    return {name: scaled.get(name, round(share, _DIGITS)) for name in (*mix, operation)}


@lru_cache(maxsize=64)
def _types(book: str, region: str, option: str) -> tuple[str, ...]:
    return types_for(price_book(book), region, option)


def controls_of(design: Design) -> tuple[Control, ...]:
    """All controls with their values, in the order of the page."""
    return (*_users(design), *_servers(design), *_cache(design), *_stores(design), *_mix(design))


def _range(
    name: str, group: str, label: str, value: float, reach: tuple[float, float], *, unit: str = ""
) -> Control:
    """A slider with a box; over more than two decades it is logarithmic."""
    least, most = reach
    return Control(
        name=name,
        group=group,
        label=label,
        unit=unit,
        kind="range",
        value=value,
        least=least,
        most=most,
        is_log=least > 0 and most / least > 100,
        is_whole=isinstance(value, int),
    )


def _menu(design: Design, name: str, group: str, label: str, value: str) -> Control:
    prices = design.own.prices
    known = _types(prices.book, prices.region, TYPES[name])
    no_cache = (NO_CACHE,) if name == CACHE_TYPE else ()
    options = tuple(dict.fromkeys((*no_cache, *known, value)))
    return Control(
        name=name, group=group, label=label, unit="", kind="menu", value=value, options=options
    )


def _users(design: Design) -> tuple[Control, ...]:
    workload, group = design.own.workload, "Users"
    found = [
        _range("workload.registered_users", group, "registered users",
               workload.registered_users, (1e3, 1e9)),
        _range(GROWTH, group, "growth of users and traffic", design.growth, (0.5, 200.0), unit="×"),
        _range("workload.daily_active_fraction", group, "share active in a day",
               workload.daily_active_fraction, (0.01, 1.0)),
        _range("workload.requests_per_session", group, "requests a session",
               workload.requests_per_session, (1.0, 100.0)),
    ]  # fmt: skip
    if workload.profile.kind == "diurnal":
        peak = workload.profile.peak_to_mean
        found.append(
            _range(
                "workload.profile.peak_to_mean",
                group,
                "peak over mean",
                peak,
                (1.0, 20.0),
                unit="×",
            )
        )
    return tuple(found)


def _servers(design: Design) -> tuple[Control, ...]:
    api, group = design.own.topology.api, "API servers"
    return (
        _range("topology.api.replicas", group, "replicas", api.replicas, (1, 64)),
        _menu(design, "topology.api.instance_type", group, "instance type", api.instance_type),
    )


def _cache(design: Design) -> tuple[Control, ...]:
    cache, group = design.own.topology.cache, "Cache"
    if cache is None:
        return (_menu(design, CACHE_TYPE, group, "node type (its size)", NO_CACHE),)
    ttls = (
        _range(f"topology.cache.families.{family.value}.ttl_s", group,
               f"TTL of {family.value}", policy.ttl_s, (1.0, 86_400.0), unit="s")
        for family, policy in cache.families.items()
    )  # fmt: skip
    return (
        _menu(design, CACHE_TYPE, group, "node type (its size)", cache.instance_type),
        _range("topology.cache.nodes", group, "nodes", cache.nodes, (1, 10)),
        *ttls,
    )


def _stores(design: Design) -> tuple[Control, ...]:
    database, search = design.own.topology.database, design.own.topology.search
    group = "Database and search"
    members = Control(
        name="topology.database.members",
        group=group,
        label="members of the replica set",
        unit="",
        kind="menu",
        value=database.members,
        options=("1", "3", "5", "7"),
    )
    own = "topology.database.instance_type"
    found = [members, _menu(design, own, group, "database type", database.instance_type)]
    if search.engine == "elasticsearch":
        own = "topology.search.instance_type"
        found += [
            _range("topology.search.nodes", group, "search nodes", search.nodes, (1, 12)),
            _menu(design, own, group, "search type", search.instance_type or SEARCH_DEFAULT),
        ]
    reads = [
        Control(
            name=f"{SECONDARIES}{operation.value}",
            group="Reads from secondaries",
            label=operation.value.replace("_", " "),
            unit="",
            kind="check",
            value=operation in database.read_from_secondaries,
        )
        for operation in design.own.workload.mix
        if operation not in WRITES
    ]
    return (*found, *reads)


def _mix(design: Design) -> tuple[Control, ...]:
    return tuple(
        _range(f"{MIX}{Operation(operation).value}", "Mix of requests",
               operation.value.replace("_", " "), round(share * 100, 4), (0.0, 100.0), unit="%")
        for operation, share in design.own.workload.mix.items()
    )  # fmt: skip
