import os
import subprocess
import sys

import pytest

from stack.observe.cpu import CpuSnapshot, HostTime, ProcessTime, difference, snapshot
from stack.observe.machine import facts_sha256, machine_facts
from stack.observe.speed import machine_speed_per_s

# Burns CPU in a thread that ends and in a child that ends, says so, and stays.
BURN = """
import subprocess, sys, threading, time
def burn():
    while time.thread_time() < 0.2:
        pass
thread = threading.Thread(target=burn)
thread.start()
thread.join()
subprocess.run([sys.executable, "-S", "-c", "import time\\nwhile time.process_time() < 0.2: pass"])
print("burnt", flush=True)
sys.stdin.read()
"""


def test_cpu_of_ended_threads_and_ended_children_is_counted() -> None:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        before = snapshot({"burner": [process.pid]})
        assert process.stdout is not None
        assert process.stdout.readline() == "burnt\n"
        use = difference(before, snapshot({"burner": [process.pid]}))
        process.communicate()
    # The clock is precise; what children used is told in steps of 10 ms, twice.
    assert use.cpu_s["burner"] >= 0.4 - 0.03
    assert use.busy_s > 0


def test_a_child_belongs_to_the_part_of_its_nearest_named_ancestor() -> None:
    with subprocess.Popen(
        [sys.executable, "-S", "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        seen = snapshot({"parent": [os.getpid()], "child": [process.pid]})
        assert seen.processes[process.pid].part == "child"
        assert seen.processes[os.getpid()].part == "parent"
        process.communicate()
    assert process.pid not in snapshot({"child": [process.pid]}).processes


def test_only_the_others_that_give_way_are_lower() -> None:
    with subprocess.Popen(
        ["nice", "-n", "5", sys.executable, "-S", "-c", BURN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        after = snapshot({})
        ours = snapshot({"ours": [process.pid]})
        process.communicate()
    assert after.lower[process.pid].own_s >= 0.2
    assert os.getpid() not in after.lower or os.nice(0) > 0
    assert process.pid not in ours.lower
    assert ours.processes[process.pid].part == "ours"


def test_what_ended_is_not_counted_as_lower_twice() -> None:
    """3 s of a process that ended come back in its parent's reaped time; 2 s are new."""
    host = HostTime(0.0, 0.0)
    before = CpuSnapshot(
        0.0, 2, host, {}, {1: ProcessTime("", 7, 1.0, 0.0), 2: ProcessTime("", 8, 3.0, 0.0)}
    )
    after = CpuSnapshot(10.0, 2, host, {}, {1: ProcessTime("", 7, 1.5, 4.5)})
    use = difference(before, after)
    assert use.lower_s == pytest.approx(2.0)
    assert use.lower_cpu_fraction == pytest.approx(0.1)


def test_difference_by_hand() -> None:
    """Two cores, 10 s: 4 s of idle and 2 s stolen leave 14 s busy, 9 s of them ours."""
    before = CpuSnapshot(
        100.0,
        2,
        HostTime(50.0, 1.0),
        {1: ProcessTime("api", 7, 3.0, 0.0), 2: ProcessTime("api", 8, 1.0, 0.0)},
    )
    after = CpuSnapshot(
        110.0,
        2,
        HostTime(54.0, 3.0),
        # Process 1 worked 5 s and reaped a child of 1 s; number 2 was reused by a new process.
        {1: ProcessTime("api", 7, 8.0, 1.0), 2: ProcessTime("db", 99, 3.0, 0.0)},
    )
    use = difference(before, after)
    assert use.cpu_s == {"api": 6.0, "db": 3.0}
    assert use.busy_s == 14.0
    assert use.steal_fraction == pytest.approx(2 / 20)
    assert use.foreign_cpu_fraction == pytest.approx(5 / 20)
    assert use.cores_used("api") == pytest.approx(0.6)
    assert use.ended == (2,)
    with pytest.raises(ValueError, match="the second must be the later one"):
        difference(after, before)


def test_machine_facts_hash_the_same_whatever_their_order() -> None:
    facts = machine_facts()
    assert facts["cores"] >= 1
    assert facts["memory_mib"] > 100
    assert facts["packages"]["numpy"]
    assert facts_sha256(facts) == facts_sha256(dict(reversed(facts.items())))
    assert facts_sha256(facts) != facts_sha256(facts | {"cores": 10_000})


def test_a_package_that_is_not_installed_is_told_as_unknown() -> None:
    assert machine_facts(["no-such-package-here"])["packages"] == {"no-such-package-here": None}


def test_the_speed_probe_returns_a_rate() -> None:
    assert 1.0 < machine_speed_per_s() < 100_000.0
