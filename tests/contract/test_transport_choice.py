"""Which transport serves, and what the log says of it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import grpc
import pytest

from cors_authz.edge.clock import now_seconds
from cors_authz.edge.transport.choose import TrialError, open_transport, try_out
from cors_authz.edge.transport.completion_queue import CompletionQueueTransport
from cors_authz.edge.transport.experiments import experiments
from cors_authz.edge.transport.health import Health
from cors_authz.edge.transport.interface import CHECK_METHOD, Check, TransportChoice, TransportOptions
from cors_authz.edge.transport.sync import GrpcServerTransport
from tests.contract.transports import MAKERS, backwards

FALLBACK = (
    "transport: the completion-queue loop does not work with grpcio {} ({}); serving with grpc.server, at about"
    " twice the CPU per check"
)
LOOP = "cors_authz.edge.transport.completion_queue"


class Wrong(GrpcServerTransport):
    """Answers each check with the same bytes."""

    def __init__(self, check: Check, health: Health, clock: Callable[[], float], options: TransportOptions) -> None:
        del check
        super().__init__(lambda _raw, _metadata: b"allowed", health, clock, options)


class Deaf(GrpcServerTransport):
    """Refuses each check."""

    def __init__(self, check: Check, health: Health, clock: Callable[[], float], options: TransportOptions) -> None:
        del check
        super().__init__(lambda _raw, _metadata: b"", health, clock, options)


def opened(choice: TransportChoice) -> type:
    return type(open_transport(backwards, Health(), now_seconds, TransportOptions(choice=choice)))


@pytest.mark.parametrize("name", MAKERS)
def test_both_transports_pass_the_trial(name: str) -> None:
    try_out(MAKERS[name], now_seconds)


def test_a_wrong_answer_fails_the_trial() -> None:
    with pytest.raises(TrialError, match=rf"^{CHECK_METHOD} was answered b'allowed' where b'\\xffcba\\x00' is right$"):
        try_out(Wrong, now_seconds)


def test_a_refusal_fails_the_trial() -> None:
    with pytest.raises(TrialError, match=rf"(?s)^{CHECK_METHOD} ended with .*INTERNAL"):
        try_out(Deaf, now_seconds)


def test_the_loop_serves_where_it_works(caplog: pytest.LogCaptureFixture) -> None:
    assert opened(TransportChoice.AUTO) is CompletionQueueTransport
    assert caplog.records == []


def test_where_the_loop_cannot_be_had_grpc_server_serves_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, LOOP, None)
    assert opened(TransportChoice.AUTO) is GrpcServerTransport
    reason = f"import of {LOOP} halted; None in sys.modules"
    assert [record.getMessage() for record in caplog.records] == [
        FALLBACK.format(grpc.__version__, reason),
    ]


def test_where_the_loop_answers_wrongly_grpc_server_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys.modules[LOOP], "CompletionQueueTransport", Wrong)
    assert opened(TransportChoice.AUTO) is GrpcServerTransport
    assert "was answered b'allowed'" in caplog.text


def test_a_transport_that_is_named_is_made() -> None:
    assert opened(TransportChoice.GRPC_SERVER) is GrpcServerTransport
    assert opened(TransportChoice.COMPLETION_QUEUE) is CompletionQueueTransport


def test_a_loop_that_is_named_and_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, LOOP, None)
    with pytest.raises(ImportError):
        opened(TransportChoice.COMPLETION_QUEUE)


@pytest.mark.parametrize(
    ("cores", "environment", "expected"),
    [
        (1, {}, {"GRPC_EXPERIMENTS": "-event_engine_listener"}),
        (2, {}, {}),
        (1, {"GRPC_EXPERIMENTS": "tcp_rcv_lowat"}, {}),
        (1, {"GRPC_EXPERIMENTS": ""}, {}),
    ],
    ids=["one core", "two cores", "an operator's own", "an operator's none"],
)
def test_core_runs_without_threads_of_its_own_on_one_core_unless_an_operator_said_otherwise(
    cores: int, environment: dict[str, str], expected: dict[str, str]
) -> None:
    assert experiments(cores, environment) == expected
