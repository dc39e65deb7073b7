"""Demand: who comes, when, and what they ask for.

- `popularity`: Zipf probabilities and sampling, up to 10^12 items.
- `trace`: one seeded list of requests, the same for the live load and for the models.
- `demand`: the rate over time; `arrivals`: arrival times for it, Poisson or burstier.
- `sessions`: sessions, how many people stand behind a load. `users`: closed users, one by one.
- `fit`: popularity and burstiness from what was observed.
"""

from sim.workload.arrivals import arrivals_s, demand_trace
from sim.workload.demand import Demand, demand_of, diurnal_shape
from sim.workload.fit import ZipfFit, fit_zipf, index_of_dispersion
from sim.workload.popularity import Zipf, zipf_probabilities
from sim.workload.sessions import ClosedUsers, concurrent_users, session_trace
from sim.workload.trace import (
    Trace,
    listing_key_of_rank,
    listing_rank_of_key,
    open_trace,
    operations_of,
    poisson_arrivals_s,
    requests_at,
)
from sim.workload.users import UserTrace, user_trace

__all__ = [
    "ClosedUsers",
    "Demand",
    "Trace",
    "UserTrace",
    "Zipf",
    "ZipfFit",
    "arrivals_s",
    "concurrent_users",
    "demand_of",
    "demand_trace",
    "diurnal_shape",
    "fit_zipf",
    "index_of_dispersion",
    "listing_key_of_rank",
    "listing_rank_of_key",
    "open_trace",
    "operations_of",
    "poisson_arrivals_s",
    "requests_at",
    "session_trace",
    "user_trace",
    "zipf_probabilities",
]
