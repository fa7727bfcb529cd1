"""The viewer: what comes by OTLP is told as it is, and whatever comes, nothing grows and no terminal is spoken to."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Final

import grpc
import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status
from rich.console import Console

from cors_authz.cli.observe import observe
from cors_authz.demo.board import MAX_DECISIONS, MAX_SPANS, MAX_TRACES, Board, Decided
from cors_authz.demo.live import Feed, draw, ended_line, picture, tell
from cors_authz.demo.receiver import MAX_ITEMS, MAX_TEXT, ReceivedEvent, ReceivedRecord, ReceivedSpan, Receiver, Sink
from cors_authz.demo.screen import Screen, Tone
from cors_authz.envoy.address import Address

ANY_PORT: Final = Address("127.0.0.1", 0)
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SECONDS: Final = 5.0


def _span(number: int = 1, parent: int = 0, trace_id: str = TRACE, **attributes: str) -> ReceivedSpan:
    ids = (trace_id, f"{number:016x}", f"{parent:016x}" if parent else "")
    named = {name.replace("__", "."): value for name, value in attributes.items()}
    return ReceivedSpan(
        "envoy", f"span {number}", "server", *ids, number * 1000, 9000, is_error=False, attributes=named
    )


def _decision(decision_id: str = "d1", **attributes: str) -> ReceivedSpan:
    said = {
        "cors_authz.decision.id": decision_id,
        "cors_authz.decision.outcome": "deny",
        "cors_authz.decision.reason": "origin_not_allowed",
        "http.request.method": "PUT",
        "server.address": "api.example",
        "url.template": "/v2/**",
        "cors_authz.origin": "https://evil.example",
        "cors_authz.resource_group": "api",
    }
    return _span()._replace(service="cors-authz", attributes=said | attributes)


DECIDED: Final = Decided(
    decision_id="d1",
    outcome="deny",
    reason="origin_not_allowed",
    method="PUT",
    host="api.example",
    path="/v2/**",
    origin="https://evil.example",
    group="api",
    rule="",
    microseconds=8,
    trace_id=TRACE,
)


def _record(**fields: str) -> ReceivedRecord:
    return ReceivedRecord("cors-authz", 0, "{}", {f"cors_authz.{name}": value for name, value in fields.items()})


def test_a_decision_is_read_off_its_span() -> None:
    assert Board().take_spans([_span(), _decision()]) == [DECIDED]


def test_a_decision_is_read_off_its_record() -> None:
    fields = DECIDED._asdict()
    record = _record(**{name: str(value) for name, value in fields.items()}, latency_us="8")
    assert Board().take_records([record, _record(kind="head")]) == [DECIDED]


def test_a_decision_is_told_once_whoever_tells_it() -> None:
    board = Board()
    assert board.take_spans([_decision(), _decision()]) == [DECIDED]
    assert board.take_records([_record(decision_id="d1", outcome="deny")]) == []
    assert board.outcomes() == {"deny": 1}


def test_a_record_may_say_nonsense() -> None:
    (decided,) = Board().take_records([_record(decision_id="d", outcome="allow", latency_us="soon")])
    assert (decided.microseconds, decided.trace_id) == (0, "")
    assert Board().take_records([_record(decision_id="d", outcome="perhaps"), _record(outcome="deny")]) == []


def test_a_line_tells_a_decision() -> None:
    allowed = DECIDED._replace(outcome="allow", reason="rule_allowed", rule="api/1")
    assert [(line.text, line.tone) for line in (DECIDED.line(), allowed.line())] == [
        ("✗ PUT api.example/v2/** from https://evil.example  origin_not_allowed  (api)  8 µs  d1", Tone.BAD),
        ("✓ PUT api.example/v2/** from https://evil.example  rule_allowed  (api/1)  8 µs  d1", Tone.GOOD),
    ]


def test_a_line_of_a_request_of_no_origin_and_no_group_says_less() -> None:
    bare = DECIDED._replace(origin="", group="", path="", decision_id="0123456789abcdef")
    assert bare.line().text == "✗ PUT api.example  origin_not_allowed  (no group)  8 µs  01234567"


def test_a_span_that_failed_is_marked() -> None:
    board = Board()
    board.take_spans([_span(1), _span(2, 1)._replace(is_error=True)])
    assert [twig.line().tone for twig in board.tree(TRACE)] == [Tone.PLAIN, Tone.BAD]


def test_the_rule_of_a_decision_is_read_too() -> None:
    (decided,) = Board().take_spans([_decision(**{"cors_authz.rule": "api/1"})])
    assert decided.rule == "api/1"


def test_the_latest_are_as_many_as_one_asks_for_the_newest_first() -> None:
    board = Board()
    board.take_spans([_decision(f"d{number}") for number in range(5)])
    assert [decided.decision_id for decided in board.latest(2)] == ["d4", "d3"]


def test_what_a_client_sent_does_not_speak_to_the_terminal() -> None:
    hostile = DECIDED._replace(origin="\x1b[2J", host="\r\n")
    assert hostile.line().text.startswith("✗ PUT \\r\\n/v2/** from \\x1b[2J")
    (twig,) = _tree([_span()._replace(name="\x1b]0;x\x07")])
    assert twig == "       8 µs  envoy: \\x1b]0;x\\x07"


def _tree(spans: list[ReceivedSpan]) -> list[str]:
    board = Board()
    board.take_spans(spans)
    return [twig.line().text for twig in board.tree(TRACE)]


TREES: Final = {
    "each span is below its parent, in the order in which they began": (
        [_span(3, 1), _span(4, 2), _span(1), _span(2, 1)],
        [
            "       8 µs  envoy: span 1",
            "       7 µs    envoy: span 2",
            "       5 µs      envoy: span 4",
            "       6 µs    envoy: span 3",
        ],
    ),
    "a span whose parent is not here stands for itself": ([_span(2, 1)], ["       7 µs  envoy: span 2"]),
    "spans that are each other's parents are left out": ([_span(1, 2), _span(2, 1), _span(3, 3)], []),
    "a span that comes twice is one": ([_span(1), _span(1)], ["       8 µs  envoy: span 1"]),
    "a trace that is not known": ([_span(1, trace_id="other")], []),
}


@pytest.mark.parametrize("sentence", TREES)
def test_the_tree_of_a_trace(sentence: str) -> None:
    spans, lines = TREES[sentence]
    assert _tree(spans) == lines


def test_of_the_spans_of_a_trace_no_more_is_kept_than_is_drawn() -> None:
    board = Board()
    board.take_spans([_decision()._replace(events=(ReceivedEvent("e", {}),))])
    (twig,) = board.tree(TRACE)
    assert (twig.span.attributes, twig.span.events) == ({}, ())


def test_nothing_grows_whatever_comes() -> None:
    board = Board()
    board.take_spans([_span(number, trace_id=TRACE) for number in range(1, 2 * MAX_SPANS)])
    assert len(board.tree(TRACE)) == MAX_SPANS
    for number in range(2 * max(MAX_TRACES, MAX_DECISIONS)):
        board.take_spans([_decision(f"d{number}")._replace(trace_id=f"t{number}")])
    latest = board.latest(10 * MAX_DECISIONS)
    assert (len(latest), latest[0].decision_id) == (MAX_DECISIONS, f"d{2 * max(MAX_TRACES, MAX_DECISIONS) - 1}")
    assert [bool(board.tree(trace_id)) for trace_id in (TRACE, "t0", latest[0].trace_id)] == [False, False, True]


def test_the_picture_fits_the_screen_and_ends_with_the_latest_trace() -> None:
    board = Board()
    board.take_spans([_decision(f"d{number}") for number in range(50)])
    board.take_spans([_span(1), _span(2, 1)])
    lines = [line.text for line in picture(board, ("Envoy  here",), (100, 10))]
    assert len(lines) == 10
    assert lines[:2] == ["Envoy  here", "Decisions   deny 50   Ctrl-C ends this"]
    assert lines[2].endswith("d49")
    assert lines[-3:] == [f"The latest trace   {TRACE}", "       8 µs  envoy: span 1", "       7 µs    envoy: span 2"]


def test_on_a_narrow_screen_what_was_asked_is_cut_and_the_reason_and_the_id_are_whole() -> None:
    board = Board()
    board.take_spans([_decision("0123456789abcdef")])
    texts = [[line.text for line in picture(board, (), (width, 10))][-1] for width in (60, 40, 91, 92)]
    rest = "  origin_not_allowed  (api)  8 µs  01234567"
    assert texts == [
        f"✗ PUT api.exampl…{rest}",
        f"…{rest}",
        f"✗ PUT api.example/v2/** from https://evil.examp…{rest}",
        f"✗ PUT api.example/v2/** from https://evil.example{rest}",
    ]


def test_between_the_lines_there_is_a_trace_once_others_have_told_their_spans() -> None:
    out, feed, ended = io.StringIO(), Feed(), Event()
    thread = Thread(target=tell, args=(feed, Screen(out, colour=False), ended), daemon=True)
    thread.start()
    feed.sink().spans([_decision("d1")])
    _until(lambda: out.getvalue().count("\n") == 2)
    feed.sink().spans([_span(2, 1)])
    _until(lambda: out.getvalue().count("\n") == 5)
    for number in range(2, 12):
        feed.sink().spans([_decision(f"d{number}")])
    _until(lambda: out.getvalue().count("\n") == 18)
    ended.set()
    thread.join(SECONDS)
    firsts = "".join(line.strip()[:1] for line in out.getvalue().splitlines())
    assert re.fullmatch("W✗T[0-9]{2}✗+T[0-9]{2}✗*", firsts)
    assert firsts.count("✗") == 11


def test_the_end_tells_how_many_decisions_there_were() -> None:
    board = Board()
    none = ended_line(board).text
    board.take_spans([_decision("d1"), _decision("d2"), _decision("d3", **{"cors_authz.decision.outcome": "allow"})])
    assert [none, ended_line(board).text] == ["Ended. Decisions: 0", "Ended. Decisions: 3 (deny 2, allow 1)"]


def test_the_picture_of_nothing_says_what_it_waits_for() -> None:
    (line,) = picture(Board(), (), (100, 10))
    assert line.text == "Waiting for spans and records of cors-authz. Ctrl-C ends this."


def test_lines_are_written_until_the_first_where_one_is_enough() -> None:
    out, feed = io.StringIO(), Feed()
    feed.sink().spans([_decision("d1"), _decision("d2")])
    tell(feed, Screen(out, colour=False), Event(), once=True)
    assert [line[:1] for line in out.getvalue().splitlines()] == ["W", "✗"]


def test_lines_are_written_until_the_end() -> None:
    out, feed, ended = io.StringIO(), Feed(), Event()
    feed.sink().spans([_decision("d1"), _decision("d2")])
    thread = Thread(target=tell, args=(feed, Screen(out, colour=False), ended))
    thread.start()
    feed.sink().records([_record(decision_id="d3", outcome="allow")])
    _until(lambda: out.getvalue().count("\n") == 4)
    ended.set()
    thread.join(SECONDS)
    assert [line[:1] for line in out.getvalue().splitlines()] == ["W", "✗", "✗", "✓"]


def test_the_screen_is_drawn_until_the_end() -> None:
    out, feed, ended = io.StringIO(), Feed(), Event()
    console = Console(file=out, force_terminal=True, width=100, height=20)
    thread = Thread(target=draw, args=(feed, console, ("Envoy  here",), ended))
    thread.start()
    feed.sink().spans([_decision("d1")])
    _until(lambda: "d1" in out.getvalue())
    ended.set()
    thread.join(SECONDS)
    assert "Envoy  here" in out.getvalue()
    assert out.getvalue().endswith("\x1b[?1049l")


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


def test_a_terminal_that_is_slow_holds_nobody_up() -> None:
    feed = Feed()
    for number in range(3000):
        feed.sink().spans([_decision(f"d{number}")])
    told = [feed.next(0.0) for _ in range(1001)]
    assert (told[0] is not None, told[999] is not None, told[1000]) == (True, True, None)


# By OTLP.


def _pair(key: str, value: AnyValue) -> KeyValue:
    return KeyValue(key=key, value=value)


RESOURCE: Final = Resource(attributes=[_pair("service.name", AnyValue(string_value="shop"))])
SPANS: Final = ExportTraceServiceRequest(
    resource_spans=[
        ResourceSpans(
            resource=RESOURCE,
            scope_spans=[
                ScopeSpans(
                    spans=[
                        Span(
                            name="x",
                            kind=Span.SPAN_KIND_CLIENT,
                            trace_id=bytes.fromhex(TRACE),
                            span_id=b"\x01" * 8,
                            parent_span_id=b"\x02" * 8,
                            start_time_unix_nano=1,
                            end_time_unix_nano=2,
                            status=Status(code=Status.STATUS_CODE_ERROR),
                            attributes=[
                                _pair("text", AnyValue(string_value="t")),
                                _pair("yes", AnyValue(bool_value=True)),
                                _pair("number", AnyValue(int_value=7)),
                                _pair("list", AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1)] * 2))),
                                _pair(
                                    "map",
                                    AnyValue(
                                        kvlist_value=KeyValueList(values=[_pair("k", AnyValue(bool_value=False))])
                                    ),
                                ),
                                _pair("nothing", AnyValue()),
                            ],
                            events=[Span.Event(name="e", attributes=[_pair("a", AnyValue(string_value="b"))])],
                        )
                    ]
                )
            ],
        )
    ]
)
RECEIVED: Final = ReceivedSpan(
    "shop",
    "x",
    "client",
    TRACE,
    "01" * 8,
    "02" * 8,
    1,
    2,
    is_error=True,
    attributes={"text": "t", "yes": "true", "number": "7", "list": "1, 1", "map": "k=false", "nothing": ""},
    events=(ReceivedEvent("e", {"a": "b"}),),
)
LOGS: Final = ExportLogsServiceRequest(
    resource_logs=[
        ResourceLogs(
            resource=RESOURCE,
            scope_logs=[
                ScopeLogs(
                    log_records=[
                        LogRecord(time_unix_nano=5, observed_time_unix_nano=6, body=AnyValue(string_value="one")),
                        LogRecord(observed_time_unix_nano=7, attributes=[_pair("a", AnyValue(double_value=0.5))]),
                    ]
                )
            ],
        )
    ]
)
LOGGED: Final = [ReceivedRecord("shop", 5, "one", {}), ReceivedRecord("shop", 7, "", {"a": "0.5"})]
TRACES_EXPORT: Final = "trace.v1.TraceService"
Export = Callable[[str, bytes], bytes]


@pytest.fixture
def received() -> list[ReceivedSpan | ReceivedRecord]:
    return []


@pytest.fixture
def receiver(received: list[ReceivedSpan | ReceivedRecord]) -> Iterator[Receiver]:
    with Receiver(ANY_PORT, Sink(received.extend, received.extend)) as running:
        yield running


def _export(address: Address, service: str, raw: bytes) -> bytes:
    with grpc.insecure_channel(str(address)) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/opentelemetry.proto.collector.{service}/Export"
        )
        return call(raw, timeout=SECONDS)


def test_spans_logs_and_metrics_are_taken(receiver: Receiver, received: list[ReceivedSpan | ReceivedRecord]) -> None:
    answers = [
        _export(receiver.address, TRACES_EXPORT, SPANS.SerializeToString()),
        _export(receiver.address, "logs.v1.LogsService", LOGS.SerializeToString()),
        _export(receiver.address, "metrics.v1.MetricsService", b"anything"),
    ]
    assert answers == [b"", b"", b""]
    assert received == [RECEIVED, *LOGGED]


GARBAGE: Final = {
    "no protobuf": (b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
    "too much at once": (b"\x00" * (5 * 1024 * 1024), grpc.StatusCode.RESOURCE_EXHAUSTED),
}


@pytest.mark.parametrize("sentence", GARBAGE)
def test_garbage_is_refused_and_the_receiver_goes_on(
    sentence: str, receiver: Receiver, received: list[ReceivedSpan | ReceivedRecord]
) -> None:
    raw, code = GARBAGE[sentence]
    with pytest.raises(grpc.RpcError) as refused:
        _export(receiver.address, TRACES_EXPORT, raw)
    assert refused.value.code() is code
    _export(receiver.address, TRACES_EXPORT, SPANS.SerializeToString())
    assert received == [RECEIVED]


def test_a_kind_of_span_that_nobody_knows_is_none_in_particular(
    receiver: Receiver, received: list[ReceivedSpan | ReceivedRecord]
) -> None:
    raw = SPANS.SerializeToString().replace(b"\x30\x03", b"\x30\x63")
    _export(receiver.address, TRACES_EXPORT, raw)
    assert received == [RECEIVED._replace(kind="unspecified")]


LONG: Final = "x" * 100_000


def test_of_long_texts_the_beginning_is_taken(
    receiver: Receiver, received: list[ReceivedSpan | ReceivedRecord]
) -> None:
    long, cut = _pair(LONG, AnyValue(string_value=LONG)), {"x" * MAX_TEXT: "x" * MAX_TEXT}
    resource = Resource(attributes=[_pair("service.name", AnyValue(string_value=LONG))])
    span = Span(
        name=LONG,
        trace_id=b"t" * 1_000,
        span_id=b"s" * 1_000,
        parent_span_id=b"p" * 1_000,
        attributes=[long],
        events=[Span.Event(name=LONG, attributes=[long])],
    )
    spans = ResourceSpans(resource=resource, scope_spans=[ScopeSpans(spans=[span])])
    record = LogRecord(body=AnyValue(string_value=LONG), attributes=[long])
    logs = ResourceLogs(resource=resource, scope_logs=[ScopeLogs(log_records=[record])])
    traced, logged = ExportTraceServiceRequest(resource_spans=[spans]), ExportLogsServiceRequest(resource_logs=[logs])
    _export(receiver.address, TRACES_EXPORT, traced.SerializeToString())
    _export(receiver.address, "logs.v1.LogsService", logged.SerializeToString())
    text, ids = "x" * MAX_TEXT, [letter.encode().hex() * 16 for letter in "tsp"]
    events = (ReceivedEvent(text, cut),)
    assert received == [
        ReceivedSpan(text, text, "unspecified", ids[0], ids[1], ids[2], 0, 0, is_error=False, attributes=cut)._replace(
            events=events
        ),
        ReceivedRecord(text, 0, text, cut),
    ]


def test_of_many_spans_and_attributes_some_are_taken(
    receiver: Receiver, received: list[ReceivedSpan | ReceivedRecord]
) -> None:
    attributes = [_pair(str(number), AnyValue()) for number in range(1_000)]
    first = Span(attributes=attributes, events=[Span.Event()] * 1_000)
    spans = ScopeSpans(spans=[first, *[Span()] * (2 * MAX_ITEMS)])
    _export(
        receiver.address,
        TRACES_EXPORT,
        ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[spans])]).SerializeToString(),
    )
    assert len(received) == MAX_ITEMS
    assert isinstance(received[0], ReceivedSpan)
    assert (len(received[0].attributes), len(received[0].events)) == (128, 128)


def test_calls_that_send_nothing_hold_no_place_for_long(
    receiver: Receiver, received: list[ReceivedSpan | ReceivedRecord]
) -> None:
    ended = Event()

    def silent() -> Iterator[bytes]:
        ended.wait()
        yield from ()

    def is_taken() -> bool:
        try:
            _export(receiver.address, TRACES_EXPORT, SPANS.SerializeToString())
        except grpc.RpcError:
            return False
        return True

    with grpc.insecure_channel(str(receiver.address)) as channel:
        call: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(
            f"/opentelemetry.proto.collector.{TRACES_EXPORT}/Export"
        )
        calls = [call.future(silent()) for _ in range(16)]
        _until(lambda: not is_taken())
        received.clear()
        _until(is_taken)
        ended.set()
        for each in calls:
            each.cancel()
    assert received == [RECEIVED]


def test_what_comes_is_handed_on_as_it_comes(receiver: Receiver, received: list[ReceivedSpan | ReceivedRecord]) -> None:
    here: list[ReceivedSpan] = []
    arrived = Event()

    def keep(spans: list[ReceivedSpan]) -> None:
        received.extend(spans)
        arrived.set()

    further = Receiver(ANY_PORT, Sink(keep, received.extend))
    with further, Receiver(ANY_PORT, Sink(here.extend, received.extend), further.address) as first:
        _export(first.address, TRACES_EXPORT, SPANS.SerializeToString())
        assert arrived.wait(SECONDS)
    assert here == received == [RECEIVED]
    assert receiver.address != first.address


def test_an_address_that_somebody_has_is_said_so(receiver: Receiver, capfd: pytest.CaptureFixture[str]) -> None:
    run = CliRunner().invoke(observe, ["--listen", str(receiver.address)])
    # gRPC would write to the descriptor.
    assert capfd.readouterr() == ("", "")
    assert (run.exit_code, run.output) == (
        1,
        f"{receiver.address} cannot be had; choose another address, or end what listens there\n",
    )


IDLE: Final = {
    "an address beside the demo": (("--demo", "--listen", "127.0.0.1:0"), "--listen: with --demo nothing else is"),
    "a port of no demo": (("--port", "10000"), "--port: there is no --demo; leave it out"),
    "Prometheus of no demo": (("--prometheus-port", "9090"), "--prometheus-port: there is no --demo; leave it out"),
}


@pytest.mark.parametrize("sentence", IDLE)
def test_an_option_that_would_do_nothing_is_refused(sentence: str) -> None:
    arguments, why = IDLE[sentence]
    run = CliRunner().invoke(observe, arguments)
    assert (run.exit_code, why in run.output) == (2, True), run.output


def test_an_address_that_is_none_is_a_usage_error() -> None:
    run = CliRunner().invoke(observe, ["--listen", "4317"])
    assert run.exit_code == 2
    assert re.search("`4317` is not an address; write HOST:PORT", run.output)
