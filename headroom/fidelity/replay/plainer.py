"""What a plainer model says of a crowd: the mean curve and the autoscaler's rule, and nothing else.

No queue that is worked off later, no chance in arrivals and demands: a machine is used as much as
the mean load asks of it, and at most wholly.
"""

import numpy as np

from headroom.dilation import dilated
from headroom.fidelity.replay.crowd import Crowd, from_decisions, machines_at
from headroom.fidelity.replay.records import Serving
from headroom.live import autoscaling_of
from stack.local.autoscaling import TargetTracking


def plainer_serving(crowd: Crowd) -> tuple[Serving, ...]:
    """How many machines serve from when on, by the mean curve."""
    policy = autoscaling_of(dilated(crowd.topology.scenario).topology.api)
    assert policy is not None
    rule = TargetTracking(policy)
    asked = crowd.topology.scenario.topology.api.replicas
    decisions: list[tuple[float, int]] = []
    busy_s, now_s = 0.0, 0.0
    while now_s + policy.period_s < crowd.duration_s:
        came = np.diff(
            crowd.demand.expected_requests(
                crowd.begin_s + np.array([now_s, now_s + policy.period_s])
            )
        )
        now_s += policy.period_s
        active = int(machines_at(from_decisions(decisions, crowd), np.array([now_s]))[0])
        slots = active * crowd.slots
        busy_s += min(float(came[0]) * crowd.held_s, slots * policy.period_s)
        wanted = rule.decided(now_s, busy_s, slots=slots, active=active, provisioned=asked)
        if wanted != asked:
            decisions.append((now_s, wanted))
            asked = wanted
    return from_decisions(decisions, crowd)
