"""One spelling for what configurations write in several: names of fields, booleans and enums, as dumps have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cors_authz.doctor.lined import LinedMap, line_of

CAMEL: Final = re.compile(r"[a-z][a-z0-9]*(?:[A-Z][a-z0-9]*)+")

_HUMP: Final = re.compile("([A-Z])")
_MAX_DEPTH: Final = 200
"""Envoy takes messages at most 100 deep; what is deeper stays as it is."""

_KEYED: Final = frozenset(
    {
        *("typed_per_filter_config", "typed_extension_protocol_options", "typed_filter_metadata"),
        *("policies", "providers", "requirement_map", "map"),
    }
)
"""Fields that are maps: their keys are names, which somebody chose."""

_FREE: Final = frozenset({"filter_metadata", "static_layer", "json_format", "typed_json_format"})
"""Fields that hold what somebody likes."""

_BOOLEANS: Final = frozenset(
    {
        *("failure_mode_allow", "validate_mutations", "clear_route_cache", "charge_cluster_response_stats"),
        *("shadow_mode", "disabled", "enabled", "invert", "invert_match", "present_match", "any", "ignore_case"),
        *("normalize_path", "merge_slashes", "use_remote_address", "generate_request_id"),
        *("preserve_external_request_id", "strip_trailing_host_dot", "strip_any_host_port"),
        *("ignore_port_in_host_matching", "bypass_cors_preflight"),
    }
)
_TRUTHS: Final = {"true": True, "false": False}
_ENUMS: Final[Mapping[str, tuple[str, ...]]] = {
    "denominator": ("HUNDRED", "TEN_THOUSAND", "MILLION"),
    "path_with_escaped_slashes_action": (
        "IMPLEMENTATION_SPECIFIC_DEFAULT",
        "KEEP_UNCHANGED",
        "REJECT_REQUEST",
        "UNESCAPE_AND_REDIRECT",
        "UNESCAPE_AND_FORWARD",
    ),
    "headers_with_underscores_action": ("ALLOW", "REJECT_REQUEST", "DROP_HEADER"),
    "type": ("STATIC", "STRICT_DNS", "LOGICAL_DNS", "EDS", "ORIGINAL_DST"),
    "traffic_direction": ("UNSPECIFIED", "INBOUND", "OUTBOUND"),
    "route_cache_action": ("DEFAULT", "CLEAR", "RETAIN"),
    "priority": ("DEFAULT", "HIGH"),
}


class Stray(NamedTuple):
    """A field that should be a boolean, the value that is none, and the line."""

    field: str
    value: str
    line: int


class Canonical:
    """Makes configurations canonical, and keeps what cannot be read.

    Attributes:
        strays: values of boolean fields that are no booleans; Envoy refuses what has one.
    """

    def __init__(self) -> None:
        self.strays: list[Stray] = []
        self._done: dict[tuple[int, bool], Any] = {}

    def message(self, value: Any, depth: int = 0) -> Any:  # noqa: ANN401 -- JSON
        """Give a message, or a list of them, in the spelling of dumps. What is aliased is done once."""
        return self._once(value, depth, keyed=False)

    def _once(self, value: Any, depth: int, *, keyed: bool) -> Any:  # noqa: ANN401 -- JSON
        if not isinstance(value, Mapping | list) or depth > _MAX_DEPTH:
            return value
        key = (id(value), keyed)
        if key not in self._done:
            if isinstance(value, list):
                self._done[key] = [self.message(each, depth + 1) for each in value]
            else:
                self._done[key] = self._map(value, depth, keyed=keyed)
        return self._done[key]

    def _map(self, value: Mapping[str, Any], depth: int, *, keyed: bool) -> LinedMap:
        names = {str(key): str(key) if keyed else snake(str(key)) for key in value}
        built = LinedMap()
        built.line = line_of(value)
        built.lines = {name: line_of(value, key) for key, name in names.items()}
        for key, each in value.items():
            name = names[str(key)]
            read = self._once(each, depth + 1, keyed=False) if keyed else self._field(name, each, depth)
            built[name] = read
            if not keyed and name in _BOOLEANS and isinstance(read, str | int | float) and not isinstance(read, bool):
                self.strays.append(Stray(name, str(read), built.lines[name]))
        return built

    def _field(self, name: str, value: Any, depth: int) -> Any:  # noqa: ANN401 -- JSON
        if name in _FREE:
            return value
        if name in _BOOLEANS and isinstance(value, str):
            return _TRUTHS.get(value, value)
        if name in _ENUMS:
            return _enum(_ENUMS[name], value)
        return self._once(value, depth + 1, keyed=name in _KEYED)


def _enum(names: tuple[str, ...], value: object) -> object:
    is_number = isinstance(value, int | str) and not isinstance(value, bool) and re.fullmatch("[0-9]", str(value))
    return names[int(str(value))] if is_number and int(str(value)) < len(names) else value


def snake(name: str) -> str:
    """Name a field as Envoy's API does: JSON may write it in camel case, too."""
    return _HUMP.sub(r"_\1", name).lower() if CAMEL.fullmatch(name) else name
