"""The same sweep on a real Dask cluster: a scheduler and two workers, each a process here."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import plan_cases
import pytest
import replicate_cases as cases
from distributed import Client

from sim.cost import price_book
from sim.errors import UnstableStation
from sim.plan import planning as plan_module
from sim.plan import question_of, screened, screened_on_cluster
from sim.replicate import sweep

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LOADS = [0.5 + 0.1 * place for place in range(40)]


def start(*words):
    paths = os.pathsep.join([str(ROOT), str(HERE)])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = os.environ | {"PYTHONPATH": paths, "DASK_DISTRIBUTED__WORKER__PRELOAD": "[]"}
    return subprocess.Popen([sys.executable, "-m", "dask", *words], env=environment, **quiet)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Address of the scheduler, and its two worker processes."""
    folder = tmp_path_factory.mktemp("dask")
    address_file = folder / "scheduler.json"
    own = ["--host", "127.0.0.1", "--no-dashboard"]
    scheduler = start("scheduler", *own, "--port", "0", "--scheduler-file", str(address_file))
    worker = ["worker", *own, "--scheduler-file", str(address_file), "--no-nanny"]
    worker += ["--nthreads", "1", "--local-directory", str(folder)]
    workers = [start(*worker), start(*worker)]
    try:
        with Client(scheduler_file=str(address_file), timeout=60, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            yield client.scheduler.address, workers
    finally:
        for process in [*workers, scheduler]:
            process.kill()
            process.wait()


def as_bytes(table):
    return [[pickle.dumps(value) for value in row] for row in table]


def test_a_dask_cluster_returns_the_same_bytes_as_one_process(cluster):
    address, _ = cluster
    alone = sweep(cases.draw_and_sum, LOADS, 10, seed=9, workers=1)
    assert as_bytes(sweep(cases.draw_and_sum, LOADS, 10, seed=9, dask_address=address)) == as_bytes(
        alone
    )


def test_an_error_on_the_cluster_comes_home_whole(cluster):
    address, _ = cluster
    with pytest.raises(UnstableStation) as caught:
        sweep(cases.fail_on_three, [1, 2, 3], 1, seed=9, dask_address=address)
    assert caught.value.__notes__ == ["in case 2, replication 0"]


def test_a_plan_screened_on_the_cluster_is_that_of_one_process(cluster, monkeypatch):
    address, _ = cluster
    monkeypatch.setattr(plan_module, "CASE", 8)  # three shares for two workers
    question, space = question_of(
        plan_cases.scenario(), plan_cases.measured(), price_book("2026-07")
    )
    there = screened_on_cluster(question, space.candidates, address)
    here = screened(question.planner(), space.candidates)
    assert there.candidates == here.candidates
    assert there.usd_per_month.tobytes() == here.usd_per_month.tobytes()
    assert all(
        there.figures[name].tobytes() == here.figures[name].tobytes() for name in here.targets
    )


def test_a_worker_killed_half_way_changes_no_byte(cluster):
    address, workers = cluster
    killed = []

    def kill_half_way(done, total):
        if not killed and done >= total / 2:
            os.kill(workers[0].pid, signal.SIGKILL)
            killed.append(done)

    alone = sweep(cases.draw_many, LOADS, 10, seed=9, workers=1)
    survived = sweep(
        cases.draw_many, LOADS, 10, seed=9, dask_address=address, progress=kill_half_way
    )
    assert killed
    assert killed[0] < len(LOADS) * 10, "the worker died when all was done already"
    assert as_bytes(survived) == as_bytes(alone)
