"""Origins made to slip through a list: every one is refused, whichever way it comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from cors_authz.fetch.origin import Origin, parse_origin
from cors_authz.fetch.request import Request
from cors_authz.pdp.decision import Decision, Outcome, Reason
from cors_authz.pdp.match import match
from cors_authz.pdp.response import whole
from cors_authz.policy.compiled import CompiledPolicy
from tests.deciding import DECISION_ID, ask, compiled, decided, preflight
from tests.property.strategies import reference_policies

_RULES: Final = """
    allow: [{origins: [listed], methods: [GET, POST], credentials: [cookie]}]
"""
POLICY = compiled(f"""
originGroups:
  listed:
    origins: ["https://foo.com", "https://bar.com", "https://*.ex.com", "https://wwww.example.com"]
    trust: high
  app: {{origins: [capacitor://localhost], webView: true, trust: medium}}
resourceGroups:
  api:
    match: [{{hosts: [api.example]}}]
    unlisted: {{reads: deny}}
{_RULES}
  live:
    match: [{{hosts: [live.example]}}]
    protocols: [websocket]
{_RULES}
  app:
    match: [{{hosts: [app.example]}}]
    unlisted: {{reads: deny}}
    allow: [{{origins: [app], methods: [GET, POST]}}]
""")

ADVERSARIAL: Final = (
    "https://barfoo.com",
    "https://foo.com.evil.net",
    "https://evilfoo.com",
    "https://foo.com%60.evil.net",
    "https://foo.com`.evil.net",
    "https://foo_.com",
    "https://foo.com_.evil.net",
    "https://foo.comevil",
    "https://foo.co",
    "https://ex.com",
    "https://.ex.com",
    "https://a..ex.com",
    "https://a.ex.com.",
    "https://ex.com.",
    "https://aex.com",
    "https://a.ex.com:8443",
    "https://a.ex.com.evil.net",
    "http://a.ex.com",
    "https://-a.ex.com",
    "https://A.ex.com",
    "https://*.ex.com",
    "https://a*.ex.com",
    "http://foo.com",
    "https://foo.com:443",
    "https://foo.com:8443",
    "https://foo.com:",
    "https://FOO.com",
    "HTTPS://foo.com",
    "https://foo.com/",
    "https://foo.com/a",
    "https://foo.com.",
    "https://foo.com,https://bar.com",
    "https://foo.com, https://bar.com",
    "https://foo.com https://bar.com",
    "https://foo.com,https://foo.com",
    "https://user@foo.com",
    "https://foo.com@evil.net",
    "https://foo.com#",
    "https://foo.com?",
    "https://evil.net#foo.com",
    "https://evil.net\\.foo.com",
    "https://xn--foo-1ja.com",
    "https://f\u00f6\u00f6.com",
    "https://\u0192oo.com",
    "https://[::ffff:1.2.3.4]",
    "https://[::1]",
    "https://1.2.3.4",
    "null",
    "NULL",
    "Null",
    " https://foo.com",
    "https://foo.com ",
    "https://foo.com\t",
    "https://foo.com\0",
    "https://foo.com\0.evil.net",
    "https://foo.com\r\n",
    "https://foo.com\r\nx-evil: 1",
    "https://" + "a" * 8192 + ".ex.com",
    "https://" + "a." * 4096 + "ex.com",
    "https://" + "a" * 64 + ".ex.com",
    "capacitor://evil.com",
    "capacitor://foo.com",
    "capacitor://localhost",
    "ws://foo.com",
    "wss://foo.com",
    "file://",
    "data:text/html,a",
    "about:blank",
    "https://",
    "://foo.com",
    "//foo.com",
    "foo.com",
    "*",
    ".*",
    "https://wwwaexample.com",
    "https://wwwwaexample.com",
    "https://www.example.com",
    "https://foo.com.s3.amazonaws.com",
    "https://sub.foo.com",
)


def grants(decision: Decision) -> list[str]:
    headers = whole(decision, DECISION_ID).to_client
    return [header.name for header in headers if header.name.startswith("access-control-") and header.value]


def each_way(address: str, live: str, origin: str) -> tuple[Request, ...]:
    """Send an origin with a read, a write, a preflight and a handshake."""
    return (
        ask(f"GET https://{address}", origin=origin),
        ask(f"POST https://{address}", origin=origin),
        preflight(f"POST https://{address}", origin),
        ask(f"GET https://{live}", origin=origin, upgrade="websocket"),
    )


REFUSED: Final = (Outcome.DENY, Outcome.DENY, Outcome.PREFLIGHT_DENY, Outcome.DENY)
REASONS: Final = {Reason.ORIGIN_NOT_ALLOWED, Reason.ORIGIN_MALFORMED}


@pytest.mark.parametrize("origin", ADVERSARIAL, ids=[repr(origin)[:60] for origin in ADVERSARIAL])
def test_an_adversarial_origin_is_refused_each_way(origin: str) -> None:
    decisions = [decided(POLICY, request) for request in each_way("api.example/", "live.example/", origin)]
    assert tuple(decision.outcome for decision in decisions) == REFUSED
    assert {decision.reason for decision in decisions} <= REASONS
    assert [grants(decision) for decision in decisions] == [[]] * 4


@pytest.mark.parametrize("origin", ["https://foo.com", "https://bar.com", "https://a.ex.com", "https://a.b.ex.com"])
def test_a_listed_origin_is_admitted_each_way(origin: str) -> None:
    outcomes = [decided(POLICY, request).outcome for request in each_way("api.example/", "live.example/", origin)]
    assert outcomes == [Outcome.ALLOW, Outcome.ALLOW, Outcome.PREFLIGHT_ALLOW, Outcome.ALLOW]


@pytest.mark.parametrize(
    "origin", ["capacitor://evil.com", "capacitor://localhost:1", "ionic://localhost", "localhost"]
)
def test_a_web_view_is_its_own_origin_and_no_other(origin: str) -> None:
    requests = each_way("app.example/", "live.example/", "capacitor://localhost")[:3]
    assert [decided(POLICY, request).outcome for request in requests][:2] == [Outcome.ALLOW] * 2
    others = [decided(POLICY, request).outcome for request in each_way("app.example/", "live.example/", origin)]
    assert tuple(others) == REFUSED


def test_an_empty_origin_is_none_and_grants_nothing() -> None:
    """Envoy drops an empty `Origin` altogether, so it cannot be told from an absent one."""
    decision = decided(POLICY, ask("POST https://api.example/", origin=""))
    assert (decision.outcome, decision.reason, grants(decision)) == (Outcome.ALLOW, Reason.NOT_A_BROWSER, [])


def mutations(listed: str) -> Iterator[str]:
    """Change a listed origin in every way that has ever fooled a comparison."""
    origin = parse_origin(listed) or Origin("", "", "")
    scheme, _, rest = listed.partition("://")
    host = origin.host
    yield from (f"http://{rest}x", f"{scheme}://evil{rest}", f"{scheme}://evil-{rest}", f"{scheme}://x.{rest}")
    yield from (
        f"{listed}.evil.net",
        f"{listed}evil",
        f"{listed}.",
        f"{listed}/",
        f"{listed}#",
        f"{listed}?",
        f"{listed}:",
    )
    yield from (
        f"{listed},{listed}",
        f"{listed} {listed}",
        f"{listed}\0",
        f"{listed}\r\n",
        f" {listed}",
        f"{listed}%60.evil.net",
    )
    yield from (f"{scheme}://user@{rest}", f"{listed}@evil.net", f"{scheme}://evil.net\\.{rest}", f"{scheme}:/{rest}")
    yield from (listed.upper(), scheme.upper() + listed[len(scheme) :], listed.title(), f"x{listed}", listed[:-1])
    yield from (
        f"{scheme}://{host}:{port}" for port in ("1", "443", "80", "8443", "65536") if f":{port}" != rest[len(host) :]
    )
    yield f"{scheme}://{host.replace('.', 'a', 1)}a"
    yield f"{scheme}://" + host.replace("o", "\u043e").replace("e", "\u0435")


SWEEP: Final = {
    f"{name}: {origin}": (policy, origin)
    for name, policy in reference_policies().items()
    for origin in policy.origins.exact
}


PATHS: Final = (
    "/",
    "/static/a",
    "/v2/a",
    "/v3/a",
    "/v2/admin/a",
    "/v2/shipments/a",
    "/socket",
    "/feed",
    "/atlas.maps.v2.MapService/UpdateMap",
    "/api/a",
    "/mcp",
    "/accounts/a",
    "/prices",
    "/v3/retail/cards/a",
    "/v3/retail/cards/pins/a",
    "/v1/wealth/portfolios/a",
    "/atlas.maps.v2.MapService/GetMap",
    "/v3/transfers/a",
)


def reached(policy: CompiledPolicy) -> tuple[tuple[str, str], ...]:
    """Give a host and a path for each group that allows something to some origins and not to all."""
    groups: dict[str, tuple[str, str]] = {}
    for host in (*policy.routes.exact, "acme.api.hive.example", "pr-7.api.preview.kite.example"):
        for path in PATHS:
            group = match(ask(f"GET https://{host}{path}"), policy).group
            if group is not None and group.rules and not group.star:
                groups.setdefault(group.name, (host, path))
    return tuple(groups.values())


@pytest.mark.parametrize(("policy", "listed"), SWEEP.values(), ids=SWEEP)
def test_no_mutation_of_a_listed_origin_is_let_in(policy: CompiledPolicy, listed: str) -> None:
    """A write, a preflight and a handshake are refused; a read is refused too, or goes on without a grant."""
    urls = reached(policy)
    assert urls
    for mutant in set(mutations(listed)) - set(policy.origins.exact):
        for host, path in urls:
            read, *others = (decided(policy, request) for request in each_way(host + path, host + path, mutant))
            assert [grants(decision) for decision in (read, *others)] == [[]] * 4, mutant
            assert {decision.outcome for decision in others} <= {Outcome.DENY, Outcome.PREFLIGHT_DENY}, mutant
            assert read.outcome is Outcome.DENY or read.reason is Reason.UNLISTED_READ, mutant


@pytest.mark.parametrize(("policy", "listed"), SWEEP.values(), ids=SWEEP)
def test_a_listed_origin_is_let_in_somewhere(policy: CompiledPolicy, listed: str) -> None:
    """Without this the sweep would prove nothing."""
    listed_at = [
        match(ask(f"GET https://{host}{path}", origin=listed), policy).listed for host, path in reached(policy)
    ]
    assert any(listed_at)
