"""Claims: values by name, and roles in both of the forms that issuers use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pytest

from cors_authz.pdp.claims import claim_value, role_names


class Case(NamedTuple):
    """A token's claims, the name that is asked for, and the value."""

    claims: Mapping[str, object]
    name: str
    then: object


VALUES = {
    "a claim is found by its name": Case({"sub": "kim"}, "sub", "kim"),
    "dots walk into objects": Case({"a": {"b": {"c": 1}}}, "a.b.c", 1),
    "a key with dots is found whole": Case({"https://id.example/roles": ["a"]}, "https://id.example/roles", ["a"]),
    "the exact key comes before the walk": Case({"a.b": 1, "a": {"b": 2}}, "a.b", 1),
    "an absent claim is none": Case({"a": 1}, "b", None),
    "a walk through a string is none": Case({"a": "b"}, "a.b", None),
    "a walk through a list is none": Case({"a": [{"b": 1}]}, "a.0.b", None),
    "a walk that ends early is none": Case({"a": {}}, "a.b.c", None),
    "false is a value": Case({"a": {"b": False}}, "a.b", then=False),
}


@pytest.mark.parametrize("case", VALUES.values(), ids=VALUES)
def test_claim_value(case: Case) -> None:
    assert claim_value(case.claims, case.name) == case.then


ROLES = {
    "a list of strings": Case({"roles": ["clerk", "manager"]}, "roles", ("clerk", "manager")),
    "one string with spaces": Case({"scope": "read  write "}, "scope", ("read", "write")),
    "only the space separates": Case({"scope": "a\tb,c"}, "scope", ("a\tb,c",)),
    "roles inside an object": Case({"realm_access": {"roles": ["clerk"]}}, "realm_access.roles", ("clerk",)),
    "a role with a space stays one in a list": Case({"roles": ["shop clerk"]}, "roles", ("shop clerk",)),
    "an empty list is no role": Case({"roles": []}, "roles", ()),
    "an empty string is no role": Case({"roles": ""}, "roles", ()),
    "an absent claim is no role": Case({}, "roles", ()),
    "a list with a number in it is no role at all": Case({"roles": ["clerk", 1]}, "roles", ()),
    "an object is no role": Case({"roles": {"clerk": True}}, "roles", ()),
    "a number is no role": Case({"roles": 7}, "roles", ()),
    "true is no role": Case({"roles": True}, "roles", ()),
}


@pytest.mark.parametrize("case", ROLES.values(), ids=ROLES)
def test_role_names(case: Case) -> None:
    assert role_names(case.claims, case.name) == case.then
