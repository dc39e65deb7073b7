"""How long cached entries lived: until a time after which none is found, or until one instant.

A shortened TTL and an emptied cache both make look-ups miss that were predicted to hit. They are
told apart by the ages of the entries, and by whether one instant explains all of the misses.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headroom.diagnose.records import EntryLives

CLOSE = 0.9  # a fill is stored some time before its request is answered


@dataclass(frozen=True)
class Lookups:
    """The look-ups of one family in the order of their times.

    Args:
        at_s: when each was asked.
        done_s: when it was answered.
        entry: what was asked for.
        hit, filled: what was measured: found, or not and read for the cache.
        expected: whether it was predicted to be found.
    """

    at_s: NDArray[np.float64]
    done_s: NDArray[np.float64]
    entry: Sequence[Hashable]
    hit: NDArray[np.bool_]
    filled: NDArray[np.bool_]
    expected: NDArray[np.bool_]


def lives_of(family: str, ttl_s: float, lookups: Lookups) -> EntryLives:
    """What the look-ups of a family say of the lives of its entries."""
    reads: dict[Hashable, list[tuple[float, float]]] = {}  # of each entry, from asked to answered
    hits: list[tuple[float, float]] = []  # from the fill to the look-up
    surplus: list[tuple[float, float]] = []
    for place in np.argsort(lookups.at_s, kind="stable"):
        entry, at_s = lookups.entry[place], float(lookups.at_s[place])
        known = reads.setdefault(entry, [])
        since_s = max((done_s for _, done_s in known if done_s <= at_s), default=None)
        # A read that still goes on has stored nothing yet: who misses meanwhile comes too early.
        too_early = any(done_s > at_s for _, done_s in known)
        if since_s is not None and lookups.hit[place]:
            hits.append((since_s, at_s))
        missed = lookups.expected[place] and lookups.filled[place] and not too_early
        # What was stored later than predicted also ends later: that is no life cut short.
        if since_s is not None and missed and at_s - since_s < CLOSE * ttl_s:
            surplus.append((since_s, at_s))
        if lookups.filled[place]:
            known.append((at_s, float(lookups.done_s[place])))
    lived_s, older, older_found = _parting_age(
        np.array([at_s - fill_s for fill_s, at_s in surplus]),
        np.array([at_s - fill_s for fill_s, at_s in hits]),
    )
    (at_s, until_s), at_once = _common_instant(surplus)
    through = sum(fill_s <= at_s and asked_s >= until_s for fill_s, asked_s in hits)
    count = max(1, len(surplus))
    return EntryLives(
        family=family,
        ttl_s=ttl_s,
        surplus=len(surplus),
        lived_s=lived_s,
        older_fraction=older,
        older_found_fraction=older_found,
        at_s=at_s,
        at_once_fraction=at_once / count,
        lived_through_fraction=through / max(1, through + at_once),
    )


def _parting_age(
    missed_s: NDArray[np.float64], found_s: NDArray[np.float64]
) -> tuple[float, float, float]:
    """The age from which most are missed and few are found, and the shares of both beyond it.

    Some entries are older than they seem to have been when they were found: somebody whose answer
    does not tell of it had read them anew. So no age parts all, and the best one is taken: that of
    the two-sample Kolmogorov-Smirnov statistic.
    """
    best = (0.0, 0.0, 0.0)
    for age_s in missed_s:
        older = float(np.mean(missed_s >= age_s))
        older_found = float(np.mean(found_s >= age_s)) if found_s.size else 0.0
        if older - older_found > best[1] - best[2]:
            best = (float(age_s), older, older_found)
    return best


def _common_instant(
    spans: Sequence[tuple[float, float]],
) -> tuple[tuple[float, float], int]:
    """Between which times an instant lies that is in most of the spans, and in how many."""
    ends = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    inside, most, at_s, until_s = 0, 0, 0.0, 0.0
    for when_s, step in ends:
        inside += step
        if inside > most:
            most, at_s = inside, when_s
            until_s = min(end_s for begin_s, end_s in spans if begin_s <= when_s < end_s)
    return (at_s, until_s), most
