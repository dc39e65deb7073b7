"""The figures of reports and notebooks, in one theme."""

from headroom.charts.changes import changes
from headroom.charts.cost import cost_of_a_million_requests, stated_and_repriced
from headroom.charts.latency import latency_against_load, production_latency
from headroom.charts.load_cost import bill_growth, credit_balance
from headroom.charts.palette import in_scheme
from headroom.charts.plan import frontier, tornado, what_if_latencies
from headroom.charts.ratios import (
    hit_ratios,
    model_errors,
    utilisation_against_load,
    utilisation_at_limit,
)
from headroom.charts.theme import use_theme

__all__ = [
    "bill_growth",
    "changes",
    "cost_of_a_million_requests",
    "credit_balance",
    "frontier",
    "hit_ratios",
    "in_scheme",
    "latency_against_load",
    "model_errors",
    "production_latency",
    "stated_and_repriced",
    "tornado",
    "use_theme",
    "utilisation_against_load",
    "utilisation_at_limit",
    "what_if_latencies",
]
