"""Worker processes of a test's own, on the servers of a stack."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from stack.local import StackInfo
from stack.local.ports import free_port

PATIENCE_S = 30.0


class Process:
    """A running `python -m MODULE --port N`, ready for work."""

    def __init__(self, module: str, info: StackInfo, log: Path, changed: dict[str, str]) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.log = log
        own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        environment = {**own, **info.service_environment(), **changed}
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, "--port", str(port)],
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        until(self._ready, f"{module} is ready", lambda: log.read_text()[-2000:])

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._process.kill()
        self._process.wait(PATIENCE_S)

    def terminate(self) -> None:
        """SIGTERM; it may take its time to end."""
        self._process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        """Wait for the end."""
        return self._process.wait(PATIENCE_S)

    def metrics(self) -> str:
        """The text of /metrics."""
        return httpx.get(f"{self.url}/metrics").text

    def _ready(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()[-2000:]
        try:
            return httpx.get(f"{self.url}/readyz").status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def process(module: str, info: StackInfo, log: Path, **changed: str) -> Iterator[Process]:
    """A process that ends with the block; `changed` are HEADROOM_ settings."""
    running = Process(module, info, log, {f"HEADROOM_{k}": v for k, v in changed.items()})
    try:
        yield running
    finally:
        running.kill()


def until(
    condition: Callable[[], bool],
    claim: str,
    explain: Callable[[], object] = lambda: "",
    patience_s: float = PATIENCE_S,
) -> None:
    """Return once `condition` holds; fail after a while, saying what did not come true."""
    limit_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < limit_s, f"not within {patience_s:g} s: {claim}: {explain()}"
        time.sleep(0.05)
