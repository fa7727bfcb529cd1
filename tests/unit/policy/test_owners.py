"""Owners: who answers for a group, and where a team that does not exist is found."""

from __future__ import annotations

import pytest

from cors_authz.policy.compiled import ResourceGroup
from cors_authz.policy.document import Source
from cors_authz.policy.load import check_policy, load_policy

POLICY = """apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p, owner: shop}
teams: {shop: {contact: s@x.example}, pay: {contact: p@x.example}}
originGroups:
  web: {origins: ["https://x.example"], trust: high}
  app: {origins: ["https://app.x.example"], trust: high}
guards:
  inside: {sourceIn: [10.0.0.0/8]}
  named: {sourceIn: [10.0.0.0/8], owner: pay}
resourceGroups:
  api:
    match: [{hosts: [api.x]}]
    guards: [inside, named]
    allow:
    - {origins: [web]}
    - {origins: [app], owner: pay}
"""


def test_a_group_has_the_owner_that_it_names_else_that_of_its_document() -> None:
    assert _group(POLICY).owner == "shop"
    assert _group(POLICY.replace("    allow:", "    owner: pay\n    allow:")).owner == "pay"


UNKNOWN: dict[str, tuple[str, str]] = {
    "a guard": ("10.0.0.0/8], owner: pay", "p.yaml:10:42: CX046 `pai` is no team; did you mean `pay`?"),
    "a rule": ("app], owner: pay", "p.yaml:17:31: CX046 `pai` is no team; did you mean `pay`?"),
}


@pytest.mark.parametrize(("written", "finding"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_owner_that_is_no_team_is_found_where_it_stands(written: str, finding: str) -> None:
    text = POLICY.replace(written, written.replace("owner: pay", "owner: pai"))
    assert [str(found) for found in check_policy(_sources(text), "prod") if found.code == "CX046"] == [finding]


def _sources(text: str) -> list[Source]:
    return [Source("p.yaml", text.encode())]


def _group(text: str) -> ResourceGroup:
    return load_policy(_sources(text), "prod").policy.groups[0]
