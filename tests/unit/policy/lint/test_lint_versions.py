"""API versions: what each finding says, and how little mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import pytest

from cors_authz.policy.finding import Finding
from cors_authz.policy.lint import versions
from cors_authz.policy.subject import Subject

ORDERS: Final = """\
resourceGroups:
  orders:
    match:
    - {hosts: [api.x], paths: ["/{version}/orders/**"]}
    - {hosts: ["{version}.api.x"], paths: ["/orders"]}
    versions:
      v1: {deprecated: 2026-06-01, sunset: 2026-12-31, successor: v2}
      v2: {deprecated: 2027-06-01, sunset: 2027-12-31, successor: v3}
      v3: {}
    allow: []
"""
NOTES: Final = """\
resourceGroups:
  notes:
    match:
    - {hosts: [api.x], paths: ["/notes/**", "/n"]}
    - {hosts: [localhost], paths: ["/{version}/notes"], environments: [dev]}
    versions: {v1: {}, v2: {}}
    versionFrom: {query: v, default: v1}
    allow: []
"""


class Case(NamedTuple):
    """A rule, a policy without a mistake, the one edit that makes it, and what the rule then says."""

    rule: Callable[[Subject], Iterator[Finding]]
    text: str
    edit: tuple[str, str]
    said: str


CASES: Final = {
    "versions have a place": Case(
        versions.versions_without_a_place,
        NOTES,
        ("    versionFrom: {query: v, default: v1}\n", ""),
        "E policy.yaml:9:15: CX047 `versions`, but no `{version}` slot in match and no `versionFrom`; write paths:"
        ' ["/{version}/notes/**"]',
    ),
    "versions have a place where every path is taken": Case(
        versions.versions_without_a_place,
        NOTES.replace(', paths: ["/notes/**", "/n"]', ""),
        ("    versionFrom: {query: v, default: v1}\n", ""),
        "E policy.yaml:9:15: CX047 `versions`, but no `{version}` slot in match and no `versionFrom`; write paths:"
        ' ["/{version}/**"]',
    ),
    **{
        f"versions take the place of a leading star: {path}": Case(
            versions.versions_without_a_place,
            NOTES.replace('"/notes/**"', f'"{path}"'),
            ("    versionFrom: {query: v, default: v1}\n", ""),
            "E policy.yaml:9:15: CX047 `versions`, but no `{version}` slot in match and no `versionFrom`; write paths:"
            f' ["{mended}"]',
        )
        for path, mended in {
            "/*/orders/**": "/{version}/orders/**",
            "/*": "/{version}",
            "/*/": "/{version}",
            "/*/*": "/{version}/*",
            "/**": "/{version}/**",
            "/a/*": "/{version}/a/*",
        }.items()
    },
    "every route has the version": Case(
        versions.routes_without_a_version,
        ORDERS,
        ("{version}.api.x", "old.api.x"),
        "E policy.yaml:8:7: CX047 `old.api.x/orders` has no `{version}` slot, and other routes of `orders` have one;"
        " add it, or say versionFrom",
    ),
    "a version has one place": Case(
        versions.two_places_of_a_version,
        ORDERS.replace("    versions:\n", "    versionFrom: {query: v}\n    versions:\n").replace(
            "{version}.api", "api"
        ),
        ('paths: ["/orders"]', 'paths: ["/{version}/orders"]'),
        "E policy.yaml:9:18: CX047 `versionFrom`, but every route has a `{version}` slot, which counts alone; leave one"
        " of the two out",
    ),
    "the default is a version": Case(
        versions.unknown_default_versions,
        NOTES,
        ("default: v1", "default: vv1"),
        "E policy.yaml:10:38: CX046 `vv1` is no version of `notes`; did you mean `v1`?",
    ),
    "what is deprecated has an end": Case(
        versions.deprecations_without_an_end,
        ORDERS,
        ("sunset: 2026-12-31, ", ""),
        "W policy.yaml:10:24: CX044 version `v1` is deprecated and has no `sunset`; say its last day and its successor",
    ),
    "the end comes after deprecation": Case(
        versions.sunsets_before_deprecation,
        ORDERS,
        ("sunset: 2026-12-31", "sunset: 2026-06-01"),
        "E policy.yaml:10:44: CX044 version `v1` is refused from `sunset` on, and `deprecated` is not before it; swap"
        " or mend them",
    ),
    "a successor is a version": Case(
        versions.bad_successors,
        ORDERS,
        ("successor: v2", "successor: vv2"),
        "E policy.yaml:10:67: CX044 `vv2` is no version of `orders`; did you mean `v2`?",
    ),
    "a successor is another version": Case(
        versions.bad_successors,
        ORDERS,
        ("successor: v2", "successor: v1"),
        "E policy.yaml:10:67: CX044 version `v1` is its own successor; name a version that stays",
    ),
    "a successor outlives": Case(
        versions.bad_successors,
        ORDERS,
        ("sunset: 2027-12-31", "sunset: 2026-12-31"),
        "E policy.yaml:10:67: CX044 version `v2`, the successor of `v1`, does not outlive it; name a version that"
        " stays",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_each_finding_is_one_edit_away(case: Case, lint: Callable[..., list[str]]) -> None:
    assert case.edit[0] in case.text
    assert lint([case.rule], case.text) == []
    assert lint([case.rule], case.text.replace(*case.edit)) == case.said.splitlines()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_mistake_hides_no_other_rule(case: Case, lint: Callable[..., list[str]]) -> None:
    assert set(case.said.splitlines()) <= set(lint(versions.RULES, case.text.replace(*case.edit)))


def _group(said: str, of_match: str = "paths: [/orders]") -> str:
    return f"""
resourceGroups:
  orders:
    match: [{{hosts: [api.x], {of_match}}}]
    allow: []
    {said}
"""


QUIET: Final = {
    "a group without versions": (versions.versions_without_a_place, _group("")),
    "a group that is not there": (
        versions.versions_without_a_place,
        _group("versions: {v1: {}}", "environments: [dev]"),
    ),
    "versions without a place, of each route": (versions.routes_without_a_version, _group("versions: {v1: {}}")),
    "slots in some routes beside versionFrom": (
        versions.routes_without_a_version,
        ORDERS.replace("    versions:\n", "    versionFrom: {query: v}\n    versions:\n").replace(
            "{version}.api", "api"
        ),
    ),
    "versionFrom without a default": (
        versions.unknown_default_versions,
        _group("versions: {v1: {}}\n    versionFrom: {query: v}"),
    ),
    "an end without deprecation": (
        versions.sunsets_before_deprecation,
        _group("versions: {v1: {sunset: 2026-12-31, successor: v2}, v2: {}}"),
    ),
    "deprecation without an end": (
        versions.sunsets_before_deprecation,
        _group("versions: {v1: {deprecated: 2026-12-31}}"),
    ),
    "a successor with an end, of what has none": (
        versions.bad_successors,
        _group("versions: {v1: {successor: v2}, v2: {sunset: 2026-12-31, successor: v3}, v3: {}}"),
    ),
}


@pytest.mark.parametrize(("rule", "text"), QUIET.values(), ids=QUIET)
def test_nothing_is_said_of(
    rule: Callable[[Subject], Iterator[Finding]], text: str, lint: Callable[..., list[str]]
) -> None:
    assert lint([rule], text) == []


def test_a_route_of_another_environment_needs_nothing_here(lint: Callable[..., list[str]]) -> None:
    slot_only = NOTES.replace("    versionFrom: {query: v, default: v1}\n", "").replace(
        '"/notes/**", "/n"', '"/{version}"'
    )
    without = slot_only.replace('["/{version}/notes"]', '["/notes"]')
    assert lint(versions.RULES, without, "prod") == []
    said = "E policy.yaml:8:7: CX047 `localhost/notes` has no `{version}` slot, and other routes of `notes` have one"
    assert lint(versions.RULES, without, "dev") == [f"{said}; add it, or say versionFrom"]


def test_tenant_and_version_may_stand_in_host_and_path(lint: Callable[..., list[str]]) -> None:
    twice = ORDERS.replace("hosts: [api.x]", 'hosts: ["{tenant}.{version}.api.x"]').replace(
        "/orders/**", "/{tenant}/**"
    )
    assert lint(versions.RULES, twice) == []
