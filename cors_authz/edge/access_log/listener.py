"""A gRPC server for Envoy's access log and for gRPC's health."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any, Final

import grpc

from cors_authz.edge.access_log.figures import Figures
from cors_authz.edge.access_log.inbox import Inbox
from cors_authz.edge.access_log.options import AccessLogOptions
from cors_authz.edge.access_log.streams import Streams
from cors_authz.edge.transport.address import bound, claim, in_use
from cors_authz.edge.transport.health import SERVICE, Health, serialized, service_asked
from cors_authz.edge.transport.interface import (
    HEALTH_CHECK_METHOD,
    NO_HEALTH_REQUEST,
    NO_SUCH_SERVICE,
    Bounds,
    core_arguments,
)
from cors_authz.edge.transport.tls import server_credentials

STREAM_METHOD: Final = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"

_OTHER_CALLS: Final = 64
"""Health checks, and streams that are told that there is no room: each of them has a thread for a moment."""


class Listener:
    """Listens for the access logs of Envoys.

    Args:
        inbox: takes their entries.
        figures: counts.
        clock: gives seconds that never go back.
        options: how to run.

    Raises: TransportError for a certificate that cannot be read.
    """

    def __init__(self, inbox: Inbox, figures: Figures, clock: Callable[[], float], options: AccessLogOptions) -> None:
        bounds = options.bounds
        self._options, self._health, self._ended = options, Health(), Event()
        self._streams = Streams(inbox, figures, clock, bounds)
        self._credentials = server_credentials(options.tls) if options.tls else None
        calls = bounds.streams + _OTHER_CALLS
        self._server = grpc.server(
            ThreadPoolExecutor(calls, thread_name_prefix="stream"),
            options=core_arguments(Bounds(message_bytes=bounds.message_bytes, concurrent=calls)),
            maximum_concurrent_rpcs=calls,
        )
        self._server.add_generic_rpc_handlers((_Handlers(self._streams, self._health),))

    def listen(self) -> str:
        """Listen, and return the address with the port that the system chose.

        Raises: TransportError.
        """
        address = self._options.listen
        claim(address)
        try:
            port = self._add_port(address)
        except RuntimeError as error:
            raise in_use(address) from error
        self._server.start()
        Thread(target=self._streams.sweep_until, args=(self._ended,), name="sweep", daemon=True).start()
        self._health.say(SERVICE, serving=True)
        return bound(address, port)

    def drain(self) -> None:
        """Let nobody new in, take what still comes within the grace, and end every stream."""
        self._server.stop(self._options.grace_seconds).wait()
        self._ended.set()

    def _add_port(self, address: str) -> int:
        if self._credentials is None:
            return self._server.add_insecure_port(address)
        return self._server.add_secure_port(address, self._credentials)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, streams: Streams, health: Health) -> None:
        self._streams, self._health = streams, health
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            STREAM_METHOD: grpc.stream_unary_rpc_method_handler(streams.take),
            # A stream of requests, of which one is taken: a call with none would hold its thread for good.
            HEALTH_CHECK_METHOD: grpc.stream_unary_rpc_method_handler(self._answer_health),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Find the handler of a method; None is answered UNIMPLEMENTED."""
        return self._handlers.get(handler_call_details.method)

    def _answer_health(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        name = service_asked(self._streams.only_message(messages, context))
        if name is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, NO_HEALTH_REQUEST)
        if name != SERVICE:
            context.abort(grpc.StatusCode.NOT_FOUND, NO_SUCH_SERVICE)
        return serialized(self._health.status(SERVICE))
