"""The listener of Envoy's access log: bounded whatever comes, and nothing that it loses goes uncounted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import grpc
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from google.protobuf.json_format import ParseDict

from cors_authz._gen.v1.decision_pb2 import Delivery as DeliveryMessage
from cors_authz._gen.wire.access_log_pb2 import StreamAccessLogsMessage
from cors_authz._gen.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse
from cors_authz.edge.access_log import comparison as comparison_module
from cors_authz.edge.access_log.comparison import Comparison, ResourceOf
from cors_authz.edge.access_log.figures import MAX_GROUPS, Ending, Fate, Figures
from cors_authz.edge.access_log.governed import GovernedRoutes, Resource, every_route
from cors_authz.edge.access_log.inbox import Inbox
from cors_authz.edge.access_log.line import Compared, line_of
from cors_authz.edge.access_log.listener import STREAM_METHOD, Listener
from cors_authz.edge.access_log.options import AccessLogOptions, StreamBounds
from cors_authz.edge.access_log.streams import Streams
from cors_authz.edge.audit.options import WriterOptions
from cors_authz.edge.generation import Generation, Report
from cors_authz.edge.metrics.sample import Distribution
from cors_authz.edge.parts import PartsError, take_apart
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.transport.interface import HEALTH_CHECK_METHOD, Tls, TransportError
from cors_authz.envoy.access_log import Entry
from cors_authz.policy.document import Source
from cors_authz.policy.load import load_policy
from cors_authz.review.delivery import Finding, Verdict, decided_of
from tests.serving import POLICY_TEXT, SECONDS, until

ORIGIN = "https://shop.example"
ENTRY = Entry(
    time=1_790_000_000.5,
    request_id="7c1c0000-0000-0000-0000-000000000000",
    method="GET",
    scheme="https",
    host="api.example",
    path="/a",
    origin=ORIGIN,
    status=200,
    flags=(),
    details="via_upstream",
    duration_us=1500,
    reached_upstream=True,
    decision={
        "outcome": "allow",
        "reason": "rule_allowed",
        "decision_id": "d1",
        "revision": "r7",
        "group": "api",
        "rule": "api/1",
        "allow_origin": ORIGIN,
    },
    headers={"access-control-allow-origin": ORIGIN},
)
OVERWRITTEN = ENTRY._replace(headers={"access-control-allow-origin": "*"})
UNDECIDED = ENTRY._replace(decision={}, headers={})


def message(count: int = 1, *, identified: bool = True) -> bytes:
    """Serialize a message of so many entries."""
    tree: dict[str, Any] = {"http_logs": {"log_entry": [{"request": {"path": "/a"}}] * count}}
    if identified:
        tree["identifier"] = {}
    return ParseDict(tree, StreamAccessLogsMessage()).SerializeToString()


def figures_of(figures: Figures) -> dict[tuple[str, ...], float]:
    """Give what was counted and is not 0, by the metric's short name and its labels."""
    read: dict[tuple[str, ...], float] = {}
    for sample in figures.samples():
        assert not isinstance(sample.value, Distribution)
        read[sample.metric.name.removeprefix("cors_authz_"), *sample.labels] = sample.value
    return {name: value for name, value in read.items() if value}


# The inbox.


def test_an_inbox_gives_what_it_was_given_in_its_order_and_ends_once_closed_and_empty() -> None:
    inbox = Inbox(10, 0)

    assert [inbox.put(b"first"), inbox.put(b"other")] == [True, True]
    inbox.close()

    assert list(inbox) == [b"first", b"other"]


def test_a_full_inbox_takes_no_more_until_there_is_room() -> None:
    inbox = Inbox(10, 0)
    taken = iter(inbox)

    assert [inbox.put(b"123456"), inbox.put(b"12345"), inbox.put(b"1234")] == [True, False, True]
    next(taken)
    assert [inbox.put(b"123456"), inbox.put(b"1")] == [True, False]


def test_a_message_waits_for_room_as_long_as_it_may() -> None:
    inbox = Inbox(1, SECONDS)
    taken = iter(inbox)
    assert inbox.put(b"1")

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(inbox.put, b"2")
        assert (next(taken), second.result(SECONDS), next(taken)) == (b"1", True, b"2")


def test_whoever_waits_for_a_message_is_woken_by_it_and_by_the_end() -> None:
    inbox = Inbox(1, SECONDS)
    taken = iter(inbox)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, taken, b"none")
        time.sleep(0.05)
        inbox.put(b"1")
        assert first.result(SECONDS) == b"1"
        second = pool.submit(next, taken, b"none")
        time.sleep(0.05)
        inbox.close()
        assert second.result(SECONDS) == b"none"


def test_an_empty_inbox_takes_a_message_of_any_length_and_a_closed_one_none() -> None:
    inbox = Inbox(1, SECONDS)

    assert inbox.put(b"long")
    inbox.close()
    assert not inbox.put(b"")


# The figures.


def test_groups_beyond_the_bound_count_as_other() -> None:
    figures = Figures()
    for number in range(MAX_GROUPS + 2):
        figures.delivered(("agrees",), f"group-{number}")
    figures.delivered(("agrees",), "group-0")
    figures.delivered(("vary_misses", "credentials_differs"), "")

    counted = figures_of(figures)
    assert counted["deliveries_total", "agrees", "group-0"] == 2
    assert counted["deliveries_total", "agrees", "other"] == 2
    assert ("deliveries_total", "agrees", f"group-{MAX_GROUPS}") not in counted
    assert (
        counted["deliveries_total", "vary_misses", "none"] == counted["deliveries_total", "credentials_differs", "none"]
    )


def test_a_loss_is_told_once_with_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    figures = Figures()
    figures.entries(Fate.DROPPED, 0)
    figures.entries(Fate.COMPARED, 5)
    figures.ended(Ending.IDLE)
    assert caplog.messages == []

    for _ in range(3):
        figures.entries(Fate.DROPPED, 7)
        figures.entries(Fate.UNREADABLE, 1)
        for ending in Ending:
            figures.ended(ending)

    assert caplog.messages == [
        "access log: entries come faster than they are compared, and some are dropped; run more listeners or log less",
        "access log: a message is no access log entry; see that only Envoys send here",
        "access log: more streams come than may be open; raise --max-streams, or run more listeners",
        "access log: a stream does not say whose it is, and is ended; see that only Envoys send here",
        "access log: a stream sends what is no access log, and is ended; see that only Envoys send here",
    ]
    assert figures_of(figures) == {
        ("access_log_entries_total", "compared"): 5,
        ("access_log_entries_total", "dropped"): 21,
        ("access_log_entries_total", "unreadable"): 3,
        ("access_log_streams_ended_total", "refused"): 3,
        ("access_log_streams_ended_total", "unidentified"): 3,
        ("access_log_streams_ended_total", "idle"): 4,
        ("access_log_streams_ended_total", "garbage"): 3,
    }


# The streams, in virtual time.


class Aborted(Exception):  # noqa: N818 - what gRPC raises has no name
    """A call that was aborted."""


class Call:
    """A call as gRPC shows it to a handler; `messages` end when it is cancelled."""

    def __init__(self) -> None:
        self.cancelled, self.waits = Event(), Event()
        self.status: grpc.StatusCode | None = None

    def abort(self, code: grpc.StatusCode, _details: str) -> None:
        """End it."""
        self.status = code
        raise Aborted

    def cancel(self) -> None:
        """End it from another thread."""
        self.cancelled.set()

    def silent(self, *first: bytes) -> Iterator[bytes]:
        """Give these messages, and then none until the call is cancelled."""
        yield from first
        self.waits.set()
        assert self.cancelled.wait(SECONDS)


BEGIN = 1000.0


class Harness:
    """Streams with a clock that the test sets."""

    def __init__(self, **bounds: float) -> None:
        self.now = BEGIN
        self.figures, self.inbox = Figures(), Inbox(10_000, 0)
        self.streams = Streams(self.inbox, self.figures, lambda: self.now, StreamBounds(**bounds))  # type: ignore[arg-type]
        self._pool = ThreadPoolExecutor(8)

    def open(self, *first: bytes) -> Call:
        """Open a stream that sends these messages and stays."""
        call = Call()
        self._pool.submit(self.streams.take, call.silent(*first), call)  # type: ignore[arg-type]
        assert call.waits.wait(SECONDS)
        return call

    def count(self) -> float:
        """Say how many streams are open."""
        return figures_of(self.figures).get(("access_log_streams",), 0)

    def swept_at(self, now: float, *calls: Call) -> list[bool]:
        """Sweep so many seconds after the beginning, and say which of the calls were cancelled."""
        self.now = BEGIN + now
        self.streams.sweep()
        return [call.cancelled.is_set() for call in calls]


def test_a_stream_must_say_soon_whose_it_is_and_may_then_be_silent_for_long() -> None:
    harness = Harness(identify_seconds=10, idle_seconds=300)
    nameless = harness.open()
    named = harness.open(message())

    assert harness.swept_at(10, nameless, named) == [False, False]
    assert harness.swept_at(10.1, nameless, named) == [True, False]
    assert harness.swept_at(300, named) == [False]
    assert harness.swept_at(300.1, named) == [True]
    until(lambda: not harness.count())
    assert figures_of(harness.figures)["access_log_streams_ended_total", "unidentified"] >= 1
    assert figures_of(harness.figures)["access_log_streams_ended_total", "idle"] >= 1


def test_where_streams_keep_others_out_the_silent_ones_go() -> None:
    harness = Harness(streams=2, crowded_seconds=3)
    calls = [harness.open(message()), harness.open(message())]
    refused = Call()

    with pytest.raises(Aborted):
        harness.streams.take(iter([message()]), refused)  # type: ignore[arg-type]
    assert refused.status == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert harness.swept_at(3, *calls) == [False, False]
    assert harness.swept_at(3.1, *calls) == [True, True]
    until(lambda: not harness.count())
    assert figures_of(harness.figures)["access_log_streams_ended_total", "refused"] == 1


def test_another_call_that_never_says_what_it_asks_is_swept() -> None:
    harness, call = Harness(crowded_seconds=3), Call()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(harness.streams.only_message, call.silent(), call)  # type: ignore[arg-type]
        until(call.waits.is_set)
        assert harness.swept_at(3, call) == [False]
        until(lambda: any(harness.swept_at(3.1, call)))

        assert asked.result(SECONDS) == b""


def test_another_call_that_said_what_it_asks_is_left_alone() -> None:
    harness, call = Harness(crowded_seconds=3), Call()

    assert harness.streams.only_message(iter([b"asked", b"more"]), call) == b"asked"  # type: ignore[arg-type]
    assert harness.swept_at(100, call) == [False]


class Sent(NamedTuple):
    """Messages of one stream, how it ends, and what is counted of them."""

    messages: tuple[bytes, ...]
    status: grpc.StatusCode | None
    counted: dict[tuple[str, ...], float]


BEGUN = ParseDict(
    {"http_logs": {"log_entry": [{"common_properties": {"access_log_type": 4}}]}}, StreamAccessLogsMessage()
).SerializeToString()
TCP = ParseDict({"tcp_logs": {"log_entry": [{}, {}]}}, StreamAccessLogsMessage()).SerializeToString()
MANY_TCP = ParseDict(
    {"identifier": {}, "tcp_logs": {"log_entry": [{}] * 10_001}}, StreamAccessLogsMessage()
).SerializeToString()
SENT = {
    "an identifier first, and entries ever after": Sent((message(2), message(3, identified=False)), None, {}),
    "TCP entries are ignored and counted": Sent((message(1), TCP), None, {("access_log_entries_total", "ignored"): 2}),
    "no identifier in the first message": Sent(
        (message(3, identified=False), message(1)),
        grpc.StatusCode.INVALID_ARGUMENT,
        {("access_log_entries_total", "unreadable"): 3, ("access_log_streams_ended_total", "unidentified"): 1},
    ),
    "no identifier in the first message, which tells of TCP": Sent(
        (TCP,),
        grpc.StatusCode.INVALID_ARGUMENT,
        {("access_log_entries_total", "unreadable"): 2, ("access_log_streams_ended_total", "unidentified"): 1},
    ),
    "garbage": Sent(
        (message(1), b"\xff\xff", message(1)),
        grpc.StatusCode.INVALID_ARGUMENT,
        {("access_log_entries_total", "unreadable"): 1, ("access_log_streams_ended_total", "garbage"): 1},
    ),
    "more entries than a message of an Envoy holds": Sent(
        (message(10_000), message(10_001), message(1)),
        grpc.StatusCode.INVALID_ARGUMENT,
        {("access_log_entries_total", "unreadable"): 10_001, ("access_log_streams_ended_total", "garbage"): 1},
    ),
    "more TCP entries than that": Sent(
        (MANY_TCP,),
        grpc.StatusCode.INVALID_ARGUMENT,
        {("access_log_entries_total", "unreadable"): 10_001, ("access_log_streams_ended_total", "garbage"): 1},
    ),
    "more than may wait": Sent(
        (message(900), message(1000), message(10)), None, {("access_log_entries_total", "dropped"): 1000}
    ),
}


@pytest.mark.parametrize("sentence", SENT)
def test_what_is_made_of_a_stream(sentence: str) -> None:
    messages, status, counted = SENT[sentence]
    harness, call = Harness(), Call()

    with suppress(Aborted):
        assert harness.streams.take(iter(messages), call) == b""  # type: ignore[arg-type]

    assert (call.status, figures_of(harness.figures)) == (status, counted)


# The comparison.


class Written(NamedTuple):
    """What a comparison of some entries comes to: lines, and whether each is expendable."""

    lines: list[tuple[dict[str, Any], bool]]
    counted: dict[tuple[str, ...], float]


def compared(*entries: Entry, share: float = 1.0, resource_of: ResourceOf = every_route) -> Written:
    lines: list[tuple[dict[str, Any], bool]] = []
    figures = Figures()

    def append(line: bytes, *, is_expendable: bool) -> None:
        lines.append((orjson.loads(line), is_expendable))

    Comparison(Inbox(1, 0), resource_of, figures, append, share).take(entries)
    return Written(lines, figures_of(figures))


def test_agreeing_allows_are_expendable_and_all_else_is_not() -> None:
    refused = ENTRY._replace(decision={**ENTRY.decision, "outcome": "deny"}, reached_upstream=False)
    written = compared(ENTRY, ENTRY._replace(status=0), OVERWRITTEN, refused, UNDECIDED)

    assert [(line["verdicts"], is_expendable) for line, is_expendable in written.lines] == [
        (["agrees"], True),
        (["no_response"], True),
        (["allow_origin_differs"], False),
        (["agrees"], False),
        (["unchecked"], False),
    ]
    assert written.counted == {
        ("access_log_entries_total", "compared"): 5,
        ("deliveries_total", "agrees", "api"): 2,
        ("deliveries_total", "no_response", "api"): 1,
        ("deliveries_total", "allow_origin_differs", "api"): 1,
        ("deliveries_total", "unchecked", "none"): 1,
    }


def test_the_name_of_a_group_is_counted_cut() -> None:
    decision = {**ENTRY.decision, "group": "g" * 100_000}

    assert ("deliveries_total", "agrees", "g" * 256) in compared(ENTRY._replace(decision=decision)).counted


def test_a_share_of_the_expendable_lines_is_written_and_says_so() -> None:
    ids = [f"{number << 20:08x}-rest" for number in range(4096)]
    written = compared(*(ENTRY._replace(request_id=each) for each in ids), share=0.25)

    assert [line["request_id"] for line, _ in written.lines] == ids[:1024]
    assert {line["share"] for line, _ in written.lines} == {0.25}
    assert written.counted["deliveries_total", "agrees", "api"] == 4096


def test_at_a_share_of_0_no_expendable_line_is_written_and_a_finding_has_no_share() -> None:
    odd = ENTRY._replace(request_id="7C1C-of-another-proxy")
    written = compared(ENTRY._replace(request_id="00000000"), odd, OVERWRITTEN, share=0.0)

    assert [(line["verdicts"], line.get("share")) for line, _ in written.lines] == [(["allow_origin_differs"], None)]


def test_a_request_with_an_odd_id_is_always_drawn() -> None:
    odd = [ENTRY._replace(request_id=each) for each in ("", "short", "not-hexadecimal", "7C1C0000")]

    assert len(compared(*odd, share=0.01).lines) == 4


def test_a_fault_with_one_entry_ends_nothing_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    def resource_of(entry: Entry) -> Resource:
        if entry.path == "/fault":
            raise RuntimeError("a fault")
        return Resource("api", "/**")

    faulty = UNDECIDED._replace(path="/fault")
    written = compared(faulty, UNDECIDED, faulty, faulty, resource_of=resource_of)

    assert written.counted == {
        ("access_log_entries_total", "compared"): 1,
        ("access_log_entries_total", "unreadable"): 3,
        ("deliveries_total", "unchecked", "api"): 1,
    }
    assert [record.message for record in caplog.records if record.exc_info] == [
        "access log: an entry cannot be compared; others may not be told of"
    ]


def test_a_thread_compares_what_is_in_the_inbox_and_all_of_it_before_it_ends() -> None:
    lines: list[bytes] = []
    figures, inbox = Figures(), Inbox(1 << 20, 0)
    comparison = Comparison(inbox, every_route, figures, lambda line, **_: lines.append(line), 1.0)
    comparison.start()
    for raw in (message(2), b"\xff", BEGUN, message(3)):
        inbox.put(raw)
    comparison.stop()

    assert not inbox.put(message())
    assert len(lines) == 5
    assert figures_of(figures) == {
        ("access_log_entries_total", "compared"): 5,
        ("access_log_entries_total", "ignored"): 1,
        ("access_log_entries_total", "unreadable"): 1,
        ("deliveries_total", "no_response", "none"): 5,
    }


def test_what_cannot_be_compared_in_time_at_the_end_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(comparison_module, "_STOP_SECONDS", 0.1)
    inbox, end = Inbox(1 << 20, 0), Event()

    def resource_of(_entry: Entry) -> None:
        end.wait(SECONDS)

    comparison = Comparison(inbox, resource_of, Figures(), lambda line, **_: None, 1.0)  # noqa: ARG005 - a name of the interface
    comparison.start()
    inbox.put(message())
    comparison.stop()
    end.set()

    assert caplog.messages == ["access log: the last entries were not compared within 0 s, and are lost"]


def test_each_header_that_was_decided_is_found_by_its_name() -> None:
    told = {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "etag",
        "vary": "Origin",
    }
    fields = ("allow_origin", "allow_credentials", "expose_headers", "vary")
    whole = ENTRY._replace(headers=told, decision={**ENTRY.decision, **dict(zip(fields, told.values(), strict=True))})
    without = [whole._replace(headers={**told, name: ""}) for name in told]

    assert [line["verdicts"] for line, _ in compared(whole, *without).lines] == [
        ["agrees"],
        ["allow_origin_differs"],
        ["credentials_differs"],
        ["expose_headers_differs"],
        ["vary_misses"],
    ]


# Which routes are governed.


def _generation(text: str) -> Generation:
    policy = load_policy((Source("policy.yaml", text.encode()),), "prod").policy
    return Generation(Report("shop", "r1", "prod", ()), tuple(take_apart(policy)))


def test_with_a_policy_only_its_routes_must_be_checked() -> None:
    routes = GovernedRoutes()
    assert routes.resource_of(UNDECIDED) is None

    routes.put_in_force(_generation(POLICY_TEXT))
    elsewhere = UNDECIDED._replace(host="other.example")
    written = compared(UNDECIDED, elsewhere, ENTRY._replace(host="other.example"), resource_of=routes.resource_of)

    assert [(line["host"], line.get("group")) for line, _ in written.lines] == [
        ("api.example", "api"),
        ("other.example", "api"),
    ]
    assert written.counted["access_log_entries_total", "ignored"] == 1


RESETS = """
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: shop, revision: r1}
originGroups:
  web: {origins: ["https://shop.example"], contact: web@shop.example, trust: high}
resourceGroups:
  api:
    match:
    - {hosts: [api.example], paths: ["/reset/{token}"]}
    allow:
    - {origins: [web], methods: [GET]}
"""


def test_a_line_has_the_path_of_the_policy_and_never_that_of_the_request() -> None:
    routes, secret = GovernedRoutes(), "/reset/SECRET-TOKEN-123"
    routes.put_in_force(_generation(RESETS))
    asked = [each._replace(path=secret) for each in (ENTRY, UNDECIDED)]
    of_another_group = asked[0]._replace(decision={**ENTRY.decision, "group": "former"})
    written = [
        *compared(*asked, of_another_group, resource_of=routes.resource_of).lines,
        *compared(*asked).lines,
    ]

    assert [line.get("path") for line, _ in written] == ["/reset/{token}", "/reset/{token}", None, None, None]
    assert "SECRET" not in str(written)


def test_a_version_that_cannot_be_put_together_leaves_the_last_one_in_force() -> None:
    routes = GovernedRoutes()
    routes.put_in_force(_generation(POLICY_TEXT))

    with pytest.raises(PartsError):
        routes.put_in_force(Generation(Report("shop", "r2", "prod", ()), (b"\x80",)))

    assert routes.resource_of(UNDECIDED) == Resource("api", "/**")


HOSTILE = {
    "nothing": UNDECIDED._replace(method="", scheme="", host="", path="", origin=""),
    "another host, and a path that is none": UNDECIDED._replace(host="other.example", path="/%zz"),
}
UNREADABLE = {
    "an authority that is none": UNDECIDED._replace(host="a" * 100_000),
    "a dot after the host": UNDECIDED._replace(host="api.example."),
    "a user before the host": UNDECIDED._replace(host="u@api.example"),
    "a path that is none": UNDECIDED._replace(path="//..%2f\\\x00"),
    "no path": UNDECIDED._replace(path=""),
    "a broken code": UNDECIDED._replace(path="/api/%zz"),
    "two dots and a parameter": UNDECIDED._replace(path="/a;x/..;/b"),
}


@pytest.mark.parametrize("sentence", HOSTILE)
def test_what_is_elsewhere_by_any_reading_is_not_governed(sentence: str) -> None:
    routes = GovernedRoutes()
    routes.put_in_force(_generation(POLICY_TEXT))

    assert routes.resource_of(HOSTILE[sentence]) is None


@pytest.mark.parametrize("sentence", UNREADABLE)
def test_no_spelling_hides_a_request_that_nobody_checked(sentence: str) -> None:
    routes = GovernedRoutes()
    routes.put_in_force(_generation(POLICY_TEXT))
    written = compared(UNREADABLE[sentence], resource_of=routes.resource_of)

    assert [(line["verdicts"], line.get("group"), line.get("path")) for line, _ in written.lines] == [
        (["unchecked"], None, None)
    ]


# The line.


def line(entry: Entry, findings: tuple[Finding, ...], group: str = "api", share: float = 1) -> dict[str, Any]:
    told = Compared(entry, decided_of(entry.decision), Resource(group, "/orders/{id}"), findings)
    read: dict[str, Any] = orjson.loads(line_of(told, share))
    return read


def test_a_whole_line_which_the_record_defines() -> None:
    finding = Finding(Verdict.ALLOW_ORIGIN_DIFFERS, "overwritten")
    entry = OVERWRITTEN._replace(flags=("UF", "URX"), decision={**ENTRY.decision, "shadow": True})
    written = line(entry, (finding,), share=0.5)

    assert written == {
        "kind": "delivery",
        "time": 1_790_000_000.5,
        "request_id": "7c1c0000-0000-0000-0000-000000000000",
        "status": 200,
        "flags": "UF,URX",
        "details": "via_upstream",
        "duration_us": 1500,
        "method": "GET",
        "host": "api.example",
        "path": "/orders/{id}",
        "origin": ORIGIN,
        "delivered": {"allow_origin": "*"},
        "group": "api",
        "verdicts": ["would_allow_origin_differs"],
        "manners": {"would_allow_origin_differs": "overwritten"},
        "share": 0.5,
        "decision_id": "d1",
        "shadow": True,
        "decided": {
            "outcome": "allow",
            "reason": "rule_allowed",
            "rule": "api/1",
            "revision": "r7",
            "allow_origin": ORIGIN,
        },
    }
    ParseDict(written, DeliveryMessage())


def test_agreement_in_shadow_says_what_would_be() -> None:
    shadow = ENTRY._replace(decision={**ENTRY.decision, "shadow": True})

    assert line(shadow, (Finding(Verdict.AGREES),))["verdicts"] == ["would_agree"]


def test_what_others_sent_is_cut_and_headers_that_nobody_asked_for_are_left_out() -> None:
    long = "x" * 10_000
    entry = ENTRY._replace(
        request_id=long,
        details=long,
        host=long,
        origin=long,
        decision={"outcome": long, "decision_id": long, "group": long, "vary": long},
        headers={"vary": long, "set-cookie": "secret", "access-control-allow-origin": ""},
    )
    written = line(entry, (Finding(Verdict.AGREES),), group=long)

    short = "x" * 256
    cut = ("request_id", "details", "host", "origin", "decision_id", "group")
    assert {name: written[name] for name in cut} == dict.fromkeys(cut, short)
    assert written["delivered"] == {"vary": short}
    assert written["decided"] == {"outcome": short, "vary": short}


# The listener, over a real connection.


@contextmanager
def listening(**bounds: float) -> Iterator[tuple[str, Figures]]:
    figures, inbox = Figures(), Inbox(1 << 20, 0)
    options = AccessLogOptions(listen="127.0.0.1:0", bounds=StreamBounds(**bounds), grace_seconds=0)  # type: ignore[arg-type]
    listener = Listener(inbox, figures, time.monotonic, options)
    try:
        yield listener.listen(), figures
    finally:
        listener.drain()


def send(channel: grpc.Channel, messages: Iterator[bytes]) -> grpc.StatusCode:
    call: grpc.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(STREAM_METHOD)
    try:
        call(messages, timeout=SECONDS)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def health(channel: grpc.Channel, message: bytes) -> grpc.StatusCode | int:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH_CHECK_METHOD)
    try:
        return int(HealthCheckResponse.FromString(call(message, timeout=SECONDS)).status)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code


def test_hostile_streams_end_with_a_status_and_honest_ones_go_on() -> None:
    with listening(message_bytes=10_000) as (address, figures), grpc.insecure_channel(address) as channel:
        assert send(channel, iter([b"\xff\xff"])) == grpc.StatusCode.INVALID_ARGUMENT
        assert send(channel, iter([message(1), message(9000)])) == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert send(channel, iter([])) == grpc.StatusCode.OK
        assert send(channel, iter([message(1), message(2, identified=False)])) == grpc.StatusCode.OK
        assert figures_of(figures) == {
            ("access_log_entries_total", "unreadable"): 1,
            ("access_log_streams_ended_total", "garbage"): 1,
        }


def test_silent_streams_keep_neither_health_checks_nor_those_who_wait_their_turn_out() -> None:
    end = Event()

    def silent() -> Iterator[bytes]:
        end.wait(SECONDS)
        yield from ()

    with (
        listening(streams=2, crowded_seconds=0.2) as (address, figures),
        grpc.insecure_channel(address) as channel,
        ThreadPoolExecutor(2) as pool,
    ):
        streams = [pool.submit(send, channel, silent()) for _ in range(2)]
        until(lambda: figures_of(figures).get(("access_log_streams",)) == 2)
        assert health(channel, HealthCheckRequest().SerializeToString()) == HealthCheckResponse.SERVING
        until(lambda: send(channel, iter([message()])) == grpc.StatusCode.OK)
        assert {stream.result(SECONDS) for stream in streams} == {grpc.StatusCode.CANCELLED}
        end.set()


def test_health_knows_the_service_and_nothing_else() -> None:
    with listening() as (address, _), grpc.insecure_channel(address) as channel:
        named = HealthCheckRequest(service="cors_authz.policy").SerializeToString()
        assert (health(channel, named), health(channel, b"\xff")) == (
            grpc.StatusCode.NOT_FOUND,
            grpc.StatusCode.INVALID_ARGUMENT,
        )


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    """A certificate for `logs` that signs itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "logs")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    whole = (
        builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("logs")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = Tls(tmp_path / "cert.pem", tmp_path / "key.pem")
    files.certificate.write_bytes(whole.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def test_with_a_certificate_it_listens_by_tls_alone(tls: Tls) -> None:
    options = AccessLogOptions(listen="127.0.0.1:0", tls=tls, grace_seconds=0)
    listener = Listener(Inbox(1, 0), Figures(), time.monotonic, options)
    address, credentials = listener.listen(), grpc.ssl_channel_credentials(tls.certificate.read_bytes())
    asked = HealthCheckRequest().SerializeToString()

    with (
        grpc.secure_channel(address, credentials, options=[("grpc.ssl_target_name_override", "logs")]) as channel,
        grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as plain,
    ):
        assert health(channel, asked) == HealthCheckResponse.SERVING
        assert health(plain, asked) == grpc.StatusCode.UNAVAILABLE
    listener.drain()


def test_a_certificate_that_is_none_is_refused(tls: Tls) -> None:
    tls.certificate.write_text("none")

    with pytest.raises(TransportError):
        Listener(Inbox(1, 0), Figures(), time.monotonic, AccessLogOptions(listen="127.0.0.1:0", tls=tls))


def test_an_address_that_is_taken_is_refused() -> None:
    with listening() as (address, _):
        second = Listener(Inbox(1, 0), Figures(), time.monotonic, AccessLogOptions(listen=address, grace_seconds=0))

        with pytest.raises(TransportError, match="cannot listen on"):
            second.listen()


def test_a_socket_on_which_somebody_listens_is_not_taken_away(tmp_path: Path) -> None:
    options = AccessLogOptions(listen=f"unix:{tmp_path}/logs.sock", grace_seconds=0)
    first, second = (Listener(Inbox(1, 0), Figures(), time.monotonic, options) for _ in range(2))
    assert first.listen() == options.listen

    with pytest.raises(TransportError, match="cannot listen on"):
        second.listen()
    first.drain()


def test_at_the_end_open_streams_are_heard_within_the_grace_and_nobody_new_is_let_in() -> None:
    figures, inbox, first_is_there = Figures(), Inbox(1 << 20, 0), Event()
    options = AccessLogOptions(listen="127.0.0.1:0", grace_seconds=1)
    listener = Listener(inbox, figures, time.monotonic, options)
    address, go_on, end = listener.listen(), Event(), Event()

    def messages() -> Iterator[bytes]:
        yield message(1)
        first_is_there.set()
        assert go_on.wait(SECONDS)
        yield message(2)
        end.wait(SECONDS)

    with grpc.insecure_channel(address) as channel, ThreadPoolExecutor(2) as pool:
        stream = pool.submit(send, channel, messages())
        assert first_is_there.wait(SECONDS)
        until(lambda: figures_of(figures).get(("access_log_streams",)) == 1)
        drained = pool.submit(listener.drain)
        time.sleep(0.2)
        go_on.set()
        drained.result(SECONDS)
        assert stream.result(SECONDS) in {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
        assert health(channel, HealthCheckRequest().SerializeToString()) == grpc.StatusCode.UNAVAILABLE
        end.set()
    inbox.close()
    assert list(inbox) == [message(1), message(2)]


# The options.

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no address": (
        {"listen": "9192"},
        "listen: `9192` is not an address; write HOST:PORT, [IPv6]:PORT or unix:PATH",
    ),
    "no share": ({"sample_agreeing": 1.1}, "sample-agreeing: `1.1` is no share; write a number from 0 to 1"),
    "a share that is no number": (
        {"sample_agreeing": float("nan")},
        "sample-agreeing: `nan` is no share; write a number from 0 to 1",
    ),
    "no stream": ({"bounds": StreamBounds(streams=0)}, "max-streams: `0` cannot be; write 1 to 4096"),
    "too many streams": ({"bounds": StreamBounds(streams=4097)}, "max-streams: `4097` cannot be; write 1 to 4096"),
    "no time": (
        {"grace_seconds": float("inf")},
        "grace-seconds: `inf` is no time; write a number of seconds, 0 or more",
    ),
    "no certificate": (
        {"tls": Tls(Path("/nowhere.pem"), Path("/nowhere.key"))},
        "tls: `/nowhere.pem` is no file that we may read; name a PEM file",
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_cannot_be_is_refused_by_its_name(sentence: str) -> None:
    changed, why = REFUSED[sentence]

    with pytest.raises(SettingsError) as error:
        AccessLogOptions(**{"listen": "127.0.0.1:0", "lines": WriterOptions(targets=("-",)), **changed})

    assert str(error.value) == why


def test_what_can_be_is_taken() -> None:
    options = AccessLogOptions(listen="unix:/run/logs.sock", sample_agreeing=0, bounds=StreamBounds(streams=4096))

    assert (options.lines, options.environment, options.grace_seconds) == (None, "prod", 2.0)
