"""Which origin groups list an origin elsewhere, by every shape of a pattern."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from cors_authz.policy.absence import AbsentGroup, absent_groups_of
from cors_authz.policy.document import Source
from cors_authz.policy.load import load_policy

POLICY: Final = b"""\
apiVersion: cors-authz/v1
kind: PolicyBundle
metadata: {name: p}
originGroups:
  web: {origins: ["https://shop.example"], trust: high, contact: web@shop.example}
  local: {origins: ["http://localhost:3000", "http://localhost:4000"], environments: [dev]}
  ports: {origins: ["https://ports.shop.example:*"], environments: [dev, staging]}
  below: {origins: ["https://*.below.shop.example"], environments: [staging]}
  slots: {origins: ["https://pr-{digits}.shop.example"], environments: [staging]}
  anyone: {any: true, environments: [dev]}
resourceGroups:
  api:
    match:
    - {hosts: [api.example]}
    allow:
    - {origins: [web]}
"""


class Case(NamedTuple):
    """An origin, and the groups that list it elsewhere than in `prod`."""

    origin: str
    groups: tuple[AbsentGroup, ...] = ()


LOCAL: Final = AbsentGroup("local", ("dev",))
PORTS: Final = AbsentGroup("ports", ("dev", "staging"))
BELOW: Final = AbsentGroup("below", ("staging",))
SLOTS: Final = AbsentGroup("slots", ("staging",))

CASES: Final = {
    "an exact origin": Case("http://localhost:3000", (LOCAL,)),
    "the second of a group": Case("http://localhost:4000", (LOCAL,)),
    "another port": Case("http://localhost:5000"),
    "no port": Case("http://localhost"),
    "another scheme": Case("https://localhost:3000"),
    "any port": Case("https://ports.shop.example:81", (PORTS,)),
    "any port, and none": Case("https://ports.shop.example", (PORTS,)),
    "below": Case("https://a.b.below.shop.example", (BELOW,)),
    "not below": Case("https://below.shop.example"),
    "a slot": Case("https://pr-7.shop.example", (SLOTS,)),
    "a slot that does not fit": Case("https://pr-x.shop.example"),
    "a group that exists here": Case("https://shop.example"),
    "a stranger, though `any` exists elsewhere": Case("https://evil.example"),
    "the opaque origin": Case("null"),
    "no origin": Case(""),
    "what is no origin": Case("http://localhost:3000/"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_groups_that_list_an_origin_elsewhere(case: Case) -> None:
    subject = load_policy([Source("p.yaml", POLICY)], "prod").subject
    assert absent_groups_of(subject, case.origin) == case.groups


def test_a_group_is_not_absent_where_it_exists() -> None:
    subject = load_policy([Source("p.yaml", POLICY)], "staging").subject
    assert absent_groups_of(subject, "https://pr-7.shop.example") == ()
    assert absent_groups_of(subject, "http://localhost:3000") == (LOCAL,)
