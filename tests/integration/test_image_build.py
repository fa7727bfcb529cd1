"""The image, built and run for real: read-only, as any user, without a shell.

It takes podman and a base that podman has or can pull, in `CORS_AUTHZ_IMAGE_BASE`. What `CORS_AUTHZ_IMAGE_OPTIONS` says
is handed to `podman build`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from uuid import uuid4

import grpc
import pytest

from cors_authz import __version__
from cors_authz._gen.wire.external_auth_pb2 import CheckResponse
from cors_authz.edge.transport.health import POLICY
from cors_authz.edge.transport.interface import CHECK_METHOD
from tests.serving import POLICY_TEXT, asked, free_ports

ROOT: Final = Path(__file__).parents[2]
BASE: Final = os.environ.get("CORS_AUTHZ_IMAGE_BASE")
BUILD_SECONDS: Final = 1200
RUN_SECONDS: Final = 60
MAX_BYTES: Final = 90_000_000

pytestmark = [
    pytest.mark.skipif(shutil.which("podman") is None, reason="there is no podman: apt install podman runc"),
    pytest.mark.skipif(BASE is None, reason="CORS_AUTHZ_IMAGE_BASE names no base image"),
    pytest.mark.timeout(BUILD_SECONDS),
]


def podman(*words: str, seconds: float = RUN_SECONDS) -> subprocess.CompletedProcess[str]:
    # By its name alone: where it lies differs between systems.
    return subprocess.run(
        ["podman", *words],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def said(*words: str, seconds: float = RUN_SECONDS) -> str:
    done = podman(*words, seconds=seconds)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Build the image, and take it away again; what podman has cached of its layers stays."""
    name = f"localhost/cors-authz-test:{uuid4().hex}"
    options = shlex.split(os.environ.get("CORS_AUTHZ_IMAGE_OPTIONS", ""))
    words = ("build", "--format", "docker", "--build-arg", f"BASE={BASE}", "--tag", name, *options, str(ROOT))
    # One after the other: what a second of pytest's processes builds is in podman's cache by then.
    with (tmp_path_factory.getbasetemp().parent / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said(*words, seconds=BUILD_SECONDS)
    yield name
    podman("rmi", "--force", name)


def inside(image: str, *words: str) -> str:
    """Run a program of the image instead of the service."""
    return said("run", "--rm", "--no-healthcheck", "--network", "none", "--entrypoint", words[0], image, *words[1:])


class Running(NamedTuple):
    """A container that runs, and where it answers."""

    name: str
    address: str

    def health(self, *arguments: str) -> tuple[int, str]:
        """Ask as a probe does that starts a program."""
        done = podman("exec", self.name, "cors-authz", "health", *arguments)
        return done.returncode, done.stdout.strip() or done.stderr.strip()

    def serves(self) -> bool:
        """Tell whether the probe passes."""
        return self.health()[0] == 0


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + RUN_SECONDS
    while not holds():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.1)


@contextmanager
def running(image: str, policy: Path, *options: str) -> Iterator[Running]:
    """Run the service as hardened as a cluster does, with each shell of the base taken away."""
    port = free_ports(2)
    name = f"cors-authz-test-{uuid4().hex}"
    hardened = ("--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges")
    shells = (word for shell in ("dash", "bash") for word in ("--volume", f"/dev/null:/usr/bin/{shell}:ro"))
    where = (
        "--env",
        f"CORS_AUTHZ_LISTEN=0.0.0.0:{port}",
        "--env",
        f"CORS_AUTHZ_METRICS_LISTEN=127.0.0.1:{port + 1}",
        "--volume",
        f"{policy}:/etc/cors-authz/policy:ro",
    )
    begin = ("run", "--detach", "--name", name, "--no-healthcheck", "--network", "host")
    said(*begin, *hardened, *shells, *where, *options, image)
    try:
        yield Running(name, f"127.0.0.1:{port}")
    finally:
        podman("rm", "--force", "--time", "0", name)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "policy.yaml").write_text(POLICY_TEXT)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    return folder


def _decided(address: str, origin: str) -> tuple[int, str]:
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
        response = CheckResponse.FromString(call(asked(origin), timeout=RUN_SECONDS))
    return response.status.code, response.dynamic_metadata.fields["reason"].string_value


@pytest.mark.parametrize("user", ["65532:65532", "12345:0", "1000730000:0"])
def test_it_decides_as_any_user_and_drains(image: str, policy: Path, user: str) -> None:
    with running(image, policy, "--user", user) as service:
        _until(service.serves)
        assert service.health("--service", POLICY) == (0, f"`{POLICY}` at `{service.address}` is serving")
        assert _decided(service.address, "https://shop.example") == (0, "rule_allowed")
        assert _decided(service.address, "https://evil.example") == (7, "origin_not_allowed")

        said("kill", "--signal", "TERM", service.name)
        _until(lambda: service.health() == (1, f"Error: `{service.address}` says NOT_SERVING"))
        assert said("wait", service.name) == "0"
        assert "draining: NOT_SERVING for 2.5 s" in podman("logs", service.name).stderr


def test_it_is_small(image: str) -> None:
    assert BASE is not None
    sizes = [int(said("image", "inspect", "--format", "{{.Size}}", name)) for name in (image, BASE)]
    assert 0 < sizes[0] - sizes[1] <= MAX_BYTES


def test_it_is_the_native_wheel(image: str) -> None:
    assert inside(image, "cors-authz", "--version") == f"{__version__} (native)"


_IMPORTS_ALL: Final = """
import importlib, os, pkgutil, sys, cors_authz

for module in pkgutil.walk_packages(cors_authz.__path__, "cors_authz."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
specs = [module.__spec__ for module in sys.modules.values() if getattr(module, "__spec__", None)]
from_source = [spec for spec in specs if spec.has_location and spec.origin.endswith(".py")]
print([spec.name for spec in from_source if not os.path.exists(spec.cached)])
"""


def test_what_it_imports_is_compiled_to_byte_code(image: str) -> None:
    assert inside(image, "python", "-c", _IMPORTS_ALL) == "[]"


_DISTRIBUTIONS: Final = """
from importlib.metadata import distributions

print(*(f"{each.name}=={each.version}" for each in distributions()))
"""
_BILL: Final = "print(open('/usr/share/cors-authz/sbom.cdx.json').read())"


def _named(pins: Iterable[str]) -> list[str]:
    return sorted(re.sub(r"[-_.]+(?=.*==)", "-", pin).lower() for pin in pins)


def test_it_holds_what_was_locked_and_its_bill_of_materials_says_so(image: str) -> None:
    lock = re.findall(r"^[a-z0-9.-]+==\S+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    bill = json.loads(inside(image, "python", "-c", _BILL))
    ours = f"cors-authz=={__version__}"

    assert _named(inside(image, "python", "-c", _DISTRIBUTIONS).split()) == _named([ours, *lock])
    assert _named(f"{part['name']}=={part['version']}" for part in bill["components"]) == _named(lock)
    root = bill["metadata"]["component"]
    assert (bill["bomFormat"], bill["specVersion"], root["name"], root["version"]) == (
        "CycloneDX",
        "1.6",
        "cors-authz",
        __version__,
    )


def test_it_holds_no_compiler(image: str) -> None:
    script = "from shutil import which; print([name for name in ('gcc', 'cc', 'ld', 'make', 'mypyc') if which(name)])"
    assert inside(image, "python", "-c", script) == "[]"
