"""Findings about tenants' overlays: what they touch beyond their tenant's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from cors_authz.policy import schema
from cors_authz.policy.estate import Named
from cors_authz.policy.finding import Finding
from cors_authz.policy.lint.exact_origin import is_of_one_network, read_exact_origin
from cors_authz.policy.lint.wording import unknown_name_text
from cors_authz.policy.pattern import OriginPattern, Problem
from cors_authz.policy.subject import Subject


def two_overlays_of_a_tenant(subject: Subject) -> Iterator[Finding]:
    """CX031: which of the two is the tenant's own?"""
    first: dict[str, Named[schema.TenantOverlay]] = {}
    for overlay in subject.estate.overlays:
        other = first.setdefault(overlay.name, overlay)
        if other is not overlay:
            also = other.place("metadata", "tenant")
            text = f"tenant `{overlay.name}` has another overlay (also {also}); keep one of the two"
            yield Finding(overlay.place("metadata", "tenant"), "CX031", text, about=overlay.about)


def groups_of_others(subject: Subject) -> Iterator[Finding]:
    """CX030: what is not per tenant holds for all of them."""
    groups = subject.estate.origin_groups
    per_tenant = [name for name, group in groups.items() if group.model.per_tenant]
    offer = f"an overlay may fill: {', '.join(per_tenant)}" if per_tenant else "no origin group is: drop it"
    for overlay in subject.estate.overlays:
        for name in overlay.model.origin_groups:
            if name not in per_tenant:
                place = overlay.document.key_place("originGroups", name)
                text = f"`{name}` is not per tenant; {offer}"
                yield Finding(place, "CX030", text, about=f"originGroups/{name}")


def too_many_origins(subject: Subject) -> Iterator[Finding]:
    """CX030: the owner of the group said how many a tenant may list."""
    for overlay in subject.estate.overlays:
        for name, origins in overlay.model.origin_groups.items():
            group = subject.estate.origin_groups.get(name)
            most = group.model.per_tenant.max_origins if group and group.model.per_tenant else len(origins)
            if len(origins) > most:
                text = (
                    f"`{name}` lists {len(origins)} origins; maxOrigins is {most}: drop some, or ask the group's owner"
                )
                place = overlay.place("originGroups", name)
                yield Finding(place, "CX030", text, about=f"originGroups/{name}")


def bad_origins(subject: Subject) -> Iterator[Finding]:
    """CX002, CX003, CX030: a tenant lists pages of its own, exactly and over https.

    Spec: https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin.
    """
    for overlay in subject.estate.overlays:
        for name, origins in overlay.model.origin_groups.items():
            for index, text in enumerate(origins):
                problem = _object_to_origin(text)
                if problem:
                    place = overlay.place("originGroups", name, index)
                    yield Finding(place, problem.code, problem.text, about=f"originGroups/{name}")


def _object_to_origin(text: str) -> Problem | None:
    origin = read_exact_origin(text)
    if not isinstance(origin, OriginPattern):
        return origin
    if origin.scheme != "https":
        return Problem(
            "CX030", f"`{origin.text}` is not https, and an overlay takes nothing else; list the https origin"
        )
    if is_of_one_network(origin):
        return Problem("CX030", f"`{origin.text}` is another server on every machine or network; list a public one")
    return None


def raised_limits(subject: Subject) -> Iterator[Finding]:
    """CX030: whoever is limited does not say how far."""
    for overlay in subject.estate.overlays:
        for name, limit in overlay.model.rate_limits.items():
            base = subject.estate.rate_limits.get(name)
            if base and limit.requests > base.model.requests:
                text = f"`{name}` allows {base.model.requests} requests, not {limit.requests}; an overlay only lowers"
                yield Finding(overlay.place("rateLimits", name, "requests"), "CX030", text, about=f"rateLimits/{name}")


def limits_of_others(subject: Subject) -> Iterator[Finding]:
    """CX030: a limit that does not count by tenant is shared, so one tenant would lower it for all."""
    for overlay in subject.estate.overlays:
        for name in overlay.model.rate_limits:
            base = subject.estate.rate_limits.get(name)
            if base and "tenant" not in base.model.by:
                text = f"`{name}` does not count by tenant; an overlay lowers limits that do"
                place = overlay.document.key_place("rateLimits", name)
                yield Finding(place, "CX030", text, about=f"rateLimits/{name}")


def unknown_limits(subject: Subject) -> Iterator[Finding]:
    """CX046: a misspelled limit limits nothing."""
    limits = subject.estate.rate_limits
    for overlay in subject.estate.overlays:
        for name in overlay.model.rate_limits:
            if name not in limits:
                text = unknown_name_text(name, "rate limit", limits)
                place = overlay.document.key_place("rateLimits", name)
                yield Finding(place, "CX046", text, about=f"rateLimits/{name}")


RULES: Final[tuple[Callable[[Subject], Iterator[Finding]], ...]] = (
    two_overlays_of_a_tenant,
    groups_of_others,
    too_many_origins,
    bad_origins,
    raised_limits,
    limits_of_others,
    unknown_limits,
)
