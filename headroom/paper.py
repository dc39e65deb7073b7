"""A report on paper: Chromium prints the page to a PDF."""

import os
import subprocess
import tempfile
from pathlib import Path
from shutil import which

from headroom.artefacts import Run, replacing
from headroom.errors import RenderError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIME_LIMIT_S = 120
DRAW_MS = 20_000  # of the page's own clock, which runs ahead of the real one while it waits


def printed(run: Run) -> Path:
    """Print `report.html` of a run to `report.pdf` beside it; returns that path.

    Raises: RenderError when there is no report, no Chromium, or when it prints nothing.
    """
    page, target = run.folder / "report.html", run.folder / "report.pdf"
    if not page.is_file():
        raise RenderError(f"{page} is missing: headroom render {run.folder}")
    browser = next((path for name in BROWSERS if (path := which(name))), None)
    if browser is None:
        raise RenderError(
            f"a PDF needs one of {', '.join(BROWSERS)}, and none is on PATH: install Chromium "
            f"(Debian: apt-get install chromium), or open {page} and print it"
        )
    with replacing(target) as temporary, tempfile.TemporaryDirectory() as profile:
        command = [
            *(browser, "--headless", "--disable-gpu", "--no-first-run", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update"),
            "--host-resolver-rules=MAP * ~NOTFOUND",  # the page needs no network: it gets none
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium refuses root its sandbox
            *(f"--user-data-dir={profile}", "--no-pdf-header-footer"),
            *(f"--virtual-time-budget={DRAW_MS}", f"--print-to-pdf={temporary}"),
            f"{page.resolve().as_uri()}#paper",
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise RenderError(f"{browser} did not print {page} in {TIME_LIMIT_S} s") from error
        if done.returncode or not temporary.read_bytes().startswith(b"%PDF"):
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise RenderError(f"{browser} printed no PDF of {page}: {last}")
    return target
