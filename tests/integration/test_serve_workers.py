"""Several workers as real processes: killed, reloaded, drained, orphaned; all decide by one version of the policy."""

from __future__ import annotations

import datetime as dt
import http.client
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import grpc
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse
from cors_authz._gen.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse
from cors_authz.demo.envoy_process import EnvoyProcess
from cors_authz.demo.upstream import Upstream
from cors_authz.edge.transport.health import POLICY
from cors_authz.edge.transport.interface import CHECK_METHOD, HEALTH_CHECK_METHOD
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Options, bootstrap
from tests.serving import (
    POLICY_TEXT,
    ROOT,
    SECONDS,
    asked,
    command,
    ended,
    free_ports,
    signal_another_thread,
    started,
    until,
)

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
ALLOWED = (0, "rule_allowed")


class Worker(NamedTuple):
    """A worker, by what the log says of it."""

    pid: int
    address: str


class Running(NamedTuple):
    """A supervisor, its log, and where it says that its workers decide."""

    process: subprocess.Popen[bytes]
    log: Path
    addresses: list[str]

    def workers(self) -> dict[int, Worker]:
        """Give the workers by number, each as it was last started."""
        found = re.findall(r"worker (\d+) \(process (\d+)\) decides on (\S+)", self.log.read_text())
        return {int(number): Worker(int(pid), address) for number, pid, address in found}


def call(address: str, method: str, message: bytes) -> bytes:
    with grpc.insecure_channel(address) as channel:
        asked: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        return asked(message, timeout=SECONDS)


def health(address: str, name: str = "") -> int:
    message = HealthCheckRequest(service=name).SerializeToString()
    return int(HealthCheckResponse.FromString(call(address, HEALTH_CHECK_METHOD, message)).status)


class Decided(NamedTuple):
    """What matters of an answer."""

    code: int
    revision: str


def check(address: str) -> Decided:
    response = CheckResponse.FromString(call(address, CHECK_METHOD, asked()))
    return Decided(response.status.code, response.dynamic_metadata.fields["revision"].string_value)


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@contextmanager
def serving(policy: Path, log: Path, *arguments: str) -> Iterator[Running]:
    options = ("--policy", str(policy), "--workers", "2", "--listen", "127.0.0.1:0", "--drain-seconds", "0")
    words = command("serve", *options, *arguments)
    with started(words, log, r"revision \S+, decides on (.+) as prod") as (process, said):
        yield Running(process, log, said[1].split(", "))


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY_TEXT)
    return file


class Load:
    """Asks every worker over and over, and keeps what they said."""

    def __init__(self, addresses: list[str]) -> None:
        self.said: list[Decided] = []
        self.failed: list[grpc.StatusCode] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(address,)) for address in addresses]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, address: str) -> None:
        while not self._stop.wait(0.002):
            try:
                self.said.append(check(address))
            except grpc.RpcError as error:
                self.failed.append(error.code())


def test_a_worker_that_is_killed_under_load_comes_back_at_its_address_with_the_same_generation(
    policy: Path, tmp_path: Path
) -> None:
    with serving(policy, tmp_path / "log") as running:
        before = running.workers()
        with Load(running.addresses) as load:
            os.kill(before[1].pid, signal.SIGKILL)
            until(lambda: running.workers()[1] != before[1])
            until(lambda: len(load.said) > 20)
        after = running.workers()
        assert (after[0], after[1].address) == (before[0], before[1].address)
        assert [check(worker.address) for worker in after.values()] == [Decided(0, "r1")] * 2
        assert set(load.said) == {Decided(0, "r1")}
        assert set(load.failed) <= {grpc.StatusCode.UNAVAILABLE}
        assert "worker 1 ended: SIGKILL, 1 in a row; it starts anew in 0 s" in running.log.read_text()


@contextmanager
def no_further_file(pid: int) -> Iterator[None]:
    """Let a process open none beside those that it has open: with that, it can start no process either."""
    # As many as `poll` watches, which is bounded by it, too: a socket for each worker, and one for the rest.
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_a_worker_that_cannot_be_started_ends_nobody_else_and_starts_when_it_can(policy: Path, tmp_path: Path) -> None:
    with serving(policy, tmp_path / "log") as running:
        before = running.workers()
        with no_further_file(running.process.pid):
            os.kill(before[1].pid, signal.SIGKILL)
            until(lambda: running.process.poll() is not None or "worker 1 cannot be started" in running.log.read_text())
            assert check(before[0].address) == Decided(0, "r1")
        until(lambda: running.process.poll() is not None or running.workers()[1] != before[1])
        after = running.workers()
        assert (running.process.poll(), after[0], after[1].address) == (None, before[0], before[1].address)
        assert [check(worker.address) for worker in after.values()] == [Decided(0, "r1")] * 2


def test_a_new_version_is_in_force_in_all_workers(policy: Path, tmp_path: Path) -> None:
    with serving(policy, tmp_path / "log") as running:
        addresses = running.addresses
        with Load(addresses) as load:
            policy.write_text(POLICY_TEXT.replace("r1", "r2"))
            until(lambda: {check(address) for address in addresses} == {Decided(0, "r2")})
        assert (set(load.said), load.failed) == ({Decided(0, "r1"), Decided(0, "r2")}, [])
        os.kill(running.workers()[0].pid, signal.SIGKILL)
        until(lambda: len(re.findall(r"worker 0 \(process", running.log.read_text())) == 2)
        assert [check(address) for address in addresses] == [Decided(0, "r2")] * 2


def test_a_bad_version_shows_in_the_health_of_all_workers_restarted_ones_too(policy: Path, tmp_path: Path) -> None:
    with serving(policy, tmp_path / "log") as running:
        addresses = running.addresses
        assert [health(address, POLICY) for address in addresses] == [SERVING] * 2
        policy.write_text(POLICY_TEXT.replace("https://shop.example", "null"))
        until(lambda: [health(address, POLICY) for address in addresses] == [NOT_SERVING] * 2)
        assert "policy.yaml:5:19: CX002 `null`" in running.log.read_text()
        os.kill(running.workers()[0].pid, signal.SIGKILL)
        until(lambda: len(re.findall(r"worker 0 \(process", running.log.read_text())) == 2)
        assert [health(address, POLICY) for address in addresses] == [NOT_SERVING] * 2
        assert [health(address) for address in addresses] == [SERVING] * 2
        assert [check(address) for address in addresses] == [Decided(0, "r1")] * 2
        policy.write_text(POLICY_TEXT.replace("r1", "r3"))
        until(lambda: [health(address, POLICY) for address in addresses] == [SERVING] * 2)
        assert [check(address) for address in addresses] == [Decided(0, "r3")] * 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_drains_all_workers_and_ends_when_they_ended(
    number: signal.Signals, policy: Path, tmp_path: Path
) -> None:
    with serving(policy, tmp_path / "log", "--drain-seconds", "2") as running:
        addresses = running.addresses
        with Load(addresses) as load:
            running.process.send_signal(number)
            until(lambda: [health(address) for address in addresses] == [NOT_SERVING] * 2)
            drained = len(load.said)
            until(lambda: len(load.said) > drained)
            assert load.failed == []
            assert running.process.wait(SECONDS) == 0
        assert not any(is_alive(worker.pid) for worker in running.workers().values())
        assert "Traceback" not in running.log.read_text()


def test_a_signal_that_another_thread_gets_drains_too(policy: Path, tmp_path: Path) -> None:
    with serving(policy, tmp_path / "log") as running:
        signal_another_thread(running.process.pid, signal.SIGTERM)
        assert running.process.wait(SECONDS) == 0
        assert "does not end" not in running.log.read_text()


def children(pid: int) -> set[int]:
    return {
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    }


def test_a_worker_that_lags_behind_in_a_reload_does_not_break_the_drain_that_others_have_ended(
    policy: Path, tmp_path: Path
) -> None:
    with serving(policy, tmp_path / "log") as running:
        lagging, other = (running.workers()[number].pid for number in (0, 1))
        os.kill(lagging, signal.SIGSTOP)
        policy.write_text(POLICY_TEXT.replace("r1", "r2"))
        until(lambda: len(children(running.process.pid)) == 3)
        until(lambda: len(children(running.process.pid)) == 2)
        time.sleep(0.5)  # by now the other has loaded it, and both wait for the one that lags
        running.process.terminate()
        until(lambda: children(running.process.pid) == {lagging})
        os.kill(lagging, signal.SIGCONT)
        assert running.process.wait(SECONDS) == 0
        said = running.log.read_text()
        assert (is_alive(other), "Traceback" in said, "does not end" in said) == (False, False, False)


def test_workers_do_not_outlive_a_supervisor_that_is_killed(policy: Path, tmp_path: Path) -> None:
    with serving(policy, tmp_path / "log") as running:
        pids = [worker.pid for worker in running.workers().values()]
        running.process.kill()
        until(lambda: not any(is_alive(pid) for pid in pids))
        assert running.log.read_text().count("the supervisor is gone, and this worker leaves too") == 2


def test_sockets_are_numbered_and_those_of_a_killed_predecessor_do_not_hinder(policy: Path, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s.sock"
    with serving(policy, tmp_path / "log", "--listen", address) as running:
        assert running.addresses == [f"{address}-0", f"{address}-1"]
        pids = [worker.pid for worker in running.workers().values()]
        for pid in (running.process.pid, *pids):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(is_alive(pid) for pid in pids))
    assert sorted(file.name for file in tmp_path.glob("s.sock*")) == ["s.sock-0", "s.sock-1"]
    with serving(policy, tmp_path / "log", "--listen", address) as running:
        assert [check(address) for address in running.addresses] == [Decided(0, "r1")] * 2


def test_ports_follow_the_one_that_is_given(policy: Path, tmp_path: Path) -> None:
    port = free_ports(2)
    with serving(policy, tmp_path / "log", "--listen", f"127.0.0.1:{port}") as running:
        assert running.addresses == [f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"]


def test_one_busy_port_among_them_ends_the_start_with_its_address(policy: Path) -> None:
    port = free_ports(2)
    with socket.create_server(("127.0.0.1", port + 1)):
        code, said = ended("--policy", str(policy), "--workers", "2", "--listen", f"127.0.0.1:{port}")
    assert code == 1
    refused = f"cannot listen on `127.0.0.1:{port + 1}`: taken, not an address of this machine, or not allowed"
    assert f"Error: {refused}" in said
    assert "Traceback" not in said
    with socket.create_server(("127.0.0.1", port)):
        """The other worker has let go."""


def test_a_folder_that_is_not_there_ends_the_start(policy: Path, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/absent/s.sock"
    code, said = ended("--policy", str(policy), "--workers", "2", "--listen", address)
    assert (code, "cannot listen on `unix:" in said, "Traceback" in said) == (1, True, False)


def status_through(envoy: EnvoyProcess) -> int:
    connection = http.client.HTTPConnection(envoy.address.host, envoy.address.port, timeout=SECONDS)
    try:
        connection.request("POST", "/", headers={"host": "api.example", "origin": "https://shop.example"})
        return connection.getresponse().status
    finally:
        connection.close()


def checks_by_worker(envoy: EnvoyProcess) -> list[int]:
    return [int(total) for total in re.findall(r"authz::127\S+::rq_total::(\d+)", envoy.admin("/clusters"))]


def test_envoy_asks_each_worker_in_turn_and_a_killed_one_fails_no_request(
    envoy_binary: Path, policy: Path, tmp_path: Path
) -> None:
    any_port = Address("127.0.0.1", 0)
    with serving(policy, tmp_path / "log") as running, Upstream() as upstream:
        authz = [Address.parse(address) for address in running.addresses]
        # Five times the usual: a busy machine stalls a worker for longer than a try has.
        config = bootstrap(any_port, authz, upstream.address, any_port, Options(timeout_ms=2500))
        with EnvoyProcess(envoy_binary, config) as envoy:
            assert {status_through(envoy) for _ in range(40)} == {200}
            assert min(checks_by_worker(envoy)) >= 10
            before = running.workers()[0]
            os.kill(before.pid, signal.SIGKILL)
            statuses = set()
            while running.workers()[0] == before:
                statuses.add(status_through(envoy))
            assert statuses == {200}


def test_decisions_of_all_workers_are_lines_of_one_audit_log(policy: Path, tmp_path: Path) -> None:
    with serving(policy, tmp_path / "log", "--audit", str(tmp_path / "audit")) as running:
        with Load(running.addresses) as load:
            until(lambda: len(load.said) >= 100)
        running.process.terminate()
        assert running.process.wait(SECONDS) == 0
    read = [orjson.loads(line) for line in (tmp_path / "audit").read_bytes().splitlines()]
    lines = [line for line in read if line["kind"] == "decision"]
    assert len(lines) == len(load.said)
    assert {line["reason"] for line in lines} == {"rule_allowed"}
    assert len({line["decision_id"] for line in lines}) == len(lines)


def pem_files(folder: Path) -> tuple[Path, Path]:
    """Write a certificate of localhost, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begin = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "tls.crt", folder / "tls.key"
    files[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


@pytest.mark.parametrize("transport", ["completion-queue", "grpc-server"])
def test_both_transports_serve_with_a_certificate(transport: str, policy: Path, tmp_path: Path) -> None:
    certificate, key = pem_files(tmp_path)
    tls = ("--tls-cert", str(certificate), "--tls-key", str(key), "--transport", transport)
    with serving(policy, tmp_path / "log", *tls) as running:
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        for address in running.addresses:
            with grpc.secure_channel(address.replace("127.0.0.1", "localhost"), credentials) as channel:
                asked_there: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
                assert CheckResponse.FromString(asked_there(asked(), timeout=SECONDS)).status.code == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_certificate_that_is_none_ends_the_start(workers: str, policy: Path, tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("no certificate")
    tls = ("--tls-cert", str(tmp_path / "tls"), "--tls-key", str(tmp_path / "tls"), "--listen", "127.0.0.1:0")
    code, said = ended("--policy", str(policy), "--workers", workers, *tls)
    assert (code, "not a certificate chain" in said, "Traceback" in said) == (1, True, False)


@pytest.mark.parametrize(("workers", "code"), [("1", 2), ("2", 1)])
def test_an_audit_log_that_cannot_be_written_ends_the_start(
    workers: str, code: int, policy: Path, tmp_path: Path
) -> None:
    arguments = ("--policy", str(policy), "--workers", workers, "--audit", f"{tmp_path}/absent/log")
    ended_with, said = ended(*arguments, "--listen", "127.0.0.1:0")
    told = f"audit: `{tmp_path}/absent/log` cannot be written: No such file or directory; make its folder"
    assert (ended_with, told in said, "Traceback" in said) == (code, True, False)


def test_an_invalid_policy_is_refused_with_every_error(policy: Path) -> None:
    policy.write_text(POLICY_TEXT.replace("https://shop.example", "null").replace("api.example", "API.example"))
    code, said = ended("--policy", str(policy), "--workers", "2")
    # On a machine of one core, a warning that two workers share it comes first.
    assert (code, re.findall(r"(?m)^policy\S+", said)) == (3, ["policy.yaml:5:19:", "policy.yaml:9:16:"])


def test_a_crash_loop_is_told_and_ends_the_service(policy: Path, tmp_path: Path) -> None:
    # Python imports it at its start.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'cors_authz.edge.workers.worker' in sys.orig_argv: os._exit(70)\n"
    )
    arguments = ("--policy", str(policy), "--workers", "2", "--listen", "127.0.0.1:0")
    code, said = ended(*arguments, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert (code, "Traceback" in said) == (1, False)
    # Whichever is first is told; with the other one there is nobody left.
    assert re.search(r"worker [01] is in a crash loop: exit code 70, 5 in a row; it starts anew in 2 s", said)
    assert "Error: no worker can be kept up: each ended 5 times in a row, the last: exit code 70" in said
