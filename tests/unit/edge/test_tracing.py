"""Which checks get a span, what it says, and that its way out costs no decision."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.sampling import Decision as Drawn
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

from cors_authz import __version__
from cors_authz.edge.metrics.catalogue import EXPORT_FAILURES, SPANS
from cors_authz.edge.metrics.sample import Sample
from cors_authz.edge.observation import Observation, Parent, SpanIds
from cors_authz.edge.settings_error import SettingsError
from cors_authz.edge.telemetry.advice import Place
from cors_authz.edge.telemetry.batches import BatchOptions
from cors_authz.edge.telemetry.collector import Collector
from cors_authz.edge.tracing.outlet import sdk_span
from cors_authz.edge.tracing.parent import parent_reader
from cors_authz.edge.tracing.sampling import sampler_of
from cors_authz.edge.tracing.spans import ATTRIBUTES, FinishedSpan, attributes_of, finished_span
from cors_authz.edge.tracing.tracing import Tracing
from cors_authz.fetch.request import Request
from cors_authz.pdp.decide import refuse_unread
from cors_authz.pdp.decision import Decision, Reason
from tests.deciding import DECISION_ID, NOW, ask, compiled, decided, preflight

POLICY: Final = compiled("""
originGroups:
  web: {origins: ["https://web.example"], trust: high}
guards:
  lan: {sourceIn: [10.0.0.0/8]}
resourceGroups:
  api:
    match: [{hosts: ["{tenant}.api.example"], paths: ["/{version}/**"]}]
    versions: {v1: {}}
    guards: [lan]
    allow: [{origins: [web], methods: [PUT]}]
  trial:
    match: [{hosts: [trial.example]}]
    mode: shadow
    allow: [{origins: [web]}]
""")
WEB: Final = "https://web.example"
EVIL: Final = "https://evil.example"
SECRETS: Final = {"cookie": "session=secret", "authorization": "Bearer secret"}
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN: Final = "00f067aa0ba902b7"
SAMPLED: Final = Parent(SpanIds(TRACE, SPAN), is_sampled=True, state="a=1")
UNSAMPLED: Final = SAMPLED._replace(is_sampled=False)
LAPS: Final = (50.0, 50.001, 50.002, 50.003, 50.004, 50.005)

ALWAYS: Final = {
    "rpc.system.name": "grpc",
    "rpc.method": "envoy.service.auth.v3.Authorization/Check",
    "cors_authz.decision.id": DECISION_ID,
}
SAID: Final[dict[str, tuple[Request, dict[str, str | bool | int]]]] = {
    "an allowed request, without its query, its path or a credential": (
        ask("PUT https://acme.api.example/v1/a/b?token=secret", origin=WEB, source="10.0.0.1", **SECRETS),
        {
            "http.request.method": "PUT",
            "url.template": "/{version}/**",
            "server.address": "acme.api.example",
            "client.address": "10.0.0.1",
            "cors_authz.decision.outcome": "allow",
            "cors_authz.decision.reason": "rule_allowed",
            "cors_authz.origin": WEB,
            "cors_authz.origin_group": "web",
            "cors_authz.resource_group": "api",
            "cors_authz.rule": "api/1",
            "cors_authz.policy.revision": "r1",
            "cors_authz.tenant": "acme",
            "cors_authz.api_version": "v1",
        },
    ),
    "a refusal, with its status": (
        ask("PUT https://acme.api.example/v1/a", origin=EVIL),
        {
            "http.request.method": "PUT",
            "url.template": "/{version}/**",
            "server.address": "acme.api.example",
            "cors_authz.decision.outcome": "deny",
            "cors_authz.decision.reason": "origin_not_allowed",
            "cors_authz.decision.status": 403,
            "cors_authz.origin": EVIL,
            "cors_authz.resource_group": "api",
            "cors_authz.policy.revision": "r1",
            "cors_authz.tenant": "acme",
            "cors_authz.api_version": "v1",
        },
    ),
    "a decision in shadow": (
        preflight("PUT https://trial.example/", EVIL),
        {
            "http.request.method": "OPTIONS",
            "url.template": "/**",
            "server.address": "trial.example",
            "cors_authz.decision.outcome": "preflight_deny",
            "cors_authz.decision.reason": "origin_not_allowed",
            "cors_authz.decision.status": 403,
            "cors_authz.decision.shadow": True,
            "cors_authz.origin": EVIL,
            "cors_authz.resource_group": "trial",
            "cors_authz.policy.revision": "r1",
        },
    ),
    "what a client makes up is cut, and a method of its own has no name": (
        ask("BREW https://unknown.example/", origin="https://" + 300 * "x"),
        {
            "http.request.method": "_OTHER",
            "server.address": "unknown.example",
            "cors_authz.decision.outcome": "deny",
            "cors_authz.decision.reason": "host_unknown",
            "cors_authz.decision.status": 421,
            "cors_authz.origin": "https://" + 248 * "x",
            "cors_authz.policy.revision": "r1",
        },
    ),
}


@pytest.mark.parametrize("sentence", SAID)
def test_what_a_span_says(sentence: str) -> None:
    request, said = SAID[sentence]
    assert attributes_of(decided(POLICY, request), DECISION_ID) == ALWAYS | said


def test_a_message_that_is_no_request_has_a_span_all_the_same() -> None:
    assert attributes_of(refuse_unread(Reason.REQUEST_MALFORMED), DECISION_ID) == ALWAYS | {
        "cors_authz.decision.outcome": "deny",
        "cors_authz.decision.reason": "request_malformed",
        "cors_authz.decision.status": 400,
    }


def test_every_attribute_is_described() -> None:
    said = {name for request, _ in SAID.values() for name in attributes_of(decided(POLICY, request), DECISION_ID)}
    assert said == set(ATTRIBUTES)


@pytest.mark.parametrize(
    "method", ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"]
)
def test_the_methods_of_http_are_said_by_name(method: str) -> None:
    decision = decided(POLICY, ask(f"{method} https://unknown.example/"))
    assert attributes_of(decision, DECISION_ID)["http.request.method"] == method


SAMPLERS: Final[dict[str, tuple[Mapping[str, str], str, Parent | None, bool]]] = {
    "unless told otherwise, a root": ({}, TRACE, None, True),
    "unless told otherwise, below a sampled parent": ({}, TRACE, SAMPLED, True),
    "unless told otherwise, not below another": ({}, TRACE, UNSAMPLED, False),
    "an empty value is none": ({"OTEL_TRACES_SAMPLER": ""}, TRACE, UNSAMPLED, False),
    "always_on, which takes no ratio": (
        {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "0"},
        TRACE,
        UNSAMPLED,
        True,
    ),
    "always_off": ({"OTEL_TRACES_SAMPLER": "always_off"}, TRACE, SAMPLED, False),
    "parentbased_always_off, a root": ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, TRACE, None, False),
    "parentbased_always_off, a parent": ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, TRACE, SAMPLED, True),
    "a ratio holds whatever the parent": (
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
        TRACE,
        SAMPLED,
        False,
    ),
    "a ratio that is not told is all": ({"OTEL_TRACES_SAMPLER": "traceidratio"}, "f" * 32, UNSAMPLED, True),
    "a ratio of roots, a parent": (
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
        TRACE,
        SAMPLED,
        True,
    ),
    "a ratio of roots, a root within": (
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
        "f" * 16 + "7" + "f" * 15,
        None,
        True,
    ),
    "a ratio of roots, a root without": (
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
        "0" * 16 + "8" + "0" * 15,
        None,
        False,
    ),
}


@pytest.mark.parametrize("sentence", SAMPLERS)
def test_which_checks_get_a_span(sentence: str) -> None:
    environ, trace_id, parent, is_sampled = SAMPLERS[sentence]
    assert sampler_of(environ)(trace_id, parent) is is_sampled


@given(
    ratio=st.one_of(st.sampled_from([0.0, 1e-19, 1.0]), st.floats(0, 1)),
    trace=st.integers(1, 2**128 - 1),
)
@example(ratio=0.5, trace=1 << 63)
@example(ratio=1.0, trace=2**128 - 1)
def test_a_ratio_draws_the_line_where_the_other_sdks_do(ratio: float, trace: int) -> None:
    sampler = sampler_of({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": repr(ratio)})
    oracle = TraceIdRatioBased(ratio).should_sample(None, trace, "x").decision
    assert sampler(f"{trace:032x}", None) is (oracle is Drawn.RECORD_AND_SAMPLE)


REFUSED: Final[dict[str, tuple[Mapping[str, str], str]]] = {
    "a sampler that is not known": (
        {"OTEL_TRACES_SAMPLER": "jaeger_remote"},
        (
            "OTEL_TRACES_SAMPLER: `jaeger_remote` is not known; write one of always_on, always_off, traceidratio, "
            "parentbased_always_on, parentbased_always_off, parentbased_traceidratio"
        ),
    ),
    "a ratio that is no number": (
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1%"},
        "OTEL_TRACES_SAMPLER_ARG: `1%` is no ratio; write a number from 0 to 1",
    ),
    "a ratio beyond all": (
        {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1.1"},
        "OTEL_TRACES_SAMPLER_ARG: `1.1` is no ratio; write a number from 0 to 1",
    ),
    "a ratio below none": (
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "-0.1"},
        "OTEL_TRACES_SAMPLER_ARG: `-0.1` is no ratio; write a number from 0 to 1",
    ),
    "a ratio that is no number at all": (
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nan"},
        "OTEL_TRACES_SAMPLER_ARG: `nan` is no ratio; write a number from 0 to 1",
    ),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_a_sampler_that_cannot_be_is_refused_at_the_start(sentence: str) -> None:
    environ, message = REFUSED[sentence]
    with pytest.raises(SettingsError) as refused:
        sampler_of(environ)
    assert str(refused.value) == message


class Kept:
    """An outlet that keeps what it is sent."""

    def __init__(self) -> None:
        self.collector = Collector("traces", Place("http://collector", "/", "", 1.0))
        self.spans: list[FinishedSpan] = []
        self.is_closed = False

    def send(self, spans: Sequence[FinishedSpan]) -> bool:
        """Keep a batch."""
        self.spans += spans
        self.collector.end(len(spans), taken=True)
        return True

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


def _tracing(outlet: Kept, environ: Mapping[str, str] | None = None, waiting: int = 8) -> Tracing:
    drawn = count(1)
    options = BatchOptions(waiting=waiting, batch=1, delay_seconds=0.01)
    return Tracing(parent_reader({}), sampler_of(environ or {}), lambda: f"{next(drawn):032x}"[::-1], outlet, options)


def _observed(parent: Parent | None = None, decision: Decision | None = None) -> Observation:
    decision = decision or decided(POLICY, ask("PUT https://acme.api.example/v1/a", origin=EVIL))
    return Observation(decision, DECISION_ID, LAPS, parent)


def test_a_span_without_a_parent_begins_a_trace_that_the_decisions_id_names() -> None:
    outlet = Kept()
    tracing = _tracing(outlet)
    tracing.start()
    ids = tracing.span_of(_observed())
    tracing.stop()
    assert ids == SpanIds(DECISION_ID, "1000000000000000")
    assert [(span.ids, span.parent) for span in outlet.spans] == [(ids, None)]
    assert outlet.is_closed


def test_a_span_below_a_parent_is_of_its_trace() -> None:
    outlet = Kept()
    tracing = _tracing(outlet)
    tracing.start()
    ids = tracing.span_of(_observed(SAMPLED))
    tracing.stop()
    assert ids == SpanIds(TRACE, "1000000000000000")
    assert [(span.ids, span.parent) for span in outlet.spans] == [(ids, SAMPLED)]


def test_a_check_that_is_not_sampled_has_no_span() -> None:
    outlet = Kept()
    tracing = _tracing(outlet)
    tracing.start()
    assert tracing.span_of(_observed(UNSAMPLED)) is None
    tracing.stop()
    assert outlet.spans == []


def test_spans_are_counted_whatever_becomes_of_them(caplog: pytest.LogCaptureFixture) -> None:
    outlet = Kept()
    tracing = _tracing(outlet, waiting=2)
    for _ in range(5):
        assert tracing.span_of(_observed()) is not None
    tracing.start()
    tracing.stop()
    outlet.collector.end(4, taken=False)
    assert list(tracing.samples()) == [
        Sample(SPANS, ("exported",), 2),
        Sample(SPANS, ("dropped",), 3 + 4),
        Sample(EXPORT_FAILURES, ("traces",), 1),
    ]
    assert caplog.messages[0] == "spans are made faster than they are sent, and some are dropped; sample fewer"


def _told(span: FinishedSpan) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(sdk_span(span, Resource({"service.name": "x"})).to_json())
    return told


def test_the_sdks_span_of_a_check() -> None:
    decision = decided(POLICY, ask("PUT https://acme.api.example/v1/a", origin=WEB, source="192.0.2.1"))
    ids = SpanIds(TRACE, "1234567890abcdef")
    told = _told(finished_span(ids, _observed(SAMPLED, decision)))
    assert told.pop("attributes") == attributes_of(decision, DECISION_ID)
    events = told.pop("events")
    assert told == {
        "name": "envoy.service.auth.v3.Authorization/Check",
        "context": {"trace_id": f"0x{TRACE}", "span_id": "0x1234567890abcdef", "trace_state": "['{key=a, value=1}']"},
        "kind": "SpanKind.SERVER",
        "parent_id": f"0x{SPAN}",
        "start_time": "2027-01-15T08:00:00.000000Z",
        "end_time": "2027-01-15T08:00:00.005000Z",
        "status": {"status_code": "UNSET"},
        "links": [],
        "resource": {"attributes": {"service.name": "x"}, "schema_url": ""},
    }
    asked = ("request", "host", "resource group", "version", "tenant", "origin", "protocol", "allow rule")
    assert [(event["name"], event["attributes"], event["timestamp"]) for event in events] == [
        *(
            ("cors_authz.stage", {"cors_authz.stage": stage}, f"2027-01-15T08:00:00.00{number}000Z")
            for number, stage in enumerate(("decode", "match", "tokens", "decide", "encode"), 1)
        ),
        *(
            (
                "cors_authz.check",
                {"cors_authz.check": name, "cors_authz.verdict": verdict},
                "2027-01-15T08:00:00.004000Z",
            )
            for name, verdict in (*((name, "passes") for name in (*asked, "retired version")), ("guards", "objects"))
        ),
        (
            "cors_authz.guard",
            {"cors_authz.guard": "lan", "cors_authz.verdict": "objects"},
            "2027-01-15T08:00:00.004000Z",
        ),
    ]


def test_a_fault_of_ours_is_an_error_and_its_stages_are_those_that_were_finished() -> None:
    decision = refuse_unread(Reason.INTERNAL_ERROR, NOW)
    told = _told(finished_span(SpanIds(TRACE, SPAN), Observation(decision, DECISION_ID, (50.0, 50.001, 50.009))))
    assert told["status"] == {"status_code": "ERROR"}
    assert told["parent_id"] is None
    assert [(event["timestamp"][-10:-1], event["attributes"]) for event in told["events"]] == [
        ("00.001000", {"cors_authz.stage": "decode"}),
        ("00.009000", {"cors_authz.stage": "encode"}),
    ]


def test_the_parent_of_the_sdks_span_is_another_process_and_the_scope_is_ours() -> None:
    span = sdk_span(finished_span(SpanIds(TRACE, "1234567890abcdef"), _observed(SAMPLED)), Resource({}))
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.is_remote, span.parent.is_remote, span.context.trace_flags.sampled) == (False, True, True)
    assert span.instrumentation_scope is not None
    assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == ("cors_authz", __version__)


def test_there_are_traces_only_where_they_are_asked_for() -> None:
    assert Tracing.from_environment({}, None, lambda: DECISION_ID) is None
    tracing = Tracing.from_environment({"OTEL_TRACES_EXPORTER": "otlp"}, None, lambda: DECISION_ID)
    assert tracing is not None
    tracing.stop()


def test_the_variables_of_batches_hold() -> None:
    environ = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "many"}
    with pytest.raises(SettingsError, match=r"^OTEL_BSP_MAX_QUEUE_SIZE: `many` cannot be"):
        Tracing.from_environment(environ, None, lambda: DECISION_ID)
