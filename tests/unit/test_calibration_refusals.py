"""What is said of requests that were not answered as their class is."""

import numpy as np
import pytest

from headroom.calibrate import unfit
from headroom.fidelity.topologies import topology
from sim.scenario import Family, Operation, Scenario
from stack.load.answer import CACHE_OUTCOMES
from stack.load.bursts import Costs


def seen(hits: int, misses: int, wrong_status: int = 0) -> Costs:
    return Costs(
        cpu_s={},
        latency_s=np.full(40, 0.005),
        single_cpu_s={},
        cache={CACHE_OUTCOMES.index("hit"): hits, CACHE_OUTCOMES.index("miss"): misses},
        wrong_status=wrong_status,
    )


def living(ttl_s: float) -> Scenario:
    """Entries of lists live so long."""
    base = topology("three-replicas", scale=1.0).scenario
    cache = base.topology.cache
    assert cache is not None
    policy = cache.families[Family.LISTING].model_copy(update={"ttl_s": ttl_s})
    families = {**cache.families, Family.LISTING: policy}
    shape = base.topology.model_copy(
        update={"cache": cache.model_copy(update={"families": families})}
    )
    return base.model_copy(update={"topology": shape})


def test_entries_that_end_while_they_are_asked_for_are_to_live_twice_as_long_as_that_takes() -> (
    None
):
    said = unfit(living(0.5), Operation.LIST, "hit", seen(hits=85, misses=15))
    assert said == (
        "list hit: only 85 of 100 requests had that cache outcome: their entries live 0.5 s, and "
        "asking for them took 1.0 s. Set topology.cache.families.listing.ttl_s to 2 or more for "
        "the calibration: what a request costs does not depend on it"
    )


@pytest.mark.parametrize(("ttl_s", "outcome"), [(60.0, "hit"), (0.5, "miss")])
def test_other_outcomes_than_asked_for_tell_of_somebody_else(ttl_s: float, outcome: str) -> None:
    said = unfit(living(ttl_s), Operation.LIST, outcome, seen(hits=50, misses=50))
    assert said.endswith("Leave the stack alone while it is calibrated, then calibrate again")
    assert "ttl_s" not in said


def test_a_wrong_status_is_told_before_what_the_cache_did() -> None:
    said = unfit(living(0.5), Operation.LIST, "hit", seen(hits=0, misses=100, wrong_status=7))
    assert said.startswith("list hit: 7 of 100 requests were not answered with 200")


def test_nine_of_ten_are_enough() -> None:
    assert unfit(living(0.5), Operation.LIST, "hit", seen(hits=90, misses=10)) == ""
