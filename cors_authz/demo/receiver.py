"""An OTLP receiver for one screen: takes traces and logs by gRPC, and hands them on as plain values.

It takes metrics too, and forgets them, so that one endpoint serves for all that a service sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, Self

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from cors_authz.envoy.bootstrap import Address

_THREADS: Final = 2
_MAX_CALLS: Final = 16
_MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
_STOP_SECONDS: Final = 1.0
_HAND_ON_SECONDS: Final = 5.0
_EXPORT: Final = "Export"
_PREFIX: Final = "opentelemetry.proto.collector"
_ALL_TAKEN: Final = b""
"""The empty message, which is the answer of each of these services: nothing was refused."""


class ReceivedEvent(NamedTuple):
    """What happened in a span."""

    name: str
    attributes: Mapping[str, str]


class ReceivedSpan(NamedTuple):
    """A span; ids in lower-case hexadecimal, `parent_id` empty for a root, times in nanoseconds since the epoch."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    is_error: bool
    attributes: Mapping[str, str]
    events: tuple[ReceivedEvent, ...] = ()


class ReceivedRecord(NamedTuple):
    """A record of a log; the time in nanoseconds since the epoch."""

    service: str
    time: int
    body: str
    attributes: Mapping[str, str]


class Sink(NamedTuple):
    """Is told what was received, in threads of the receiver; must not raise."""

    spans: Callable[[list[ReceivedSpan]], object]
    records: Callable[[list[ReceivedRecord]], object]


class Receiver:
    """Listens while its `with` block runs. What is too large, or too much at once, is refused.

    Args:
        address: where; port 0 lets the system choose.
        sink: is told what comes.
        further: another receiver, which is handed on what comes, as it comes; None is none.

    Raises: OSError if the address cannot be had.
    """

    def __init__(self, address: Address, sink: Sink, further: Address | None = None) -> None:
        self._sink = sink
        self._channel = grpc.insecure_channel(str(further)) if further else None
        self._under_way: set[object] = set()
        self._pool = ThreadPoolExecutor(_THREADS)
        self._server = grpc.server(
            self._pool,
            handlers=[
                self._handler("trace.v1.TraceService", self._take_spans),
                self._handler("logs.v1.LogsService", self._take_records),
                self._handler("metrics.v1.MetricsService", _forget),
            ],
            options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES)],
            maximum_concurrent_rpcs=_MAX_CALLS,
        )
        try:
            port = self._server.add_insecure_port(str(address))
        except RuntimeError as error:
            raise OSError(f"{address} cannot be had; choose another address, or end what listens there") from error
        self.address = address._replace(port=port)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(_STOP_SECONDS).wait()
        self._pool.shutdown()
        if self._channel:
            self._channel.close()

    def _handler(self, service: str, take: Callable[[bytes], None]) -> grpc.GenericRpcHandler:
        name = f"{_PREFIX}.{service}"
        hand_on: grpc.UnaryUnaryMultiCallable[bytes, bytes] | None = None
        if self._channel:
            hand_on = self._channel.unary_unary(f"/{name}/{_EXPORT}")

        def answer(raw: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                take(raw)
            except (DecodeError, ValueError) as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            if hand_on:
                # Nobody waits for it: what it does not take is on this screen all the same. A call is cancelled as
                # soon as nobody refers to it.
                call = hand_on.future(raw, timeout=_HAND_ON_SECONDS)
                self._under_way.add(call)
                call.add_done_callback(self._under_way.discard)
            return _ALL_TAKEN

        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
        return grpc.method_handlers_generic_handler(name, {_EXPORT: method})

    def _take_spans(self, raw: bytes) -> None:
        self._sink.spans(list(_spans(ExportTraceServiceRequest.FromString(raw))))

    def _take_records(self, raw: bytes) -> None:
        self._sink.records(list(_records(ExportLogsServiceRequest.FromString(raw))))


def _forget(_raw: bytes) -> None:
    """Take no notice."""


def _spans(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for of_resource in request.resource_spans:
        service = _attributes(of_resource.resource.attributes).get("service.name", "")
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield _span(service, span)


def _span(service: str, span: Span) -> ReceivedSpan:
    return ReceivedSpan(
        service,
        span.name,
        Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == Status.STATUS_CODE_ERROR,
        _attributes(span.attributes),
        tuple(ReceivedEvent(event.name, _attributes(event.attributes)) for event in span.events),
    )


def _records(request: ExportLogsServiceRequest) -> Iterator[ReceivedRecord]:
    for of_resource in request.resource_logs:
        service = _attributes(of_resource.resource.attributes).get("service.name", "")
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                yield _record(service, record)


def _record(service: str, record: LogRecord) -> ReceivedRecord:
    time = record.time_unix_nano or record.observed_time_unix_nano
    return ReceivedRecord(service, time, _text(record.body), _attributes(record.attributes))


def _attributes(pairs: Iterable[KeyValue]) -> Mapping[str, str]:
    return {pair.key: _text(pair.value) for pair in pairs}


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    if kind == "array_value":
        return ", ".join(map(_text, value.array_value.values))
    if kind == "kvlist_value":
        return ", ".join(f"{pair.key}={_text(pair.value)}" for pair in value.kvlist_value.values)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    return str(getattr(value, kind))
