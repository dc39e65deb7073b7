"""Take the pictures of the README from a real run: `python docs/take_screenshots.py [NAME…]`.

`report` shows the top of the newest rendered report of `runs/`; `notebook` runs the first notebook
in JupyterLab; `explorer` opens the explorer. Each is written to docs/images at 1280 pixels; with
`--wide` also at 1920, into runs/screenshots, to be looked at. Chromium of the system draws them.
"""

import argparse
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import nbformat
import pyvips
from playwright.sync_api import Browser, Page, sync_playwright

from headroom.errors import HeadroomError
from stack.local.ports import free_port

ROOT = Path(__file__).parents[1]
HEADROOM = Path(sys.executable).with_name("headroom")
IMAGES = ROOT / "docs" / "images"
TOKEN = secrets.token_urlsafe()  # of a server that lives for a minute
FIRST = "00_start_here.ipynb"
LIMIT_BYTES = 150_000
LIMIT_MS = 300_000


def report(page: Page) -> None:
    """The top of the newest report."""
    newest = max(
        (ROOT / "runs").glob("*/report.html"), key=lambda path: path.stat().st_mtime, default=None
    )
    if newest is None:
        raise HeadroomError("no report in runs/: `make report` makes one")
    page.goto(newest.as_uri())
    page.wait_for_selector("html[data-figures]", state="attached")


def notebook(page: Page) -> None:
    """The first notebook, run to its end, at its verdict."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "notebooks").mkdir()
        source = nbformat.read(ROOT / "notebooks" / FIRST, as_version=4)
        for cell in source.cells:
            if cell.cell_type == "code":
                cell.outputs = []
        nbformat.write(source, project / "notebooks" / FIRST)
        for name in ("scenarios", "reports"):
            (project / name).symlink_to(ROOT / name)
        with served(["lab", "--no-browser"], project, "/api/status") as url:
            page.goto(f"{url}/?token={TOKEN}")
            page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()  # else no cell is run
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            done = page.locator(".jp-OutputArea-output", has_text="loads counted; the peak is")
            done.wait_for(timeout=LIMIT_MS)
            page.keyboard.press("Control+b")  # the file browser gives its room to the notebook
            page.locator(".headroom .answer").last.scroll_into_view_if_needed()
            page.locator(".js-plotly-plot .main-svg").first.wait_for()
            shoot(page, "notebook")


def explorer(page: Page) -> None:
    """The explorer with its figures for the document's scenario."""
    command = [str(HEADROOM), "explore", "million-users", "--no-browser"]
    with subprocess.Popen(
        [*command, "--port", str(free_port())], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        told = ""
        for line in process.stderr:
            told += line
            if found := re.search(r"http://127\.0\.0\.1:\S+", line):
                break
        else:
            raise HeadroomError(f"the explorer did not start: {told}")
        page.goto(found[0])
        page.wait_for_selector(".hx[data-drawn]")
        page.wait_for_function("!document.querySelector('.hx-pending')")
        page.wait_for_timeout(3000)  # for the engine behind the analytic figures
        shoot(page, "explorer")
        process.send_signal(signal.SIGTERM)


@contextmanager
def served(command: list[str], project: Path, ready: str) -> Iterator[str]:
    """A server of ours on a free port of this machine, for as long as the block lasts."""
    port = free_port()
    own = {"JUPYTER_TOKEN": TOKEN, "JUPYTER_CONFIG_DIR": str(project / "config")}
    own |= {"JUPYTERLAB_WORKSPACES_DIR": str(project / "workspaces")}
    process = subprocess.Popen(
        [str(HEADROOM), *command, "--port", str(port)],
        cwd=project,
        env=os.environ | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None and not answers(f"{url}{ready}?token={TOKEN}"):
            pass
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def answers(url: str) -> bool:
    """Whether a server is there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - this machine
            return bool(answer.status == 200)
    except OSError:
        return False


def shoot(page: Page, name: str) -> None:
    """Write a picture of what the page shows, with few colours, so that it stays small."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    folder = IMAGES if width == 1280 else ROOT / "runs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / (f"{name}.png" if width == 1280 else f"{name}-{width}.png")
    image = pyvips.Image.new_from_buffer(page.screenshot(), "")
    image.pngsave(str(target), palette=True, Q=90, compression=9, strip=True)
    size = target.stat().st_size
    sys.stdout.write(f"{target.relative_to(ROOT)}: {size:,} bytes\n")
    if folder == IMAGES and size > LIMIT_BYTES:
        raise HeadroomError(f"{target} has {size:,} bytes; allowed: {LIMIT_BYTES:,}")


def taken(browser: Browser, name: str, width: int, height: int) -> None:
    """Open what `name` stands for at a width, and take its picture."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(LIMIT_MS)
    SUBJECTS[name](page)
    if name == "report":
        shoot(page, name)
    page.close()


SUBJECTS: dict[str, Callable[[Page], None]] = {
    "report": report,
    "notebook": notebook,
    "explorer": explorer,
}


def main() -> None:
    """Take the pictures that are asked for; all without a name."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("names", nargs="*", choices=[*SUBJECTS, []], metavar="NAME")
    options.add_argument("--wide", action="store_true", help="at 1920 too, into runs/screenshots")
    asked = options.parse_args()
    chromium = which("chromium") or which("chromium-browser") or which("google-chrome")
    if chromium is None:
        raise HeadroomError("the pictures need Chromium: sudo apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in asked.names or SUBJECTS:
            taken(browser, name, 1280, 800)
            if asked.wide:
                taken(browser, name, 1920, 1080)
        browser.close()


if __name__ == "__main__":
    main()
