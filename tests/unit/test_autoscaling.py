"""The autoscaler's rule, beside that of the models; and how busy a machine says it was."""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.des.control import Scaling
from sim.model.parts import Autoscaler
from stack.gates.virtual import Gate
from stack.local.autoscaling import AutoscalingPolicy, TargetTracking
from stack.local.info import Change
from stack.local.spec import StackSpec

SLOTS = 2


@dataclass
class Clock:
    """Time that a test lets pass; what is due at one time happens in the order of its asking."""

    now: float = 0.0
    due: list = field(default_factory=list)

    def call_at(self, at_s, call):
        self.due.append((at_s, len(self.due), call))

    def run_until(self, end_s):
        while self.due and min(self.due)[0] <= end_s:
            entry = min(self.due, key=lambda each: each[:2])
            self.due.remove(entry)
            self.now = entry[0]
            entry[2](None)


class Member:
    """A machine of the model whose work is told by the test."""

    def __init__(self, clock, busy_until):
        self.clock, self.busy_until = clock, busy_until
        self.slots, self.busy_s, self.active = SLOTS, 0.0, True

    def count(self):
        self.busy_s = self.busy_until(self.clock.now)

    def update_eligible(self):
        pass


def decided_by_the_model(scaler, busy_s):
    """Times and counts of the model's actions; `busy_s`: of all, by each period's end."""
    clock = Clock()
    first = Member(clock, lambda now: busy_s[round(now / scaler.period_s)])
    members = [first, *(Member(clock, lambda _: 0.0) for _ in range(scaler.max_replicas - 1))]
    scaling = Scaling(clock, scaler, SimpleNamespace(members=members))
    clock.run_until((len(busy_s) - 1) * scaler.period_s)
    return [(at_s, wanted) for at_s, _, wanted in scaling.actions]


def decided_by_the_stack(policy, initial, busy_s):
    """The same by the rule of the stack, with the boots and removals that follow from it."""
    rule = TargetTracking(policy)
    active, boots, actions, now_s = initial, [], [], 0.0
    for so_far_s in busy_s[1:]:
        now_s += policy.period_s
        ready = [b for b in boots if b[0] < now_s]
        boots = [b for b in boots if b not in ready]
        active += sum(count for _, count in ready)
        provisioned = active + sum(count for _, count in boots)
        wanted = rule.decided(
            now_s, so_far_s, slots=active * SLOTS, active=active, provisioned=provisioned
        )
        if wanted > provisioned:
            boots.append((now_s + policy.boot_s, wanted - provisioned))
        active -= max(0, provisioned - wanted)
        if wanted != provisioned:
            actions.append((now_s, wanted))
    return actions


@st.composite
def policies(draw):
    """A policy, by whose boots nothing happens at the very time of a look, and a first count."""
    low = draw(st.integers(1, 4))
    high = low + draw(st.integers(0, 6))
    policy = AutoscalingPolicy(
        min_replicas=low,
        max_replicas=high,
        target_fraction=draw(st.floats(0.1, 0.9)),
        period_s=4.0,
        boot_s=draw(st.sampled_from([1.0, 5.0, 11.0])),
        cooldown_s=draw(st.sampled_from([0.0, 4.0, 20.0])),
    )
    return policy, draw(st.integers(low, high))


@given(policies(), st.lists(st.floats(0, 20), min_size=1, max_size=60))
def test_the_stack_decides_as_the_model_for_any_series_of_work(policy_and_initial, used):
    policy, initial = policy_and_initial
    busy_s = [0.0, *(np.cumsum(used) * policy.period_s).tolist()]
    model = decided_by_the_model(Autoscaler("api", initial=initial, **policy.model_dump()), busy_s)
    assert decided_by_the_stack(policy, initial, busy_s) == model


POLICY = AutoscalingPolicy(
    min_replicas=2, max_replicas=5, target_fraction=0.5, period_s=10.0, boot_s=5.0, cooldown_s=20.0
)


def test_full_machines_ask_for_twice_as_many_at_a_target_of_one_half_and_then_wait():
    rule = TargetTracking(POLICY)
    assert rule.decided(10.0, 40.0, slots=4, active=2, provisioned=2) == 4
    assert rule.used_fraction == 1.0
    assert rule.decided(20.0, 80.0, slots=4, active=2, provisioned=4) == 4  # cooling down
    assert rule.decided(30.0, 80.0, slots=8, active=4, provisioned=4) == 2  # nobody came


def test_work_before_the_clock_began_belongs_to_no_period():
    assert TargetTracking(POLICY, 1e6).decided(10.0, 1e6, slots=4, active=2, provisioned=2) == 2


@pytest.mark.parametrize("wrong", [{"min_replicas": 6}, {"period_s": 0.1}, {"boot_s": math.nan}])
def test_a_policy_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValidationError):
        AutoscalingPolicy(**{**POLICY.model_dump(), **wrong})


def test_a_stack_without_emulated_machines_takes_no_autoscaler():
    with pytest.raises(ValidationError, match="needs an `emulation`"):
        StackSpec(autoscaling=POLICY)


def test_a_time_is_told_to_the_autoscaler_only():
    assert Change(change="autoscale", from_s=3.0).from_s == 3.0
    with pytest.raises(ValidationError, match="`from_s` goes with `autoscale`"):
        Change(change="restart", from_s=3.0)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 9)), min_size=1, max_size=40),
    st.integers(1, 4),
    st.floats(0, 30),
)
def test_a_gate_was_busy_for_what_of_its_visits_lies_before_now(visits, slots, later_s):
    gate = Gate(slots)
    now_s, bookings = 0.0, []
    for gap_s, demand_s in visits:
        now_s += gap_s
        bookings.append(gate.book(now_s, demand_s))
    now_s += later_s
    served = [max(0.0, min(b.done_s, now_s) - min(b.start_s, now_s)) for b in bookings]
    assert gate.busy_s(now_s) == pytest.approx(sum(served), abs=1e-9)
