"""The explorer as a page of its own: Voila on 127.0.0.1 with a token, one kernel a visitor."""

import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from traitlets.config import Config
from voila.app import Voila

from headroom.arguments import scenario_at
from headroom.explorer.exporting import written

SHARE = Path(__file__).parent / "share"


def serve(
    name: str, run: Path | None, port: int, say: Callable[[str], None], *, browser: bool
) -> None:
    """Serve the explorer of a scenario until Ctrl-C or SIGTERM; its kernels end with it.

    Args:
        name: of the scenario, or the path of its file.
        run: a calibrated run whose demands to take.
        port: the first one to try.
        say: told the address, with its token.
        browser: open the default browser there.
    Raises: InvalidScenario before anything is started.
    """
    scenario_at(name)
    # Where Voila looks for page templates beside its own.
    before = os.environ.get("JUPYTER_PATH")
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (str(SHARE), before)))
    with tempfile.TemporaryDirectory(prefix="headroom-explorer-") as folder:
        notebook = Path(folder) / "explorer.ipynb"
        notebook.write_text(_notebook(name, run), encoding="utf-8")
        page = _Page(config=_config(port), say=say, wants_browser=browser)
        page.initialize([str(notebook)])
        signal.signal(signal.SIGINT, page.end)
        signal.signal(signal.SIGTERM, page.end)
        page.start()


def _config(port: int) -> Config:
    return Config(
        {
            "Voila": {
                "ip": "127.0.0.1",
                "port": port,
                "auto_token": True,
                "open_browser": True,  # calls `launch_browser` below, once it listens
                "log_level": "ERROR",
            },
            "VoilaConfiguration": {
                "template": "explorer",
                "allow_template_override": "NO",
                "allow_theme_override": "NO",
                "show_tracebacks": True,
                # They would load with the page and do nothing for it.
                "extension_denylist": [
                    "@voila-dashboards/jupyterlab-preview",
                    "jupyterlab-plotly",
                    "jupyterlab_pygments",
                ],
            },
        }
    )


def _notebook(name: str, run: Path | None) -> str:
    source = (
        f"import os\n\nos.chdir({str(Path.cwd())!r})\n\nimport headroom as hr\n\n"
        f"hr.explore({name!r}, {None if run is None else str(run.resolve())!r})"
    )
    return written(("code", source))


class _Page(Voila):  # type: ignore[misc]
    """Voila, telling its address in one line and ending at a signal, whatever it is doing."""

    def __init__(self, *, say: Callable[[str], None], wants_browser: bool, **options: Any) -> None:
        super().__init__(**options)
        self._say, self._wants_browser = say, wants_browser

    def launch_browser(self) -> None:
        """Called once the port is open."""
        self._say(f"explorer: {self.display_url}   (Ctrl-C ends it)")
        if self._wants_browser:
            super().launch_browser()

    def end(self, _signal: int, _frame: FrameType | None) -> None:
        """Leave the event loop; kernels are shut down behind it."""
        self.ioloop.add_callback_from_signal(self.ioloop.stop)
