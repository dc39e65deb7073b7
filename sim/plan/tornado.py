"""Which uncertain input matters: each moved over its interval alone, the others at their centre.

One at a time: what inputs do together is left out. The futures of a plan move them all at once.
"""

from dataclasses import dataclass

import numpy as np

from sim.plan.effects import steady
from sim.plan.futures import Z90, futures_at
from sim.plan.screen import Planner
from sim.plan.space import Candidate

FIGURES = ("p95_s", "headroom_fraction", "usd_per_month")


@dataclass(frozen=True)
class Bar:
    """What one input does to one figure.

    Args:
        name: of the input.
        low, high: the ends of its interval (5 and 95 % quantile).
        at_low, at_high: the figure there, the others at their centre; infinite when overloaded.
    """

    name: str
    low: float
    high: float
    at_low: float
    at_high: float

    @property
    def width(self) -> float:
        """How far apart the two are; 0 where both are overloaded."""
        both = np.isinf(self.at_low) and np.isinf(self.at_high)
        return 0.0 if both else abs(self.at_high - self.at_low)


@dataclass(frozen=True)
class Tornado:
    """The bars of one figure, widest first, around its value with every input at its centre."""

    figure: str
    centre: float
    bars: tuple[Bar, ...]


def tornado(planner: Planner, candidate: Candidate) -> dict[str, Tornado]:
    """The tornado of p95 at the peak, of headroom and of cost.

    Args:
        planner: of whose inputs the intervals are taken.
        candidate: the architecture.
    Returns: by figure, all inputs that move it, widest first.
    Source: one at a time, between the ends of each interval; [saltelli2008, ch. 1] says what that
        misses.

    >>> from sim.example import shop_question
    >>> from sim.plan import own_candidate
    >>> planner = shop_question().centre()
    >>> bars = tornado(planner, own_candidate(planner.scenario))["usd_per_month"].bars
    >>> {bar.name.split(".")[0] for bar in bars}  # speed moves no bill
    {'price'}
    """
    inputs = tuple(planner.futures.inputs.values())
    count = 2 * len(inputs) + 1  # the centre last
    deviates = {}
    for place, each in enumerate(inputs):
        z = np.zeros(count)
        z[2 * place], z[2 * place + 1] = -Z90, Z90
        deviates[each.name] = z
    found = steady(planner.with_futures(futures_at(inputs, deviates, count)), candidate)
    tornadoes = {}
    for figure in FIGURES:
        values = getattr(found, figure)
        centre = float(values[-1])
        bars = [
            Bar(each.name, each.low, each.high, float(values[2 * i]), float(values[2 * i + 1]))
            for i, each in enumerate(inputs)
        ]
        moving = [bar for bar in bars if bar.width > 1e-9 * max(abs(centre), 1e-9)]
        moving.sort(key=lambda bar: (-bar.width, bar.name))
        tornadoes[figure] = Tornado(figure, centre, tuple(moving))
    return tornadoes
