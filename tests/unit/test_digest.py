"""A run in a few lines, and all runs on one page."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from example_run import example_run
from typer.testing import CliRunner

from headroom import digest
from headroom.artefacts import Run, Summary, Verdict
from headroom.cli import app
from headroom.errors import RenderError
from headroom.gallery import entries, write_index
from headroom.paper import printed
from headroom.wording import amount


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return example_run(tmp_path)


def with_status(run: Run, status: str) -> Run:
    verdict = run.read(Verdict)
    objectives = tuple(o.model_copy(update={"status": status}) for o in verdict.objectives)
    run.write(verdict.model_copy(update={"status": status, "objectives": objectives}))
    return run


def test_a_pull_request_reads_verdict_objectives_actions_and_validity(run: Run) -> None:
    text, verdict = digest.markdown(run), run.read(Verdict)
    assert text.startswith(f"### ❌ FAIL: {run.scenario.name}\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(verdict.objectives)
    assert all(row.count("|") == 6 for row in rows)
    for objective in verdict.objectives:
        assert objective.name in text
        if objective.measured is not None:
            assert amount(objective.measured.value, objective.unit) in text
    assert [line[:3] for line in text.splitlines() if re.match(r"\d\. ", line)] == [
        "1. ",
        "2. ",
        "3. ",
    ]
    assert "7 of 8 load runs are valid. Not valid: dispatch lag" in text
    assert run.folder.name in text


def test_text_of_a_scenario_cannot_break_the_markdown(run: Run) -> None:
    evil = "a|b <img src=x> `code` *bold*"
    run.write(run.read(Verdict).model_copy(update={"sentence": evil, "actions": (evil,)}))
    text = digest.markdown(run)
    assert r"a\|b \<img src=x> \`code\` \*bold\*" in text


def test_junit_has_a_case_for_each_objective_and_counts_what_was_missed(run: Run) -> None:
    suite = ET.fromstring(digest.junit(run)).find("testsuite")
    assert suite is not None
    verdict = run.read(Verdict)
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [o.name for o in verdict.objectives]
    missed = {case.get("name") for case in cases if case.find("failure") is not None}
    assert missed == {o.name for o in verdict.objectives if o.status == "FAIL"}
    assert suite.get("failures") == str(len(missed))
    fault = suite.find("testcase[@name='cache hit ratio']/failure")
    assert fault is not None
    assert fault.get("message") == "target ≥ 75%: modelled 58 %"


@pytest.mark.parametrize(("status", "kind"), [("INVALID", "error"), ("UNTESTED", "skipped")])
def test_junit_tells_what_could_not_be_judged_from_what_was_missed(
    run: Run, status: str, kind: str
) -> None:
    verdict = run.read(Verdict)
    objectives = tuple(o.model_copy(update={"status": status}) for o in verdict.objectives)
    run.write(verdict.model_copy(update={"objectives": objectives}))
    root = ET.fromstring(digest.junit(run))
    assert len(root.findall(f".//{kind}")) == len(objectives)
    assert root.findall(".//failure") == []


@pytest.mark.parametrize(("status", "code"), [("PASS", 0), ("FAIL", 1), ("INVALID", 3)])
def test_the_summary_command_ends_with_the_code_of_the_verdict(
    run: Run, status: str, code: int, tmp_path: Path
) -> None:
    with_status(run, status)
    junit = tmp_path / "capacity.xml"
    arguments = ["summary", str(run.folder), "--junit", str(junit), "--fail-on", "objective"]
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == code
    assert ET.parse(junit).getroot().tag == "testsuites"
    assert CliRunner().invoke(app, ["summary", str(run.folder)]).exit_code == 0


def test_the_index_lists_all_runs_the_newest_first_with_what_changed(tmp_path: Path) -> None:
    first, second = example_run(tmp_path), example_run(tmp_path)
    (second.folder / "report.html").write_text("x", encoding="utf-8")
    unfinished = example_run(tmp_path)
    for kind in (Verdict, Summary):
        unfinished.path(kind).unlink()
    broken = example_run(tmp_path)
    broken.path(Verdict).write_text("{", encoding="utf-8")
    found = entries(tmp_path)
    folders = [run.folder.name for run in (broken, unfinished, second, first)]
    assert [entry.folder for entry in found] == folders
    statuses = [entry.status for entry in found]
    assert statuses == ["UNREADABLE", "UNFINISHED", "FAIL", "FAIL"]
    assert found[2].since == "No significant change."
    assert found[3].since == ""
    assert found[2].report == f"{second.folder.name}/report.html"
    page = write_index(tmp_path).read_text(encoding="utf-8")
    assert page.count("<tr>") == 1 + len(found)
    assert f'href="{second.folder.name}/report.html"' in page
    assert "verdict.json" in page  # which file of the broken run


def test_an_index_of_no_runs_says_how_to_make_one(tmp_path: Path) -> None:
    assert "make report" in write_index(tmp_path).read_text(encoding="utf-8")


def test_a_pdf_without_chromium_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(RenderError, match=r"report\.html is missing: headroom render"):
        printed(run)
    (run.folder / "report.html").write_text("<p>x</p>", encoding="utf-8")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RenderError, match="apt-get install chromium"):
        printed(run)
    assert not (run.folder / "report.pdf").exists()
