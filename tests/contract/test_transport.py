"""What every transport must do, asked over a real connection; also run with the oldest and the newest grpcio."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import grpc
import pytest

from cors_authz._gen.wire.health_pb2 import HealthCheckResponse
from cors_authz.edge.transport.choose import Maker
from cors_authz.edge.transport.health import POLICY, Health
from cors_authz.edge.transport.interface import (
    CHECK_METHOD,
    HEALTH_CHECK_METHOD,
    HEALTH_WATCH_METHOD,
    LEAVING,
    NO_HEALTH_REQUEST,
    NO_MESSAGE,
    NO_SUCH_SERVICE,
    NOT_DECIDED,
    TOO_MANY_WATCHERS,
    Bounds,
    Metadata,
    TransportOptions,
)
from tests.contract.transports import NOT_SERVING, SERVING, TIMEOUT, Ended, Running, serve, until

Watch: TypeAlias = Any  # the stubs know of no call that is both an iterator and a call

MESSAGE_BYTES = Bounds().message_bytes


def watch(running: Running, message: bytes = b"") -> Watch:
    stream: grpc.UnaryStreamMultiCallable[bytes, bytes] = running.channel.unary_stream(HEALTH_WATCH_METHOD)
    return stream(message, timeout=TIMEOUT)


def next_status(watched: Watch) -> HealthCheckResponse.ServingStatus:
    return HealthCheckResponse.FromString(next(watched)).status


def end_of(watched: Watch) -> Ended:
    with pytest.raises(grpc.RpcError):
        next(watched)
    return Ended(watched.code(), watched.details())


def test_a_check_gets_the_bytes_of_its_answer(running: Running) -> None:
    assert running.check(b"\x00abc\xff") == b"\xffcba\x00"


def test_checks_that_run_at_once_get_their_own_answers(running: Running) -> None:
    messages = [str(number).encode() for number in range(500)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(running.check, messages))
    assert answers == [message[::-1] for message in messages]


def test_a_check_sees_the_metadata_of_its_call(make: Maker, address: str) -> None:
    def check(_raw: bytes, metadata: Metadata) -> bytes:
        return repr([value for key, value in metadata if key in {"x-request-id", "x-bin"}]).encode()

    with serve(make, address, check) as running:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = running.channel.unary_unary(CHECK_METHOD)
        assert call(b"", timeout=TIMEOUT, metadata=(("x-request-id", "7"),)) == b"['7']"


@pytest.mark.parametrize(
    "method", ["/envoy.service.auth.v3.Authorization/Other", "/envoy.service.auth.v2.Authorization/Check", "/x/y", "/"]
)
def test_another_method_is_unimplemented(running: Running, method: str) -> None:
    ended = running.call(method, b"x")
    assert isinstance(ended, Ended)
    assert ended.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("method", [CHECK_METHOD, HEALTH_CHECK_METHOD])
def test_a_call_of_no_message_is_refused(running: Running, method: str) -> None:
    assert running.call(method) == Ended(grpc.StatusCode.UNIMPLEMENTED, NO_MESSAGE)
    assert running.check(b"ab") == b"ba"


@pytest.mark.parametrize("messages", [(b"ab", b"cd"), (b"ab", b""), (b"a", b"b", b"c")], ids=repr)
def test_of_several_messages_the_first_is_answered_and_no_other_is_seen(
    make: Maker, address: str, messages: tuple[bytes, ...]
) -> None:
    seen: list[bytes] = []

    def check(raw: bytes, _metadata: Metadata) -> bytes:
        seen.append(raw)
        return raw[::-1]

    with serve(make, address, check) as running:
        assert running.call(CHECK_METHOD, *messages) == messages[0][::-1]
        assert running.check(b"xy") == b"yx"
    assert seen == [messages[0], b"xy"]


def test_a_message_above_the_bound_is_refused_and_the_next_one_is_answered(running: Running) -> None:
    ended = running.check(bytes(MESSAGE_BYTES + 1))
    assert isinstance(ended, Ended)
    assert ended.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert running.check(b"ab") == b"ba"


def test_a_message_at_the_bound_is_answered(running: Running) -> None:
    assert running.check(bytes(MESSAGE_BYTES)) == bytes(MESSAGE_BYTES)


def test_a_check_that_raises_is_an_internal_error_and_the_next_one_is_answered(
    make: Maker, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    def check(raw: bytes, _metadata: Metadata) -> bytes:
        return {b"ab": b"ba"}[raw]

    with serve(make, address, check) as running:
        assert running.check(b"other") == Ended(grpc.StatusCode.INTERNAL, NOT_DECIDED)
        assert running.check(b"ab") == b"ba"
    assert [record.getMessage() for record in caplog.records] == ["a check failed"]


@pytest.mark.parametrize("nothing", [b"", None, "text", 7], ids=repr)
def test_no_answer_is_never_sent_as_an_empty_one(
    make: Maker, address: str, nothing: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(make, address, lambda _raw, _metadata: nothing) as running:
        assert running.check(b"x") == Ended(grpc.StatusCode.INTERNAL, NOT_DECIDED)
    assert [record.getMessage() for record in caplog.records] == ["a check gave no answer"]


def test_the_service_says_that_it_serves(running: Running) -> None:
    assert running.status_of("") == SERVING


def test_the_policy_has_a_health_of_its_own(running: Running) -> None:
    running.health.say(POLICY, serving=False)
    assert (running.status_of(""), running.status_of(POLICY)) == (SERVING, NOT_SERVING)


def test_the_health_of_an_unknown_service_is_not_found(running: Running) -> None:
    assert running.status_of("someone.else") == Ended(grpc.StatusCode.NOT_FOUND, NO_SUCH_SERVICE)


def test_garbage_for_health_is_an_invalid_argument(running: Running) -> None:
    refused = Ended(grpc.StatusCode.INVALID_ARGUMENT, NO_HEALTH_REQUEST)
    assert running.call(HEALTH_CHECK_METHOD, b"\xff\xff") == refused
    assert end_of(watch(running, b"\xff\xff")) == refused


def test_a_watcher_is_told_each_change_once(running: Running) -> None:
    watched = watch(running)
    assert next_status(watched) == SERVING
    running.health.say("", serving=True)
    running.health.say("", serving=False)
    assert next_status(watched) == NOT_SERVING
    running.health.say("", serving=True)
    assert next_status(watched) == SERVING
    watched.cancel()


def test_a_watcher_of_an_unknown_service_waits_for_it(running: Running) -> None:
    watched = watch(running, b"\x0a\x05later")
    assert next_status(watched) == HealthCheckResponse.SERVICE_UNKNOWN
    running.health.say("later", serving=True)
    assert next_status(watched) == SERVING
    watched.cancel()


def test_too_many_watchers_are_refused_and_starve_no_check(running: Running) -> None:
    watched = [watch(running) for _ in range(Bounds().watchers)]
    assert {next_status(one) for one in watched} == {SERVING}
    assert end_of(watch(running)) == Ended(grpc.StatusCode.RESOURCE_EXHAUSTED, TOO_MANY_WATCHERS)
    assert running.check(b"ab") == b"ba"
    for one in watched:
        one.cancel()


def test_a_watcher_that_leaves_makes_room_for_the_next(make: Maker, address: str) -> None:
    with serve(make, address, options=TransportOptions(bounds=Bounds(watchers=1))) as running:
        first = watch(running)
        next_status(first)
        first.cancel()

        def is_taken() -> bool:
            second = watch(running)
            try:
                return next_status(second) == SERVING
            except grpc.RpcError:
                return False
            finally:
                second.cancel()

        # The fallback notices a watcher that left when it next has something to tell.
        running.health.say("someone", serving=True)
        assert until(is_taken)


def test_watchers_are_told_that_the_instance_leaves(make: Maker, address: str) -> None:
    with serve(make, address) as running:
        watched = watch(running)
        assert next_status(watched) == SERVING
        running.transport.drain(0.5, TIMEOUT, time.sleep)
        assert next_status(watched) == NOT_SERVING
        assert end_of(watched) == Ended(grpc.StatusCode.UNAVAILABLE, LEAVING)


def test_health_begins_as_not_serving() -> None:
    health = Health()
    assert (health.status(""), health.status(POLICY)) == (NOT_SERVING, NOT_SERVING)
