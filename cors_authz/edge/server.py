"""The gRPC server: Envoy's check and gRPC's health, as functions from bytes to bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore, Condition
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.message import DecodeError

from cors_authz._gen.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse

CHECK_METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"
HEALTH_CHECK_METHOD: Final = "/grpc.health.v1.Health/Check"
HEALTH_WATCH_METHOD: Final = "/grpc.health.v1.Health/Watch"

SERVICE: Final = ""
"""The health of the service as a whole: what Envoy's health checks ask for."""
POLICY: Final = "cors_authz.policy"
"""Whether the newest version of the policy is the one in force. Apart from the service, which serves the last good one
on: a mistake in a policy must not take every replica out of the mesh at once."""

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
_MAX_CONCURRENT: Final = 1000
"""What is asked beyond this is answered RESOURCE_EXHAUSTED at once, and Envoy retries elsewhere."""
_MAX_WATCHERS: Final = 8
_WATCH_POLL_SECONDS: Final = 5.0

_Status = HealthCheckResponse.ServingStatus


class ServerError(Exception):
    """The server cannot listen; the message says where and what to do."""


class Health:
    """What gRPC's health protocol says of the service and of its policy. Safe to use from many threads."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._serving = {SERVICE: False, POLICY: False}

    def say(self, name: str, *, serving: bool) -> None:
        """Say whether something is serving."""
        with self._changed:
            self._serving[name] = serving
            self._changed.notify_all()

    def status(self, name: str) -> _Status:
        """Read what is said of a name."""
        if name not in self._serving:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.SERVING if self._serving[name] else HealthCheckResponse.NOT_SERVING

    def changes(self, name: str, is_listening: Callable[[], bool]) -> Iterator[_Status]:
        """Give the status now and whenever it changes, for as long as someone listens."""
        status = self.status(name)
        yield status
        while is_listening():
            known = status
            status = self._changed_from(known, name)
            if status != known:
                yield status

    def _changed_from(self, known: _Status, name: str) -> _Status:
        with self._changed:
            self._changed.wait_for(lambda: self.status(name) != known, _WATCH_POLL_SECONDS)
            return self.status(name)


class Server:
    """A `grpc.server` whose handlers see raw bytes.

    Args:
        check: answers a serialized CheckRequest; must not raise.
        health: what to say of our health.
        threads: how many checks are answered at once.
    """

    def __init__(self, check: Callable[[bytes], bytes], health: Health, threads: int) -> None:
        self._health = health
        self._server = grpc.server(
            # Each watcher of our health holds a thread; it must not be one that checks need.
            ThreadPoolExecutor(threads + _MAX_WATCHERS, thread_name_prefix="check"),
            options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)],
            maximum_concurrent_rpcs=_MAX_CONCURRENT,
        )
        self._server.add_generic_rpc_handlers((_Handlers(check, health),))

    def listen(self, address: str) -> str:
        """Bind to `host:port` or `unix:/path` and start; port 0 picks a free one.

        Returns: the address that it listens on.
        Raises: ServerError.
        """
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise ServerError(f"cannot listen on `{address}`: in use, or not ours to open; choose another") from error
        self._server.start()
        self._health.say(SERVICE, serving=True)
        return address if address.startswith("unix:") else f"{address.rpartition(':')[0]}:{port}"

    def drain(self, notice_seconds: float, grace_seconds: float, wait: Callable[[float], object]) -> None:
        """Leave the mesh without a failed request: say so, let Envoy notice, then finish what is under way."""
        self._health.say(SERVICE, serving=False)
        wait(notice_seconds)
        self._server.stop(grace_seconds).wait()


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, check: Callable[[bytes], bytes], health: Health) -> None:
        self._health = health
        self._watchers = BoundedSemaphore(_MAX_WATCHERS)
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            CHECK_METHOD: grpc.unary_unary_rpc_method_handler(lambda raw, _context: check(raw)),
            HEALTH_CHECK_METHOD: grpc.unary_unary_rpc_method_handler(self._check_health),
            HEALTH_WATCH_METHOD: grpc.unary_stream_rpc_method_handler(self._watch_health),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Find the handler of a method; None is answered UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)

    def _check_health(self, raw: bytes, context: grpc.ServicerContext) -> bytes:
        status = self._health.status(_service_asked(raw, context))
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            _refuse(context, grpc.StatusCode.NOT_FOUND, "no such service")
        return HealthCheckResponse(status=status).SerializeToString()

    def _watch_health(self, raw: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        name = _service_asked(raw, context)
        if not self._watchers.acquire(blocking=False):
            _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many watch our health; ask Check instead")
        try:
            for status in self._health.changes(name, context.is_active):
                yield HealthCheckResponse(status=status).SerializeToString()
        finally:
            self._watchers.release()


def _service_asked(raw: bytes, context: grpc.ServicerContext) -> str:
    try:
        return HealthCheckRequest.FromString(raw).service
    except DecodeError:
        _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "not a HealthCheckRequest")


def _refuse(context: grpc.ServicerContext, code: grpc.StatusCode, details: str) -> NoReturn:
    context.abort(code, details)
    raise AssertionError("abort raises")
