"""CPU time per part of the stack and of the whole machine, over a stretch of time.

Per process the kernel's own clock is read (`clock_getcpuclockid(3)`): nanoseconds, exited threads
included. `/proc/<pid>/schedstat` covers the main thread only, the sum over `task/*/schedstat`
forgets threads that have ended, and `utime + stime` of `/proc/<pid>/stat` steps by 10 ms.

The machine's busy time is what is left of wall time × cores after idle, I/O wait and steal. Those
three the kernel keeps by clock; `user` and `system` it samples at its ticks, which counts short
bursts that start at a tick too often (measured here: 1.49 s for 1.23 s of work in 5 s).
"""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NICE = 16  # place of a process's priority among its fields
OTHERS = ""  # the part of processes that are of none
_CPUCLOCK_SCHED = 2  # of <linux/posix-timers.h>: the precise clock of a process


class ProcessTime(NamedTuple):
    """CPU seconds of one process since its start; `reaped_s` is that of children it waited for."""

    part: str
    started_ticks: int
    own_s: float
    reaped_s: float


@dataclass(frozen=True)
class HostTime:
    """Seconds since boot, summed over the cores."""

    idle_s: float  # I/O wait included
    steal_s: float


@dataclass(frozen=True)
class CpuSnapshot:
    """CPU clocks at one instant."""

    at_s: float  # time.monotonic()
    cores: int
    host: HostTime
    processes: Mapping[int, ProcessTime]
    lower: Mapping[int, ProcessTime] = field(default_factory=dict)  # others of lower priority


@dataclass(frozen=True)
class CpuUse:
    """CPU used between two snapshots."""

    wall_s: float
    cores: int
    cpu_s: Mapping[str, float]  # by part
    busy_s: float  # all processes and the kernel, all cores
    steal_s: float
    ended: tuple[int, ...] = ()  # processes that ended in between: their last CPU is not in `cpu_s`
    lower_s: float = 0.0  # by processes of others with a lower priority, as far as they were seen

    @property
    def steal_fraction(self) -> float:
        """Share of the machine that the hypervisor gave to others."""
        return self.steal_s / (self.wall_s * self.cores)

    @property
    def foreign_cpu_fraction(self) -> float:
        """Share of the machine used by what is in no part: other processes, the kernel itself."""
        return max(0.0, self.busy_s - sum(self.cpu_s.values())) / (self.wall_s * self.cores)

    @property
    def lower_cpu_fraction(self) -> float:
        """Share of the machine used by others' processes that give way; part of the foreign one."""
        return min(self.foreign_cpu_fraction, self.lower_s / (self.wall_s * self.cores))

    def cores_used(self, part: str) -> float:
        """CPU seconds per second of one part: 1 is one whole core."""
        return self.cpu_s[part] / self.wall_s


def snapshot(pids_by_part: Mapping[str, Iterable[int]], *, nice: int = 0) -> CpuSnapshot:
    """Read the clocks of all processes of all parts, and of the machine.

    A process belongs to the part that names it, else to the part of its nearest named ancestor.
    A pid that no longer runs is left out. Others that are nicer than `nice` are `lower`.
    """
    named = {pid: part for part, pids in pids_by_part.items() for pid in pids}
    processes: dict[int, ProcessTime] = {}
    lower: dict[int, ProcessTime] = {}
    for pid, (part, fields) in _members(named).items():
        is_lower = part == OTHERS
        if is_lower and int(fields[_NICE]) <= nice:
            continue
        try:
            own_ns = time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)
        except OSError:  # it ended just now
            continue
        reaped_s = (int(fields[13]) + int(fields[14])) / _TICKS_PER_S
        (lower if is_lower else processes)[pid] = ProcessTime(
            part, int(fields[19]), own_ns / 1e9, reaped_s
        )
    host = _host_time()
    return CpuSnapshot(time.monotonic(), os.cpu_count() or 1, host, processes, lower)


def main_thread_s(pid: int) -> float:
    """CPU seconds of the main thread of a process; raises FileNotFoundError when it has ended."""
    text = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text(encoding="ascii")
    return int(text.split()[0]) / 1e9


def difference(before: CpuSnapshot, after: CpuSnapshot) -> CpuUse:
    """CPU used between two snapshots of the same parts; `after` must be the later one."""
    wall_s = after.at_s - before.at_s
    if wall_s <= 0:
        raise ValueError(f"the snapshots are {wall_s:g} s apart; the second must be the later one")
    parts = {process.part for process in (*before.processes.values(), *after.processes.values())}
    cpu_s = dict.fromkeys(sorted(parts), 0.0)
    ended = []
    for pid, now in after.processes.items():
        then = before.processes.get(pid)
        if then is None or then.started_ticks != now.started_ticks:  # new, or the number was reused
            then = ProcessTime(now.part, now.started_ticks, 0.0, 0.0)
        cpu_s[now.part] += now.own_s - then.own_s + now.reaped_s - then.reaped_s
    for pid, then in before.processes.items():
        still = after.processes.get(pid)
        if still is None or still.started_ticks != then.started_ticks:
            ended.append(pid)
    idle_s = after.host.idle_s - before.host.idle_s
    steal_s = max(0.0, after.host.steal_s - before.host.steal_s)
    busy_s = max(0.0, wall_s * after.cores - idle_s - steal_s)
    # Children that ended were reaped by their parents, whose sum has them; what a process had used
    # before the first snapshot is in both sums, or is taken off when it ended unseen.
    lower_s = max(0.0, _total_s(after.lower) - _total_s(before.lower))
    return CpuUse(wall_s, after.cores, cpu_s, busy_s, steal_s, tuple(ended), lower_s)


def _total_s(processes: Mapping[int, ProcessTime]) -> float:
    return sum(process.own_s + process.reaped_s for process in processes.values())


def _members(named: Mapping[int, str]) -> dict[int, tuple[str, list[str]]]:
    """Part and `/proc/<pid>/stat` fields (from the third, `state`, on) of each process."""
    fields_of = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                text = Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:  # it ended just now
                continue
            # The command name, in brackets, may hold spaces and brackets itself.
            fields_of[int(entry.name)] = text.rpartition(")")[2].split()
    members = {}
    for pid, fields in fields_of.items():
        ancestor = pid
        while ancestor not in named and ancestor in fields_of:
            ancestor = int(fields_of[ancestor][1])
        if fields[0] not in "ZX":
            members[pid] = (named.get(ancestor, OTHERS), fields)
    return members


def _host_time() -> HostTime:
    with Path("/proc/stat").open(encoding="ascii") as file:
        ticks = [int(value) for value in file.readline().split()[1:]]
    idle, io_wait, steal = ticks[3], ticks[4], ticks[7]
    return HostTime((idle + io_wait) / _TICKS_PER_S, steal / _TICKS_PER_S)
