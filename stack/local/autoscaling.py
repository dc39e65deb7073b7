"""How many replicas there should be: target tracking on utilisation, as cloud autoscalers do it.

The models decide by the same rule (`sim.des.control`) and `stack` never imports them, so the rule
stands here a second time and a test holds both equal.
"""

import math
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_REPLICAS = 64
Seconds = Annotated[float, Field(ge=0, le=10_000_000)]


class AutoscalingPolicy(BaseModel):
    """When replicas come and go; all times are real seconds, of an emulation dilated ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)]
    max_replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)]
    target_fraction: Annotated[float, Field(gt=0, lt=1)]
    period_s: Annotated[float, Field(ge=0.5, le=10_000_000)]  # shorter, and it measures itself
    boot_s: Seconds
    cooldown_s: Seconds

    @model_validator(mode="after")
    def _range_in_order(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError("`min_replicas` is larger than `max_replicas`")
        return self


class TargetTracking:
    """One autoscaler's decisions, a period after the other."""

    def __init__(self, policy: AutoscalingPolicy, busy_s: float = 0.0) -> None:
        self._policy = policy
        self._busy_s = busy_s
        self._not_before_s = 0.0
        self.used_fraction = 0.0  # of the last period

    def decided(
        self, now_s: float, busy_s: float, *, slots: int, active: int, provisioned: int
    ) -> int:
        """At the end of a period: how many replicas to have, those that boot included.

        Args:
            now_s: since the first period began.
            busy_s: that all slots of all replicas have been, since whenever; it only grows.
            slots: of the replicas that serve.
            active: replicas that serve, at least one.
            provisioned: those and the ones that boot.
        """
        policy = self._policy
        self.used_fraction = (busy_s - self._busy_s) / (slots * policy.period_s)
        self._busy_s = busy_s
        if now_s < self._not_before_s:
            return provisioned
        wanted = math.ceil(active * self.used_fraction / policy.target_fraction)
        wanted = min(max(wanted, policy.min_replicas), policy.max_replicas)
        # What boots cannot be taken away, nor the last one that serves.
        wanted = max(wanted, provisioned - (active - 1))
        if wanted != provisioned:
            self._not_before_s = now_s + policy.cooldown_s
        return wanted
