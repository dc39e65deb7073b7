"""The explorer served alone, in a real browser that may reach this machine and nothing else."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import httpx
import nbformat
import psutil
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from sim.scenario_file import load_scenario
from stack.local.ports import free_port

ROOT = Path(__file__).parents[2]
CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
PATIENCE_MS = 120_000
REPLICAS = "topology.api.replicas"
USERS = "workload.registered_users"


@contextmanager
def explorer() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`headroom explore` in a process of its own, and its address with the token."""
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("headroom")), "explore", "million-users",
         "--no-browser", "--port", str(free_port())],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"http://\S+", line):
                yield process, found[0]
                return
        pytest.fail(f"no address: {said}")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


class Opened:
    """The page with everything it asked for and complained about."""

    def __init__(self, browser: Browser, url: str) -> None:
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)
        self.page.wait_for_selector(".hx[data-drawn]")

    def idle(self) -> None:
        """Wait until no move waits for its answer, and the answer is drawn."""
        self.page.wait_for_function(
            """() => { const root = document.querySelector(".hx"), page = root.page;
                 const drawn = root.dataset.drawn === String(page.seq);
                 return drawn && !page.flight && !page.waiting }"""
        )

    def card(self, name: str) -> str:
        """The value on a card."""
        return self.page.locator(f'[data-card="{name}"] .hx-value').inner_text()

    def slide(self, name: str, steps: int) -> None:
        """Move a slider with the keyboard, as a hand would, step by step."""
        slider = self.page.locator(f'[data-control="{name}"] input[type=range]')
        slider.focus()
        for _ in range(steps):
            slider.press("ArrowRight")
        self.idle()

    def write(self, name: str, text: str) -> None:
        """Type into a control's box."""
        box = self.page.locator(f'[data-control="{name}"] input[type=text]')
        box.fill(text)
        box.press("Tab")
        self.idle()

    def anew(self) -> None:
        """The scenario as its file has it, and the baseline."""
        self.page.evaluate(
            """() => document.querySelector(".hx").page.tell(
                 { do: "choose", scenario: "million-users" })"""
        )
        self.idle()

    def saved(self, button: str, folder: Path) -> Path:
        """The file that a button gives."""
        with self.page.expect_download() as download:
            self.page.get_by_role("button", name=button).click()
        target = folder / download.value.suggested_filename
        download.value.save_as(target)
        return target

    def load(self, path: Path) -> None:
        self.page.locator("input[type=file]").set_input_files(path)
        self.page.wait_for_function("document.querySelector('.hx').page.flight")
        self.idle()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with explorer() as (_, url):
        yield url


@pytest.fixture(scope="module")
def opened(served: str) -> Iterator[Opened]:
    assert CHROMIUM, "the tests need Chromium: `make test` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Opened(browser, served)
        browser.close()


def test_the_page_draws_every_figure_and_asks_nothing_of_other_machines(opened: Opened) -> None:
    assert opened.page.locator(".hx-plot .main-svg:first-child").count() == 5
    schemes = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:http://127.0.0.1:")
    assert [url for url in opened.requests if not url.startswith(schemes)] == []
    assert opened.errors == []


def test_without_its_token_the_page_is_refused(served: str) -> None:
    answer = httpx.get(served.partition("?")[0], follow_redirects=True)
    assert answer.url.path == "/login"
    assert "explorer" not in answer.text


def test_a_moved_slider_changes_the_figures_beside_the_pinned_baseline(opened: Opened) -> None:
    opened.anew()
    before = {name: opened.card(name) for name in ("bill", "headroom", "p95")}
    drawn = opened.page.locator('[data-picture="bill"] .main-svg').first.inner_html()
    opened.slide(REPLICAS, 200)
    assert opened.card("bill") != before["bill"]
    assert f"baseline {before['bill']}" in opened.page.locator('[data-card="bill"]').inner_text()
    assert opened.page.locator('[data-picture="bill"] .main-svg').first.inner_html() != drawn
    assert opened.card("bill") in opened.page.locator(".hx-verdict").inner_text()
    opened.page.get_by_role("button", name="Pin as baseline").click()
    opened.idle()
    assert opened.page.locator('[data-card="bill"] .hx-was').inner_text().strip() == ""
    times = sorted(opened.page.evaluate("document.querySelector('.hx').page.reactions"))
    assert times
    p95 = times[int(0.95 * (len(times) - 1))]
    sys.stdout.write(f"slider to picture: p95 {p95:.0f} ms of {len(times)} moves\n")
    assert "From slider to picture" in opened.page.locator(".hx-foot").inner_text()
    assert opened.errors == []


def test_a_saved_scenario_loaded_again_gives_the_same_figures(
    opened: Opened, tmp_path: Path
) -> None:
    opened.anew()
    opened.write(USERS, "5,000,000")
    opened.write("growth", "2")
    names = ("p95", "hit-ratio", "headroom", "bill")
    saved = {name: opened.card(name) for name in names}
    file = opened.saved("Save YAML", tmp_path)
    assert load_scenario(file).workload.registered_users == 10_000_000
    notebook = nbformat.read(opened.saved("Save notebook", tmp_path), as_version=4)
    assert "'workload.registered_users': 10000000" in notebook.cells[1].source
    opened.write(USERS, "1000")
    assert {name: opened.card(name) for name in names} != saved
    opened.load(file)
    assert {name: opened.card(name) for name in names} == saved
    assert opened.errors == []


def test_bad_input_shows_one_clear_error_and_keeps_the_figures(
    opened: Opened, tmp_path: Path
) -> None:
    opened.anew()
    before = opened.card("bill")
    opened.write(REPLICAS, "lots")
    problems = opened.page.locator(".hx-problems")
    assert f"{REPLICAS}: 'lots' is not allowed; allowed: a valid integer" in problems.inner_text()
    box = opened.page.locator(f'[data-control="{REPLICAS}"] input[type=text]')
    assert box.get_attribute("aria-invalid") == "true"
    assert opened.card("bill") == before
    file = opened.saved("Save YAML", tmp_path)
    broken = tmp_path / "broken.yaml"
    broken.write_text(file.read_text().replace("members: 3", "members: 2"))
    opened.load(broken)
    assert re.search(
        r"broken\.yaml: topology\.database\.members \(line \d+\): 2 is not allowed",
        problems.inner_text(),
    )
    opened.page.get_by_role("button", name="Reset").click()
    opened.idle()
    assert problems.is_hidden()
    assert opened.card("bill") == before
    assert opened.errors == []


def test_ctrl_c_ends_the_page_with_its_kernels() -> None:
    with explorer() as (process, url):
        with urllib.request.urlopen(url) as answer:  # a visitor brings a kernel
            assert b"explorer" in answer.read()
        family = psutil.Process(process.pid).children(recursive=True)
        assert any("ipykernel" in " ".join(child.cmdline()) for child in family)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
