"""Steady states of birth–death chains: how many jobs are present, up from any one state.

Probabilities are found as ratios to the most likely state, outwards, until they no longer count;
so a population of 10^12 costs as much as the width of its distribution, and nothing overflows.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from sim.errors import NotConverged

_NEGLIGIBLE = 1e-40  # below a single event in the widest domain, 1e15 × 1e-15
_MOST_STATES = 6_000_000


def steady_state(
    birth_per_s: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    death_per_s: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    most: int | None,
    start: int,
) -> tuple[int, npt.NDArray[np.float64]]:
    """The steady state of a birth–death chain, without states of negligible probability.

    Args:
        birth_per_s: rate up from each state of an array of states, 1/s, 0 for none.
        death_per_s: rate down from each state ≥ 1, 1/s, > 0.
        most: the highest state, or None where only the falling ratio of rates ends the chain.
        start: a state near the most likely one.
    Returns: the first state that counts, and the probabilities from it on, which sum to 1.
    Raises: NotConverged if more than 6·10^6 states count.
    Source: [shortle2018, §3.1], detailed balance.

    >>> first, chance = steady_state(lambda n: 0 * n + 1.0, lambda n: 0 * n + 2.0, 1, 0)
    >>> first, [round(float(p), 4) for p in chance]  # two states, twice as fast down: 2/3, 1/3
    (0, [0.6667, 0.3333])
    """
    up = _outwards(lambda n: birth_per_s(n) / death_per_s(n + 1), start, +1, most)
    down = _outwards(lambda n: death_per_s(n) / birth_per_s(n - 1), start, -1, 0)
    logs = np.concatenate([down[::-1], [0.0], up])
    weights = np.exp(logs - logs.max())
    keep = np.flatnonzero(weights > _NEGLIGIBLE)
    weights = weights[keep[0] : keep[-1] + 1]
    return start - down.size + int(keep[0]), weights / math.fsum(weights.tolist())


def _outwards(
    ratio: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
    start: int,
    step: int,
    last: int | None,
) -> npt.NDArray[np.float64]:
    """Log probability relative to `start` of the states beyond it, until they are negligible."""
    pieces: list[npt.NDArray[np.float64]] = []
    state, level, peak, size, total = start, 0.0, 0.0, 64, 0
    while last is None or state != last:
        left = size if last is None else min(size, abs(last - state))
        factors = ratio((state + step * np.arange(left)).astype(np.float64))
        if factors[-1] <= 0.0:  # the chain ends inside this piece
            factors = factors[: int(np.argmax(factors <= 0.0))]
            last = state + step * factors.size
        if factors.size == 0:
            break
        logs = level + np.cumsum(np.log(factors))
        pieces.append(logs)
        state, level, total = state + step * factors.size, float(logs[-1]), total + logs.size
        peak = max(peak, float(logs.max()))
        # Past the peak the ratios only fall, so the rest is below a geometric tail. A wide
        # distribution needs less of it than one whose second state is 10^-30.
        floor = peak - (95 if total < 100_000 else 50)
        if level < floor and factors[-1] < 1 and level - math.log1p(-factors[-1]) < floor:
            break
        if total > _MOST_STATES:
            raise NotConverged("steady state of a birth–death chain", total, _MOST_STATES, total)
        size = min(2 * size, 1_000_000)
    return np.concatenate(pieces) if pieces else np.empty(0)
