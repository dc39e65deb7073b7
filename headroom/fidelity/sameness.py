"""The same requests of a day at several speeds of time: the same look-ups hit, the same bytes come.

A day of load is squeezed into some seconds, its entries' lives with it, and offered as it is, two
and a half times as fast, and dilated behind emulated machines. The load is low: what is compared is
what the stack does, not how long it takes.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from headroom.artefacts import Artefact, Conditions, Machine, Record
from headroom.dilation import emulation_of
from headroom.fidelity.artefacts import read, stored
from headroom.fidelity.cells import Cell, seed_of
from headroom.fidelity.invariance import SLOWER, slower
from headroom.fidelity.measured import offered
from headroom.fidelity.predicted import model_of
from headroom.fidelity.topologies import Topology, topology
from headroom.live import running_stack
from sim.scenario import Operation
from sim.workload import Trace, diurnal_shape, requests_at
from stack.load.validity import Limits
from stack.local import StackInfo
from stack.observe.machine import facts_sha256, machine_facts

FOLDER = "sameness"  # in that of the occasion
BASE = "three-replicas"
DAY_S, LOAD_PER_S = 20.0, 30.0  # the day, and its mean load, at speed 1
PEAK_TO_MEAN, PEAK_HOUR = 2.0, 20.0
TTL_S = {"listing": 6.0, "favourites": 9.0, "search": 4.5}
# No bodies that tell a time, a token or a cursor, which each stack signs with a key of its own.
MIX = {
    Operation.LIST: 0.35,
    Operation.DETAIL: 0.20,
    Operation.SEARCH: 0.20,
    Operation.FAVOURITES: 0.15,
    Operation.FAVOURITE_ADD: 0.10,
}
TRIES = 2  # on a disturbed machine
TOLERANCE = 0.01  # of a hit ratio

Say = Callable[[str], None]


@dataclass(frozen=True)
class Speed:
    """How fast the day goes by: real seconds for each second at speed 1."""

    name: str
    scale: float
    is_emulated: bool = False

    @property
    def model_scale(self) -> float:
        """Of the emulation; 1 where there is none."""
        return self.scale if self.is_emulated else 1.0


SPEEDS = (
    Speed("as it is", 1.0),
    Speed("compressed", 0.4),
    Speed("dilated", 10.0, is_emulated=True),
)


class SpeedFound(Record):
    """What came of the day at one speed, beside the first one's."""

    speed: str
    scale: float
    is_emulated: bool
    requests: int
    lookups: int
    hit_ratio: dict[str, float]  # by operation, and of all
    same_lookups: int  # that found what they found at the first speed
    bodies: int  # answers with a body, at both speeds
    same_bodies: int  # of the same length and checksum
    conditions: Conditions


class Sameness(Artefact):
    """One day at all speeds; the first is what the others are held against."""

    seed: int
    speeds: tuple[SpeedFound, ...]

    @property
    def inside(self) -> bool:
        """Whether every speed kept every hit ratio."""
        first = self.speeds[0].hit_ratio["all"]
        return all(abs(each.hit_ratio["all"] - first) <= TOLERANCE for each in self.speeds)


def at_speed(speed: Speed) -> Topology:
    """The architecture, with entries that live as long beside the day at every speed."""
    base = slower(topology(BASE, speed.model_scale), SLOWER)
    cache = base.scenario.topology.cache
    assert cache is not None
    own = 1.0 if speed.is_emulated else speed.scale  # an emulation stretches them by itself
    families = {
        family: policy.model_copy(update={"ttl_s": TTL_S[family] * own})
        for family, policy in cache.families.items()
    }
    cache = cache.model_copy(update={"families": families})
    shape = base.scenario.topology.model_copy(update={"cache": cache})
    workload = base.scenario.workload.model_copy(update={"mix": MIX})
    scenario = base.scenario.model_copy(update={"topology": shape, "workload": workload})
    return replace(base, scenario=scenario)


def day(seed: int, speed: Speed) -> Trace:
    """The requests of the day: at every speed the same, at times that differ by a factor."""
    arrivals, rest = np.random.default_rng(seed).spawn(2)
    shape = diurnal_shape(PEAK_TO_MEAN, PEAK_HOUR)
    until = np.concatenate([[0.0], np.cumsum(shape) / shape.sum()])
    uniform = np.sort(arrivals.random(int(LOAD_PER_S * DAY_S)))
    arrival_s = np.interp(uniform, until, np.linspace(0.0, DAY_S, until.size))
    return requests_at(arrival_s * speed.scale, at_speed(speed).scenario.workload, rest)


def sameness(folder: Path, occasion: str, say: Say) -> Sameness:
    """Offer the day at every speed, once more where the machine was disturbed."""
    place = folder / occasion / FOLDER
    seed = seed_of(occasion, BASE, FOLDER)
    found: list[SpeedFound] = []
    for speed in SPEEDS:
        base, trace = at_speed(speed), day(seed, speed)
        for tries_left in reversed(range(TRIES)):
            # A stack of its own for each: what the day writes is not there when it begins.
            with stack_at(base, speed, "fidelity-sameness") as info:
                conditions = offered_at(base, speed, trace, seed, info, place=place)
            if conditions.valid or not tries_left:
                break
            say(f"{speed.name}: again, {'; '.join(conditions.reasons)}")
        found.append(beside(place, SPEEDS[0], speed, conditions))
        say(
            f"{speed.name} (×{speed.scale:g}): hit ratio {found[-1].hit_ratio['all']:.2%}, "
            f"{found[-1].same_lookups} of {found[-1].lookups} look-ups and "
            f"{found[-1].same_bodies} of {found[-1].bodies} bodies as at first"
        )
    facts = machine_facts()
    machine = Machine(facts=facts, sha256=facts_sha256(facts))
    stored(folder / occasion / "machine.json", machine)
    result = Sameness(seed=seed, speeds=tuple(found))
    stored(place / "sameness.json", result)
    return result


def stored_in(folder: Path) -> Sameness | None:
    """What an occasion's folder holds of it."""
    path = folder / FOLDER / "sameness.json"
    return read(path, Sameness) if path.is_file() else None


def stack_at(base: Topology, speed: Speed, name: str) -> AbstractContextManager[StackInfo]:
    """The architecture, running, with its emulated machines where it is dilated."""
    emulation = emulation_of(model_of(base), speed.scale) if speed.is_emulated else None
    return running_stack(base.scenario, lambda _: None, name=name, emulation=emulation)


def offered_at(
    base: Topology, speed: Speed, trace: Trace, seed: int, info: StackInfo, *, place: Path
) -> Conditions:
    """Offer these requests to the running stack; their rows are in `place`."""
    last_s = float(trace.arrival_s[-1])
    cell = Cell(
        _file(speed),
        target=0.0,
        load_per_s=len(trace) / last_s,
        seed=seed,
        warmup_s=0.0,
        duration_s=last_s,
    )
    conditions = offered(base, cell, trace, info, place).conditions
    return conditions if speed.is_emulated else not_shared(conditions)


def not_shared(conditions: Conditions) -> Conditions:
    """The same of a stack without gates, which whoever uses the machine makes slow.

    An emulation has a priority of its own, and others give way to it; a native stack has none.
    """
    others, limit = conditions.foreign_cpu_fraction, Limits().dilated().foreign_cpu_fraction
    if others <= limit or any(each.startswith("foreign CPU: ") for each in conditions.reasons):
        return conditions
    reason = f"foreign CPU: {others:.2%} to a native stack, limit {limit:.2%}"
    return conditions.model_copy(update={"valid": False, "reasons": (*conditions.reasons, reason)})


def _file(speed: Speed) -> str:
    return f"speed-{speed.scale:g}"


def beside(place: Path, first: Speed, speed: Speed, conditions: Conditions) -> SpeedFound:
    """What came at a speed, request by request beside the first."""
    columns = ["operation", "cache", "status", "bytes", "body_crc32"]
    table = pq.read_table(place / f"{_file(speed)}.load.parquet", columns=columns).to_pandas()
    other = pq.read_table(place / f"{_file(first)}.load.parquet", columns=columns).to_pandas()
    asked = table["cache"].isin(["hit", "miss"]).to_numpy()
    hit = (table["cache"] == "hit").to_numpy()
    whole = ((table["bytes"] > 0) & (other["bytes"] > 0)).to_numpy()
    same = np.all([(table[c] == other[c]).to_numpy() for c in columns[2:]], axis=0)
    operation = table["operation"].astype(str).to_numpy()
    ratios = {
        name: float(hit[asked & (operation == name)].mean())
        for name in sorted(set(operation[asked]))
    }
    return SpeedFound(
        speed=speed.name,
        scale=speed.scale,
        is_emulated=speed.is_emulated,
        requests=len(table),
        lookups=int(asked.sum()),
        hit_ratio=ratios | {"all": float(hit[asked].mean())},
        same_lookups=int((asked & (table["cache"] == other["cache"]).to_numpy()).sum()),
        bodies=int(whole.sum()),
        same_bodies=int((whole & same).sum()),
        conditions=conditions,
    )
