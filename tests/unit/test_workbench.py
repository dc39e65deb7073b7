"""`import headroom as hr`: quick to import, changed like a file, shown with the verdict first."""

import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import numpy as np
import pandas as pd
import pytest
import yaml
from example_run import example_run

import headroom as hr
from headroom.artefacts import Run, Verdict
from headroom.diff import run_diff
from headroom.errors import ArtefactError, HeadroomError
from headroom.plan import example_demands, planned
from headroom.price import priced
from headroom.workbench.cell import in_a_cell, lines_of
from headroom.workbench.studies import study_of
from sim.errors import InvalidScenario
from sim.scenario_file import dump_yaml, load_scenario, parse_scenario
from stack.errors import PartFailed, StackNotRunning

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_importing_it_loads_no_library_and_reads_no_environment() -> None:
    code = (
        "import os, sys; before = set(sys.modules); os.environ = None; import headroom as hr;"
        "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
    standard = sys.stdlib_module_names
    assert [name for name in loaded if name not in standard] == ["headroom"]


@pytest.mark.parametrize("name", hr.__all__)
def test_every_name_can_be_called_completed_and_looked_up(name: str) -> None:
    function = getattr(hr, name)
    assert callable(function)
    assert name in dir(hr)
    documented = function.__call__
    documented = function if inspect.isfunction(function) else documented
    assert ">>>" in (documented.__doc__ or "") or name == "scenarios"
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty


def test_a_module_of_the_same_name_stays_a_module() -> None:
    from headroom import predict as module
    from headroom.predict import metrics_of

    assert module.metrics_of is metrics_of
    assert inspect.ismodule(module)


def test_with_changes_a_copy_and_says_what_it_changed() -> None:
    stated = hr.scenario("million-users")
    changed = stated.with_(
        {"experiment.cell_s": np.float64(8.0)},
        workload__users=np.int64(2_000_000),
        topology__database__read_from_secondaries={"detail", "list"},
    )
    assert stated.workload.registered_users == 1_000_000
    assert changed.workload.registered_users == 2_000_000
    assert changed.experiment.cell_s == 8
    assert changed.changes["workload.registered_users"] == (1_000_000, 2_000_000)
    assert "workload.registered_users: 1000000 → 2000000" in changed._repr_html_()
    assert study_of(parse_scenario(dump_yaml(changed))) == changed


BAD: dict[str, object] = {
    "workload.registered_users": -5,
    "workload.daily_active_fraction": 1.5,
    "topology.api.replicas": "many",
    "topology.cache.families.listing.ttl_s": "300s",
    "topology.database.members": 2,
    "objectives.p95_s": 0,
    "workload.mix": {"list": 0.5},
    "workload.visitors": 7,
    "prices.purchase": "stolen",
    "experiment.loads_per_s": [1],
}


@pytest.mark.parametrize("path", BAD)
def test_bad_input_gets_the_error_that_the_scenario_file_gets(path: str, tmp_path: Path) -> None:
    """Word for word, but for the line in the file."""
    stated = load_scenario(ROOT / "scenarios" / "million-users.yaml")
    filed = tmp_path / "bad.yaml"
    data = stated.model_dump(mode="json")
    *above, last = path.split(".")
    section = data
    for name in above:
        section = section[name]
    section[last] = BAD[path]
    filed.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(InvalidScenario) as of_file:
        load_scenario(filed)
    with pytest.raises(InvalidScenario) as of_cell:
        hr.scenario("million-users").with_({path: BAD[path]})
    expected = [(p.path, p.value, p.allowed) for p in of_file.value.problems]
    assert [(p.path, p.value, p.allowed) for p in of_cell.value.problems] == expected


def test_an_error_in_a_cell_is_one_line_that_names_what_where_and_what_is_allowed() -> None:
    with pytest.raises(InvalidScenario) as caught:
        hr.scenario("million-users").with_(topology__api__replicas=0)
    shown = caught.value._render_traceback_()  # type: ignore[attr-defined] # what IPython asks for
    assert shown == [
        "million-users, changed: topology.api.replicas: 0 is not allowed; "
        "allowed: greater than or equal to 1"
    ]


def test_a_name_stands_for_its_scenario_and_nothing_else_does() -> None:
    assert hr.price("laptop").sentence == hr.price(hr.scenario("laptop")).sentence
    with pytest.raises(InvalidScenario, match="scenario: 'dict' is not allowed; allowed: a scen"):
        hr.price({"name": "laptop"})


def test_a_scenario_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(InvalidScenario, match=r"'milion-users' is not allowed; .*million-users"):
        hr.scenario("milion-users")


def test_a_file_beside_the_notebook_is_found_and_the_folder_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = dump_yaml(hr.scenario("laptop").with_(name="mine"))
    (tmp_path / "mine.yaml").write_text(own, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert hr.scenario("mine.yaml").name == "mine"
    assert hr.scenario("laptop").name == "laptop"
    assert Path.cwd() == tmp_path


def test_a_stack_that_fails_says_why_with_its_last_lines() -> None:
    error = PartFailed(part="api-1", what="ended with exit code 1", last_lines=["no such setting"])
    assert lines_of(error)[-1].endswith("no such setting")


def test_an_interrupt_that_got_lost_in_compiled_code_ends_the_call_all_the_same() -> None:
    @in_a_cell
    def swallows() -> str:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        except KeyboardInterrupt:  # as Python does in a callback of compiled code
            return "went on"
        return "never"

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        swallows()
    assert signal.getsignal(signal.SIGINT) is before
    assert in_a_cell(lambda: "next cell")() == "next cell"


def test_the_stop_button_lets_the_compiler_finish_and_ends_the_cell_behind_it() -> None:
    done: list[str] = []

    def compiles() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("whole")

    compiler = FunctionType(
        compiles.__code__, globals() | {"__name__": "numba.core"}, closure=compiles.__closure__
    )

    @in_a_cell
    def asked() -> None:
        compiler()
        signal.pause()  # until the interrupt comes again

    with pytest.raises(KeyboardInterrupt):
        asked()
    assert done == ["whole"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return example_run(tmp_path_factory.mktemp("runs"))


def test_a_run_read_back_shows_its_verdict_first_and_draws_every_picture(run: Run) -> None:
    found = hr.run(run.folder)
    verdict = run.read(Verdict)
    page = found._repr_html_()
    assert found.status == verdict.status
    assert page.index(f"pill {verdict.status.lower()}") < page.index("<table")
    assert verdict.sentence.split(",")[0] in page
    assert found.blind
    for answer in (found, found.forecast, found.measurement):
        assert [answer.plot(what).layout.meta["alternative"] for what in answer.pictures]
        assert {"load_per_s", "metric", "unit"} <= set(answer.frame.columns)


def test_a_frame_is_tidy_a_row_a_figure_with_unit_and_interval(run: Run) -> None:
    frame = hr.run(run.folder).forecast.frame
    p95 = frame[(frame.metric == "p95_s") & (frame.of == "cell")]
    assert len(p95) == len(run.scenario.experiment.loads_per_s)
    assert (frame.low <= frame.value).all()
    assert (frame.value <= frame.high).all()
    assert set(p95.unit) == {"s"}


def test_the_answers_are_those_of_the_steps_behind_the_commands() -> None:
    space = {
        "api_types": ["t3.medium"],
        "api_replicas": [2, 3],
        "cache_types": ["cache.m5.large"],
        "cache_ttl_factors": [1],
        "database_types": ["M30"],
        "search_nodes": [1],
        "purchases": ["on_demand"],
    }
    s = hr.scenario("million-users").with_(plan__futures=20, plan__space=space)
    assert hr.price(s).artefact.total_usd == priced(s).total_usd
    found, expected = hr.plan(s), planned(s, example_demands(), str)
    assert found.artefact.model_copy(update={"created_at": expected.created_at}) == expected
    assert isinstance(found.frame, pd.DataFrame)
    assert len(found.frame) == len(expected.candidates)
    assert found.plot().layout.meta["alternative"]


def test_a_picture_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="'pie' is not allowed; allowed: stated and re-priced"):
        hr.price(hr.scenario("million-users")).plot("pie")


def test_a_crowd_is_answered_minute_by_minute_and_wakes_the_autoscaler_only_if_it_must() -> None:
    design = hr.scenario("flash-crowd")
    calm = hr.crowd(design)
    assert calm.status == "PASS"
    assert calm.most_servers == calm.servers_at(1800.0) == design.topology.api.replicas
    assert calm.frame.load_per_s.idxmax() == pytest.approx(30, abs=3)  # minutes into the crowd
    alone = {"topology.api.replicas": 1, "topology.api.autoscaling.min_replicas": 1}
    crowded = hr.crowd(design.with_(alone, workload__users=18_000_000))
    asked_s, count = crowded.actions[0]
    assert crowded.servers_at(asked_s + 1) == 1  # it boots yet
    assert crowded.servers_at(asked_s + design.topology.api.autoscaling.boot_s) == count == 2


def test_a_stack_in_dilated_time_is_refused_with_where_it_runs() -> None:
    with pytest.raises(InvalidScenario, match=r"time\.scale: 20\.0 is not allowed.*fidelity"):
        hr.stack(hr.scenario("laptop").with_(time__scale=20.0))


def test_a_stack_that_does_not_run_says_so_and_stops_without_harm() -> None:
    live = hr.stack(hr.scenario("laptop"))
    assert repr(live) == "LiveStack('laptop', not running)"
    live.stop()
    with pytest.raises(StackNotRunning):
        assert live.url


def test_a_forecast_of_another_architecture_is_not_measured_on_this_stack(run: Run) -> None:
    live = hr.stack(hr.scenario("assignment"))
    with pytest.raises(HeadroomError, match=r"another architecture .* api_replicas"):
        live.measure(hr.run(run.folder).forecast)


def test_two_runs_in_a_cell_are_told_apart_as_on_the_command_line(tmp_path: Path) -> None:
    before, after = example_run(tmp_path), example_run(tmp_path)
    found = hr.diff(before.folder, hr.run(after.folder))
    assert found.changes == run_diff(before, after).changes
    assert found.sentence == "No significant change."
    with pytest.raises(ArtefactError, match="is no run"):
        hr.diff(tmp_path, after)
