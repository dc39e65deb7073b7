"""How servers leave a dead Redis alone and return to it, each breaker played through.

The first look-up after the kill is refused, and its server leaves Redis alone for PAUSE_S. The
first look-up after that tries again, and so on. As look-ups come on a beat, so do the tries: some
eleven turns of a server apart, since the pause begins only when the refusal has come back, and the
tenth turn is mostly still inside it. Whether Redis is back just before a try or just after one
decides whether its server returns at once or half a second later.

Assumes: the balancer takes turns (from which server on does not matter); a server is one process.
Lies when: look-ups of one server overlap, or a dead Redis does not refuse at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PAUSE_S = 0.5  # of the service's breaker (stack.service.entries)
DRAWS = 4_000
LATE_S = 0.010  # of the timer that kills, at most

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Usual:
    """What was seen of a stack before its first kill.

    Args:
        latency_s: of a request, mean.
        before_s: from sending a request to its look-up, of several; their spread is what matters.
        refused_s: from a look-up to its refusal, of several.
        kills_s: that the call took which kills Redis, of each rehearsal.
        starts_s: from asking for Redis to be started until it took connections.
    """

    latency_s: float = 0.0
    before_s: tuple[float, ...] = ()
    refused_s: tuple[float, ...] = ()
    kills_s: tuple[float, ...] = ()
    starts_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Away:
    """Redis away, as often as it was drawn: how each time came out.

    Args:
        outage_s: from its return to the last request that went past it.
        past: look-ups that went past it, those that were refused among them.
    """

    outage_s: Floats
    past: NDArray[np.int64]


def away(
    sent_s: Floats,
    is_lookup: NDArray[np.bool_],
    at_s: float,
    down_s: float,
    usual: Usual,
    *,
    replicas: int,
    rng: np.random.Generator,
) -> Away:
    """Play a kill through, again and again, with other delays.

    Args:
        sent_s: when each request is sent; they go to the servers in turn.
        is_lookup: which of them ask Redis.
        at_s: when Redis is to be killed.
        down_s: from its death to the call that starts it again.
        usual: what moves the rest; `starts_s` above all.
    """
    killed_s = at_s + rng.uniform(0, LATE_S, DRAWS) + _like(usual.kills_s, rng)
    back_s = killed_s + down_s + _like(usual.starts_s, rng)
    # Nobody needs the seconds before the kill or those after the last possible return.
    near = (sent_s >= at_s - PAUSE_S) & (sent_s <= back_s.max() + 4 * PAUSE_S)
    before_s, refused_s = (np.asarray(s or (0.0,)) for s in (usual.before_s, usual.refused_s))
    open_until_s = np.full((replicas, DRAWS), -np.inf)
    last_s = killed_s.copy()
    past = np.zeros(DRAWS, dtype=np.int64)
    for place in np.flatnonzero(is_lookup & near):
        is_open_until_s = open_until_s[place % replicas]
        asked_s = sent_s[place] + before_s[rng.integers(before_s.size, size=DRAWS)]
        is_left_alone = asked_s < is_open_until_s
        is_refused = ~is_left_alone & (asked_s >= killed_s) & (asked_s < back_s)
        told_s = asked_s + refused_s[rng.integers(refused_s.size, size=DRAWS)]
        is_open_until_s[is_refused] = told_s[is_refused] + PAUSE_S
        last_s[is_left_alone | is_refused] = sent_s[place]
        past += is_left_alone | is_refused
    return Away(last_s - back_s, past)


def _like(seen: Sequence[float], rng: np.random.Generator) -> Floats:
    """Draws of what comes next after these: their logarithms are taken as normal, of few."""
    if len(seen) < 2:
        return np.full(DRAWS, seen[0] if seen else 0.0)
    logs = np.log(seen)
    spread = logs.std(ddof=1) * np.sqrt(1 + 1 / logs.size)
    return np.asarray(np.exp(logs.mean() + spread * rng.standard_normal(DRAWS)))
