"""The connection manager around ext_authz: what it does to paths, headers and ids before anyone is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from cors_authz.doctor import answers, catalogue
from cors_authz.doctor.finding import Finding, Rule
from cors_authz.doctor.lined import line_of
from cors_authz.doctor.setup import Manager, Setup, inner, maps, number

_UNESCAPES: Final = frozenset({"UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD"})
_DEFAULTS: Final = frozenset({"", "IMPLEMENTATION_SPECIFIC_DEFAULT"})
_METADATA: Final = re.compile(r"%DYNAMIC_METADATA\(envoy\.filters\.http\.ext_authz")
_SENDS_METADATA: Final = ("HttpGrpcAccessLogConfig", "OpenTelemetryAccessLogConfig")

_Said: TypeAlias = tuple[Rule, str, str]
"""A rule, what breaks it, and the field of the connection manager that does."""


def findings(setup: Setup, manager: Manager) -> Iterator[Finding]:
    """Say what is wrong with a connection manager that asks the service."""
    for rule, detail, field in (
        *_paths(manager),
        *_clients(manager),
        *_logs(manager),
        *_local_replies(manager),
    ):
        yield Finding(rule, setup.at(manager, line=line_of(manager.config, field)), detail)


def _paths(manager: Manager) -> Iterator[_Said]:
    config = manager.config
    if config.get("normalize_path") not in (True, {"value": True}):
        yield catalogue.NORMALIZE, "`normalize_path` is not true", "normalize_path"
    if config.get("merge_slashes") is not True:
        yield catalogue.MERGE_SLASHES, "`merge_slashes` is not true", "merge_slashes"
    escaped = str(config.get("path_with_escaped_slashes_action", ""))
    if escaped in _UNESCAPES:
        yield catalogue.UNESCAPE, f"`path_with_escaped_slashes_action: {escaped}`", "path_with_escaped_slashes_action"
    if escaped in _DEFAULTS:
        yield catalogue.ESCAPED_UNSET, "`path_with_escaped_slashes_action` is not set", ""


def _clients(manager: Manager) -> Iterator[_Said]:
    config = manager.config
    underscores = inner(config, "common_http_protocol_options").get("headers_with_underscores_action", "ALLOW")
    if underscores == "ALLOW":
        yield (
            catalogue.UNDERSCORES,
            "`headers_with_underscores_action` is ALLOW, as by default",
            "common_http_protocol_options",
        )
    # Behind another Envoy of the mesh, that one names clients and requests.
    if config.get("use_remote_address") not in (True, {"value": True}) and manager.direction != "INBOUND":
        yield catalogue.REMOTE_ADDRESS, "`use_remote_address` is not true", "use_remote_address"
    if number(config.get("xff_num_trusted_hops"), 0) or maps(config.get("original_ip_detection_extensions")):
        yield (
            catalogue.XFF_TRUST,
            "`xff_num_trusted_hops` or `original_ip_detection_extensions` is set",
            "xff_num_trusted_hops",
        )
    if config.get("generate_request_id") in (False, {"value": False}):
        yield catalogue.REQUEST_ID, "`generate_request_id: false`", "generate_request_id"
    if config.get("preserve_external_request_id") is True:
        yield catalogue.REQUEST_ID, "`preserve_external_request_id: true`", "preserve_external_request_id"


def _local_replies(manager: Manager) -> Iterator[_Said]:
    yield from ((rule, detail, answers.LOCAL_REPLIES) for rule, detail in answers.of_local_replies(manager.config))


def _logs(manager: Manager) -> Iterator[_Said]:
    if not any(_tells(each, set()) for each in maps(manager.config.get("access_log"))):
        yield (
            catalogue.NO_DECISION_LOGGED,
            "no access log has `%DYNAMIC_METADATA(envoy.filters.http.ext_authz)%`",
            "access_log",
        )


def _tells(value: Any, seen: set[int]) -> bool:  # noqa: ANN401 -- JSON
    if isinstance(value, str):
        return bool(_METADATA.search(value)) or value.endswith(_SENDS_METADATA)
    if not isinstance(value, Mapping | list) or id(value) in seen:
        return False
    seen.add(id(value))
    return any(_tells(each, seen) for each in (value.values() if isinstance(value, Mapping) else value))
