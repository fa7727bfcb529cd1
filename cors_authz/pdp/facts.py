"""What is known of a request once it is held against a policy, before anybody decides."""

from __future__ import annotations

from typing import Final, NamedTuple

from cors_authz.fetch.request import Kind, Request
from cors_authz.fetch.target import Authority, Target
from cors_authz.policy.compiled import (
    EVERY_CREDENTIAL,
    NO_CREDENTIAL,
    CompiledPolicy,
    Credential,
    Membership,
    Needs,
    Protocol,
    Provider,
    ResourceGroup,
    Route,
    Rule,
)

OF_STRANGERS: Final = frozenset({Kind.CROSS_ORIGIN, Kind.READ, Kind.PREFLIGHT})
"""Kinds of request that go on with no credential unless a rule grants one."""


class Standing(NamedTuple):
    """A rule, and the membership by which the request's origin comes under it."""

    rule: Rule
    membership: Membership


def credentials_of(kind: Kind, standing: Standing | None) -> frozenset[Credential]:
    """Give the kinds of credential that travel on with a request of a kind, by the rule that decides if one does."""
    if standing is not None:
        return standing.rule.credentials
    return NO_CREDENTIAL if kind in OF_STRANGERS else EVERY_CREDENTIAL


class Facts(NamedTuple):
    """A request held against a policy.

    `target` is None where the path is ambiguous, `authority` where the host is none. `method` is the one that will
    run (the asked one in a preflight, an overriding one anywhere), None where an override is forbidden. `asked` is
    what a preflight asks for, as it was sent. `version` is empty where the group has none or the request names none,
    and `version_known` is False where a preflight cannot show it. `listed` is the narrowest rule that has the origin
    at all, `standing` and `rule` say which one decides. `needs` says whose tokens the decision may read.
    """

    policy: CompiledPolicy
    request: Request
    target: Target | None
    authority: Authority | None
    host_known: bool
    route: Route | None
    group: ResourceGroup | None
    method: str | None
    kind: Kind
    origin: str
    origin_malformed: bool
    protocol: Protocol
    version: str
    version_known: bool
    tenants: tuple[str, ...]
    listed: Standing | None
    standing: Standing | None
    rule: Rule | None
    asked_headers: tuple[str, ...] | None
    needs: Needs

    @property
    def is_preflight(self) -> bool:
        """Whether the request asks for another's permission."""
        return self.kind is Kind.PREFLIGHT

    @property
    def tenant(self) -> str:
        """The tenant, empty where none is known."""
        return self.tenants[0] if self.tenants else ""

    @property
    def origin_group(self) -> str:
        """The origin group by which the resource group lists the origin, empty where it does not."""
        listed = self.standing or self.listed
        return listed.membership.group if listed else ""

    @property
    def credentials(self) -> frozenset[Credential]:
        """The kinds of credential that travel on with the request; the others count as not sent."""
        return credentials_of(self.kind, self.standing)

    def sees_token_of(self, provider: Provider) -> bool:
        """Tell whether a token of the provider travels on."""
        return provider.credential is None or provider.credential in self.credentials
