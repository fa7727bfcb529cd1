"""One trace through a real Envoy: its server span, its call to the service, and the service's own span."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Final

import pytest

from cors_authz.demo.envoy_process import EnvoyProcess
from cors_authz.demo.receiver import ReceivedSpan, Receiver, Sink
from cors_authz.demo.tour import Call, send
from cors_authz.demo.upstream import Upstream
from cors_authz.edge.clock import new_decision_id, now_seconds, timer_seconds
from cors_authz.edge.observation import Observation
from cors_authz.edge.policy_store import ActivePolicy
from cors_authz.edge.service import CheckService, Watch
from cors_authz.edge.tokens import TokenReader
from cors_authz.edge.tracing.tracing import Tracing
from cors_authz.edge.transport.choose import open_transport
from cors_authz.edge.transport.health import Health
from cors_authz.edge.transport.interface import TransportOptions
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Options, bootstrap
from cors_authz.envoy.encode import Encoder
from cors_authz.pdp.response import ID_HEADER
from tests.deciding import compiled
from tests.serving import until

ANY_PORT: Final = Address("127.0.0.1", 0)
CHECK: Final = "envoy.service.auth.v3.Authorization/Check"
WEB: Final = "https://web.example"
CLIENTS_TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENTS_SPAN: Final = "00f067aa0ba902b7"
TRACEPARENT: Final = {"traceparent": f"00-{CLIENTS_TRACE}-{CLIENTS_SPAN}-01"}
POLICY: Final = """
originGroups:
  web: {origins: ["https://web.example"], trust: high}
resourceGroups:
  api:
    match: [{hosts: [api.example], paths: ["/v2/**"]}]
    allow: [{origins: [web], methods: [PUT]}]
"""


@dataclass(eq=False, slots=True)
class Collected:
    """The spans that Envoy and the service sent."""

    spans: list[ReceivedSpan] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def take(self, spans: list[ReceivedSpan]) -> None:
        """Keep a batch."""
        with self.lock:
            self.spans += spans

    def of_decision(self, decision_id: str) -> ReceivedSpan:
        """Wait for the service's span of a decision."""
        return self._one(lambda span: span.attributes.get("cors_authz.decision.id") == decision_id)

    def span(self, span_id: str) -> ReceivedSpan:
        """Wait for a span."""
        return self._one(lambda span: span.span_id == span_id)

    def _one(self, is_it: Callable[[ReceivedSpan], bool]) -> ReceivedSpan:
        def found() -> list[ReceivedSpan]:
            with self.lock:
                return [span for span in self.spans if is_it(span)]

        until(lambda: bool(found()))
        (span,) = found()
        return span


@dataclass(frozen=True, slots=True)
class Traced:
    """An Envoy with a tracer, one without, and what they and the service sent."""

    with_tracer: Address
    without_tracer: Address
    collected: Collected


@pytest.fixture(scope="module")
def traced(envoy_binary: Path) -> Iterator[Traced]:
    collected = Collected()
    with ExitStack() as running:
        receiver = running.enter_context(Receiver(ANY_PORT, Sink(collected.take, lambda _records: None)))
        upstream = running.enter_context(Upstream())
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{receiver.address}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        tracing = Tracing.from_environment(environ, None, new_decision_id)
        assert tracing is not None
        tracing.start()
        running.callback(tracing.stop)
        authz = _serve(tracing, running)

        def start(tracer: Address | None) -> Address:
            config = bootstrap(ANY_PORT, [authz], upstream.address, ANY_PORT, Options(tracing=tracer))
            # Envoy keeps spans back for five seconds otherwise.
            layer = {"name": "test", "static_layer": {"tracing.opentelemetry.flush_interval_ms": 50}}
            config["layered_runtime"] = {"layers": [layer]}
            return running.enter_context(EnvoyProcess(envoy_binary, config)).address

        yield Traced(start(receiver.address), start(None), collected)


def _serve(tracing: Tracing, running: ExitStack) -> Address:
    policy = compiled(POLICY)
    active = ActivePolicy(policy, Encoder(policy), TokenReader({}, {}))

    def observe(seen: Observation) -> None:
        tracing.span_of(seen)

    watch = Watch(tracing.parent_of, observe)
    service = CheckService(lambda: active, now_seconds, timer_seconds, new_decision_id, watch)
    transport = open_transport(service.check, Health(), now_seconds, TransportOptions())
    address = transport.listen(str(ANY_PORT))
    running.callback(transport.drain, 0.0, 1.0, Event().wait)
    return Address.parse(address)


def _asked(envoy: Address, origin: str = WEB, headers: Mapping[str, str] | None = None) -> str:
    """Send a request, and give the id of its decision."""
    _, answer = send(envoy, Call("PUT", "api.example", "/v2/a?token=secret", {"origin": origin, **(headers or {})}))
    return answer[ID_HEADER]


def test_our_span_is_below_envoys_call_which_is_below_envoys_server_span(traced: Traced) -> None:
    ours = traced.collected.of_decision(_asked(traced.with_tracer))
    call = traced.collected.span(ours.parent_id)
    server = traced.collected.span(call.parent_id)
    assert [(span.service, span.kind, span.trace_id) for span in (server, call, ours)] == [
        ("envoy", "server", ours.trace_id),
        ("envoy", "client", ours.trace_id),
        ("cors-authz", "server", ours.trace_id),
    ]
    assert (server.parent_id, ours.name) == ("", CHECK)
    assert server.start <= call.start <= ours.start
    assert ours.end <= call.end <= server.end


def test_a_refusal_has_the_same_trace(traced: Traced) -> None:
    ours = traced.collected.of_decision(_asked(traced.with_tracer, "https://evil.example"))
    server = traced.collected.span(traced.collected.span(ours.parent_id).parent_id)
    assert (ours.attributes["cors_authz.decision.reason"], ours.is_error) == ("origin_not_allowed", False)
    assert server.attributes["http.status_code"] == "403"
    assert ("cors_authz.check", {"cors_authz.check": "allow rule", "cors_authz.verdict": "objects"}) in ours.events


def test_no_span_of_ours_or_of_envoys_says_the_query(traced: Traced) -> None:
    ours = traced.collected.of_decision(_asked(traced.with_tracer))
    server = traced.collected.span(traced.collected.span(ours.parent_id).parent_id)
    trace = [span for span in traced.collected.spans if span.trace_id == ours.trace_id]
    assert server in trace
    assert not [span for span in trace if "secret" in str(span)]


def test_a_clients_header_reaches_us_by_envoys_span_alone(traced: Traced) -> None:
    ours = traced.collected.of_decision(_asked(traced.with_tracer, headers=TRACEPARENT))
    call = traced.collected.span(ours.parent_id)
    server = traced.collected.span(call.parent_id)
    assert (ours.trace_id, server.parent_id) == (CLIENTS_TRACE, CLIENTS_SPAN)
    assert CLIENTS_SPAN not in {ours.parent_id, call.parent_id}


def test_without_envoys_tracer_a_clients_header_is_no_parent(traced: Traced) -> None:
    decision_id = _asked(traced.without_tracer, headers=TRACEPARENT)
    ours = traced.collected.of_decision(decision_id)
    assert (ours.trace_id, ours.parent_id) == (decision_id, "")
