"""Patches of Envoy's configuration in Kubernetes objects: EnvoyFilters of Istio, JSON patches of Envoy Gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from cors_authz.doctor import catalogue
from cors_authz.doctor.canonical import Canonical, snake
from cors_authz.doctor.finding import Rule
from cors_authz.doctor.setup import EXT_AUTHZ, Message, inner, maps, texts

_NAME: Final = "envoy.filters.http.ext_authz"
_ASKING: Final = frozenset({_NAME, "envoy.filters.http.rbac", "envoy.filters.network.http_connection_manager"})
"""Filters without which Istio asks nobody: its RBAC says which requests ext_authz is asked about."""

_PER_ROUTE: Final = f"{EXT_AUTHZ}PerRoute"
_PARTIAL: Final = ("filter_enabled", "filter_enabled_metadata", "shadow_mode")
_OF_CHECK: Final = re.compile(r"ext_authz|extAuthz")

_Said: TypeAlias = tuple[Rule, str]


def of_envoy_filter(patch: Message) -> Iterator[_Said]:
    """Say what one of the `configPatches` of an EnvoyFilter does to the check."""
    change = inner(patch, "patch")
    if change.get("operation") == "REMOVE" and (name := _removed(patch)):
        yield catalogue.PATCHED_AWAY, f"a patch removes {name}"
        return
    yield from _of_value(inner(change, "value"))


def of_json_patch(operation: Message) -> Iterator[_Said]:
    """Say what the operation of a JSON patch does to the check."""
    way, value = f"{operation.get('jsonPath', '')}{operation.get('path', '')}", operation.get("value")
    field = snake(way.rpartition("/")[2].rpartition(".")[2])
    if operation.get("op") == "remove":
        if _OF_CHECK.search(way):
            yield catalogue.PATCHED_AWAY, f"a patch removes `{way}`"
    elif field == "disabled" and _OF_CHECK.search(way):
        yield from _of_value({"name": _NAME, field: value})
    else:
        yield from _of_value(value if isinstance(value, dict | list) else {field: value})


def early_mutations(headers: Message) -> Iterator[Message]:
    """Give the changes of a ClientTrafficPolicy's `earlyRequestHeaders` as Envoy has them."""
    for key in ("add", "set", "addIfAbsent"):
        yield from ({"append": {"header": {"key": each.get("name", "")}}} for each in maps(headers.get(key)))
    yield from ({"remove": each} for each in texts(headers.get("remove")))
    yield from (
        {"remove_on_match": {"key_matcher": each}} for each in map(_matcher, maps(headers.get("removeOnMatch")))
    )


def _matcher(match: Message) -> Message:
    return {str(match.get("type", "Exact")).lower(): str(match.get("value", "")).lower()}


def _removed(patch: Message) -> str:
    """Name the filter that a patch removes, where nobody is asked without it; "" for another."""
    named = inner(patch, "match", "listener", "filterChain", "filter")
    is_http = patch.get("applyTo") == "HTTP_FILTER"
    if not is_http and patch.get("applyTo") != "NETWORK_FILTER":
        return ""
    name = inner(named, "subFilter").get("name") if is_http else named.get("name")
    name = name or inner(patch, "patch", "value").get("name")
    if name is None:
        return "all HTTP filters" if is_http else "all network filters"
    return f"`{name}`" if str(name) in _ASKING else ""


def _of_value(value: Any) -> Iterator[_Said]:  # noqa: ANN401 -- YAML
    canonical = Canonical()
    # A message says once more what the one around it says.
    yield from dict.fromkeys(said for each in messages(canonical.message(value)) for said in _of_message(each))
    for stray in canonical.strays:
        yield catalogue.NO_BOOLEAN, f"a patch sets `{stray.field}: {stray.value}`"


def _of_message(message: Message) -> Iterator[_Said]:
    if message.get("failure_mode_allow") is True:
        yield catalogue.FAIL_OPEN, "a patch sets `failure_mode_allow: true`"
    is_filter = message.get("name") == _NAME or str(message.get("@type", "")).endswith((EXT_AUTHZ, _PER_ROUTE))
    off = message if is_filter else inner(message, "typed_per_filter_config", _NAME)
    if off.get("disabled") is True or inner(off, "config").get("disabled") is True:
        yield catalogue.DISABLED, f"a patch sets `disabled: true` for `{_NAME}`"
    partial = [field for field in _PARTIAL if message.get(field)] if is_filter else []
    if partial:
        yield catalogue.SOMETIMES, f"a patch sets `{partial[0]}`"


def messages(value: object) -> Iterator[Message]:
    """Give all messages in a value, each once."""
    pending, seen = [value], set[int]()
    while pending:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, dict):
            yield each
            pending.extend(each.values())
        elif isinstance(each, list):
            pending.extend(each)
