"""What istiod makes of an AuthorizationPolicy with the action CUSTOM: a gate in front of ext_authz, or a refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from cors_authz.doctor import catalogue, gate
from cors_authz.doctor.finding import Finding, Rule
from cors_authz.doctor.setup import HttpFilter, Manager, Message, Setup, inner, maps
from cors_authz.doctor.spelling import Routing, object_to

RBAC: Final = "envoy.filters.http.rbac"

_BAD: Final = re.compile(
    r"istio-ext-authz-(.*)-ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[[0-9]+\]-deny-due-to-bad-CUSTOM-action"
)
_AUTHORITY: Final = ":authority"


def findings(setup: Setup, manager: Manager) -> Iterator[Finding]:
    """Say which AuthorizationPolicies istiod could not make a check of: it refuses all that they take.

    Spec: `getBadCustomDenyRules` of istiod's pilot/pkg/security/authz/builder/builder.go.
    """
    for each in _rbac(manager):
        for name in inner(each.config, "rules", "policies"):
            if found := _BAD.fullmatch(name):
                provider, namespace, policy = found.groups()
                said = f"provider `{provider}` of AuthorizationPolicy `{namespace}/{policy}`"
                yield Finding(
                    catalogue.UNKNOWN_PROVIDER, setup.at(manager, f"filter {each.name}", line=each.line), said
                )


def object_to_gate(manager: Manager, check: HttpFilter) -> tuple[Rule, str] | None:
    """Say which requests pass by the gate that istiod puts in front of a check; None where none does.

    Its rules match in shadow, and what they match goes to ext_authz (`filter_enabled_metadata`).
    """
    prefix = str(inner(check.config, "filter_enabled_metadata", "value", "string_match").get("prefix", ""))
    policies = [
        inner(policy)
        for each in _rbac(manager)
        for name, policy in inner(each.config, "shadow_rules", "policies").items()
        if name.startswith(prefix)
    ]
    if not policies:
        return catalogue.NOT_ASKED, "no `rbac` filter has the `shadow_rules` that it waits for"
    said = "`rules` of the AuthorizationPolicy take some requests only"
    rule, detail = object_to(gate.of_policies(policies), Routing(manager.tables, manager.config), said)
    takes_all = rule is catalogue.SOMETIMES and any(map(_takes_all, policies))
    return None if takes_all else (rule, detail)


def _rbac(manager: Manager) -> list[HttpFilter]:
    return [each for each in manager.filters if each.kind == "rbac"]


def _takes_all(policy: Message) -> bool:
    """Tell whether rules narrow by nothing but hosts, which name what is protected as routes do."""
    permissions, principals = maps(policy.get("permissions")), maps(policy.get("principals"))
    return any(map(_is_open, permissions)) and any(map(_is_open, principals))


def _is_open(rule: Message) -> bool:
    if rule.get("any") is True:
        return True
    if inner(rule, "header").get("name") == _AUTHORITY:
        return True
    every = [*maps(inner(rule, "and_rules").get("rules")), *maps(inner(rule, "and_ids").get("ids"))]
    some = [*maps(inner(rule, "or_rules").get("rules")), *maps(inner(rule, "or_ids").get("ids"))]
    return (bool(every) and all(map(_is_open, every))) or any(map(_is_open, some))
