"""What a running stack occupies, noted to see that all of it goes."""

import os
import select
from dataclasses import dataclass

import psutil

from stack.local import StackInfo
from stack.local.ports import is_free

PATIENCE_S = 30.0


@dataclass(frozen=True)
class Footprint:
    """Every process and port of a running stack, noted to see that all of it goes."""

    info: StackInfo
    processes: tuple[psutil.Process, ...]
    ports: tuple[int, ...]

    @classmethod
    def of(cls, info: StackInfo) -> "Footprint":
        guard = psutil.Process(info.guard_pid)
        processes = (guard, *guard.children(recursive=True))
        ports = {
            connection.laddr.port
            for process in processes
            for connection in process.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        }
        return cls(info, processes, tuple(sorted(ports)))

    def left(self) -> list[str]:
        """What is still there of it, after time to go."""
        _, alive = psutil.wait_procs(self.processes, timeout=PATIENCE_S)
        left = [f"process {process}" for process in alive if not _is_zombie(process)]
        left += [f"port {port}" for port in self.ports if not is_free(port)]
        if self.info.folder.exists():
            left.append(f"folder {self.info.folder}: {sorted(self.info.folder.iterdir())}")
        return left


def _is_zombie(process: psutil.Process) -> bool:
    """Whether it is dead and only waits for this very test process to ask for its exit code."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE and process.ppid() == os.getpid()
    except psutil.NoSuchProcess:
        return True


def ended(process: psutil.Process) -> bool:
    """Wait until `process` has ended; False when it has not in time."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:  # gone already, and reaped
        return True
    try:
        return bool(select.select([descriptor], [], [], PATIENCE_S)[0])
    finally:
        os.close(descriptor)
