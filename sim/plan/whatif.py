"""What if: growth, a spike, a loss, a worse cache, a deploy, other prices, from one function."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sim.cost import PriceBook
from sim.cost.pricebook import RegionRatio
from sim.errors import InvalidScenario, require
from sim.plan import transients
from sim.plan.effects import (
    Shift,
    Steady,
    shift,
    spared,
    steady,
    with_growth,
    with_hit_shift,
    with_prices,
)
from sim.plan.losses import after_loss, after_zone
from sim.plan.screen import Planner
from sim.plan.space import NO_CACHE, Candidate
from sim.plan.transients import Disturb, disturbed

ZONES = 3  # where the scenario names one zone only: what a region offers at least

# What if, in the order of a report, with the size that it has unless another is given.
WHAT_IFS: dict[str, float | None] = {
    "growth": 2.0,
    "spike": 5.0,
    "cold_cache": None,
    "lost_cache": None,
    "lost_replica": None,
    "lost_zone": None,
    "lost_primary": None,
    "hit_ratio": 0.10,
    "deploy": None,
    "price": 1.20,
    "region": None,
}


@dataclass(frozen=True)
class Effect:
    """What a change does.

    Args:
        name: of `WHAT_IFS`.
        words: the change, for a reader.
        p95_s, error_fraction: at the peak; of `by` "engine" in the minutes after the disturbance,
            of "screen" in the steady state.
        headroom_fraction: users that could be added, in the steady state after it; -1 where
            nothing answers any more.
        usd_per_month: the bill, what is lost included; None where it cannot be told.
        availability: of what is left, as long as nobody replaces what is lost.
        by: which model says p95 and errors.
        note: what the figures leave out, or why one is missing.
    """

    name: str
    words: str
    p95_s: Shift
    error_fraction: Shift
    headroom_fraction: Shift
    usd_per_month: Shift | None
    availability: Shift
    by: str
    note: str = ""


@dataclass(frozen=True)
class _Change:
    """A change as both models see it: what is left, in which planner, under which disturbance."""

    words: str
    left: Candidate
    planner: Planner
    disturb: Disturb | None = None
    load_factor: float = 1.0
    note: str = ""
    unserved: bool = False  # some operation is no longer answered at all
    down: bool = False  # nothing is


def what_if(
    planner: Planner,
    candidate: Candidate,
    name: str,
    *,
    size: float | None = None,
    region: str | None = None,
    before: Steady | None = None,
) -> Effect:
    """What one change does to an architecture.

    Args:
        planner: the futures to ask in.
        candidate: the architecture.
        name: one of `WHAT_IFS`.
        size: of growth, spike or price as a factor, of hit_ratio in shares of 1; None takes that
            of `WHAT_IFS`.
        region: to move to, for name "region".
        before: `steady(planner, candidate)` where it is known already.
    Returns: every figure before and after, paired in the same futures.
    Raises: InvalidScenario for an unknown name, or a size that is no such change.
    Source: `steady` before and after; disturbances by `sim.kernel.simulate`.

    >>> from sim.example import shop_question
    >>> from sim.plan import own_candidate
    >>> planner = shop_question().centre()
    >>> effect = what_if(planner, own_candidate(planner.scenario), "growth", size=2.0)
    >>> before, after = effect.headroom_fraction.before, effect.headroom_fraction.after
    >>> round((1 + before) / (1 + after), 6)  # twice the users leave half the room
    2.0
    """
    require(name in WHAT_IFS, "whatif", name, f"one of {', '.join(WHAT_IFS)}")
    default = WHAT_IFS[name]
    require(size is None or default is not None, f"whatif.{name}", size, "no size")
    amount = default if size is None else size
    most = 1.0 if name == "hit_ratio" else 1000.0
    if amount is not None:
        require(0 < amount <= most, f"whatif.{name}", amount, f"a number above 0, at most {most:g}")
    own = before or steady(planner, candidate)
    if name == "region":
        return _moved(planner, candidate, own, region)
    change = _CHANGES[name](planner, candidate, amount or 1.0)
    after = steady(change.planner, change.left, change.load_factor)
    p95_s, errors = shift(own.p95_s, after.p95_s), shift(own.error_fraction, after.error_fraction)
    if change.disturb is not None:
        still, shaken = disturbed(planner, candidate, change.disturb, change.load_factor)
        p95_s = shift(still.p95_s, shaken.p95_s)
        errors = shift(still.error_fraction, shaken.error_fraction)
    return Effect(
        name=name,
        words=change.words,
        p95_s=p95_s,
        error_fraction=errors,
        headroom_fraction=shift(
            own.headroom_fraction,
            np.full_like(own.headroom_fraction, -1.0)
            if change.unserved or change.down
            else after.headroom_fraction,
        ),
        usd_per_month=shift(own.usd_per_month, change.planner.usd_per_month(candidate)),
        availability=shift(
            own.availability,
            np.zeros_like(own.availability) if change.down else after.availability,
        ),
        by="screen" if change.disturb is None else "engine",
        note=change.note,
    )


def _growth(planner: Planner, own: Candidate, size: float) -> _Change:
    return _Change(f"{size:g} × the users", own, with_growth(planner, size))


def _spike(planner: Planner, own: Candidate, size: float) -> _Change:
    words = f"{size:g} × the peak load, at once"
    return _Change(words, own, planner, transients.undisturbed, load_factor=size)


def _cold_cache(planner: Planner, own: Candidate, _size: float) -> _Change:
    if own.cache_type == NO_CACHE:
        return _Change("the cache restarts empty", own, planner, note="there is no cache")
    return _Change("the cache restarts empty", own, planner, transients.cold_cache)


def _lost_cache(planner: Planner, own: Candidate, _size: float) -> _Change:
    if own.cache_type == NO_CACHE:
        return _Change("the cache is gone", own, planner, note="there is no cache")
    left = with_hit_shift(planner, -1.0)
    return _Change("the cache is gone", own, left, transients.lost_cache)


def _lost_replica(planner: Planner, own: Candidate, _size: float) -> _Change:
    alone = own.api_replicas == 1
    return _Change(
        "one API server dies",
        spared(own, "api_replicas"),
        planner,
        transients.lost_replica,
        note="the only one: nothing answers" if alone else "",
        down=alone,
    )


def _lost_primary(planner: Planner, own: Candidate, _size: float) -> _Change:
    alone = own.database_members == 1
    return _Change(
        "the database's primary dies",
        spared(own, "database_members"),
        planner,
        transients.lost_primary,
        note="the only member: nothing that needs the database answers" if alone else "",
        down=alone,
    )


def _lost_zone(planner: Planner, own: Candidate, _size: float) -> _Change:
    zones = max(planner.scenario.reliability.zones, 2)
    if planner.scenario.reliability.zones == 1:
        zones = ZONES
    note, after = f"instances spread over {zones} zones", planner
    core: Candidate = own  # what serves but for searches, which can do without their engine
    for tier in ("api_replicas", "database_members"):
        lost = -(-getattr(own, tier) // zones)
        left_over = after_loss(core, tier, lost) if core.api_replicas else None
        core = left_over or replace(core, api_replicas=0)
    left = after_zone(own, zones)
    if left is None:
        note += "; a tier has all its instances, or its majority, in the zone that is lost"
    if left is not None and left.cache_type != own.cache_type:
        note += "; the only cache node stands in the zone that is lost"
        after = with_hit_shift(planner, -1.0)
    kept = own if core.api_replicas == 0 else core
    return _Change(
        f"one zone of {zones} is lost",
        kept,
        after,
        transients.lost_zone(zones, own.cache_nodes),
        note=note,
        unserved=left is None,
        down=core.api_replicas == 0,
    )


def _hit_ratio(planner: Planner, own: Candidate, size: float) -> _Change:
    words = f"hit ratios {size * 100:g} points lower"
    return _Change(words, own, with_hit_shift(planner, -size))


def _deploy(planner: Planner, own: Candidate, _size: float) -> _Change:
    left = spared(own, "api_replicas")
    note = "figures after it are those while one server is out"
    return _Change("a rolling deploy at the peak", left, planner, transients.deploy, note=note)


def _price(planner: Planner, own: Candidate, size: float) -> _Change:
    return _Change(f"all prices × {size:g}", own, with_prices(planner, size))


_CHANGES: dict[str, Callable[[Planner, Candidate, float], _Change]] = {
    "growth": _growth,
    "spike": _spike,
    "cold_cache": _cold_cache,
    "lost_cache": _lost_cache,
    "lost_replica": _lost_replica,
    "lost_zone": _lost_zone,
    "lost_primary": _lost_primary,
    "hit_ratio": _hit_ratio,
    "deploy": _deploy,
    "price": _price,
}


def _regions(book: PriceBook) -> list[str]:
    """Regions of a cloud that a book has prices of, as their names are written: eu-west-1."""
    return sorted({p.region for p in book.prices if p.provider == "AWS" and "-" in p.region})


def _carried_words(ratio: RegionRatio | None) -> str:
    """What of a moved bill is known and what is carried over."""
    if ratio is None:
        return ""
    return (
        f"prices there known of {len(ratio.items)} items ({ratio.low:.3g} to {ratio.high:.3g} × "
        f"those in {ratio.here}); all others are taken at {ratio.ratio:.3g} ×, with that range; "
    )


def _moved(planner: Planner, own: Candidate, before: Steady, region: str | None) -> Effect:
    """The same architecture in another region: what the book prices there, if it does."""
    here, book = planner.scenario.prices.region, planner.book
    target = region or next((r for r in _regions(book) if book.region_ratio(here, r)), None)
    note = "the way from users to another region is not in the model"
    usd: Shift | None = None
    ratio = None if target is None else book.region_ratio(here, target)
    if target is None or (ratio is None and target != here):
        note = f"cost not told: book {book.name} prices nothing in both {here} and there; {note}"
    else:
        prices = planner.scenario.prices.model_copy(update={"region": target})
        there = planner.scenario.model_copy(update={"prices": prices})
        carried = book if ratio is None else book.carried(ratio)
        moved = Planner(there, planner.measured, planner.futures, carried, planner.reliability)
        try:
            usd = shift(before.usd_per_month, moved.usd_per_month(own))
        except InvalidScenario as missing:
            note = f"cost not told: {missing.problems[0].allowed}; {note}"
        else:
            note = f"{_carried_words(ratio)}{note}"
    return Effect(
        name="region",
        words=f"moved from {here} to {target or 'another region'}",
        p95_s=shift(before.p95_s, before.p95_s),
        error_fraction=shift(before.error_fraction, before.error_fraction),
        headroom_fraction=shift(before.headroom_fraction, before.headroom_fraction),
        usd_per_month=usd,
        availability=shift(before.availability, before.availability),
        by="screen",
        note=note,
    )
