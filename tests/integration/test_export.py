"""What `export envoy` prints, in a real Envoy before a real service: whole, over TLS, by name, and pasted in parts."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml
from click.testing import CliRunner

from cors_authz._gen.wire.external_auth_pb2 import CheckResponse, Status
from cors_authz.cli.main import cli
from cors_authz.demo.envoy_process import EnvoyProcess
from cors_authz.demo.identity import Issuer
from cors_authz.demo.stage import ENVIRONMENT, write_policy
from cors_authz.demo.upstream import Upstream
from cors_authz.edge.clock import monotonic_seconds, now_seconds
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Config
from cors_authz.envoy.parts import Part
from tests.contract.test_transport_tls import AUTHORITY, CALLER, SERVER
from tests.integration.conftest import Answer, Mesh, MeshFactory, Service
from tests.serving import POLICY_TEXT, command, started, until

ALLOW: Final = CheckResponse(status=Status(code=0)).SerializeToString()
# Five times the usual: a busy machine stalls a check for longer than a try has.
LOOPBACK: Final = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--timeout-ms", "2500")


def exported(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["export", "envoy", *arguments], catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


# --- What Envoy says of it --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with who signs, the service's certificate and Envoy's."""
    folder = tmp_path_factory.mktemp("pem")
    for name, identity in (("ca", AUTHORITY), ("server", SERVER), ("client", CALLER)):
        (folder / f"{name}.pem").write_bytes(identity.pem())
        (folder / f"{name}.key").write_bytes(identity.key_pem())
    return folder


def mutual_tls(pem: Path) -> tuple[str, ...]:
    shown = ("--authz-cert", str(pem / "client.pem"), "--authz-key", str(pem / "client.key"))
    return ("--authz-ca", str(pem / "ca.pem"), "--authz-name", "authz", *shown)


WHOLES: Final[Mapping[str, tuple[str, ...]]] = {
    "as it is": (),
    "several workers, which Envoy tells what clients got": (
        *("--authz", "127.0.0.1:9191", "--authz", "127.0.0.1:9192", "--access-log", "127.0.0.1:9193"),
    ),
    "names": (
        "--authz",
        "authz.shop.svc.cluster.local:9191",
        "--upstream",
        "localhost:80",
        "--access-log",
        "logs:9192",
    ),
    "a name and an address": ("--authz", "authz:9191", "--authz", "[::1]:9191"),
    "Unix sockets": ("--authz", "unix:/run/a.sock", "--upstream", "unix:/run/up.sock", "--listen", "unix:/run/in.sock"),
    "a socket and an address": ("--authz", "unix:/run/a.sock", "--authz", "127.0.0.1:9191"),
    "the longest path of a socket": ("--authz", "unix:/" + "a" * 106),
    "the shortest time of a check": ("--timeout-ms", "50"),
    "the longest time of a check": ("--timeout-ms", "60000"),
    "an IPv6 listener": ("--listen", "[::]:8080", "--admin", "[::1]:9901"),
    "a policy in shadow": ("--shadow",),
}


def validate(envoy: Path, file: Path) -> tuple[int, list[str]]:
    """Have Envoy read a file; give its exit code and its warnings, those of deprecated settings among them."""
    run = subprocess.run(
        [envoy, "--mode", "validate", "--config-path", file, "--log-level", "warning"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return run.returncode, re.findall(r"^\[.*\[(?:warning|error|critical)\].*$", run.stderr + run.stdout, re.MULTILINE)


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize("sentence", WHOLES)
def test_envoy_takes_what_is_printed(sentence: str, form: str, envoy_binary: Path, tmp_path: Path) -> None:
    file = tmp_path / f"envoy.{form}"
    file.write_text(exported("--upstream", "127.0.0.1:80", *WHOLES[sentence], "--format", form))

    assert validate(envoy_binary, file) == (0, [])


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_envoy_takes_what_is_printed_with_tls(form: str, envoy_binary: Path, pem: Path, tmp_path: Path) -> None:
    for name in (("--authz-name", "authz"), ("--authz-name", "10.0.0.1"), ()):
        file = tmp_path / f"envoy.{form}"
        file.write_text(exported("--upstream", "127.0.0.1:80", *mutual_tls(pem), *name, "--format", form))

        assert validate(envoy_binary, file) == (0, [])


# --- A mesh of the command line's own ---------------------------------------------------------------------------------


class Stage(NamedTuple):
    """A policy with its issuer, the service that decides by it, and an upstream that grants everything to everybody."""

    issuer: Issuer
    policy: Path
    upstream: Upstream

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[tuple[Address, subprocess.Popen[bytes]]]:
        """Run the service as a process."""
        log = self.policy.with_name("log")
        options = ("--policy", str(self.policy), "--environment", ENVIRONMENT, "--drain-seconds", "0", *arguments)
        with started(command("serve", *options), log, r"decides on (\S+) as") as (process, said):
            yield Address.parse(said[1]), process


OWN_CORS: Final = (("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true"))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage for the module's tests."""
    issuer = Issuer(now_seconds)
    policy = write_policy(tmp_path_factory.mktemp("stage"), issuer)
    places = ("/v2/products", "/v2/orders", "/live")
    with Upstream(extra_headers=dict.fromkeys(places, OWN_CORS)) as upstream:
        yield Stage(issuer, policy, upstream)


class Probe(NamedTuple):
    """A request, and what the client gets: the status, and to whom the answer is granted."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    status: int
    granted: str = ""


SHOP: Final = ("origin", "http://shop.localhost:10000")
EVIL: Final = ("origin", "https://evil.example")
PUT: Final = ("access-control-request-method", "PUT")
SOCKET: Final = (
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
)

PROBES: Final[Mapping[str, Probe]] = {
    "no Origin": Probe("GET", "/v2/products", (), 200),
    "a listed origin reads": Probe("GET", "/v2/products", (SHOP,), 200, SHOP[1]),
    "a listed origin writes": Probe("POST", "/v2/products", (SHOP, ("content-type", "application/json")), 200, SHOP[1]),
    "a foreign origin's read shows it nothing": Probe("GET", "/v2/products", (EVIL,), 200),
    "a foreign origin's read of what is confidential": Probe("GET", "/v2/orders", (EVIL,), 403),
    "a foreign origin's write": Probe("POST", "/v2/products", (EVIL,), 403),
    "a preflight of a listed origin": Probe("OPTIONS", "/v2/products", (SHOP, PUT), 204, SHOP[1]),
    "a preflight of a foreign origin": Probe("OPTIONS", "/v2/products", (EVIL, PUT), 403),
    "no token": Probe("GET", "/v2/orders", (SHOP,), 401, SHOP[1]),
    "a role that is missing": Probe("GET", "/v2/orders", (SHOP, ("authorization", "visitor")), 403, SHOP[1]),
    "the role": Probe("GET", "/v2/orders", (SHOP, ("authorization", "clerk")), 200, SHOP[1]),
    "a WebSocket of a listed origin": Probe("GET", "/live", (SHOP, *SOCKET), 101, SHOP[1]),
    "a WebSocket of a foreign origin": Probe("GET", "/live", (EVIL, *SOCKET), 403),
    "a path that goes up is the one that the upstream gets": Probe("GET", "/v2/x/../orders", (EVIL,), 403),
    "an encoded slash is refused with a reason": Probe("GET", "/v2/products%2F..%2Forders", (), 400),
}


def said(stage: Stage, mesh: Mesh, probe: Probe) -> Answer:
    roles = {"visitor": "", "clerk": "clerk"}
    headers = [
        (name, f"Bearer {stage.issuer.token(roles[value])}" if name == "authorization" else value)
        for name, value in probe.headers
    ]
    return mesh.request(probe.method, probe.path, host="api.localhost", headers=headers)


def answered(stage: Stage, mesh: Mesh) -> dict[str, tuple[int, list[str]]]:
    answers = {sentence: said(stage, mesh, probe) for sentence, probe in PROBES.items()}
    origin = "access-control-allow-origin"
    return {sentence: (answer.status, answer.all(origin)) for sentence, answer in answers.items()}


EXPECTED: Final = {
    sentence: (probe.status, [probe.granted] if probe.granted else []) for sentence, probe in PROBES.items()
}


@contextmanager
def running(envoy: Path, config: Mapping[str, Any], upstream: Upstream) -> Iterator[Mesh]:
    with EnvoyProcess(envoy, config) as process:
        yield Mesh(Service(lambda _: b""), upstream, process, process.address)


class Way(NamedTuple):
    """How the service listens, and how Envoy is told of it; `{pem}`, `{folder}` and `{port}` are filled in."""

    serve: Sequence[str]
    export: Sequence[str]


WAYS: Final[Mapping[str, Way]] = {
    "in the clear, at an address": Way(["--listen", "127.0.0.1:0"], ["--authz", "127.0.0.1:{port}"]),
    "by a name that has an IPv6 address too, where nobody listens": Way(
        ["--listen", "127.0.0.1:0"], ["--authz", "localhost:{port}"]
    ),
    "at a Unix socket": Way(["--listen", "unix:{folder}/authz.sock"], ["--authz", "unix:{folder}/authz.sock"]),
    "by TLS on both sides": Way(
        [
            *("--listen", "127.0.0.1:0", "--tls-cert", "{pem}/server.pem", "--tls-key", "{pem}/server.key"),
            *("--tls-client-ca", "{pem}/ca.pem"),
        ],
        [
            *("--authz", "localhost:{port}", "--authz-ca", "{pem}/ca.pem", "--authz-name", "authz"),
            *("--authz-cert", "{pem}/client.pem", "--authz-key", "{pem}/client.key"),
        ],
    ),
}


def filled(words: Sequence[str], **names: object) -> list[str]:
    return [word.format(**names) for word in words]


@pytest.mark.parametrize("sentence", WAYS)
def test_a_whole_envoy_decides_and_fails_closed(sentence: str, stage: Stage, envoy_binary: Path, pem: Path) -> None:
    way, folder = WAYS[sentence], stage.policy.parent
    with stage.serving(*filled(way.serve, pem=pem, folder=folder)) as (service, process), ExitStack() as open_:
        where = filled(way.export, pem=pem, folder=folder, port=service.port)
        text = exported(*LOOPBACK, "--upstream", str(stage.upstream.address), *where)
        mesh = open_.enter_context(running(envoy_binary, yaml.safe_load(text), stage.upstream))

        assert answered(stage, mesh) == EXPECTED

        process.terminate()
        process.wait()
        assert answered(stage, mesh) == dict.fromkeys(PROBES, (503, []))


STRANGERS: Final[Mapping[str, tuple[str, ...]]] = {
    "the service's certificate names somebody else": ("--authz-name", "other"),
    "Envoy shows no certificate": (),
}


@pytest.mark.parametrize("sentence", STRANGERS)
def test_a_connection_that_is_not_mutual_fails_closed(
    sentence: str, stage: Stage, envoy_binary: Path, pem: Path
) -> None:
    listening = filled(WAYS["by TLS on both sides"].serve, pem=pem)
    with stage.serving(*listening) as (service, _), ExitStack() as open_:
        shown = mutual_tls(pem) if STRANGERS[sentence] else ("--authz-ca", str(pem / "ca.pem"), "--authz-name", "authz")
        where = ("--authz", str(service), *shown, *STRANGERS[sentence])
        config = yaml.safe_load(exported(*LOOPBACK, "--upstream", str(stage.upstream.address), *where))
        mesh = open_.enter_context(running(envoy_binary, config, stage.upstream))

        assert said(stage, mesh, PROBES["no Origin"]).status == 503


# --- What clients would choose ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trusting(mesh: MeshFactory) -> Mesh:
    """A mesh whose clients Envoy trusts: it takes their `x-envoy-*` and their request ids as they come."""

    def trust(config: Config) -> None:
        manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        loopback = {"address_prefix": "127.0.0.0", "prefix_len": 8}
        manager["internal_address_config"] = {"cidr_ranges": [loopback]}

    return mesh(lambda _: b"", alter=trust)


WISHES: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "shorter tries": (("x-envoy-upstream-rq-per-try-timeout-ms", "1"),),
    "longer tries": (("x-envoy-upstream-rq-per-try-timeout-ms", "60000"), ("x-envoy-upstream-rq-timeout-ms", "60000")),
    "less time": (("x-envoy-upstream-rq-timeout-ms", "1"), ("x-envoy-expected-rq-timeout-ms", "1")),
    "less time, as gRPC says it": (("grpc-timeout", "1m"),),
    "no retries": (("x-envoy-max-retries", "0"),),
    "other retries": (
        *(("x-envoy-retry-on", "5xx"), ("x-envoy-retry-grpc-on", "deadline-exceeded"), ("x-envoy-max-retries", "20")),
        ("x-envoy-hedge-on-per-try-timeout", "true"),
    ),
}


@pytest.mark.parametrize("sentence", WISHES)
def test_no_client_chooses_how_long_or_how_often_a_check_is_tried(sentence: str, trusting: Mesh) -> None:
    def longer_than_a_try(_: bytes) -> bytes:
        # By far: where both are due when a stalled Envoy goes on, it takes the answer.
        time.sleep(0.3)
        return ALLOW

    trusting.service.check = longer_than_a_try
    trusting.service.requests.clear()
    began = monotonic_seconds()
    answer = trusting.request("GET", "/", headers=WISHES[sentence])
    took = monotonic_seconds() - began

    # Four tries of 0.1 s, and 0.5 s for all of them: a busy machine may come to fewer.
    assert (answer.status, len(trusting.service.requests) in {2, 3, 4}, 0.4 <= took < 2) == (503, True, True)


def test_an_endless_request_id_of_a_trusted_client_reaches_the_service_cut(trusting: Mesh) -> None:
    trusting.service.check = lambda _: ALLOW
    trusting.service.metadata.clear()

    answer = trusting.request("GET", "/", headers=[("x-request-id", "i" * 20_480)])

    assert (answer.status, [sent["x-request-id"] for sent in trusting.service.metadata]) == (200, ["i" * 128])


# --- A policy in shadow -----------------------------------------------------------------------------------------------

PARTNER: Final = ("origin", "https://partner.example")
SPOKEN: Final = (
    ("access-control-allow-origin", "https://partner.example"),
    ("access-control-allow-credentials", "true"),
    ("access-control-allow-methods", "GET, PUT"),
    ("access-control-allow-headers", "x-own"),
    ("access-control-expose-headers", "etag"),
    ("access-control-max-age", "7"),
    ("access-control-allow-private-network", "true"),
    ("vary", "Origin, Accept-Language"),
)
"""What an upstream says that does its own CORS: to a page of a partner, and to its preflight."""

REFUSED_VARY: Final = ("vary", "Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest")
READ_VARY: Final = ("vary", f"Origin, Accept-Language,{REFUSED_VARY[1]}")
PREFLIGHT_VARY: Final = ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")
GOT: Final[Mapping[str, tuple[str, Sequence[str], list[tuple[int, Sequence[tuple[str, str]]]]]]] = {
    "in shadow clients get what the upstream says": (
        "defaults: {mode: shadow}\n",
        ["--shadow"],
        [(200, SPOKEN), (200, SPOKEN), (200, SPOKEN)],
    ),
    "in force clients get what the policy says": (
        "",
        [],
        [(200, (READ_VARY,)), (403, (REFUSED_VARY,)), (403, (PREFLIGHT_VARY,))],
    ),
}


@pytest.mark.parametrize("sentence", GOT)
def test_who_speaks_to_the_page_of_a_partner(sentence: str, stage: Stage, envoy_binary: Path, tmp_path: Path) -> None:
    mode, flags, expected = GOT[sentence]
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY_TEXT + mode)
    with Upstream(extra_headers={"/own": SPOKEN}) as upstream, ExitStack() as open_:
        service, _ = open_.enter_context(stage._replace(policy=policy).serving("--listen", "127.0.0.1:0"))
        text = exported(*LOOPBACK, "--upstream", str(upstream.address), "--authz", str(service), *flags)
        mesh = open_.enter_context(running(envoy_binary, yaml.safe_load(text), upstream))
        asked = (("GET", (PARTNER,)), ("POST", (PARTNER,)), ("OPTIONS", (PARTNER, PUT)))
        answers = [mesh.request(method, "/own", headers=headers) for method, headers in asked]

    assert [(answer.status, about_cors(answer)) for answer in answers] == expected


def about_cors(answer: Answer) -> tuple[tuple[str, str], ...]:
    return tuple(header for header in answer.headers if header[0].startswith("access-control-") or header[0] == "vary")


# --- What clients got, told by TLS ------------------------------------------------------------------------------------


DEMANDING: Final = r"are compared on (\S+) \(TLS on, callers need a certificate\)"


@contextmanager
def told(folder: Path, pem: Path) -> Iterator[tuple[Address, Path]]:
    """Run the listener of the access log, which demands certificates; give its address, and the file of its lines."""
    lines, log = folder / "lines.jsonl", folder / "log"
    served = ("--tls-cert", str(pem / "server.pem"), "--tls-key", str(pem / "server.key"))
    options = ("--listen", "127.0.0.1:0", "--lines", str(lines), *served, "--tls-client-ca", str(pem / "ca.pem"))
    with started(command("access-log", *options), log, DEMANDING) as (_, said):
        yield Address.parse(said[1]), lines


def failed(mesh: Mesh) -> bool:
    """Whether Envoy found no listener of the access log that it may tell."""
    return not mesh.envoy.admin("/stats?filter=cluster.access_log.upstream_cx_connect_fail").endswith(": 0\n")


SHOWN: Final = ("--access-log-cert", "{pem}/client.pem", "--access-log-key", "{pem}/client.key")
TELLS: Final[Mapping[str, tuple[Sequence[str], list[list[str]]]]] = {
    "by TLS on both sides": (("--access-log-name", "authz", *SHOWN), [["agrees"]]),
    "to one whose certificate names somebody else": (("--access-log-name", "other", *SHOWN), []),
    "and shows no certificate": (("--access-log-name", "authz"), []),
}


@pytest.mark.parametrize("sentence", TELLS)
def test_the_access_log_goes_to_whom_it_trusts_alone(
    sentence: str, stage: Stage, envoy_binary: Path, pem: Path, tmp_path: Path
) -> None:
    flags, verdicts = TELLS[sentence]
    with stage.serving("--listen", "127.0.0.1:0") as (service, _), told(tmp_path, pem) as (listener, lines):
        where = ("--access-log", str(listener), "--access-log-ca", str(pem / "ca.pem"), *filled(flags, pem=pem))
        text = exported(*LOOPBACK, "--upstream", str(stage.upstream.address), "--authz", str(service), *where)
        with running(envoy_binary, yaml.safe_load(text), stage.upstream) as mesh:
            answer = said(stage, mesh, PROBES["a listed origin reads"])
            until(lambda: "verdicts" in lines.read_text() or failed(mesh))
    written = map(json.loads, lines.read_text().splitlines())
    assert (answer.status, [line["verdicts"] for line in written if "verdicts" in line]) == (200, verdicts)


# --- Pasted into another Envoy ----------------------------------------------------------------------------------------

FOREIGN: Final = """\
admin:
  address: {socket_address: {address: 127.0.0.1, port_value: 0}}
static_resources:
  listeners:
  - name: theirs
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: theirs
          #MANAGER
          route_config:
            virtual_hosts:
            - name: theirs
              domains: ["*"]
              #VIRTUAL_HOST
              routes:
              - {match: {prefix: /}, route: {cluster: theirs}}
          http_filters:
          #FILTER
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  #CLUSTER
  - name: theirs
    connect_timeout: 1s
    load_assignment:
      cluster_name: theirs
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: THEIRS, port_value: 80}}}
"""


def pasted(stage: Stage, *arguments: str) -> str:
    """Paste each part as far in as what stands around it; lists go on in those of the other Envoy."""
    host, port, _ = stage.upstream.address
    text = FOREIGN.replace("THEIRS, port_value: 80", f"{host}, port_value: {port}")
    for part in Part:
        printed = exported("--part", part.value, *arguments)
        body = printed.replace("http_filters:\n", "").replace("clusters:\n", "")
        (margin,) = re.findall(rf"^( *)#{part.name}$", text, re.MULTILINE)
        text = text.replace(f"{margin}#{part.name}\n", textwrap.indent(body, margin))
    return text


def test_the_parts_work_in_an_envoy_of_somebody_else(stage: Stage, envoy_binary: Path, tmp_path: Path) -> None:
    with stage.serving("--listen", "127.0.0.1:0") as (service, _), ExitStack() as open_:
        text = pasted(stage, "--authz", str(service))
        (tmp_path / "envoy.yaml").write_text(text)
        mesh = open_.enter_context(running(envoy_binary, yaml.safe_load(text), stage.upstream))

        assert validate(envoy_binary, tmp_path / "envoy.yaml") == (0, [])
        assert answered(stage, mesh) == EXPECTED
        until(lambda: '"reason":"origin_not_allowed"' in mesh.envoy.log())
