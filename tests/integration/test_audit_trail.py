"""The audit trail of a real service: what a kill loses, that an end loses nothing, and 503 where it must record."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import grpc
import orjson
import pytest
from click.testing import CliRunner, Result
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse
from cors_authz.cli.main import cli
from cors_authz.edge.audit.lane import FLUSH_SECONDS
from cors_authz.edge.transport.interface import CHECK_METHOD
from tests.serving import POLICY_TEXT, SECONDS, asked, command, ended, free_ports, started, until

ALLOWED: Final = asked("https://shop.example")
REFUSED: Final = asked("https://evil.example")
SLACK_SECONDS: Final = 0.5
"""Beside a flush interval: two cores and a disk are shared with whatever else runs, and who writes waits its turn."""
ROTATED: Final = ("--audit-rotate-bytes", "262144", "--audit-keep", "99")
"""Often, and no file is given up: on a fast machine ten would not hold what is written in a second."""


class Running(NamedTuple):
    """A service that runs, its log, and where each worker listens."""

    process: subprocess.Popen[bytes]
    log: Path
    addresses: tuple[str, ...]


@contextmanager
def serving(policy: Path, log: Path, *arguments: str, **variables: str) -> Iterator[Running]:
    options = ("--policy", str(policy), "--listen", "127.0.0.1:0", "--drain-seconds", "0", *arguments)
    # Before that line, each worker says where it decides, and all say who watches them.
    ready = r"revision r1, decides on (.*) as prod"
    with started(command("serve", *options), log, ready, **variables) as (process, said):
        yield Running(process, log, tuple(said[1].split(", ")))


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY_TEXT)
    return file


class Answered(NamedTuple):
    """A decision that the client knows of, and when it got to know."""

    decision_id: str
    at: float


def ask(address: str, answered: list[Answered]) -> None:
    """Ask as fast as it goes, until the service is gone."""
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
        while True:
            try:
                response = CheckResponse.FromString(call(ALLOWED, timeout=SECONDS))
            except grpc.RpcError:
                break
            decision_id = response.dynamic_metadata.fields["decision_id"].string_value
            answered.append(Answered(decision_id, time.monotonic()))


def one(address: str, message: bytes = ALLOWED) -> CheckResponse:
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
        return CheckResponse.FromString(call(message, timeout=SECONDS))


def recorded(*files: Path) -> list[str]:
    """Give the ids of the decisions in files; a line that was torn is passed over."""
    lines = (line for file in files for line in file.read_bytes().splitlines())
    # A torn one may end with a brace as well, and not with its hash.
    whole = (line for line in lines if b'"kind":"decision"' in line and re.search(rb'"hash":"[0-9a-f]{64}"}$', line))
    return [orjson.loads(line)["decision_id"] for line in whole]


def files_of(file: Path) -> list[Path]:
    return sorted(file.parent.glob(f"{file.name}*"))


def verify(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["audit", "verify", *map(str, arguments)])


def killed_under_load(running: Running, number: signal.Signals, seconds: float) -> tuple[list[Answered], float]:
    """Send a signal while two clients ask each worker; give what they were answered, and when the signal was sent."""
    answered: list[Answered] = []
    with ThreadPoolExecutor(4) as pool, ExitStack() as ending:
        # They ask for as long as it lives.
        ending.callback(running.process.kill)
        clients = [pool.submit(ask, address, answered) for address in running.addresses for _ in range(2)]
        time.sleep(seconds)
        until(lambda: len(answered) > 200)
        at = time.monotonic()
        running.process.send_signal(number)
        running.process.wait(SECONDS)
    for client in clients:
        client.result()
    return answered, at


@pytest.mark.parametrize("round_", range(3))
def test_a_service_that_is_killed_loses_the_records_of_its_last_flush_interval_at_most(
    round_: int, policy: Path, tmp_path: Path
) -> None:
    file = tmp_path / "audit"
    with serving(policy, tmp_path / "log", "--audit", str(file), *ROTATED) as running:
        answered, at = killed_under_load(running, signal.SIGKILL, 1.5 + 0.017 * round_)
    found = set(recorded(*files_of(file)))
    due = [each for each in answered if each.at < at - FLUSH_SECONDS - SLACK_SECONDS]
    assert due
    assert [each for each in due if each.decision_id not in found] == []
    # Who comes after begins on a line of its own, and the chain of the one that was killed is whole as far as it goes.
    with serving(policy, tmp_path / "log2", "--audit", str(file)) as running:
        one(running.addresses[0])
    result = verify(*files_of(file))
    assert result.exit_code == 0, result.output
    assert "has no end: it still runs, was killed, or its end was cut off" in result.output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_that_is_told_to_end_loses_nothing(workers: str, policy: Path, tmp_path: Path) -> None:
    file = tmp_path / "audit"
    arguments = ("--audit", str(file), *ROTATED, "--workers", workers)
    with serving(policy, tmp_path / "log", *arguments) as running:
        answered, _ = killed_under_load(running, signal.SIGTERM, 1.0)
        assert running.process.returncode == 0
    found = recorded(*files_of(file))
    assert {each.decision_id for each in answered} <= set(found)
    assert len(found) == len(set(found))
    result = verify(*files_of(file))
    assert (result.exit_code, "note:" in result.output) == (0, False), result.output
    assert f"{len(found)} records of {workers} writer" in result.output


def test_signed_heads_are_verified_with_the_public_key_and_a_changed_line_is_named(
    policy: Path, tmp_path: Path
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make keys with")
    key, public, file = tmp_path / "audit.key", tmp_path / "audit.pub", tmp_path / "audit"
    subprocess.run([openssl, "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    subprocess.run([openssl, "pkey", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    with serving(policy, tmp_path / "log", "--audit", str(file), "--audit-key", str(key)) as running:
        one(running.addresses[0])
        one(running.addresses[0], REFUSED)
    assert verify("--public-key", public, file).output == (
        "whole: 2 records of 1 writer in 1 file, 2 heads (2 signed with a key that was given)\n"
    )
    file.write_bytes(file.read_bytes().replace(b"evil.example", b"good.example"))
    result = verify("--public-key", public, file)
    assert (result.exit_code, result.output.partition("\n")[0]) == (
        6,
        f"{file}:3: changed: this line is not what was written after {file}:2, or that was changed",
    )


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of a few kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = [shutil.which("mount") or "", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
    if (
        os.geteuid()
        or shutil.which("mount") is None
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("a disk can only be mounted by root, where the system allows it")
    try:
        yield folder
    finally:
        subprocess.run([shutil.which("umount") or "", "-l", str(folder)], check=True)


def reason(response: CheckResponse) -> str:
    return response.dynamic_metadata.fields["reason"].string_value


def test_a_full_disk_is_told_and_decisions_go_on_and_all_is_written_once_there_is_room(
    tiny_disk: Path, policy: Path, tmp_path: Path
) -> None:
    file, filling = tiny_disk / "audit", tiny_disk / "filling"
    filling.write_bytes(b"." * 240_000)
    with serving(policy, tmp_path / "log", "--audit", str(file)) as running:
        answers = [one(running.addresses[0]) for _ in range(100)]
        until(lambda: "No space left on device" in running.log.read_text())
        answers += [one(running.addresses[0]) for _ in range(10)]
        assert {reason(answer) for answer in answers} == {"rule_allowed"}
        filling.unlink()
        until(lambda: "the audit trail is written again" in running.log.read_text())
    assert len(set(recorded(file))) == 110
    assert verify(file).exit_code == 0
    assert "0 records were lost" in (tmp_path / "log").read_text()


def test_where_records_are_required_nothing_is_allowed_while_they_cannot_be_written(
    policy: Path, tmp_path: Path
) -> None:
    file = tmp_path / "folder" / "audit"
    file.parent.mkdir()
    with serving(policy, tmp_path / "log", "--audit", str(file), "--audit-required") as running:
        address = running.addresses[0]
        assert reason(one(address)) == "rule_allowed"
        until(lambda: len(recorded(file)) == 1)
        shutil.rmtree(file.parent)
        one(address)
        until(lambda: reason(one(address)) == "audit_unavailable")
        refused = one(address)
        assert (refused.status.code, refused.error_response.status.code) == (14, 503)
        file.parent.mkdir()
        until(lambda: reason(one(address)) == "rule_allowed")
    assert len(recorded(file)) >= 2


class Collector(grpc.GenericRpcHandler):
    """A collector of logs, at a port of its own that it leaves and takes again."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []
        self.address = f"127.0.0.1:{free_ports()}"

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        """Take whatever is sent."""
        del handler_call_details
        return grpc.unary_unary_rpc_method_handler(self._take)

    def _take(self, raw: bytes, _context: grpc.ServicerContext) -> bytes:
        for resource in ExportLogsServiceRequest.FromString(raw).resource_logs:
            for scope in resource.scope_logs:
                self.records += scope.log_records
        return b""

    def bodies(self) -> list[bytes]:
        """Give the lines that were taken."""
        return [record.body.string_value.encode() + b"\n" for record in self.records]

    @contextmanager
    def up(self) -> Iterator[None]:
        """Listen."""
        server = grpc.server(ThreadPoolExecutor(2), handlers=[self], options=[("grpc.so_reuseport", 0)])
        server.add_insecure_port(self.address)
        server.start()
        yield
        server.stop(None).wait()


def test_a_collector_that_is_down_is_told_once_and_gets_all_records_once_it_is_up(policy: Path, tmp_path: Path) -> None:
    collector, variable = Collector(), "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"
    variables = {variable: f"http://{collector.address}", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "1000"}
    with serving(policy, tmp_path / "log", "--audit", "otlp", **variables) as running:
        answers = [one(running.addresses[0]) for _ in range(20)]
        until(lambda: "does not take logs" in running.log.read_text())
        answers += [one(running.addresses[0], REFUSED) for _ in range(20)]
        with collector.up():
            until(lambda: len(collector.records) > len(answers))
            running.process.terminate()
            running.process.wait(SECONDS)
    said = running.log.read_text()
    assert (said.count("does not take logs: "), said.count("takes logs again\n")) == (1, 1)
    assert said.count("the audit trail cannot be written: the OTLP collector of logs: ") == 1
    assert said.count("the audit trail is written again: the OTLP collector of logs; 0 records were lost") == 1
    assert "Traceback" not in said
    (tmp_path / "kept").write_bytes(b"".join(collector.bodies()))
    assert "whole: 40 records of 1 writer" in verify(tmp_path / "kept").output
    ids = {answer.dynamic_metadata.fields["decision_id"].string_value for answer in answers}
    assert set(recorded(tmp_path / "kept")) == ids
    attributes = {each.key: each.value.string_value for each in collector.records[-2].attributes}
    assert (attributes["cors_authz.outcome"], attributes["cors_authz.reason"]) == ("deny", "origin_not_allowed")


def test_a_target_or_a_secret_that_cannot_be_is_told_at_the_start(policy: Path, tmp_path: Path) -> None:
    for arguments, told in (
        (("--audit", f"{tmp_path}/absent/log"), "absent/log` cannot be written: No such file or directory"),
        (("--audit", "-", "--audit-reveal", "header:cookie"), "header `cookie` holds secrets, and is never recorded"),
        (("--audit", "-", "--audit-key", str(tmp_path / "absent")), "cannot be read: No such file or directory"),
    ):
        code, said = ended("--policy", str(policy), *arguments)
        assert (code, told in " ".join(said.split())) == (2, True), said
