"""JupyterLab in a real browser: the first notebook to its end, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import nbformat
import psutil
import pytest
from playwright.sync_api import Locator, Page, sync_playwright
from processes import until
from stack_footprint import Footprint, ended

from stack.local import stack_folder, status
from stack.local.ports import free_port

ROOT = Path(__file__).parents[2]
CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
TOKEN = "a-token-of-this-test"
FIRST = "00_start_here.ipynb"
LIMIT_MS = 400_000  # for a cell on a busy machine


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own, so that neither notebooks nor settings of the clone are touched."""
    (tmp_path / "notebooks").mkdir()
    notebook = nbformat.read(ROOT / "notebooks" / FIRST, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":  # what is seen below has been computed below
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, tmp_path / "notebooks" / FIRST)
    for name in ("scenarios", "reports"):
        (tmp_path / name).symlink_to(ROOT / name)
    settings = tmp_path / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    return tmp_path


@contextmanager
def lab(project: Path) -> Iterator[tuple[psutil.Process, str]]:
    """`headroom lab` in a project; its process and address."""
    port = free_port()
    environment = {
        **os.environ,
        "JUPYTER_TOKEN": TOKEN,
        "JUPYTER_CONFIG_DIR": str(project / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(project / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(project / "workspaces"),
    }
    command = [str(Path(sys.executable).with_name("headroom")), "lab", "--no-browser"]
    with (project / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        explain = (project / "lab.log").read_text
        until(lambda: answers(url), "JupyterLab answers", explain, patience_s=120)
        yield psutil.Process(server.pid), url
    finally:
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
        server.wait(60)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/status?token={TOKEN}", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def connected(url: str) -> bool:
    """Whether a page is connected to a kernel that answered."""
    with urllib.request.urlopen(f"{url}/api/kernels?token={TOKEN}", timeout=5) as answer:
        kernels = json.load(answer)
    return any(kernel["connections"] and kernel["execution_state"] == "idle" for kernel in kernels)


def output(page: Page, text: str) -> Locator:
    """What a cell showed, not its code."""
    return page.locator(".jp-OutputArea-output", has_text=text).first


def run_in_a_new_cell(page: Page, code: str) -> None:
    page.keyboard.press("Escape")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")


@pytest.mark.timeout(900)
def test_the_first_notebook_runs_to_its_end_and_nothing_of_it_stays(project: Path) -> None:
    assert CHROMIUM, "the tests need Chromium: `make test` installs it"
    complaints: list[str] = []
    with sync_playwright() as playwright, lab(project) as (server, url):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(LIMIT_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{url}/?token={TOKEN}")  # as the address that the server prints
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        assert page.locator(".jp-NotebookPanel").count() == 1
        page.get_by_role("heading", name="Start here: one server, ten thousand users").wait_for()
        # "Run All Cells" before the kernel is connected runs none, and says nothing.
        idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').first
        until(lambda: connected(url) and idle.is_visible(), "the kernel is idle", patience_s=120)

        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        failed = page.locator('[data-mime-type="application/vnd.jupyter.error"]')
        ended_by = output(page, "loads counted; the peak is").or_(failed.first).first
        shown = page.locator(".jp-OutputArea-output").all_inner_texts
        until(ended_by.is_visible, "the notebook ran to its end", lambda: "\n".join(shown()), 400)
        assert failed.all_inner_texts() == []
        assert output(page, "starting the stack of assignment: done in").is_visible()
        assert page.locator(".headroom .answer .pill").count() == 2  # away, and compared
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        kernels = server.children(recursive=True)
        assert not [process for process in kernels if "stack.local" in " ".join(process.cmdline())]

        run_in_a_new_cell(page, "s.with_(workload__users=-1)")
        allowed = "workload.registered_users: -1 is not allowed; allowed: greater than or equal"
        output(page, allowed).wait_for()
        run_in_a_new_cell(page, 'hr.stack(hr.scenario("laptop")).start()')
        output(page, "run `python -m stack.local.install`").wait_for()
        assert "Traceback" not in "".join(failed.all_inner_texts())

        run_in_a_new_cell(page, 'left = hr.stack(s, name="left").start(); "the stack is up"')
        output(page, "'the stack is up'").wait_for()
        footprint = Footprint.of(status(project / stack_folder("left").relative_to(Path.cwd())))
        run_in_a_new_cell(page, "hr.predict(s, left)")
        output(page, "calibrating at low load …").wait_for()
        page.locator('.jp-Toolbar [data-command="notebook:interrupt-kernel"]').first.click()
        output(page, "interrupted; what was done so far is kept").wait_for()
        kernels = server.children(recursive=True)
        browser.close()  # the tab is closed, the kernel and its stack go on
        assert all(process.is_running() for process in (*kernels, *footprint.processes))
        server.send_signal(signal.SIGTERM)
        assert all(ended(process) for process in (server, *kernels))
        assert footprint.left() == []
    assert complaints == []
