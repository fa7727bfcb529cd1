"""An OTLP collector that takes whatever it is sent. Started as `python -m tests.bench.collector ADDRESS`."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import grpc

_THREADS = 2


class _TakeAll(grpc.GenericRpcHandler):
    def service(self, _call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        # An empty message is the answer of all its services: all was taken.
        return grpc.unary_unary_rpc_method_handler(lambda _raw, _context: b"")


def main(address: str) -> None:
    """Serve until SIGTERM."""
    ended = Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: ended.set())
    server = grpc.server(ThreadPoolExecutor(_THREADS), handlers=[_TakeAll()])
    server.add_insecure_port(address)
    server.start()
    ended.wait()
    server.stop(None).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
