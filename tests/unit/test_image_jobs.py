"""Jobs that requests leave behind: how the models time them, and how live workers are held."""

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from headroom.dilation import emulation_of
from headroom.fidelity.cells import Cell
from headroom.fidelity.jobs import Jobs, held_in, job_figures, leaving_jobs
from headroom.fidelity.predicted import at_load, model_of, simulated, trace_of
from headroom.fidelity.topologies import topology
from sim.errors import InvalidScenario
from sim.example import shop
from sim.kernel import simulate
from sim.scenario import Operation, Worker
from sim.scenario_file import scenario_from
from stack.gates.emulation import Identity
from stack.gates.node import Node
from stack.infra.jobs import Job
from stack.infra.operations import Operation as LiveOperation
from stack.infra.pictures import inspect, noise_picture
from stack.service.held import job_to_hold
from stack.worker.held import WorkerGate

CELL = Cell("at", 0.8, 22.0, seed=11)


def test_a_job_that_finds_a_free_worker_takes_what_its_gate_holds_it_for() -> None:
    base = topology("image-jobs")
    model = model_of(base)
    emulation = emulation_of(model, base.scenario.time.scale)
    trace = trace_of(replace(CELL, load_per_s=0.5, duration_s=400.0), base)
    run = simulate(model, trace, seed=11)
    uploads = trace.is_operation("image_upload")
    assert leaving_jobs(base) == (Operation.IMAGE_UPLOAD,)
    assert (np.isfinite(run.job_s) <= uploads).all()
    held_s = [
        emulation.job_demand_s(LiveOperation.IMAGE_UPLOAD, Identity(request=int(n), seed=11))
        for n in np.flatnonzero(np.isfinite(run.job_s))
    ]
    assert len(held_s) > 8
    np.testing.assert_allclose(run.job_s[np.isfinite(run.job_s)], held_s, atol=1e-9)
    listing = Identity(request=1, seed=11)
    assert emulation.job_demand_s(LiveOperation.LIST, listing) is None


def test_jobs_in_the_background_do_not_touch_the_requests_in_front() -> None:
    base = topology("image-jobs")
    worker = Worker(replicas=2)
    shape = base.scenario.topology.model_copy(update={"worker": worker})
    without = replace(base, scenario=base.scenario.model_copy(update={"topology": shape}))
    with_jobs, alone = (simulated(each, CELL, model_of(each)) for each in (base, without))
    np.testing.assert_array_equal(with_jobs.run.sojourn_s, alone.run.sojourn_s)
    assert np.isfinite(with_jobs.run.job_s).sum() > 20
    assert not np.isfinite(alone.run.job_s).any()
    assert "job_mean_s" not in alone.metrics


def test_the_workers_are_the_busiest_machines_of_their_cells() -> None:
    base, shares = topology("image-jobs"), []
    for seed in range(6):
        cell = at_load(base, Cell("at", 0.8, 1.0, seed=seed), 0.8)
        shares.append(simulated(base, cell, model_of(base)).metrics["utilisation.worker"])
    assert np.mean(shares) == pytest.approx(0.8, abs=0.06)  # what is left at the end is not in it


def test_a_worker_holds_a_job_until_its_slot_had_it_for_its_demand(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def job(number: int, asked_s: float, demand_s: float) -> Job:
        told = {"held": {"asked_s": asked_s, "demand_s": demand_s}}
        return Job(f"image:{number}", "image", told, 1, 0.0, "t", f"run.s5-{number}")

    async def work() -> list[int]:
        order: list[int] = []
        server = await asyncio.start_server(Node({"worker": 1}).serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        gates = [WorkerGate(port), WorkerGate(port)]
        now_s = asyncio.get_running_loop().time()

        async def one(number: int, asked_s: float) -> None:
            async with gates[number % 2].held(job(number, asked_s, 0.05)):
                order.append(number)

        await asyncio.gather(one(0, now_s + 0.02), one(1, now_s), one(2, now_s + 0.03))
        async with gates[0].held(Job("report:1", "report", {}, 1, 0.0, "t", None)):
            order.append(9)
        for gate in gates:
            await gate.close()
        server.close()
        return order

    with caplog.at_level(logging.INFO, "stack.worker.held"):
        assert asyncio.run(work()) == [1, 0, 2, 9]  # as they were asked for, on one slot
    times = [tuple(map(float, m.split()[1:])) for m in caplog.messages if m.startswith("held: ")]
    first, second, third = sorted(times)
    assert second[1] == pytest.approx(first[1] + 0.05, abs=1e-5)
    assert third[1] == pytest.approx(first[1] + 0.10, abs=1e-5)
    for _, start_s, ended_s in times:
        assert ended_s >= start_s + 0.05 - 1e-5


def test_the_log_of_a_worker_tells_the_jobs_of_one_run_from_those_of_others(tmp_path: Path) -> None:
    log = tmp_path / "worker-1.log"
    lines = [
        {"message": "held: 1.0 2.000000 3.500000", "request_id": "run.s5-7"},
        {"message": "held: 1.0 2.0 3.0", "request_id": "run.s55-8"},
        {"message": "image:held: done", "request_id": "run.s5-9"},
        {"message": "stopping; 0 jobs are running"},
    ]
    log.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    assert dict(held_in(log, "run.s5")) == {7: (1.0, 2.0, 3.5)}


def test_jobs_are_judged_by_those_that_ended() -> None:
    took_s = np.array([np.nan, 1.0, 3.0, np.nan])
    assert job_figures(took_s)["job_mean_s"] == 2.0
    assert job_figures(took_s[:1]) == {}
    assert Jobs(took_s, busy_s=8.0, slots=2, end_s=10.0).utilisation == 0.4


def test_without_an_emulation_no_job_is_held() -> None:
    assert job_to_hold() is None


def test_each_name_has_a_picture_of_its_own_that_the_service_takes() -> None:
    one, other = noise_picture("one"), noise_picture("other")
    assert one != other
    assert one == noise_picture("one")
    assert inspect(one).media_type == "image/png"


def test_uploads_without_workers_are_one_clear_error() -> None:
    written = shop().model_dump(mode="json")
    written["workload"]["mix"] = {"list": 0.9, "image_upload": 0.1}
    with pytest.raises(InvalidScenario, match=r"mix.image_upload: 0.1 .*`topology.worker`"):
        scenario_from(written)
    written["topology"]["worker"] = {"replicas": 1}
    assert scenario_from(written).workload.mix[Operation.IMAGE_UPLOAD] == 0.1
