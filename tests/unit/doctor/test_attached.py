"""A SecurityPolicy for one listener of a Gateway, beside others that forward."""

from __future__ import annotations

from typing import Final

import pytest

from tests.unit.doctor.test_manifest_findings import GATEWAY, found

_TARGET: Final = "{kind: HTTPRoute, name: shop}"
_SECURE: Final = "{kind: Gateway, name: edge, sectionName: https}"
_PARENTS: Final = "  hostnames: [api.shop.example]\n"
_BOTH: Final = "[{name: edge}]"
_OBJECT: Final = """\
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: https, port: 443, protocol: HTTPS}
  - {name: tcp, port: 5432, protocol: TCP}
"""


def estate(*, parents: str = _BOTH, target: str = _SECURE, more: str = "", route: str = "") -> str:
    """Write a Gateway, a policy for one of its listeners, and a route; `route` stands instead of its rules."""
    text = GATEWAY.replace(_TARGET, target).replace(_PARENTS, f"{_PARENTS}  parentRefs: {parents}\n")
    body = text if not route else text[: text.rindex("  rules:")] + f"  rules: {route}\n" + _REMOVES
    return body + _OBJECT + more


# The headers of the upstream are taken off by another object.
_REMOVES: Final = "---\nkind: Other\nspec: {remove: " + GATEWAY[GATEWAY.rindex("remove: ") + 8 :].rstrip() + "}\n"
_OTHER: Final = f"---\n{GATEWAY.partition('---')[0]}".replace("name: cors, namespace: shop", "name: b, namespace: shop")
LEFT_OUT: Final = {
    "a route of both listeners": (estate(), ["DR001"]),
    "a route of the other listener": (estate(parents="[{name: edge, sectionName: http}]"), ["DR001"]),
    "a route of the other listener, by its port": (estate(parents="[{name: edge, port: 80}]"), ["DR001"]),
    "a route of gRPC": (
        estate().replace("kind: HTTPRoute\nmetadata: {name: shop,", "kind: GRPCRoute\nmetadata: {name: shop,"),
        ["DR001"],
    ),
    "a route of the other listener, which has TLS": (
        estate(target=_SECURE.replace("https", "http"), parents="[{name: edge, sectionName: https}]"),
        ["DR001"],
    ),
    "a policy of another namespace, for a Gateway of the same name": (
        estate().replace(
            "kind: Gateway\nmetadata: {name: edge, namespace: shop}", "kind: Gateway\nmetadata: {name: edge}"
        ),
        [],
    ),
    "a route that a policy of another namespace is not for": (
        estate(more=_OTHER.replace("namespace: shop", "namespace: other")),
        ["DR101", "DR001"],
    ),
    "a route that a policy of another kind is not for": (
        estate(more=_OTHER.replace(_TARGET, "{kind: GRPCRoute, name: shop}")),
        ["DR001"],
    ),
    "a route of the same listener": (estate(parents="[{name: edge, sectionName: https}]"), ["DR008"]),
    "a route of the same listener, by its port": (estate(parents="[{name: edge, port: 443}]"), ["DR008"]),
    "a route of another Gateway": (estate(parents="[{name: other}]"), ["DR008"]),
    "a route that redirects": (estate(route="[{filters: [{requestRedirect: {scheme: https}}]}]"), []),
    "a route that redirects sometimes": (
        estate(route="[{filters: [{requestRedirect: {scheme: https}}]}, {backendRefs: [{name: a}]}]"),
        ["DR001"],
    ),
    "a route that a policy of its own is for": (estate(more=_OTHER), []),
    "a route that a policy is for by its labels": (
        estate(more=_OTHER.replace(_TARGET, "{kind: HTTPRoute, matchLabels: {}}")),
        [],
    ),
    "a route that a policy with other labels is not for": (
        estate(more=_OTHER.replace(_TARGET, "{kind: HTTPRoute, matchLabels: {a: b}}")),
        ["DR001"],
    ),
    "another policy for the other listener": (
        estate(more=_OTHER.replace(_TARGET, "{kind: Gateway, name: edge, sectionName: http}")),
        [],
    ),
    "a policy for the whole Gateway": (estate(target="{kind: Gateway, name: edge}"), []),
    "a policy for the route alone": (estate(target=_TARGET), []),
    "a policy for another Gateway": (estate(target="{kind: Gateway, name: other, sectionName: https}"), []),
}


@pytest.mark.parametrize("sentence", LEFT_OUT)
def test_a_listener_that_no_policy_is_for(sentence: str) -> None:
    text, expected = LEFT_OUT[sentence]
    assert [each.rule.code for each in found(text)] == expected


def test_the_finding_names_the_listener_and_the_route() -> None:
    (finding,) = found(estate())
    said = "no SecurityPolicy with `extAuth` is for listener `http`, and HTTPRoute `shop` forwards there"
    assert (finding.where.part, finding.detail) == ("Gateway edge", said)
    assert estate().splitlines()[finding.where.line - 1] == "  - {name: http, port: 80, protocol: HTTP}"
