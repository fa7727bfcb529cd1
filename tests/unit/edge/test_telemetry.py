"""Telemetry by OTLP: what the variables ask for, and a collector that is down, slow or refuses costs no decision."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import grpc
import pytest
from opentelemetry.sdk import environment_variables
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext

from cors_authz import __version__
from cors_authz.demo.receiver import ReceivedSpan, Receiver, Sink
from cors_authz.edge.metrics.catalogue import EXPORT_FAILURES
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.telemetry.advice import Place
from cors_authz.edge.telemetry.batches import STOP_SECONDS, Batches, BatchOptions
from cors_authz.edge.telemetry.otlp import (
    Signal,
    is_wanted,
    log_exporter,
    metric_exporter,
    place,
    resource,
    span_exporter,
)
from cors_authz.edge.telemetry.variables import KNOWN, unknown
from cors_authz.envoy.address import Address
from tests.serving import until

ENDPOINT: Final = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}
WANTED: Final[dict[str, tuple[Mapping[str, str], set[Signal]]]] = {
    "nothing is asked for": ({}, set()),
    "an endpoint for all": (ENDPOINT, set(Signal)),
    "an endpoint for one": ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:1"}, {Signal.TRACES}),
    "an empty endpoint is none": ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, set()),
    "one by name, at the usual place": ({"OTEL_METRICS_EXPORTER": "otlp"}, {Signal.METRICS}),
    "all but one": ({**ENDPOINT, "OTEL_LOGS_EXPORTER": "none"}, {Signal.TRACES, Signal.METRICS}),
    "all is switched off": ({**ENDPOINT, "OTEL_LOGS_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "True"}, set()),
    "all is not switched off": ({**ENDPOINT, "OTEL_SDK_DISABLED": "false"}, set(Signal)),
}


@pytest.mark.parametrize("sentence", WANTED)
def test_which_signals_the_environment_asks_for(sentence: str) -> None:
    environ, wanted = WANTED[sentence]
    assert {signal for signal in Signal if is_wanted(signal, environ)} == wanted


NO_ENDPOINT: Final = "is no endpoint; write such as http://localhost:4317, or https://"
NO_HEADER: Final = (
    "OTEL_EXPORTER_OTLP_{}HEADERS: entry {} is no header; write name=value,name=value, with a comma, semicolon, quote "
    "or backslash of a value as %xx"
)
REFUSED: Final[dict[str, tuple[Mapping[str, str], str]]] = {
    "an exporter that we have not": (
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        "OTEL_TRACES_EXPORTER: `zipkin` is not known here; write otlp or none",
    ),
    "a scheme that is misspelt": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "htp://collector:4317"},
        f"OTEL_EXPORTER_OTLP_ENDPOINT: `htp://collector:4317` {NO_ENDPOINT}",
    ),
    "no scheme": (
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "collector:4317"},
        f"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `collector:4317` {NO_ENDPOINT}",
    ),
    "no host": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://:4317"},
        f"OTEL_EXPORTER_OTLP_ENDPOINT: `http://:4317` {NO_ENDPOINT}",
    ),
    "no port that can be": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:99999"},
        f"OTEL_EXPORTER_OTLP_ENDPOINT: `http://collector:99999` {NO_ENDPOINT}",
    ),
    "a blank within": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://colle ctor:4317"},
        f"OTEL_EXPORTER_OTLP_ENDPOINT: `http://colle ctor:4317` {NO_ENDPOINT}",
    ),
    "a password, which is not repeated": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://me:secret@collector:4317"},
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT: an endpoint names no user and no password; write them into "
            "OTEL_EXPORTER_OTLP_HEADERS"
        ),
    ),
    "a protocol that we do not speak": (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
        "OTEL_EXPORTER_OTLP_PROTOCOL: `http/json` is not spoken here; write grpc or http/protobuf",
    ),
    "a time that is none": (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_TIMEOUT": "10s"},
        "OTEL_EXPORTER_OTLP_TIMEOUT: `10s` is no time; write milliseconds, such as 10000",
    ),
    "no time at all": (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_TIMEOUT": "0"},
        "OTEL_EXPORTER_OTLP_TIMEOUT: `0` is no time; write milliseconds, such as 10000",
    ),
    "a time that no clock knows": (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_TIMEOUT": "9" * 5000},
        f"OTEL_EXPORTER_OTLP_TIMEOUT: `{'9' * 40}...` is no time; write milliseconds up to 86400000, such as 10000",
    ),
    "no port, by gRPC": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector"},
        "OTEL_EXPORTER_OTLP_ENDPOINT: `http://collector` names no port; write such as http://localhost:4317",
    ),
    "an empty port": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector:"},
        f"OTEL_EXPORTER_OTLP_ENDPOINT: `https://collector:` {NO_ENDPOINT}",
    ),
    "a header that is none": ({**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "secret"}, NO_HEADER.format("", 1)),
    "a header of no name": ({**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "a=b, =secret"}, NO_HEADER.format("", 2)),
    "a header that the SDK would leave out": (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_HEADERS": 'a="secret"'},
        NO_HEADER.format("TRACES_", 1),
    ),
    "a header whose name ends with a line, which the SDK would log": (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "a\n=secret"},
        NO_HEADER.format("", 1),
    ),
    "a header as HTTP writes it": (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "api-key: secret"},
        NO_HEADER.format("", 1),
    ),
    "a header that no call can carry": (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_HEADERS": "a=%0Asecret"},
        NO_HEADER.format("", 1),
    ),
    "a certificate that is not there": (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_CERTIFICATE": "/no/ca.pem"},
        "OTEL_EXPORTER_OTLP_CERTIFICATE: `/no/ca.pem` is no file that we may read; name a PEM file",
    ),
    "a key that is not there": (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY": "/no/key.pem"},
        "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY: `/no/key.pem` is no file that we may read; name a PEM file",
    ),
    "a certificate of ours that is not there": (
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE": "/no/us.pem"},
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: `/no/us.pem` is no file that we may read; name a PEM file",
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_cannot_be_is_refused_at_the_start(sentence: str) -> None:
    environ, message = REFUSED[sentence]
    with pytest.raises(SettingsError) as refused:
        _started(environ)
    assert str(refused.value) == message


def _started(environ: Mapping[str, str]) -> None:
    assert is_wanted(Signal.TRACES, environ)
    span_exporter(environ)


def test_what_the_sdk_refuses_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "lzma")
    with pytest.raises(SettingsError, match=r"^OTEL_EXPORTER_OTLP_\*: traces cannot be sent: .*lzma"):
        span_exporter({})


HEADERS: Final = (
    *("", "a=b", "a=", "a = b , c=d,", "authorization=Bearer abc", "authorization=Basic%20dXNlcjpwYXNz=="),
    *("x-Key_1.b=a:b/c?d", "a=b=c", "a=%41"),
)


@pytest.mark.parametrize("headers", HEADERS)
def test_headers_are_taken_as_the_sdk_reads_them(
    headers: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", headers)
    span_exporter().shutdown()
    assert caplog.messages == []


PLACES: Final = {
    "what is said": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1"}, "http://x:1 (grpc)"),
    "nothing is said": ({}, "http://localhost:4317 (grpc)"),
    "gRPC with TLS, at the usual port": ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://x"}, "https://x:443 (grpc)"),
    "HTTP, at the usual port": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
        "http://[::1]:80/v1/logs (http/protobuf)",
    ),
}


@pytest.mark.parametrize("sentence", PLACES)
def test_where_a_signal_is_sent(sentence: str) -> None:
    environ, told = PLACES[sentence]
    assert place(Signal.LOGS, environ) == told


def test_a_variable_that_nothing_heeds_is_named_with_the_one_that_may_be_meant() -> None:
    names = ("OTEL_EXPORTER_OTLP_ENDPIONT", "OTEL_EXPORTER_OTLP_LOGS_HEADERS", "OTEL_OTHER")
    assert list(unknown((*names, *KNOWN))) == [
        (
            "OTEL_EXPORTER_OTLP_ENDPIONT: there is no such variable, and nothing heeds it; "
            "write OTEL_EXPORTER_OTLP_ENDPOINT"
        ),
    ]


def test_the_sdks_variables_are_known() -> None:
    names = {name for name in vars(environment_variables) if name.startswith("OTEL_EXPORTER_OTLP")}
    assert names - KNOWN == set()


def test_each_signal_has_a_path_of_its_own_below_an_endpoint_for_all() -> None:
    common = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:1/base/"}
    own = {**common, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://y:2/mine"}
    collectors = [span_exporter(own).collector, metric_exporter(own).collector, log_exporter(own).collector]
    assert [collector.address for collector in collectors] == [
        "http://x:1/base/v1/traces (http/protobuf)",
        "http://x:1/base/v1/metrics (http/protobuf)",
        "http://y:2/mine (http/protobuf)",
    ]


def test_a_collector_of_which_nothing_is_said_is_on_this_host() -> None:
    by_http = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    assert [span_exporter(environ).collector.address for environ in ({}, by_http)] == [
        "http://localhost:4317 (grpc)",
        "http://localhost:4318/v1/traces (http/protobuf)",
    ]


def test_a_resource_says_which_instance_of_the_service_sends() -> None:
    name = socket.gethostname()
    told = [resource(None).attributes, resource(2).attributes]
    keys = ("service.name", "service.version", "service.instance.id", "telemetry.sdk.language")
    assert [[attributes[key] for key in keys] for attributes in told] == [
        ["cors-authz", __version__, name, "python"],
        ["cors-authz", __version__, f"{name}/2", "python"],
    ]


def test_what_the_operator_says_of_the_resource_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=pod-7,deployment.environment.name=prod")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge-authz")
    attributes = resource(2).attributes
    keys = ("service.name", "service.instance.id", "deployment.environment.name")
    assert [attributes[key] for key in keys] == ["edge-authz", "pod-7", "prod"]


def _span() -> ReadableSpan:
    return ReadableSpan("x", SpanContext(1, 2, is_remote=False), resource=Resource({}), start_time=1, end_time=2)


@contextmanager
def _nobody() -> Iterator[int]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


@contextmanager
def _silent() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def _refusing_grpc() -> Iterator[int]:
    def refuse(_raw: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "no key")

    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(refuse)
    name = "opentelemetry.proto.collector.trace.v1.TraceService"
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, handlers=[grpc.method_handlers_generic_handler(name, {"Export": method})])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port
        server.stop(None).wait()


class _NotFound(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def _refusing_http() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _NotFound) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


LOOK: Final = (
    "see that it listens there by this protocol and answers within 1.3 s, or mend OTEL_EXPORTER_OTLP_ENDPOINT and "
    "OTEL_EXPORTER_OTLP_PROTOCOL"
)
KEY: Final = "write the headers that it wants to see, such as a key, into OTEL_EXPORTER_OTLP_HEADERS"
PATH: Final = "it takes nothing at the path /v1/traces: mend OTEL_EXPORTER_OTLP_ENDPOINT"
FAILURES: Final = {
    "nobody listens, by gRPC": ("grpc", _nobody, "StatusCode.UNAVAILABLE", LOOK),
    "nobody listens, by HTTP": ("http/protobuf", _nobody, "Connection refused", LOOK),
    "it never answers, by gRPC": ("grpc", _silent, "error code: StatusCode", LOOK),
    "it never answers, by HTTP": ("http/protobuf", _silent, "due to timeout", LOOK),
    "it refuses, by gRPC": ("grpc", _refusing_grpc, "StatusCode.UNAUTHENTICATED, error details: no key", KEY),
    "it knows no such path, by HTTP": ("http/protobuf", _refusing_http, "code: 404, reason: Not Found", PATH),
}


@pytest.mark.parametrize("sentence", FAILURES)
def test_a_collector_that_takes_nothing_is_told_once_and_counted(
    sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    protocol, opened, cause, advice = FAILURES[sentence]
    with opened() as port:
        exporter = span_exporter(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                "OTEL_EXPORTER_OTLP_TIMEOUT": "1300",
            }
        )
        results = [exporter.export([_span(), _span()]) for _ in range(2)]
        exporter.shutdown()
    assert results == [SpanExportResult.FAILURE] * 2
    assert (exporter.collector.lost, exporter.collector.taken) == (4, 0)
    assert list(exporter.collector.samples()) == [Sample(EXPORT_FAILURES, ("traces",), 2)]
    (message,) = caplog.messages
    path = "/v1/traces" if protocol != "grpc" else ""
    assert message.startswith(
        f"the OTLP collector at http://127.0.0.1:{port}{path} ({protocol}) does not take traces, and decisions go on: "
    )
    assert cause in message
    assert "Transient" not in message
    assert message.endswith(f"; {advice}")


PLACE: Final = Place("http://x:1/mine (http/protobuf)", "/mine", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", 1.3)
ADVICE: Final = {
    "no right by gRPC": ("Failed to export traces to x, error code: StatusCode.PERMISSION_DENIED, …", KEY),
    "no key by HTTP": ("Failed to export span batch code: 401, reason: Unauthorized", KEY),
    "no right by HTTP": ("Failed to export span batch code: 403, reason: Forbidden", KEY),
    "a path that is taken as it is": (
        "Failed to export span batch code: 404, reason: Not Found",
        "it takes nothing at the path /mine: mend OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, whose path is taken as it is",
    ),
    "a number that is none of its own": ("Failed to export traces, reason: 404 of 403", LOOK),
    "no cause": ("", LOOK),
}


@pytest.mark.parametrize("sentence", ADVICE)
def test_the_advice_is_to_the_cause(sentence: str) -> None:
    cause, advice = ADVICE[sentence]
    assert PLACE.advice(cause) == advice


def test_a_collector_that_comes_back_is_told_with_what_was_lost(caplog: pytest.LogCaptureFixture) -> None:
    spans: list[ReceivedSpan] = []
    with Receiver(Address("127.0.0.1", 0), Sink(spans.extend, lambda _records: None)) as receiver:
        exporter = span_exporter({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{receiver.address}"})
        exporter.collector.end(3, taken=False)
        exporter.collector.end(4, taken=False)
        assert exporter.export([_span()]) is SpanExportResult.SUCCESS
        exporter.collector.end(2, taken=False)
        exporter.shutdown()
    assert [span.name for span in spans] == ["x"]
    assert (exporter.collector.failures, exporter.collector.lost, exporter.collector.taken) == (3, 9, 1)
    where = f"the OTLP collector at http://{receiver.address} (grpc)"
    assert [message.partition(",")[0].partition(";")[0] for message in caplog.messages] == [
        f"{where} does not take traces",
        f"{where} takes traces again",
        f"{where} does not take traces",
    ]
    assert caplog.messages[1].endswith("takes traces again; 7 were lost")


def test_the_scheme_of_the_endpoint_says_whether_it_is_encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_INSECURE", "false")
    with Receiver(Address("127.0.0.1", 0), Sink(lambda _spans: None, lambda _records: None)) as receiver:
        exporter = span_exporter({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{receiver.address}"})
        assert exporter.export([_span()]) is SpanExportResult.SUCCESS
        exporter.shutdown()


def test_metrics_and_logs_are_watched_as_spans_are(caplog: pytest.LogCaptureFixture) -> None:
    with _nobody() as port:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_EXPORTER_OTLP_TIMEOUT": "500"}
        metrics, logs = metric_exporter(environ), log_exporter(environ)
        assert metrics.export(MetricsData([])) is MetricExportResult.FAILURE
        assert logs.export([]).name == "FAILURE"
        metrics.shutdown()
        logs.shutdown()
    assert [re.findall("does not take ([a-z]+)", message) for message in caplog.messages] == [["metrics"], ["logs"]]


OPTIONS: Final = BatchOptions(waiting=5, batch=2, delay_seconds=30)


def _sent(batches: list[list[int]]) -> Batches[int]:
    return Batches("numbers", lambda batch: _kept(batches, batch), OPTIONS)


def _kept(batches: list[list[int]], batch: Sequence[int]) -> bool:
    batches.append(list(batch))
    return True


def test_a_full_batch_is_sent_at_once_and_the_rest_at_the_end() -> None:
    sent: list[list[int]] = []
    batches = _sent(sent)
    batches.start()
    batches.add(0)
    batches.add(1)
    until(lambda: bool(sent))
    batches.add(2)
    began = time.monotonic()
    batches.stop()
    assert time.monotonic() - began < STOP_SECONDS
    assert (sent, batches.dropped) == ([[0, 1], [2]], 0)


def test_a_batch_that_is_not_full_is_sent_after_a_while() -> None:
    sent: list[list[int]] = []
    batches: Batches[int] = Batches("numbers", lambda batch: _kept(sent, batch), BatchOptions(5, 2, 0.01))
    batches.start()
    batches.add(0)
    until(lambda: sent == [[0]])
    batches.stop()


def test_what_is_dropped_is_told_again_once_it_had_ended(caplog: pytest.LogCaptureFixture) -> None:
    gate = threading.Semaphore(0)
    sent: list[int] = []

    def send(batch: Sequence[int]) -> bool:
        gate.acquire()
        sent.extend(batch)
        return True

    batches = Batches("numbers", send, BatchOptions(waiting=2, batch=2, delay_seconds=0.01))
    for number in range(4):
        batches.add(number)
    batches.start()
    gate.release()
    until(lambda: sent == [0, 1])
    time.sleep(0.05)
    for number in range(4, 12):
        batches.add(number)
    gate.release(8)
    batches.stop()
    assert caplog.messages == 2 * ["numbers are made faster than they are sent, and some are dropped; sample fewer"]
    assert len(sent) + batches.dropped == 12


def test_what_comes_while_too_much_waits_is_dropped_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[list[int]] = []
    batches = _sent(sent)
    for number in range(8):
        batches.add(number)
    batches.start()
    batches.stop()
    assert (sent, batches.dropped) == ([[0, 1], [2, 3], [4]], 3)
    assert caplog.messages == ["numbers are made faster than they are sent, and some are dropped; sample fewer"]


def test_a_batch_that_breaks_is_lost_alone(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[int] = []

    def send(batch: Sequence[int]) -> bool:
        if 0 in batch:
            raise RuntimeError("broken")
        sent.extend(batch)
        return True

    batches = Batches("numbers", send, OPTIONS)
    for number in range(4):
        batches.add(number)
    batches.start()
    batches.stop()
    assert (sent, batches.dropped) == ([2, 3], 2)
    assert caplog.messages == ["a batch of numbers is lost"]


def test_what_is_dropped_while_the_collector_fails_or_at_the_end_is_no_matter_of_pace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent: list[list[int]] = []
    batches: Batches[int] = Batches("numbers", lambda batch: not _kept(sent, batch), BatchOptions(2, 1, 0.01))
    for number in range(4):
        batches.add(number)
    batches.start()
    until(lambda: sent == [[0], [1]])
    batches.stop()
    late = _sent([])
    late.add(1)
    late.stop()
    assert (batches.dropped, late.dropped, caplog.messages) == (2, 1, [])


def test_what_is_dropped_while_a_collector_comes_back_is_no_matter_of_pace(caplog: pytest.LogCaptureFixture) -> None:
    answers = iter([False, True])
    batches: Batches[int]

    def send(_batch: Sequence[int]) -> bool:
        is_taken = next(answers, None)
        if is_taken is None:
            return True
        # More than may wait, while a batch is on its way.
        for number in range(4):
            batches.add(number)
        return is_taken

    batches = Batches("numbers", send, BatchOptions(waiting=2, batch=2, delay_seconds=30))
    batches.add(1)
    batches.add(1)
    batches.start()
    until(lambda: batches.dropped == 4)
    batches.stop()
    assert caplog.messages == []


def test_the_end_waits_for_a_deaf_collector_no_longer_than_it_says() -> None:
    hangs = threading.Event()
    batches: Batches[int] = Batches("numbers", lambda _batch: hangs.wait(10), OPTIONS)
    batches.start()
    for number in range(5):
        batches.add(number)
    began = time.monotonic()
    batches.stop(0.2)
    took = time.monotonic() - began
    hangs.set()
    assert took < 2
    assert batches.dropped == 3


def test_what_was_never_started_ends_too() -> None:
    batches = _sent([])
    batches.add(1)
    batches.stop()
    assert batches.dropped == 1


BATCHES: Final[dict[str, tuple[Mapping[str, str], BatchOptions]]] = {
    "nothing is said": ({}, BatchOptions(2048, 16, 5.0)),
    "all is said": (
        {
            "OTEL_BSP_MAX_QUEUE_SIZE": "100",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100",
            "OTEL_BSP_SCHEDULE_DELAY": "250",
        },
        BatchOptions(100, 100, 0.25),
    ),
    "a short queue makes short batches": ({"OTEL_BSP_MAX_QUEUE_SIZE": "8"}, BatchOptions(8, 8, 5.0)),
}


@pytest.mark.parametrize("sentence", BATCHES)
def test_how_much_waits(sentence: str) -> None:
    environ, options = BATCHES[sentence]
    assert BatchOptions.from_environment("OTEL_BSP", environ) == options


@pytest.mark.parametrize("text", ["0", "-1", "1e3", "many", "10000000", "\u0663"])
def test_a_number_that_cannot_be_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        BatchOptions.from_environment("OTEL_BSP", {"OTEL_BSP_MAX_QUEUE_SIZE": text})
    assert str(refused.value) == (
        f"OTEL_BSP_MAX_QUEUE_SIZE: `{text}` cannot be; write a whole number from 1 to 1000000"
    )


def test_a_batch_that_never_gathers_is_refused_at_the_start() -> None:
    environ = {"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "11"}
    with pytest.raises(SettingsError) as refused:
        BatchOptions.from_environment("OTEL_BSP", environ)
    assert str(refused.value) == (
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: `11` never gather where 10 may wait; write 10 or less"
    )
