"""`cors-authz explain` from its words to its text: what it reads, what it prints, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any, Final, NamedTuple

import click
import pytest
from click.testing import CliRunner, Result
from google.protobuf import text_format
from joserfc import jwt
from joserfc.jwk import ECKey

from cors_authz._gen.wire.external_auth_pb2 import CheckRequest
from cors_authz.cli.explain import explain
from cors_authz.cli.request_input import MAX_INPUT_BYTES, CurlWords, read_curl, read_json
from cors_authz.fetch.request import Request

POLICY: Final = """\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: shop, revision: r1}
identity:
  jwt:
    main: {issuer: "https://id.shop.example", audiences: [shop], keys: KEYS, algorithms: [ES256]}
  mtls: {trustDomains: [mesh.example]}
originGroups:
  web: {origins: ["https://shop.example"], trust: high, contact: web@shop.example}
guards:
  clerk: {anyRole: [clerk], description: staff only}
  inside: {sourceIn: [10.0.0.0/8]}
  batch: {principalIn: ["spiffe://mesh.example/batch"]}
resourceGroups:
  orders:
    match:
    - {hosts: [api.shop.example], paths: ["/{version}/orders/**"]}
    versions: {v1: {deprecated: 2026-06-01, sunset: 2026-12-31, successor: v2}, v2: {}}
    guards: [clerk]
    allow:
    - {origins: [web], methods: [GET, POST], credentials: [bearer], description: our pages}
  account:
    match:
    - {hosts: [api.shop.example], paths: [/account]}
    allow:
    - {origins: [web], methods: [PUT], headers: [content-type], credentials: [cookie], maxAge: 2h}
  office:
    match:
    - {hosts: [api.shop.example], paths: [/office]}
    guards: [inside, batch]
    allow: []
"""
KEY: Final = ECKey.generate_key("P-256", parameters={"kid": "k1"})
ORDERS: Final = "https://api.shop.example/v2/orders/7"
WEB: Final = ("-H", "Origin: https://shop.example")
AT: Final = ("--at", "2026-11-20T00:00:00Z")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY.replace("KEYS", f"{{jwksFile: {keys}}}"))
    return path


def run(policy: Path, *words: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(explain, ["--policy", str(policy), *words], input=stdin, prog_name="explain")


def told(policy: Path, *words: str, stdin: str | bytes = "") -> dict[str, Any]:
    result = run(policy, "--json", *AT, *words, stdin=stdin)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def reason(policy: Path, *words: str, stdin: str | bytes = "") -> str:
    return str(told(policy, *words, stdin=stdin)["decision"]["reason"])


GOLDEN: Final = {
    "a page that is not listed": (
        ("-X", "PUT", "https://api.shop.example/account", "-H", "Origin: https://evil.example"),
        """\
        403 origin_not_allowed  the origin may not do this here
        to mend it: ask the owner to list the origin
        policy: shop, revision r1, as prod

        steps
          passes     request          `PUT /account` can be read in one way only
          passes     host             host `api.shop.example` is listed  [policy.yaml:24:7]
          passes     resource group   host `api.shop.example` and path `/account` belong to `account` by\
 `api.shop.example/account`  [policy.yaml:24:7]
          passes     version          `account` has no versions
          passes     tenant           the request is for no tenant
          passes     origin           `https://evil.example` is written as browsers write it
          passes     protocol         protocol `http` is served  [policy.yaml:22:3]
          passes     preflight        the request is no preflight
          objects    allow rule       `https://evil.example` is in no origin group  [policy.yaml:22:3]
          not asked  read             `allow rule` objected first
          not asked  embed            `allow rule` objected first
          not asked  navigation       `allow rule` objected first
          not asked  retired version  `allow rule` objected first
          not asked  browser proof    `allow rule` objected first
          not asked  content type     `allow rule` objected first
          not asked  guards           `allow rule` objected first

        headers to the client
          vary: Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest
              what the answer can depend on, so that no cache hands it to another caller of `account`\
  [policy.yaml:22:3]
          cache-control: no-store
              a refusal is never kept
          content-type: application/json
              the type of the refusal's body
          x-cors-authz-decision-id: <decision-id: 32 hex characters>
              the id under which the decision is recorded

        body
          {"decision_id": "<decision-id: 32 hex characters>"}

        a browser concludes
          - the page sees a network error: the answer names no origin
        """,
    ),
    "a preflight": (
        (
            *("-X", "OPTIONS", "https://api.shop.example/account", *WEB),
            *("-H", "Access-Control-Request-Method: PUT", "-H", "Access-Control-Request-Headers: content-type"),
        ),
        """\
        204 preflight_allowed  an allow rule admits what the preflight asks for
        policy: shop, revision r1, as prod

        steps
          passes     request          `OPTIONS /account` can be read in one way only
          passes     host             host `api.shop.example` is listed  [policy.yaml:24:7]
          passes     resource group   host `api.shop.example` and path `/account` belong to `account` by\
 `api.shop.example/account`  [policy.yaml:24:7]
          passes     version          `account` has no versions
          passes     tenant           the request is for no tenant
          passes     origin           `https://shop.example` is written as browsers write it
          passes     protocol         a preflight does not show the protocol
          passes     preflight        rule `account/1` grants `PUT` with `content-type`  [policy.yaml:26:7]
            passes     origin group  `https://shop.example` is in origin group `web` by `https://shop.example`\
  [policy.yaml:9:19]
          passes     allow rule       the request is a preflight
          passes     read             the request is a preflight
          passes     embed            the request is a preflight
          passes     navigation       the request is a preflight
          passes     retired version  a preflight passes a retired version
          passes     browser proof    the request is a preflight
          passes     content type     no rule limits the types of bodies
          passes     guards           there are no guards

        headers to the client
          access-control-allow-credentials: true
              credentials `cookie` are granted by rule `account/1`  [policy.yaml:26:7]
          access-control-max-age: 7200
              rule `account/1` lets browsers keep the permission for so many seconds  [policy.yaml:26:7]
          vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers
              what the answer can depend on, so that no cache hands it to another caller of `account`\
  [policy.yaml:22:3]
          x-cors-authz-decision-id: <decision-id: 32 hex characters>
              the id under which the decision is recorded
          access-control-allow-origin: https://shop.example
              the origin is echoed: it is in `web`, and rule `account/1` admits it  [policy.yaml:26:7]
          access-control-allow-methods: PUT
              rule `account/1` grants the method that the preflight asks for  [policy.yaml:26:7]
          access-control-allow-headers: content-type
              rule `account/1` grants the headers that the preflight asks for  [policy.yaml:26:7]

        a browser concludes
          + the browser sends the PUT
            Chromium: the permission is kept for 7200 s
            Firefox: the permission is kept for 7200 s
            WebKit: the permission is kept for 600 s
        """,
    ),
    "a read with claims that are assumed": (
        (ORDERS, *WEB, "-b", "s=1", *AT, "--claims", 'main={"roles": ["clerk"]}'),
        """\
        forwarded rule_allowed  an allow rule admits the origin
        policy: shop, revision r1, as prod
        note: a valid token of `main` is assumed, not verified

        steps
          passes     request          `GET /v2/orders/7` can be read in one way only
          passes     host             host `api.shop.example` is listed  [policy.yaml:17:7]
          passes     resource group   host `api.shop.example` and path `/v2/orders/7` belong to `orders` by\
 `api.shop.example/{version}/orders/**`  [policy.yaml:17:7]
          passes     version          version `v2` is served  [policy.yaml:15:3]
          passes     tenant           the request is for no tenant
          passes     origin           `https://shop.example` is written as browsers write it
          passes     protocol         protocol `http` is served  [policy.yaml:15:3]
          passes     preflight        the request is no preflight
          passes     allow rule       rule `orders/1` (our pages) decides  [policy.yaml:21:7]
            passes     origin group  `https://shop.example` is in origin group `web` by `https://shop.example`\
  [policy.yaml:9:19]
          passes     read             the request is from another origin
          passes     embed            the request is from another origin
          passes     navigation       the request is from another origin
          passes     retired version  version `v2` has no sunset  [policy.yaml:15:3]
          passes     browser proof    the request is from another origin
          passes     content type     no rule limits the types of bodies
          passes     guards           every guard holds
            passes     guard `clerk`  the token has one of the roles `clerk`: it holds (staff only)\
  [policy.yaml:11:3]

        headers to the client
          vary: Origin, Sec-Fetch-Site, Sec-Fetch-Mode, Sec-Fetch-Dest, Authorization
              what the answer can depend on, so that no cache hands it to another caller of `orders`\
  [policy.yaml:15:3]
          cache-control: private
              no shared cache may keep what depends on a token, as answers do of `orders`  [policy.yaml:15:3]
          x-cors-authz-decision-id: <decision-id: 32 hex characters>
              the id under which the decision is recorded
          access-control-allow-origin: https://shop.example
              the origin is echoed: it is in `web`, and rule `orders/1` (our pages) admits it  [policy.yaml:21:7]
          access-control-allow-credentials, access-control-expose-headers, access-control-allow-methods,\
 access-control-allow-headers, access-control-max-age, access-control-allow-private-network: (empty, where the\
 upstream sets them)
              an upstream's own grant is blanked

        headers to the upstream
          x-cors-authz-decision-id: <decision-id: 32 hex characters>
              the id under which the decision is recorded
          x-cors-authz-origin-group: web
              the origin is in this group  [policy.yaml:9:19]
          x-cors-authz-api-version: v2
              the version of `orders`  [policy.yaml:15:3]
          x-cors-authz-roles: clerk
              the roles of the token that a guard read

        taken off the request
          cookie
              rule `orders/1` (our pages) does not grant `cookie`  [policy.yaml:21:7]

        a browser concludes
          - the page sees a network error: credentials travel, and the answer does not say\
 Access-Control-Allow-Credentials: true
        """,
    ),
}


@pytest.mark.parametrize(("words", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_the_text_for_people(words: tuple[str, ...], expected: str, policy: Path) -> None:
    result = run(policy, *words)
    assert result.stdout == dedent(expected)
    assert result.stderr == ""
    assert result.exit_code == 0


def test_the_object_for_machines(policy: Path) -> None:
    document = told(policy, ORDERS, *WEB, "-H", "Authorization: Basic eA==")
    assert list(document) == ["decision", "steps", "to_client", "to_upstream", "removed", "body", "browser", "notes"]
    assert document["decision"] == {
        "outcome": "deny",
        "reason": "token_missing",
        "title": "a token is needed",
        "mend": "sign in, and send the token as `Authorization: Bearer`",
        "status": 401,
        "shadow": False,
        "group": "orders",
        "rule": "orders/1",
        "guard": "clerk",
        "policy": "shop",
        "revision": "r1",
        "environment": "prod",
    }
    assert document["steps"][-1] == {
        "name": "guards",
        "verdict": "objects",
        "sentence": "guard `clerk` does not hold",
        "place": "policy.yaml:11:3",
        "steps": [
            {
                "name": "guard `clerk`",
                "verdict": "objects",
                "sentence": (
                    "the token has one of the roles `clerk`: it does not hold, the token of `main` is missing:"
                    " authorization holds no bearer token (staff only)"
                ),
                "place": "policy.yaml:11:3",
                "steps": [],
            }
        ],
    }
    assert document["to_client"][1] == {
        "name": "cache-control",
        "value": "no-store",
        "blanks": False,
        "why": "a refusal is never kept",
        "place": None,
    }
    assert json.loads(document["body"])["reason"] == "token_missing"
    assert document["browser"][1] == {
        "verdict": "goes on",
        "sentence": "without credentials, the page may read the answer",
        "engine": None,
    }


def test_what_is_taken_off_is_an_object_too(policy: Path) -> None:
    document = told(policy, "https://api.shop.example/account", "-X", "PUT", *WEB, "-H", "Authorization: Bearer x")
    assert document["removed"][0] == {
        "name": "authorization",
        "sent": True,
        "why": "rule `account/1` does not grant `bearer`",
        "place": "policy.yaml:26:7",
    }


class Curl(NamedTuple):
    """What is written, and the request that it stands for."""

    words: CurlWords
    method: str
    scheme: str
    host: str
    target: str
    headers: dict[str, str]


BODY: Final = {"content-type": "application/x-www-form-urlencoded", "content-length": "7"}
CURLS: Final = {
    "a URL": Curl(CurlWords("https://a.example/x?y=1#z"), "GET", "https", "a.example", "/x?y=1", {}),
    "a URL without a path": Curl(CurlWords("HTTP://a.example:8080"), "GET", "http", "a.example:8080", "/", {}),
    "a URL with a query alone": Curl(CurlWords("http://a.example?y"), "GET", "http", "a.example", "/?y", {}),
    "a path that no browser would send": Curl(
        CurlWords("http://a.example//b/../c"), "GET", "http", "a.example", "//b/../c", {}
    ),
    "a method": Curl(CurlWords("http://a.example/", method="PURGE"), "PURGE", "http", "a.example", "/", {}),
    "data": Curl(CurlWords("http://a.example/", data=("a=1", "b=2")), "POST", "http", "a.example", "/", BODY),
    "data from a file": Curl(
        CurlWords("http://a.example/", data=("@x",)),
        *("POST", "http", "a.example", "/"),
        {"content-type": "application/x-www-form-urlencoded"},
    ),
    "data with a method and a type": Curl(
        CurlWords("http://a.example/", method="PUT", data=("{}",), headers=("Content-Type: application/json",)),
        *("PUT", "http", "a.example", "/"),
        {"content-type": "application/json", "content-length": "2"},
    ),
    "data without its type": Curl(
        CurlWords("http://a.example/", data=("é",), headers=("Content-Type:",)),
        *("POST", "http", "a.example", "/"),
        {"content-length": "2"},
    ),
    "head": Curl(CurlWords("http://a.example/", head=True), "HEAD", "http", "a.example", "/", {}),
    "headers by flags of their own": Curl(
        CurlWords("http://a.example/", agent="x/1", referer="https://b.example/", cookie="a=b"),
        *("GET", "http", "a.example", "/"),
        {"user-agent": "x/1", "referer": "https://b.example/", "cookie": "a=b"},
    ),
    "data that curl encodes": Curl(
        CurlWords("http://a.example/", data=("a",), encoded=("b",)),
        *("POST", "http", "a.example", "/"),
        {"content-type": "application/x-www-form-urlencoded", "content-length": "3"},
    ),
    "data in the query": Curl(
        CurlWords("http://a.example", data=("a=1",), encoded=("b=x y&", "=/", "q:é"), get=True),
        *("GET", "http", "a.example", "/?a=1&b=x%20y%26&%2F&q%3A%C3%A9", {}),
    ),
    "data beside a query, asked for by HEAD": Curl(
        CurlWords("http://a.example/x?y#z", data=("a=b@c",), get=True, head=True),
        *("HEAD", "http", "a.example", "/x?y&a=b@c", {}),
    ),
    "data in the query, with a method": Curl(
        CurlWords("http://a.example/", method="PUT", data=("a",), get=True),
        *("PUT", "http", "a.example", "/?a", {}),
    ),
    "no data in the query": Curl(CurlWords("http://a.example/", get=True), "GET", "http", "a.example", "/", {}),
    "a form": Curl(
        CurlWords("http://a.example/", form=("a=1", "b=@x")),
        *("POST", "http", "a.example", "/", {"content-type": "multipart/form-data"}),
    ),
    "a login": Curl(
        CurlWords("http://a.example/", user="ada:p:w"),
        *("GET", "http", "a.example", "/", {"authorization": "Basic YWRhOnA6dw=="}),
    ),
    "a login without a password": Curl(
        CurlWords("http://a.example/", user="ada"),
        *("GET", "http", "a.example", "/", {"authorization": "Basic YWRhOg=="}),
    ),
    "a token before a login": Curl(
        CurlWords("http://a.example/", user="ada:pw", bearer="t"),
        *("GET", "http", "a.example", "/", {"authorization": "Bearer t"}),
    ),
    "a header before a login": Curl(
        CurlWords("http://a.example/", user="ada:pw", headers=("Authorization: Bearer x",)),
        *("GET", "http", "a.example", "/", {"authorization": "Bearer x"}),
    ),
    "a URL without a scheme": Curl(
        CurlWords("localhost:3000/x?u=https://b.example"),
        *("GET", "http", "localhost:3000", "/x?u=https://b.example", {}),
    ),
    "an address without a scheme": Curl(CurlWords("[::1]:80"), "GET", "http", "[::1]:80", "/", {}),
    "headers in Envoy's form": Curl(
        CurlWords("http://a.example/", headers=("X-A:  1 ", "x-a: 2", "X-Empty;", "x-colon: a:b;")),
        *("GET", "http", "a.example", "/"),
        {"x-a": "1,2", "x-empty": "", "x-colon": "a:b;"},
    ),
    "a host of its own": Curl(
        CurlWords("http://10.0.0.1/", headers=("Host: a.example",)), "GET", "http", "a.example", "/", {}
    ),
}


@pytest.mark.parametrize("case", CURLS.values(), ids=CURLS)
def test_curl_stands_for_a_request(case: Curl) -> None:
    assert read_curl(case.words) == Request(case.method, case.scheme, case.host, case.target, case.headers)


IDLE: Final = (
    *(
        "-L",
        "--location",
        "-k",
        "--insecure",
        "-s",
        "--silent",
        "-S",
        "--show-error",
        "-f",
        "--fail",
        "-v",
        "--verbose",
    ),
    *("-i", "--include", "-N", "--no-buffer", "--http1.1", "--http2", "--compressed", "-sSkL", "-o/dev/null"),
    *("-o", "x.json", "--output", "x.json", "-w", "%{http_code}", "--write-out", "x", "-m", "5", "--max-time", "5"),
    *("--connect-timeout", "5", "--retry", "3"),
)


def test_flags_that_change_nothing_of_the_request_are_passed_over(policy: Path) -> None:
    assert told(policy, "curl", *IDLE, ORDERS, *WEB) == told(policy, ORDERS, *WEB)


FLAGS: Final = {
    "a login": (("-u", "ada:pw", ORDERS), ("-H", "Authorization: Basic YWRhOnB3", ORDERS)),
    "a login in full": (("--user", "ada:pw", ORDERS), ("-H", "Authorization: Basic YWRhOnB3", ORDERS)),
    "a token": (("--oauth2-bearer", "t", ORDERS), ("-H", "Authorization: Bearer t", ORDERS)),
    "a URL by a flag": (("curl", "--url", ORDERS), (ORDERS,)),
    "a form": (
        ("-F", "a=1", "--form", "b=2", ORDERS),
        ("-X", "POST", "-H", "content-type: multipart/form-data", ORDERS),
    ),
    "data in the query": (("-G", "-d", "a=1", "--data-urlencode", "b=/", ORDERS), (f"{ORDERS}?a=1&b=%2F",)),
    "data in the query, in full": (("--get", "--data-ascii", "a=1", ORDERS), (f"{ORDERS}?a=1",)),
    "HEAD": (("-I", ORDERS), ("-X", "HEAD", ORDERS)),
}


@pytest.mark.parametrize(("flags", "plain"), FLAGS.values(), ids=FLAGS)
def test_a_flag_stands_for_what_curl_sends(flags: tuple[str, ...], plain: tuple[str, ...], policy: Path) -> None:
    assert told(policy, *flags, *WEB) == told(policy, *plain, *WEB)


ELSEWHERE: Final = """\
  local: {origins: ["http://localhost:3000"], trust: high, environments: [dev]}
  previews: {origins: ["https://pr-{digits}.shop.example"], environments: [dev, staging]}
  again: {origins: ["https://shop.example", "https://api.shop.example"], environments: [dev]}
guards:
"""
"""`again` lists an origin that a rule admits all the same, and the service's own."""
ACCOUNT: Final = ("-X", "PUT", "https://api.shop.example/account")


@pytest.mark.parametrize(
    ("origin", "environment", "notes"),
    [
        (
            "http://localhost:3000",
            "prod",
            ["`http://localhost:3000` is in group `local`, which exists in dev only; this is prod"],
        ),
        (
            "https://pr-7.shop.example",
            "prod",
            ["`https://pr-7.shop.example` is in group `previews`, which exists in dev and staging only; this is prod"],
        ),
        ("http://localhost:3000", "dev", []),
        ("https://pr-7.shop.example:81", "prod", []),
        ("http://pr-7.shop.example", "prod", []),
        ("https://evil.example", "prod", []),
        ("https://shop.example", "prod", []),
        ("https://api.shop.example", "prod", []),
        ("null", "prod", []),
        ("http://", "prod", []),
    ],
)
def test_an_origin_of_another_environment_is_named(
    origin: str, environment: str, notes: list[str], policy: Path
) -> None:
    policy.write_text(policy.read_text().replace("guards:\n", ELSEWHERE, 1))
    words = (*ACCOUNT, "-H", f"Origin: {origin}", "--environment", environment)
    assert told(policy, *words)["notes"] == notes
    assert run(policy, *words).stdout.count("note: ") == len(notes)


def test_our_own_headers_are_noticed_as_envoys_are() -> None:
    assert read_curl(CurlWords("http://a.example/", headers=("X-Cors-Authz-Roles: admin",))).spoofed == (
        "x-cors-authz-roles",
    )


def test_a_json_object_stands_for_a_request() -> None:
    given = read_json(
        json.dumps(
            {
                "method": "PUT",
                "url": "https://a.example/x",
                "headers": {"X-A": ["1", "2"], "Origin": "https://b.example"},
                "source": "10.0.0.1",
                "principal": "spiffe://mesh.example/x",
                "claims": {"main": {"sub": "ada"}},
            }
        ).encode()
    )
    headers = {"x-a": "1,2", "origin": "https://b.example"}
    assert given.request == Request("PUT", "https", "a.example", "/x", headers, "10.0.0.1", "spiffe://mesh.example/x")
    assert given.claims == {"main": {"sub": "ada"}}


TEXT_PROTO: Final = """
attributes {
  source { address { socket_address { address: "10.0.0.1" port_value: 9 } } principal: "spiffe://mesh.example/batch" }
  destination { principal: "a field that the service does not read" }
  request { time { seconds: 1 } http { method: "GET" scheme: "https" host: "api.shop.example" path: "/office" } }
}
"""


def test_a_request_is_the_same_however_it_is_given(policy: Path, tmp_path: Path) -> None:
    text, binary = tmp_path / "request.textproto", tmp_path / "request.bin"
    text.write_text(TEXT_PROTO)
    message = text_format.Parse(TEXT_PROTO, CheckRequest(), allow_unknown_field=True)
    binary.write_bytes(message.SerializeToString())
    url = "https://api.shop.example/office"
    who = {"source": "10.0.0.1", "principal": "spiffe://mesh.example/batch"}
    flags = ("--source", who["source"], "--principal", who["principal"])
    by_flags = told(policy, "curl", url, *flags, "--compressed")
    assert by_flags["decision"]["reason"] == "not_a_browser"
    assert told(policy, stdin=json.dumps({"url": url, **who})) == by_flags
    assert told(policy, "-", stdin=json.dumps({"url": url, **who})) == by_flags
    assert told(policy, "--check-request", str(text)) == by_flags
    assert told(policy, "--check-request", str(binary)) == by_flags
    assert reason(policy, "--check-request", str(binary), "--source", "11.0.0.1") == "source_not_allowed"


def signed(roles: list[str], issuer: str = "https://id.shop.example") -> str:
    claims = {"iss": issuer, "aud": "shop", "exp": 1_800_000_000, "iat": 1_790_000_000, "roles": roles}
    return jwt.encode({"alg": "ES256", "kid": "k1"}, claims, KEY)


def bearer(token: str) -> tuple[str, ...]:
    return (ORDERS, "-H", f"Authorization: Bearer {token}")


def test_a_token_is_verified_as_the_service_does(policy: Path) -> None:
    assert reason(policy, *bearer(signed(["clerk"]))) == "not_a_browser"
    assert reason(policy, *bearer(signed(["guest"]))) == "role_missing"
    assert reason(policy, *bearer(signed(["clerk"], "https://evil.example"))) == "token_invalid"
    assert reason(policy, *bearer(signed(["clerk"])[:-4] + "AAAA")) == "token_invalid"


def test_the_time_is_the_one_that_is_given(policy: Path) -> None:
    token = bearer(signed(["clerk"]))
    assert reason(policy, *token, "--at", "2027-01-15T07:59:59Z") == "not_a_browser"
    assert reason(policy, *token, "--at", "2027-01-15T08:10:00Z") == "token_expired"
    old = token[0].replace("v2", "v1")
    assert reason(policy, old, *token[1:], "--at", "2026-12-30T23:59:59Z") == "not_a_browser"
    assert reason(policy, old, *token[1:], "--at", "2026-12-31T00:00:00Z") == "version_retired"


def test_keys_that_cannot_be_had_are_named(policy: Path) -> None:
    policy.write_text(POLICY.replace("KEYS", "{jwksFile: /nowhere/keys.json}"))
    document = told(policy, *bearer(signed(["clerk"])))
    assert document["decision"]["reason"] == "keys_unavailable"
    (note,) = document["notes"]
    assert note == (
        "the keys of `main` cannot be had (`/nowhere/keys.json` cannot be read: No such file or directory);"
        " --claims main=JSON takes its token for valid"
    )


def test_keys_are_not_fetched_without_a_token(policy: Path) -> None:
    policy.write_text(POLICY.replace("KEYS", '{jwksUri: "https://id.shop.example/jwks"}'))
    document = told(policy, ORDERS)
    assert (document["decision"]["reason"], document["notes"]) == ("token_missing", [])


def test_claims_that_nobody_reads_are_noticed(policy: Path) -> None:
    document = told(policy, "https://api.shop.example/office", "--claims", "main={}")
    assert document["notes"] == ["the claims of `main` change nothing: no token of it is read for this request"]


def test_claims_on_standard_input_are_assumed(policy: Path) -> None:
    given = {"url": ORDERS, "claims": {"main": {"roles": ["clerk"]}}}
    assert reason(policy, stdin=json.dumps(given)) == "not_a_browser"
    assert reason(policy, "--claims", 'main={"roles": []}', stdin=json.dumps(given)) == "role_missing"


NOT_UTF8: Final = "\udcff"
"""What Python makes of the byte 0xff on a command line."""

WITH_TEXT: Final = {
    **{flag: (ORDERS, flag, NOT_UTF8) for flag in ("-d", "--data-urlencode", "-F", "-A", "-e", "-b", "-X", "--source")},
    "-u": (ORDERS, "-u", f"{NOT_UTF8}:a"),
    "-H": (ORDERS, "-H", f"a: {NOT_UTF8}"),
    "--claims": (ORDERS, "--claims", f'main={{"a":"{NOT_UTF8}"}}'),
    "--environment": (ORDERS, "--environment", NOT_UTF8),
    "[URL]": (f"{ORDERS}/{NOT_UTF8}",),
}


@pytest.mark.parametrize("words", WITH_TEXT.values(), ids=WITH_TEXT)
def test_bytes_that_are_no_text_are_refused_wherever_they_stand(words: tuple[str, ...], policy: Path) -> None:
    result = run(policy, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "\\udcff" in result.stderr
    assert " has bytes that are not UTF-8\n" in result.stderr


def test_a_terminal_never_gets_control_characters(policy: Path, tmp_path: Path) -> None:
    request = tmp_path / "request"
    message = CheckRequest()
    message.attributes.request.http.method = "GET"
    message.attributes.request.http.host = "api.shop.example"
    message.attributes.request.http.path = "/\x1b[2J\u202e"
    request.write_bytes(message.SerializeToString())
    output = run(policy, "--check-request", str(request)).stdout
    assert "path `/\\x1b[2J\\u202e` can be read in two ways" in output
    assert all(letter.isprintable() for line in output.splitlines() for letter in line)


NO_BODY: Final = (
    "`--json` asks for the answer as a JSON object and takes no data, unlike curl's;"
    " send data by -d '...' and -H 'Content-Type: application/json'"
)
BAD: Final = {
    "no request": ((), "", "the request on standard input is not JSON"),
    "no URL": (("{}",), "", "`{}` is not a URL; write https://host/path"),
    "no URL in JSON": ((), "{}", "`` is not a URL; write https://host/path"),
    "a host in brackets that is no address": (("[1]",), "", "`[1]` is not a URL; write https://host/path"),
    "a login without a scheme": (("a:b@c.example/",), "", "holds a login; write it as -H 'Authorization: ...'"),
    "a bare host that does not travel so": (("bücher.example",), "", "write the host, and all of it in ASCII"),
    "curl's --json": (("--json", '{"a": "http://b"}', ORDERS), "", NO_BODY),
    "curl's --json with a file": (("curl", "--json", "@body", "--url", ORDERS), "", NO_BODY),
    "curl's --json without a URL": (("--json", "[1]"), "", NO_BODY),
    "a URL twice": ((ORDERS, "--url", "https://b.example/"), "", "`https://b.example/` is a second URL"),
    "a query from a file": ((ORDERS, "-G", "-d", "a=1", "-d", "@x"), "", "the file of `@x` is of the URL"),
    "an encoded query from a file": (
        (ORDERS, "-G", "--data-urlencode", "a@x"),
        "",
        "the file of `@x` is of the URL",
    ),
    "no host": (("https:///x",), "", "`https:///x` is not a URL as it travels"),
    "another scheme": (("ftp://a.example/",), "", "`ftp://a.example/` is not a URL"),
    "a host that does not travel so": (("https://bücher.example/",), "", "write the host, and all of it in ASCII"),
    "a login": (("https://a:b@c.example/",), "", "holds a login; write it as -H 'Authorization: ...'"),
    "two URLs": (("https://a.example/", "https://b.example/"), "", "`https://b.example/` is a second URL"),
    "no header": (
        (ORDERS, "-H", "Origin https://x"),
        "",
        "`-H Origin https://x` is not a header; write -H 'name: value'",
    ),
    "a header with a blank in its name": ((ORDERS, "-H", "a b: c"), "", "`-H a b: c` is not a header"),
    "a header over two lines": ((ORDERS, "-H", "a: b\nc: d"), "", "header `a` has a name or a value that no"),
    "no method": ((ORDERS, "-X", "G T"), "", "`G T` is not a method"),
    "an unknown flag": (
        (ORDERS, "--proxy", "x"),
        "",
        "`--proxy` is not understood; of curl's flags, -X, -H, -d, -F, -G, -I, -u, -A, -e, -b are understood, and",
    ),
    "no instant": ((ORDERS, "--at", "today"), "", "`--at today` is not an instant; write 2026-11-20T00:00:00Z"),
    "claims of nobody": ((ORDERS, "--claims", "{}"), "", "`--claims {}` names no provider"),
    "claims of a stranger": ((ORDERS, "--claims", "x={}"), "", "no token provider `x`; it has: main"),
    "claims that are not JSON": ((ORDERS, "--claims", "main={"), "", "the claims of `main` is not JSON"),
    "claims that are no object": ((ORDERS, "--claims", "main=[]"), "", "the claims of `main` is not a JSON object"),
    "broken JSON": (("-",), "{", "the request on standard input is not JSON"),
    "JSON that is no object": ((), "[]", "the request on standard input is not a JSON object"),
    "JSON nested without end": ((), "[" * 100_000, "the request on standard input is not JSON"),
    "bytes that are no text": ((), b"\xff\xfe\x00", "the request on standard input is not JSON"),
    "an unknown key": ((), '{"uri": "x"}', "`uri` is no key of a request; its keys are method, url, headers"),
    "a URL that is no text": ((), '{"url": 7}', "`url` is not a string"),
    "headers that are no object": ((), '{"url": "https://a.example", "headers": []}', "`headers` is not a JSON object"),
    "a header that is no text": (
        (),
        '{"url": "https://a.example", "headers": {"a": [1]}}',
        "header `a` is neither a string nor a list of strings",
    ),
    "a header that no line can carry": (
        (),
        '{"url": "https://a.example", "headers": {"a": "\\ud800"}}',
        "header `a` has a name or a value that no header line can carry",
    ),
    "endless input": ((), " " * (MAX_INPUT_BYTES + 1), f"the input is longer than {MAX_INPUT_BYTES} bytes"),
    "a missing file": (("--check-request", "/nowhere"), "", "`/nowhere` cannot be read: No such file or directory"),
    "a request from two places": (
        ("--check-request", "/nowhere", ORDERS),
        "",
        "the request comes from --check-request, so neither a URL nor curl's flags may describe it",
    ),
    "flags beside standard input": (("-H", "a: b"), "{}", "the request comes from standard input, so neither"),
    "an unknown environment": ((ORDERS, "--environment", "uat"), "", "the policy declares no environment `uat`"),
}


@pytest.mark.parametrize(("words", "stdin", "expected"), BAD.values(), ids=BAD)
def test_bad_input_is_told(words: tuple[str, ...], stdin: str | bytes, expected: str, policy: Path) -> None:
    result = run(policy, *words, stdin=stdin)
    assert expected in result.stderr
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    "data", [b"", b"\x00\xff garbage", b"hello: world", b"attributes {", b"attributes { }", b"\n\x00"]
)
def test_garbage_is_no_check_request(data: bytes, policy: Path, tmp_path: Path) -> None:
    path = tmp_path / "garbage"
    path.write_bytes(data)
    result = run(policy, "--check-request", str(path))
    assert "is no CheckRequest with an HTTP request, neither binary nor as text proto" in result.stderr
    assert result.exit_code == 2


def test_every_error_of_an_invalid_policy_is_told(policy: Path) -> None:
    text = POLICY.replace("KEYS", "{jwksFile: /keys.json}")
    policy.write_text(text.replace("https://shop.example", "https://Shop.example").replace("[PUT]", "[TRACE]"))
    result = run(policy, ORDERS)
    assert [line.split(": ")[1][:5] for line in result.stderr.splitlines()] == ["CX003", "CX007"]
    assert (result.exit_code, result.stdout) == (3, "")


def test_reading_raises_nothing_but_usage_errors() -> None:
    for data in (b"nul", b'{"url": null}', b'{"url": "https://a.example", "claims": {"m": 1}}', b"9" * 5000):
        with pytest.raises(click.UsageError):
            read_json(data)
