"""A fill that comes after an invalidation: neither engine lets it take a newer entry's place."""

from types import ModuleType

import numpy as np
import pytest

from sim import des, kernel
from sim.model import (
    CacheFamily,
    CacheOutcome,
    Delay,
    Demand,
    Fill,
    Invalidate,
    Lookup,
    Route,
    StackModel,
    Station,
    Visit,
)
from sim.workload import Trace

HIT, MISS = CacheOutcome.HIT, CacheOutcome.MISS


@pytest.mark.parametrize("engine", [des, kernel])
@pytest.mark.parametrize("coalesce", [False, True])
def test_a_slow_read_from_before_a_change_does_not_displace_what_was_read_after_it(
    engine: ModuleType, coalesce: bool
) -> None:
    def read(operation: str, needs_s: float) -> Route:
        query = Delay(Demand(needs_s, distribution="deterministic"))
        return Route(operation, (Lookup("pages", miss=(query, Fill("pages"))),))

    change = Visit("db", Demand(0.0))
    model = StackModel(
        stations=(Station("db", 1),),
        families=(CacheFamily("pages", ttl_s=100.0, keys=1, coalesce=coalesce),),
        routes=(
            read("slow", 5.0),
            read("fast", 1.0),
            Route("write", (change, Invalidate("pages"))),
        ),
    )
    # A slow read begins, a write clears, a fast read stores; then the slow one's fill comes.
    operations = np.array([0, 2, 1, 1, 1, 2, 1], np.int16)
    arrival_s = np.array([0.0, 1.0, 2.0, 4.0, 6.0, 7.0, 8.0])
    zeros = np.zeros(arrival_s.size, np.int64)
    trace = Trace(arrival_s, ("slow", "fast", "write"), operations, zeros, zeros)
    outcome = engine.simulate(model, trace, seed=1).cache_outcome
    assert outcome[operations != 2].tolist() == [MISS, MISS, HIT, HIT, MISS]
