"""CPU time as the operating system counts it: of a server, of all that it started, and of all their threads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_AFTER_NAME = 2
"""/proc/PID/stat counts from 1, and its third field is the first after the name in parentheses."""
_PPID, _UTIME, _STIME, _CHILDREN_UTIME, _CHILDREN_STIME = (field - 1 - _AFTER_NAME for field in (4, 14, 15, 16, 17))
_TOLERATED_SHARE, _TOLERATED_SECONDS = 0.05, 0.1


class CpuError(Exception):
    """The two ways to count disagree: threads or processes came and went, and a figure would be wrong."""


class CpuTime(NamedTuple):
    """Seconds on a core since the start: by the scheduler's nanoseconds, and by the ticks that outlive a thread."""

    scheduled: float
    ticked: float

    def since(self, before: CpuTime) -> float:
        """Give the seconds from then to now.

        Raises: CpuError if the ticks, which count ended threads and processes too, say otherwise.
        """
        scheduled, ticked = self.scheduled - before.scheduled, self.ticked - before.ticked
        if abs(scheduled - ticked) > max(_TOLERATED_SECONDS, _TOLERATED_SHARE * ticked):
            raise CpuError(f"{scheduled:.3f} s by schedstat and {ticked:.3f} s by stat: a thread or a process ended")
        return scheduled


def cpu_time(root: int) -> CpuTime:
    """Read the CPU time of a process and of its living descendants.

    Spec: https://docs.kernel.org/scheduler/sched-stats.html, https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html.
    """
    family = descendants(root)
    ticks = sum(
        int(_stat(pid)[field]) for pid in family for field in (_UTIME, _STIME, _CHILDREN_UTIME, _CHILDREN_STIME)
    )
    return CpuTime(sum(map(_scheduled_seconds, family)), ticks / _TICKS)


def memory_bytes(root: int) -> dict[int, int]:
    """Read the resident bytes of a process and of its living descendants."""
    page = os.sysconf("SC_PAGE_SIZE")
    found = {}
    for pid in descendants(root):
        try:
            found[pid] = int((_PROC / str(pid) / "statm").read_text().split()[1]) * page
        except OSError:
            continue
    return found


def descendants(root: int) -> list[int]:
    """Find a process and all that it started, and what those started, as far as they run."""
    parents: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            fields = _stat(int(entry.name))
            parents[int(entry.name)] = int(fields[_PPID]) if fields else 0
    family = [root]
    for known in family:
        family += [pid for pid, parent in parents.items() if parent == known]
    return family


def _stat(pid: int) -> list[str]:
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _scheduled_seconds(pid: int) -> float:
    total = 0
    for task in (_PROC / str(pid) / "task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return total / 1e9
