"""One whole live stack for the tests that only use it, and tools to watch other stacks end."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from stack.infra.catalogue import Catalogue
from stack.local import RunningStack, StackInfo, StackSpec, start
from stack.local.artefacts import default_home, lay_out
from stack.local.ports import is_free

PATIENCE_S = 30.0
CATALOGUE = Catalogue(products=600, users=40, categories=6, pages_per_category=5)


@pytest.fixture(scope="session")
def elasticsearch_home() -> Path:
    """Elasticsearch's artefacts, fetched at their first use."""
    lay_out(default_home(), progress=lambda _line: None)
    return default_home()


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """What `live_stack` is seeded with."""
    return CATALOGUE


@pytest.fixture(scope="session")
def live_stack(
    tmp_path_factory: pytest.TempPathFactory, elasticsearch_home: Path
) -> Iterator[RunningStack]:
    """A seeded stack of all parts: 2 replicas, Redis, 3 mongods, Elasticsearch, the indexer.

    Shared by the whole session: leave it as it was (seeded data, all parts alive).
    """
    spec = StackSpec(
        name="live",
        api_replicas=2,
        database_members=3,
        election_timeout_s=2.0,
        cache_memory_mib=64,
        service_env={"HEADROOM_CATALOGUE": CATALOGUE.model_dump_json()},
    )
    folder = tmp_path_factory.mktemp("stacks") / "live"
    with start(spec, folder, elasticsearch_home=elasticsearch_home) as running:
        command = [sys.executable, "-m", "stack.infra.seed"]
        environment = {**os.environ, **running.info.service_environment()}
        subprocess.run(command, env=environment, check=True, timeout=60, capture_output=True)
        yield running


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
    descriptor = os.pidfd_open(process.pid)
    try:
        return bool(select.select([descriptor], [], [], PATIENCE_S)[0])
    finally:
        os.close(descriptor)
