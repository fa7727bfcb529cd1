"""Bounds: the last thing that fits, and the first that does not; and paths that only look different."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import pytest

from cors_authz.policy.finding import Finding
from cors_authz.policy.lint import bounds
from cors_authz.policy.subject import Subject


class Bound(NamedTuple):
    """A rule, a policy with so many of something, how many fit, and what the rule says of one more."""

    rule: Callable[[Subject], Iterator[Finding]]
    policy: Callable[[int], dict[str, str]]
    most: int
    said: str


def _groups(count: int) -> dict[str, str]:
    groups = "".join(f"  g{n}: {{match: [{{hosts: [h{n}.x]}}], allow: []}}\n" for n in range(count))
    return {"policy.yaml": f"resourceGroups:\n{groups}"}


def _rules(count: int) -> dict[str, str]:
    rules = "    - {origins: [web]}\n" * count
    return {"policy.yaml": f"resourceGroups:\n  g:\n    match: [{{hosts: [h.x]}}]\n    allow:\n{rules}"}


def _origins(count: int) -> dict[str, str]:
    """Most in the bundle's groups, two in an overlay: a file holds a mebibyte."""
    origins = ",".join(f"a://{n:x}" for n in range(count - 2))
    overlay = "apiVersion: cors-authz/v1\nkind: TenantOverlay\nmetadata: {tenant: t, contact: c, ticket: t}\n"
    return {
        "policy.yaml": f"originGroups:\n  web: {{origins: [{origins}]}}\n  pairs: {{perTenant: {{maxOrigins: 2}}}}\n",
        "tenant.yaml": f"{overlay}originGroups:\n  pairs: [https://x, https://y]\n",
    }


def _headers(count: int, key: str) -> dict[str, str]:
    names = ", ".join(f"x-{n}" for n in range(count - 1))
    rule = f"{{origins: [web], {key}: [{names}], headerSets: [own]}}"
    return {
        "policy.yaml": f"""\
headerSets:
  own: {{request: [x-own], expose: [x-own]}}
resourceGroups:
  g: {{match: [{{hosts: [h.x]}}], allow: [{rule}]}}
"""
    }


BOUNDS: Final = {
    "resource groups": Bound(
        bounds.too_many_groups,
        _groups,
        10_000,
        "E policy.yaml:10005:3: CX048 10001 resource groups; 10000 are the most: merge some, or split the policy",
    ),
    "rules of a group": Bound(
        bounds.too_many_rules,
        _rules,
        32,
        "E policy.yaml:40:7: CX048 `g` has 33 rules; 32 are the most: merge rules, or split the group",
    ),
    "origins of all groups": Bound(
        bounds.too_many_origins,
        _origins,
        100_000,
        "E tenant.yaml:5:22: CX048 more than 100000 origins, which are the most of a policy; say some of them by a"
        " pattern",
    ),
    "headers of a rule": Bound(
        bounds.too_many_headers,
        lambda count: _headers(count, "headers"),
        64,
        "E policy.yaml:7:66: CX048 `g/1` has 65 headers; 64 are the most: name those that are needed",
    ),
    "exposed headers of a rule": Bound(
        bounds.too_many_headers,
        lambda count: _headers(count, "exposeHeaders"),
        64,
        "E policy.yaml:7:72: CX048 `g/1` has 65 exposeHeaders; 64 are the most: name those that are needed",
    ),
}


@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
def test_so_many_fit_and_not_one_more(bound: Bound, lint: Callable[..., list[str]]) -> None:
    assert lint([bound.rule], bound.policy(bound.most)) == []
    assert lint([bound.rule], bound.policy(bound.most + 1)) == [bound.said]


PATHS: Final = """
resourceGroups:
  orders:
    match:
    - {hosts: [api.x, www.x], paths: ["/orders/{id}", "/tags/a~b", "/x%3ay@"]}
    allow: []
  others:
    match:
    - {hosts: [api.x], paths: ["/other"]}
    - {hosts: [localhost], paths: ["/ORDERS/{id}"], environments: [dev]}
    allow: []
"""
ALIKE: Final = {
    "by the case of letters": ("/Orders/{name}", "`/orders/{id}` (policy.yaml:7:39) differ only in case"),
    "by encoded letters": ("/tags/a%7Eb", "`/tags/a~b` (policy.yaml:7:55) differ only in encoding"),
    "by an encoded mark": ("/x:y%40", "`/x%3ay@` (policy.yaml:7:68) differ only in encoding"),
    "by encoded letters of another case": ("/tags/%41~b", "`/tags/a~b` (policy.yaml:7:55) differ only in case"),
}


@pytest.mark.parametrize(("path", "differ"), ALIKE.values(), ids=ALIKE)
def test_paths_that_differ_only(path: str, differ: str, lint: Callable[..., list[str]]) -> None:
    assert lint(bounds.RULES, PATHS) == []
    said = f"I policy.yaml:11:32: CX042 `{path}` and {differ}; an upstream may serve both alike"
    assert lint(bounds.RULES, PATHS.replace("/other", path)) == [f"{said}, so see that both have the same guards"]


UNLIKE: Final = {
    "hosts differ": PATHS.replace("[api.x], paths", "[third.x], paths").replace("/other", "/Orders/{id}"),
    "names of slots differ": PATHS.replace("/other", "/orders/{name}"),
    "what follows differs": PATHS.replace("/other", "/ORDERS/{id}/**"),
    "nothing, not even the encoding,": PATHS.replace("/tags/a~b", "/a%2A").replace("/other", "/a%2A"),
    "a path cannot be read": PATHS.replace("/other", "/ORDERS//{id}"),
}


@pytest.mark.parametrize("text", UNLIKE.values(), ids=UNLIKE)
def test_paths_that_differ_in_more(text: str, lint: Callable[..., list[str]]) -> None:
    assert lint(bounds.RULES, text) == []
