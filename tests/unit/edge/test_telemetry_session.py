"""A collector that answers by HTTP with more than an answer costs neither memory nor the thread that sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from typing import Final, NamedTuple

import pytest
from opentelemetry.sdk.metrics.export import MetricsData

from cors_authz.edge.telemetry.otlp import Signal, log_exporter, metric_exporter, span_exporter
from cors_authz.edge.telemetry.session import MAX_ANSWER_BYTES

CHUNKED: Final = {"transfer-encoding": "chunked"}


class Answer(NamedTuple):
    """What a collector answers: a status, headers, and pieces of a body with a pause before each."""

    status: int
    headers: dict[str, str]
    pieces: Iterator[bytes]
    pause_seconds: float = 0.0


@contextmanager
def collector(answer: Answer) -> Iterator[dict[str, str]]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for piece in answer.pieces:
                    time.sleep(answer.pause_seconds)
                    self.wfile.write(piece)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
        }
        server.shutdown()
        thread.join()


def sent(signal: Signal, environ: dict[str, str]) -> str:
    """Send nothing of a signal, and say what became of it."""
    if signal is Signal.TRACES:
        spans = span_exporter(environ)
        result, shutdown = spans.export([]).name, spans.shutdown
    elif signal is Signal.METRICS:
        metrics = metric_exporter(environ)
        result, shutdown = metrics.export(MetricsData([])).name, metrics.shutdown
    else:
        logs = log_exporter(environ)
        result, shutdown = logs.export([]).name, logs.shutdown
    shutdown()
    return result


@pytest.mark.parametrize("signal", Signal)
def test_an_answer_without_end_is_a_failure_that_is_told(signal: Signal, caplog: pytest.LogCaptureFixture) -> None:
    chunk = b"8000\r\n" + bytes(0x8000) + b"\r\n"
    with collector(Answer(200, CHUNKED, repeat(chunk))) as environ:
        assert sent(signal, environ) == "FAILURE"
    (message,) = caplog.messages
    assert f"reason: its answer is longer than {MAX_ANSWER_BYTES} bytes; see that" in message


BODIES: Final = {
    "chunks": (CHUNKED, b"1\r\n.\r\n"),
    "a length": ({"content-length": "1000"}, b"."),
    "until the connection ends": ({"connection": "close"}, b"."),
}


@pytest.mark.parametrize("sentence", BODIES)
def test_an_answer_that_drips_takes_no_longer_than_a_batch_may(sentence: str, caplog: pytest.LogCaptureFixture) -> None:
    headers, piece = BODIES[sentence]
    begun = time.monotonic()
    with collector(Answer(200, headers, repeat(piece, 100), 0.1)) as environ:
        assert sent(Signal.TRACES, environ) == "FAILURE"
        assert time.monotonic() - begun < 5
    (message,) = caplog.messages
    assert "reason: its answer takes too long; see that" in message


def test_what_is_refused_at_length_is_told_by_its_status(caplog: pytest.LogCaptureFixture) -> None:
    with collector(Answer(401, {"connection": "close"}, repeat(bytes(8000)))) as environ:
        assert sent(Signal.TRACES, environ) == "FAILURE"
    (message,) = caplog.messages
    assert "code: 401, reason: Unauthorized" in message


def test_an_answer_is_not_unpacked() -> None:
    headers = {"content-encoding": "gzip", "content-length": "9"}
    with collector(Answer(200, headers, repeat(b"no packet", 1))) as environ:
        assert sent(Signal.TRACES, environ) == "SUCCESS"
