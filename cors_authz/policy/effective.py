"""What the short form of a policy means: classes with their inheritance, rules with what protocols and sets bring."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Final

from cors_authz.policy import schema
from cors_authz.policy.compiled import (
    BROWSER_CREDENTIALS,
    EVERY_CREDENTIAL,
    FORWARD_ALL,
    NO_CREDENTIAL,
    Credential,
    Protocol,
    Reach,
    Trust,
    Unlisted,
)
from cors_authz.policy.estate import Estate, Named
from cors_authz.policy.sharing import shared


@dataclass(frozen=True, slots=True)
class SensitivityClass:
    """What data of a kind demands: a ceiling for every rule of its groups, a floor of guards."""

    name: str
    min_trust: Trust
    credentials: frozenset[Credential]
    max_age: timedelta
    plain_http: bool
    unlisted: Unlisted
    exceptions: bool
    guards: tuple[str, ...] = ()


BUILT_IN_CLASSES: Final = {
    built_in.name: built_in
    for built_in in (
        SensitivityClass(
            "public",
            Trust.NONE,
            NO_CREDENTIAL,
            timedelta(hours=24),
            plain_http=True,
            unlisted=FORWARD_ALL,
            exceptions=True,
        ),
        SensitivityClass(
            "internal",
            Trust.LOW,
            EVERY_CREDENTIAL,
            timedelta(hours=2),
            plain_http=False,
            unlisted=Unlisted(Reach.FORWARD, Reach.SAME_SITE, Reach.FORWARD),
            exceptions=True,
        ),
        SensitivityClass(
            "confidential",
            Trust.MEDIUM,
            EVERY_CREDENTIAL,
            timedelta(minutes=10),
            plain_http=False,
            unlisted=Unlisted(Reach.DENY, Reach.DENY, Reach.FORWARD),
            exceptions=True,
        ),
        SensitivityClass(
            "restricted",
            Trust.HIGH,
            EVERY_CREDENTIAL,
            timedelta(minutes=5),
            plain_http=False,
            unlisted=Unlisted(Reach.DENY, Reach.DENY, Reach.DENY),
            exceptions=False,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class EffectiveRule:
    """An allow rule as it applies. Header names are in lower case, `"*"` is set apart."""

    name: str
    index: int
    model: schema.AllowRule
    methods: frozenset[str]
    any_method: bool
    headers: frozenset[str]
    any_header: bool
    exposed: tuple[str, ...]
    any_exposed: bool
    credentials: frozenset[Credential]
    max_age: timedelta

    @property
    def sends_browser_credentials(self) -> bool:
        """Whether browsers attach cookies or certificates under this rule."""
        return not self.credentials.isdisjoint(BROWSER_CREDENTIALS)


_METHODS_OF: Final[Mapping[Protocol, tuple[str, ...]]] = {
    Protocol.WEBSOCKET: ("GET",),
    Protocol.SSE: ("GET",),
    Protocol.GRPC: ("POST",),
    Protocol.GRPC_WEB: ("POST",),
    Protocol.CONNECT: ("GET", "POST"),
    Protocol.MCP: ("GET", "POST", "DELETE"),
}
HEADERS_OF: Final[Mapping[Protocol, tuple[str, ...]]] = {
    Protocol.SSE: ("cache-control", "last-event-id"),
    Protocol.GRPC_WEB: ("content-type", "grpc-timeout", "x-grpc-web", "x-user-agent"),
    Protocol.CONNECT: ("content-type", "connect-protocol-version", "connect-timeout-ms"),
    Protocol.MCP: ("content-type", "last-event-id", "mcp-protocol-version", "mcp-session-id"),
}
"""The request headers that a protocol brings."""
EXPOSED_OF: Final[Mapping[Protocol, tuple[str, ...]]] = {
    Protocol.GRPC_WEB: ("grpc-status", "grpc-message", "grpc-status-details-bin"),
    Protocol.MCP: ("mcp-session-id",),
}
"""The response headers that a protocol brings for scripts to read."""


def classes_of(estate: Estate) -> Mapping[str, SensitivityClass]:
    """Resolve the sensitivity classes of a policy; one that leans on itself or on none stands on `internal`."""
    written = estate.bundle.model.sensitivity_classes
    settled: dict[str, SensitivityClass] = {}
    return BUILT_IN_CLASSES | {name: _class(name, written, settled) for name in written}


def _class(
    name: str, written: Mapping[str, schema.SensitivityClass], settled: dict[str, SensitivityClass]
) -> SensitivityClass:
    """Resolve a class, and settle all that it stands on; a circle is never settled: what it is differs by its start."""
    links: dict[str, schema.SensitivityClass] = {}
    while name in written and name not in links and name not in settled:
        model = links[name] = written[name]
        if model.like is None and name in BUILT_IN_CLASSES:
            break
        name = model.like or "internal"
    is_circle = name in links and links[name].like is not None
    resolved = settled.get(name) or BUILT_IN_CLASSES.get(name, BUILT_IN_CLASSES["internal"])
    for link, model in reversed(links.items()):
        resolved = _over(resolved, link, model)
        if not is_circle:
            settled[link] = resolved
    return resolved


def _over(base: SensitivityClass, name: str, model: schema.SensitivityClass) -> SensitivityClass:
    """Lay what a class writes over what it is like."""
    return SensitivityClass(
        name=name,
        min_trust=Trust[model.min_trust.upper()] if model.min_trust else base.min_trust,
        credentials=base.credentials if model.credentials is None else frozenset(map(Credential, model.credentials)),
        max_age=base.max_age if model.max_age is None else model.max_age,
        plain_http=base.plain_http if model.plain_http is None else model.plain_http == "allowed",
        unlisted=tightened(base.unlisted, model.unlisted),
        exceptions=base.exceptions if model.exceptions is None else model.exceptions == "allowed",
        guards=tuple(dict.fromkeys(base.guards + model.guards)),
    )


def tightened(base: Unlisted, model: schema.Unlisted | None) -> Unlisted:
    """Lay what is written over what is inherited."""
    if model is None:
        return base
    return Unlisted(
        Reach(model.reads) if model.reads else base.reads,
        Reach(model.embeds) if model.embeds else base.embeds,
        Reach(model.navigations) if model.navigations else base.navigations,
    )


def rules_of(
    estate: Estate, group: Named[schema.ResourceGroup], classes: Mapping[str, SensitivityClass]
) -> tuple[EffectiveRule, ...]:
    """Give the rules of a group with what its protocols, the header sets and the defaults add to them."""
    return tuple(_rule(estate, group, classes, index) for index in range(len(group.model.allow)))


def _rule(
    estate: Estate, group: Named[schema.ResourceGroup], classes: Mapping[str, SensitivityClass], index: int
) -> EffectiveRule:
    model = group.model.allow[index]
    protocols = tuple(map(Protocol, group.model.protocols))
    sets = [estate.header_sets[name].model for name in model.header_sets if name in estate.header_sets]
    headers = _names((*model.headers, *(name for s in sets for name in s.request)), protocols, HEADERS_OF)
    exposed = _names((*model.expose_headers, *(name for s in sets for name in s.expose)), protocols, EXPOSED_OF)
    credentials = _credentials(model.credentials)
    methods = _methods(model, protocols)
    ceiling = classes.get(group.model.sensitivity, BUILT_IN_CLASSES["internal"]).max_age
    return EffectiveRule(
        name=f"{group.name}/{model.name or index + 1}",
        index=index,
        model=model,
        methods=shared(methods - {"*"}),
        any_method="*" in methods,
        headers=shared(
            frozenset(headers) - {"*"} | ({"authorization"} if Credential.BEARER in credentials else frozenset())
        ),
        any_header="*" in headers,
        exposed=shared(tuple(name for name in headers_in_order(exposed) if name != "*")),
        any_exposed="*" in exposed,
        credentials=credentials,
        max_age=min(estate.max_age, ceiling) if model.max_age is None else model.max_age,
    )


@cache
def _credentials(names: tuple[str, ...]) -> frozenset[Credential]:
    return frozenset(map(Credential, names))


def headers_in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Drop names that come again, and keep the order of the policy."""
    return tuple(dict.fromkeys(names))


def _names(
    written: Iterable[str], protocols: Iterable[Protocol], brought: Mapping[Protocol, tuple[str, ...]]
) -> tuple[str, ...]:
    names = [name.lower() for name in written]
    for protocol in protocols:
        names.extend(brought.get(protocol, ()))
    return headers_in_order(names)


def with_head(methods: Iterable[str]) -> frozenset[str]:
    """Add HEAD where GET is: whoever may read may ask for the headers alone."""
    named = frozenset(methods)
    return named | {"HEAD"} if "GET" in named else named


def _methods(model: schema.AllowRule, protocols: tuple[Protocol, ...]) -> frozenset[str]:
    named = model.methods or (("GET",) if Protocol.HTTP in protocols else ())
    brought = (method for protocol in protocols for method in _METHODS_OF.get(protocol, ()))
    return with_head((*named, *brought))
