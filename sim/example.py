"""A shop in round numbers, for sums in the head: what the examples in the docstrings ask about."""

import numpy as np

from sim.calibrate import RequestClass
from sim.cost import price_book
from sim.plan.demand import MeasuredDemands
from sim.plan.planning import Question, question_of
from sim.scenario import Scenario
from sim.scenario_file import parse_scenario

SHOP = """
name: shop
question: Does it hold?
workload:
  registered_users: 864000
  daily_active_fraction: 0.1
  requests_per_session: 10
  profile: {kind: diurnal, peak_to_mean: 2.0}
  mix: {list: 0.5, detail: 0.5}
  catalogue: {products: 100, users: 100, categories: 4, pages_per_category: 5}
topology:
  api: {replicas: 2, instance_type: m5.large}
  cache: {families: {listing: {ttl_s: 300}}, instance_type: cache.m5.large}
  database: {members: 3, instance_type: M30}
  search: {engine: mongo_text}
objectives: {p95_s: 0.2, availability_fraction: 0.99, error_fraction: 0.001}
plan:
  futures: 20
  seed: 1
  calibrated_on: m5.large
  space: {api_types: [m5.large], api_replicas: [1, 2, 3], cache_types: [cache.m5.large],
          cache_nodes: [1], database_types: [M30], database_members: [3], purchases: [on_demand]}
experiment: {loads_per_s: [5, 10, 20, 40]}
"""


def shop() -> Scenario:
    """The scenario: 10 requests/s on a mean day, 20 at its peak; half of them may be cached."""
    return parse_scenario(SHOP, source="sim.example")


def shop_demands() -> MeasuredDemands:
    """Its demands: 10 ms at the API, 20 ms at MongoDB where no cache answers; 1 ms of network."""
    return MeasuredDemands(
        (
            _class("list", "hit", {"api": 0.010, "redis": 0.001}),
            _class("list", "miss", {"api": 0.010, "redis": 0.002, "mongo": 0.020}),
            _class("detail", "none", {"api": 0.010, "mongo": 0.020}),
        ),
        measured_on="paper",
    )


def _class(operation: str, outcome: str, cpu_s: dict[str, float]) -> RequestClass:
    return RequestClass(operation, outcome, cpu_s, np.full(5, sum(cpu_s.values()) + 0.001))


def shop_question() -> Question:
    """What a plan of the shop is asked: one to three API servers, the rest as it is."""
    return question_of(shop(), shop_demands(), price_book("2026-07"))[0]
