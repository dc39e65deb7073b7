import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import replicate_cases as cases

from sim.errors import InvalidScenario, NotConverged, UnstableStation
from sim.replicate import mean_interval, paired_difference, replicate_until, sweep

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def as_bytes(table):
    return [[pickle.dumps(value) for value in row] for row in table]


def test_processes_return_the_same_bytes_as_one_process():
    alone = sweep(cases.draw_and_sum, [1.0, 2.5, 9.0], 7, seed=5, workers=1)
    apart = sweep(cases.draw_and_sum, [1.0, 2.5, 9.0], 7, seed=5, workers=2)
    assert as_bytes(alone) == as_bytes(apart)


def test_every_unit_has_a_stream_of_its_own():
    table = sweep(cases.first_draw, [0.0, 0.0, 0.0], 5, seed=5, workers=1)
    assert len({value for row in table for value in row}) == 15


def test_streams_are_those_of_spawned_seed_sequences():
    table = sweep(cases.first_draw, [0.0, 0.0], 2, seed=8, workers=1)
    second_case = np.random.SeedSequence(8).spawn(2)[1].spawn(2)
    assert table[1] == [np.random.default_rng(seed).random() for seed in second_case]


def test_common_random_numbers_sharpen_a_difference():
    apart = sweep(cases.draw_and_sum, [1.0, 1.1], 20, seed=3, workers=1)
    shared = sweep(
        cases.draw_and_sum, [1.0, 1.1], 20, seed=3, workers=1, common_random_numbers=True
    )
    widths = []
    for table in (apart, shared):
        means = [[result["mean"] for result in row] for row in table]
        widths.append(paired_difference(means[1], means[0]).halfwidth)
    assert widths[1] < widths[0] / 5
    assert paired_difference(means[1], means[0]).holds(0.1)


def test_a_dead_worker_is_replaced_and_its_chunk_computed_again(tmp_path):
    marks = [tmp_path / "one", tmp_path / "two", tmp_path / "three"]
    died = sweep(cases.die_once, marks, 1, seed=4, workers=2)
    again = sweep(cases.die_once, marks, 1, seed=4, workers=1)
    assert died == again


def test_a_chunk_that_always_kills_its_worker_ends_the_sweep():
    with pytest.raises(NotConverged, match="workers died"):
        sweep(cases.die_always, [1, 2], 1, seed=4, workers=2)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_the_function_comes_home_whole_and_says_where(workers):
    with pytest.raises(UnstableStation) as caught:
        sweep(cases.fail_on_three, [1, 2, 3, 4], 1, seed=1, workers=workers)
    assert caught.value.utilisation == 1.5
    assert caught.value.__notes__ == ["in case 2, replication 0"]


def test_a_result_that_cannot_be_sent_is_one_clear_error():
    with pytest.raises(TypeError, match="cannot be sent"):
        sweep(cases.unsendable, [1, 2], 1, seed=1, workers=2)


def test_progress_counts_up_to_the_total():
    seen = []
    sweep(cases.first_draw, [0.0] * 10, 10, seed=1, workers=2, progress=lambda *at: seen.append(at))
    assert seen[-1] == (100, 100)
    assert sorted(seen) == seen


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_an_interrupt_leaves_no_worker_behind():
    before = child_pids(os.getpid())  # such as the stack that other tests share
    pids = set()

    def interrupt(done, total):
        pids.update(set(child_pids(os.getpid())) - set(before))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(cases.worker_pid, [0] * 64, 4, seed=1, workers=2, progress=interrupt)
    assert len(pids) >= 2
    # The resource tracker of multiprocessing may be among them; workers are gone already.
    workers = [pid for pid in pids if alive(pid) and b"resource_tracker" not in command(pid)]
    assert workers == []


def child_pids(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


def test_workers_follow_a_parent_that_is_killed():
    script = (
        "import os, sys\n"
        "import replicate_cases as cases\n"
        "from sim.replicate import sweep\n"
        "def tell(done, total):\n"
        "    me = os.getpid()\n"
        "    print(open(f'/proc/{me}/task/{me}/children').read(), flush=True)\n"
        "    sys.stdin.read()\n"
        "if __name__ == '__main__':\n"
        "    sweep(cases.worker_pid, [0] * 64, 64, seed=1, workers=2, progress=tell)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) >= 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    # Orphans are reaped by init; until they are, they count as alive only while they run.
    while any(alive(pid) for pid in pids if Path(f"/proc/{pid}").exists()):
        assert time.monotonic() < deadline, "workers outlived their parent"
    parent.stdin.close()
    parent.stdout.close()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"cases": []}, "cases"),
        ({"replications": 0}, "replications"),
        ({"replications": 10**12}, "replications"),
        ({"seed": -1}, "seed"),
        ({"workers": 0}, "workers"),
        ({"workers": True}, "workers"),
        ({"function": lambda case, rng: 1, "workers": 2}, "function"),
        ({"dask_address": "tcp://127.0.0.1:9"}, "dask_address"),
        ({"dask_address": "nonsense://"}, "dask_address"),
    ],
)
def test_a_bad_sweep_names_what_is_wrong(change, path, monkeypatch):
    monkeypatch.setattr("sim.replicate.cluster._CONNECT_S", 1.0)
    good = {"function": cases.first_draw, "cases": [1.0, 2.0], "replications": 2, "seed": 1}
    with pytest.raises(InvalidScenario) as caught:
        sweep(**(good | change))
    assert caught.value.problems[0].path == path


def test_replication_stops_at_the_precision_asked_for():
    interval = replicate_until(lambda rng: rng.exponential(2.0), seed=2, relative_precision=0.05)
    assert interval.relative_halfwidth <= 0.05 / 1.05
    assert interval.values > 500  # an exponential mean to 5 % takes (1.96 / 0.0476)² = 1700
    assert interval.holds(2.0)


def test_more_precision_only_adds_replications():
    coarse = []
    fine = []

    def recorded(values):
        def once(rng):
            values.append(rng.exponential())
            return values[-1]

        return once

    replicate_until(recorded(coarse), seed=2, relative_precision=0.2)
    replicate_until(recorded(fine), seed=2, relative_precision=0.1)
    assert fine[: len(coarse)] == coarse
    assert len(fine) > len(coarse)


def test_a_precision_out_of_reach_is_reported_with_what_was_reached():
    with pytest.raises(NotConverged) as caught:
        replicate_until(lambda rng: rng.standard_cauchy(), seed=2, most=100)
    assert caught.value.rounds == 100
    assert caught.value.reached > caught.value.wanted


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "three", None])
def test_a_replication_that_returns_no_number_is_refused(value):
    with pytest.raises(InvalidScenario):
        replicate_until(lambda rng: value, seed=2)


def test_no_spread_is_a_width_of_zero():
    assert mean_interval([4.0, 4.0]).relative_halfwidth == 0.0
