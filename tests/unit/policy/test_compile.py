"""What the compiler works out of a group: how its answers vary, and who may keep them."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cors_authz.policy.compiled import Trust
from tests.deciding import IDENTITY, compiled

GROUPS = """
originGroups:
  web: {origins: ["https://web.example"], trust: high}
  anyone: {any: true}
guards:
  signed-in: {authenticated: true, provider: main}
  staff: {anyRole: [staff], provider: staff}
  flagged: {header: {name: x-flag, equals: "on"}}
  office: {sourceIn: [10.0.0.0/8]}
  batch: {principalIn: ["spiffe://mesh.example/ns/batch/sa/export"]}
  either: {anyOf: [signed-in, batch]}
resourceGroups:
  group:
    match:
    - {hosts: [api.example]}
"""

SITE = ("Origin", "Sec-Fetch-Site")
SITE_MODE = (*SITE, "Sec-Fetch-Mode", "Sec-Fetch-Dest")


class Case(NamedTuple):
    """The further keys of a group, and what follows."""

    keys: str
    vary: tuple[str, ...]
    private: bool = False
    star: bool = False
    origin_free: bool = False


OPEN = "sensitivity: public, allow: [{origins: [anyone]}]"

CASES = {
    "a listed origin is echoed, and other sites are judged": Case("allow: [{origins: [web]}]", SITE_MODE),
    "where all is forwarded, only the site tells a null origin from our own": Case(
        "sensitivity: public, allow: [{origins: [web]}]", SITE
    ),
    "any alone, forwarded, says * to everyone": Case(OPEN, (), star=True, origin_free=True),
    "any alone with a group that denies embeds says *, and still varies": Case(
        f"{OPEN}, unlisted: {{embeds: deny}}", SITE_MODE, star=True
    ),
    "any beside another origin is echoed": Case("sensitivity: public, allow: [{origins: [web, anyone]}]", SITE),
    "any for one version only still varies": Case(
        "sensitivity: public, versions: {v1: {}}, versionFrom: {query: v}, "
        "allow: [{origins: [anyone], versions: [v1]}]",
        SITE,
        star=True,
    ),
    "any under a guard still varies: credentials are taken off a foreign request": Case(
        f"{OPEN}, guards: [signed-in]", (*SITE, "Authorization"), private=True, star=True
    ),
    "any under a guard of its rule still varies": Case(
        "sensitivity: public, allow: [{origins: [anyone], guards: [flagged]}]", (*SITE, "X-Flag"), star=True
    ),
    "a token in a header of its own is named": Case(
        "guards: [staff], allow: []", (*SITE_MODE, "X-Staff"), private=True
    ),
    "a guard of a header is named": Case("guards: [flagged], allow: []", (*SITE_MODE, "X-Flag")),
    "a network is no header, and no shared cache knows it": Case(
        "guards: [office], allow: []", SITE_MODE, private=True
    ),
    "a certificate is none either": Case("guards: [batch], allow: []", SITE_MODE, private=True),
    "members of anyOf count": Case("guards: [either], allow: []", (*SITE_MODE, "Authorization"), private=True),
    "a guard of a rule counts": Case(
        "allow: [{origins: [web], guards: [either]}]", (*SITE_MODE, "Authorization"), private=True
    ),
    "a version in a header is named": Case(
        "versions: {v1: {}}, versionFrom: {header: x-api-version}, allow: []", (*SITE_MODE, "X-Api-Version")
    ),
    "a version in a media type is in Accept": Case(
        'versions: {v1: {}}, versionFrom: {mediaType: "application/vnd.x.{version}+json"}, allow: []',
        (*SITE_MODE, "Accept"),
    ),
    "a version in the query is in the URL": Case("versions: {v1: {}}, versionFrom: {query: v}, allow: []", SITE_MODE),
}


@pytest.mark.parametrize("sentence", CASES)
def test_how_answers_vary(sentence: str) -> None:
    case = CASES[sentence]
    lines = "".join(f"    {line}\n" for line in _keys(case.keys))
    (group,) = compiled(IDENTITY + GROUPS + lines).groups
    assert Case(case.keys, group.vary, group.private, group.star, group.origin_free) == case


def _keys(text: str) -> list[str]:
    """Open a flow mapping's keys at the commas that stand outside brackets."""
    keys, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not depth:
            keys.append("")
        else:
            keys[-1] += letter
    return [key.strip() for key in keys]


ORIGINS = """
originGroups:
  shops: {origins: ["https://*.shop.example"], trust: high}
  anyone: {any: true}
  web: {origins: ["https://web.shop.example"], trust: high}
  partners: {origins: ["https://web.shop.example"], trust: high}
resourceGroups: {}
"""


def test_an_exact_origin_is_in_its_groups_then_in_those_of_patterns_then_in_any() -> None:
    found = compiled(ORIGINS).origins.exact["https://web.shop.example"]
    assert [(membership.group, membership.pattern) for membership in found] == [
        ("web", "https://web.shop.example"),
        ("partners", "https://web.shop.example"),
        ("shops", "https://*.shop.example"),
        ("anyone", "any"),
    ]


SIGNED = """\
    reason: r
    ticket: T-1
    requestedBy: kim
    approvals:
    - {by: ada, role: security, at: 2026-10-01T00:00:00Z}
    - {by: noor, role: senior, at: 2026-10-01T00:00:00Z}
    from: 2026-12-01T00:00:00Z
"""
KEY = "ed25519:Qm9vb2tlZXBpbmdJbmVzS2V5MDAwMDAwMDAwMDAwMDA"
TAGGED = f"""
environments: {{prod: {{like: prod}}, dev: {{like: dev}}}}
people:
  ada:  {{roles: [security], key: "{KEY}"}}
  noor: {{roles: [senior], key: "{KEY}"}}
  kim:  {{roles: [developer], key: "{KEY}"}}
originGroups:
  web: {{origins: ["https://web.example"], trust: high}}
  embedder: {{origins: ["https://other.example"], trust: low, environments: [dev]}}
  anyone: {{any: true}}
resourceGroups:
  group:
    sensitivity: public
    match: [{{hosts: [api.example]}}]
    allow: [{{origins: [web, embedder, anyone]}}]
exceptions:
  EX-1:
    grant: {{resourceGroups: [group], origins: ["https://a.example"], methods: [GET]}}
{SIGNED}    until: 2026-12-11T00:00:00Z
  EX-2:
    grant: {{resourceGroups: [group], origins: ["https://b.example"], methods: [GET]}}
{SIGNED}    until: 2026-12-10T12:00:00Z
    environments: [dev]
"""


def test_how_far_each_origin_group_of_the_environment_is_trusted() -> None:
    assert compiled(TAGGED).trust == {"web": Trust.HIGH, "anyone": Trust.NONE}
    assert compiled(TAGGED, "dev").trust == {"web": Trust.HIGH, "embedder": Trust.LOW, "anyone": Trust.NONE}


def test_when_each_exception_of_the_environment_ends() -> None:
    assert compiled(TAGGED).exceptions_until == {"EX-1": 1_796_947_200.0}
    assert compiled(TAGGED, "dev").exceptions_until == {"EX-1": 1_796_947_200.0, "EX-2": 1_796_904_000.0}
