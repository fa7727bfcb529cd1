"""The machine: which core is whose, which tools there are, and the facts that belong beside a figure."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / ".bench"
"""Results, and what is built on demand; git ignores it."""

_NEEDED: Final = 2


class MissingError(Exception):
    """The bench cannot run here; the message says what is missing and how to get it."""


class Cores(NamedTuple):
    """The core of the server that is measured, and that of everything else."""

    server: int
    loader: int

    def on_server(self, words: Sequence[str]) -> list[str]:
        """Pin a command to the server's core."""
        return ["taskset", "-c", str(self.server), *words]

    def on_loader(self, words: Sequence[str]) -> list[str]:
        """Pin a command to the loader's core."""
        return ["taskset", "-c", str(self.loader), *words]


def cores() -> Cores:
    """Choose the cores.

    Raises: MissingError if there is one only, or no taskset.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < _NEEDED:
        raise MissingError("a server and its loader need a core each, and there is one")
    if shutil.which("taskset") is None:
        raise MissingError("taskset is missing: apt install util-linux")
    return Cores(allowed[0], allowed[1])


def require_h2load() -> None:
    """See whether there is a loader.

    Raises: MissingError.
    """
    if shutil.which("h2load") is None:
        raise MissingError("h2load is missing: apt install nghttp2-client")


def facts() -> dict[str, str]:
    """Say what the figures depend on, and nothing that names this machine."""
    packages = {name: metadata.version(name) for name in ("grpcio", "protobuf")}
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "kernel": platform.release().partition("-")[0],
        **packages,
    }
