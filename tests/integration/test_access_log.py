"""What clients of a real Envoy got, as the listener tells it: a process of its own, told by Envoy's access log."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import grpc
import pytest

from cors_authz._gen.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse
from cors_authz.demo.upstream import Upstream
from cors_authz.edge.access_log.comparison import Comparison
from cors_authz.edge.access_log.figures import Figures
from cors_authz.edge.access_log.governed import every_route
from cors_authz.edge.access_log.inbox import Inbox
from cors_authz.edge.access_log.listener import Listener
from cors_authz.edge.access_log.options import AccessLogOptions, StreamBounds
from cors_authz.edge.metrics.catalogue import ACCESS_LOG_STREAMS
from cors_authz.edge.policy_store import ActivePolicy
from cors_authz.edge.service import CheckService, Watch
from cors_authz.edge.tokens import TokenReader
from cors_authz.edge.transport.interface import HEALTH_CHECK_METHOD
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Config, Options
from cors_authz.envoy.encode import Encoder
from cors_authz.policy.document import Source
from cors_authz.policy.load import load_policy
from tests.integration.conftest import Answer, Check, Mesh, MeshFactory
from tests.serving import SECONDS, command, started, until

DECISION_ID = "0123456789abcdef0123456789abcdef"
SHOP = "https://shop.example"
OWN_CORS = (("access-control-allow-origin", "*"), ("vary", "Accept-Encoding"))

POLICY = f"""
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {{name: shop, revision: r7}}
originGroups:
  web: {{origins: ["{SHOP}"], contact: web@shop.example, trust: high}}
  anyone: {{any: true}}
resourceGroups:
  api:
    match:
    - {{hosts: [api.example]}}
    allow:
    - {{origins: [web], methods: [GET, POST, PUT], exposeHeaders: [etag], credentials: [cookie]}}
  trial:
    match:
    - {{hosts: [trial.example]}}
    mode: shadow
    allow:
    - {{origins: [web]}}
  orders:
    match:
    - {{hosts: [orders.example], paths: ["/orders/{{id}}"]}}
    allow:
    - {{origins: [web]}}
  open:
    sensitivity: public
    match:
    - {{hosts: [open.example]}}
    allow:
    - {{origins: [anyone]}}
  socket:
    protocols: [websocket]
    match:
    - {{hosts: [socket.example]}}
    allow:
    - {{origins: [web], credentials: [cookie]}}
"""

# Outside of the authorization filter, so that it sees responses last, and requests first.
MEDDLER = """
function envoy_on_request(handle)
  if handle:headers():get(":path"):find("^/early") then
    handle:respond({[":status"] = "429"}, "")
  end
end
function envoy_on_response(handle)
  local headers = handle:headers()
  local deed = headers:get("x-meddle")
  if deed == "overwrite" then headers:replace("access-control-allow-origin", "*") end
  if deed == "double" then headers:add("access-control-allow-origin", "https://b.example") end
  if deed == "strip" then
    headers:remove("access-control-allow-origin")
    headers:remove("access-control-allow-credentials")
    headers:remove("access-control-expose-headers")
    headers:remove("vary")
  end
end
"""
EXT_AUTHZ = "envoy.filters.http.ext_authz"
DISABLED = {"@type": f"type.googleapis.com/{EXT_AUTHZ.replace('filters', 'extensions.filters')}.v3.ExtAuthzPerRoute"}
UNCHECKED = {"typed_per_filter_config": {EXT_AUTHZ: DISABLED | {"disabled": True}}}
# Five times the usual: on a busy machine a check may take longer than a try, and be decided twice, or never.
PATIENT = Options(timeout_ms=2500)
OPTIONS = replace(
    PATIENT,
    http_filters_before=[
        {
            "name": "envoy.filters.http.lua",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                "default_source_code": {"inline_string": MEDDLER},
            },
        }
    ],
    routes=[
        {"match": {"prefix": "/unchecked"}, "route": {"cluster": "upstream"}, **UNCHECKED},
        {
            "match": {"prefix": "/orders/"},
            "route": {"cluster": "upstream", "prefix_rewrite": "/internal/"},
            **UNCHECKED,
        },
        {
            "match": {"prefix": "/elsewhere"},
            "route": {"cluster": "upstream", "host_rewrite_literal": "internal.example"},
            **UNCHECKED,
        },
        {
            "match": {"prefix": "/inward/"},
            "route": {
                "cluster": "upstream",
                "prefix_rewrite": "/orders/",
                "host_rewrite_literal": "orders.example",
            },
            **UNCHECKED,
        },
        {"match": {"prefix": "/nowhere"}, "route": {"cluster": "nowhere"}},
    ],
)


class Case(NamedTuple):
    """A request, and what the listener tells of it: all but what differs from run to run."""

    path: str
    told: Mapping[str, object]
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = (("origin", SHOP),)
    host: str = "api.example"


GRANT = {"allow_origin": SHOP, "allow_credentials": "true", "expose_headers": "etag"}
VARY = "Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest"
DECIDED = {"outcome": "allow", "reason": "rule_allowed", "rule": "api/1", "revision": "r7"}
ALLOWED = {"decision_id": DECISION_ID, "group": "api", "decided": {**DECIDED, **GRANT, "vary": VARY}, "origin": SHOP}
GOT = {**GRANT, "vary": VARY}
ANSWERED = {"status": 200, "details": "via_upstream"}
DENIED = {"flags": "UAEX", "details": "ext_authz_denied"}
NOT_DECIDED = {"group": "api", "origin": SHOP}

CASES = {
    "an allowed request got what was decided": Case(
        "/a", {**ALLOWED, **ANSWERED, "verdicts": ["agrees"], "delivered": GOT}
    ),
    "an upstream's own permission is overwritten by ours, and its Vary kept": Case(
        "/own", {**ALLOWED, **ANSWERED, "verdicts": ["agrees"], "delivered": {**GOT, "vary": f"Accept-Encoding,{VARY}"}}
    ),
    "a filter outside of ours overwrote the permission": Case(
        "/overwrite",
        {
            **ALLOWED,
            **ANSWERED,
            "verdicts": ["allow_origin_differs"],
            "manners": {"allow_origin_differs": "overwritten"},
            "delivered": {**GOT, "allow_origin": "*"},
        },
    ),
    "a filter outside of ours doubled it": Case(
        "/double",
        {
            **ALLOWED,
            **ANSWERED,
            "verdicts": ["allow_origin_differs"],
            "manners": {"allow_origin_differs": "doubled"},
            "delivered": {**GOT, "allow_origin": f"{SHOP},https://b.example"},
        },
    ),
    "a filter outside of ours took everything away": Case(
        "/strip",
        {
            **ALLOWED,
            **ANSWERED,
            "verdicts": ["allow_origin_differs", "credentials_differs", "expose_headers_differs", "vary_misses"],
            "manners": {
                "allow_origin_differs": "missing",
                "credentials_differs": "missing",
                "expose_headers_differs": "missing",
                "vary_misses": "origin, sec-fetch-dest, sec-fetch-mode, sec-fetch-site",
            },
        },
    ),
    "a stranger's read got no permission, though the upstream gave one": Case(
        "/own",
        {
            **ANSWERED,
            "decision_id": DECISION_ID,
            "group": "api",
            "origin": "https://evil.example",
            "decided": {
                "outcome": "allow",
                "reason": "unlisted_read",
                "revision": "r7",
                "vary": VARY,
            },
            "verdicts": ["agrees"],
            "delivered": {"vary": f"Accept-Encoding,{VARY}"},
        },
        headers=(("origin", "https://evil.example"),),
    ),
    "a refusal of ours came as it was decided": Case(
        "/a",
        {
            **DENIED,
            "method": "DELETE",
            "status": 403,
            "decision_id": DECISION_ID,
            "group": "api",
            "origin": SHOP,
            "verdicts": ["agrees"],
            "decided": {
                "outcome": "deny",
                "reason": "method_not_allowed",
                "revision": "r7",
                **GRANT,
                "vary": VARY,
            },
            "delivered": GOT,
        },
        method="DELETE",
    ),
    "a preflight's answer came as it was decided": Case(
        "/a",
        {
            **DENIED,
            "method": "OPTIONS",
            "status": 204,
            "decision_id": DECISION_ID,
            "group": "api",
            "origin": SHOP,
            "verdicts": ["agrees"],
            "decided": {
                **DECIDED,
                "outcome": "preflight_allow",
                "reason": "preflight_allowed",
                "allow_origin": SHOP,
                "allow_credentials": "true",
                "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            },
            "delivered": {
                "allow_origin": SHOP,
                "allow_credentials": "true",
                "allow_methods": "PUT",
                "max_age": "600",
                "vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            },
        },
        method="OPTIONS",
        headers=(("origin", SHOP), ("access-control-request-method", "PUT")),
    ),
    "in shadow, the upstream's permission is not what ours would be": Case(
        "/own",
        {
            **ANSWERED,
            "decision_id": DECISION_ID,
            "group": "trial",
            "host": "trial.example",
            "origin": SHOP,
            "shadow": True,
            "verdicts": ["would_allow_origin_differs", "would_vary_misses"],
            "manners": {
                "would_allow_origin_differs": "overwritten",
                "would_vary_misses": "origin, sec-fetch-dest, sec-fetch-mode, sec-fetch-site",
            },
            "decided": {**DECIDED, "rule": "trial/1", "allow_origin": SHOP, "vary": VARY},
            "delivered": {"allow_origin": "*", "vary": "Accept-Encoding"},
        },
        host="trial.example",
    ),
    "an upstream that is down: Envoy's own answer keeps the headers": Case(
        "/nowhere",
        {
            **ALLOWED,
            "status": 503,
            "flags": "UF",
            "details": "upstream_reset_before_response_started{remote_connection_failure|"
            "delayed_connect_error:_Connection_refused}",
            "verdicts": ["agrees"],
            "delivered": GOT,
        },
    ),
    "a route without the filter answered, and nobody was asked": Case(
        "/unchecked/a", {**NOT_DECIDED, **ANSWERED, "verdicts": ["unchecked"]}
    ),
    "a route without the filter wrote another path": Case(
        "/orders/7",
        {**NOT_DECIDED, **ANSWERED, "group": "orders", "path": "/orders/{id}", "verdicts": ["unchecked"]},
        host="orders.example",
    ),
    "a route without the filter wrote another host": Case(
        "/elsewhere/a", {**NOT_DECIDED, **ANSWERED, "verdicts": ["unchecked"]}
    ),
    "Envoy refused before it asked": Case(
        "/early",
        {**NOT_DECIDED, "status": 429, "details": "lua_response", "verdicts": ["answered_before_check"]},
    ),
}


class Running(NamedTuple):
    """A listener that runs: where it listens, where its metrics are, and the file of its lines."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str
    metrics: str
    lines: Path

    def told(self) -> list[dict[str, Any]]:
        """Give the deliveries so far."""
        lines = (json.loads(line) for line in self.lines.read_text().splitlines())
        return [line for line in lines if line["kind"] == "delivery"]


def _check() -> Check:
    policy = load_policy((Source("policy.yaml", POLICY.encode()),), "prod").policy
    active = ActivePolicy(policy, Encoder(policy), TokenReader({}, {}))
    service = CheckService(lambda: active, lambda: 1_790_000_000.0, lambda: 0.0, lambda: DECISION_ID, Watch())
    return lambda raw: service.check(raw, ())


def _fail(_raw: bytes) -> bytes:
    raise RuntimeError


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("access-log")
    policy, lines, log = folder / "policy.yaml", folder / "lines.jsonl", folder / "log"
    policy.write_text(POLICY)
    options = ("--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--lines", str(lines))
    words = command("access-log", "--policy", str(policy), *options)
    with started(words, log, r"(?s)http://(\S+)/metrics.*are compared on (\S+)\s") as (process, said):
        yield Running(process, log, address=said[2], metrics=said[1], lines=lines)


@pytest.fixture(scope="module")
def logged_mesh(mesh: MeshFactory, listener: Running) -> Mesh:
    """A mesh that logs to the listener, whose upstream speaks CORS of its own and whose filter meddles."""

    def alter(config: Config) -> None:
        resources = config["static_resources"]
        manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        del manager["route_config"]["virtual_hosts"][0]["response_headers_to_remove"]
        nobody = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": nobody}}]}]
        assignment = {"cluster_name": "nowhere", "endpoints": endpoints}
        resources["clusters"].append({"name": "nowhere", "type": "STATIC", "load_assignment": assignment})

    meddled = {f"/{deed}": (("x-meddle", deed),) for deed in ("overwrite", "double", "strip")}
    options = replace(OPTIONS, access_logs=Address.parse(listener.address))
    return mesh(_check(), options=options, alter=alter, upstream=Upstream(extra_headers={"/own": OWN_CORS, **meddled}))


@pytest.fixture(scope="module")
def told(logged_mesh: Mesh, listener: Running) -> dict[str, dict[str, Any]]:
    """Send every request, and give what the listener tells of each, by the case's sentence."""
    answers: list[Answer] = []
    for case in CASES.values():
        query = f"{case.path}?token=secret"
        answers.append(logged_mesh.request(case.method, query, host=case.host, headers=case.headers))
    logged_mesh.request("GET", "/unchecked/not-ours", host="other.example")
    logged_mesh.request("GET", "/inward/7", host="other.example")
    until(lambda: len(listener.told()) >= len(CASES))
    return dict(zip(CASES, listener.told(), strict=True))


VOLATILE = ("time", "request_id", "duration_us", "writer", "seq", "hash")


@pytest.mark.parametrize("sentence", CASES)
def test_what_is_told(sentence: str, told: dict[str, dict[str, Any]]) -> None:
    case, line = CASES[sentence], told[sentence]
    kept = {name: value for name, value in line.items() if name not in VOLATILE}

    assert kept == {"kind": "delivery", "method": case.method, "host": case.host, "path": "/**", **case.told}


def test_the_line_joins_the_decision_by_its_request_and_says_when_and_how_long(
    told: dict[str, dict[str, Any]], logged_mesh: Mesh
) -> None:
    checked = [request.attributes.request.http.headers["x-request-id"] for request in logged_mesh.service.requests]
    lines = [line for line in told.values() if "decided" in line]

    assert [line["request_id"] for line in lines] == checked[: len(lines)]
    assert all(line["time"] > 1_790_000_000 and 0 < line["duration_us"] < 10_000_000 for line in lines)


SOCKET = (
    b"GET /socket HTTP/1.1\r\nhost: socket.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\norigin: https://shop.example\r\n\r\n"
)


def test_a_websocket_and_a_permission_for_everyone_raise_no_alarm(
    told: dict[str, dict[str, Any]], logged_mesh: Mesh, listener: Running
) -> None:
    del told
    before = len(listener.told())
    logged_mesh.raw(SOCKET)
    logged_mesh.request("GET", "/a", host="open.example", headers=[("origin", "https://b.example"), ("cookie", "a=b")])
    until(lambda: len(listener.told()) >= before + 2)

    lines = listener.told()[before:]
    assert [(line["status"], line["verdicts"], line["delivered"]["allow_origin"]) for line in lines] == [
        (101, ["agrees"], SHOP),
        (200, ["agrees"], "*"),
    ]


def test_a_service_that_fails_is_a_check_that_failed_and_no_hole(
    told: dict[str, dict[str, Any]], logged_mesh: Mesh, listener: Running
) -> None:
    del told

    answering, logged_mesh.service.check = logged_mesh.service.check, _fail
    before = len(listener.told())
    logged_mesh.request("GET", "/a", headers=[("origin", SHOP)])
    logged_mesh.service.check = answering
    until(lambda: len(listener.told()) > before)

    line = listener.told()[-1]
    assert (line["verdicts"], line["status"], line["details"]) == (["check_failed"], 503, "ext_authz_error")


def test_an_envoy_that_heeds_no_decision_is_found_out(told: object, mesh: MeshFactory, listener: Running) -> None:
    del told

    def heed_nothing(config: Config) -> None:
        manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"][0]["typed_config"]["shadow_mode"] = True

    lax = mesh(_check(), options=replace(PATIENT, access_logs=Address.parse(listener.address)), alter=heed_nothing)
    before = len(listener.told())
    assert lax.request("DELETE", "/refused", headers=[("origin", SHOP)]).status == 200
    lax.service.check = _fail
    assert lax.request("DELETE", "/undecided", headers=[("origin", SHOP)]).status == 200
    until(lambda: len(listener.told()) >= before + 2)

    assert [line["verdicts"] for line in listener.told()[before:]] == [["not_applied"], ["unchecked"]]


def test_an_envoy_whose_stream_was_ended_opens_another(mesh: MeshFactory) -> None:
    lines: list[bytes] = []
    figures, inbox = Figures(), Inbox(1 << 20, 0)
    options = AccessLogOptions(listen="127.0.0.1:0", bounds=StreamBounds(idle_seconds=0.5), grace_seconds=0)
    listener = Listener(inbox, figures, time.monotonic, options)
    comparison = Comparison(inbox, every_route, figures, lambda line, **_: lines.append(line), 1)
    comparison.start()
    logging = mesh(_check(), options=replace(PATIENT, access_logs=Address.parse(listener.listen())))

    def streams() -> list[object]:
        return [sample.value for sample in figures.samples() if sample.metric is ACCESS_LOG_STREAMS]

    assert logging.request("GET", "/first", headers=[("origin", SHOP)]).status == 200
    until(lambda: len(lines) == 1 and streams() == [0])
    assert logging.request("GET", "/second", headers=[("origin", SHOP)]).status == 200
    until(lambda: len(lines) == 2)
    listener.drain()
    comparison.stop()

    assert [json.loads(line)["status"] for line in lines] == [200, 200]


def test_the_metrics_count_what_was_told(told: dict[str, dict[str, Any]], listener: Running) -> None:
    del told
    with urllib.request.urlopen(f"http://{listener.metrics}/metrics") as answer:
        text = answer.read().decode()

    assert re.search(r'cors_authz_deliveries_total\{group="api",verdict="answered_before_check"\} [1-9]', text)
    assert re.search(r'cors_authz_deliveries_total\{group="trial",verdict="would_vary_misses"\} [1-9]', text)
    # Other tests of this file may have used the listener before.
    assert re.search(r'cors_authz_access_log_entries_total\{result="ignored"\} [1-9]', text)
    assert re.search(r"cors_authz_access_log_streams [1-9]", text)
    assert "cors_authz_audit_lost_records_total" in text


class _Redirecting(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("location", "http://api.example/a")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def test_a_redirect_that_envoy_itself_follows_is_no_alarm(mesh: MeshFactory, listener: Running) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Redirecting) as server:
        Thread(target=server.serve_forever, daemon=True).start()

        def redirect(config: Config) -> None:
            address = {"socket_address": {"address": "127.0.0.1", "port_value": server.server_port}}
            assignment = {
                "cluster_name": "redirecting",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            }
            cluster = {"name": "redirecting", "type": "STATIC", "load_assignment": assignment}
            config["static_resources"]["clusters"].append(cluster)

        route = {"cluster": "redirecting", "internal_redirect_policy": {"redirect_response_codes": [302]}}
        routes = [{"match": {"prefix": "/followed"}, "route": route}]
        options = replace(PATIENT, access_logs=Address.parse(listener.address), routes=routes)
        before = len(listener.told())
        following = mesh(_check(), options=options, alter=redirect)
        assert following.request("GET", "/followed", headers=[("origin", SHOP)]).status == 200
        until(lambda: len(listener.told()) >= before + 2)
        server.shutdown()

    lines = listener.told()[before:]
    assert [(line["status"], line["details"], line["verdicts"]) for line in lines] == [
        (302, "internal_redirect", ["no_response"]),
        (200, "via_upstream", ["agrees"]),
    ]


def test_health_says_that_it_serves(listener: Running) -> None:
    with grpc.insecure_channel(listener.address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(HEALTH_CHECK_METHOD)
        answer = HealthCheckResponse.FromString(call(HealthCheckRequest().SerializeToString(), timeout=SECONDS))

    assert answer.status == HealthCheckResponse.SERVING


def test_at_the_end_it_takes_what_envoy_still_holds_back_and_writes_all_of_it_and_envoy_serves_on(
    told: dict[str, dict[str, Any]], logged_mesh: Mesh, listener: Running
) -> None:
    before = len(listener.told())
    logged_mesh.request("PUT", "/last", headers=[("origin", SHOP)])
    listener.process.send_signal(signal.SIGTERM)

    assert listener.process.wait(SECONDS) == 0
    assert [line["method"] for line in listener.told()[before:]] == ["PUT"]
    assert len(told) == len(CASES)
    assert "Traceback" not in listener.log.read_text()
    assert logged_mesh.request("GET", "/a", headers=[("origin", SHOP)]).status == 200
