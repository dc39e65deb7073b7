"""Demand: who comes, when, and what they ask for.

- `popularity`: Zipf probabilities and sampling, up to 10^12 items.
- `trace`: one seeded list of requests, the same for the live load and for the models.
"""

from sim.workload.popularity import Zipf, zipf_probabilities
from sim.workload.trace import Trace, listing_key_of_rank, listing_rank_of_key, open_trace

__all__ = [
    "Trace",
    "Zipf",
    "listing_key_of_rank",
    "listing_rank_of_key",
    "open_trace",
    "zipf_probabilities",
]
