"""Who came first at an emulated machine: requests tell when they are due, parts are prompt."""

import os
import subprocess
import sys
from time import monotonic

import pytest

from stack.gates.emulation import Identity
from stack.gates.settling import GRACE_S
from stack.infra.operations import Operation
from stack.load.priority import run_in_real_time, run_promptly
from stack.service.held import Emulated, Visits, due_s


def visits(due: float | None) -> Visits:
    nowhere: Emulated = None  # type: ignore[assignment] # arrival needs no machine
    return Visits(nowhere, Operation.LIST, Identity(request=1, seed=1), due)


def test_a_request_arrives_when_it_was_due_though_it_woke_a_little_later() -> None:
    due = monotonic() - GRACE_S / 5
    assert visits(due).arrival_s() == due


def test_a_request_that_was_due_long_ago_is_late_at_its_machine_too() -> None:
    before_s = monotonic()
    arrival_s = visits(before_s - 1.0).arrival_s()
    assert before_s - GRACE_S <= arrival_s <= monotonic() - GRACE_S


def test_nobody_books_a_machine_for_tomorrow() -> None:
    assert visits(monotonic() + 86_400.0).arrival_s() <= monotonic() + GRACE_S


def test_a_request_that_tells_nothing_arrives_when_it_is_seen() -> None:
    before_s = monotonic()
    assert before_s <= visits(None).arrival_s() <= monotonic()


def test_who_joined_a_read_goes_on_right_after_its_leader() -> None:
    stored_s = monotonic()
    leader, joined = visits(None), visits(stored_s - 1.0)
    leader.leaves(stored_s)
    joined.follows(leader)
    assert leader.arrival_s() == stored_s
    assert stored_s < joined.arrival_s() < stored_s + 1e-4


@pytest.mark.parametrize(
    ("text", "told"),
    [("12.5", 12.5), ("1234567.123456", 1234567.123456), ("", None), ("nan", None), ("-1.0", None)],
)
def test_only_a_plain_number_of_seconds_is_a_due_time(text: str, told: float | None) -> None:
    assert due_s(text) == told


def test_real_time_is_for_the_process_and_not_for_its_children() -> None:
    """Where it is not allowed the process stays as it was, and that is told."""
    program = (
        "import os, sys; sys.stdin.readline(); "
        "print(os.sched_getscheduler(0) & os.SCHED_RR, flush=True); pid = os.fork(); "
        "code = 0 if pid else os.sched_getscheduler(0) & os.SCHED_RR; "
        "print(os.waitpid(pid, 0)[1]) if pid else os._exit(code)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        run_promptly(process.pid)
        allowed = run_in_real_time(process.pid)
        out, _ = process.communicate("go\n")
    itself, child = out.split()
    assert itself == str(os.SCHED_RR if allowed else 0)
    assert child == "0"


def test_a_process_that_has_ended_is_no_fault_of_real_time() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert not run_in_real_time(process.pid)
