"""The service as a process, with traces on: a collector of any temper costs no decision, and the end stays bounded."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import grpc
import pytest

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse
from cors_authz.demo.receiver import ReceivedSpan, Receiver, Sink
from cors_authz.edge.transport.interface import CHECK_METHOD
from cors_authz.envoy.address import Address
from tests.serving import POLICY_TEXT, SECONDS, asked, command, ended, started

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN: Final = "00f067aa0ba902b7"
PARENT: Final = (("traceparent", f"00-{TRACE}-{SPAN}-01"),)
CHECKS: Final = 100


@contextmanager
def _serving(folder: Path, environ: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], Path, str]]:
    policy, log = folder / "policy.yaml", folder / "log"
    policy.write_text(POLICY_TEXT)
    options = ("--policy", str(policy), "--listen", "127.0.0.1:0", "--drain-seconds", "0")
    with started(command("serve", *options), log, r"decides on (\S+) as", **environ) as (process, said):
        yield process, log, said[1]


def _check(address: str, times: int, metadata: tuple[tuple[str, str], ...] = ()) -> set[int]:
    with grpc.insecure_channel(address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK_METHOD)
        answers = [call(asked(), timeout=SECONDS, metadata=metadata) for _ in range(times)]
    return {CheckResponse.FromString(answer).status.code for answer in answers}


def _end(process: subprocess.Popen[bytes]) -> float:
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(SECONDS) == 0
    return time.monotonic() - began


def test_what_waits_at_the_end_is_sent(tmp_path: Path) -> None:
    spans: list[ReceivedSpan] = []
    with Receiver(Address("127.0.0.1", 0), Sink(spans.extend, lambda _records: None)) as receiver:
        environ = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{receiver.address}"}
        with _serving(tmp_path, environ) as (process, log, address):
            assert _check(address, CHECKS, PARENT) == {0}
            _end(process)
    assert len(spans) == CHECKS
    assert {(span.trace_id, span.parent_id) for span in spans} == {(TRACE, SPAN)}
    sampler = "sampler parentbased_always_on"
    assert f"audit off; traces to http://{receiver.address} (grpc), {sampler}; metrics off" in log.read_text()
    assert "collector" not in log.read_text()


PROTOCOLS: Final = ("grpc", "http/protobuf")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_collector_that_never_answers_holds_up_no_decision_and_no_end(protocol: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": protocol,
            "OTEL_BSP_SCHEDULE_DELAY": "20",
        }
        with _serving(tmp_path, environ) as (process, log, address):
            assert _check(address, CHECKS) == {0}
            # The end waits two seconds for the collector, and then for nobody.
            assert _end(process) < 8
    assert log.read_text().count("Traceback") == 0


def test_what_a_deaf_collector_was_to_have_of_all_kinds_is_waited_for_at_the_same_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environ = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "CORS_AUTHZ_AUDIT": "otlp",
            "CORS_AUTHZ_METRICS_LISTEN": "127.0.0.1:0",
        }
        with _serving(tmp_path, environ) as (process, log, address):
            assert _check(address, CHECKS) == {0}
            # Two seconds, not two for each of three.
            assert _end(process) < 6
    assert "faster than they are sent" not in log.read_text()


def test_a_collector_that_is_down_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        environ = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{closed.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "300",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
        }
        with _serving(tmp_path, environ) as (process, log, address):
            for _ in range(3):
                assert _check(address, CHECKS) == {0}
                time.sleep(0.5)
            _end(process)
    told = [line for line in log.read_text().splitlines() if "opentelemetry" in line.lower() or "OTLP" in line]
    assert [line.partition("(grpc) ")[2].partition(":")[0] for line in told] == [
        "does not take traces, and decisions go on"
    ]


MISSPELT: Final = {
    "an endpoint": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "htp://collector:4317"}, "`htp://collector:4317` is no endpoint"),
    "a sampler": (
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_TRACES_SAMPLER": "sometimes"},
        "OTEL_TRACES_SAMPLER: `sometimes` is not known",
    ),
}


@pytest.mark.parametrize("sentence", MISSPELT)
def test_what_is_misspelt_ends_the_start_with_what_to_write(sentence: str, tmp_path: Path) -> None:
    environ, message = MISSPELT[sentence]
    (tmp_path / "policy.yaml").write_text(POLICY_TEXT)
    code, said = ended("--policy", str(tmp_path / "policy.yaml"), **environ)
    assert (code, message in said) == (2, True), said
