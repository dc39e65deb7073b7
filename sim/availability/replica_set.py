"""A replica set with elections as a Markov chain: how long it has no primary.

Assumes: members fail and return one by one at constant rates; elections take an exponential time.
Lies when: the network splits the members; a member is slow rather than down; elections fail again
    and again under load.
"""

from functools import lru_cache

import numpy as np

from sim.availability.structure import Array, Shares, rates
from sim.errors import require
from sim.queueing.domain import count

_PRIMARY, _ELECTING = 0, 1
Transition = tuple[int, int, str, float]


def no_primary(
    members: int,
    needed: int,
    failures_per_h: Shares,
    away_h: Shares,
    election_s: Shares,
) -> Array:
    """Share of time without a primary: no majority, or an election under way.

    States are (members up, primary or electing); a set below its majority has no primary whatever
    else. A failing primary starts an election when the rest is a majority, a failing secondary does
    not; a set that regains its majority elects.

    Args:
        members: members of the set that may be up, 1..50.
        needed: members that make a majority, 1..50; more than `members` never has a primary.
        failures_per_h: failures of one member per hour of running, >= 0.
        away_h: mean time until a member is back, h, > 0.
        election_s: mean time from the loss of a primary to the next, detection included, s, > 0.
    Returns: share of time without a primary, 0..1; the arrays broadcast.
    Raises: InvalidScenario outside those domains.
    Source: [trivedi2002, ch. 8]; the balance equations are solved exactly.

    >>> alone = float(no_primary(1, 1, 1 / 99, 1.0, 1e-6))  # one member, an instant election
    >>> round(alone, 6)
    0.01
    """
    n = count("members", members, 50)
    majority = count("needed", needed, 50)
    failures, away = rates("failures_per_h", failures_per_h), rates("away_h", away_h)
    election_h = rates("election_s", election_s) / 3600.0
    require(bool(np.all(away > 0)), "away_h", away_h, "above 0")
    require(bool(np.all(election_h > 0)), "election_s", election_s, "above 0")
    failures, away, election_h = np.broadcast_arrays(failures, away, election_h)
    if majority > n:
        return np.ones_like(failures)
    states, transitions = _chain(n, majority)
    speed = {"failure": failures, "repair": 1.0 / away, "election": 1.0 / election_h}
    generator = np.zeros((*failures.shape, len(states), len(states)))
    for start, end, kind, factor in transitions:
        rate = factor * speed[kind]
        generator[..., end, start] += rate
        generator[..., start, start] -= rate
    # One balance equation follows from the rest; in its place: probabilities sum to 1.
    generator[..., -1, :] = 1.0
    wanted = np.zeros((*failures.shape, len(states), 1))
    wanted[..., -1, 0] = 1.0
    steady = np.linalg.solve(generator, wanted)[..., 0]
    without = [i for i, (_, phase) in enumerate(states) if phase == _ELECTING]
    return np.asarray(np.clip(steady[..., without].sum(axis=-1), 0.0, 1.0))


@lru_cache(maxsize=64)
def _chain(members: int, majority: int) -> tuple[tuple[tuple[int, int], ...], list[Transition]]:
    """States, and transitions as (from, to, kind of rate, multiple of it)."""
    states = [(up, _ELECTING) for up in range(members + 1)]
    states += [(up, _PRIMARY) for up in range(majority, members + 1)]
    place = {state: index for index, state in enumerate(states)}
    found: list[Transition] = []

    def add(start: tuple[int, int], end: tuple[int, int], kind: str, factor: float) -> None:
        if factor > 0:
            found.append((place[start], place[end], kind, factor))

    for up, phase in states:
        here = (up, phase)
        if up < members:
            add(here, (up + 1, phase), "repair", float(members - up))
        if phase == _PRIMARY:
            add(here, (up - 1, _ELECTING), "failure", 1.0)
            left = _PRIMARY if up - 1 >= majority else _ELECTING
            add(here, (up - 1, left), "failure", float(up - 1))
        else:
            if up > 0:
                add(here, (up - 1, _ELECTING), "failure", float(up))
            if up >= majority:
                add(here, (up, _PRIMARY), "election", 1.0)
    return tuple(states), found
