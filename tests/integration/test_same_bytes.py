"""The same requests as they are and dilated: the same hits, the same bytes."""

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headroom.fidelity.sameness import MIX, SPEEDS, Speed, beside, offered_at, stack_at
from headroom.fidelity.topologies import Topology, topology
from sim.workload import Trace, requests_at

pytestmark = pytest.mark.alone

DILATED = Speed("dilated", 2.5, is_emulated=True)
REQUESTS, APART_S = 30, 0.04
TTL_S = 600.0  # none ends within the test: ends are a matter of time, and the machine may be busy
SEED = 5


def small(speed: Speed) -> Topology:
    """One API server, Redis and one mongod, which also searches."""
    base = topology("one-replica", speed.model_scale)
    shape = base.scenario.topology
    assert shape.cache is not None
    families = {
        family: policy.model_copy(update={"ttl_s": TTL_S})
        for family, policy in shape.cache.families.items()
    }
    shape = shape.model_copy(
        update={
            "cache": shape.cache.model_copy(update={"families": families}),
            "database": shape.database.model_copy(update={"members": 1}),
        }
    )
    workload = base.scenario.workload.model_copy(update={"mix": MIX})
    scenario = base.scenario.model_copy(update={"topology": shape, "workload": workload})
    return replace(base, scenario=scenario)


def one_by_one(speed: Speed) -> Trace:
    """Requests so far apart that each is answered before the next comes."""
    arrival_s = (1 + np.arange(REQUESTS)) * APART_S * speed.scale
    return requests_at(arrival_s, small(speed).scenario.workload, np.random.default_rng(SEED))


def test_the_same_requests_get_the_same_bytes_and_hits_from_a_native_and_a_dilated_stack(
    tmp_path: Path,
) -> None:
    speeds = (SPEEDS[0], DILATED)
    found = []
    with ExitStack() as running, ThreadPoolExecutor() as pool:
        # They start beside each other, which saves some seconds, and are asked in turn.
        stacks = [stack_at(small(speed), speed, f"same-bytes-{speed.name[:2]}") for speed in speeds]
        starts = [pool.submit(running.enter_context, stack) for stack in stacks]
        for speed, start in zip(speeds, starts, strict=True):
            info, trace = start.result(), one_by_one(speed)
            wait(starts)
            seen = offered_at(small(speed), speed, trace, SEED, info, place=tmp_path)
            found.append(beside(tmp_path, SPEEDS[0], speed, seen))
    as_it_is, other = found
    assert other.bodies > 0.8 * REQUESTS
    assert other.same_bodies == other.bodies == as_it_is.bodies
    assert other.same_lookups == other.lookups == as_it_is.lookups
    assert other.hit_ratio == as_it_is.hit_ratio
    assert 0.1 < other.hit_ratio["all"] < 0.9  # some were there, and some were not
