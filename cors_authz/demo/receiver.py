"""An OTLP receiver for one screen: takes traces and logs by gRPC, and hands them on as plain values.

It takes metrics too, and forgets them, so that one endpoint serves for all that a service sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Event, Lock, Thread
from typing import Final, NamedTuple, Self

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from cors_authz.edge.clock import monotonic_seconds
from cors_authz.edge.transport.address import claim
from cors_authz.edge.transport.interface import TransportError
from cors_authz.envoy.address import Address

MAX_TEXT: Final = 256
"""A screen has no room for more of a text, and this process has none for what a hostile sender writes."""
MAX_ITEMS: Final = 10_000
"""So many spans, or records, of one message are taken."""

_MAX_ATTRIBUTES: Final = 128
_MAX_CALLS: Final = 16
_SEND_SECONDS: Final = 2.0
_SWEEP_SECONDS: Final = 0.5
_MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
_STOP_SECONDS: Final = 1.0
_HAND_ON_SECONDS: Final = 5.0
_EXPORT: Final = "Export"
_PREFIX: Final = "opentelemetry.proto.collector"
_ALL_TAKEN: Final = b""
"""The empty message, which is the answer of each of these services: nothing was refused."""
_KINDS: Final = {number: name.removeprefix("SPAN_KIND_").lower() for name, number in Span.SpanKind.items()}


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

    Long texts are cut, and a call that does not send its message in time is ended.

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
        self._calls, self._ended = _Calls(), Event()
        # A call that waits for its message has a thread.
        self._pool = ThreadPoolExecutor(_MAX_CALLS)
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
            claim(str(address))
            port = self._server.add_insecure_port(str(address))
        except (TransportError, RuntimeError) as error:
            raise OSError(f"{address} cannot be had; choose another address, or end what listens there") from error
        self.address = address._replace(port=port)

    def __enter__(self) -> Self:
        self._server.start()
        Thread(target=self._calls.sweep_until, args=(self._ended,), name="sweep", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.stop(_STOP_SECONDS).wait()
        self._pool.shutdown()
        if self._channel:
            self._channel.close()

    def _handler(self, service: str, take: Callable[[bytes], None]) -> grpc.GenericRpcHandler:
        name = f"{_PREFIX}.{service}"
        hand_on: grpc.UnaryUnaryMultiCallable[bytes, bytes] | None = None
        if self._channel:
            hand_on = self._channel.unary_unary(f"/{name}/{_EXPORT}")

        def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
            raw = self._calls.only_message(messages, context)
            try:
                take(raw)
            except DecodeError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            if hand_on and len(self._under_way) < _MAX_CALLS:
                # Nobody waits for it: what it does not take is on this screen all the same. A call is cancelled as
                # soon as nobody refers to it.
                call = hand_on.future(raw, timeout=_HAND_ON_SECONDS)
                self._under_way.add(call)
                call.add_done_callback(self._under_way.discard)
            return _ALL_TAKEN

        # A stream, of which one message is taken: gRPC lets nobody end a call that it waits for by itself.
        method: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(answer)
        return grpc.method_handlers_generic_handler(name, {_EXPORT: method})

    def _take_spans(self, raw: bytes) -> None:
        self._sink.spans(list(islice(_spans(ExportTraceServiceRequest.FromString(raw)), MAX_ITEMS)))

    def _take_records(self, raw: bytes) -> None:
        self._sink.records(list(islice(_records(ExportLogsServiceRequest.FromString(raw)), MAX_ITEMS)))


class _Calls:
    """The calls that have not sent their message yet."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._begun: dict[grpc.ServicerContext, float] = {}

    def only_message(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """Wait for the message of a call; none is the empty one."""
        with self._lock:
            self._begun[context] = monotonic_seconds()
        try:
            return next(messages, b"")
        finally:
            with self._lock:
                del self._begun[context]

    def sweep_until(self, ended: Event) -> None:
        """End those that do not send, until the end."""
        while not ended.wait(_SWEEP_SECONDS):
            since = monotonic_seconds() - _SEND_SECONDS
            with self._lock:
                late = [context for context, begun in self._begun.items() if begun < since]
            for context in late:
                context.cancel()


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
        span.name[:MAX_TEXT],
        _KINDS.get(span.kind, _KINDS[Span.SPAN_KIND_UNSPECIFIED]),
        _id(span.trace_id),
        _id(span.span_id),
        _id(span.parent_span_id),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == Status.STATUS_CODE_ERROR,
        _attributes(span.attributes),
        tuple(_event(event) for event in islice(span.events, _MAX_ATTRIBUTES)),
    )


def _event(event: Span.Event) -> ReceivedEvent:
    return ReceivedEvent(event.name[:MAX_TEXT], _attributes(event.attributes))


def _id(raw: bytes) -> str:
    """Write an id, which is of 16 bytes at most."""
    return raw[:16].hex()


def _records(request: ExportLogsServiceRequest) -> Iterator[ReceivedRecord]:
    for of_resource in request.resource_logs:
        service = _attributes(of_resource.resource.attributes).get("service.name", "")
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                yield _record(service, record)


def _record(service: str, record: LogRecord) -> ReceivedRecord:
    time = record.time_unix_nano or record.observed_time_unix_nano
    return ReceivedRecord(service, time, _text(record.body)[:MAX_TEXT], _attributes(record.attributes))


def _attributes(pairs: Iterable[KeyValue]) -> Mapping[str, str]:
    return {pair.key[:MAX_TEXT]: _text(pair.value)[:MAX_TEXT] for pair in islice(pairs, _MAX_ATTRIBUTES)}


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
