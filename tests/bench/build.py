"""What is built on demand: our loader and the peers, from the sources beside this file."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

import tests.native
from tests.bench.machine import RESULTS, MissingError
from tests.native import NativeError

_PEERS: Final = Path(__file__).parent / "peers"
_BUILD_SECONDS: Final = 1200


@cache
def go(name: str) -> Path:
    """Build one of the Go programs.

    Raises: MissingError without Go, or if it does not build.
    """
    target = RESULTS / "bin" / name
    _build("go", ("go", "build", "-o", str(target), f"./{name}"), _PEERS / "go")
    return target


@cache
def rust() -> Path:
    """Build the Rust server.

    Raises: MissingError without cargo, or if it does not build.
    """
    folder = RESULTS / "cargo"
    _build("cargo", ("cargo", "build", "--locked", "--release", "--target-dir", str(folder)), _PEERS / "rust")
    return folder / "release" / "static"


@cache
def native() -> Path:
    """Build the package as its native wheel has it.

    Raises: MissingError without a C compiler, or if it does not build.
    """
    try:
        return tests.native.build()
    except NativeError as error:
        raise MissingError(str(error)) from error


def _build(tool: str, words: tuple[str, ...], folder: Path) -> None:
    if shutil.which(tool) is None:
        raise MissingError(f"{tool} is not installed")
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"`{' '.join(words)}` did not end in {_BUILD_SECONDS} s") from error
    if done.returncode:
        raise MissingError(f"`{' '.join(words)}` failed: {done.stderr[-600:]}")
