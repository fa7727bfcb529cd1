"""Patches of Envoy's configuration in Kubernetes objects: EnvoyFilters of Istio, JSON patches of Envoy Gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from cors_authz.doctor import catalogue, runtime
from cors_authz.doctor.answers import granted, of_local_replies, of_mutations
from cors_authz.doctor.canonical import Canonical
from cors_authz.doctor.finding import Rule
from cors_authz.doctor.istio import RBAC
from cors_authz.doctor.json_patch import FILTERS, PER_FILTER, Target, target_of
from cors_authz.doctor.setup import EXT_AUTHZ, Message, inner, maps, messages_in, number, texts, type_of
from cors_authz.envoy.bootstrap import EXT_AUTHZ_FILTER

_MANAGER: Final = "envoy.filters.network.http_connection_manager"
_PER_ROUTE: Final = f"{EXT_AUTHZ}PerRoute"
_PREFIX: Final = "access-control-"
_PARTIAL: Final = ("filter_enabled", "filter_enabled_metadata")
_OF_ISTIO: Final = (EXT_AUTHZ_FILTER, RBAC)
"""Filters without which Istio asks nobody, by how their names begin: its RBAC says what ext_authz is asked about."""

_OF_GATEWAY: Final = (EXT_AUTHZ_FILTER,)
"""Envoy Gateway has one for each SecurityPolicy, off by default and on for the routes of that policy."""

_Said: TypeAlias = tuple[Rule, str]


# --- Istio ------------------------------------------------------------------------------------------------------------


def of_envoy_filter(patch: Message) -> Iterator[_Said]:
    """Say what one of the `configPatches` of an EnvoyFilter does to the check."""
    change = inner(patch, "patch")
    operation, value = str(change.get("operation", "")), change.get("value")
    is_kept = operation == "REPLACE" and _asks(Canonical().message(value))
    if operation in {"REMOVE", "REPLACE"} and not is_kept and (name := _taken(patch, value)):
        yield catalogue.PATCHED_AWAY, f"a patch {operation.lower()}s {name}"
    elif operation != "REMOVE":
        yield from _of_value(_named(patch, value), _OF_ISTIO)


def _taken(patch: Message, value: object) -> str:
    """Name what a patch takes away, where nobody is asked without it; "" for another."""
    is_http = patch.get("applyTo") == "HTTP_FILTER"
    if not is_http and patch.get("applyTo") != "NETWORK_FILTER":
        return ""
    name = _matched(patch)
    if name is None and inner(patch, "patch").get("operation") == "REMOVE":
        name = inner(value).get("name")
    if name is None:
        return "all HTTP filters" if is_http else "all network filters"
    return f"`{name}`" if (str(name).startswith(_OF_ISTIO) if is_http else name == _MANAGER) else ""


def _matched(patch: Message) -> object:
    """Name the filter that a patch is for; None for any."""
    found = inner(patch, "match", "listener", "filterChain", "filter")
    return inner(found, "subFilter").get("name") if patch.get("applyTo") == "HTTP_FILTER" else found.get("name")


def _asks(value: object) -> bool:
    """Tell whether what comes instead of a filter asks as well."""
    return _is_check(value) or any(_has_check(each.get(FILTERS)) for _, each in messages_in(value))


def _named(patch: Message, value: Any) -> Any:  # noqa: ANN401 -- YAML
    """Name the filter that a value is merged into."""
    is_merged = patch.get("applyTo") == "HTTP_FILTER" and inner(patch, "patch").get("operation") == "MERGE"
    if not is_merged or not isinstance(value, Mapping):
        return value
    return {"name": _matched(patch) or EXT_AUTHZ_FILTER, **value}


# --- Envoy Gateway ----------------------------------------------------------------------------------------------------


def of_json_patch(operation: Message) -> Iterator[_Said]:
    """Say what the operation of a JSON patch does to the check."""
    op, path = str(operation.get("op", "")), operation.get("jsonPath")
    target = target_of(path, operation.get("path"))
    if op in {"remove", "move"}:
        source = target_of(path, operation.get("from")) if op == "move" else target
        if source.may_be_check and not source.rest:
            yield catalogue.PATCHED_AWAY, f"a patch {op}s {_shown(source)}"
            return
    if op in {"add", "replace", "copy", "move"}:
        yield from _of_change(op, target, operation.get("value"))


def _of_change(op: str, target: Target, value: object) -> Iterator[_Said]:
    read = Canonical().message(value)
    if _is_lost(op, target, read):
        yield catalogue.PATCHED_AWAY, f"a patch puts something else in place of {_shown(target)}"
        return
    if op in {"add", "replace"}:
        yield from _without_check(read)
        yield from _of_value(_filter_with(target, value), _OF_GATEWAY)


def _is_lost(op: str, target: Target, value: object) -> bool:
    """Tell whether ext_authz gives way to what comes in its place; among filters, what is added pushes others back."""
    if target.rest or not target.may_be_check:
        return False
    if not target.element:
        return not (_has_check(value) if target.container == FILTERS else _enables(value))
    if target.container == FILTERS:
        return op == "replace" and not _is_check(value)
    return op in {"copy", "move"}


def _without_check(value: object) -> Iterator[_Said]:
    """Look for routes and lists of filters that lack the check."""
    for _, each in messages_in(value):
        if FILTERS in each and not _has_check(each[FILTERS]):
            yield catalogue.PATCHED_AWAY, f"a patch puts `{FILTERS}` without ext_authz"
        if {"match", "route"} <= each.keys() and not _enables(each.get(PER_FILTER)):
            yield catalogue.DISABLED, "a patch puts a route for which it does not turn ext_authz on"


def _enables(per_filter: object) -> bool:
    return any(str(name).startswith(_OF_GATEWAY) for name in inner(per_filter))


def _filter_with(target: Target, value: object) -> Any:  # noqa: ANN401 -- YAML
    """Give the message that a value goes into, as far as a patch says which that is."""
    found = target.around(value)
    name = EXT_AUTHZ_FILTER if target.may_be_check else target.element
    if target.container == PER_FILTER and target.element:
        return {PER_FILTER: {name: found}}
    if target.element and isinstance(found, Mapping):
        return {"name": name, **found}
    return {target.container: found} if target.container else found


def _shown(target: Target) -> str:
    return f"`{target.element}` of `{target.container}`" if target.element else f"`{target.container}`"


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


# --- what a patch sets ------------------------------------------------------------------------------------------------


def _of_value(value: Any, asking: tuple[str, ...]) -> Iterator[_Said]:  # noqa: ANN401 -- YAML
    canonical = Canonical()
    # A message says once more what the one around it says.
    read = canonical.message(value)
    yield from dict.fromkeys(said for _, each in messages_in(read) for said in _of_message(each, asking))
    for stray in canonical.strays:
        yield catalogue.NO_BOOLEAN, f"a patch sets `{stray.field}: {stray.value}`"


def _of_message(message: Message, asking: tuple[str, ...]) -> Iterator[_Said]:
    if message.get("failure_mode_allow") is True:
        yield catalogue.FAIL_OPEN, "a patch sets `failure_mode_allow: true`"
    for name in _turned_off(message, asking):
        yield catalogue.DISABLED, f"a patch turns `{name}` off"
    if _is_check(message):
        yield from _sometimes({**message, **type_of(message.get("typed_config"))[1]})
    if any(each.get("filters") and not _has_check(each["filters"]) for each in maps(message.get("upgrade_configs"))):
        yield catalogue.UPGRADE, "a patch gives an upgrade filters without ext_authz"
    for name in granted(maps(message.get("response_headers_to_add"))):
        yield catalogue.STATIC_GRANT, f"a patch adds `{name}` to answers"
    for rule, said in (*of_mutations([message]), *of_local_replies(message)):
        yield rule, f"a patch: {said}"


def _turned_off(message: Message, asking: tuple[str, ...]) -> Iterator[str]:
    name = str(message.get("name", ""))
    is_asking = name.startswith(asking) or str(message.get("@type", "")).endswith((EXT_AUTHZ, _PER_ROUTE))
    if message.get("disabled") is True and is_asking:
        yield name or EXT_AUTHZ_FILTER
    for key, entry in inner(message, PER_FILTER).items():
        is_off = True in (inner(entry).get("disabled"), inner(entry, "config").get("disabled"))
        # Whatever a route says of Istio's RBAC takes the place of what decides over the check.
        if str(key).startswith(asking) and (is_off or str(key).startswith(RBAC)):
            yield str(key)


def _sometimes(check: Message) -> Iterator[_Said]:
    """Judge on what an ext_authz filter is made to depend."""
    enabled = inner(check, "filter_enabled", "default_value")
    share = number(enabled.get("numerator"), 0)
    is_set = "default_value" in inner(check, "filter_enabled")
    if share >= runtime.whole(enabled):
        check = {**check, "filter_enabled": None}
    never = "shadow_mode" if check.get("shadow_mode") is True else "filter_enabled" if is_set and share == 0 else ""
    field = never or next((field for field in _PARTIAL if check.get(field)), "")
    if field:
        yield catalogue.NOT_ASKED if never else catalogue.SOMETIMES, f"a patch sets `{field}`"


def _is_check(value: object) -> bool:
    """Tell whether a message is an ext_authz filter: by its type where it says one, else by its name."""
    message = inner(value)
    kind = type_of(message.get("typed_config"))[0]
    return kind == EXT_AUTHZ if kind else str(message.get("name", "")).startswith(EXT_AUTHZ_FILTER)


def _has_check(filters: object) -> bool:
    return any(map(_is_check, maps(filters)))


def cors_headers(names: Iterable[object]) -> Iterator[str]:
    """Give those of some headers' names that grant by CORS."""
    return (str(name).lower() for name in names if str(name).lower().startswith(_PREFIX))
