"""What kind of machine this is: facts that go beside every measurement."""

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Packages whose version changes what is measured or predicted.
PACKAGES = (
    "numpy",
    "numba",
    "simpy",
    "pydantic",
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
    "orjson",
    "pymongo",
    "redis",
    "elasticsearch",
    "locust",
    "gevent",
)


def machine_facts(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """Facts that stay the same while the machine and the installation do; no name, no address."""
    return {
        "cpu_model": _cpu_field("model name"),
        "cpu_flags_sha256": _sha256(" ".join(sorted((_cpu_field("flags") or "").split()))),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "cgroup_cpu_limit": _first_line("/sys/fs/cgroup/cpu.max"),
        "memory_mib": _memory_mib(),
        "architecture": platform.machine(),
        "virtualisation": _virtualisation(),
        "clock_source": _first_line(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource"
        ),
        "kernel": platform.release(),
        "system": _system_name(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: _version(name) for name in packages},
    }


def facts_sha256(facts: dict[str, Any]) -> str:
    """Hash that is the same for the same facts, whatever their order."""
    return _sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _cpu_field(name: str) -> str | None:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        field, _, value = line.partition(":")
        if field.strip() == name:
            return value.strip()
    return None  # other architectures name their fields otherwise


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def _virtualisation() -> str:
    vendor, product = (
        _first_line(f"/sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name")
    )
    named = " ".join(part for part in (vendor, product) if part)
    if "hypervisor" in (_cpu_field("flags") or "").split():
        return f"virtual machine ({named or 'unnamed'})"
    return named or "none seen"


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _first_line(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, IndexError):
        return None
