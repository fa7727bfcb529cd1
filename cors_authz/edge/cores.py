"""How many cores this process may use: its affinity, and what its control group leaves of them."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Final

_HIERARCHY: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
# The line of the unified hierarchy: https://docs.kernel.org/admin-guide/cgroup-v2.html#processes.
_UNIFIED: Final = "0::"


def usable_cores(hierarchy: Path = _HIERARCHY, membership: Path = _MEMBERSHIP) -> int:
    """Count the cores that this process may use in full, at least 1.

    A quota of two and a half cores counts as two: a third worker would be held up in the middle of checks.

    Args:
        hierarchy: where the control groups (version 2) are mounted.
        membership: the file that names the group of this process.

    Spec: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files.
    """
    cores = float(len(os.sched_getaffinity(0)))
    group = _group(membership)
    quotas = (_quota(hierarchy / str(folder).lstrip("/") / "cpu.max") for folder in (group, *group.parents))
    return max(1, int(min((cores, *(quota for quota in quotas if quota is not None)))))


def _group(membership: Path) -> PurePosixPath:
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return PurePosixPath(next((line.removeprefix(_UNIFIED) for line in lines if line.startswith(_UNIFIED)), "/"))


def _quota(file: Path) -> float | None:
    try:
        quota, period = file.read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # there is none, or it is `max`
        return None
