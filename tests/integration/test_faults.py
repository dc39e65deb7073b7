"""Faults are switched on and off in a running stack, and only in one that takes them."""

import re
import urllib.request
from collections.abc import Iterator

import pytest

from headroom.arguments import scenario_at
from headroom.live import running_stack
from stack.errors import FaultsOff
from stack.local import RunningStack, StackInfo
from stack.local.faults import slow_queries

LATER_S = 2.0  # no query of this stack takes so long by itself


@pytest.fixture(scope="module")
def faulty() -> Iterator[StackInfo]:
    """The baseline: one API process, one mongod, no cache, and faults."""
    scenario = scenario_at("assignment")
    with running_stack(scenario, lambda _: None, name="faulty", faults=True) as info:
        yield info


def database_s(info: StackInfo) -> float:
    """How long the database took for one page, as the service tells."""
    with urllib.request.urlopen(f"{info.base_url}/api/v1/products?page=1", timeout=30) as answer:
        told = re.search(r"db;dur=([\d.]+)", answer.headers["Server-Timing"])
    assert told is not None
    return float(told[1]) / 1e3


def test_slow_queries_are_slow_until_they_are_switched_off(faulty: StackInfo) -> None:
    assert database_s(faulty) < LATER_S
    slow_queries(faulty, LATER_S)
    assert database_s(faulty) >= LATER_S
    slow_queries(faulty, 0.0)
    assert database_s(faulty) < LATER_S
    with pytest.raises(ValueError, match="allowed: 0 to 60 s"):
        slow_queries(faulty, 61.0)


def test_a_stack_that_was_not_started_for_faults_takes_none(live_stack: RunningStack) -> None:
    with pytest.raises(FaultsOff, match="headroom up --faults"):
        slow_queries(live_stack.info, 1.0)
