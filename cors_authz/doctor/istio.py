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
_STAT_PREFIX: Final = "istio_ext_authz"
_POLICY_ID: Final = "shadow_effective_policy_id"


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

    Its rules match in shadow, and what they match goes to ext_authz (`filter_enabled_metadata`). Whatever differs from
    what istiod writes is taken for a gate that never opens.
    """
    metadata = inner(check.config, "filter_enabled_metadata")
    if objection := _object_to_metadata(metadata):
        return catalogue.NOT_ASKED, objection
    prefix = str(metadata["value"]["string_match"]["prefix"])
    writers = _writers(manager, check)
    policies = [
        inner(policy)
        for each in writers
        for name, policy in inner(each.config, "shadow_rules", "policies").items()
        if name.startswith(prefix)
    ]
    if not policies:
        return catalogue.NOT_ASKED, "no `rbac` filter in front has the `shadow_rules` that it waits for"
    if _is_changed_by_routes(manager, writers):
        return catalogue.DISABLED, "routes have `rbac` settings of their own instead of the `shadow_rules`"
    said = "`rules` of the AuthorizationPolicy take some requests only"
    rule, detail = object_to(gate.of_policies(policies), Routing(manager.tables, manager.config), said)
    takes_all = rule is catalogue.SOMETIMES and any(map(_takes_all, policies))
    return None if takes_all else (rule, detail)


def _object_to_metadata(metadata: Message) -> str:
    """Say what istiod would not write in a MetadataMatcher; "" for nothing."""
    if metadata.get("invert") is True:
        return "`invert: true`"
    if len(maps(metadata.get("path"))) != 1 or not _stat_prefix(metadata).startswith(_STAT_PREFIX):
        return f"`path` is not `{_STAT_PREFIX}_{_POLICY_ID}`"
    value = inner(metadata, "value")
    is_prefix = value.keys() == {"string_match"} and inner(value, "string_match").keys() == {"prefix"}
    return "" if is_prefix else "`value` is not the beginning of a policy's name"


def _stat_prefix(metadata: Message) -> str:
    """Give the prefix of the filter that writes what a MetadataMatcher waits for; "" where it waits for another."""
    key = next((str(step.get("key", "")) for step in maps(metadata.get("path"))), "")
    return key.removesuffix(_POLICY_ID) if key.endswith(_POLICY_ID) else ""


def _writers(manager: Manager, check: HttpFilter) -> list[HttpFilter]:
    """Give the RBAC filters in front of a check that say which policy took a request."""
    before = manager.filters[: manager.filters.index(check)]
    prefix = _stat_prefix(inner(check.config, "filter_enabled_metadata"))
    return [
        each
        for each in before
        if each.kind == "rbac" and each.config.get("shadow_rules_stat_prefix") == prefix
        if not each.disabled and not each.conditional
    ]


def _is_changed_by_routes(manager: Manager, writers: list[HttpFilter]) -> bool:
    """Tell whether a route has anything to say of the filters of a gate; Istio's have not."""
    names = {each.name for each in writers}
    return any(names & inner(level, "typed_per_filter_config").keys() for level in manager.levels)


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
