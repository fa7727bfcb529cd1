"""Cores: those of the affinity, less what the control group takes, and never none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cors_authz.edge.cores import usable_cores

ALL = len(os.sched_getaffinity(0))


def counted(folder: Path, membership: str, **quotas: str) -> int:
    for group, quota in quotas.items():
        file = folder / "hierarchy" / group.replace("__", "/").removeprefix("root").lstrip("/") / "cpu.max"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(quota)
    own = folder / "cgroup"
    own.write_text(membership)
    return usable_cores(folder / "hierarchy", own)


def test_without_control_groups_they_are_those_of_the_affinity(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "absent", tmp_path / "absent") == ALL


def test_a_quota_counts_in_full_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert counted(tmp_path, "1:name=systemd:/x\n0::/pods/one\n", pods__one="250000 100000\n") == 2


def test_the_narrowest_quota_above_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    quotas = {"root": "700000 100000", "pods": "300000 100000", "pods__one": "max 100000"}
    assert counted(tmp_path, "0::/pods/one\n", **quotas) == 3


def test_less_than_a_core_is_one(tmp_path: Path) -> None:
    assert counted(tmp_path, "0::/\n", root="50000 100000") == 1


@pytest.mark.parametrize("quota", ["", "max", "max 100000", "many few", "1 2 3"])
def test_what_is_no_quota_takes_nothing(quota: str, tmp_path: Path) -> None:
    assert counted(tmp_path, "0::/\n", root=quota) == ALL
