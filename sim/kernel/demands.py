"""Demands of visits and delays: a few drawn ahead, many at a time where a step is much used.

A draw is a function of its numbers alone (`sim.draws`), so drawing ahead changes no result. The
draws of neighbouring requests at one step do not depend on each other, and the processor computes
several at once; one after the other they would be the largest part of a simulation's time.
"""

from typing import Any

import numpy as np

from sim.kernel import draws
from sim.kernel.compiled import compiled, inlined
from sim.kernel.layout import AHEAD, BLOCK, World

# A step that fewer requests of a block ask for than this is drawn one by one.
WORTH_DRAWING = BLOCK // 5


@inlined
def demand_of(w: World, attempt: Any, step: Any) -> float:
    """The demand of the step at which an attempt is, s."""
    if step.kind == draws.DETERMINISTIC:
        return step.p0
    request = attempt.request
    if attempt.number == 0 and step.kind <= draws.LOGNORMAL:
        block = request // BLOCK
        row = attempt.pc * AHEAD + block % AHEAD
        ahead = w.blocks[row]
        if ahead.number != block:
            ahead.number, ahead.drawn, ahead.uses = block, ahead.uses >= WORTH_DRAWING, 0
            if ahead.drawn:
                _draw_block(w.drawn_s[row], step, block * BLOCK)
        ahead.uses += 1
        if ahead.drawn:
            return w.drawn_s[row, request % BLOCK]
    start = step.stream
    if attempt.number:
        start = draws.stream(step.base, step.visit, attempt.number)
    u = draws.uniform(start, request)
    return draws.demand(u, step.kind, step.p0, step.p1, w.tables, step.table_at, step.table_last)


@compiled
def _draw_block(drawn_s: Any, step: Any, first: int) -> None:
    if step.kind == draws.EXPONENTIAL:
        draw_exponential(drawn_s, step.stream, first, step.p0)
    else:
        draw_lognormal(drawn_s, step.stream, first, step.p0, step.p1)


@inlined
def draw_exponential(drawn_s: Any, start: Any, first: int, mean_s: float) -> None:
    """Demands of consecutive requests, without a branch."""
    for i in range(drawn_s.size):
        drawn_s[i] = -(mean_s * draws.log_of(draws.uniform(start, first + i)))


@inlined
def draw_lognormal(drawn_s: Any, start: Any, first: int, mu: float, sigma: float) -> None:
    """Demands of consecutive requests, without a branch but for the far tails (about 1e-11)."""
    far = 0
    for i in range(drawn_s.size):
        drawn_s[i] = draws.near_quantile(draws.uniform(start, first + i))
        far += np.isnan(drawn_s[i])
    if far:
        for i in range(drawn_s.size):
            if np.isnan(drawn_s[i]):
                drawn_s[i] = draws.normal_quantile(draws.uniform(start, first + i))
    for i in range(drawn_s.size):
        drawn_s[i] = draws.exp_of(mu + sigma * drawn_s[i])
