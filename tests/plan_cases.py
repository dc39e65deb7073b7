"""Scenarios and made-up demands for the tests of plans: nothing was measured."""

import numpy as np

from sim.calibrate import RequestClass
from sim.plan import MeasuredDemands
from sim.scenario import Scenario
from sim.scenario_file import parse_scenario

SCENARIO = """
name: shop
question: Which architecture holds?
workload:
  registered_users: 2000000
  daily_active_fraction: 0.2
  requests_per_session: 20
  profile: {{kind: diurnal, peak_to_mean: 2.5}}
  mix: {{list: 0.4, detail: 0.27, search: 0.1, favourites: 0.1, favourite_add: 0.05, login: 0.08}}
  catalogue: {{products: 400, users: 40, categories: 5, pages_per_category: 4, search_queries: 40}}
topology:
  api: {{replicas: 3, instance_type: m5.large}}
  cache:
    families:
      listing: {{ttl_s: 300}}
      favourites: {{ttl_s: 600, cleared_by_product_update: false}}
      search: {{ttl_s: 180}}
  database: {{members: 3}}
  search: {{engine: elasticsearch}}
objectives: {{p95_s: {p95_s}, availability_fraction: {availability}, error_fraction: 0.001{more}}}
prices: {{egress_gib_per_month: 2000, objects_gib: 50, monitored_hosts: 3}}
uncertainty:
  workload.daily_active_fraction: {{low: 0.1, high: 0.3}}
  plan.growth_factor: {{low: 0.8, high: 1.5}}
plan:
  futures: {futures}
  seed: {seed}
  space: {space}
experiment: {{loads_per_s: [5, 10, 20, 40]}}
"""
SPACE = (
    "{api_types: [m5.large, c7g.large], api_replicas: [1, 2, 4], cache_types: [cache.m5.large], "
    "cache_nodes: [1], database_types: [m7g.large, M30], database_members: [1, 3], "
    "search_types: [m6g.large.search], search_nodes: [1], purchases: [on_demand]}"
)
CPU_S = {
    "hit": {"nginx": 1e-4, "api": 1e-3, "redis": 5e-5},
    "miss": {"nginx": 1e-4, "api": 3e-3, "redis": 1e-4, "mongo": 2e-3},
    "none": {"nginx": 1e-4, "api": 2e-3, "mongo": 1e-3},
}


def scenario(
    *,
    p95_s: float = 0.06,
    availability: float = 0.9,
    futures: int = 40,
    seed: int = 5,
    space: str = SPACE,
    more: str = "",
) -> Scenario:
    text = SCENARIO.format(
        p95_s=p95_s, availability=availability, futures=futures, seed=seed, space=space, more=more
    )
    return parse_scenario(text)


def measured() -> MeasuredDemands:
    classes = []
    for operation in ("list", "list_cursor", "search", "favourites"):
        for outcome in ("hit", "miss"):
            cpu_s = dict(CPU_S[outcome])
            if (operation, outcome) == ("search", "miss"):
                cpu_s = {**cpu_s, "elasticsearch": 0.01}
                del cpu_s["mongo"]
            classes.append(request_class(operation, outcome, cpu_s))
    for operation in ("detail", "favourite_add", "product_update"):
        classes.append(request_class(operation, "none", CPU_S["none"]))
    for operation in ("login", "register"):
        classes.append(request_class(operation, "none", {**CPU_S["none"], "api_threads": 0.02}))
    return MeasuredDemands(
        tuple(classes), spread={"api": (0.9, 1.1), "mongo": (0.8, 1.3)}, measured_on="paper"
    )


def request_class(operation: str, outcome: str, cpu_s: dict[str, float]) -> RequestClass:
    latency_s = sum(cpu_s.values()) * np.array([1.1, 1.2, 1.3, 1.5, 2.0] * 4)
    return RequestClass(operation, outcome, cpu_s, latency_s)
