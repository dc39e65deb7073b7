"""The loads that the futures of a plan bring."""

import numpy as np
from numpy.typing import NDArray

from sim.errors import require
from sim.plan.futures import InputFutures
from sim.scenario import Scenario

Floats = NDArray[np.float64]


def loads_of(scenario: Scenario, futures: InputFutures) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean and peak load, people a day, and growth of requests, by future.

    Args:
        scenario: its workload at the centre, and `plan.growth_factor`.
        futures: what of it is uncertain.
    Returns: mean load, requests/s; peak load, requests/s; people a day, >= 1; requests as a
        factor on the scenario's own.
    Raises: InvalidScenario where a future has no demand.
    Source: `sim.workload.demand`; a constant profile has no peak.

    >>> from sim.example import shop
    >>> from sim.plan.futures import futures_at
    >>> mean, peak, people, growth = loads_of(shop(), futures_at((), {}, 1))
    >>> float(growth[0]), bool(peak[0] >= mean[0])
    (1.0, True)
    """
    workload = scenario.workload
    own = {
        "registered_users": float(workload.registered_users),
        "daily_active_fraction": workload.daily_active_fraction,
        "sessions_per_active_user_per_day": workload.sessions_per_active_user_per_day,
        "requests_per_session": workload.requests_per_session,
    }
    values = {name: futures.value(f"workload.{name}", value) for name, value in own.items()}
    users = futures.value("plan.growth_factor", scenario.plan.growth_factor)
    people = users * values["registered_users"] * values["daily_active_fraction"]
    requests = people * values["sessions_per_active_user_per_day"] * values["requests_per_session"]
    require(
        bool((requests > 0).all()), "workload", float(requests.min()), "a demand above 0 requests"
    )
    profile = workload.profile
    peak = futures.value("workload.profile.peak_to_mean", profile.peak_to_mean)
    peak = np.ones_like(peak) if profile.kind == "constant" else peak
    mean = requests / 86_400.0
    return mean, mean * peak, np.maximum(people, 1.0), requests / workload.requests_per_day
