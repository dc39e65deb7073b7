"""An emulated stack whose API machines come and go with the load."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from headroom.artefacts import Run
from headroom.dilation import emulation_of
from headroom.emulated import state_in_words
from headroom.fidelity.predicted import model_of
from headroom.fidelity.topologies import Topology, topology
from headroom.live import catalogue_of, credentials_of, running_stack
from headroom.traces import write_trace
from sim.scenario import Autoscaling
from sim.workload import poisson_arrivals_s, requests_at
from stack.gates.addressed import run_id_with_seed
from stack.load.run import run_load
from stack.local import StackInfo, autoscaler_entries, status
from stack.local.readiness import POLL_S

pytestmark = pytest.mark.alone

SCALE = 20.0
MOST = 3
HIGH_S, LOW_S = 8.0, 4.0
SETTLED_S = 20.0


def small() -> Topology:
    """One API server of at most three, Redis and one mongod; looks every second of real time."""
    base = topology("one-replica", SCALE)
    shape = base.scenario.topology
    scaling = Autoscaling(
        min_replicas=1,
        max_replicas=MOST,
        target_cpu_fraction=0.6,
        evaluation_period_s=1 / SCALE,
        boot_s=3 / SCALE,
        cooldown_s=3 / SCALE,
    )
    shape = shape.model_copy(
        update={
            "api": shape.api.model_copy(update={"autoscaling": scaling}),
            "database": shape.database.model_copy(update={"members": 1}),
        }
    )
    return replace(base, scenario=base.scenario.model_copy(update={"topology": shape}))


def statuses_of_a_step_of_load(small: Topology, info: StackInfo, folder: Path) -> list[int]:
    """What was answered to half as much again as one machine bears, and then to hardly anything."""
    rng = np.random.default_rng(3)
    high_s = poisson_arrivals_s(1.5 * 2 / (0.0045 * SCALE), HIGH_S, rng)
    low_s = HIGH_S + poisson_arrivals_s(1.0, LOW_S, rng)
    trace = requests_at(np.concatenate([high_s, low_s]), small.scenario.workload, rng)
    assert info.base_url is not None
    run_load(
        write_trace(Run(folder), "step", trace),
        info.base_url,
        folder / "step.parquet",
        catalogue=catalogue_of(small.scenario),
        credentials=credentials_of(info),
        run_id=run_id_with_seed("step", 3),
        timeout_s=60.0,
    )
    found = pq.read_table(folder / "step.parquet").to_pandas()
    assert len(found) == len(trace)
    assert found["error"].dropna().unique().tolist() == []
    return sorted(found["status"].unique().tolist())


def until_settled(info: StackInfo) -> None:
    """Wait until one replica is left."""
    deadline = time.monotonic() + SETTLED_S
    while len(status(info.folder).parts_of("api")) > 1:
        assert time.monotonic() < deadline, autoscaler_entries(info.folder)
        time.sleep(POLL_S)


@pytest.mark.feature(
    "1 balancing: emulated API servers come and go with the load, and no request fails",
    endpoint="headroom up million-users --emulated",
    module="stack/local/autoscaler.py",
)
def test_replicas_come_with_the_load_and_go_with_it_and_no_request_fails(tmp_path: Path) -> None:
    base = small()
    emulation = emulation_of(model_of(base), SCALE)
    with running_stack(base.scenario, lambda _: None, name="scaled", emulation=emulation) as info:
        statuses = statuses_of_a_step_of_load(base, info, tmp_path)
        until_settled(info)
        entries = autoscaler_entries(info.folder)
        serving = [entry.active for entry in entries if entry.event == "serving"]
        said = state_in_words(status(info.folder))
        pids = [part.pid for part in status(info.folder).parts]
    assert set(statuses) <= {200, 201, 204}
    assert [entry for entry in entries if entry.event == "failed"] == []
    assert max(serving) > 1
    assert serving[-1] == 1
    looks = [entry for entry in entries if entry.event == "looked"]
    assert max(entry.used_fraction for entry in looks) > 0.6
    assert "emulation (dilated ×20)" in said
    assert "1 serve, 1 wanted" in said
    assert not info.folder.exists()
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
