"""The Locust process: started, listened to, and surely ended."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.load.errors import GeneratorFailed
from stack.local import launch
from stack.observe.cpu import CpuSnapshot, snapshot

GENERATOR = "generator"
START_UP_S = 60.0  # importing Locust takes one second, many on a busy machine
GRACE_S = 5.0
_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_PROJECT = _LOCUSTFILE.parents[2]


@dataclass(frozen=True)
class Progress:
    """Where a run stands."""

    elapsed_s: float
    total_s: float
    sent: int
    done: int
    failed: int
    dropped: int
    start_s: float = 0.0  # when its time began to count, by the monotonic clock


@dataclass(frozen=True)
class Offered:
    """What the generator told, and the CPU clocks around the measured window."""

    complete: bool
    started_unix_s: float
    elapsed_s: float
    before: CpuSnapshot
    after: CpuSnapshot
    replicas: list[str]
    locust: dict[str, Any]


class Generator:
    """One run of Locust over a plan."""

    def __init__(
        self,
        plan: int,
        rows: int,
        *,
        base_url: str,
        last_s: float,
        warmup_s: float,
        timeout_s: float,
        pids_by_part: Mapping[str, Iterable[int]],
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self._descriptors = (plan, rows)
        self._base_url = base_url
        self._last_s = last_s
        self._warmup_s = warmup_s
        self._timeout_s = timeout_s
        self._pids_by_part = {part: tuple(pids) for part, pids in pids_by_part.items()}
        self._progress = progress
        self._process: subprocess.Popen[bytes] | None = None
        self._start_s: float | None = None
        self._before: CpuSnapshot | None = None
        self._after: CpuSnapshot | None = None
        self._finished = False
        self._facts: dict[str, Any] = {}
        self._locust: dict[str, Any] = {}
        self._first = self._snapshot()

    def run(self) -> Offered:
        """Run to the end. Raises GeneratorFailed when Locust dies or does not end in time."""
        with tempfile.TemporaryFile() as log:
            self._process = process = self._start(log.fileno())
            try:
                self._listen(process)
            finally:
                if self._after is None:
                    self._after = self._snapshot()
                _end(process, wait_s=GRACE_S if self._finished else 0.0)
            if not self._finished:
                log.seek(0)
                lines = log.read().decode(errors="replace").splitlines()
                code = process.returncode
                raise GeneratorFailed(f"ended early (exit code {code})", lines[-15:])
        return self.offered()

    def offered(self) -> Offered:
        """What is known so far."""
        now_s = time.monotonic()
        start_s = now_s if self._start_s is None else self._start_s
        after = self._after or self._snapshot()
        # Without a full window the figures are of what there was.
        before = self._before if self._before and self._before.at_s < after.at_s else self._first
        return Offered(
            complete=self._finished,
            started_unix_s=time.time() - (now_s - start_s),
            elapsed_s=after.at_s - start_s if self._start_s is not None else 0.0,
            before=before,
            after=after,
            replicas=self._facts.get("replicas", []),
            locust=self._locust,
        )

    def _start(self, log: int) -> subprocess.Popen[bytes]:
        plan, rows = self._descriptors
        bound_s = int(START_UP_S + self._last_s + self._timeout_s + GRACE_S) + 1
        launcher = ("-I", "-S", launch.__file__, str(os.getpid()), str(int(signal.SIGKILL)))
        locust = (
            *("-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "-u", "1", "-r", "1"),
            *("-H", self._base_url, "-t", f"{bound_s}s", "--only-summary"),
            *("--loglevel", "WARNING", "--exit-code-on-error", "0"),
            *("--plan", str(plan), "--journal", str(rows)),
        )
        return subprocess.Popen(
            [sys.executable, *launcher, sys.executable, *locust],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            pass_fds=self._descriptors,
            cwd=_PROJECT,
            # Ctrl-C reaches the workbench only, which then ends Locust; and a session of its own
            # can be preferred without preferring the terminal's (stack.load.priority).
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name[:7] != "LOCUST_"},
        )

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Take lines until Locust closes its output; take the clocks when their time has come."""
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        unfinished = b""
        started_waiting_s = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                wake_s = self._next_wake_s(started_waiting_s)
                ready = selector.select(max(0.0, wake_s - time.monotonic()))
                self._take_clocks()
                if ready:
                    data = process.stdout.read()
                    if not data:
                        return
                    *lines, unfinished = (unfinished + data).split(b"\n")
                    for line in lines:
                        self._hear(line)
                elif time.monotonic() >= self._deadline_s(started_waiting_s):
                    raise GeneratorFailed("did not end in time", ())

    def _deadline_s(self, started_waiting_s: float) -> float:
        if self._start_s is None:
            return started_waiting_s + START_UP_S
        return self._start_s + self._last_s + self._timeout_s + 2 * GRACE_S

    def _next_wake_s(self, started_waiting_s: float) -> float:
        deadline_s = self._deadline_s(started_waiting_s)
        if self._start_s is None or self._after is not None:
            return deadline_s
        due_s = self._warmup_s if self._before is None else self._last_s
        return min(deadline_s, self._start_s + due_s)

    def _take_clocks(self) -> None:
        if self._start_s is None:
            return
        elapsed_s = time.monotonic() - self._start_s
        if self._before is None and elapsed_s >= self._warmup_s:
            self._before = self._snapshot()
        elif self._before is not None and self._after is None and elapsed_s >= self._last_s:
            self._after = self._snapshot()

    def _hear(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        event = said.pop("event", None) if isinstance(said, dict) else None
        if event == "started":
            self._start_s = said["start_s"]
        elif event in {"progress", "finished"}:
            self._facts = said
            self._finished = event == "finished"
            if self._finished and self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()  # its clocks are taken: it may end
            if self._progress is not None:
                numbers = {key: said[key] for key in ("sent", "done", "failed", "dropped")}
                start_s = self._start_s or 0.0
                self._progress(
                    Progress(said["elapsed_s"], self._last_s, **numbers, start_s=start_s)
                )
        elif event == "locust":
            self._locust = said

    def _snapshot(self) -> CpuSnapshot:
        pids = dict(self._pids_by_part)
        nice = 0
        if self._process is not None:
            pids[GENERATOR] = (self._process.pid,)
            with contextlib.suppress(ProcessLookupError):
                nice = os.getpriority(os.PRIO_PROCESS, self._process.pid)
        return snapshot(pids, nice=nice)


def _end(process: subprocess.Popen[bytes], wait_s: float) -> None:
    """Let Locust end by itself for so long, then kill its group; it has nothing to save."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(timeout=wait_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
