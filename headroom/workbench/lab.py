"""JupyterLab on the notebooks: on this machine alone, with a token, gone when it is stopped."""

import os
import sys
from importlib.resources import files
from typing import NoReturn

from headroom.errors import HeadroomError
from headroom.workbench.cell import home

FIRST = "00_start_here.ipynb"
# A kernel whose tab was closed ends after a while, and its stack with it.
IDLE_S = 900


def lab_command(port: int, *, browser: bool) -> list[str]:
    """The command that serves the notebooks and opens the first of them."""
    folder = home() / "notebooks"
    if not (folder / FIRST).is_file():
        raise HeadroomError(f"{folder / FIRST} is missing: run from a clone of the repository")
    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", f"--ServerApp.root_dir={folder}"]
    command += [f"--LabApp.default_url=/lab/tree/{FIRST}"]
    command += [f"--MappingKernelManager.cull_idle_timeout={IDLE_S}"]
    command += ["--MappingKernelManager.cull_interval=60", "--LabApp.news_url=None"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += [] if browser else ["--ServerApp.open_browser=False"]
    return command + (["--allow-root"] if os.getuid() == 0 else [])


def serve(port: int, *, browser: bool) -> NoReturn:
    """Become JupyterLab: Ctrl-C ends it, its kernels, and the stacks that they own."""
    command = lab_command(port, browser=browser)
    own = str(files("headroom.workbench").joinpath("jupyter"))  # no question about news
    paths = os.pathsep.join([own, *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])])
    environment = {**os.environ, "JUPYTER_CONFIG_PATH": paths}
    os.execve(command[0], command, environment)  # noqa: S606 - a command of ours, no shell
