"""A small stack in dilated time: the model follows it request by request."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from headroom.commands.fault import fault_app
from headroom.diagnose import Kind, diagnosed
from headroom.diagnose.campaign import offered_evidence
from headroom.diagnose.injections import HEALTHY, Injection
from headroom.dilation import emulation_of
from headroom.fidelity.cells import Cell
from headroom.fidelity.compared import compared
from headroom.fidelity.constants import fit
from headroom.fidelity.measured import offered
from headroom.fidelity.predicted import load_for, model_of, predicted, simulated
from headroom.fidelity.topologies import Topology, topology
from headroom.live import running_stack
from stack.infra.faults import Faults, FaultsFile
from stack.local import StackInfo
from stack.observe.plans import read_plans

pytestmark = pytest.mark.alone

# What a healthy run may be taken for where its parts may not run in real time.
MOVED_BY_NOISE = {Kind.NOISY_NEIGHBOUR, Kind.FEWER_SLOTS, Kind.SLOW_HOP}
CORRELATION = 0.98  # of single requests; 0.9999 where nothing wakes late


@pytest.fixture(scope="module")
def small() -> Topology:
    """Three API servers, Redis and one mongod; holds so long that a noisy machine matters little.

    By least connections on a beat: every choice of the real balancer is foretold, too.
    """
    base = topology("least-connections-on-a-beat", scale=40)
    shape = base.scenario.topology
    database = shape.database.model_copy(update={"members": 1})
    scenario = base.scenario.model_copy(
        update={"topology": shape.model_copy(update={"database": database})}
    )
    return replace(base, scenario=scenario)


@pytest.fixture(scope="module")
def emulated(small: Topology) -> Iterator[StackInfo]:
    """The stack, with its emulated machines."""
    emulation = emulation_of(model_of(small), small.scenario.time.scale)
    with running_stack(
        small.scenario, lambda _: None, name="emulated", emulation=emulation, faults=True
    ) as info:
        yield info


def test_the_model_foretells_each_request_of_an_emulated_stack_or_the_run_is_invalid(
    small: Topology, emulated: StackInfo, tmp_path: Path
) -> None:
    cell = Cell("at-60", 0.6, 1.0, seed=7, warmup_s=2.0, duration_s=22.0)
    cell = replace(cell, load_per_s=load_for(small, cell, 0.6))
    bare = simulated(small, cell, model_of(small))
    found = offered(small, cell, bare.trace, emulated, tmp_path)
    constants = fit(small, bare, found)  # here of the run itself: they move the mean alone
    prediction = predicted(small, cell, constants)
    result = compared(
        small,
        cell,
        simulated(small, cell, model_of(small, constants)),
        found,
        prediction=prediction,
        prediction_sha256="0" * 64,
        machine_sha256="0" * 64,
    )
    assert set(found.counted.visits) == {"api-1", "api-2", "api-3", "redis", "mongo-1"}
    assert found.result.validity.wrong_status == 0
    assert np.isfinite(found.requests.latency_s).all()
    # The holds are real whatever the machine does: no request is faster than its machines.
    assert found.requests.latency_s.min() > 0.9 * bare.run.sojourn_s.min()
    if result.valid:
        assert result.correlation is not None
        assert result.correlation > CORRELATION
        assert result.same_outcome_fraction > 0.95
    else:
        assert result.conditions.reasons


def test_an_emulated_stack_says_that_it_is_one(emulated: StackInfo) -> None:
    log = emulated.part("api-1").log.read_text()
    assert "emulation (dilated ×40)" in log
    assert {part.name for part in emulated.parts} >= {"gates", "api-1", "api-2", "redis"}


def is_punctual(info: StackInfo) -> bool:
    """Whether the parts of the stack run in real time."""
    pid = info.part("api-1").pid
    assert pid is not None
    return os.sched_getscheduler(pid) & os.SCHED_RR == os.SCHED_RR


def test_a_slower_database_is_named_and_a_healthy_run_is_not_accused(
    small: Topology, emulated: StackInfo, tmp_path: Path
) -> None:
    slower = Injection("slower", Kind.SLOWER_SERVICE, "mongo", Faults(slower={"mongo": 2.0}))
    said = {}
    constants = None
    for injection in (HEALTHY, slower):
        cell = Cell(injection.name, 0.5, 1.0, seed=11, warmup_s=1.0, duration_s=11.0)
        cell = replace(cell, load_per_s=load_for(small, cell, 0.5))
        if constants is None:
            bare = simulated(small, cell, model_of(small))
            constants = fit(small, bare, offered(small, cell, bare.trace, emulated, tmp_path))
        with injection.switched_on(emulated) as info:
            evidence = offered_evidence(
                small, cell, constants, info, place=tmp_path, injection=injection
            )
        said[injection.name] = diagnosed(evidence), evidence.valid
    healthy, is_valid = said["healthy"]
    assert healthy.kind in {Kind.NOTHING, *MOVED_BY_NOISE}
    if is_valid and is_punctual(emulated):
        assert healthy.kind == Kind.NOTHING, healthy.says
    found, _ = said["slower"]
    assert (found.kind, found.component) == (Kind.SLOWER_SERVICE, "mongo")


def test_commands_switch_faults_on_and_off(emulated: StackInfo) -> None:
    def headroom(*words: str) -> int:
        told = CliRunner().invoke(fault_app, [*words, "--name", "emulated"])
        return told.exit_code

    assert emulated.mongo_url is not None
    file = FaultsFile(emulated.faults_file)
    nginx = emulated.folder / "data" / "nginx" / "nginx.conf"
    assert headroom("set", "ttl_factor=0.5", "slots={'mongo': 1}") == 0
    assert file.now() == Faults(ttl_factor=0.5, slots={"mongo": 1})
    assert headroom("balance", "api-1=0", "--retries") == 0
    assert nginx.read_text().count(" down;") == 1
    assert "proxy_next_upstream error timeout http_503;" in nginx.read_text()
    assert headroom("lose-index") == 0
    lost = read_plans(emulated.mongo_url)
    assert lost.missing_indexes == ("category_newest",)
    assert lost.examined_per_returned > 2
    assert headroom("off") == 0
    assert file.now() == Faults()
    assert " down;" not in nginx.read_text()
    assert "proxy_next_upstream error timeout;" in nginx.read_text()
    assert read_plans(emulated.mongo_url) == (1.0, ())
    assert headroom("set", "slots={'mongo': 0}") == 2
    assert headroom("balance", "api-9=1") == 2
