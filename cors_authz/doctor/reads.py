"""What a policy reads of a request, so that what Envoy must send can be told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from cors_authz.policy.compiled import AnyOf, CompiledPolicy, Condition, Guard, HeaderIs, ResourceGroup, VersionSource

ALWAYS: Final = (
    "origin",
    "access-control-request-method",
    "access-control-request-headers",
    "access-control-request-private-network",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-fetch-dest",
    "sec-fetch-user",
    "authorization",
    "cookie",
    "content-type",
    "content-length",
    "upgrade",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-cors-authz-decision-id",
)
"""Headers that decide under every policy."""


class Reads(NamedTuple):
    """What of a request a policy reads: headers by their name, and what Envoy adds to them."""

    headers: frozenset[str] = frozenset(ALWAYS)
    jwt_payload: bool = False
    route_metadata: bool = False
    principal: bool = False


def reads_of(policy: CompiledPolicy) -> Reads:
    """Tell what a policy reads, of any request."""
    providers = policy.providers.values()
    named = {provider.header for provider in providers if not provider.envoy_metadata}
    headers = {name for group in policy.groups for name in _headers(group)}
    return Reads(
        frozenset({*ALWAYS, *named, *headers}),
        any(provider.envoy_metadata for provider in providers),
        bool(policy.tenants and policy.tenants.route_metadata),
        policy.surroundings.principal,
    )


def _headers(group: ResourceGroup) -> Iterator[str]:
    if group.version_from and group.version_from.source is VersionSource.HEADER:
        yield group.version_from.name.lower()
    if group.version_from and group.version_from.source is VersionSource.MEDIA_TYPE:
        yield "accept"
    guards: list[Guard] = [*group.guards, *(guard for rule in group.rules for guard in rule.guards)]
    for guard in guards:
        yield from _of_condition(guard.condition)


def _of_condition(condition: Condition) -> Iterator[str]:
    if isinstance(condition, HeaderIs):
        yield condition.name
    if isinstance(condition, AnyOf):
        for guard in condition.guards:
            yield from _of_condition(guard.condition)
