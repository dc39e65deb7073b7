"""Two TTL caches in a row: an edge cache in front of Redis, which sees only the edge's misses.

The misses of an edge whose keys live for T₁ are T₁ + Exp(λ) apart: no longer Poisson, and never
closer than T₁. So Redis's ratio over what reaches it is lower than λ alone would give, and with
one edge and T₂ ≤ T₁ it is nil.

Assumes: one key; Poisson requests at each edge, alike at all; edges are not purged; the other edges
    are in their steady state when one fills Redis.
Lies when: edges differ in load; the edge's life is nearly Redis's and edges are few; an edge serves
    stale answers while it asks anew.
"""

import math
from dataclasses import dataclass

import numpy as np

from sim.cache.ttl import expected_misses, hit_fraction, mean_residence_s
from sim.errors import require

_MOST_TERMS = 100_000


@dataclass(frozen=True)
class TwoLevels:
    """Hit ratios of one key: at the edge, in Redis (of what reaches it), and of both together."""

    edge: float
    redis: float
    oldest_s: float  # greatest age of an answer since it was read from the database

    @property
    def total(self) -> float:
        """Share of requests that never reach the database."""
        return self.edge + (1.0 - self.edge) * self.redis


def two_ttl_levels(
    requests_per_s: float,
    edge_ttl_s: float,
    redis_ttl_s: float,
    *,
    edges: int = 1,
    clears_per_s: float = 0.0,
) -> TwoLevels:
    """Hit ratios of one key behind edge caches and Redis, both with a TTL since the fill.

    Redis is filled by one edge's miss; the mean number of misses that then reach it while the key
    stays is, from that edge, Σₙ e^{-μnT₁} (λ/(λ+μ))ⁿ P(n, (λ+μ)(T₂-nT₁)), and from each other
    edge, taken to be in its steady state, its miss rate times Redis's mean residence. Clears
    reach Redis only, as edges are not purged.

    Args:
        requests_per_s: Poisson rate λ of requests for the key at each edge, 1/s, > 0.
        edge_ttl_s, redis_ttl_s: T₁ and T₂, s, 10^-9 … 10^12; T₂/T₁ at most 10^5.
        edges: number of independent edge caches with that rate each, ≥ 1.
        clears_per_s: Poisson rate μ of clears in Redis, 1/s, ≥ 0.
    Returns: the ratios. Exact for one edge without the approximation about the others.
    Raises: InvalidScenario outside those domains.
    Source: renewal arrivals at a TTL cache [fofack2014, §3]; superposed edges as there.

    >>> two_ttl_levels(1.0, edge_ttl_s=60.0, redis_ttl_s=60.0).redis  # it never sees a young key
    0.0
    >>> round(two_ttl_levels(1.0, edge_ttl_s=9.0, redis_ttl_s=1000.0).total, 3)
    0.999
    """
    require(edges >= 1, "hierarchy.edges", edges, "at least 1")
    edge = hit_fraction(requests_per_s, edge_ttl_s, 0.0).item()
    stay_s = mean_residence_s(redis_ttl_s, clears_per_s).item()
    ratio = redis_ttl_s / edge_ttl_s
    require(ratio <= _MOST_TERMS, "hierarchy.redis_ttl_s", redis_ttl_s, "at most 1e5 edge TTLs")
    own = _misses_while_resident(requests_per_s, edge_ttl_s, redis_ttl_s, clears_per_s)
    reached = own + (edges - 1) * requests_per_s * (1.0 - edge) * stay_s
    return TwoLevels(edge, reached / (1.0 + reached), edge_ttl_s + redis_ttl_s)


def _misses_while_resident(rate: float, edge_s: float, redis_s: float, clears: float) -> float:
    """Mean number of further misses of the edge that filled, before Redis drops the key.

    After the fill the edge is silent for T₁ and then starts cold: without clears that is
    `expected_misses` from there. Clears end the stay early, at rate μ: ∫ e^{-μr} dM(r).
    """
    if redis_s <= edge_s:
        return 0.0
    if clears == 0.0:
        return expected_misses(rate, edge_s, redis_s - edge_s).item()
    # Riemann–Stieltjes with the survival at the middle of each step, fine against T₁ and 1/μ.
    reach = min(redis_s - edge_s, 40.0 / clears)
    steps = min(20_000, max(200, math.ceil(reach * max(clears, 1.0 / edge_s) * 100)))
    times = np.linspace(0.0, reach, steps + 1)
    misses = expected_misses(rate, edge_s, times)
    survival = np.exp(-clears * (edge_s + 0.5 * (times[1:] + times[:-1])))
    return float(np.diff(misses) @ survival)
