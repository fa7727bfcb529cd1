"""What properties draw from: policies of every shape, and requests that often mean something to them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from hypothesis import strategies as st

from cors_authz.fetch.request import Request
from cors_authz.pdp.readings import TokenReading, TokenState
from cors_authz.policy.compiled import CompiledPolicy
from cors_authz.policy.document import Source
from cors_authz.policy.load import load_policy
from tests.deciding import IDENTITY, NOW, compiled, token

REFERENCE: Final = Path(__file__).parents[1] / "policies" / "reference"

GUARDS: Final = {
    "signed-in": "{authenticated: true, provider: main}",
    "clerk": "{anyRole: [clerk], provider: main}",
    "own-origin": "{originInClaim: origins, provider: main}",
    "office": "{sourceIn: [10.0.0.0/8], phase: both}",
    "client": "{header: {name: x-client, equals: app}}",
    "either": "{anyOf: [clerk, office-hours]}",
}
"""Guards that a policy may or may not name, so that two policies may differ by them alone."""

_HEAD: Final = (
    IDENTITY
    + "guards:\n  office-hours: {tokenAgeAtMost: 1h, provider: staff}\n"
    + "".join(f"  {name}: {text}\n" for name, text in GUARDS.items())
    + """
originGroups:
  web: {origins: ["https://web.example", "https://shop.example:8443"], trust: high}
  previews: {origins: ["https://pr-{digits}.web.example", "https://*.preview.example"], trust: medium}
  anyone: {any: true}
"""
)
_GROUP: Final = """
  {name}:
    match: [{{hosts: [{name}.example]}}]
{guards}{keys}
"""
_GROUPS: Final = {
    "cookies": """
    allow:
    - {origins: [web], methods: [GET, POST, PUT], headers: [content-type], exposeHeaders: [etag], credentials: [cookie]}
    - {origins: [previews], headers: ["*"]}
""",
    "tokens": """
    sensitivity: confidential
    versions: {v1: {deprecated: 2026-06-01, sunset: 2026-12-01, successor: v2}, v2: {}}
    versionFrom: {header: x-version, default: v2}
    allow:
    - {origins: [web], methods: ["*"], headers: [content-type], credentials: [bearer, mtls]}
    - {origins: [previews], versions: [v2], credentials: [bearer]}
""",
    "sealed": "    sensitivity: restricted\n    browserOnly: true\n    allow: []\n",
    "open": "    sensitivity: public\n    allow: [{origins: [anyone], exposeHeaders: [etag]}]\n",
    "narrowed": "    sensitivity: public\n    unlisted: {embeds: deny}\n    allow: [{origins: [anyone]}]\n",
    "mixed": """
    sensitivity: public
    unlisted: {navigations: same-site}
    allow: [{origins: [anyone]}, {origins: [web], methods: [GET, DELETE]}]
""",
    "live": """
    protocols: [websocket, sse]
    allow: [{origins: [web], credentials: [cookie]}]
""",
    "tools": "    protocols: [mcp]\n    allow: [{origins: [web], credentials: [bearer]}]\n",
    "quiet": "    mode: shadow\n    allow: [{origins: [web], methods: [POST]}]\n",
}


@cache
def policy_with(guards: tuple[str, ...] = ()) -> CompiledPolicy:
    """Compile the policy of all shapes, every group of which has these guards."""
    named = f"    guards: [{', '.join(guards)}]\n" if guards else ""
    groups = "".join(_GROUP.format(name=name, guards=named, keys=keys.strip("\n")) for name, keys in _GROUPS.items())
    return compiled(f"{_HEAD}resourceGroups:\n{groups}")


@cache
def reference_policies() -> Mapping[str, CompiledPolicy]:
    """Compile the reference policies, each for the production environment that it declares."""
    return {path.stem: _reference(path) for path in sorted(REFERENCE.iterdir())}


def _reference(path: Path) -> CompiledPolicy:
    files = [path] if path.is_file() else sorted(path.rglob("*.yaml"))
    sources = [Source(file.name, file.read_bytes()) for file in files]
    return load_policy(sources, "prod-eu" if path.stem == "09-bank" else "prod").policy


LISTED: Final = (
    "https://web.example",
    "https://shop.example:8443",
    "https://pr-7.web.example",
    "https://a.b.preview.example",
)
UNLISTED: Final = (
    "https://evil.example",
    "http://web.example",
    "https://web.example.evil.example",
    "https://pr-x.web.example",
    "https://preview.example",
)
MALFORMED: Final = ("https://web.example/", "HTTPS://web.example", "https://web.example,https://web.example", "x")

hosts = st.sampled_from([f"{name}.example" for name in _GROUPS])
serialized = st.one_of(
    st.sampled_from(LISTED),
    st.one_of(st.sampled_from(UNLISTED), st.just("null"), hosts.map("https://{}".format)),
)
origins = st.one_of(serialized, st.just(""), st.sampled_from(MALFORMED), st.text(max_size=12))
methods = st.one_of(
    st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"]),
    st.sampled_from(["PATCH", "QUERY", "get", "TRACE", "CONNECT", ""]),
)
targets = st.one_of(
    st.sampled_from(["/", "/a", "/a/b?c=d"]),
    st.sampled_from(["", "*", "/a/../b", "//", "/a%2fb", "/?_method=DELETE", "/?_method=x y"]),
    st.text(max_size=8).map("/{}".format),
)
_values = {
    "sec-fetch-site": st.sampled_from(["", "same-origin", "none", "same-site", "cross-site", "mars"]),
    "sec-fetch-mode": st.sampled_from(["", "cors", "no-cors", "navigate", "same-origin", "websocket"]),
    "sec-fetch-dest": st.sampled_from(["", "empty", "document", "image", "iframe"]),
    "authorization": st.just("Bearer t"),
    "x-version": st.sampled_from(["", "v1", "v2", "v9", "v2,v2"]),
    "x-client": st.sampled_from(["", "app", "other"]),
    "access-control-request-method": methods,
    "access-control-request-headers": st.one_of(
        st.sampled_from(["", "content-type", "authorization", "x-a,content-type", "X-A, x-b"]), st.text(max_size=12)
    ),
    "access-control-request-private-network": st.just("true"),
}
_odd = {
    "upgrade": st.sampled_from(["websocket", "h2c"]),
    "content-type": st.sampled_from(["", "application/json", "text/plain", "application/grpc", "Application/gRPC-Web"]),
    "content-length": st.sampled_from(["0", "1", "x"]),
    "x-http-method-override": st.sampled_from(["", "DELETE", "trace", "a b"]),
    "connect-protocol-version": st.just("1"),
}
browser_headers = st.fixed_dictionaries({}, optional=_values)
any_headers = st.one_of(
    st.fixed_dictionaries({}, optional=_values | _odd),
    st.dictionaries(st.sampled_from([*_values, *_odd, "cookie"]), st.text(max_size=8)),
)
claims = st.fixed_dictionaries(
    {},
    optional={
        "roles": st.one_of(st.just(["clerk"]), st.just("guest"), st.lists(st.text(max_size=5), max_size=2)),
        "origins": st.lists(st.sampled_from([*LISTED, *UNLISTED]), max_size=2),
        "iat": st.sampled_from([NOW, NOW - 1e6, "x"]),
    },
)
readings = st.one_of(
    st.sampled_from([TokenReading(state, {}) for state in TokenState if state is not TokenState.VALID]),
    claims.map(lambda said: token(**said)),
)
token_sets = st.fixed_dictionaries({}, optional={"main": readings, "staff": readings})
guard_sets = st.lists(st.sampled_from(sorted(GUARDS)), unique=True, max_size=3).map(lambda names: tuple(sorted(names)))


class Asked(NamedTuple):
    """A request, and the tokens that came with it."""

    request: Request
    tokens: Mapping[str, TokenReading]


@st.composite
def requests(draw: st.DrawFn) -> Asked:
    """Draw a request to one of the groups, now and then one that no policy has foreseen."""
    origin = draw(origins)
    headers = {**draw(any_headers), **({"origin": origin} if origin else {})}
    host = draw(st.one_of(hosts, hosts, st.sampled_from(["other.example", "API.example", "a b", ""])))
    source = draw(st.sampled_from(["", "10.0.0.1", "192.0.2.1", "x"]))
    request = Request(draw(methods), draw(st.sampled_from(["https", "http", ""])), host, draw(targets), headers, source)
    return Asked(request, draw(token_sets))


@st.composite
def preflights(draw: st.DrawFn) -> Asked:
    """Draw a preflight to one of the groups."""
    headers = {"access-control-request-method": "GET", **draw(browser_headers), "origin": draw(serialized)}
    return Asked(Request("OPTIONS", "https", draw(hosts), "/", headers, "10.0.0.1"), draw(token_sets))


@st.composite
def reads(draw: st.DrawFn) -> Asked:
    """Draw a GET as a browser or a server would send it, its origin well-formed or left out."""
    origin = draw(st.one_of(st.just(""), serialized))
    headers = {**draw(browser_headers), **({"origin": origin} if origin else {})}
    return Asked(Request("GET", "https", draw(hosts), "/a", headers, "10.0.0.1"), draw(token_sets))


anything = st.one_of(requests(), preflights(), reads())
