"""What is left of an architecture after a loss that a plan must survive."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sim.plan.space import NO_CACHE, Candidate

Survive = Literal["nothing", "replica", "zone"]
_COUNTS = ("api_replicas", "database_members", "search_nodes", "cache_nodes")


@dataclass(frozen=True)
class Loss:
    """A block of candidates after one loss.

    Args:
        places: in the block, of those in `left`.
        left: what serves on, alike in having a cache.
        down: places of those that do not serve at all: their only instance of a tier is gone.
    """

    places: tuple[int, ...]
    left: tuple[Candidate, ...]
    down: tuple[int, ...] = ()


def losses(block: Sequence[Candidate], survive: Survive) -> list[Loss]:
    """The losses to judge: any one instance of each tier (N+1), or the fullest zone.

    Instances are spread evenly over a candidate's zones. A lost cache means that every lookup
    misses; a replica set without a majority is down, for it takes no writes.
    """
    if survive == "nothing":
        return []
    if survive == "zone":
        return _split(block, [after_zone(c, c.zones) for c in block])
    found = []
    for tier in _COUNTS:
        found += _split(block, [_after(c, {tier: 1}) for c in block])
    return found


def after_loss(candidate: Candidate, tier: str, lost: int = 1) -> Candidate | None:
    """A candidate that has lost instances of a tier; None where it is down.

    >>> own = Candidate("m5.large", 2, "none", 0, 1.0, "M30", 3, None, 0, "on_demand")
    >>> after_loss(own, "api_replicas").api_replicas, after_loss(own, "api_replicas", 2)
    (1, None)
    """
    return _after(candidate, {tier: lost})


def after_zone(candidate: Candidate, zones: int) -> Candidate | None:
    """A candidate that has lost the fullest of its zones; None where it is down."""
    return _after(candidate, {tier: -(-getattr(candidate, tier) // zones) for tier in _COUNTS})


def _after(candidate: Candidate, lost: dict[str, int]) -> Candidate | None:
    left: dict[str, object] = {}
    for tier, number in lost.items():
        before = getattr(candidate, tier)
        after = before - number
        if before == 0 or number == 0:
            continue
        if tier == "cache_nodes":
            left[tier] = max(after, 0)
            if after <= 0:
                left["cache_type"] = NO_CACHE
        elif after <= 0 or (tier == "database_members" and after <= before // 2):
            return None
        else:
            left[tier] = after
    return replace(candidate, **left)  # type: ignore[arg-type]


def _split(block: Sequence[Candidate], after: Sequence[Candidate | None]) -> list[Loss]:
    """Losses whose survivors are alike in having a cache; those unchanged need no judging."""
    down = tuple(place for place, left in enumerate(after) if left is None)
    found = [Loss((), (), down)] if down else []
    for cached in (True, False):
        places = [
            place
            for place, left in enumerate(after)
            if left is not None and left != block[place] and (left.cache_type != NO_CACHE) == cached
        ]
        if places:
            left = tuple(c for c in (after[p] for p in places) if c is not None)
            found.append(Loss(tuple(places), left))
    return found
