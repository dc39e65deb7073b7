"""From slider to picture: how long the explorer takes, in a real browser, slider by slider.

A hand drags at 25 steps a second; a move counts from its own event to the frame after its picture.
Moves that a later one overtakes are never drawn and not counted.
"""

import re
import signal
import subprocess
import sys
from pathlib import Path
from shutil import which

from playwright.sync_api import sync_playwright
from record import record

ROOT = Path(__file__).parents[1]
SLIDERS = (
    "workload.registered_users",
    "topology.api.replicas",
    "topology.cache.families.listing.ttl_s",
    "workload.mix.search",
    "topology.search.nodes",
)
STEPS, PAUSE_MS, BUDGET_MS = 40, 40, 150.0
DRAG = """async ([name, steps, pause]) => {
  const slider = document.querySelector(`[data-control="${name}"] input[type=range]`);
  for (let step = 0; step < steps; step++) {
    slider.value = String(250 + 10 * step);
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((done) => setTimeout(done, pause));
  }
}"""
IDLE = """() => {
  const page = document.querySelector(".hx").page;
  return !page.flight && !page.waiting;
}"""
TAKEN = "document.querySelector('.hx').page.reactions.splice(0)"


def quantile(times, share):
    return sorted(times)[int(share * (len(times) - 1))]


def main():
    command = [str(Path(sys.executable).with_name("headroom")), "explore", "--no-browser"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    url = next(m[0] for line in process.stderr if (m := re.search(r"http://\S+", line)))
    everything = []
    try:
        with sync_playwright() as playwright:
            chromium = which("chromium") or which("chromium-browser") or which("google-chrome")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(120_000)
            page.goto(url)
            page.wait_for_selector(".hx[data-complete=true]")
            for name in SLIDERS:
                page.evaluate(DRAG, [name, STEPS, PAUSE_MS])
                page.wait_for_function(IDLE)
                page.wait_for_timeout(200)
                times = page.evaluate(TAKEN)
                everything += times
                print(
                    f"{name}: {len(times)} pictures, median {quantile(times, 0.5):.0f} ms, "
                    f"p95 {quantile(times, 0.95):.0f} ms"
                )
            browser.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    p95 = quantile(everything, 0.95)
    print(f"all: {len(everything)} pictures, p95 {p95:.0f} ms")
    record(
        [
            {
                "name": "explorer, slider to picture, p95",
                "value": p95,
                "unit": "ms",
                "ratio_to": f"a budget of {BUDGET_MS:g} ms",
                "ratio": p95 / BUDGET_MS,
                "repeats": len(everything),
            }
        ]
    )


if __name__ == "__main__":
    main()
