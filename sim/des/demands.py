"""Demands of every step that draws, for every request."""

from typing import Any

import numpy as np

from sim.des.attempts import Attempt
from sim.draws import demand_s, uniform_each
from sim.model.stack import StackModel, draw_steps
from sim.model.steps import Delay, Replicate, Visit


class Demands:
    """Demands of every drawing step for every request; first attempts drawn all at once."""

    def __init__(self, model: StackModel, requests: int, seed: int) -> None:
        self.seed = seed
        self.requests = np.arange(requests)
        self.first: list[list[float] | None] = [None] * model.draws
        self.kinds = {step.index: step for step in draw_steps(model)}

    def of(self, step: Visit | Delay | Replicate, attempt: Attempt, offset: int = 0) -> float:
        """The demand of a step in an attempt, s."""
        if attempt.number == 0:
            drawn = self.first[step.index + offset]
            if drawn is None:
                drawn = self._draw_all(step, offset)
            return drawn[attempt.request]
        return demand_s(
            self._demand(step, offset),
            self.seed,
            step.component,
            attempt.request,
            visit=step.visit + offset,
            attempt=attempt.number,
        )

    def _draw_all(self, step: Visit | Delay | Replicate, offset: int) -> list[float]:
        u = uniform_each(self.seed, step.component, self.requests, step.visit + offset)
        drawn: list[float] = self._demand(step, offset).at_each(u).tolist()
        self.first[step.index + offset] = drawn
        return drawn

    @staticmethod
    def _demand(step: Visit | Delay | Replicate, offset: int) -> Any:
        if isinstance(step, Replicate):
            return step.apply if offset % 2 else step.lag
        return step.demand
