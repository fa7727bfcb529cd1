"""Claims: what a verified token says, and one value out of it by the name that a policy gives it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from cors_authz.pdp.readings import TokenReading, TokenState


def verified(claims: Mapping[str, object], roles: str) -> TokenReading:
    """Give the reading of a token that verifies; `roles` names the claim in which its provider puts them."""
    return TokenReading(TokenState.VALID, MappingProxyType(dict(claims)), roles=role_names(claims, roles))


def claim_value(claims: Mapping[str, object], name: str) -> object | None:
    """Find a claim: the key of exactly that name, else the value at the end of its dots (`realm_access.roles`).

    The exact key comes first because issuers name their own claims by URLs, which are full of dots.

    Returns: the value as the token has it; None where there is none. Never raises.
    """
    if name in claims:
        return claims[name]
    value: object = claims
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def role_names(claims: Mapping[str, object], path: str) -> tuple[str, ...]:
    """Read the roles of a token's bearer: a list of strings, or one string with spaces between them.

    Both forms are in use: lists by most issuers, the string by `scope`.

    Returns: the roles in the order of the token; () for an absent claim and for every other type, a list in which
        anything else stands among the strings included. Never raises.
    Spec: https://www.rfc-editor.org/rfc/rfc8693#section-4.2.
    """
    value = claim_value(claims, path)
    if isinstance(value, str):
        return tuple(name for name in value.split(" ") if name)
    if not isinstance(value, list | tuple):
        return ()
    names = tuple(name for name in value if isinstance(name, str))
    return names if len(names) == len(value) else ()
