"""A Python server that decides nothing: the same bytes for every check. Started as `python -m tests.bench.floor`."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import grpc

from cors_authz.edge.clock import now_seconds
from cors_authz.edge.transport.completion_queue import CompletionQueueTransport
from cors_authz.edge.transport.health import Health
from cors_authz.edge.transport.interface import CHECK_METHOD, TransportOptions

_THREADS = 2


def main(transport: str, address: str, answer_file: str) -> None:
    """Serve until SIGTERM."""
    answer = Path(answer_file).read_bytes()
    ended = Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: ended.set())
    if transport == "completion-queue":
        _serve_from_queue(address, answer, ended)
    else:
        _serve_from_threads(address, answer, ended)


def _serve_from_queue(address: str, answer: bytes, ended: Event) -> None:
    # The product's own loop, so that what is above this floor is deciding and recording, and nothing else.
    queue = CompletionQueueTransport(lambda _raw, _metadata: answer, Health(), now_seconds, TransportOptions())
    queue.listen(address)
    ended.wait()
    queue.drain(0, 0, lambda _seconds: None)


def _serve_from_threads(address: str, answer: bytes, ended: Event) -> None:
    class Handlers(grpc.GenericRpcHandler):
        def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
            return handler if call.method == CHECK_METHOD else None

    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(lambda _raw, _context: answer)
    server = grpc.server(ThreadPoolExecutor(_THREADS), handlers=[Handlers()])
    server.add_insecure_port(address)
    server.start()
    ended.wait()
    server.stop(None).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
