"""The package as its native wheel has it, unpacked beside the tests: `python -m tests.native` builds it.

Built from a copy: what is compiled would else lie beside the sources, and be imported in their place.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
NATIVE: Final = ROOT / ".native"
"""Where it is; git ignores it."""

_PACKAGE: Final = ("cors_authz", "pyproject.toml", "README.md", "LICENSE")
_BUILD_SECONDS: Final = 900


class NativeError(Exception):
    """The native wheel cannot be built here; the message says why."""


def build() -> Path:
    """Build the wheel unless it is the one of these sources and this interpreter, and unpack it in `NATIVE`.

    Raises: NativeError.
    """
    digest = _digest()
    made_of = NATIVE / "made-of"
    if made_of.exists() and made_of.read_text() == digest:
        return NATIVE
    if shutil.which("cc") is None:
        raise NativeError("there is no C compiler: apt install gcc")
    shutil.rmtree(NATIVE, ignore_errors=True)
    source = NATIVE / "source"
    source.mkdir(parents=True)
    for name in _PACKAGE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    shutil.unpack_archive(_wheel(source), NATIVE, "zip")
    for entry in ROOT.iterdir():
        # Beside the package stands what the tests read, and the tests.
        if not entry.name.startswith(".") and entry.name != "cors_authz":
            (NATIVE / entry.name).symlink_to(entry)
    made_of.write_text(digest)
    return NATIVE


def _digest() -> str:
    found = (file for name in _PACKAGE for file in (ROOT / name, *(ROOT / name).rglob("*")))
    files = sorted(file for file in found if file.is_file() and "__pycache__" not in file.parts)
    content = b"".join(str(file).encode() + file.read_bytes() for file in files)
    return sha256(sys.version.encode() + content).hexdigest()


def _wheel(source: Path) -> Path:
    words = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(source), str(source))
    switch = {"HATCH_BUILD_HOOKS_ENABLE": "1"}
    done = subprocess.run(
        words, env=os.environ | switch, capture_output=True, text=True, check=False, timeout=_BUILD_SECONDS
    )
    if done.returncode:
        raise NativeError(f"`{' '.join(words)}` failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")
    (wheel,) = source.glob("*.whl")
    return wheel


if __name__ == "__main__":
    try:
        build()
    except NativeError as error:
        sys.exit(str(error))
